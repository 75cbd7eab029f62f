/** What a decision between two words owes to each word of the text; mirrors `Belt.decision`. */

import { CarouselError } from '../model/errors.js';

/** @typedef {import('../model/recurrent_lm.js').RecurrentLM} RecurrentLM */
/** @typedef {import('./belt.js').Belt} Belt */

/**
 * The vector that the last layer's `h [H]` is multiplied by in `logit(first) - logit(second)`.
 * @param {RecurrentLM} model
 * @param {number} first
 * @param {number} second
 * @returns {Float64Array | null} `[H]`; null where the two words are in different clusters of an
 *   adaptive softmax: then the difference can't be shared out
 */
export function decisionDirection(model, first, second) {
  const read = model.decoder.direction(first, second);
  if (!read || !model.projection) return read;
  const [H, P] = [model.config.hidden_size, model.config.projection_size];
  const direction = new Float64Array(H);
  for (let p = 0; p < P; p++) {
    for (let u = 0; u < H; u++) direction[u] += read[p] * model.projection[p * H + u];
  }
  return direction;
}

/**
 * `[t + 1]`: the part of `logit(first) - logit(second)` through each word's luggage, at word `t`.
 *
 * The parts and the decoder's two biases add up to the difference exactly: `h = o ⊙ tanh(c)` is
 * shared out in proportion to the luggage; the GRU's `h` is the sum itself.
 *
 * @param {Belt} belt of the last layer
 * @param {Float64Array} direction see `decisionDirection`
 * @param {number} t
 * @returns {Float64Array}
 * @throws {CarouselError} not the last layer
 */
export function decisionShares(belt, direction, t) {
  const { trace, layer } = belt;
  const { layers, hidden_size: H } = trace.config;
  if (layer !== layers - 1) {
    throw new CarouselError("only the last layer's memory is read by the decoder directly");
  }
  const weight = readout(belt, t).map((slope, u) => slope * direction[u]);
  const luggage = belt.luggageAt(t);
  const shares = new Float64Array(t + 1);
  for (let s = 0; s <= t; s++) {
    for (let u = 0; u < H; u++) shares[s] += luggage[s * H + u] * weight[u];
  }
  return shares;
}

/**
 * `[H]`: `h / memory` of each unit at word `t`: `o tanh(c) / c`, and 1 for a GRU.
 * @param {Belt} belt
 * @param {number} t
 */
function readout({ trace, memory, layer }, t) {
  const H = trace.config.hidden_size;
  const slopes = new Float64Array(H).fill(1);
  const o = trace.values[`layers.${layer}.o`];
  if (!o) return slopes;
  for (let u = 0; u < H; u++) {
    const c = memory[t * H + u];
    slopes[u] = o[t * H + u] * (Math.abs(c) < 1e-6 ? 1 : Math.tanh(c) / c);
  }
  return slopes;
}
