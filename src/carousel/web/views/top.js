/** The bar on top: which model, undo and redo, saving, light or dark. */

import { h, show, View } from '../dom.js';
import { exporters } from '../export.js';
import { iconButton } from './parts.js';

export class TopView extends View {
  /** @param {any} r */
  render(r) {
    const { text } = r;
    show(this,
      h('div', { class: 'brand' }, h('b', null, text.title), h('span', { class: 'dim' }, text.tagline)),
      h('div', { class: 'models', role: 'group', 'aria-label': text.model }, r.models.length > 4
        ? h('select', { 'aria-label': text.model, value: r.state.model, onchange: (/** @type {any} */ event) => r.chooseModel(event.target.value) },
          r.models.map((/** @type {string} */ name) => h('option', { key: name, value: name, selected: name === r.state.model }, name)))
        : r.models.map((/** @type {string} */ name) => h('button', { key: name, type: 'button', 'aria-pressed': String(name === r.state.model), onclick: () => r.chooseModel(name) }, name))),
      h('div', { class: 'tools' },
        h('button', { type: 'button', class: 'tool-text', onclick: () => r.goToStep(r.state.step || 1), 'aria-label': text.tour, 'aria-pressed': String(r.state.step > 0) }, r.icon('tour'), h('span', null, text.tour)),
        iconButton('undo', text.undo, () => r.store.undo(), { disabled: !r.store.past.length && !r.store.base }),
        iconButton('redo', text.redo, () => r.store.redo(), { disabled: !r.store.future.length }),
        iconButton('reset', text.reset, () => r.reset()),
        iconButton('share', text.share, () => r.setUi({ sharing: !r.ui.sharing }), { 'aria-expanded': String(Boolean(r.ui.sharing)) }),
        iconButton('theme', text.theme, () => r.setTheme()),
        r.ui.sharing ? h('div', { class: 'menu', onkeydown: (/** @type {KeyboardEvent} */ event) => { if (event.key === 'Escape') r.setUi({ sharing: false }); } },
          exporters().map(({ name, run }) => h('button', { key: name, type: 'button', onclick: () => { r.setUi({ sharing: false }); run(r); } }, text[name]))) : null));
  }
}
