/** One text under many strengths of one hold: the response curve of a gate. */

import { decoderWidth } from '../model/config.js';
import { withHold } from './hold.js';
import { readTrace } from './trace.js';

/** @typedef {import('../types.js').Hold} Hold */
/** @typedef {import('../types.js').Sweep} Sweep */
/** @typedef {import('../model/recurrent_lm.js').RecurrentLM} RecurrentLM */
/** @typedef {import('./trace.js').Trace} Trace */

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
 * The difference of two words' logits at each strength of a hold, one strength a `next()`.
 *
 * Only two words are decoded, and only what the hold changes is read again.
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
  const P = decoderWidth(model.config);
  const ids = trace.ids.subarray(1, at + 1);
  const hidden = new Float32Array(strengths.length * P);
  const differences = new Float64Array(strengths.length);
  const exact = model.decoder.difference(first, second);
  for (let n = 0; n < strengths.length; n++) {
    const holds = withHold(trace.holds, atStrength(hold, strengths[n]));
    const row = hidden.subarray(n * P, (n + 1) * P);
    row.set(readTrace(model, ids, holds, trace).hiddenAt(at));
    if (exact) {
      differences[n] = exact.bias;
      for (let k = 0; k < P; k++) differences[n] += exact.direction[k] * row[k];
    } else {
      // Two words in different clusters of an adaptive softmax need the whole of it.
      const logits = model.logits(row);
      differences[n] = logits[first] - logits[second];
    }
    yield;
  }
  return { strengths: Float64Array.from(strengths), differences, hidden, first, second, at };
}

/**
 * The whole sweep at once; see `sweepSteps`.
 * @param {Parameters<typeof sweepSteps>} given
 * @returns {Sweep}
 */
export function sweep(...given) {
  const steps = sweepSteps(...given);
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}

/**
 * The difference, and what the decoder reads, at a strength between those of a sweep: on a straight
 * line between its two neighbours.
 * @param {Sweep} curve
 * @param {number} strength
 * @returns {{difference: number, hidden: Float32Array}}
 */
export function interpolate({ strengths, differences, hidden }, strength) {
  const P = hidden.length / strengths.length;
  let right = strengths.findIndex((s) => s >= strength);
  if (right < 0) right = strengths.length - 1;
  const left = Math.max(0, right - 1);
  const gap = strengths[right] - strengths[left];
  const part = gap ? Math.min(1, Math.max(0, (strength - strengths[left]) / gap)) : 1;
  const difference = (1 - part) * differences[left] + part * differences[right];
  const between = new Float32Array(P);
  for (let k = 0; k < P; k++) {
    between[k] = (1 - part) * hidden[left * P + k] + part * hidden[right * P + k];
  }
  return { difference, hidden: between };
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
