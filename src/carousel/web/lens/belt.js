/**
 * Who put what on the belt: the exact account of a memory cell; mirrors `belt.py`.
 *
 * `c_t = (∏ f) c_0 + Σ_s (∏_{s<k≤t} f_k) ⊙ i_s ⊙ g_s`: word `s`'s luggage at `t` is its term of
 * that sum. The GRU has the same account of its hidden state, with `z` in the place of `f` and
 * `1 - z` in that of `i`; the plain RNN has none, as its state is no sum.
 */

import { CarouselError } from '../model/errors.js';
import { hasBelt, keepGateOf, memoryOf } from './points.js';

/** @typedef {import('./trace.js').Trace} Trace */

/** The account of one layer's memory over one text. */
export class Belt {
  /**
   * @param {Trace} trace
   * @param {number} layer
   * @throws {CarouselError} for an RNN, which has no belt
   */
  constructor(trace, layer) {
    const { config } = trace;
    if (!hasBelt(config)) {
      throw new CarouselError('a plain RNN has no belt: its state is made anew at every word');
    }
    const H = config.hidden_size;
    this.trace = trace;
    this.layer = layer;
    /** `[T, H]`: the belt after each word. */
    this.memory = Float64Array.from(trace.get(memoryOf(config), layer));
    /** `[T, H]`: the share of the belt that each word kept. */
    this.kept = Float64Array.from(trace.get(/** @type {string} */ (keepGateOf(config)), layer));
    for (let t = 0; t < trace.length; t++) {
      if (trace.startsAnew(t)) this.kept.fill(0, t * H, (t + 1) * H);
    }
    /**
     * `[T, H]`: what each word put on the belt. Where the memory itself was held, what the hold
     * put there counts as that word's.
     */
    this.put = Float64Array.from(trace.get('write', layer));
    for (let n = 0; n < this.put.length; n++) {
      const before = n < H ? 0 : this.memory[n - H];
      const byHand = this.memory[n] - this.kept[n] * before - this.put[n];
      // What float32 made of the same sum differs by less: rounding is not a hand.
      if (Math.abs(byHand) > 1e-5 * (1 + Math.abs(before))) this.put[n] += byHand;
    }
  }

  /**
   * `[t + 1, H]`: what is left at word `t` of each word's luggage; adds up to `c_t`.
   * @param {number} t
   */
  luggageAt(t) {
    const H = this.trace.config.hidden_size;
    const left = this.put.slice(0, (t + 1) * H);
    const later = new Float64Array(H).fill(1);
    for (let s = t; s >= 0; s--) {
      for (let u = 0; u < H; u++) {
        left[s * H + u] *= later[u];
        later[u] *= this.kept[s * H + u];
      }
    }
    return left;
  }

  /**
   * `[t + 1]`: how much is left at word `t` of each word's luggage, `Σ_units |luggage|`.
   * @param {number} t
   */
  amountsAt(t) {
    const H = this.trace.config.hidden_size;
    const amounts = new Float64Array(t + 1);
    const later = new Float64Array(H).fill(1);
    for (let s = t; s >= 0; s--) {
      for (let u = 0; u < H; u++) {
        amounts[s] += Math.abs(this.put[s * H + u] * later[u]);
        later[u] *= this.kept[s * H + u];
      }
    }
    return amounts;
  }

  /** The same at every word: row `t` has `t + 1` amounts. @returns {Float64Array[]} */
  amounts() {
    return Array.from({ length: this.trace.length }, (_, t) => this.amountsAt(t));
  }

  /**
   * The share of word `s`'s luggage that is left at word `t`, 0 to 1: `Σ|left| / Σ|put|`.
   * @param {number} s
   * @param {number} t
   */
  retention(s, t) {
    return this.amountsAt(t)[s] / Math.max(this.amountsAt(s)[s], 1e-30);
  }

  /**
   * The units that carry most of word `s`'s luggage at word `t`, most first.
   * @param {number} s
   * @param {number} t
   * @param {number} k how many
   * @returns {number[]}
   */
  carriers(s, t, k) {
    const H = this.trace.config.hidden_size;
    const luggage = this.luggageAt(t).subarray(s * H, (s + 1) * H);
    const units = Array.from({ length: H }, (_, u) => u);
    return units.sort((a, b) => Math.abs(luggage[b]) - Math.abs(luggage[a])).slice(0, k);
  }

  /**
   * The largest gap between the account's sum and the memory, relative to the largest size that the
   * unit's memory or luggage had.
   */
  error() {
    const H = this.trace.config.hidden_size;
    let worst = 0;
    for (let t = 0; t < this.trace.length; t++) {
      const luggage = this.luggageAt(t);
      for (let u = 0; u < H; u++) {
        const memory = this.memory[t * H + u];
        let [sum, scale] = [0, Math.abs(memory)];
        for (let s = 0; s <= t; s++) {
          sum += luggage[s * H + u];
          scale = Math.max(scale, Math.abs(luggage[s * H + u]));
        }
        worst = Math.max(worst, Math.abs(sum - memory) / Math.max(scale, 1e-30));
      }
    }
    return worst;
  }
}
