/** Words and marks back into text, with the spaces a person would write; mirrors `spacing.py`. */

const NO_SPACE_BEFORE = new Set(",.!?;:)]}%…'»");
const NO_SPACE_AFTER = new Set('([{$#@«¿¡');
/** Marks that take no space on either side: well-known, and/or. */
const JOINING = new Set('-/_');

/**
 * Join the tokens of a line. Cutting the result into tokens again gives the same tokens.
 * @param {string[]} tokens
 */
export function joinWords(tokens) {
  let [text, before, quoteOpen] = ['', '', false];
  tokens.forEach((token, at) => {
    const glued =
      !before ||
      NO_SPACE_BEFORE.has(token) ||
      JOINING.has(token) ||
      NO_SPACE_AFTER.has(before) ||
      JOINING.has(before) ||
      (token === '"' && quoteOpen) ||
      (before === '"' && quoteOpen) ||
      insideNumber(tokens, at);
    text += glued ? token : ` ${token}`;
    if (token === '"') quoteOpen = !quoteOpen;
    before = token;
  });
  return text;
}

/**
 * Whether a token continues a number such as 3.14, 10,000 or 12:30.
 * @param {string[]} tokens
 * @param {number} at
 */
function insideNumber(tokens, at) {
  const digits = /^\p{Nd}+$/u;
  return (
    at >= 2 &&
    ['.', ',', ':'].includes(tokens[at - 1]) &&
    digits.test(tokens[at]) &&
    digits.test(tokens[at - 2])
  );
}
