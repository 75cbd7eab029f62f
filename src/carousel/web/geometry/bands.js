/**
 * The belt's bands as points: each word's luggage begins where the word puts it on and narrows
 * where a gate lets go of it. The same lines as `draw/svg`: same places in a column, same scale.
 */

/** Where in its column a word lets go of luggage, puts its own on, and where that is done. */
export const LET_GO = 0.06;
export const GONE = 0.3;
export const PUT_ON = 0.36;
export const THERE = 0.6;

/** @typedef {import('./columns.js').Columns} Columns */
/** @typedef {[number, number]} Point along, across (0 on the ground, growing with what lies there) */

/**
 * @typedef {object} Band
 * @property {number} s position of the word whose luggage it is; -1 for all words before those shown
 * @property {Point[]} upper
 * @property {Point[]} lower
 * @property {{along: number, across: number, room: number} | null} label where its word may stand
 */

/**
 * What is left of each word's luggage at position `t`: `[t + 1]` amounts.
 * @callback Amounts
 * @param {number} t
 * @returns {ArrayLike<number>}
 */

/**
 * @param {Amounts} amounts
 * @param {Columns} columns
 * @param {number} scale pixels for an amount of 1
 * @param {number} last position up to which the bands are drawn
 * @param {readonly number[]} [apart] earlier positions that have a band of their own
 * @returns {Band[]}
 */
export function bandsOf(amounts, columns, scale, last, apart = []) {
  const { from } = columns;
  const to = Math.min(columns.to, last + 1);
  const own = apart.filter((s) => s < from);
  /** @type {number[]} */
  const groups = from > 0 ? [-1, ...own] : [];
  for (let s = from; s < to; s++) groups.push(s);
  /** @type {number[][]} by group and position: its height, and below the ground that it stands on */
  const heights = groups.map(() => []);
  /** @type {number[][]} */
  const grounds = groups.map(() => []);
  for (let t = Math.max(0, from - 1); t < to; t++) {
    const row = amounts(t);
    let under = 0;
    groups.forEach((s, index) => {
      grounds[index][t] = under;
      heights[index][t] = (s < 0 ? sum(row, Math.min(from, t + 1)) - own.reduce((all, one) => all + (one <= t ? row[one] : 0), 0) : s <= t ? row[s] : 0) * scale;
      under += heights[index][t];
    });
  }
  return groups
    .map((s, index) => bandOf(s, heights[index], grounds[index], columns, to))
    .filter((band) => band !== null);
}

/** @param {ArrayLike<number>} values @param {number} end */
function sum(values, end) {
  let total = 0;
  for (let index = 0; index < end; index++) total += values[index];
  return total;
}

/**
 * @param {number} s @param {number[]} heights @param {number[]} grounds @param {Columns} columns
 * @param {number} to @returns {Band | null}
 */
function bandOf(s, heights, grounds, columns, to) {
  const { begins, widths, from } = columns;
  /** @type {Point[]} */
  const upper = [];
  /** @type {Point[]} */
  const lower = [];
  /** @type {Band['label']} */
  let label = null;
  let seen = false;
  for (let t = Math.max(s, from); t < to; t++) {
    const low = grounds[t], high = low + heights[t];
    const at = (/** @type {number} */ share) => begins[t] + share * widths[t];
    seen ||= heights[t] > 0.25;
    if (t === s) {
      upper.push([at(PUT_ON), low], [at(THERE), high]);
      lower.push([at(PUT_ON), low], [at(THERE), low]);
    } else {
      if (t === from) {
        const came = grounds[t - 1] ?? low;
        upper.push([begins[t] - columns.lead, came + (heights[t - 1] ?? heights[t])]);
        lower.push([begins[t] - columns.lead, came]);
      }
      upper.push([at(LET_GO), upper[upper.length - 1][1]], [at(GONE), high]);
      lower.push([at(LET_GO), lower[lower.length - 1][1]], [at(GONE), low]);
    }
    if (!label && heights[t] >= 13 && t < to) {
      // Level from THERE to the next column's LET_GO; a little of the curves before and after counts.
      label = { along: at(THERE + 0.23), across: low + heights[t] / 2, room: 0.66 * widths[t] };
    }
  }
  if (!seen) return null;
  const end = begins[to - 1] + widths[to - 1] + 12;
  upper.push([end, upper[upper.length - 1][1]]);
  lower.push([end, lower[lower.length - 1][1]]);
  return { s, upper, lower, label };
}

/**
 * What a word lets go of: the luggage that lay there before and does not any more.
 * @param {Amounts} amounts @param {number} t
 * @returns {Float64Array} `[t]`, by the word whose luggage it was
 */
export function letGo(amounts, t) {
  const before = amounts(t - 1), after = amounts(t);
  return Float64Array.from({ length: t }, (_, s) => Math.max(0, before[s] - after[s]));
}

/** The most that lies on the belt at one of the words shown. @param {Amounts} amounts @param {Columns} columns */
export function fullest(amounts, { from, to }) {
  let most = 1e-12;
  for (let t = from; t < to; t++) most = Math.max(most, sum(amounts(t), t + 1));
  return most;
}

/**
 * The path around a band: level where its height stays, an S-curve where it changes.
 * @param {Band} band
 * @param {(point: Point) => Point} place from along and across to x and y
 * @param {boolean} [turned] whether along is down
 */
export function pathOf(band, place, turned = false) {
  return `M${curve(band.upper.map(place), turned)}L${curve(band.lower.map((point) => place(point)).reverse(), turned)}Z`;
}

/** @param {Point[]} points @param {boolean} turned */
function curve(points, turned) {
  let [x0, y0] = points[0];
  let path = `${x0.toFixed(1)} ${y0.toFixed(1)}`;
  for (const [x, y] of points.slice(1)) {
    const level = Math.abs(turned ? x - x0 : y - y0) < 0.05;
    if (level) path += `L${x.toFixed(1)} ${y.toFixed(1)}`;
    else if (turned) {
      const half = ((y0 + y) / 2).toFixed(1);
      path += `C${x0.toFixed(1)} ${half} ${x.toFixed(1)} ${half} ${x.toFixed(1)} ${y.toFixed(1)}`;
    } else {
      const half = ((x0 + x) / 2).toFixed(1);
      path += `C${half} ${y0.toFixed(1)} ${half} ${y.toFixed(1)} ${x.toFixed(1)} ${y.toFixed(1)}`;
    }
    x0 = x;
    y0 = y;
  }
  return path;
}
