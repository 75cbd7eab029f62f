/** Byte-level byte-pair encoding (Sennrich et al. 2016; Radford et al. 2019), merge by merge. */

import { isTable } from './config.js';
import { CarouselError } from './errors.js';

const LETTERS = byteLetters();
const BYTES = new Map(LETTERS.map((letter, byte) => [letter, byte]));

/** @typedef {{id: number, first: number, last: number}} Span a token and its first and last byte */

export class BytePairs {
  /**
   * @param {Map<string, number>} ids
   * @param {Map<string, number>} ranks of each merge, by `left + ' ' + right`
   */
  constructor(ids, ranks) {
    this.ids = ids;
    this.ranks = ranks;
  }

  /**
   * @param {unknown} merges as tokenizer.json has them: pairs, or two parts with a space between
   * @param {string[]} tokens every token, by id
   * @throws {CarouselError} they are no list of merges, or a byte has no token
   */
  static fromMerges(merges, tokens) {
    const ids = new Map(tokens.map((token, id) => [token, id]));
    if (!Array.isArray(merges) || isTable(merges)) {
      throw new CarouselError('tokenizer.json has no list of merges');
    }
    const ranks = new Map();
    merges.forEach((merge, rank) => {
      ranks.set(Array.isArray(merge) ? merge.join(' ') : merge, rank);
    });
    if (LETTERS.some((letter) => !ids.has(letter))) {
      throw new CarouselError('tokenizer.json is a tokenizer, but not one that Carousel made');
    }
    return new BytePairs(ids, ranks);
  }

  /**
   * The tokens of one word: the pair that was learned first is joined first, until none is left.
   * @param {Uint8Array} bytes
   * @returns {Span[]}
   */
  encode(bytes) {
    const parts = Array.from(bytes, (byte, at) => ({ text: LETTERS[byte], first: at, last: at }));
    /** @param {number} k */
    const rankAt = (k) =>
      k >= 0 && k + 1 < parts.length
        ? (this.ranks.get(`${parts[k].text} ${parts[k + 1].text}`) ?? Infinity)
        : Infinity;
    // The rank of each part with the next one; a merge changes only its neighbours'.
    const ranks = parts.map((_, k) => rankAt(k));
    for (;;) {
      let [best, at] = [Infinity, -1];
      for (let k = 0; k < ranks.length; k++) if (ranks[k] < best) [best, at] = [ranks[k], k];
      if (at < 0) break;
      const [left, right] = [parts[at], parts[at + 1]];
      parts.splice(at, 2, { text: left.text + right.text, first: left.first, last: right.last });
      ranks.splice(at + 1, 1);
      ranks[at] = rankAt(at);
      if (at) ranks[at - 1] = rankAt(at - 1);
    }
    return parts.map(({ text, first, last }) => ({ id: this.ids.get(text) ?? 0, first, last }));
  }

  /**
   * The bytes that a token stands for, one character a byte; a foreign token stands for itself.
   * @param {string} token
   */
  bytes(token) {
    const bytes = Array.from(token, (letter) => BYTES.get(letter));
    if (bytes.includes(undefined)) bytes.splice(0, bytes.length, ...new TextEncoder().encode(token));
    return String.fromCharCode(.../** @type {number[]} */ (bytes));
  }

  /**
   * The text that tokens stand for; bytes that are no UTF-8 become U+FFFD.
   * @param {string[]} tokens
   */
  decode(tokens) {
    const bytes = [];
    for (const token of tokens) {
      const letters = Array.from(token, (letter) => BYTES.get(letter));
      // A token that is not in the alphabet of bytes stands for itself.
      if (letters.includes(undefined)) bytes.push(...new TextEncoder().encode(token));
      else bytes.push(...letters);
    }
    const known = /** @type {number[]} */ (bytes);
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(Uint8Array.from(known));
  }
}

/**
 * The bytes of a piece of text, and for each the UTF-16 units `from` and to before `to` of the text
 * that its character has. The piece stands at `at` in that text.
 * @param {string} piece
 * @param {number} at
 */
export function bytesOf(piece, at) {
  const bytes = new TextEncoder().encode(piece);
  const [from, to] = [new Int32Array(bytes.length), new Int32Array(bytes.length)];
  let n = 0;
  for (const char of piece) {
    const code = /** @type {number} */ (char.codePointAt(0));
    const size = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    from.fill(at, n, n + size);
    to.fill(at + char.length, n, n + size);
    n += size;
    at += char.length;
  }
  return { bytes, from, to };
}

/** The visible letter that stands for each byte, as GPT-2 has them: `Ġ` for a space. */
function byteLetters() {
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const plain = (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
    return String.fromCharCode(plain ? byte : next++);
  });
}
