/**
 * What a tokenizer does to a text before it cuts it (Unicode NFC, one apostrophe, lower case), with
 * the place in the typed text that each character came from.
 */

/**
 * A normalized line. Character `n` (a UTF-16 unit of `text`) came from `start[n]` to `end[n]` of
 * what was typed.
 * @typedef {object} Normalized
 * @property {string} text
 * @property {Int32Array} start
 * @property {Int32Array} end
 */

/**
 * A character with what may join it: marks, and the vowels and finals of Hangul.
 */
const CLUSTER = /[^\p{M}\u1160-\u11ff][\p{M}\u1160-\u11ff]*|[\p{M}\u1160-\u11ff]+/gsu;
const ALONE = /./gsu;

/**
 * Characters that are taken out, and what is put in the place of each: a space or nothing.
 * @typedef {object} Filter
 * @property {RegExp} pattern
 * @property {string} content
 */

/**
 * @typedef {object} Steps
 * @property {boolean} nfc
 * @property {boolean} apostrophe a typographic apostrophe becomes a typed one
 * @property {boolean} lowercase
 * @property {Filter | null} filter
 */

/**
 * @param {string} line
 * @param {Steps} steps
 * @returns {Normalized}
 */
export function normalizeLine(line, steps) {
  const clusters = line.match(steps.nfc ? CLUSTER : ALONE) ?? [];
  // Only what NFC joins or reorders has one place together.
  const pieces = clusters.flatMap((piece) =>
    steps.nfc && piece.normalize('NFC') !== piece ? [piece] : Array.from(piece),
  );
  let made = pieces.map((piece) => normalizeText(piece, steps));
  if (steps.nfc && made.join('') !== normalizeText(line, steps)) {
    // Characters that join across what we take for a border: then the line is one piece.
    pieces.splice(0, pieces.length, line);
    made = [normalizeText(line, steps)];
  }
  const text = made.join('');
  const [start, end] = [new Int32Array(text.length), new Int32Array(text.length)];
  let [from, at] = [0, 0];
  pieces.forEach((piece, n) => {
    start.fill(from, at, at + made[n].length);
    end.fill(from + piece.length, at, at + made[n].length);
    from += piece.length;
    at += made[n].length;
  });
  return { text, start, end };
}

/**
 * The normalized text alone.
 * @param {string} text
 * @param {Steps} steps
 */
export function normalizeText(text, steps) {
  let made = steps.nfc ? text.normalize('NFC') : text;
  if (steps.apostrophe) made = made.replaceAll('\u2019', "'");
  // Each character by itself, as the tokenizers library does: a final sigma is a sigma.
  if (steps.lowercase) made = made.replace(/\p{Changes_When_Lowercased}/gu, (c) => c.toLowerCase());
  if (steps.filter) made = made.replace(steps.filter.pattern, steps.filter.content);
  return made;
}
