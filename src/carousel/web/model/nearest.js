/** The known words nearest to one that is not known. */

import { wordIds } from './next_words.js';

/** @typedef {import('./tokenizer.js').Tokenizer} Tokenizer */

/**
 * The known words with the fewest typing errors between them and `word`: a letter more, less or
 * other, or two neighbours exchanged. More frequent words first where they are equally near.
 *
 * @param {Tokenizer} tokenizer of words; others know every word, or none
 * @param {string} word
 * @param {number} [k] how many at most
 * @returns {string[]} none that is more than half of `word` away
 */
export function nearestWords(tokenizer, word, k = 3) {
  if (!tokenizer.wholeWords) return [];
  const typed = Array.from(tokenizer.normalize(word));
  const most = Math.max(1, Math.floor(typed.length / 2));
  /** @type {{word: string, distance: number}[]} */
  const near = [];
  // Ids are ordered by frequency, and the sort keeps that order among equals.
  for (const id of wordIds(tokenizer)) {
    const known = Array.from(tokenizer.tokens[id]);
    if (Math.abs(known.length - typed.length) > most) continue;
    const distance = editDistance(typed, known, most);
    if (distance <= most) near.push({ word: tokenizer.tokens[id], distance });
  }
  return near.sort((a, b) => a.distance - b.distance).slice(0, k).map((entry) => entry.word);
}

/**
 * The optimal string alignment distance (Damerau 1964, no letter changed twice); anything above
 * `most` may come out as `most + 1`.
 *
 * @param {string[]} a
 * @param {string[]} b
 * @param {number} [most]
 */
export function editDistance(a, b, most = Infinity) {
  /** @type {number[]} */
  let twoAbove = [];
  let above = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      row[j] = Math.min(above[j] + 1, row[j - 1] + 1, above[j - 1] + same);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        row[j] = Math.min(row[j], twoAbove[j - 2] + 1);
      }
    }
    if (Math.min(...row, ...above) > most) return most + 1;
    [twoAbove, above] = [above, row];
  }
  return above[b.length];
}
