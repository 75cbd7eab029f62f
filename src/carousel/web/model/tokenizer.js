/**
 * Text into tokens and back, as `text/tokenizer.py` does it: words, whitespace, characters and
 * byte pairs, read from a `tokenizer.json`. Token 0 is the unknown word, token 1 the end of a line.
 */

import { BytePairs, bytesOf } from './byte_pairs.js';
import { isTable, parseJson } from './config.js';
import { detokenize } from './detokenizer.js';
import { CarouselError } from './errors.js';
import { normalizeLine, normalizeText } from './normalizer.js';

/** @typedef {import('../types.js').Token} Token */
/** @typedef {'words'|'whitespace'|'chars'|'bpe'} Kind */

export const UNKNOWN = '<unk>';
export const END_OF_LINE = '<eos>';
/** How the end of a line is shown; also the first position of every trace. */
export const LINE_START = '⏎';

// What belongs to the character before it; see text/tokenizer.py, which has these patterns, too.
const EXTEND = '(?!\u200b)[\\p{M}\\p{Cf}\\p{Emoji_Modifier}]';
const LETTERS = `[\\p{L}\ufffd](?:[\\p{L}\ufffd\u05f3]|${EXTEND})*`;
const MID_LETTER = "'\u00b7\u0387\u055f\u05f4\u2027";
const PICTOGRAPH = String.raw`\p{Extended_Pictographic}`;
const WORD = [
  `${LETTERS}(?:[${MID_LETTER}](?:${EXTEND})*${LETTERS})*`,
  `\\p{N}(?:\\p{N}|${EXTEND})*`,
  String.raw`\p{Regional_Indicator}\p{Regional_Indicator}`,
  `${PICTOGRAPH}(?:${EXTEND}|(?<=\u200d)${PICTOGRAPH})*`,
  String.raw`[^\s\p{L}\p{N}]\p{M}*`,
].join('|');
/** That of tokenizers of words that were made before joiners and emoji stayed together. */
const FIRST_WORD = String.raw`\p{L}[\p{L}\p{M}]*(?:'\p{L}[\p{L}\p{M}]*)*|\p{N}+|[^\s\p{L}\p{N}]`;

const WORDS = wordPattern(WORD);
/** @type {Record<'whitespace' | 'chars' | 'bpe', RegExp>} */
const PATTERNS = {
  whitespace: /\P{White_Space}+/gu,
  chars: /[^\n]/gu,
  // GPT-2's cut.
  bpe: new RegExp(
    String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+` +
      String.raw`|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+`,
    'gu',
  ),
};

/**
 * A pattern of words as JavaScript reads it: "\s" means Unicode's white space in `tokenizer.json`.
 * @param {string} pattern
 */
function wordPattern(pattern) {
  return new RegExp(pattern.replace(String.raw`\s`, String.raw`\p{White_Space}`), 'gu');
}

/**
 * The characters that a tokenizer takes out of a text: see `text/tokenizer_json.py`.
 * @param {unknown} normalizer that of a `tokenizer.json`
 * @returns {import('./normalizer.js').Filter | null}
 */
function filterOf(normalizer) {
  const steps = isTable(normalizer) && Array.isArray(normalizer.normalizers) ? normalizer.normalizers : [];
  const step = steps.find((given) => isTable(given) && given.type === 'Replace' && isTable(given.pattern)
    && typeof given.pattern.Regex === 'string');
  if (!step) return null;
  const known = /^\[(?:\\[\\\][^-]|[^\\\][^-]){1,1000}\]$/u.test(step.pattern.Regex);
  if (!known || !['', ' '].includes(step.content)) throw new CarouselError('tokenizer.json cuts text in a way that is not known here');
  return { pattern: new RegExp(step.pattern.Regex, 'gu'), content: step.content };
}

/** Turns text into token ids and back; made by `Tokenizer.fromJson`. */
export class Tokenizer {
  unknownId = 0;
  eolId = 1;

  /**
   * @param {Kind} kind
   * @param {boolean} lowercase
   * @param {string[]} tokens every token, by id
   * @param {BytePairs | null} pairs
   * @param {RegExp} pattern what a token is, or for byte pairs a word that is cut into them
   * @param {import('./normalizer.js').Filter | null} filter
   */
  constructor(kind, lowercase, tokens, pairs, pattern, filter = null) {
    this.kind = kind;
    this.lowercase = lowercase;
    this.tokens = tokens;
    this.pairs = pairs;
    this.pattern = pattern;
    this.vocabSize = tokens.length;
    /** Whether a token is a whole word. */
    this.wholeWords = kind === 'words' || kind === 'whitespace';
    this.ids = new Map(tokens.map((token, id) => [token, id]));
    this.steps = { nfc: kind !== 'whitespace', apostrophe: kind === 'words', lowercase, filter };
  }

  /**
   * The tokenizer of a `tokenizer.json`.
   * @param {string} text
   * @returns {Tokenizer}
   * @throws {CarouselError} it is no tokenizer, or not one that Carousel made
   */
  static fromJson(text) {
    const foreign = 'tokenizer.json is a tokenizer, but not one that Carousel made';
    const table = parseJson(text, 'tokenizer.json');
    if (!isTable(table) || !isTable(table.model) || !isTable(table.model.vocab)) {
      throw new CarouselError('tokenizer.json is not a tokenizer');
    }
    const { kind, pattern } = cutOf(table.pre_tokenizer) ?? {};
    const entries = Object.entries(table.model.vocab);
    /** @type {string[]} */
    const tokens = new Array(entries.length);
    for (const [token, id] of entries) tokens[Number(id)] = token;
    // Every id from 0 on has a token.
    const whole = entries.every((_, id) => id in tokens) && tokens.length === entries.length;
    const added = table.added_tokens;
    if (!kind || !pattern || !whole || (Array.isArray(added) && added.length)) throw new CarouselError(foreign);
    if (tokens[0] !== UNKNOWN || tokens[1] !== END_OF_LINE) throw new CarouselError(foreign);
    const lowercase = JSON.stringify(table.normalizer ?? null).includes('"Lowercase"');
    const pairs = kind === 'bpe' ? BytePairs.fromMerges(table.model.merges, tokens) : null;
    return new Tokenizer(kind, lowercase, tokens, pairs, pattern, filterOf(table.normalizer));
  }

  /**
   * The tokens of a text as it was typed; each line break is the end-of-line token.
   * @param {string} text
   * @returns {Token[]}
   */
  encode(text) {
    /** @type {Token[]} */
    const tokens = [];
    let from = 0;
    for (const line of wellFormed(text).split('\n')) {
      if (from) tokens.push({ id: this.eolId, start: from - 1, end: from, known: true });
      this.#encodeLine(line, from, tokens);
      from += line.length + 1;
    }
    return tokens;
  }

  /**
   * @param {string} line
   * @param {number} from where the line starts in the text
   * @param {Token[]} tokens where its tokens go
   */
  #encodeLine(line, from, tokens) {
    const { text, start, end } = normalizeLine(line, this.steps);
    for (const match of text.matchAll(this.pattern)) {
      const at = match.index;
      const [piece] = match;
      if (this.pairs) {
        const units = bytesOf(piece, at);
        for (const { id, first, last } of this.pairs.encode(units.bytes)) {
          tokens.push({
            id,
            start: from + start[units.from[first]],
            end: from + end[units.to[last] - 1],
            known: true,
          });
        }
      } else {
        const id = this.ids.get(piece) ?? this.unknownId;
        const last = at + piece.length - 1;
        const known = id !== this.unknownId;
        tokens.push({ id, start: from + start[at], end: from + end[last], known });
      }
    }
  }

  /**
   * Text with natural spacing; the end-of-line token is a line break.
   * @param {ArrayLike<number>} ids
   * @returns {string}
   */
  decode(ids) {
    /** @type {number[][]} */
    const lines = [[]];
    for (const id of Array.from(ids)) {
      if (id === this.eolId) lines.push([]);
      else lines[lines.length - 1].push(id);
    }
    return lines.map((line) => this.#decodeLine(line)).join('\n');
  }

  /** @param {number[]} ids */
  #decodeLine(ids) {
    const tokens = ids.map((id) => this.tokens[id]);
    if (this.pairs) return this.pairs.decode(tokens);
    if (this.kind === 'chars') return tokens.map((t) => (t === UNKNOWN ? '\ufffd' : t)).join('');
    return this.kind === 'words' ? detokenize(tokens) : tokens.join(' ');
  }

  /**
   * The id of a token, or null.
   * @param {string} token
   */
  id(token) {
    return this.ids.get(token) ?? null;
  }

  /**
   * Whether a typed word is one token that the model knows.
   * @param {string} word
   */
  isKnown(word) {
    const tokens = this.encode(word);
    return tokens.length === 1 && tokens[0].known;
  }

  /**
   * Whether the token starts with a letter, and so can be suggested as a word.
   * @param {number} id
   */
  isWord(id) {
    return id > this.eolId && /^\p{L}/u.test(this.tokens[id]);
  }

  /**
   * What normalisation alone makes of a text: Unicode NFC, one apostrophe, lower case.
   * @param {string} text
   */
  normalize(text) {
    return normalizeText(wellFormed(text), this.steps);
  }

  /**
   * A text as what stands before its last, half-typed word, and that word (`''` if none).
   * @param {string} text
   * @returns {[string, string]}
   */
  splitPrefix(text) {
    let start = text.length;
    while (start > 0 && !/\p{White_Space}/u.test(text[start - 1])) start -= 1;
    if (this.kind !== 'whitespace') {
      const pattern = this.kind === 'words' ? this.pattern : WORDS;
      start += startOfLastWord(text.slice(start), pattern);
    }
    return [text.slice(0, start), text.slice(start)];
  }

  /**
   * A token as it is shown: the end of a line as `⏎`, a byte pair as the text that it stands for.
   * @param {number} id
   */
  show(id) {
    const token = this.tokens[id];
    if (token === END_OF_LINE || token === '\n') return LINE_START;
    return this.pairs && id > this.eolId ? this.pairs.decode([token]) : token;
  }
}

/**
 * Where the word begins that a text without white space ends in; its end if in none.
 * @param {string} text
 * @param {RegExp} pattern
 */
function startOfLastWord(text, pattern) {
  const tokens = [...text.replaceAll('\u2019', "'").matchAll(pattern)];
  // An apostrophe at the end may be an inner one soon.
  if (tokens.length > 1 && MID_LETTER.includes(tokens[tokens.length - 1][0][0])) tokens.pop();
  const start = tokens.length ? tokens[tokens.length - 1].index : text.length;
  return /^\p{L}/u.test(text.slice(start)) ? start : text.length;
}

/**
 * How a `tokenizer.json` cuts text, or null where it is no way of ours.
 * @param {unknown} pre
 * @returns {{kind: Kind, pattern: RegExp} | null}
 */
function cutOf(pre) {
  if (!isTable(pre)) return null;
  if (pre.type === 'ByteLevel') return { kind: 'bpe', pattern: PATTERNS.bpe };
  if (pre.type === 'WhitespaceSplit') return { kind: 'whitespace', pattern: PATTERNS.whitespace };
  if (pre.type !== 'Split') return null;
  const pattern = isTable(pre.pattern) ? pre.pattern.Regex : null;
  if (pattern === '.') return { kind: 'chars', pattern: PATTERNS.chars };
  if (pattern !== WORD && pattern !== FIRST_WORD) return null;
  return { kind: 'words', pattern: pattern === WORD ? WORDS : wordPattern(FIRST_WORD) };
}

/**
 * Half of a surrogate pair is no character; it becomes the sign for one that is not known.
 * @param {string} text
 */
function wellFormed(text) {
  return text.replace(/\p{Surrogate}/gu, '\ufffd');
}
