/** All units at all words as pixels: a row a unit, in the belt's columns. */

import { positionAt } from '../geometry/columns.js';
import { h } from '../dom.js';
import { fill } from '../phrasing.js';

const LEAST = 120, MOST = 320;

/** The place for it; `drawHeat` fills it. @param {any} r @param {number} H */
export function heatPlace(r, H) {
  const height = Math.max(LEAST, Math.min(MOST, H));
  return h('canvas', { class: 'heat-map', width: Math.round(r.width - r.gutter), height, role: 'img', 'aria-label': fill(r.text.heat, { count: H }),
    onclick: (/** @type {MouseEvent} */ event) => {
      const t = positionAt(r.columns, r.gutter + event.offsetX);
      r.store.look({ unit: Math.min(H - 1, Math.floor((event.offsetY / height) * H)), view: 'cell', cursor: t === r.tokens.length - 1 ? null : t });
    } });
}

/**
 * @param {HTMLCanvasElement} canvas @param {any} r
 * @param {ArrayLike<number>} values `[T, H]` @param {number} H
 */
export function drawHeat(canvas, r, values, H) {
  const pen = canvas.getContext('2d');
  const pixels = document.createElement('canvas');
  const from = r.columns.from, to = Math.min(r.columns.to, r.cursor + 1);
  pixels.width = Math.max(1, to - from);
  pixels.height = H;
  const small = pixels.getContext('2d');
  if (!pen || !small) return;
  const style = getComputedStyle(canvas);
  const [above, below] = ['--forget', '--output'].map((name) => {
    const colour = parseInt(style.getPropertyValue(name).trim().slice(1), 16);
    return [colour >> 16, (colour >> 8) & 255, colour & 255];
  });
  let most = 1e-9;
  for (let n = from * H; n < to * H; n++) most = Math.max(most, Math.abs(values[n]));
  const image = small.createImageData(pixels.width, H);
  for (let t = from; t < to; t++) {
    for (let u = 0; u < H; u++) {
      const value = values[t * H + u];
      image.data.set([...(value < 0 ? below : above), 255 * Math.sqrt(Math.abs(value) / most)], 4 * (u * pixels.width + t - from));
    }
  }
  small.putImageData(image, 0, 0);
  pen.clearRect(0, 0, canvas.width, canvas.height);
  pen.imageSmoothingEnabled = H > canvas.height;
  for (let t = from; t < to; t++) {
    pen.drawImage(pixels, t - from, 0, 1, H, r.columns.begins[t] + 2 - r.gutter, 0, r.columns.widths[t] - 4, canvas.height);
  }
}
