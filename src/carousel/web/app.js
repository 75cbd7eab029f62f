/** Puts the page together: state to reading, reading to views, and what people do to the state. */

import { App } from './controller.js';
import { AnswerView } from './views/answer.js';
import { BeltView } from './views/belt.js';
import { HoldView } from './views/hold.js';
import { LanesView } from './views/lanes.js';
import { LowerView } from './views/lower.js';
import { SentenceView } from './views/sentence.js';
import { SheetView } from './views/sheet.js';
import { TopView } from './views/top.js';
import { TourView } from './views/tour.js';

const VIEWS = {
  'carousel-top': TopView, 'carousel-sentence': SentenceView, 'carousel-belt': BeltView, 'carousel-lanes': LanesView,
  'carousel-hold': HoldView, 'carousel-answer': AnswerView, 'carousel-tour': TourView, 'carousel-lower': LowerView, 'carousel-sheet': SheetView,
};
for (const [name, view] of Object.entries(VIEWS)) customElements.define(name, view);

await App.start(Object.keys(VIEWS));
