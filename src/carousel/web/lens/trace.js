/**
 * A trace: every gate and state at every position of a text. Reading a text again costs only what
 * changed: one step for a word typed at the end, and from word `t` on for a hold at word `t`.
 */

import { LINE_END_ID, decoderWidth } from '../model/config.js';
import { applyHold, firstChange, isActive } from './hold.js';
import { keepGateOf, memoryOf, namesOf } from './points.js';

/** @typedef {import('../types.js').Config} Config */
/** @typedef {import('../types.js').Hold} Hold */
/** @typedef {import('../types.js').State} State */
/** @typedef {import('../model/recurrent_lm.js').RecurrentLM} RecurrentLM */

/**
 * What a trace is made of; plain data that can be sent to another thread.
 * @typedef {object} TraceData
 * @property {Config} config
 * @property {Int32Array} ids `[T]`, the line start first
 * @property {Record<string, Float32Array>} values `[T, H]` by point, `layers.0.f`
 * @property {Float32Array} hidden `[T, P]`: what the decoder reads
 * @property {Hold[]} holds what was held
 */

/** What a model did at each position of one text. Never changed once it is made. */
export class Trace {
  /**
   * @param {TraceData} data
   * @param {Float32Array[]} [inputs] `W x + b` of each layer, `[T, G*H]`, for the next reading
   */
  constructor(data, inputs = []) {
    this.config = data.config;
    this.ids = data.ids;
    this.values = data.values;
    this.hidden = data.hidden;
    this.holds = data.holds;
    this.inputs = inputs;
    /** `T`, the line start included. */
    this.length = data.ids.length;
  }

  /** What can be sent to another thread. @returns {TraceData} */
  toData() {
    const { config, ids, values, hidden, holds } = this;
    return { config, ids, values, hidden, holds };
  }

  /**
   * `[T, H]` of a gate or state by its short name; `keep` and `write` too, in float64: what stays
   * of the memory (`f ⊙ c`; GRU `z ⊙ h`), and what is added to it (`i ⊙ g`; GRU `(1 - z) ⊙ n`).
   * @param {string} name
   * @param {number} layer
   * @returns {Float32Array | Float64Array}
   */
  get(name, layer) {
    if (name === 'keep') return this.#keep(layer);
    if (name === 'write') return this.#write(layer);
    return this.values[`layers.${layer}.${name}`];
  }

  /**
   * `[H]` of a gate or state at one position: a view.
   * @param {string} name
   * @param {number} layer
   * @param {number} t
   */
  at(name, layer, t) {
    const H = this.config.hidden_size;
    return this.values[`layers.${layer}.${name}`].subarray(t * H, (t + 1) * H);
  }

  /**
   * The mean over units of a gate or state at each position, `[T]`.
   * @param {string} name
   * @param {number} layer
   * @param {number[] | null} [units] null for all
   */
  means(name, layer, units = null) {
    const [values, H] = [this.get(name, layer), this.config.hidden_size];
    const size = units ? units.length : H;
    const means = new Float64Array(this.length);
    for (let t = 0; t < this.length; t++) {
      let sum = 0;
      for (let n = 0; n < size; n++) sum += values[t * H + (units ? units[n] : n)];
      means[t] = sum / size;
    }
    return means;
  }

  /**
   * What the decoder reads at a position, `[P]`: a view.
   * @param {number} t
   */
  hiddenAt(t) {
    const P = decoderWidth(this.config);
    return this.hidden.subarray(t * P, (t + 1) * P);
  }

  /**
   * The state after position `t`, for reading on from there.
   * @param {number} t
   * @returns {State}
   */
  stateAt(t) {
    const { layers, hidden_size: H } = this.config;
    const h = new Float32Array(layers * H);
    const c = 'c' in namesOf(this.config) ? new Float32Array(layers * H) : null;
    for (let layer = 0; layer < layers; layer++) {
      h.set(this.at('h', layer, t), layer * H);
      c?.set(this.at('c', layer, t), layer * H);
    }
    return { h, c };
  }

  /**
   * Whether nothing is carried over to a position: each line is a text of its own, and it ends here.
   * @param {number} t
   */
  startsAnew(t) {
    return this.config.carry_state === false && this.ids[t] === LINE_END_ID;
  }

  /** @param {number} layer */
  #keep(layer) {
    const H = this.config.hidden_size;
    const gate = this.get(/** @type {string} */ (keepGateOf(this.config)), layer);
    const memory = this.get(memoryOf(this.config), layer);
    const kept = new Float64Array(gate.length);
    for (let n = H; n < kept.length; n++) {
      if (!this.startsAnew(Math.floor(n / H))) kept[n] = gate[n] * memory[n - H];
    }
    return kept;
  }

  /** @param {number} layer */
  #write(layer) {
    const lstm = memoryOf(this.config) === 'c';
    const gate = this.get(lstm ? 'i' : 'z', layer);
    const candidate = this.get(lstm ? 'g' : 'n', layer);
    const put = new Float64Array(gate.length);
    for (let n = 0; n < put.length; n++) put[n] = (lstm ? gate[n] : 1 - gate[n]) * candidate[n];
    return put;
  }
}

/**
 * Read a text from the start of a line.
 *
 * @param {RecurrentLM} model
 * @param {ArrayLike<number>} ids without the line start
 * @param {Hold[]} [holds] those that don't fit the model must have been left out
 * @param {Trace | null} [previous] a trace of the same model, made by this function; what it has
 *   in common is taken over
 * @returns {Trace}
 */
export function readTrace(model, ids, holds = [], previous = null) {
  const { config, cell } = model;
  const all = Int32Array.of(model.tokenizer.eolId, ...Array.from(ids));
  const starts = firstChanges(all, holds, config.layers, previous);
  const [T, H, P] = [all.length, config.hidden_size, decoderWidth(config)];
  const width = cell.stacked.length * H;
  /** @type {Record<string, Float32Array>} */
  const values = {};
  /** @type {Float32Array[]} */
  const inputs = [];
  for (let layer = 0; layer < config.layers; layer++) {
    const [inputStart, start] = starts.slice(layer, layer + 2);
    inputs.push(takeOver(previous?.inputs[layer], inputStart * width, T * width));
    for (const name of cell.made) {
      const point = `layers.${layer}.${name}`;
      values[point] = takeOver(previous?.values[point], start * H, T * H);
    }
    const below = layer ? values[`layers.${layer - 1}.h`] : null;
    projectInputs(model, layer, all, below, inputs[layer], inputStart);
    readLayer(model, layer, all, start, inputs[layer], values, holds);
  }
  const last = starts[config.layers];
  const hidden = takeOver(previous?.hidden, last * P, T * P);
  const trace = new Trace({ config, ids: all, values, hidden, holds }, inputs);
  for (let t = last; t < T; t++) {
    model.project(trace.at('h', config.layers - 1, t), trace.hiddenAt(t));
  }
  return trace;
}

/**
 * The first positions that differ from a trace: of the ids, then of each layer, `[1 + L]`.
 * @param {Int32Array} ids the line start first
 * @param {Hold[]} holds
 * @param {number} layers
 * @param {Trace | null} previous
 */
export function firstChanges(ids, holds, layers, previous) {
  let start = 0;
  if (previous) while (start < ids.length && ids[start] === previous.ids[start]) start++;
  const starts = [start];
  for (let layer = 0; layer < layers; layer++) {
    if (previous) start = Math.min(start, firstChange(previous.holds, holds, layer));
    starts.push(start);
  }
  return starts;
}

/**
 * An array of `size` whose first `count` values are those of another.
 * @param {Float32Array | undefined} from
 * @param {number} count
 * @param {number} size
 */
function takeOver(from, count, size) {
  const values = new Float32Array(size);
  if (from) values.set(from.subarray(0, count));
  return values;
}

/**
 * `W x + b_ih` of one layer from position `start` on.
 * @param {RecurrentLM} model
 * @param {number} layer
 * @param {Int32Array} ids
 * @param {Float32Array | null} below `[T, H]`: the layer's input; null for the embedding
 * @param {Float32Array} out `[T, G*H]`
 * @param {number} start
 */
function projectInputs(model, layer, ids, below, out, start) {
  const H = model.config.hidden_size;
  const width = model.cell.stacked.length * H;
  for (let t = start; t < ids.length; t++) {
    const x = below ? below.subarray(t * H, (t + 1) * H) : model.embed(ids[t]);
    model.cell.projectX(model.layers[layer], x, out.subarray(t * width, (t + 1) * width));
  }
}

/**
 * Every gate and state of one layer from position `start` on.
 * @param {RecurrentLM} model
 * @param {number} layer
 * @param {Int32Array} ids
 * @param {number} start
 * @param {Float32Array} inputs `[T, G*H]`
 * @param {Record<string, Float32Array>} values where they go; what stands before `start` is read
 * @param {Hold[]} holds
 */
function readLayer(model, layer, ids, start, inputs, values, holds) {
  const { cell } = model;
  const H = model.config.hidden_size;
  const width = cell.stacked.length * H;
  const held = holds.filter((hold) => hold.layer === layer && isActive(hold));
  const zeros = new Float32Array(H);
  /** @param {string} name @param {number} t */
  const row = (name, t) =>
    t < 0 ? zeros : values[`layers.${layer}.${name}`].subarray(t * H, (t + 1) * H);
  const projected = new Float32Array(width);
  for (let t = start; t < inputs.length / width; t++) {
    const anew = model.config.carry_state === false && ids[t] === LINE_END_ID;
    const before = anew ? -1 : t - 1;
    const state = { h: row('h', before), c: cell.states.includes('c') ? row('c', before) : null };
    const gates = Object.fromEntries(cell.made.map((name) => [name, row(name, t)]));
    const here = held.filter((hold) => t >= hold.from && t <= hold.to);
    cell.projectH(model.layers[layer], state.h, projected);
    const pre = { x: inputs.subarray(t * width, (t + 1) * width), h: projected };
    cell.update(model.layers[layer], pre, state, gates, (name, value) => {
      for (const hold of here) if (hold.gate === name) applyHold(hold, value);
    });
  }
}
