/** The panels of gates, units and decision. */

import { middle } from '../geometry/columns.js';
import { areaPath, linePath, meanAndSpread, mostMoved } from '../geometry/plots.js';
import { h } from '../dom.js';
import { decisionShares } from '../lens/decision.js';
import { fill, plain, signed, whole } from '../phrasing.js';
import { layers } from './cell.js';
import { heatPlace } from './heat.js';
import { cut, table, tableButton } from './parts.js';

const TALL = 84, PAD = 14, ROW = 24, MOST_ROWS = 12;

/** Words over a plot, in the belt's columns. @param {any} r @param {number} y */
export function heads(r, y) {
  return range(r.columns.from, r.columns.to).map((t) => h('text', { key: `head-${t}`, class: `middle head ${t === r.cursor ? 'strong' : ''}`, x: middle(r.columns, t), y, 'font-size': r.columns.size - 1,
    onclick: () => r.lookAt(t) }, cut(r.words[t], r.columns.size - 1, r.columns.widths[t] - 4)));
}

/** @param {number} from @param {number} to */
export function range(from, to) { return Array.from({ length: Math.max(0, to - from) }, (_, index) => from + index); }

/** @param {any} r */
export function gatesPanel(r) {
  if (!r.gates.length) return h('p', { class: 'hint' }, r.text.no_gates);
  const H = r.model.config.hidden_size;
  const names = r.gates.includes('f') ? ['f', 'i', 'o', 'g'] : ['z', 'r', 'n'];
  if (r.ui.tables.gates) return [tableButton(r, 'gates'), gatesTable(r, names, H)];
  const height = 26 + names.length * (TALL + PAD);
  const { columns } = r;
  return [
    h('div', { class: 'cell-choice' }, h('p', { class: 'hint' }, r.text.gates_hint), layers(r), tableButton(r, 'gates')),
    h('svg', { class: 'picture', viewBox: `0 0 ${r.width} ${height}`, width: r.width, height, role: 'img', 'aria-label': r.text.gates_hint, 'data-export': 'gates' },
      h('rect', { class: 'cursor-column', x: columns.begins[r.cursor], y: 0, width: columns.widths[r.cursor], height, rx: 8 }), heads(r, 16),
      names.map((name, row) => {
        const signedValues = name === 'g' || name === 'n';
        const { mean, spread } = meanAndSpread(r.now.trace.get(name, r.layer), H);
        const top = 26 + row * (TALL + PAD) + PAD / 2;
        const y = (/** @type {number} */ value) => top + TALL - (signedValues ? (value + 1) / 2 : value) * TALL;
        const x = (/** @type {number} */ t) => middle(columns, t);
        const low = mean.map((value, t) => Math.max(signedValues ? -1 : 0, value - spread[t])), high = mean.map((value, t) => Math.min(1, value + spread[t]));
        const was = r.held ? meanAndSpread(r.before.trace.get(name, r.layer), H).mean : null;
        const to = Math.min(columns.to, r.cursor + 1);
        return h('g', { key: name, class: `plot gate-${name}` },
          h('path', { class: 'lane-line', d: `M${columns.left} ${top + TALL}H${columns.end}M${columns.left} ${top}H${columns.end}` }),
          h('text', { class: 'strong', x: 0, y: top + 16 }, signedValues ? r.text.candidate : r.gateWords(name).name),
          h('text', { class: 'dim', x: 0, y: top + 34 }, signedValues ? `${name} ${plain(mean[r.cursor])}` : fill(r.gateWords(name).value, { percent: whole(mean[r.cursor]) })),
          h('text', { class: 'dim end', x: columns.left - 6, y: top + 8 }, '1'), h('text', { class: 'dim end', x: columns.left - 6, y: top + TALL }, signedValues ? '−1' : '0'),
          h('path', { class: 'spread', d: areaPath(low, high, x, y, columns.from, to) }), was ? h('path', { class: 'line-was', d: linePath(was, x, y, columns.from, to) }) : null,
          h('path', { class: 'line', d: linePath(mean, x, y, columns.from, to) }),
          range(columns.from, to).map((t) => h('circle', { key: t, class: 'point', cx: x(t), cy: y(mean[t]), r: 3 })));
      })),
  ];
}

/** @param {any} r @param {string[]} names @param {number} H */
function gatesTable(r, names, H) {
  const means = names.map((name) => meanAndSpread(r.now.trace.get(name, r.layer), H).mean);
  return table(r.text.gates_hint, [r.text.word, ...names.map((name) => (name === 'g' || name === 'n' ? r.text.candidate : r.gateWords(name).name))],
    range(0, r.T).map((t) => [r.place(t), ...means.map((mean) => mean[t].toFixed(4))]));
}

/** The memory of all units, `[T, H]`. @param {any} r */
export function memoryValues(r) { return r.now.trace.get(r.gates.includes('f') ? 'c' : 'h', r.layer); }

/** @param {any} r */
export function unitsPanel(r) {
  const H = r.model.config.hidden_size;
  const values = memoryValues(r);
  const units = mostMoved(values, H, MOST_ROWS);
  const to = Math.min(r.columns.to, r.cursor + 1);
  let most = 1e-9;
  for (const unit of units) for (let t = r.columns.from; t < to; t++) most = Math.max(most, Math.abs(values[t * H + unit]));
  const height = 26 + units.length * ROW;
  if (r.ui.tables.units) {
    return [tableButton(r, 'units'), table(r.text.units_hint, [r.text.word, ...units.map((unit) => String(unit))], range(0, r.T).map((t) => [r.place(t), ...units.map((unit) => values[t * H + unit].toFixed(4))]))];
  }
  return [
    h('div', { class: 'cell-choice' }, h('p', { class: 'hint' }, r.text.units_hint), layers(r), tableButton(r, 'units')),
    h('div', { class: 'units' },
      h('div', { class: 'unit-names' }, units.map((unit) => h('button', { key: unit, type: 'button', 'aria-pressed': String(Boolean(r.units?.includes(unit))), title: r.text.unit_hold,
        onclick: () => toggleUnit(r, unit) }, fill(r.text.unit_row, { unit })))),
      h('svg', { class: 'picture', viewBox: `${r.gutter} 0 ${r.width - r.gutter} ${height}`, width: r.width - r.gutter, height, role: 'img', 'aria-label': r.text.units_hint, 'data-export': 'units' }, heads(r, 16),
        units.map((unit, row) => range(r.columns.from, to).map((t) => {
          const value = values[t * H + unit];
          const size = Math.sqrt(Math.abs(value) / most);
          return h('rect', { key: `${unit}-${t}`, class: `heat ${value < 0 ? 'negative' : 'positive'}`, x: r.columns.begins[t] + 2, y: 26 + row * ROW + 2, width: r.columns.widths[t] - 4, height: ROW - 4, rx: 3, 'fill-opacity': (0.06 + 0.94 * size).toFixed(3),
            onclick: () => r.store.look({ unit, view: 'cell', cursor: t === r.tokens.length - 1 ? null : t }) }, h('title', null, `${fill(r.text.unit_row, { unit })}, ${r.place(t)}: ${plain(value, 3)}`));
        })))),
    H > MOST_ROWS ? [h('p', { class: 'hint' }, fill(r.text.heat, { count: H })), heatPlace(r, H)] : null,
    h('p', { class: 'hint' }, h('span', { class: 'swatch positive' }), ` ${r.text.above} `, h('span', { class: 'swatch negative' }), ` ${r.text.below}`),
  ];
}

/** @param {any} r @param {number} unit */
function toggleUnit(r, unit) {
  const units = r.units ?? [];
  const next = units.includes(unit) ? units.filter((/** @type {number} */ one) => one !== unit) : [...units, unit];
  r.chooseUnits(next.length ? next : null);
}

/** @param {any} r */
export function decisionPanel(r) {
  if (!r.belted) return h('p', { class: 'hint' }, r.text.decision_none);
  if (r.layer !== r.model.config.layers - 1) return [h('p', { class: 'hint' }, r.text.decision_layer), layers(r)];
  if (!r.pair) return null;
  if (!r.direction) return h('p', { class: 'hint' }, r.text.decision_apart);
  const shares = decisionShares(r.now.belt, r.direction, r.cursor);
  const bias = r.now.difference - shares.reduce((/** @type {number} */ sum, /** @type {number} */ value) => sum + value, 0);
  const [first, second] = r.pair;
  const hint = fill(r.text.decision_hint, { first, second, total: signed(r.now.difference, 2) });
  if (r.ui.tables.decision) return [tableButton(r, 'decision'), table(hint, [r.text.word, `${first} − ${second}`], [...range(0, r.cursor + 1).map((t) => [r.place(t), signed(shares[t], 4)]), [r.text.biases, signed(bias, 4)]])];
  const half = 74, zero = 40 + half, height = 2 * half + 84;
  const most = Math.max(1e-9, ...shares.map(Math.abs), Math.abs(bias));
  const to = Math.min(r.columns.to, r.cursor + 1);
  const bar = (/** @type {number} */ share, /** @type {number} */ x, /** @type {string} */ name) => {
    const tall = (Math.abs(share) / most) * half;
    return h('g', { key: name }, h('rect', { class: `mark ${share > 0 ? 'first' : 'second'}`, x: x - 15, y: share > 0 ? zero - tall : zero, width: 30, height: tall, rx: 2 }),
      h('text', { class: 'middle small', x, y: share > 0 ? zero - tall - 5 : zero + tall + 14 }, signed(share)));
  };
  return [
    h('div', { class: 'cell-choice' }, h('p', { class: 'hint' }, hint), tableButton(r, 'decision')),
    h('svg', { class: 'picture', viewBox: `0 0 ${r.width} ${height}`, width: r.width, height, role: 'img', 'aria-label': hint, 'data-export': 'decision' },
      heads(r, 16), h('text', { class: 'first strong', x: 0, y: zero - 30 }, cut(first, 14, 110)), h('text', { class: 'second strong', x: 0, y: zero + 40 }, cut(second, 14, 110)),
      range(r.columns.from, to).map((t) => bar(shares[t], middle(r.columns, t), `share-${t}`)),
      h('path', { class: 'zero', d: `M${r.columns.left - 8} ${zero}H${r.columns.end}` }),
      h('text', { class: 'dim', x: 0, y: height - 4 }, `${r.text.biases} ${signed(bias, 2)}`)),
  ];
}
