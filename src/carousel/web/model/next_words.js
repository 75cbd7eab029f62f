/** The likeliest next words, with a half-typed word or without; mirrors `predict/next_word.py`. */

import { searchWords } from './beam.js';
import { logSoftmax, topK } from './softmax.js';

/** @typedef {import('../types.js').State} State */
/** @typedef {import('../types.js').Prediction} Prediction */
/** @typedef {import('./recurrent_lm.js').RecurrentLM} RecurrentLM */
/** @typedef {import('./tokenizer.js').Tokenizer} Tokenizer */

/**
 * The `k` likeliest words, best first. Only whole words are offered: tokens that start with a
 * letter; for characters and byte pairs, words found by beam search. Without a prefix a probability
 * is the model's own, among all tokens; with one it is that among the words that continue it.
 *
 * @param {RecurrentLM} model
 * @param {Float32Array} logits `[V]` after the text so far
 * @param {State} state
 * @param {{k?: number, prefix?: string, lineStart?: boolean}} [options] `lineStart`: the text so
 *   far is empty or ends with a line break
 * @returns {Prediction[]}
 */
export function nextWords(model, logits, state, { k = 5, prefix = '', lineStart = false } = {}) {
  const start = model.tokenizer.normalize(prefix);
  if (model.tokenizer.wholeWords) return likeliest(model.tokenizer, logits, k, start);
  return searchWords(model, logits, state, k, start, lineStart);
}

/**
 * The `k` likeliest tokens that are words and start with `start`.
 *
 * @param {Tokenizer} tokenizer
 * @param {Float32Array} logits `[V]`
 * @param {number} [k]
 * @param {string} [start] normalized
 * @returns {Prediction[]}
 */
export function likeliest(tokenizer, logits, k = 5, start = '') {
  const words = wordIds(tokenizer);
  const candidates = start ? words.filter((id) => tokenizer.tokens[id].startsWith(start)) : words;
  const logP = logSoftmax(start ? Array.from(candidates, (id) => logits[id]) : logits);
  const scores = start ? logP : candidates.map((id) => logP[id]);
  return topK(scores, k).map((at) => ({
    word: tokenizer.show(candidates[at]),
    probability: Math.exp(scores[at]),
  }));
}

/** @type {WeakMap<Tokenizer, number[]>} */
const WORD_IDS = new WeakMap();

/**
 * The ids of the tokens that are words.
 * @param {Tokenizer} tokenizer
 */
export function wordIds(tokenizer) {
  let ids = WORD_IDS.get(tokenizer);
  if (!ids) {
    ids = tokenizer.tokens.map((_, id) => id).filter((id) => tokenizer.isWord(id));
    WORD_IDS.set(tokenizer, ids);
  }
  return ids;
}
