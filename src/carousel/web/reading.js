/**
 * From the state to everything that is shown: the text read as it is and as it is held. Views get
 * plain numbers from here and know nothing of the model.
 */

import { Belt } from './lens/belt.js';
import { align, distances } from './lens/align.js';
import { samePlace } from './lens/hold.js';
import { atStrength, COARSE, FINE, interpolate } from './lens/sweep.js';
import { gatesOf, hasBelt, keepGateOf, namesOf } from './lens/points.js';
import { likeliest, wordIds } from './model/next_words.js';
import { softmax } from './model/softmax.js';
import { MOST_POSITIONS } from './state.js';

/** @typedef {import('./state.js').State} State */
/** @typedef {import('./types.js').Reader} Reader */
/** @typedef {import('./types.js').Token} Token */
/** @typedef {import('./types.js').Prediction} Prediction */
/** @typedef {import('./types.js').Sweep} Sweep */
/** @typedef {import('./lens/trace.js').Trace} Trace */

/**
 * One way to read the text.
 * @typedef {object} Side
 * @property {Trace} trace
 * @property {Belt | null} belt
 * @property {(t: number) => Float64Array} amounts what is left of each word at position `t`
 * @property {Record<string, Float64Array>} means by gate, `[T]`
 * @property {Float64Array} changed `[T]`: the share of the state that each word made anew
 * @property {Prediction[]} next the likeliest words after the cursor
 * @property {Prediction[]} last those after the text's end
 * @property {Suggestion[]} suggestions
 * @property {number} difference `logit(first) - logit(second)` after the cursor; NaN without a pair
 * @property {Prediction[]} likeliest by position, where it was asked for
 */

/** What may come next; the text with it, and what of it is not typed yet. @typedef {Prediction & {text: string, rest: string}} Suggestion */

const MANY = 8;
/** Milliseconds for one reading above which a drag follows the curve instead. */
const SLOW = 50;

/** A model that is open, under its name. @typedef {{name: string, reader: Reader, config: import('./types.js').Config}} Model */

/**
 * What the text is for the model: its tokens, without a half-typed word at its end.
 * @param {Reader} reader @param {string} text @param {boolean} typing
 */
export function tokensOf(reader, text, typing) {
  const { tokenizer } = reader;
  const all = tokenizer.encode(text);
  const last = all.at(-1);
  const half = typing && last && !last.known && last.end === text.length && tokenizer.wholeWords;
  const tokens = half && startsSome(tokenizer, text.slice(last.start)) ? all.slice(0, -1) : all;
  /** @type {Token[]} */
  const shown = [{ id: tokenizer.eolId, start: 0, end: 0, known: true }, ...tokens.slice(0, MOST_POSITIONS)];
  return { tokens: shown, count: tokens.length };
}

/** @param {Reader['tokenizer']} tokenizer @param {string} typed */
function startsSome(tokenizer, typed) {
  const start = tokenizer.normalize(typed);
  return wordIds(tokenizer).some((id) => tokenizer.tokens[id].startsWith(start));
}

/** The holds that the cell and the text have a place for. @param {State} state @param {Model} model @param {number} length of the text */
export function holdsFor(state, model, length) {
  const gates = gatesOf(model.config);
  return state.holds.filter((hold) => gates.includes(hold.gate) && hold.layer < model.config.layers && hold.from < length &&
    !hold.units?.some((unit) => unit >= model.config.hidden_size));
}

/** @param {import('./state.js').Hold} hold @returns {import('./types.js').Hold} */
function lensHold({ gate, layer, units, from, to, amount }) {
  return atStrength({ gate, layer, units: units && [...units], from, to, kind: 'toward', value: 1, strength: 0 }, amount);
}

/** A text and where it is looked at. @typedef {{state: State, tokens: Token[], layer: number, cursor: number, T: number}} Text */

/** What a response curve is of. @typedef {{gate: string, layer: number, cursor: number, pair: readonly [string, string] | null, tokens: Token[]}} Curved */

/** Whether a hold is the one that a curve is of. @param {import('./state.js').Hold} hold @param {State} state @param {string} gate @param {number} layer */
function isCurved(hold, { span, units }, gate, layer) {
  return span !== null && samePlace(hold, { gate, layer, from: span[0], to: span[1], units });
}

/** What tells a curve from others; '' where there is none. @param {State} state @param {Model} model @param {Curved} frame */
function curveKey(state, model, { gate, layer, cursor, pair, tokens }) {
  if (!pair || !gate || !state.span || tokens.length < 2) return '';
  const others = state.holds.filter((one) => !isCurved(one, state, gate, layer));
  return JSON.stringify([model.name, tokens.map((token) => token.id), gate, layer, state.span, state.units, others, pair, cursor]);
}

/** Reads one state after the other; only what changed is read again. */
export class Readings {
  constructor() {
    /** The last response curve. @type {{key: string, sweep: Sweep} | null} */
    this.curve = null;
    /** The one that is being read. @type {{key: string, count: number, reading: Promise<Sweep | null>} | null} */
    this.coming = null;
    /** The text as it is, while only holds change. @type {{key: string, side: Side, pair: readonly [string, string] | null} | null} */
    this.plain = null;
    /** Milliseconds that the model takes for a word; 0 before its first text. */
    this.pace = 0;
    this.model = '';
  }

  /**
   * @param {State} state @param {Model} model
   * @param {{typing: boolean, dragging: boolean, everyWord: boolean}} options
   */
  async read(state, model, { typing, dragging, everyWord }) {
    const { reader, config } = model;
    if (this.model !== model.name) [this.model, this.pace] = [model.name, 0];
    const { tokens, count } = tokensOf(reader, state.text, typing);
    const ids = tokens.slice(1).map((token) => token.id);
    const layer = state.layer < 0 || state.layer >= config.layers ? config.layers - 1 : state.layer;
    const T = ids.length && tokens.some((token, t) => t && token.known) ? tokens.length : 0;
    const cursor = Math.max(0, Math.min(state.cursor ?? tokens.length - 1, tokens.length - 1));
    const text = { state, tokens, layer, cursor, T };
    const { side: before, pair } = await this.#asItIs(model, text, ids);
    const gates = gatesOf(config);
    const gate = gates.includes(state.gate) ? state.gate : keepGateOf(config) ?? '';
    const holds = holdsFor(state, model, tokens.length);
    const words = tokens.map((token) => (token.known ? reader.tokenizer.show(token.id) : state.text.slice(token.start, token.end)));
    const base = { tokens, count, layer, T, cursor, before, pair, gates, gate, holds, words, belted: hasBelt(config), keeper: keepGateOf(config) };
    if (everyWord) await allLikeliest(reader, before);
    if (!holds.length) return { ...base, now: before, following: false };
    const sweep = this.curveOf(state, model, base);
    if (dragging && sweep && this.#cost(state, tokens) > SLOW) return { ...base, now: await this.#follow(reader, base, text, sweep), following: true };
    const now = await this.#side(reader, await reader.trace(ids, holds.map(lensHold)), text);
    await this.#compare(reader, now, pair, cursor);
    if (everyWord) await allLikeliest(reader, now);
    return { ...base, now, following: false };
  }

  /**
   * The text without holds: read once for as long as it stays the same.
   * @param {Model} model @param {Text} text @param {number[]} ids
   */
  async #asItIs({ name, reader }, text, ids) {
    const { state, tokens, layer, cursor } = text;
    const key = JSON.stringify([name, state.text, ids, layer, cursor, state.compare]);
    if (this.plain?.key !== key) {
      this.coming = null;
      reader.stop();
      const start = performance.now();
      const trace = await reader.trace(ids);
      this.pace ||= (performance.now() - start) / tokens.length;
      const side = await this.#side(reader, trace, text);
      const pair = side.next.length ? pairOf(reader, state, side.last, tokens) : null;
      await this.#compare(reader, side, pair, cursor);
      this.plain = { key, side, pair };
    }
    return this.plain;
  }

  /**
   * The response curve that is known of the gate that is selected, over the stretch that is chosen.
   * @param {State} state @param {Model} model @param {Curved} frame @returns {Sweep | null}
   */
  curveOf(state, model, frame) {
    return this.curve && this.curve.key === curveKey(state, model, frame) ? this.curve.sweep : null;
  }

  /**
   * Read that curve; of a model that is slow, first a few points of it.
   * @param {State} state @param {Model} model @param {Curved & {now: Side}} frame
   * @returns {Promise<Sweep | null>} null where there is none, or another one is asked for meanwhile
   */
  async sweep(state, model, frame) {
    const key = curveKey(state, model, frame);
    if (!key) return null;
    const known = this.curveOf(state, model, frame);
    if (known?.strengths.length === FINE.length) return known;
    const strengths = known || this.#cost(state, frame.tokens) < SLOW / 4 ? FINE : COARSE;
    if (this.coming?.key !== key || this.coming.count !== strengths.length) {
      this.coming = { key, count: strengths.length, reading: this.#readCurve(key, state, model, frame, strengths) };
    }
    return this.coming.reading;
  }

  /** Milliseconds to read the text again from where it is held. @param {State} state @param {Token[]} tokens */
  #cost({ span }, tokens) { return this.pace * (tokens.length - (span?.[0] ?? 0)); }

  /** @param {string} key @param {State} state @param {Model} model @param {Curved & {now: Side}} frame @param {Float64Array} strengths */
  async #readCurve(key, state, { reader }, { gate, layer, cursor, now, pair, tokens }, strengths) {
    const [from, to] = /** @type {readonly [number, number]} */ (state.span);
    const [first, second] = /** @type {readonly [string, string]} */ (pair).map((word) => idOf(reader, word) ?? 0);
    const hold = lensHold({ gate, layer, units: state.units, from, to, amount: 1 });
    const start = performance.now();
    const sweep = await reader.sweep(now.trace, hold, strengths, first, second, cursor);
    if (this.coming?.key === key) this.coming = null;
    if (!sweep) return null;
    this.pace = (performance.now() - start) / strengths.length / Math.max(1, tokens.length - from);
    this.curve = { key, sweep };
    return sweep;
  }

  /** @param {Reader} reader @param {Trace} trace @param {Text} text @returns {Promise<Side>} */
  async #side(reader, trace, text) {
    const { layer, cursor, T } = text;
    const { config } = trace;
    const belt = hasBelt(config) && T ? new Belt(trace, layer) : null;
    /** @type {Map<number, Float64Array>} */
    const rows = new Map();
    const amounts = (/** @type {number} */ t) => {
      let row = rows.get(t);
      if (!row) rows.set(t, (row = belt ? belt.amountsAt(t) : new Float64Array(t + 1)));
      return row;
    };
    const means = Object.fromEntries(gatesOf(config).map((gate) => [gate, trace.means(gate, layer)]));
    const words = await nextOf(reader, text, (t, k, prefix) => reader.nextWords(trace, t, { k, prefix }));
    return { trace, belt, amounts, means, changed: changedShares(trace, layer), ...words, difference: NaN, likeliest: [] };
  }

  /** @param {Reader} reader @param {Side} side @param {readonly [string, string] | null} pair @param {number} cursor */
  async #compare(reader, side, pair, cursor) {
    if (pair) side.difference = differenceOf(reader, pair, await reader.logits(side.trace.hiddenAt(cursor)));
  }

  /**
   * What a large model would say after the cursor, along the curve.
   * @param {Reader} reader @param {Curved & {before: Side}} frame @param {Text} text @param {Sweep} sweep @returns {Promise<Side>}
   */
  async #follow(reader, { before, gate, layer, pair, cursor }, text, sweep) {
    const hold = text.state.holds.find((one) => isCurved(one, text.state, gate, layer));
    const logits = interpolate(sweep, hold?.amount ?? 0);
    const words = await nextOf(reader, text, async (t, k, prefix = '') =>
      t === cursor ? likeliest(reader.tokenizer, logits, k, reader.tokenizer.normalize(prefix)) : []);
    return { ...before, ...words, difference: differenceOf(reader, pair, logits) };
  }
}

/** The id of a word that can be compared, or null. @param {Reader} reader @param {string} word */
export function idOf(reader, word) {
  const { tokenizer } = reader;
  const id = tokenizer.id(tokenizer.normalize(word)) ?? tokenizer.id(word);
  return id === null || id === tokenizer.unknownId ? null : id;
}

/**
 * The two next words to tell apart: those that were chosen, or else the likeliest at the text's
 * end and the likeliest other one that stands in the text.
 * @param {Reader} reader @param {State} state @param {Prediction[]} next after the text's end @param {Token[]} tokens
 * @returns {readonly [string, string] | null}
 */
function pairOf(reader, state, next, tokens) {
  if (state.compare) {
    const [a, b] = state.compare;
    if (a !== b && idOf(reader, a) !== null && idOf(reader, b) !== null) return [reader.tokenizer.normalize(a), reader.tokenizer.normalize(b)];
  }
  const words = tokens.map((token) => reader.tokenizer.show(token.id));
  const candidates = next.filter((one) => idOf(reader, one.word) !== null);
  if (candidates.length < 2) return null;
  const [best, ...rest] = candidates;
  const other = rest.find((one) => words.includes(one.word)) ?? rest[0];
  const inOrder = words.includes(other.word) && words.indexOf(other.word) < words.indexOf(best.word);
  return inOrder ? [other.word, best.word] : [best.word, other.word];
}

/** `Σ|h_t - h_(t-1)| / (Σ|h_t| + Σ|h_(t-1)|)`, 0 to 1. @param {Trace} trace @param {number} layer */
function changedShares(trace, layer) {
  const h = trace.get('h', layer), H = trace.config.hidden_size;
  return Float64Array.from({ length: trace.length }, (_, t) => {
    let moved = 0, size = 0;
    for (let u = 0; u < H; u++) {
      const now = h[t * H + u], was = t ? h[(t - 1) * H + u] : 0;
      moved += Math.abs(now - was);
      size += Math.abs(now) + Math.abs(was);
    }
    return size ? moved / size : 0;
  });
}

/** @param {Reader} reader @param {Side} side */
async function allLikeliest(reader, side) {
  if (side.likeliest.length) return;
  for (let t = 0; t < side.trace.length; t++) side.likeliest.push((await reader.nextWords(side.trace, t, { k: 1 }))[0]);
}

/** @param {Reader} reader @param {readonly [string, string] | null} pair @param {Float32Array} logits */
function differenceOf(reader, pair, logits) {
  const [first, second] = pair?.map((word) => idOf(reader, word)) ?? [];
  return logits[first ?? -1] - logits[second ?? -1];
}

/**
 * The likeliest words after the cursor and after the text's end, and what may be typed next.
 * @param {Reader} reader @param {Text} text
 * @param {(t: number, k: number, prefix?: string) => Promise<Prediction[]>} after
 */
async function nextOf({ tokenizer }, { state, tokens, cursor, T }, after) {
  const typed = state.text, end = tokens.length - 1;
  const next = T ? await after(cursor, MANY) : [];
  const last = !T || cursor === end ? next : await after(end, MANY);
  const [head, half] = tokenizer.splitPrefix(typed);
  const prefix = !tokenizer.wholeWords || tokens[end].end === typed.length ? '' : half;
  const likely = prefix || !last.length ? await after(end, 5, prefix) : last.slice(0, 5);
  const suggestions = likely.map((one) => {
    const space = prefix || !typed || typed.endsWith(' ') || !tokenizer.wholeWords ? '' : ' ';
    const text = prefix ? head + one.word : typed + space + one.word;
    return { ...one, text, rest: text.startsWith(typed) ? text.slice(typed.length) : '' };
  });
  return { next, last, suggestions };
}

/** @param {any} frame @param {Model} model @returns {Promise<Float64Array | null>} */
export async function readDirection({ pair }, { reader }) {
  const [first, second] = pair?.map((/** @type {string} */ word) => idOf(reader, word)) ?? [null, null];
  return first === null || second === null ? null : reader.direction(first, second);
}

/** The second sentence, aligned with the first one. @param {any} frame @param {State} state @param {Model} model */
export async function readOther(frame, state, { reader }) {
  const { tokens } = tokensOf(reader, state.other, false);
  if (tokens.length < 2) return null;
  const trace = await reader.trace(tokens.slice(1).map((token) => token.id));
  const pairs = align(frame.tokens.map((/** @type {Token} */ token) => token.id), tokens.map((token) => token.id));
  const apart = distances(frame.now.trace, trace, pairs, frame.layer);
  const labels = namesOf(trace.config);
  return {
    pairs, words: tokens.map((token) => reader.tokenizer.show(token.id)), best: (await reader.nextWords(trace, tokens.length - 1, { k: 1 }))[0],
    gates: Object.entries(apart).map(([name, values]) => ({ name, label: `${labels[name]} ${name}`, values })),
  };
}

/**
 * The same text in another model: how likely each of the two words is after each word.
 * @param {string} name @param {Promise<Model>} opening @param {any} frame @param {State} state
 */
export async function readModel(name, opening, frame, state) {
  try {
    const model = await opening;
    const { reader } = model;
    const { tokens } = tokensOf(reader, state.text, false);
    const unknown = tokens.filter((token) => !token.known).length;
    // A model of other words has read another sentence: its curves would say nothing.
    if (unknown > frame.tokens.filter((/** @type {Token} */ token) => !token.known).length) return { name, error: '', unknown };
    const [first, second] = (frame.pair ?? []).map((/** @type {string} */ word) => idOf(reader, word));
    const trace = await reader.trace(tokens.slice(1).map((token) => token.id), holdsFor(state, model, tokens.length).map(lensHold));
    const likely = { name, error: '', first: new Float64Array(trace.length), second: new Float64Array(trace.length), best: /** @type {Prediction[]} */ ([]) };
    for (let t = 0; t < trace.length; t++) {
      const shares = softmax(await reader.logits(trace.hiddenAt(t)));
      likely.first[t] = first === null ? 0 : shares[first];
      likely.second[t] = second === null ? 0 : shares[second];
      likely.best.push((await reader.nextWords(trace, t, { k: 1 }))[0]);
    }
    return likely;
  } catch (error) {
    return { name, error: error instanceof Error ? error.message : String(error) };
  }
}
