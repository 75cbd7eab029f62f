/** The next word: how likely, and the tug-of-war between the two words in question. */

import { reachOf } from '../geometry/curve.js';
import { h, show, View } from '../dom.js';
import { fill, percent, signed } from '../phrasing.js';
import { cut, roleOfWord } from './parts.js';

export class AnswerView extends View {
  /** @param {any} r */
  render(r) {
    const best = r.now.next[0];
    show(this,
      h('div', { class: 'answer' },
        h('div', { class: 'answer-top' },
          h('h2', null, r.cursor === r.T - 1 || !r.T ? r.text.answer : fill(r.text.answer_at, { word: r.place(r.cursor) })),
          best ? h('p', { class: `big ${roleOfWord(r, best.word)}` }, h('span', { class: 'big-word' }, best.word), h('span', { class: 'big-share' }, percent(best.probability))) : null),
        r.pair && r.T ? needle(r) : null,
        h('p', { class: 'said', id: 'said' }, r.said),
        best ? bars(r) : null));
  }
}

/** @param {any} r */
function needle(r) {
  const width = r.answerWidth, middle = width / 2, height = 58;
  const most = reachOf([r.now.difference, r.before.difference, ...(r.sweep ? Array.from(r.sweep.differences) : [])]);
  const half = middle - 14;
  // The first word stands on the left and pulls to the left.
  const at = (/** @type {number} */ difference) => middle - Math.max(-1, Math.min(1, difference / most)) * half;
  const x = at(r.now.difference), was = at(r.before.difference);
  const [first, second] = r.pair;
  const ahead = r.now.difference >= 0 ? first : second;
  const value = Math.abs(r.now.difference) < 0.05 ? r.text.needle_even : fill(r.text.needle_value, { first: ahead, value: Math.abs(r.now.difference).toFixed(1) });
  return h('svg', { class: 'needle', viewBox: `0 0 ${width} ${height}`, width, height, role: 'img', 'aria-label': `${fill(r.text.needle, { first, second })}: ${value}`, 'data-export': 'needle' },
    h('title', null, r.text.needle_hint),
    h('text', { class: 'first strong', x: 2, y: 14 }, cut(first, 14, middle - 50)),
    h('text', { class: 'second strong end', x: width - 2, y: 14 }, cut(second, 14, middle - 50)),
    h('text', { class: 'middle dim small', x: middle, y: 13 }, signed(Math.abs(r.now.difference)).replace('+', '')),
    h('rect', { class: 'rope', x: 14, y: 34, width: width - 28, height: 6, rx: 3 }),
    h('rect', { class: `pull ${r.now.difference >= 0 ? 'first' : 'second'}`, x: Math.min(x, middle), y: 34, width: Math.abs(x - middle), height: 6 }),
    h('path', { class: 'zero', d: `M${middle} 24v26` }),
    Math.abs(was - x) > 1 ? h('circle', { class: 'needle-was', cx: was, cy: 37, r: 6 }) : null,
    h('circle', { class: `needle-now ${r.now.difference >= 0 ? 'first' : 'second'}`, cx: x, cy: 37, r: 10 }));
}

/** @param {any} r */
function bars(r) {
  /** @type {Map<string, number>} */
  const before = new Map(r.before.next.map((/** @type {any} */ one) => [one.word, one.probability]));
  return h('ol', { class: 'bars' }, r.now.next.slice(0, r.state.step ? 3 : 5).map((/** @type {any} */ one) => {
    const was = before.get(one.word) ?? 0;
    const changed = r.heldNow && Math.abs(was - one.probability) > 0.0005;
    return h('li', { key: one.word, class: roleOfWord(r, one.word) },
      h('button', { type: 'button', class: 'bar-word', title: r.text.compare, onclick: () => r.compareWith(one.word) }, one.word),
      h('span', { class: 'bar-room' }, h('span', { class: 'bar-fill', css: { width: `${(one.probability * 100).toFixed(2)}%` } }),
        changed ? h('span', { class: 'bar-was', css: { left: `${(was * 100).toFixed(2)}%` }, title: fill(r.text.before, { percent: percent(was) }) }) : null),
      h('span', { class: 'bar-share' }, percent(one.probability)));
  }));
}
