/** Words and marks back into text, with the spaces a person would write; as `detokenizer.py`. */

/** Marks that follow a word at once. */
const NO_SPACE_BEFORE = new Set(',.!?;:%…°™®،؛؟۔।॥։');
/** Marks that a word follows at once. */
const NO_SPACE_AFTER = new Set('#@¿¡');
/** Marks that take no space on either side: well-known, and/or, and those of Chinese. */
const NO_SPACE_AROUND = new Set('-/_\u2010\u2011。，、！？；：・\u200b');
const INSIDE_URL = new Set('/.?=&#-_~%:@+');
const URL_SCHEMES = new Set(['http', 'https', 'ftp']);
const TOP_LEVEL_DOMAINS = new Set('com org net edu gov io uk eu jp cn br'.split(' '));
/** Words that lost their beginning, and have an apostrophe there. */
const ELISIONS = new Set("tis twas twere em til cause bout round neath n".split(' '));
/** What follows a number at once: the 1990s, the 3rd. */
const NUMBER_ENDINGS = new Set(['s', 'st', 'nd', 'rd', 'th']);
/** Tokens behind an apostrophe among which the end of a quotation is looked for. */
const LONGEST_QUOTATION = 64;
/** Words that end in s and have no apostrophe behind it: a quotation begins there. */
const VERBS_IN_S = new Set(
  'says asks is was means calls replies shouts whispers cries adds as'.split(' '),
);

const DIGITS = /^\p{Nd}+$/u;
const LETTERS = /^\p{L}+$/u;
const STARTS_WITH_LETTER = /^\p{L}/u;
const STARTS_WITH_LETTER_OR_NUMBER = /^[\p{L}\p{N}]/u;

/** @typedef {[before: boolean, after: boolean, shown: string]} Spaces */

/**
 * Join the tokens of a line. Cutting the result into tokens again gives the same tokens.
 * @param {string[]} tokens
 */
export function detokenize(tokens) {
  return new Detokenizer(tokens).join();
}

/** A walk over the tokens of a line, which remembers the quotation marks that are open. */
class Detokenizer {
  doubleOpen = false;
  singleOpen = false;
  /** Whether a quotation mark of the line is a curly one. */
  curly = false;
  /** A German or Polish quotation, which begins below the line. */
  lowOpen = false;
  inUrl = false;

  /** @param {string[]} tokens */
  constructor(tokens) {
    this.tokens = tokens;
  }

  join() {
    let [text, spaceWanted] = ['', false];
    this.tokens.forEach((token, position) => {
      const [before, after, shown] = this.spaces(position, token);
      text += spaceWanted && before ? ` ${shown}` : shown;
      spaceWanted = after;
    });
    return text;
  }

  /**
   * Whether a token takes a space before and after it, and how it is written.
   * @param {number} position
   * @param {string} token
   * @returns {Spaces}
   */
  spaces(position, token) {
    const [previous, following] = [this.token(position - 1), this.token(position + 1)];
    if (this.inUrl || this.beginsUrl(position)) {
      this.inUrl = this.continuesUrl(position + 1);
      return [false, !this.inUrl, token];
    }
    if (token === '"') {
      this.doubleOpen = !this.doubleOpen;
      return [this.doubleOpen, !this.doubleOpen, token];
    }
    if (token === "'") return this.apostrophe(position, previous, following);
    if ('„‚'.includes(token)) {
      this.lowOpen = true;
      return [true, false, token];
    }
    if ('“‘'.includes(token) && this.lowOpen) {
      this.lowOpen = false;
      return [false, true, token];
    }
    if (token === '‘') this.singleOpen = this.curly = true;
    if (NUMBER_ENDINGS.has(token) && DIGITS.test(previous)) return [false, true, token];
    if (this.isInsideNumber(position) || this.isAbbreviation(position)) {
      return [false, false, token];
    }
    if (token === '@') return [!this.isAddress(position), false, token];
    const around = NO_SPACE_AROUND.has(token);
    // Such as the marks of direction in a chat.
    if (/^\p{Cf}/u.test(token) && !around) return [true, false, token];
    const opens = /^[\p{Ps}\p{Pi}]/u.test(token);
    const closes = /^[\p{Pe}\p{Pf}]/u.test(token);
    const price = /^\p{Sc}/u.test(token) && DIGITS.test(following) && !DIGITS.test(previous);
    const before = !(closes || around || NO_SPACE_BEFORE.has(token));
    const after = !(opens || around || price || NO_SPACE_AFTER.has(token));
    return [before, after, token];
  }

  /**
   * The token at a position, or '' outside of the line.
   * @param {number} position
   */
  token(position) {
    return this.tokens[position] ?? '';
  }

  /**
   * An apostrophe, or a single quotation mark: what stands around it must tell.
   * @param {number} position
   * @param {string} previous
   * @param {string} following
   * @returns {Spaces}
   */
  apostrophe(position, previous, following) {
    const possessive = previous.endsWith('s') && !VERBS_IN_S.has(previous);
    // 'tis; the first of rock 'n' roll
    if (ELISIONS.has(following.toLowerCase())) return [true, false, "'"];
    if (previous.toLowerCase() === 'n' && this.token(position - 2) === "'") return [false, true, "'"];
    const year = /^\p{Nd}{2}$/u.test(following) && this.token(position + 2) !== "'";
    // The '90s.
    if (year && !possessive) return [true, false, "'"];
    if (this.singleOpen) {
      this.singleOpen = false;
      // It was written so: the tokenizer reads ’ as '.
      return [false, true, this.curly ? '’' : "'"];
    }
    const behind = this.tokens.slice(position + 1, position + 1 + LONGEST_QUOTATION);
    if (following && !possessive && behind.includes("'")) {
      this.singleOpen = true;
      return [true, false, "'"];
    }
    return [!STARTS_WITH_LETTER_OR_NUMBER.test(previous), true, "'"];
  }

  /**
   * Whether the token there is a mark within 3.14, 10,000 or 12:30.
   * @param {number} position
   */
  isInsideNumber(position) {
    const [left, mark, right] = [-1, 0, 1].map((step) => this.token(position + step));
    if (!DIGITS.test(left) || !DIGITS.test(right)) return false;
    const [before, after] = [Array.from(left).length, Array.from(right).length];
    if (mark === ',') return before <= 3 && after === 3;
    return mark === '.' || (mark === ':' && after === 2);
  }

  /**
   * Whether the token there is the full stop within p.m., U.S. or example.com.
   * @param {number} position
   */
  isAbbreviation(position) {
    const [left, mark, right] = [-1, 0, 1].map((step) => this.token(position + step));
    if (mark !== '.' || !STARTS_WITH_LETTER.test(left)) return false;
    const initials =
      Array.from(left).length === 1 && Array.from(right).length === 1 && LETTERS.test(right);
    return (initials && this.token(position + 2) === '.') || TOP_LEVEL_DOMAINS.has(right);
  }

  /**
   * Whether the sign there stands in anna@example.com, and not before a name: @anna.
   * @param {number} position
   */
  isAddress(position) {
    const [name, host, dot, end] = [-1, 1, 2, 3].map((step) => this.token(position + step));
    return (
      STARTS_WITH_LETTER_OR_NUMBER.test(name) &&
      STARTS_WITH_LETTER_OR_NUMBER.test(host) &&
      dot === '.' &&
      STARTS_WITH_LETTER.test(end)
    );
  }

  /**
   * Whether the token there is the first mark of an address: that of a scheme, or of www.example.com.
   * @param {number} position
   */
  beginsUrl(position) {
    const [previous, token] = [this.token(position - 1), this.token(position)];
    if (token === ':' && URL_SCHEMES.has(previous)) {
      return this.token(position + 1) === '/' && this.token(position + 2) === '/';
    }
    return token === '.' && previous === 'www' && this.continuesUrl(position + 1);
  }

  /**
   * Whether the token there belongs to the address that the one before it is in.
   * @param {number} position
   */
  continuesUrl(position) {
    if (position >= this.tokens.length) return false;
    const [previous, token] = [this.token(position - 1), this.token(position)];
    // A full stop or the like at the end is the sentence's.
    if (INSIDE_URL.has(token)) return position + 1 < this.tokens.length || '/#='.includes(token);
    return INSIDE_URL.has(previous) && STARTS_WITH_LETTER_OR_NUMBER.test(token);
  }
}
