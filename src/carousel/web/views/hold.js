/** Holding the chosen gate over the chosen stretch: a centred slider under the response curve. */

import { across, along, curvePath, reachOf } from '../geometry/curve.js';
import { crossing, FINE } from '../lens/sweep.js';
import { h, show, View } from '../dom.js';
import { fill, whole } from '../phrasing.js';
import { spokenAmount } from './parts.js';

const HEIGHT = 78, THUMB = 14;

export class HoldView extends View {
  /** @param {any} r */
  render(r) {
    if (!r.T || !r.gate) return show(this);
    if (!r.span) return show(this, h('p', { class: 'hint choose' }, r.turned ? r.text.choose_row : r.text.choose));
    const words = r.gateWords(r.gate);
    const where = r.stretch(r.span[0], r.span[1]);
    show(this,
      h('div', { class: `hold gate-${r.gate}` },
        h('div', { class: 'hold-head' },
          h('h3', null, fill(r.text.hold, { gate: words.name.toLowerCase(), where })),
          h('p', { class: 'dim' }, r.following ? r.text.approximate : spokenAmount(words, r.text, r.amount)),
          asItWas(r),
          h('button', { type: 'button', class: 'quiet', disabled: !r.amount, onclick: () => { r.holdAt(r.gate, r.span, 0); r.store.commit(); } }, r.text.release)),
        h('div', { class: 'hold-where' }, places(r), units(r)),
        h('div', { class: 'hold-body' }, r.pair ? curve(r) : null, slider(r, r.gate, where),
          h('div', { class: 'ends', 'aria-hidden': 'true' }, h('span', null, words.low), h('span', null, r.text.as_it_is), h('span', null, words.high)))),
      heldList(r));
  }
}

/** As long as it is held down, everything is shown as it was. @param {any} r */
function asItWas(r) {
  const back = () => r.setUi({ peeking: false });
  return h('button', { type: 'button', class: 'quiet', disabled: !r.heldNow, 'data-action': 'as-it-was',
    onpointerdown: () => r.setUi({ peeking: true }), onpointerup: back, onpointerleave: back, onpointercancel: back, onkeyup: back, onblur: back,
    onkeydown: (/** @type {KeyboardEvent} */ event) => { if (event.key === ' ' || event.key === 'Enter') r.setUi({ peeking: true }); } }, r.text.as_it_was);
}

/**
 * The slider of a gate: a real one, so that a keyboard and a screen reader have it.
 * @param {any} r @param {string} gate @param {string} where
 */
export function slider(r, gate, where) {
  const words = r.gateWords(gate);
  const amount = r.amountOf(gate);
  return h('input', {
    type: 'range', class: `amount gate-${gate}`, id: `amount-${gate}`, min: '-100', max: '100', step: '5', value: String(Math.round(amount * 100)),
    'aria-label': fill(r.text.slider, { gate: words.name, where }), 'aria-valuetext': spokenAmount(words, r.text, amount),
    oninput: (/** @type {any} */ event) => r.holdAt(gate, r.span, Number(event.target.value) / 100),
    onchange: () => r.store.commit(),
    onkeydown: (/** @type {KeyboardEvent} */ event) => {
      if (event.key !== '0') return;
      r.holdAt(gate, r.span, 0);
      r.store.commit();
    },
  });
}

/** Which words: the same as dragging along a lane. @param {any} r */
function places(r) {
  const [from, to] = r.span;
  const options = (/** @type {number} */ least, /** @type {number} */ most, /** @type {number} */ chosen) => r.words.slice(0, 400)
    .map((/** @type {string} */ word, /** @type {number} */ t) => (t >= least && t <= most ? h('option', { key: t, value: String(t), selected: t === chosen }, `${t} ${word}`) : null));
  const choose = (/** @type {number} */ a, /** @type {number} */ b) => r.store.look({ span: [a, Math.max(a, b)] });
  return h('div', { class: 'places' },
    h('label', null, r.text.from, ' ', h('select', { value: String(from), onchange: (/** @type {any} */ event) => choose(Number(event.target.value), to) }, options(0, r.T - 1, from))),
    h('label', null, r.text.to, ' ', h('select', { value: String(to), onchange: (/** @type {any} */ event) => choose(from, Number(event.target.value)) }, options(from, r.T - 1, to))));
}

/** @param {any} r */
function units(r) {
  const count = r.model.config.hidden_size;
  const word = r.counterpart;
  return h('div', { class: 'units-choice' },
    h('span', { class: 'dim' }, r.units ? fill(r.text.units_some, { count: r.units.length, all: count }) : fill(r.text.units_all, { count })),
    r.units ? h('button', { type: 'button', class: 'quiet', onclick: () => r.chooseUnits(null) }, r.text.units_reset)
      : word && r.belted ? h('button', { type: 'button', class: 'quiet', onclick: () => r.chooseUnits(r.unitsThatCarry(word)) }, fill(r.text.units_word, { word })) : null);
}

/** How the two words' difference answers to the gate, over its whole way. @param {any} r */
function curve(r) {
  const width = r.curveWidth;
  const values = r.sweep ? Array.from(r.sweep.differences) : [];
  const box = { left: THUMB, right: width - THUMB, top: 8, bottom: HEIGHT - 8, most: reachOf([...values, r.now.difference, r.before.difference]) };
  const zero = (box.top + box.bottom) / 2;
  const x = along(r.amount, box);
  const y = across(r.now.difference, box);
  // Straight lines between a few points only would cross elsewhere.
  const turn = r.sweep?.strengths.length === FINE.length ? crossing(r.sweep) : null;
  const turns = turn === null ? [] : [turn];
  // The two words stand where the sign of the turn does not.
  const away = turn !== null && turn < -0.5;
  return h('svg', { class: 'curve', viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: 'img', 'data-export': 'curve',
    'aria-label': `${r.text.curve}; ${turns.map((amount) => fill(r.text.crosses, { percent: whole(Math.abs(amount)) })).join(', ')}` },
  h('rect', { class: 'curve-first', x: box.left, y: box.top, width: box.right - box.left, height: zero - box.top }),
  h('rect', { class: 'curve-second', x: box.left, y: zero, width: box.right - box.left, height: box.bottom - zero }),
  h('path', { class: 'zero', d: `M${box.left} ${zero}H${box.right}` }),
  h('path', { class: 'tick', d: `M${along(0, box)} ${box.top}V${box.bottom}` }),
  r.sweep ? h('path', { class: 'response', d: curvePath(r.sweep.strengths, r.sweep.differences, box) }) : null,
  r.pair.map((/** @type {string} */ word, /** @type {number} */ n) => h('text', { class: `${n ? 'second' : 'first'} small${away ? ' end' : ''}`, x: away ? box.right - 8 : box.left + 8, y: n ? box.bottom - 7 : box.top + 15 }, word)),
  turns.map((amount, index) => h('g', { key: `turn-${index}`, class: 'turn' }, h('circle', { cx: along(amount, box), cy: zero, r: 3.5 }),
    h('text', { class: `small ${amount > 0.5 ? 'end' : ''}`, x: along(amount, box) + (amount > 0.5 ? -8 : 8), y: zero - 7 }, fill(r.text.crosses, { percent: whole(Math.abs(amount)) })))),
  h('path', { class: 'drop', d: `M${x} ${y}V${HEIGHT}` }),
  h('circle', { class: 'dot', cx: x, cy: y, r: 6 }));
}

/** Every gate that is held, each to be let go again. @param {any} r */
function heldList(r) {
  if (!r.state.holds.length) return null;
  return h('ul', { class: 'held-list', 'aria-label': r.text.held }, r.state.holds.map((/** @type {any} */ hold, /** @type {number} */ index) => {
    const counted = r.holds.includes(hold);
    const words = r.gateWords(hold.gate);
    const label = fill(r.text.hold_label, { gate: words.name, where: r.stretch(hold.from, hold.to), value: spokenAmount(words, r.text, hold.amount) });
    return h('li', { key: index, class: counted ? '' : 'missing' },
      h('button', { type: 'button', class: 'chip', disabled: !counted, onclick: () => r.store.look({ gate: hold.gate, span: [hold.from, hold.to] }) }, label, counted ? null : ` – ${r.text.not_in_cell}`),
      h('button', { type: 'button', class: 'chip close', 'aria-label': `${r.text.release}: ${label}`, onclick: () => r.store.commit({ holds: r.state.holds.filter((/** @type {any} */ one) => one !== hold) }) }, '×'));
  }));
}
