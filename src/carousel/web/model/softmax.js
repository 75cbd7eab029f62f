/** From what the decoder reads to scores of every token: the full and the adaptive softmax. */

import { linear } from './cells.js';
import { clusters, decoderWidth } from './config.js';

/** @typedef {import('../types.js').Config} Config */

/**
 * A cluster of an adaptive softmax: its ids, its width, `inner [size, P]` and `rows [words, size]`.
 * @typedef {object} Tail
 * @property {number} start
 * @property {number} stop
 * @property {number} size
 * @property {Float32Array} inner
 * @property {Float32Array} rows
 */

/**
 * A decoder by its weights, which are those of `readWeights`.
 *
 * A full softmax gives logits; an adaptive one (Grave et al. 2017, arXiv:1609.04309) gives
 * log-probabilities, which are logits too. Tied with the embedding, all words' rows are the
 * embedding's.
 */
export class Decoder {
  /**
   * @param {Config} config
   * @param {Map<string, Float32Array>} weights
   */
  constructor(config, weights) {
    this.config = config;
    const P = decoderWidth(config);
    /** @param {string} name */
    const weight = (name) => /** @type {Float32Array} */ (weights.get(name));
    const embedding = weight('embedding.weight');
    if (!config.cutoffs.length) {
      /** `[V, P]`, or the head of an adaptive softmax. @type {Float32Array} */
      this.rows = config.tied ? embedding : weight('decoder.weight');
      /** @type {Float32Array} */
      this.bias = weight('decoder.bias');
      /** @type {Tail[]} */
      this.tails = [];
      return;
    }
    const [first] = config.cutoffs;
    this.bias = weight('decoder.head.bias');
    if (config.tied) {
      this.rows = new Float32Array(this.bias.length * P);
      this.rows.set(embedding.subarray(0, first * P));
      this.rows.set(weight('decoder.clusters.weight'), first * P);
    } else {
      this.rows = weight('decoder.head.weight');
    }
    this.tails = clusters(config).map(({ start, stop }, k) => ({
      start,
      stop,
      size: config.tail_sizes[k],
      inner: weight(`decoder.tail.${k}.0.weight`),
      rows: config.tied
        ? embedding.subarray(start * P, stop * P)
        : weight(`decoder.tail.${k}.1.weight`),
    }));
  }

  /**
   * The logits of every token.
   * @param {Float32Array} hidden `[P]`
   * @returns {Float32Array} `[V]`
   */
  logits(hidden) {
    if (!this.tails.length) {
      const scores = new Float32Array(this.config.vocab_size);
      linear(hidden, this.rows, this.bias, scores);
      return scores;
    }
    const head = new Float32Array(this.bias.length);
    linear(hidden, this.rows, this.bias, head);
    const headLog = logSoftmax(head);
    const first = this.config.cutoffs[0];
    const made = new Float32Array(this.config.vocab_size);
    made.set(headLog.subarray(0, first));
    this.tails.forEach(({ start, stop, size, inner, rows }, k) => {
      const small = new Float32Array(size);
      linear(hidden, inner, null, small);
      const scores = new Float32Array(stop - start);
      linear(small, rows, null, scores);
      const tailLog = logSoftmax(scores);
      for (let n = 0; n < tailLog.length; n++) made[start + n] = tailLog[n] + headLog[first + k];
    });
    return made;
  }

  /**
   * What `hidden [P]` is multiplied by in `logit(first) - logit(second)`.
   *
   * @param {number} first
   * @param {number} second
   * @returns {Float64Array | null} null where two words are in
   *   different clusters of an adaptive softmax: what normalises them does not cancel
   */
  direction(first, second) {
    const P = decoderWidth(this.config);
    const head = this.config.cutoffs[0] ?? this.config.vocab_size;
    if (Math.max(first, second) < head) {
      return rowDifference(this.rows, first, second, P);
    }
    for (const { start, stop, size, inner, rows } of this.tails) {
      if (Math.min(first, second) < start || Math.max(first, second) >= stop) continue;
      const apart = rowDifference(rows, first - start, second - start, size);
      const direction = new Float64Array(P);
      for (let n = 0; n < size; n++) {
        for (let k = 0; k < P; k++) direction[k] += apart[n] * inner[n * P + k];
      }
      return direction;
    }
    return null;
  }
}

/**
 * Log-probabilities.
 * @param {ArrayLike<number>} logits `[V]`
 * @returns {Float64Array}
 */
export function logSoftmax(logits) {
  let [most, sum] = [-Infinity, 0];
  for (let n = 0; n < logits.length; n++) if (logits[n] > most) most = logits[n];
  for (let n = 0; n < logits.length; n++) sum += Math.exp(logits[n] - most);
  const log = Math.log(sum);
  const made = new Float64Array(logits.length);
  for (let n = 0; n < logits.length; n++) made[n] = logits[n] - most - log;
  return made;
}

/**
 * Probabilities.
 * @param {ArrayLike<number>} logits `[V]`
 * @returns {Float64Array}
 */
export function softmax(logits) {
  return logSoftmax(logits).map(Math.exp);
}

/**
 * @param {Float32Array} rows
 * @param {number} first
 * @param {number} second
 * @param {number} K
 */
function rowDifference(rows, first, second, K) {
  const made = new Float64Array(K);
  for (let k = 0; k < K; k++) made[k] = rows[first * K + k] - rows[second * K + k];
  return made;
}

/**
 * The indices of the `k` largest scores, best first; equal ones in order.
 * @param {ArrayLike<number>} scores
 * @param {number} k
 * @returns {number[]}
 */
export function topK(scores, k) {
  /** @type {number[]} */
  const best = [];
  for (let n = 0; n < scores.length; n++) {
    if (best.length === k && !(scores[n] > scores[best[k - 1]])) continue;
    let at = best.length;
    while (at > 0 && scores[n] > scores[best[at - 1]]) at--;
    best.splice(at, 0, n);
    if (best.length > k) best.pop();
  }
  return best;
}
