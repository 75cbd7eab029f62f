/**
 * The belt's bands as points: each word's luggage begins where the word puts it on and narrows
 * where a gate lets go of it. The same lines as `draw/svg`: same places in a column, same scale.
 */

/** Where in its column a word lets go of luggage, puts its own on, and where that is done. */
export const LET_GO = 0.06, GONE = 0.3, PUT_ON = 0.36, THERE = 0.6;

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
 * @param {ArrayLike<number>} amounts `[T, T]`: at row `t`, what is left of each word's luggage
 * @param {number} T
 * @param {Columns} columns
 * @param {number} scale pixels for an amount of 1
 * @param {number} last position up to which the bands are drawn
 * @returns {Band[]}
 */
export function bandsOf(amounts, T, columns, scale, last) {
  const { from } = columns;
  const to = Math.min(columns.to, last + 1);
  const groups = from > 0 ? [-1] : [];
  for (let s = from; s < to; s++) groups.push(s);
  /** @type {number[][]} heights by group and position, and the ground that each stands on */
  const heights = groups.map(() => []), grounds = groups.map(() => []);
  for (let t = Math.max(0, from - 1); t < to; t++) {
    let under = 0;
    groups.forEach((s, index) => {
      grounds[index][t] = under;
      heights[index][t] = (s < 0 ? sum(amounts, t * T, t * T + Math.min(from, t + 1)) : s <= t ? amounts[t * T + s] : 0) * scale;
      under += heights[index][t];
    });
  }
  return groups
    .map((s, index) => bandOf(s, heights[index], grounds[index], columns, to))
    .filter((band) => band !== null);
}

/** @param {ArrayLike<number>} values @param {number} start @param {number} end */
function sum(values, start, end) {
  let total = 0;
  for (let index = start; index < end; index++) total += values[index];
  return total;
}

/**
 * @param {number} s @param {number[]} heights @param {number[]} grounds @param {Columns} columns
 * @param {number} to @returns {Band | null}
 */
function bandOf(s, heights, grounds, columns, to) {
  const { begins, widths, from } = columns;
  /** @type {Point[]} */
  const upper = [], lower = [];
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
      const room = (t + 1 < to ? (0.4 + LET_GO) * widths[t] : 0.4 * widths[t] + 12);
      label = { along: at(THERE) + room / 2, across: low + heights[t] / 2, room };
    }
  }
  if (!seen) return null;
  const end = begins[to - 1] + widths[to - 1] + 12;
  upper.push([end, upper[upper.length - 1][1]]);
  lower.push([end, lower[lower.length - 1][1]]);
  return { s, upper, lower, label };
}

/**
 * What each word lets go of: the luggage that lay there before and does not any more.
 * @param {ArrayLike<number>} amounts @param {number} T
 * @returns {Float64Array} `[T, T]`: row `t`, column `s`
 */
export function letGo(amounts, T) {
  const lost = new Float64Array(T * T);
  for (let t = 1; t < T; t++) {
    for (let s = 0; s < t; s++) lost[t * T + s] = Math.max(0, amounts[(t - 1) * T + s] - amounts[t * T + s]);
  }
  return lost;
}

/** The most that lies on the belt at one word. @param {ArrayLike<number>} amounts @param {number} T */
export function fullest(amounts, T) {
  let most = 0;
  for (let t = 0; t < T; t++) most = Math.max(most, sum(amounts, t * T, t * T + t + 1));
  return most;
}

/**
 * The path around a band: level where its height stays, an S-curve where it changes.
 * @param {Band} band
 * @param {(point: Point) => Point} place from along and across to x and y
 * @param {boolean} [turned] whether along is down
 */
export function pathOf(band, place, turned = false) {
  return `M${curve(band.upper.map(place), turned)}L${curve(band.lower.map(place).reverse(), turned)}Z`;
}

/** @param {Point[]} points @param {boolean} turned */
function curve([[x0, y0], ...rest], turned) {
  let path = `${x0.toFixed(1)} ${y0.toFixed(1)}`;
  for (const [x, y] of rest) {
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
