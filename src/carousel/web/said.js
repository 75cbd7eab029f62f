/** What happened, in one sentence. */

import { fill, heldPhrase, percent } from './phrasing.js';

/**
 * @param {any} r the frame that the views get
 * @returns {string}
 */
export function sayFrame(r) {
  const { text } = r;
  if (!r.T) return r.tokens.length > 1 ? text.said.unknown_all.replace('{model}', r.model.name) : fill(text.said.none, { model: r.model.name });
  const now = r.now.next[0], before = r.before.next[0];
  if (!now) return '';
  if (!r.held || r.ui.peeking) {
    return fill(text.said.plain, { tail: tail(r), word: now.word, probability: percent(now.probability) });
  }
  const held = r.holds.map((/** @type {any} */ hold) => heldPhrase(r.gateWords(hold.gate), hold.amount, r.stretch(hold.from, hold.to)))
    .map((/** @type {string} */ phrase, /** @type {number} */ index) => (index ? phrase.charAt(0).toLowerCase() + phrase.slice(1) : phrase))
    .slice(-3).join(', ');
  const values = { held, was: before.word, before: percent(before.probability), word: now.word, probability: percent(now.probability) };
  return fill(now.word === before.word ? text.said.stays : text.said.turns, values);
}

/** The last few words before the cursor. @param {any} r */
function tail(r) {
  const from = Math.max(1, r.cursor - 2);
  const words = r.words.slice(from, r.cursor + 1).join(' ');
  return from > 1 ? `… ${words}` : words;
}

/** What to say of words that are not known, or of a text that is too long; null for nothing. @param {any} r @param {(word: string) => string[]} nearest */
export function noticeOf(r, nearest) {
  const { text } = r;
  if (r.count > r.tokens.length - 1) {
    return { text: fill(text.said.long, { count: r.count, most: r.tokens.length - 1 }), replacements: [] };
  }
  const { hash } = r.model.reader;
  if (r.state.digest && hash && r.state.digest !== hash) {
    return { text: fill(text.said.other_weights, { model: r.model.name }), replacements: [] };
  }
  const unknown = r.tokens.filter((/** @type {any} */ token) => !token.known);
  if (!unknown.length) return null;
  const typed = unknown.map((/** @type {any} */ token) => r.state.text.slice(token.start, token.end));
  const shown = [...new Set(typed)].slice(0, 5).map((word) => [...word].slice(0, 24).join('')).join(', ');
  const template = unknown.length === 1 ? text.said.unknown_one : text.said.unknown;
  const replacements = unknown.slice(0, 2).flatMap((/** @type {any} */ token) =>
    nearest(r.state.text.slice(token.start, token.end).slice(0, 40)).map((word) => ({ word, start: token.start, end: token.end })));
  return { text: fill(template, { count: unknown.length, all: r.tokens.length - 1, model: r.model.name, words: shown }), replacements };
}
