/** On a narrow screen: the gates of a tapped word as sliders, over the lower edge. */

import { h, show, View } from '../dom.js';
import { fill, whole } from '../phrasing.js';
import { slider } from './hold.js';

export class SheetView extends View {
  /** @param {any} r */
  render(r) {
    if (!r.turned || r.ui.sheet === null || !r.span || !r.gates.length) return show(this);
    const where = r.stretch(r.span[0], r.span[1]);
    show(this, h('div', { class: 'sheet', role: 'dialog', 'aria-label': fill(r.text.sheet, { word: where }) },
      h('div', { class: 'card-head' }, h('h2', null, fill(r.text.sheet, { word: where })),
        h('button', { type: 'button', class: 'icon-button', 'aria-label': r.text.close, onclick: () => r.setUi({ sheet: null }) }, r.icon('close'))),
      h('p', { class: 'said' }, r.said),
      r.gates.map((/** @type {string} */ gate) => {
        const words = r.gateWords(gate);
        return h('div', { key: gate, class: `sheet-gate gate-${gate}` },
          h('p', null, h('b', null, words.name), h('span', { class: 'dim' }, ` ${fill(words.value, { percent: whole(r.now.means[gate][r.span[0]]) })}`)),
          slider(r, gate, where),
          h('div', { class: 'ends', 'aria-hidden': 'true' }, h('span', null, words.low), h('span', null, r.text.as_it_is), h('span', null, words.high)));
      })));
  }
}
