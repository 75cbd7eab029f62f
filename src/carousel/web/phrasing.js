/** Numbers and places as people read them. Pure functions; the words are in `words.json`. */

/** A template with its `{names}` replaced. @param {string} template @param {Record<string, any>} [values] */
export function fill(template, values = {}) {
  return template.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/** A probability: `100%`, `99.9%`, `83%`, `4.2%`, `<0.1%`. @param {number} share */
export function percent(share) {
  if (!Number.isFinite(share)) return '–';
  if (share >= 0.9995) return '100%';
  if (share > 0.99) return `${(share * 100).toFixed(1)}%`;
  if (share < 0.0005) return share <= 0 ? '0%' : '<0.1%';
  return share < 0.01 ? `${(share * 100).toFixed(1)}%` : `${Math.round(share * 100)}%`;
}

/** A share of something whole, to the percent. @param {number} share */
export function whole(share) { return `${Math.round(share * 100)}%`; }

/** A signed number with one sign for minus. @param {number} value @param {number} [digits] */
export function signed(value, digits = 1) {
  const text = Math.abs(value).toFixed(digits);
  if (Number(text) === 0) return text;
  return `${value < 0 ? '\u2212' : '+'}${text}`;
}

/** A number with a sign only where it is negative. @param {number} value @param {number} [digits] */
export function plain(value, digits = 2) { return value.toFixed(digits).replace('-', '\u2212'); }

/**
 * A token as it is shown: spaces and control marks as signs, so that nothing is unseen.
 * @param {string} token
 */
export function printable(token) {
  if (/^ *$/.test(token)) return '\u2423'.repeat(token.length);
  return token.replace(/^ +/, (spaces) => '\u2423'.repeat(spaces.length)).replaceAll('\t', '\u21e5').replaceAll('\n', '\u23ce')
    .replace(/[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Cn}]/gu, '\ufffd');
}

/**
 * A position as a place in the text: its word, and which one of these where it stands there twice.
 * @param {readonly string[]} words @param {number} t @param {readonly string[]} nth `1st`, `2nd`, ...
 */
export function placeName(words, t, nth) {
  const word = words[t] ?? '';
  const same = words.reduce((found, other, at) => (other === word ? [...found, at] : found), /** @type {number[]} */ ([]));
  if (same.length < 2) return word;
  const number = same.indexOf(t);
  return `${word} (${nth[number] ?? `${number + 1}th`})`;
}

/** A stretch as a place: `his … burger`. @param {readonly string[]} words @param {number} from @param {number} to @param {readonly string[]} nth */
export function stretchName(words, from, to, nth) {
  if (from === to) return placeName(words, from, nth);
  return to === from + 1 ? `${words[from]} ${words[to]}` : `${words[from]} … ${words[to]}`;
}

/**
 * The phrase for a hold: "With everything kept at his … burger".
 * @param {Record<string, string>} gate the gate's words @param {number} amount @param {string} where
 */
export function heldPhrase(gate, amount, where) {
  const template = amount === 1 ? gate.all : amount === -1 ? gate.none : amount > 0 ? gate.more : gate.less;
  return fill(template, { percent: whole(Math.abs(amount)), where });
}

/**
 * The smallest number of digits, and printed numbers, for which what is printed is true: the
 * operation on the printed operands, rounded, is the printed result, and the result, rounded, too.
 * @param {number[]} operands @param {number} result @param {(values: number[]) => number} operation
 * @param {number} [digits] of the result
 * @returns {{operands: string[], result: string}}
 */
export function exact(operands, result, operation, digits = 3) {
  const shown = result.toFixed(digits);
  for (let more = digits; more < 16; more++) {
    const printed = operands.map((value) => value.toFixed(more));
    const again = operation(printed.map(Number)).toFixed(digits);
    if (Number(again) === Number(shown)) return { operands: printed.map(minus), result: minus(shown) };
  }
  return { operands: operands.map((value) => minus(String(value))), result: minus(shown) };
}

/** @param {string} text */
function minus(text) { return (Number(text) === 0 ? text.replace('-', '') : text).replace('-', '\u2212'); }
