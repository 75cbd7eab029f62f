/** The worker's side of `reader.js`: a `LocalReader` that answers messages. */

import { RecurrentLM } from '../model/recurrent_lm.js';
import { LocalReader } from './reader.js';

/** @typedef {import('../types.js').Hold} Hold */
/** @typedef {{ids: Int32Array, holds: Hold[]}} Key what tells a trace */

/** @type {LocalReader} */
let reader;

/** @type {Record<string, (...given: any[]) => Promise<unknown>>} */
const METHODS = {
  /** @param {import('../types.js').ModelSource} source */
  async open(source) {
    reader = new LocalReader(await RecurrentLM.load(source));
    return { config: reader.config, hash: reader.hash };
  },
  /** @param {Int32Array} ids @param {Hold[]} holds */
  trace: async (ids, holds) => (await reader.trace(ids, holds)).toData(),
  /** @param {Float32Array} hidden */
  logits: (hidden) => reader.logits(hidden),
  /** @param {Key} key @param {number} at @param {import('../types.js').NextWordsOptions} options */
  nextWords: async (key, at, options) =>
    reader.nextWords(await reader.trace(key.ids, key.holds), at, options),
  /**
   * @param {Key} key
   * @param {[Hold, Float64Array, number, number, number | undefined]} given
   */
  sweep: async (key, ...given) => reader.sweep(await reader.trace(key.ids, key.holds), ...given),
  stop: () => reader.stop(),
  /** @param {number} first @param {number} second */
  direction: (first, second) => reader.direction(first, second),
};

addEventListener('message', async ({ data: { number, method, given } }) => {
  try {
    postMessage({ number, result: await METHODS[method](...given) });
  } catch (error) {
    postMessage({ number, error: error instanceof Error ? error.message : String(error) });
  }
});
