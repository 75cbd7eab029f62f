/** The gates, a lane each, under the belt: what each did at each word, and the stretch to hold. */

import { dragged } from '../geometry/drag.js';
import { positionAt } from '../geometry/columns.js';
import { h, show, View } from '../dom.js';
import { fill, whole } from '../phrasing.js';
import { cut, measure } from './parts.js';

const HEIGHT = 40, BASE = 36, TALL = 31;

export class LanesView extends View {
  /** @type {import('../geometry/drag.js').Drag | null} */
  drag = null;

  /** @param {any} r */
  render(r) {
    if (!r.T || r.turned) return show(this);
    if (!r.gates.length) return show(this, h('p', { class: 'hint choose' }, r.text.no_gates));
    show(this,
      h('div', { class: 'caption' }, h('h2', null, r.text.lanes), h('p', null, r.text.lanes_hint)),
      r.gates.map((/** @type {string} */ gate) => this.#lane(r, gate)));
  }

  /** @param {any} r @param {string} gate */
  #lane(r, gate) {
    const words = r.gateWords(gate);
    const chosen = gate === r.gate;
    const share = r.now.means[gate][r.cursor];
    return h('div', { key: gate, class: `lane gate-${gate}${chosen ? ' chosen' : ''}` },
      h('button', { type: 'button', class: 'lane-name', 'aria-pressed': String(chosen), onclick: () => r.store.look({ gate }) },
        h('b', null, words.name, ' ', h('i', null, words.symbol)), h('span', { class: 'dim' }, fill(words.value, { percent: whole(share) }))),
      h('svg', {
        class: 'lane-picture', viewBox: `${r.gutter} 0 ${r.width - r.gutter} ${HEIGHT}`, width: r.width - r.gutter, height: HEIGHT, 'data-gate': gate, 'aria-hidden': 'true',
        onpointerdown: (/** @type {PointerEvent} */ event) => this.#grab(event, gate), onpointermove: (/** @type {PointerEvent} */ event) => this.#move(event, gate),
        onpointerup: (/** @type {PointerEvent} */ event) => this.#release(event), onpointercancel: (/** @type {PointerEvent} */ event) => this.#release(event),
      }, laneShapes(r, gate, chosen)));
  }

  /** @param {PointerEvent} event @param {string} gate */
  #grab(event, gate) {
    if (event.button !== 0) return;
    const r = this.reading;
    const picture = /** @type {SVGElement} */ (event.currentTarget);
    picture.setPointerCapture(event.pointerId);
    const same = gate === r.gate;
    this.drag = { x: event.clientX, y: event.clientY, position: this.#position(event), amount: same ? r.amount : 0, span: r.span, kind: '' };
    if (!same) r.store.look({ gate });
  }

  /** @param {PointerEvent} event */
  #position(event) {
    const r = this.reading;
    const box = /** @type {Element} */ (event.currentTarget).getBoundingClientRect();
    return positionAt(r.columns, r.gutter + (event.clientX - box.left) * ((r.width - r.gutter) / box.width));
  }

  /** @param {PointerEvent} event @param {string} gate */
  #move(event, gate) {
    if (!this.drag) return;
    const { kind, span, amount } = dragged(this.drag, event.clientX, event.clientY, this.#position(event));
    if (kind === 'choose') this.reading.store.look({ span, gate });
    if (kind === 'hold' && (this.drag.kind !== 'hold' || amount !== this.reading.amount)) this.reading.holdAt(gate, span, amount);
    this.drag = { ...this.drag, kind };
  }

  /** @param {PointerEvent} event */
  #release(event) {
    const { drag } = this;
    this.drag = null;
    if (!drag) return;
    if (drag.kind === 'hold') this.reading.store.commit();
    else if (!drag.kind && event.type === 'pointerup') {
      const inside = drag.span && drag.position >= drag.span[0] && drag.position <= drag.span[1];
      if (!inside) this.reading.store.look({ span: [drag.position, drag.position] });
    }
  }
}

/** @param {any} r @param {string} gate @param {boolean} chosen */
function laneShapes(r, gate, chosen) {
  const { columns } = r;
  /** @type {any[]} */
  const shapes = [
    h('rect', { class: 'cursor-column', x: columns.begins[r.cursor], y: 0, width: columns.widths[r.cursor], height: HEIGHT }),
    h('path', { class: 'lane-line', d: `M${columns.left} ${BASE}H${columns.end}M${columns.left} ${BASE - TALL}H${columns.end}` }),
  ];
  const last = Math.min(columns.to, r.cursor + 1);
  for (let t = columns.from; t < last; t++) {
    const x = columns.begins[t] + 3, width = columns.widths[t] - 6;
    const now = r.now.means[gate][t] * TALL, before = r.before.means[gate][t] * TALL;
    shapes.push(h('rect', { key: `bar-${t}`, class: `bar gate-${gate}`, x, y: BASE - now, width, height: Math.max(0, now), rx: 2 },
      h('title', null, `${r.place(t)}: ${fill(r.gateWords(gate).full, { percent: whole(now / TALL), rest: whole(1 - now / TALL) })}`)));
    if (Math.abs(now - before) > 0.4) shapes.push(h('path', { key: `was-${t}`, class: 'was', d: `M${x} ${BASE - before}h${width}` }));
  }
  for (const hold of r.holds) {
    if (hold.gate === gate && hold.layer === r.layer && !(chosen && r.span && hold.from === r.span[0] && hold.to === r.span[1])) {
      shapes.push(stretch(r, gate, hold.from, hold.to, 'held', `held-${hold.from}-${hold.to}`));
    }
  }
  if (chosen && r.span) shapes.push(stretch(r, gate, r.span[0], r.span[1], r.amount ? 'held active' : 'active', 'active'), handle(r, gate));
  return shapes;
}

/** @param {any} r @param {string} gate @param {number} from @param {number} to @param {string} classes @param {string} key */
function stretch(r, gate, from, to, classes, key) {
  const box = boxOf(r.columns, from, to);
  return box && h('rect', { key: `stretch-${key}`, class: `stretch gate-${gate} ${classes}`, x: box.x + 1, y: 2, width: box.width - 2, height: HEIGHT - 4, rx: 7 });
}

/** @param {import('../geometry/columns.js').Columns} columns @param {number} from @param {number} to */
function boxOf(columns, from, to) {
  const first = Math.max(from, columns.from), last = Math.min(to, columns.to - 1);
  if (last < first) return null;
  return { x: columns.begins[first], width: columns.begins[last] + columns.widths[last] - columns.begins[first] };
}

/** What is taken hold of: a word for it, and arrows for where it goes. @param {any} r @param {string} gate */
function handle(r, gate) {
  const box = boxOf(r.columns, r.span[0], r.span[1]);
  if (!box) return null;
  const label = cut(r.handleLabel, 12, Math.max(24, box.width - 34));
  const wide = box.width >= 60;
  const width = wide ? measure(label, 12) + 30 : 24;
  const x = box.x + box.width / 2 - width / 2;
  const y = r.amount > 0 ? 3 : r.amount < 0 ? HEIGHT - 25 : HEIGHT / 2 - 11;
  return h('g', { key: 'handle', class: `handle gate-${gate}` },
    h('rect', { x, y, width, height: 22, rx: 11 }),
    h('path', { d: `M${x + 9} ${y + 8.5}l3-3 3 3M${x + 9} ${y + 13.5}l3 3 3-3` }),
    wide ? h('text', { x: x + 20, y: y + 15 }, label) : null);
}

