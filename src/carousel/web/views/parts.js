/** Small things that several views draw. */

import { h } from '../dom.js';
import { fill, whole } from '../phrasing.js';

const FONT = '-apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';
/** @type {CanvasRenderingContext2D | null} */
let pen = null;
/** @type {Map<string, number>} */
const measured = new Map();

/** The width of a bold word in pixels. @param {string} word @param {number} size */
export function measure(word, size) {
  const key = `${size} ${word}`;
  let width = measured.get(key);
  if (width === undefined) {
    pen ??= document.createElement('canvas').getContext('2d');
    if (pen) pen.font = `600 ${size}px ${FONT}`;
    width = pen ? pen.measureText(word).width : word.length * size * 0.6;
    if (measured.size > 20000) measured.clear();
    measured.set(key, width);
  }
  return width;
}

/** A word cut short where it is wider than its room. @param {string} word @param {number} size @param {number} room */
export function cut(word, size, room) {
  if (measure(word, size) <= room) return word;
  const letters = [...word].slice(0, 60);
  while (letters.length > 1 && measure(`${letters.join('')}…`, size) > room) letters.pop();
  return `${letters.join('')}…`;
}

/** Which colour a position's luggage has. @param {any} reading @param {number} s */
export function roleOf(reading, s) {
  const word = reading.words[s];
  if (s > 0 && reading.pair?.[0] === word) return 'first';
  if (s > 0 && reading.pair?.[1] === word) return 'second';
  return 'other';
}

/** The role of a next word. @param {any} reading @param {string} word */
export function roleOfWord(reading, word) {
  return reading.pair?.[0] === word ? 'first' : reading.pair?.[1] === word ? 'second' : 'other';
}

const ICONS = {
  undo: 'M9 7 4 12l5 5M4 12h10a5 5 0 0 1 0 10h-3', redo: 'm15 7 5 5-5 5M20 12H10a5 5 0 0 0 0 10h3',
  reset: 'M4 12a8 8 0 1 1 2.6 5.9M4 20v-5h5', play: 'M8 5.5v13l10-6.5z', pause: 'M8 5.5v13M16 5.5v13',
  back: 'm14 6-6 6 6 6', on: 'm10 6 6 6-6 6', theme: 'M12 4a8 8 0 1 0 0 16zM12 4a8 8 0 0 1 0 16',
  share: 'M12 15V4m0 0L8 8m4-4 4 4M5 13v6h14v-6', close: 'm6 6 12 12M18 6 6 18', tour: 'M12 3 9.5 9.5 3 12l6.5 2.5L12 21l2.5-6.5L21 12l-6.5-2.5z',
};

/** @param {keyof typeof ICONS} name */
export function icon(name) {
  return h('svg', { viewBox: '0 0 24 24', width: 20, height: 20, class: 'icon', 'aria-hidden': 'true' }, h('path', { d: ICONS[name] }));
}

/**
 * A button with a sign alone; its name is spoken and shown as a hint.
 * @param {keyof typeof ICONS} name @param {string} label @param {() => void} onclick @param {Record<string, any>} [more]
 */
export function iconButton(name, label, onclick, more = {}) {
  return h('button', { class: 'icon-button', type: 'button', 'aria-label': label, title: label, onclick, ...more }, icon(name));
}

/** What a slider says of its amount. @param {any} words the gate's words @param {any} text @param {number} amount */
export function spokenAmount(words, text, amount) {
  if (amount === 0) return text.amount_zero;
  const { low, high } = words;
  if (Math.abs(amount) === 1) return amount > 0 ? high : low;
  return fill(amount > 0 ? text.amount_up : text.amount_down, { percent: whole(Math.abs(amount)), low, high });
}

/**
 * A table, for who wants numbers.
 * @param {string} caption @param {string[]} head @param {string[][]} rows
 */
export function table(caption, head, rows) {
  return h('div', { class: 'table', tabindex: '0', role: 'region', 'aria-label': caption },
    h('table', null, h('caption', null, caption),
      h('thead', null, h('tr', null, head.map((cell) => h('th', { scope: 'col' }, cell)))),
      h('tbody', null, rows.map((row) => h('tr', null,
        row.map((cell, index) => (index ? h('td', null, cell) : h('th', { scope: 'row' }, cell))))))));
}

/** The button that turns a picture into a table and back. @param {any} reading @param {string} name */
export function tableButton(reading, name) {
  const open = Boolean(reading.ui.tables[name]);
  return h('button', { type: 'button', class: 'quiet', 'aria-pressed': String(open),
    onclick: () => reading.setUi({ tables: { ...reading.ui.tables, [name]: !open } }) },
  open ? reading.text.picture : reading.text.table);
}
