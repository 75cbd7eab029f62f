/** Two sentences next to each other: which words pair up, and where gates part; as `compare.py`. */

import { namesOf } from './points.js';

/** @typedef {[number | null, number | null]} Pair positions in the first and the second text */
/** @typedef {import('./trace.js').Trace} Trace */

/**
 * Pairs of positions, in order; every word of both is in exactly one pair. Equal words pair up,
 * replaced ones one by one.
 *
 * Words are matched as Python's `difflib.SequenceMatcher` does it (Ratcliff and Obershelp): the
 * longest common stretch first, then what stands left and right of it.
 *
 * @template Word
 * @param {ArrayLike<Word>} first
 * @param {ArrayLike<Word>} second
 * @returns {Pair[]}
 */
export function align(first, second) {
  /** @type {Pair[]} */
  const pairs = [];
  let [a, b] = [0, 0];
  for (const [i, j, size] of [...matchingBlocks(first, second), [first.length, second.length, 0]]) {
    for (let n = 0; n < Math.max(i - a, j - b); n++) {
      pairs.push([a + n < i ? a + n : null, b + n < j ? b + n : null]);
    }
    for (let n = 0; n < size; n++) pairs.push([i + n, j + n]);
    [a, b] = [i + size, j + size];
  }
  return pairs;
}

/**
 * The mean over units of `|first - second|` of each gate and state of a layer, for each pair; null
 * without counterpart.
 * @param {Trace} first
 * @param {Trace} second a trace of the same model
 * @param {Pair[]} pairs
 * @param {number} layer
 * @returns {Record<string, (number | null)[]>} by short name
 */
export function distances(first, second, pairs, layer) {
  const H = first.config.hidden_size;
  /** @type {Record<string, (number | null)[]>} */
  const byName = {};
  for (const name of Object.keys(namesOf(first.config))) {
    const [x, y] = [first.get(name, layer), second.get(name, layer)];
    byName[name] = pairs.map(([s, t]) => {
      if (s === null || t === null) return null;
      let sum = 0;
      for (let u = 0; u < H; u++) sum += Math.abs(x[s * H + u] - y[t * H + u]);
      return sum / H;
    });
  }
  return byName;
}

/**
 * Common stretches `[i, j, size]`, in order.
 * @template Word
 * @param {ArrayLike<Word>} first
 * @param {ArrayLike<Word>} second
 */
function matchingBlocks(first, second) {
  /** @type {Map<Word, number[]>} */
  const places = new Map();
  Array.from(second, (word, j) => {
    const known = places.get(word);
    if (known) known.push(j);
    else places.set(word, [j]);
  });
  /** @type {[number, number, number][]} */
  const blocks = [];
  const open = [[0, first.length, 0, second.length]];
  for (let range = open.pop(); range; range = open.pop()) {
    const [low, high, from, to] = range;
    const [i, j, size] = longestMatch(first, places, low, high, from, to);
    if (!size) continue;
    blocks.push([i, j, size]);
    open.push([low, i, from, j], [i + size, high, j + size, to]);
  }
  return blocks.sort((a, b) => a[0] - b[0]);
}

/**
 * The longest common stretch in `first[low:high]` and `second[from:to]`; the earliest of several.
 * @template Word
 * @param {ArrayLike<Word>} first
 * @param {Map<Word, number[]>} places of each word in the second text
 * @param {number} low
 * @param {number} high
 * @param {number} from
 * @param {number} to
 * @returns {[number, number, number]}
 */
function longestMatch(first, places, low, high, from, to) {
  let [bestI, bestJ, bestSize] = [low, from, 0];
  /** @type {Map<number, number>} */
  let lengths = new Map();
  for (let i = low; i < high; i++) {
    /** @type {Map<number, number>} */
    const next = new Map();
    for (const j of places.get(first[i]) ?? []) {
      if (j < from || j >= to) continue;
      const size = (lengths.get(j - 1) ?? 0) + 1;
      next.set(j, size);
      if (size > bestSize) [bestI, bestJ, bestSize] = [i - size + 1, j - size + 1, size];
    }
    lengths = next;
  }
  return [bestI, bestJ, bestSize];
}
