/** One text under many strengths of one hold: the response curve of a gate. */

import { withHold } from './hold.js';
import { readTrace } from './trace.js';

/** @typedef {import('../types.js').Hold} Hold */
/** @typedef {import('../types.js').Sweep} Sweep */
/** @typedef {import('../model/recurrent_lm.js').RecurrentLM} RecurrentLM */
/** @typedef {import('./trace.js').Trace} Trace */

/** @param {number} steps from 0 to 1 */
const strengthsOf = (steps) => Float64Array.from({ length: 2 * steps + 1 }, (_, index) => index / steps - 1);
/** The strengths of a response curve: every 5%. */
export const FINE = strengthsOf(20);
/** Those of its first picture, where reading takes long. */
export const COARSE = strengthsOf(2);

/** A text is read in so many parts, so that a thread that reads a large model can answer in between. */
const PARTS = 8;

/**
 * A hold at a strength of a centred slider: below 0 it goes toward 0 instead of its value.
 * @param {Hold} hold
 * @param {number} strength -1 to 1
 * @returns {Hold}
 */
export function atStrength(hold, strength) {
  const value = strength < 0 ? 0 : hold.value;
  return { ...hold, kind: 'toward', value, strength: Math.abs(strength) };
}

/**
 * The logits at each strength of a hold, part by part; only what the hold changes is read again.
 *
 * @param {RecurrentLM} model
 * @param {Trace} trace the text; its holds stay, but for one at the same place
 * @param {Hold} hold
 * @param {ArrayLike<number>} strengths rising, -1 to 1 (see `atStrength`)
 * @param {number} first an id
 * @param {number} second
 * @param {number} [at] the position after which the words are compared; the last if left out
 * @returns {Generator<undefined, Sweep, undefined>}
 */
export function* sweepSteps(model, trace, hold, strengths, first, second, at = trace.length - 1) {
  const V = model.config.vocab_size;
  const logits = new Float32Array(strengths.length * V);
  const differences = new Float64Array(strengths.length);
  const part = Math.ceil((at - hold.from + 1) / PARTS);
  for (let n = 0; n < strengths.length; n++) {
    const holds = withHold(trace.holds, atStrength(hold, strengths[n]));
    let [read, end] = [trace, Math.min(hold.from, at)];
    do {
      end = Math.min(end + part, at);
      read = readTrace(model, trace.ids.subarray(1, end + 1), holds, read);
      yield;
    } while (end < at);
    const row = logits.subarray(n * V, (n + 1) * V);
    row.set(model.logits(read.hiddenAt(at)));
    differences[n] = row[first] - row[second];
  }
  return { strengths: Float64Array.from(strengths), differences, logits };
}

/**
 * The logits `[V]` at a strength between those of a sweep: on a straight line between its two
 * neighbours, as what the decoder reads would be.
 * @param {Sweep} curve
 * @param {number} strength
 */
export function interpolate({ strengths, logits }, strength) {
  const V = logits.length / strengths.length;
  let right = strengths.findIndex((s) => s >= strength);
  if (right < 0) right = strengths.length - 1;
  const left = Math.max(0, right - 1);
  const gap = strengths[right] - strengths[left];
  const part = gap ? Math.min(1, Math.max(0, (strength - strengths[left]) / gap)) : 1;
  const between = new Float32Array(V);
  for (let k = 0; k < V; k++) {
    between[k] = (1 - part) * logits[left * V + k] + part * logits[right * V + k];
  }
  return between;
}

/**
 * The strength nearest to 0 at which the two words are equally likely, by straight lines; null
 * where the same word leads at every strength.
 * @param {Sweep} curve
 * @returns {number | null}
 */
export function crossing({ strengths, differences }) {
  /** @type {number | null} */
  let nearest = null;
  for (let n = 1; n < strengths.length; n++) {
    const [a, b] = [differences[n - 1], differences[n]];
    if (a > 0 === b > 0) continue;
    const here = strengths[n - 1] + ((strengths[n] - strengths[n - 1]) * a) / (a - b);
    if (nearest === null || Math.abs(here) < Math.abs(nearest)) nearest = here;
  }
  return nearest;
}
