/** Two sentences in one model, and one sentence in several models. */

import { middle } from '../geometry/columns.js';
import { linePath } from '../geometry/plots.js';
import { h } from '../dom.js';
import { fill, percent } from '../phrasing.js';
import { heads, range } from './panels.js';
import { cut, measure, table, tableButton } from './parts.js';

const TALL = 96;

/** @param {any} r */
export function modelsPanel(r) {
  const { others } = r;
  if (!others || !r.pair) return h('p', { class: 'hint' }, r.text.models_hint);
  const [first, second] = r.pair;
  const hint = r.text.models_hint;
  const able = others.filter((/** @type {any} */ one) => one.best);
  if (r.ui.tables.models) {
    return [tableButton(r, 'models'), table(hint, [r.text.word, ...able.flatMap((/** @type {any} */ one) => [`${one.name}: ${first}`, `${one.name}: ${second}`])],
      range(0, r.T).map((t) => [r.place(t), ...able.flatMap((/** @type {any} */ one) => [percent(one.first[t]), percent(one.second[t])])]))];
  }
  const each = TALL + 30, height = 26 + others.length * each;
  const to = Math.min(r.columns.to, r.cursor + 1);
  const x = (/** @type {number} */ t) => middle(r.columns, t);
  return [
    h('div', { class: 'cell-choice' }, h('p', { class: 'hint' }, hint), h('span', { class: 'key first' }, first), h('span', { class: 'key second' }, second), tableButton(r, 'models')),
    h('svg', { class: 'picture', viewBox: `0 0 ${r.width} ${height}`, width: r.width, height, role: 'img', 'aria-label': others.map((/** @type {any} */ one) => summary(r, one)).join('; '), 'data-export': 'models' },
      h('rect', { class: 'cursor-column', x: r.columns.begins[r.cursor], y: 0, width: r.columns.widths[r.cursor], height, rx: 8 }), heads(r, 16),
      others.map((/** @type {any} */ one, /** @type {number} */ row) => {
        const top = 34 + row * each;
        const y = (/** @type {number} */ value) => top + TALL - value * TALL;
        return h('g', { key: one.name },
          h('path', { class: 'lane-line', d: `M${r.columns.left} ${top + TALL}H${r.columns.end}M${r.columns.left} ${top}H${r.columns.end}` }),
          h('text', { class: 'strong', x: 0, y: top + 18 }, cut(one.name, 13, r.gutter - 8)),
          !one.best ? h('text', { class: 'dim', x: r.gutter, y: top + 18 }, trouble(r, one))
            : [h('text', { class: 'dim', x: 0, y: top + 38 }, cut(one.best[r.cursor].word, 12, 80)), h('text', { class: 'dim', x: 0, y: top + 54 }, percent(one.best[r.cursor].probability)),
              h('path', { class: 'curve-line second', d: linePath(one.second, x, y, r.columns.from, to) }), h('path', { class: 'curve-line first', d: linePath(one.first, x, y, r.columns.from, to) }),
              range(r.columns.from, to).map((t) => [h('rect', { key: `s-${t}`, class: 'mark second', x: x(t) - 3, y: y(one.second[t]) - 3, width: 6, height: 6 }), h('circle', { key: `f-${t}`, class: 'mark first', cx: x(t), cy: y(one.first[t]), r: 3.5 })])]);
      })),
  ];
}

/** Why a model has no curve. @param {any} r @param {any} one */
function trouble(r, one) { return one.unknown ? fill(r.text.models_unknown, { count: one.unknown, all: r.T - 1 }) : one.error; }

/** @param {any} r @param {any} one */
function summary(r, one) { return !one.best ? `${one.name}: ${trouble(r, one)}` : `${one.name}: ${one.best.at(-1).word} ${percent(one.best.at(-1).probability)}`; }

/** @param {any} r */
export function twoPanel(r) {
  const field = h('div', { class: 'field plain' }, h('input', { type: 'text', id: 'other', 'aria-label': r.text.two_field, spellcheck: 'false', autocomplete: 'off', dir: 'auto', value: r.state.other,
    oninput: (/** @type {any} */ event) => r.store.try({ other: event.target.value }), onchange: () => r.store.commit() }));
  const swap = h('button', { type: 'button', class: 'secondary', onclick: () => r.store.commit({ text: r.state.other, other: r.state.text, cursor: null, holds: Object.freeze([]), span: null }) }, r.text.two_swap);
  const head = [h('p', { class: 'hint' }, r.text.two_hint), field];
  if (!r.two) return head;
  const { pairs, words, gates, best } = r.two;
  const width = r.width, left = r.turned ? 76 : 126;
  const columns = pairs.map((/** @type {[number | null, number | null]} */ [a, b]) => Math.max(28, ...[a === null ? '' : r.words[a], b === null ? '' : words[b]].map((word) => measure(word, 12) + 10)));
  const total = columns.reduce((/** @type {number} */ sum, /** @type {number} */ one) => sum + one, 0);
  const stretch = Math.max(1, Math.min(2, (width - left - 10) / total));
  let at = left;
  const begins = columns.map((/** @type {number} */ one) => { const begin = at; at += one * stretch; return begin; });
  const height = 64 + gates.length * 40;
  const most = Math.max(1e-6, ...gates.flatMap((/** @type {any} */ gate) => gate.values.map((/** @type {number | null} */ value) => value ?? 0)));
  return [
    ...head,
    h('div', { class: 'cell-choice' }, h('p', null, fill(r.text.two_ends, { first: r.now.next[0]?.word ?? '', firstShare: percent(r.now.next[0]?.probability ?? 0), second: best?.word ?? '', secondShare: percent(best?.probability ?? 0) })), swap),
    h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': r.text.views.two },
      h('svg', { class: 'picture two', viewBox: `0 0 ${Math.max(width, at + 8)} ${height}`, width: Math.max(width, at + 8), height, role: 'img', 'aria-label': r.text.two_hint, 'data-export': 'two' },
        pairs.map((/** @type {[number | null, number | null]} */ [a, b], /** @type {number} */ index) => {
          const x = begins[index] + (columns[index] * stretch) / 2;
          const same = a !== null && b !== null && r.words[a] === words[b];
          return h('g', { key: index, class: same ? 'pair' : 'pair differs' }, same ? null : h('rect', { class: 'cursor-column', x: begins[index] + 1, y: 0, width: columns[index] * stretch - 2, height, rx: 6 }),
            h('text', { class: 'middle small', x, y: 18 }, a === null ? '–' : r.words[a]), h('text', { class: 'middle small', x, y: 38 }, b === null ? '–' : words[b]));
        }),
        gates.map((/** @type {any} */ gate, /** @type {number} */ row) => h('g', { key: gate.name, class: `gate-${gate.name}` },
          h('text', { class: 'strong small', x: 0, y: 84 + row * 40 }, gate.label), h('path', { class: 'lane-line', d: `M${left} ${90 + row * 40}H${at}` }),
          gate.values.map((/** @type {number | null} */ value, /** @type {number} */ index) => (value === null ? null : h('rect', { key: index, class: 'bar strong-bar', x: begins[index] + 3, width: columns[index] * stretch - 6, y: 90 + row * 40 - (value / most) * 30, height: (value / most) * 30, rx: 2 },
            h('title', null, value.toFixed(3)))))))))];
}
