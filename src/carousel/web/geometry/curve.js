/** The response curve, and where on its axis things stand. */

/** An axis that holds every value and never less than 4. @param {Iterable<number>} values */
export function reachOf(values) {
  let most = 4;
  for (const value of values) if (Number.isFinite(value)) most = Math.max(most, Math.abs(value));
  return most * 1.06;
}

/**
 * @param {ArrayLike<number>} amounts rising, from -1 to 1
 * @param {ArrayLike<number>} differences
 * @param {{left: number, right: number, top: number, bottom: number, most: number}} box
 */
export function curvePath(amounts, differences, box) {
  const points = [];
  for (let index = 0; index < amounts.length; index++) {
    points.push(`${along(amounts[index], box).toFixed(1)} ${across(differences[index], box).toFixed(1)}`);
  }
  return `M${points.join('L')}`;
}

/** @param {number} amount @param {{left: number, right: number}} box */
export function along(amount, { left, right }) { return left + ((amount + 1) / 2) * (right - left); }

/** @param {number} difference @param {{top: number, bottom: number, most: number}} box */
export function across(difference, { top, bottom, most }) {
  const share = Math.max(-1, Math.min(1, difference / most));
  return (top + bottom) / 2 - (share * (bottom - top)) / 2;
}
