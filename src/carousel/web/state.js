/**
 * The whole state of the page in one immutable object: what is read, what is held, what is looked
 * at. It is also the page's link, and what undo and redo go through.
 */

import { samePlace } from './lens/hold.js';

/**
 * A gate that is held: `f' = (1 - s) f + s target`, with `s = |amount|` and a target of 1 where
 * `amount > 0` (keep everything), else 0 (let everything go).
 * @typedef {object} Hold
 * @property {string} gate short name of the gate (`f`, `i`, `o`, `z`, `r`)
 * @property {number} layer which layer, from 0
 * @property {readonly number[] | null} units which units; null for all
 * @property {number} from first position held; 0 is the line start
 * @property {number} to last position held
 * @property {number} amount from -1 to 1; 0 changes nothing
 */

/**
 * @typedef {object} State
 * @property {string} model name of the model, "" for the first one
 * @property {string} digest first 8 hex digits of the SHA-256 of its weights, "" if not known
 * @property {string} text what is read
 * @property {string} other the second text, for the view of two sentences
 * @property {number | null} cursor position that is looked at; null for the last one
 * @property {readonly Hold[]} holds
 * @property {readonly [string, string] | null} compare two next words; null to choose them
 * @property {string} gate gate that is selected, "" for the first one
 * @property {number} layer layer that is looked at, -1 for the last
 * @property {number} unit unit that the cell opens on; -1 for means over all units
 * @property {readonly [number, number] | null} span stretch of positions that is chosen
 * @property {readonly number[] | null} units units that a new hold is for; null for all
 * @property {string} view which of the lower views is open
 * @property {number} step step of the tour, 0 for none
 */

export const STEPS = 100;
export const MOST_CHARACTERS = 20000;
export const MOST_HOLDS = 32;
export const MOST_POSITIONS = 2000;
export const VIEWS = ['cell', 'gates', 'units', 'decision', 'two', 'models'];

const GATES = { forget: 'f', input: 'i', output: 'o', update: 'z', reset: 'r', candidate: 'g' };
/** Long names by short name, as the command line and Python write them. */
export const LONG_NAMES = Object.fromEntries(
  [...Object.entries(GATES).map(([long, short]) => [short, long]), ['n', 'candidate']]);

/** @type {State} */
export const INITIAL = Object.freeze({
  model: '', digest: '', text: '', other: '', cursor: null, holds: Object.freeze([]),
  compare: null, gate: '', layer: -1, unit: -2, span: null, units: null, view: 'cell', step: 0,
});

/**
 * The state with some of its parts replaced, each checked.
 * @param {State} state @param {Partial<State>} changes @returns {State}
 */
export function change(state, changes) {
  return Object.freeze({ ...state, ...changes });
}

/**
 * The holds with one more, or with the one at the same place replaced; an amount of 0 removes it.
 * @param {readonly Hold[]} holds @param {Hold} hold @returns {readonly Hold[]}
 */
export function withHold(holds, hold) {
  const at = holds.findIndex((one) => samePlace(one, hold));
  if (hold.amount === 0) return Object.freeze(holds.filter((_, index) => index !== at));
  const next = [...holds];
  if (at < 0) next.push(hold);
  else next[at] = hold;
  return Object.freeze(next.slice(-MOST_HOLDS));
}

/**
 * The state and what was before and after it. A change that is not final (a drag, a word half
 * typed) replaces the present; the final one makes one step of undo of them all.
 */
export class Store {
  /** @param {State} state */
  constructor(state) {
    this.present = state;
    /** @type {State[]} */
    this.past = [];
    /** @type {State[]} */
    this.future = [];
    /** @type {State | null} what stood before a change that is not final yet */
    this.base = null;
    /** @type {Set<() => void>} */
    this.listeners = new Set();
  }

  /** Call `listener` after each change. @param {() => void} listener */
  listen(listener) { this.listeners.add(listener); }

  /** Look elsewhere: no step of undo. @param {Partial<State>} changes */
  look(changes) { this.#show(change(this.present, changes)); }

  /** Change for the moment, as a drag does. @param {Partial<State>} changes */
  try(changes) {
    this.base ??= this.present;
    this.#show(change(this.present, changes));
  }

  /** Change for good: one step of undo. @param {Partial<State>} [changes] */
  commit(changes = {}) {
    const next = change(this.present, changes);
    const before = this.base ?? this.present;
    this.base = null;
    if (encode(before) !== encode(next)) {
      this.past = [...this.past, before].slice(-STEPS);
      this.future = [];
    }
    this.#show(next);
  }

  undo() {
    if (this.base) this.commit();
    const before = this.past.pop();
    if (!before) return;
    this.future.push(this.present);
    this.#show(before);
  }

  redo() {
    const after = this.future.pop();
    if (!after) return;
    this.past.push(this.present);
    this.#show(after);
  }

  /** @param {State} next */
  #show(next) {
    this.present = next;
    for (const listener of this.listeners) listener();
  }
}

/**
 * A hold as `--clamp` writes it: `forget~1:0.55@5-8`.
 * @param {Hold} hold @param {boolean} [layered] name the layer
 */
export function clampText({ gate, layer, units, from, to, amount }, layered = false) {
  const name = LONG_NAMES[gate] ?? gate;
  const where = from === to ? `${from}` : `${from}-${to}`;
  const target = amount > 0 ? 1 : 0;
  const how = Math.abs(amount) === 1 ? `=${target}` : `~${target}:${round(Math.abs(amount))}`;
  return `${layered ? `layers.${layer}.` : ''}${name}${units ? `:${ranges(units)}` : ''}${how}@${where}`;
}

/** Numbers with runs written short: `3-5,9`. @param {readonly number[]} numbers */
export function ranges(numbers) {
  /** @type {number[][]} */
  const runs = [];
  for (const number of numbers) {
    const last = runs.at(-1);
    if (last && last[1] === number - 1) last[1] = number;
    else runs.push([number, number]);
  }
  return runs.map(([a, b]) => (a === b ? `${a}` : `${a}-${b}`)).join(',');
}

/** @param {string} text @returns {number[] | null} */
function parseRanges(text) {
  const numbers = [];
  for (const part of text.split(',')) {
    const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part);
    if (!match) return null;
    const first = Number(match[1]), last = Number(match[2] ?? match[1]);
    if (last < first || numbers.length + last - first > MOST_POSITIONS) return null;
    for (let number = first; number <= last; number++) numbers.push(number);
  }
  return numbers;
}

const CLAMP = /^(?:layers\.(\d{1,2})\.)?([a-z]+)(?::([\d,-]+))?(?:=([01])|~([01]):(0?\.\d+|[01]))@(\d+)(?:-(\d+))?$/;

/** The hold that `clampText` wrote, or null. @param {string} text @returns {Hold | null} */
export function parseClamp(text) {
  const match = CLAMP.exec(text);
  if (!match) return null;
  const [, layer, name, chosen, set, target, strength, first, last] = match;
  const gate = name === 'candidate' ? null : /** @type {Record<string, string>} */ (GATES)[name];
  const units = chosen ? parseRanges(chosen) : null;
  const from = Number(first), to = Number(last ?? first);
  const amount = set ? (set === '1' ? 1 : -1) : (target === '1' ? 1 : -1) * Number(strength);
  if (!gate || (chosen && !units) || to < from || to > MOST_POSITIONS || amount === 0) return null;
  return { gate, layer: Number(layer ?? 0), units, from, to, amount };
}

/** At most four digits. @param {number} number */
function round(number) { return String(Math.round(number * 1e4) / 1e4); }

/** The state as the text of a link, without `#`. @param {State} state */
export function encode(state) {
  const link = new URLSearchParams();
  /** @param {string} key @param {unknown} value @param {unknown} usual */
  const put = (key, value, usual) => { if (value !== usual) link.set(key, String(value)); };
  put('model', state.digest ? `${state.model}~${state.digest}` : state.model, '');
  put('text', state.text, '');
  put('other', state.other, '');
  put('at', state.cursor, null);
  for (const hold of state.holds) link.append('hold', clampText(hold, hold.layer > 0));
  if (state.compare) for (const word of state.compare) link.append('word', word);
  put('gate', state.gate, '');
  put('layer', state.layer, -1);
  put('unit', state.unit, INITIAL.unit);
  if (state.span) link.set('span', state.span.join('-'));
  if (state.units) link.set('units', ranges(state.units));
  put('view', state.view, INITIAL.view);
  put('step', state.step, 0);
  return link.toString();
}

/**
 * The state that a link's text means. What is wrong in it is left out; it never throws.
 * @param {string} text @returns {State}
 */
export function decode(text) {
  const link = new URLSearchParams(text);
  /** @param {string} key */
  const string = (key) => (link.get(key) ?? '').slice(0, MOST_CHARACTERS);
  /** @param {string} key @param {number} least @param {number} most @param {number} usual */
  const number = (key, least, most, usual) => {
    const value = link.get(key);
    if (value === null || !/^-?\d{1,6}$/.test(value)) return usual;
    return Math.min(most, Math.max(least, Number(value)));
  };
  const [model, digest = ''] = string('model').split('~');
  const words = link.getAll('word').slice(0, 2).map((word) => word.slice(0, 100));
  const span = /^(\d{1,4})-(\d{1,4})$/.exec(string('span'));
  const holds = link.getAll('hold').slice(0, MOST_HOLDS).map(parseClamp).filter((hold) => hold !== null);
  return Object.freeze(/** @type {State} */ ({
    model: model.slice(0, 200), digest: /^[0-9a-f]{8}$/.test(digest) ? digest : '',
    text: string('text'), other: string('other'),
    cursor: link.has('at') ? number('at', 0, MOST_POSITIONS, 0) : null,
    holds: Object.freeze(holds.map((hold) => Object.freeze(hold))),
    compare: words.length === 2 ? [words[0], words[1]] : null,
    gate: /^[a-z]$/.test(string('gate')) ? string('gate') : '',
    layer: number('layer', -1, 99, -1), unit: number('unit', -2, 99999, INITIAL.unit),
    span: span && Number(span[1]) <= Number(span[2]) ? [Number(span[1]), Number(span[2])] : null,
    units: link.has('units') ? parseRanges(string('units')) : null,
    view: VIEWS.includes(string('view')) ? string('view') : INITIAL.view,
    step: number('step', 0, 8, 0),
  }));
}

const LONG_LINK = 2000;

/** The state as a link's hash; deflated where it is long. @param {State} state */
export async function toHash(state) {
  const plain = encode(state);
  if (plain.length <= LONG_LINK) return `#${plain}`;
  const stream = new Blob([plain]).stream().pipeThrough(new CompressionStream('deflate-raw'));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  let binary = '';
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return `#z=${btoa(binary).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')}`;
}

/** The state of a link's hash; the initial one where it can't be read. @param {string} hash */
export async function fromHash(hash) {
  const text = hash.replace(/^#/, '');
  if (!text.startsWith('z=')) return decode(text);
  try {
    const binary = atob(text.slice(2).replaceAll('-', '+').replaceAll('_', '/'));
    const bytes = Uint8Array.from(binary, (character) => character.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate-raw'));
    return decode(await readAtMost(stream, 8 * MOST_CHARACTERS));
  } catch {
    return INITIAL;
  }
}

/**
 * A stream's text, cut off at a number of bytes: a short link may not unfold without end.
 * @param {ReadableStream<Uint8Array>} stream @param {number} most
 */
async function readAtMost(stream, most) {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let text = '';
  for (let size = 0; size < most;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    size += value.length;
    text += decoder.decode(value, { stream: true });
  }
  await reader.cancel();
  return text;
}
