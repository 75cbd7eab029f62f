/** The cell at the word under the cursor, on one unit (where every product and sum is exact). */

import { gruDiagram, lstmDiagram, rnnDiagram, tipPath, turned, wirePath } from '../geometry/cell.js';
import { h } from '../dom.js';
import { CELLS } from '../model/cells.js';
import { exact, fill, percent, plain } from '../phrasing.js';
import { cut } from './parts.js';

/** @param {any} r */
export function cellPanel(r) {
  const unit = unitOf(r);
  const values = valuesOf(r, unit);
  const size = r.model.config.hidden_size;
  return [
    h('div', { class: 'cell-choice' },
      h('h3', null, fill(r.text.cell, { word: r.place(r.cursor) })),
      h('div', { class: 'segments', role: 'group', 'aria-label': r.text.unit },
        h('button', { type: 'button', 'aria-pressed': String(unit >= 0), onclick: () => r.store.look({ unit: -2 }) }, r.text.unit_one),
        h('button', { type: 'button', 'aria-pressed': String(unit < 0), onclick: () => r.store.look({ unit: -1 }) }, r.text.unit_mean)),
      unit < 0 ? null : h('label', null, `${r.text.unit} `, h('input', { type: 'number', min: '0', max: String(size - 1), value: String(unit),
        onchange: (/** @type {any} */ event) => r.store.look({ unit: Math.max(0, Math.min(size - 1, Math.round(Number(event.target.value) || 0))) }) })),
      layers(r)),
    h('p', { class: 'hint' }, unit < 0 ? r.text.cell_means : r.text.cell_hint),
    h('div', { class: 'cell-body' }, h('div', { class: 'cell-scroll', tabindex: '0', role: 'group', 'aria-label': r.text.views.cell }, diagram(r, values)), unit < 0 ? null : equations(r, values)),
  ];
}

/** Which layer, where there are several. @param {any} r */
export function layers(r) {
  const count = r.model.config.layers;
  if (count < 2) return null;
  return h('label', null, `${r.text.layer} `, h('select', { value: String(r.layer), onchange: (/** @type {any} */ event) => r.store.look({ layer: Number(event.target.value) }) },
    Array.from({ length: count }, (_, layer) => h('option', { key: layer, value: String(layer), selected: layer === r.layer }, String(layer)))));
}

/** The unit that is looked at: the one chosen, or the one in which most lies there of the word in question. @param {any} r */
export function unitOf(r) {
  const { unit } = r.state;
  const size = r.model.config.hidden_size;
  if (unit >= -1) return Math.min(unit, size - 1);
  if (r.now.belt) {
    const s = r.counterpart ? r.words.indexOf(r.counterpart, 1) : r.cursor;
    return r.before.belt.carriers(Math.max(0, Math.min(s, r.cursor)), r.cursor, 1)[0];
  }
  const state = r.now.trace.at('h', r.layer, r.cursor);
  return state.reduce((/** @type {number} */ best, /** @type {number} */ value, /** @type {number} */ u) => (Math.abs(value) > Math.abs(state[best]) ? u : best), 0);
}

/** What goes through the cell: one unit's numbers, or means (of sizes where there is a sign). @param {any} r @param {number} unit */
function valuesOf(r, unit) {
  const { trace } = r.now;
  const { layer, cursor: t } = r;
  const size = r.model.config.hidden_size;
  const memory = r.gates.includes('f') ? 'c' : 'h';
  /** @param {(u: number) => number} value @param {boolean} [sign] */
  const of = (value, sign = false) => {
    if (unit >= 0) return value(unit);
    let sum = 0;
    for (let u = 0; u < size; u++) sum += sign ? Math.abs(value(u)) : value(u);
    return sum / size;
  };
  /** @param {string} name @param {number} u @param {number} [at] */
  const get = (name, u, at = t) => (at < 0 ? 0 : trace.at(name, layer, at)[u]);
  /** @type {Record<string, number>} */
  const values = { hBefore: of((u) => get('h', u, t - 1), true), h: of((u) => get('h', u), true) };
  if (!r.gates.length) return values;
  const keeper = memory === 'c' ? 'f' : 'z';
  values.keep = of((u) => get(keeper, u) * get(memory, u, t - 1), true);
  if (memory === 'c') {
    Object.assign(values, { f: of((u) => get('f', u)), i: of((u) => get('i', u)), o: of((u) => get('o', u)), g: of((u) => get('g', u), true),
      cBefore: of((u) => get('c', u, t - 1), true), c: of((u) => get('c', u), true), write: of((u) => get('i', u) * get('g', u), true), tanh: of((u) => Math.tanh(get('c', u)), true) });
  } else {
    Object.assign(values, { z: of((u) => get('z', u)), r: of((u) => get('r', u)), n: of((u) => get('n', u), true),
      write: of((u) => (1 - get('z', u)) * get('n', u), true), reset: of((u) => get('r', u) * get('h', u, t - 1), true) });
  }
  return values;
}

/** @param {any} r @param {Record<string, number>} values */
function diagram(r, values) {
  const cell = /** @type {any} */ (CELLS[/** @type {keyof typeof CELLS} */ (r.model.config.cell)]);
  const wide = r.gates.includes('f') ? lstmDiagram(values, cell) : r.gates.length ? gruDiagram(values) : rnnDiagram(values);
  const d = r.turned ? turned(wide) : wide;
  const best = r.now.next[0];
  return h('svg', { class: `cell ${r.turned ? 'turned' : ''}`, width: r.turned ? d.width : null, viewBox: `0 0 ${d.width} ${d.height}`, role: 'img', 'data-export': 'cell', 'aria-label': `${fill(r.text.cell, { word: r.place(r.cursor) })}: ${d.labels.map((label) => `${label.name} ${plain(label.value, 3)}`).join(', ')}` },
    h('rect', { class: 'cell-frame', x: d.frame[0], y: d.frame[1], width: d.frame[2], height: d.frame[3], rx: 18 }),
    d.wires.map((wire, index) => {
      const heavy = wire.value === null ? 1.4 : 1.2 + 4.4 * Math.min(1, Math.abs(wire.value));
      return h('g', { key: `wire-${index}`, class: `wire wire-${wire.name} gate-${wire.name}` },
        h('path', { d: wirePath(wire.points), 'stroke-width': heavy.toFixed(2), 'stroke-dasharray': wire.dashed ? '4 3' : null }),
        wire.head ? h('path', { class: 'tip', d: tipPath(wire.points, 7 + heavy) }) : null);
    }),
    d.boxes.map((box) => h('g', { key: `box-${box.gate}`, class: `cell-box gate-${box.gate}` },
      h('rect', { class: 'box-ground', x: box.x - 28, y: box.y - 17, width: 56, height: 34, rx: 6 }), h('rect', { class: 'box-fill', x: box.x - 28, y: box.y - 17, width: 56, height: 34, rx: 6 }),
      h('text', { class: 'middle strong', x: box.x, y: box.y + 5 }, box.sign))),
    d.circles.map((circle, index) => h('g', { key: `circle-${index}`, class: 'cell-circle' }, h('circle', { cx: circle.x, cy: circle.y, r: circle.sign.length < 3 ? 14 : 19 }),
      h('text', { class: 'middle', x: circle.x, y: circle.y + 5 }, circle.sign))),
    d.labels.map((label) => h('text', { key: `label-${label.name}`, class: `cell-label ${label.anchor ?? ''}`, x: label.x, y: label.y }, `${label.name} `, h('tspan', { class: 'strong' }, plain(label.value, 3)))),
    h('text', { class: `${d.input[2] ?? 'middle'} strong cell-word`, x: d.input[0], y: d.input[1] }, cut(r.words[r.cursor], 16, 220)),
    best && r.layer === r.model.config.layers - 1 ? h('text', { class: `${d.output[2] ?? 'middle'} strong cell-word`, x: d.output[0], y: d.output[1] }, cut(`${best.word} ${percent(best.probability)}`, 16, 180)) : null);
}

/** The cell's lines, each with its numbers; what is printed is true to its last digit. @param {any} r @param {Record<string, number>} v */
function equations(r, v) {
  const times = (/** @type {number[]} */ [a, b]) => a * b;
  const plus = (/** @type {number[]} */ [a, b]) => a + b;
  /** @type {[string, string, number[], number, (values: number[]) => number, string][]} */
  const lines = !r.gates.length ? [] : r.gates.includes('f') ? [
    [r.text.keep, 'f ⊙ c₋₁', [v.f, v.cBefore], v.keep, times, '×'], [r.text.write, 'i ⊙ g', [v.i, v.g], v.write, times, '×'],
    [r.text.after_c, 'f ⊙ c₋₁ + i ⊙ g', [v.keep, v.write], v.c, plus, '+'], [r.text.after_h, 'o ⊙ tanh c', [v.o, v.tanh], v.h, times, '×'],
  ] : [
    [r.text.keep, 'z ⊙ h₋₁', [v.z, v.hBefore], v.keep, times, '×'], [r.text.write, '(1 − z) ⊙ n', [1 - v.z, v.n], v.write, times, '×'],
    [r.text.after_h, 'z ⊙ h₋₁ + (1 − z) ⊙ n', [v.keep, v.write], v.h, plus, '+'],
  ];
  if (!lines.length) return null;
  return h('div', { class: 'equations' }, h('h3', null, r.text.equations), h('dl', null, lines.map(([name, symbols, operands, result, operation, sign]) => {
    const printed = exact(operands, result, operation);
    return h('div', { key: symbols }, h('dt', null, name, ' ', h('span', { class: 'dim symbols' }, symbols)),
      h('dd', { class: 'sum' }, `${printed.operands.map((one, index) => (index && one.startsWith('\u2212') ? `(${one})` : one)).join(` ${sign} `)} = `, h('b', null, printed.result)));
  })), math(r));
}

/** The equation as MathML, on demand. @param {any} r */
function math(r) {
  const lstm = r.gates.includes('f');
  const mi = (/** @type {string} */ name) => h('mi', null, name);
  const sub = (/** @type {string} */ name, /** @type {string} */ index) => h('msub', null, mi(name), index === 't' ? mi('t') : h('mrow', null, mi('t'), h('mo', null, '−'), h('mn', null, '1')));
  const mo = (/** @type {string} */ sign) => h('mo', null, sign);
  const row = lstm ? [sub('c', 't'), mo('='), sub('f', 't'), mo('⊙'), sub('c', '-'), mo('+'), sub('i', 't'), mo('⊙'), sub('g', 't')]
    : [sub('h', 't'), mo('='), sub('z', 't'), mo('⊙'), sub('h', '-'), mo('+'), mo('('), h('mn', null, '1'), mo('−'), sub('z', 't'), mo(')'), mo('⊙'), sub('n', 't')];
  return h('details', null, h('summary', null, r.text.equation), h('math', { display: 'block' }, h('mrow', null, row)));
}
