/**
 * The recurrent cells, one word at a time, in the equations' own order: `cells.py` once more.
 *
 * `project` is all that is linear, `update` all that is pointwise. `update` makes each gate and
 * calls `edit(name, value)` right after it; an edit may change the value in place, and whatever
 * depends on the gate follows. Sums are made in float64; what is kept is float32. Nothing is
 * allocated in a step: every result goes into an array that the caller owns.
 */

/** @typedef {import('../types.js').LayerWeights} LayerWeights */
/** @typedef {import('../types.js').Edit} Edit */

/**
 * What a cell writes its gates and states into, by short name, `[H]` each.
 * @typedef {Record<string, Float32Array>} Gates
 */

/**
 * The state of one layer before a word; `c` only for an LSTM.
 * @typedef {object} CellState
 * @property {Float32Array} h `[H]`
 * @property {Float32Array | null} c
 */

/**
 * The linear half of a step: `x = W x + b_ih` and `h = R h + b_hh`, `[G*H]` each.
 * @typedef {object} Projected
 * @property {Float32Array} x
 * @property {Float32Array} h
 */

/** The edit that changes nothing. @type {Edit} */
export const unedited = () => {};

/** The logistic function, in the form that never overflows. @param {number} x */
export const sigmoid = (x) => 0.5 + 0.5 * Math.tanh(0.5 * x);

/**
 * `y = x Wᵀ + b`: `x [K]` with `weight [N, K]` gives `y [N]`. Four rows at a time, so that each
 * value of `x` is read once for all of them.
 *
 * @param {Float32Array} x
 * @param {Float32Array} weight
 * @param {Float32Array | null} bias
 * @param {Float32Array} y where the result goes; its length says how many rows are read
 * @param {number} [row] the first row of `weight` (and `bias`) that is read
 */
export function linear(x, weight, bias, y, row = 0) {
  const K = x.length;
  const N = y.length;
  let n = 0;
  let at = row * K;
  for (; n + 4 <= N; n += 4, at += 4 * K) {
    const [b1, b2, b3] = [at + K, at + 2 * K, at + 3 * K];
    let [s0, s1, s2, s3] = [0, 0, 0, 0];
    for (let k = 0; k < K; k++) {
      const value = x[k];
      s0 += weight[at + k] * value;
      s1 += weight[b1 + k] * value;
      s2 += weight[b2 + k] * value;
      s3 += weight[b3 + k] * value;
    }
    y[n] = s0;
    y[n + 1] = s1;
    y[n + 2] = s2;
    y[n + 3] = s3;
  }
  for (; n < N; n++, at += K) {
    let sum = 0;
    for (let k = 0; k < K; k++) sum += weight[at + k] * x[k];
    y[n] = sum;
  }
  if (bias) for (n = 0; n < N; n++) y[n] += bias[row + n];
}

/** What RNN, GRU and LSTM share. */
class Cell {
  /** The gates that have weights, in the order in which these are stacked. @type {string[]} */
  stacked = [];
  /** The gates. @type {string[]} */
  gates = [];
  /** What is carried to the next word: `h`, and `c` where there is a belt. @type {string[]} */
  states = ['h'];
  /** Everything that `update` makes, in the order of the equations. @type {string[]} */
  made = [];

  /**
   * `W x + b_ih`: `[E]` to `[G*H]`.
   * @param {LayerWeights} weights
   * @param {Float32Array} x
   * @param {Float32Array} out
   */
  projectX(weights, x, out) {
    linear(x, weights.weight_ih, weights.bias_ih, out);
  }

  /**
   * `R h + b_hh`: `[H]` to `[G*H]`.
   * @param {LayerWeights} weights
   * @param {Float32Array} h
   * @param {Float32Array} out
   */
  projectH(weights, h, out) {
    linear(h, weights.weight_hh, weights.bias_hh, out);
  }

  /**
   * Both linear parts of one step.
   * @param {LayerWeights} weights
   * @param {Float32Array} x `[E]`
   * @param {CellState} state
   * @param {Projected} out
   */
  project(weights, x, state, out) {
    this.projectX(weights, x, out.x);
    this.projectH(weights, state.h, out.h);
  }

  /**
   * The pointwise half of a step: every gate and state goes into `out`.
   * @param {LayerWeights} weights
   * @param {Projected} pre
   * @param {CellState} state the state before this word
   * @param {Gates} out
   * @param {Edit} [edit]
   */
  update(weights, pre, state, out, edit = unedited) {
    throw new Error('a cell has its own update');
  }
}

/** The plain recurrent network: `h_t = tanh(W x_t + b_ih + R h_{t-1} + b_hh)`. */
export class RNN extends Cell {
  stacked = ['h'];
  made = ['h'];

  /** Calls `edit` for `h`. @type {Cell['update']} */
  update(weights, pre, state, { h }, edit = unedited) {
    for (let u = 0; u < h.length; u++) h[u] = Math.tanh(pre.x[u] + pre.h[u]);
    edit('h', h);
  }
}

/** The gated recurrent unit, with either reset convention; `z` keeps the old state. */
export class GRU extends Cell {
  stacked = ['r', 'z', 'n'];
  gates = ['r', 'z', 'n'];
  made = ['r', 'z', 'n', 'h'];

  /** @param {{resetAfter?: boolean}} [how] */
  constructor({ resetAfter = true } = {}) {
    super();
    this.resetAfter = resetAfter;
  }

  /** Only `r` and `z` where the reset gate comes first. @type {Cell['projectH']} */
  projectH(weights, h, out) {
    const rows = this.resetAfter ? 3 * h.length : 2 * h.length;
    linear(h, weights.weight_hh, weights.bias_hh, out.subarray(0, rows));
  }

  /** Calls `edit` for `r, z, n, h` in that order. @type {Cell['update']} */
  update(weights, pre, state, { r, z, n, h }, edit = unedited) {
    const H = h.length;
    const before = state.h;
    for (let u = 0; u < H; u++) r[u] = sigmoid(pre.x[u] + pre.h[u]);
    edit('r', r);
    for (let u = 0; u < H; u++) z[u] = sigmoid(pre.x[H + u] + pre.h[H + u]);
    edit('z', z);
    if (this.resetAfter) {
      for (let u = 0; u < H; u++) n[u] = Math.tanh(pre.x[2 * H + u] + r[u] * pre.h[2 * H + u]);
    } else {
      // The candidate's product needs `r`; `h` is free to hold `r ⊙ h` until it is made.
      for (let u = 0; u < H; u++) h[u] = r[u] * before[u];
      linear(h, weights.weight_hh, weights.bias_hh, n, 2 * H);
      for (let u = 0; u < H; u++) n[u] = Math.tanh(pre.x[2 * H + u] + n[u]);
    }
    edit('n', n);
    for (let u = 0; u < H; u++) h[u] = (1 - z[u]) * n[u] + z[u] * before[u];
    edit('h', h);
  }
}

/**
 * The long short-term memory. `peephole`: the gates see the belt. `coupled`: `f = 1 - i`, and no
 * weights for `f` (CIFG).
 */
export class LSTM extends Cell {
  gates = ['i', 'f', 'g', 'o'];
  states = ['h', 'c'];
  made = ['i', 'f', 'g', 'c', 'o', 'h'];

  /** @param {{coupled?: boolean, peephole?: boolean}} [how] */
  constructor({ coupled = false, peephole = false } = {}) {
    super();
    this.coupled = coupled;
    this.peephole = peephole;
    this.stacked = coupled ? ['i', 'g', 'o'] : ['i', 'f', 'g', 'o'];
  }

  /** Calls `edit` for `i, f, g, c, o, h` in that order. @type {Cell['update']} */
  update(weights, pre, state, { i, f, g, c, o, h }, edit = unedited) {
    const H = h.length;
    const { x, h: r } = pre;
    const before = /** @type {Float32Array} */ (state.c);
    const peep = this.peephole ? weights.weight_ch : null;
    const last = (this.stacked.length - 1) * H;
    const candidate = last - H;
    for (let u = 0; u < H; u++) i[u] = sigmoid(x[u] + r[u] + (peep ? peep[u] * before[u] : 0));
    edit('i', i);
    if (this.coupled) {
      for (let u = 0; u < H; u++) f[u] = 1 - i[u];
    } else {
      for (let u = 0; u < H; u++) {
        f[u] = sigmoid(x[H + u] + r[H + u] + (peep ? peep[H + u] * before[u] : 0));
      }
    }
    edit('f', f);
    for (let u = 0; u < H; u++) g[u] = Math.tanh(x[candidate + u] + r[candidate + u]);
    edit('g', g);
    for (let u = 0; u < H; u++) c[u] = f[u] * before[u] + i[u] * g[u];
    edit('c', c);
    for (let u = 0; u < H; u++) {
      o[u] = sigmoid(x[last + u] + r[last + u] + (peep ? peep[candidate + u] * c[u] : 0));
    }
    edit('o', o);
    for (let u = 0; u < H; u++) h[u] = o[u] * Math.tanh(c[u]);
    edit('h', h);
  }
}

/** The cells by the names that settings and model folders use. @type {Record<string, Cell>} */
export const CELLS = {
  rnn: new RNN(),
  gru: new GRU(),
  'gru-reset-before': new GRU({ resetAfter: false }),
  lstm: new LSTM(),
  'lstm-peephole': new LSTM({ peephole: true }),
  cifg: new LSTM({ coupled: true }),
  'cifg-peephole': new LSTM({ coupled: true, peephole: true }),
};

/**
 * The shape of each of a layer's weights, by name.
 * @param {Cell} cell
 * @param {number} inputSize
 * @param {number} hiddenSize
 * @returns {Record<string, number[]>}
 */
export function weightShapes(cell, inputSize, hiddenSize) {
  const rows = cell.stacked.length * hiddenSize;
  /** @type {Record<string, number[]>} */
  const shapes = {
    weight_ih: [rows, inputSize],
    weight_hh: [rows, hiddenSize],
    bias_ih: [rows],
    bias_hh: [rows],
  };
  if (cell instanceof LSTM && cell.peephole) shapes.weight_ch = [rows - hiddenSize];
  return shapes;
}
