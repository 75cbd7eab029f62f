/** Tabs under the belt: the cell, gates, units, decision, two sentences, all models. */

import { h, show, View } from '../dom.js';
import { VIEWS } from '../state.js';
import { cellPanel } from './cell.js';
import { modelsPanel, twoPanel } from './comparison.js';
import { drawHeat } from './heat.js';
import { decisionPanel, gatesPanel, memoryValues, unitsPanel } from './panels.js';

const PANELS = /** @type {Record<string, (r: any) => any>} */ ({ cell: cellPanel, gates: gatesPanel, units: unitsPanel, decision: decisionPanel, two: twoPanel, models: modelsPanel });

export class LowerView extends View {
  revealed = '';

  /** @param {any} r */
  render(r) {
    const { view } = r.state;
    // The turned belt's columns are rows; the panels have columns of their own.
    const frame = r.turned ? { ...r, columns: r.wideColumns, gutter: 92 } : r;
    show(this, h('div', { class: 'lower' },
      h('div', { class: 'tabs', role: 'tablist', onkeydown: (/** @type {KeyboardEvent} */ event) => onKey(r, event) },
        VIEWS.map((one) => h('button', { key: one, id: `tab-${one}`, type: 'button', role: 'tab', 'aria-selected': String(one === view), 'aria-controls': 'panel',
          tabindex: one === view ? '0' : '-1', onclick: () => r.store.look({ view: one }) }, r.text.views[one]))),
      h('div', { id: 'panel', key: view, role: 'tabpanel', 'aria-labelledby': `tab-${view}`, tabindex: '-1' }, r.T ? PANELS[view](frame) : null)));
    this.#reveal(view);
    const canvas = this.querySelector('canvas');
    if (canvas) drawHeat(canvas, frame, memoryValues(frame), frame.model.config.hidden_size);
  }

  /** On a narrow screen the tabs scroll by themselves: the open one is in sight. @param {string} view */
  #reveal(view) {
    if (this.revealed === view) return;
    this.revealed = view;
    const tabs = this.querySelector('.tabs'), tab = /** @type {HTMLElement | null} */ (this.querySelector('[aria-selected="true"]'));
    if (!tabs || !tab) return;
    const all = tabs.getBoundingClientRect(), one = tab.getBoundingClientRect();
    tabs.scrollLeft += (one.left + one.right - all.left - all.right) / 2;
  }
}

/** @param {any} r @param {KeyboardEvent} event */
function onKey(r, event) {
  const by = event.key === 'ArrowRight' ? 1 : event.key === 'ArrowLeft' ? -1 : 0;
  if (!by) return;
  const view = VIEWS[(VIEWS.indexOf(r.state.view) + by + VIEWS.length) % VIEWS.length];
  r.store.look({ view });
  requestAnimationFrame(() => document.getElementById(`tab-${view}`)?.focus());
}
