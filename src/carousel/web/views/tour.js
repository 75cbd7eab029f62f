/** The tour: a card with a question, what to do, and what comes out. Nothing is locked. */

import { h, show, View } from '../dom.js';
import { fill } from '../phrasing.js';

export class TourView extends View {
  /** @param {any} r */
  render(r) {
    const { text } = r;
    if (!r.state.step) {
      return show(this, h('div', { class: 'card' }, h('h2', null, text.tour_title), h('p', null, text.tour_about),
        h('button', { type: 'button', class: 'primary', onclick: () => r.goToStep(1) }, text.tour_start)));
    }
    const step = r.tour.steps[r.state.step - 1];
    show(this, h('div', { class: 'card' },
      h('div', { class: 'card-head' }, h('p', { class: 'dim' }, fill(text.tour_step, { step: r.state.step })),
        h('button', { type: 'button', class: 'icon-button small', 'aria-label': text.tour_end, title: text.tour_end, onclick: () => r.store.look({ step: 0 }) }, r.icon('close'))),
      h('ol', { class: 'dots' }, r.tour.steps.map((/** @type {any} */ one, /** @type {number} */ index) => h('li', { key: index }, h('a', {
        href: `#${one.link}`, title: one.title, 'aria-label': `${index + 1}. ${one.title}`, 'aria-current': index + 1 === r.state.step ? 'step' : null,
        onclick: (/** @type {Event} */ event) => { event.preventDefault(); r.goToStep(index + 1); } }, String(index + 1))))),
      h('h2', null, step.title),
      h('p', null, step.text),
      step.commands ? h('pre', { tabindex: '0' }, step.commands.join('\n')) : null,
      guess(r, step),
      step.actions ? h('div', { class: 'actions' }, step.actions.map((/** @type {any} */ one) => h('button', { key: one.label, type: 'button', class: 'secondary', onclick: () => r.goTo(one.link) }, one.label))) : null,
      h('div', { class: 'card-foot' },
        h('button', { type: 'button', class: 'quiet', disabled: r.state.step === 1, onclick: () => r.goToStep(r.state.step - 1) }, text.tour_back),
        r.state.step < r.tour.steps.length ? h('button', { type: 'button', class: 'primary', onclick: () => r.goToStep(r.state.step + 1) }, text.tour_next)
          : h('button', { type: 'button', class: 'primary', onclick: () => { r.store.look({ step: 0 }); r.focusField(); } }, text.tour_end))));
  }
}

/** First say what will happen, then see it happen. @param {any} r @param {any} step */
function guess(r, step) {
  if (!step.guess) return null;
  const { question, options, answer, link } = step.guess;
  const given = r.ui.guess;
  return h('div', { class: 'guess' }, h('p', null, h('b', null, r.text.guess), ' ', question),
    h('div', { class: 'actions' }, options.map((/** @type {string} */ option) => h('button', { key: option, type: 'button', class: 'secondary', 'aria-pressed': String(given === option),
      onclick: () => { r.setUi({ guess: option }); r.goTo(link); } }, option))),
    given ? h('p', { class: 'guessed' }, (given === answer ? r.text.guess_right : r.text.guess_wrong) + r.said) : null);
}
