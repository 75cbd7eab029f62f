/**
 * Where a text's words stand: one column each, as wide as the word needs. Where not all fit, the
 * columns around the cursor are shown and one column stands for the words before them.
 *
 * All geometry is in two directions: `along` the text and `across` it. On a narrow screen the
 * belt is turned by 90 degrees; only the view knows.
 */

/**
 * @typedef {object} Columns
 * @property {number} from first position shown
 * @property {number} to position after the last one shown
 * @property {number} left where the first column begins
 * @property {number} end where the last column ends
 * @property {number} lead width of the column for earlier words, before `left`; 0 if there are none
 * @property {number[]} begins by position; only `from` to `to` are meant
 * @property {number[]} widths by position
 * @property {number} size font size of the words
 */

const SIZES = [15, 14, 13, 12];
export const LEAD = 46;
const LONGEST = 150;

/**
 * @param {object} options
 * @param {readonly string[]} options.words
 * @param {number} options.left where the columns may begin
 * @param {number} options.right where they must end
 * @param {number} options.cursor position that must be shown
 * @param {(word: string, size: number) => number} options.measure width of a word
 * @param {number} [options.least] width of the narrowest column
 * @param {number} [options.most] a column is stretched up to this width
 * @returns {Columns}
 */
export function columnsOf({ words, left, right, cursor, measure, least = 30, most = 110 }) {
  const room = right - left;
  for (const size of SIZES) {
    const widths = words.map((word) => needed(word, size, measure, least));
    const sum = total(widths);
    if (sum <= room) return stretched(widths, { from: 0, to: words.length, left, room, size, most, lead: 0 });
  }
  const size = SIZES[SIZES.length - 1];
  const widths = words.map((word) => needed(word, size, measure, least));
  const { from, to } = windowAround(widths, Math.min(cursor, words.length - 1), room - LEAD);
  const lead = from > 0 ? LEAD : 0;
  return stretched(widths, { from, to, left: left + lead, room: room - lead, size, most, lead });
}

/** @param {string} word @param {number} size @param {(word: string, size: number) => number} measure @param {number} least */
function needed(word, size, measure, least) {
  return Math.min(LONGEST, Math.max(least, measure(word, size) + (size > 12 ? 14 : 9)));
}

/** @param {number[]} widths */
function total(widths) { return widths.reduce((sum, width) => sum + width, 0); }

/**
 * The positions around the cursor whose columns fit: what was read last before what comes next.
 * @param {number[]} widths @param {number} cursor @param {number} room
 */
function windowAround(widths, cursor, room) {
  let from = cursor, to = cursor + 1, used = widths[cursor];
  // Two thirds of the room go to what stands before the cursor.
  while (from > 0 && used + widths[from - 1] <= (to < widths.length ? room * 0.7 : room)) used += widths[--from];
  while (to < widths.length && used + widths[to] <= room) used += widths[to++];
  while (from > 0 && used + widths[from - 1] <= room) used += widths[--from];
  return { from, to };
}

/**
 * Room that is left over goes to all columns alike.
 * @param {number[]} widths
 * @param {{from: number, to: number, left: number, room: number, size: number, most: number, lead: number}} options
 */
function stretched(widths, { from, to, left, room, size, most, lead }) {
  const more = Math.max(0, (room - total(widths.slice(from, to))) / Math.max(1, to - from));
  /** @type {number[]} */
  const begins = [];
  const wide = widths.map((width) => Math.max(width, Math.min(width + more, most)));
  let at = left;
  for (let t = from; t < to; t++) {
    begins[t] = at;
    at += wide[t];
  }
  return { from, to, left, end: at, lead, begins, widths: wide, size };
}

const MOST_ROWS = 60;

/**
 * Columns of one height each, as rows of a list; of a long text those around the cursor.
 * @param {number} count @param {number} size @param {number} start @param {number} cursor
 * @returns {Columns}
 */
export function rowsOf(count, size, start, cursor) {
  const from = Math.max(0, Math.min(count - MOST_ROWS, cursor - MOST_ROWS / 2));
  const to = Math.min(count, from + MOST_ROWS);
  const begins = Array.from({ length: count }, (_, t) => start + (t - from) * size);
  return { from, to, left: start, end: start + (to - from) * size, lead: 0, begins, widths: Array(count).fill(size), size: 15 };
}

/** The position whose column holds `along`, at least the first and at most the last one shown. @param {Columns} columns @param {number} along */
export function positionAt(columns, along) {
  for (let t = columns.from; t < columns.to; t++) {
    if (along < columns.begins[t] + columns.widths[t]) return t;
  }
  return columns.to - 1;
}

/** The middle of a column. @param {Columns} columns @param {number} t */
export function middle(columns, t) { return columns.begins[t] + columns.widths[t] / 2; }
