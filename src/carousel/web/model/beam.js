/** Whole words from models of characters or byte pairs, by beam search; as `predict/beam.py`. */

import { logSoftmax, topK } from './softmax.js';

/** @typedef {import('../types.js').State} State */
/** @typedef {import('../types.js').Prediction} Prediction */
/** @typedef {import('./recurrent_lm.js').RecurrentLM} RecurrentLM */
/** @typedef {import('./tokenizer.js').Tokenizer} Tokenizer */

/** Tokens after which a beam is given up. */
const LONGEST_WORD = 40;
/** How the byte-level alphabet of byte-pair encoding writes a space. */
const SPACE = 'Ġ';

/**
 * Which tokens can begin a word (`beginLine`: where no space stands before it), which can go on
 * with one, and what each adds to it.
 * @typedef {{begin: number[], beginLine: number[], goOn: number[], surfaces: string[]}} Alphabet
 */

/** @typedef {{score: number, word: string, logits: Float32Array, state: State}} Beam */
/** @typedef {{score: number, word: string, beam: Beam, token: number}} Grown */

/**
 * The `k` likeliest whole next words. A word's probability is that of its tokens times that of no
 * further letter after them; the several ways in which byte pairs can spell a word are added up.
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
  let allowed = lineStart ? alphabet.beginLine : alphabet.begin;
  for (let length = 0; length < LONGEST_WORD; length++) {
    const grown = beams
      .flatMap((beam) => grow(beam, alphabet, allowed, prefix, width, found))
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
    allowed = alphabet.goOn;
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
 * @param {number[]} allowed
 * @param {string} prefix
 * @param {number} width
 * @param {Map<string, number>} found
 * @returns {Grown[]}
 */
function grow(beam, { goOn, surfaces }, allowed, prefix, width, found) {
  const { score, word } = beam;
  const logP = logSoftmax(beam.logits);
  let tokens = allowed;
  if (word.length < prefix.length) {
    const rest = prefix.slice(word.length);
    tokens = tokens.filter((t) => surfaces[t].startsWith(rest) || rest.startsWith(surfaces[t]));
  }
  if (word && word.length >= prefix.length) {
    let further = 0;
    for (const token of goOn) further += Math.exp(logP[token]);
    const ends = -Math.expm1(Math.min(0, Math.log(further)));
    found.set(word, (found.get(word) ?? 0) + Math.exp(score) * ends);
  }
  return topK(tokens.map((token) => logP[token]), width).map((at) => ({
    score: score + logP[tokens[at]],
    word: word + surfaces[tokens[at]],
    beam,
    token: tokens[at],
  }));
}

/** @type {WeakMap<Tokenizer, Alphabet>} */
const ALPHABETS = new WeakMap();

/** @param {Tokenizer} tokenizer */
function alphabetOf(tokenizer) {
  const known = ALPHABETS.get(tokenizer);
  if (known) return known;
  const { pairs, tokens, eolId } = tokenizer;
  const surfaces = pairs ? tokens.map((token) => trim(pairs.decode([token]))) : tokens;
  const letters = surfaces
    .map((_, id) => id)
    .filter((id) => id > eolId && /^['\u2019\p{L}\p{M}]+$/u.test(surfaces[id]));
  /** @param {number} id */
  const spaced = (id) => pairs !== null && tokens[id].startsWith(SPACE);
  const goOn = letters.filter((id) => !spaced(id));
  const begin = pairs ? letters.filter(spaced) : goOn;
  const alphabet = { begin, beginLine: goOn, goOn, surfaces };
  ALPHABETS.set(tokenizer, alphabet);
  return alphabet;
}

/** @param {string} text */
function trim(text) {
  return text.replace(/^\p{White_Space}+|\p{White_Space}+$/gu, '');
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
