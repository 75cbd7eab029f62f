/**
 * How tokens of characters and byte pairs spell words; as `predict/alphabet.py`. Bytes are kept as
 * text, one character from U+0000 to U+00FF a byte. The bytes of a character that is not whole yet
 * are called `pending`.
 */

/** @typedef {import('./tokenizer.js').Tokenizer} Tokenizer */

const LETTER = /^(?:\p{L}|\p{M}|(?!\u200b)\p{Cf}|['\u00b7\u0387\u055f\u05f4\u2027\u2019])*$/u;
const FIRST_LETTER = /^\p{L}/u;
const UNSPACED = new RegExp(
  '[' + ['Han', 'Hiragana', 'Katakana', 'Thai', 'Lao', 'Khmer', 'Myanmar', 'Tibetan']
    .map((script) => `\\p{Script=${script}}`).join('') + ']$',
  'u',
);

/** The tokens of a model of characters or byte pairs, as the bytes that they stand for. */
export class Alphabet {
  /** @param {Tokenizer} tokenizer */
  constructor(tokenizer) {
    const { pairs, tokens } = tokenizer;
    this.first = tokenizer.eolId + 1;
    /** The bytes of each token. */
    this.surfaces = tokens.map((token) => (pairs ? pairs.bytes(token) : toBytes(token)));
    /** @type {Map<string, number[]>} */
    this.ids = new Map();
  }

  /**
   * The tokens that can begin a word: with the space before it, or that alone, or without.
   * @param {boolean} spaced
   */
  begin(spaced) {
    return this.#select(spaced ? 'spaced' : 'begin', (surface) => {
      if (surface.startsWith(' ') !== spaced) return false;
      return surface === ' ' || spells(spaced ? surface.slice(1) : surface, true);
    });
  }

  /**
   * The tokens that can go on with a word.
   * @param {string} pending
   */
  goOn(pending) {
    return this.#select(`go on ${pending}`, (surface) => {
      if (pending && surface < '\x80') return false;
      return spells(pending + surface, false);
    });
  }

  /** @param {string} name @param {(surface: string) => boolean} test */
  #select(name, test) {
    let ids = this.ids.get(name);
    if (!ids) {
      ids = this.surfaces
        .map((_, id) => id)
        .filter((id) => id >= this.first && test(this.surfaces[id]));
      this.ids.set(name, ids);
    }
    return ids;
  }
}

/** @type {WeakMap<Tokenizer, Alphabet>} */
const ALPHABETS = new WeakMap();

/** @param {Tokenizer} tokenizer */
export function alphabetOf(tokenizer) {
  let alphabet = ALPHABETS.get(tokenizer);
  if (!alphabet) {
    alphabet = new Alphabet(tokenizer);
    ALPHABETS.set(tokenizer, alphabet);
  }
  return alphabet;
}

/**
 * The UTF-8 of a text.
 * @param {string} text
 */
export function toBytes(text) {
  return Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join('');
}

/**
 * Whole characters, and the bytes of one that is cut off; null where the bytes are not UTF-8.
 * @param {string} bytes
 * @returns {{text: string, pending: string} | null}
 */
export function splitPartial(bytes) {
  const data = Uint8Array.from(bytes, (byte) => byte.charCodeAt(0));
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  try {
    const text = decoder.decode(data, { stream: true });
    return { text, pending: bytes.slice(toBytes(text).length) };
  } catch {
    return null;
  }
}

/**
 * Whether a text ends in a script that puts no spaces between words.
 * @param {string} text
 */
export function isUnspaced(text) {
  return UNSPACED.test(text);
}

/** @param {string} text */
export function startsWithLetter(text) {
  return FIRST_LETTER.test(text);
}

/**
 * Whether bytes are letters, or the beginning of one; a word begins with a letter.
 * @param {string} bytes
 * @param {boolean} first
 */
function spells(bytes, first) {
  const split = splitPartial(bytes);
  if (!bytes || !split || !LETTER.test(split.text)) return false;
  if (first && split.text && !startsWithLetter(split.text)) return false;
  return !split.pending || beginsLetters(split.pending);
}

/** @type {Map<string, boolean>} */
const BEGIN_LETTERS = new Map();

/**
 * Whether most characters that begin with these bytes are letters or marks.
 * @param {string} pending
 */
function beginsLetters(pending) {
  let known = BEGIN_LETTERS.get(pending);
  if (known === undefined) {
    const lead = pending.charCodeAt(0);
    const size = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    let value = lead & (0xff >> (size + 1));
    for (const byte of pending.slice(1)) value = (value << 6) | (byte.charCodeAt(0) & 0x3f);
    const span = 64 ** (size - pending.length);
    let [letters, assigned] = [0, 0];
    for (let code = value * span; code < Math.min((value + 1) * span, 0x110000); code++) {
      const character = String.fromCodePoint(code);
      if (/[\p{L}\p{M}]/u.test(character)) letters += 1;
      if (!/\p{C}/u.test(character)) assigned += 1;
    }
    known = letters * 2 > assigned;
    BEGIN_LETTERS.set(pending, known);
  }
  return known;
}
