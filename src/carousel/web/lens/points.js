/** The names of what a trace holds: gates, states, and what is made of them; as `points.py`. */

import { CELLS } from '../model/cells.js';

/** @typedef {import('../types.js').Config} Config */

/** @type {Record<string, string>} */
const LSTM_NAMES = { f: 'forget', i: 'input', g: 'candidate', o: 'output', c: 'cell', h: 'hidden' };
/** @type {Record<string, string>} */
const GRU_NAMES = { r: 'reset', z: 'update', n: 'candidate', h: 'hidden' };
/** @type {Record<string, string>} */
const RNN_NAMES = { h: 'hidden' };

/**
 * Short name to long name of what a cell of this model makes, gates first.
 * @param {Config} config
 */
export function namesOf(config) {
  const { made } = CELLS[config.cell];
  return made.includes('c') ? LSTM_NAMES : made.includes('z') ? GRU_NAMES : RNN_NAMES;
}

/**
 * Short names of the values between 0 and 1.
 * @param {Config} config
 */
export function gatesOf(config) {
  return Object.keys(namesOf(config)).filter((name) => !'gnch'.includes(name));
}

/**
 * The short name of the state that is the memory: `c`, or `h` where there is no cell state.
 * @param {Config} config
 */
export function memoryOf(config) {
  return 'c' in namesOf(config) ? 'c' : 'h';
}

/**
 * The short name of the gate that says how much of the memory is kept; null for an RNN.
 * @param {Config} config
 */
export function keepGateOf(config) {
  const names = namesOf(config);
  return 'f' in names ? 'f' : 'z' in names ? 'z' : null;
}

/**
 * Whether the memory is a sum of what each word put on it (LSTM and GRU).
 * @param {Config} config
 */
export function hasBelt(config) {
  return keepGateOf(config) !== null;
}

/**
 * Every point of a trace: `layers.0.f`, `layers.0.i`, ...
 * @param {Config} config
 */
export function pointsOf(config) {
  const names = Object.keys(namesOf(config));
  return Array.from({ length: config.layers }, (_, layer) =>
    names.map((name) => `layers.${layer}.${name}`),
  ).flat();
}
