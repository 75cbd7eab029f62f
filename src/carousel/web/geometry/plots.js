/** Lines and heat maps of the lower views, as plain numbers. */

/** A line through values, one a column. @param {ArrayLike<number>} values @param {(t: number) => number} x @param {(value: number) => number} y @param {number} from @param {number} to */
export function linePath(values, x, y, from, to) {
  let path = '';
  for (let t = from; t < to; t++) path += `${path ? 'L' : 'M'}${x(t).toFixed(1)} ${y(values[t]).toFixed(1)}`;
  return path;
}

/** The band between two lines. @param {ArrayLike<number>} low @param {ArrayLike<number>} high @param {(t: number) => number} x @param {(value: number) => number} y @param {number} from @param {number} to */
export function areaPath(low, high, x, y, from, to) {
  let path = linePath(high, x, y, from, to);
  for (let t = to - 1; t >= from; t--) path += `L${x(t).toFixed(1)} ${y(low[t]).toFixed(1)}`;
  return `${path}Z`;
}

/**
 * Mean and standard deviation over units at each position.
 * @param {ArrayLike<number>} values `[T, H]` @param {number} H
 */
export function meanAndSpread(values, H) {
  const T = values.length / H;
  const mean = new Float64Array(T), spread = new Float64Array(T);
  for (let t = 0; t < T; t++) {
    let sum = 0, squares = 0;
    for (let u = 0; u < H; u++) {
      sum += values[t * H + u];
      squares += values[t * H + u] ** 2;
    }
    mean[t] = sum / H;
    spread[t] = Math.sqrt(Math.max(0, squares / H - mean[t] ** 2));
  }
  return { mean, spread };
}

/**
 * The units whose value moved most along the text.
 * @param {ArrayLike<number>} values `[T, H]` @param {number} H @param {number} count
 */
export function mostMoved(values, H, count) {
  const T = values.length / H;
  const moved = Float64Array.from({ length: H }, (_, u) => {
    let sum = 0;
    for (let t = 1; t < T; t++) sum += Math.abs(values[t * H + u] - values[(t - 1) * H + u]);
    return sum;
  });
  return Array.from(moved.keys()).sort((a, b) => moved[b] - moved[a]).slice(0, count);
}
