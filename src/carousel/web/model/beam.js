/** Whole words from models of characters or byte pairs, by beam search; as `predict/word_search.py`. */

import { alphabetOf, isUnspaced, splitPartial, startsWithLetter, toBytes } from './alphabet.js';
import { logSoftmax, topK } from './softmax.js';

/** @typedef {import('../types.js').State} State */
/** @typedef {import('../types.js').Prediction} Prediction */
/** @typedef {import('./recurrent_lm.js').RecurrentLM} RecurrentLM */
/** @typedef {import('./tokenizer.js').Tokenizer} Tokenizer */

/** Tokens after which a beam is given up. */
const LONGEST_WORD = 40;
/** @typedef {import('./alphabet.js').Alphabet} Alphabet */
/** `word`: its bytes so far. @typedef {{score: number, word: string, logits: Float32Array, state: State}} Beam */
/** @typedef {{score: number, word: string, beam: Beam, token: number}} Grown */

/**
 * The `k` likeliest whole next words. A word's probability is that of its tokens times that of no
 * further letter after them; the several ways in which byte pairs can spell a word are added up.
 * In a script without spaces between words, a word of byte pairs ends where a token ends.
 * With a prefix the probabilities are those among the words that were found to continue it.
 *
 * @param {RecurrentLM} model
 * @param {Float32Array} logits
 * @param {State} state
 * @param {number} k
 * @param {string} prefix normalized
 * @param {boolean} lineStart
 * @returns {Prediction[]}
 */
export function searchWords(model, logits, state, k, prefix, lineStart) {
  const alphabet = alphabetOf(model.tokenizer);
  const space = model.tokenizer.id(' ');
  if (model.tokenizer.kind === 'chars' && !lineStart && space !== null) {
    ({ logits, state } = model.step(space, state));
  }
  const width = Math.max(32, 4 * k);
  /** @type {Map<string, number>} */
  const found = new Map();
  /** @type {Beam[]} */
  let beams = [{ score: 0, word: '', logits, state }];
  const byTokens = model.tokenizer.kind === 'bpe';
  const start = toBytes(prefix);
  const begin = alphabet.begin(byTokens && !lineStart);
  for (let length = 0; length < LONGEST_WORD; length++) {
    const grown = beams
      .flatMap((beam) => grow(beam, alphabet, length ? null : begin, start, width, found, byTokens))
      .sort((a, b) => b.score - a.score)
      .slice(0, width);
    const enough = [...found.values()].sort((a, b) => b - a).slice(0, k);
    // A longer word can't be likelier than its beginning.
    if (!grown.length || (enough.length === k && Math.exp(grown[0].score) < enough[k - 1])) break;
    beams = grown.map(({ score, word, beam, token }) => ({
      score,
      word,
      ...model.step(token, beam.state),
    }));
  }
  let total = 0;
  for (const probability of found.values()) total += probability;
  return [...found]
    .sort((a, b) => b[1] - a[1] || compareText(a[0], b[0]))
    .slice(0, k)
    .map(([word, p]) => ({ word, probability: prefix ? p / total : p }));
}

/**
 * The likeliest ways to go on with one beam; what it is as a whole word goes into `found`.
 * @param {Beam} beam
 * @param {Alphabet} alphabet
 * @param {number[] | null} begin the tokens that can begin a word; null within one
 * @param {string} prefix as bytes
 * @param {number} width
 * @param {Map<string, number>} found
 * @param {boolean} byTokens in a script without spaces, a word ends where a token ends
 * @returns {Grown[]}
 */
function grow(beam, alphabet, begin, prefix, width, found, byTokens) {
  const { score, word } = beam;
  const logP = logSoftmax(beam.logits);
  const { text, pending } = splitPartial(word) ?? { text: '', pending: '' };
  // A space may be a token of its own.
  let tokens = begin ?? (word ? alphabet.goOn(pending) : alphabet.begin(false));
  if (word && !pending && word.length >= prefix.length) {
    const atToken = byTokens && isUnspaced(text);
    let further = 0;
    if (!atToken) for (const token of tokens) further += Math.exp(logP[token]);
    if (startsWithLetter(text)) {
      const ends = -Math.expm1(Math.min(0, Math.log(further)));
      found.set(text, (found.get(text) ?? 0) + Math.exp(score) * ends);
    }
    if (atToken) return [];
  }
  /** @param {number} token */
  const letters = (token) => {
    const surface = alphabet.surfaces[token];
    return begin && surface.startsWith(' ') ? surface.slice(1) : surface;
  };
  if (word.length < prefix.length) {
    const rest = prefix.slice(word.length);
    tokens = tokens.filter((t) => letters(t).startsWith(rest) || rest.startsWith(letters(t)));
  }
  return topK(tokens.map((token) => logP[token]), width).map((at) => ({
    score: score + logP[tokens[at]],
    word: word + letters(tokens[at]),
    beam,
    token: tokens[at],
  }));
}

/**
 * Order by code points, as Python orders text.
 * @param {string} a
 * @param {string} b
 */
function compareText(a, b) {
  const [x, y] = [Array.from(a), Array.from(b)];
  for (let n = 0; n < Math.min(x.length, y.length); n++) {
    if (x[n] !== y[n]) return Number(x[n].codePointAt(0)) - Number(y[n].codePointAt(0));
  }
  return x.length - y.length;
}
