/**
 * The types that the modules of `model/` and `lens/` share. Only JSDoc: nothing runs here.
 *
 * Shapes: `T` positions of a text (position 0 is the line start), `L` layers, `H` hidden units,
 * `E` the width of the embedding, `P` the width that the decoder reads (`H` without a projection),
 * `V` tokens. Arrays are flat and row by row: the value of unit `u` at position `t` of a `[T, H]`
 * array is `array[t * H + u]`.
 */

/**
 * What `config.json` holds, by the names of the file, with every default filled in.
 * @typedef {object} Config
 * @property {'rnn'|'gru'|'gru-reset-before'|'lstm'|'lstm-peephole'|'cifg'|'cifg-peephole'} cell
 * @property {number} vocab_size
 * @property {number} embedding_size
 * @property {number} hidden_size
 * @property {number} layers
 * @property {boolean} tied the decoder uses `embedding.weight`
 * @property {number} projection_size width of the projection before the decoder; 0 for none
 * @property {boolean} biases
 * @property {'float32'|'bfloat16'|'int8'} dtype how matrices are stored
 * @property {number[]} cutoffs the first id of each cluster of an adaptive softmax; empty for none
 * @property {number[]} tail_sizes the width of each cluster
 * @property {boolean} carry_state whether the state is carried over the end of a line
 */

/**
 * Where a model comes from: the address of its folder, or its three files (`config.json`,
 * `model.safetensors`, `tokenizer.json`) as bytes.
 * @typedef {string | URL | Record<string, ArrayBuffer>} ModelSource
 */

/**
 * One layer's weights in float32; see `cells.py`. `weight_ih [G*H, E]`, `weight_hh [G*H, H]`,
 * biases `[G*H]`, peepholes `weight_ch [3H]` or `[2H]`.
 * @typedef {object} LayerWeights
 * @property {Float32Array} weight_ih
 * @property {Float32Array} weight_hh
 * @property {Float32Array | null} bias_ih
 * @property {Float32Array | null} bias_hh
 * @property {Float32Array | null} weight_ch
 */

/**
 * The state of all layers: `h [L, H]`, and `c [L, H]` (the belt) for an LSTM, else null.
 * @typedef {object} State
 * @property {Float32Array} h
 * @property {Float32Array | null} c
 */

/**
 * Sees a gate or state by its short name, right after it was made, and may change it in place.
 * @callback Edit
 * @param {string} name
 * @param {Float32Array} value `[H]`
 * @returns {void}
 */

/**
 * `Edit` for a stack of layers over a text; `point` is `layers.0.f`, `t` the position.
 * @callback EditAt
 * @param {string} point
 * @param {number} t
 * @param {Float32Array} value `[H]`
 * @returns {void}
 */

/**
 * A token of a typed text: its id, and where it stands in the text as it was typed (UTF-16
 * indices, `text.slice(start, end)`).
 * @typedef {object} Token
 * @property {number} id
 * @property {number} start
 * @property {number} end
 * @property {boolean} known false where the id is the unknown word's
 */

/**
 * A gate held over a stretch of a text. With strength `s`: `f' = (1 - s) f + s target`. The target
 * is `value` for `set` and `toward`, and `value * f` for `scale`. `set` and `scale` ignore
 * `strength` (it is 1).
 * @typedef {object} Hold
 * @property {number} layer
 * @property {string} gate a short name: `f`, `i`, `g`, `o`, `c`, `h`, `r`, `z` or `n`
 * @property {number[] | null} units null for all
 * @property {number} from the first position held; 0 is the line start
 * @property {number} to the last position held, itself included
 * @property {'set'|'scale'|'toward'} kind
 * @property {number} value
 * @property {number} strength 0 (as it is) to 1 (the target)
 */

/**
 * A word and its probability.
 * @typedef {object} Prediction
 * @property {string} word
 * @property {number} probability
 */

/**
 * One text under many strengths of one hold.
 * @typedef {object} Sweep
 * @property {Float64Array} strengths `[S]`, rising
 * @property {Float64Array} differences `[S]`: `logit(first) - logit(second)` after the position that was asked for
 * @property {Float32Array} logits `[S, V]` after that position
 */

/**
 * What a page asks of an open model. The same where the model runs in this thread and where it
 * runs in a worker; `lens/reader.js` makes both.
 * @typedef {object} Reader
 * @property {Config} config
 * @property {import('./model/tokenizer.js').Tokenizer} tokenizer
 * @property {string} hash the first 8 hex digits of the SHA-256 of the weights' file; '' where the
 *   browser has no digest (a page that is not from a secure origin)
 * @property {(ids: ArrayLike<number>, holds?: Hold[]) => Promise<import('./lens/trace.js').Trace>}
 *   trace reads `ids` (without the line start); only what changed since the last traces is read
 * @property {(hidden: Float32Array) => Promise<Float32Array>} logits `[P]` to `[V]`; of an adaptive
 *   softmax, log-probabilities
 * @property {(trace: import('./lens/trace.js').Trace, at: number, options?: NextWordsOptions) =>
 *   Promise<Prediction[]>} nextWords the likeliest next words after position `at`
 * @property {(trace: import('./lens/trace.js').Trace, hold: Hold, strengths: ArrayLike<number>,
 *   first: number, second: number, at?: number) => Promise<Sweep | null>} sweep `hold` joins the holds of
 *   the trace, at each strength; `at` is the last position if left out; null where another sweep was
 *   asked for before this one was read
 * @property {() => Promise<void>} stop the sweep that is being read is of no use any more
 * @property {(first: number, second: number) => Promise<Float64Array | null>} direction `[H]`: what
 *   the last layer's `h` is multiplied by in `logit(first) - logit(second)`; null where two words
 *   are in different clusters of an adaptive softmax
 * @property {() => void} close
 */

/**
 * @typedef {object} NextWordsOptions
 * @property {number} [k] how many; 5 if left out
 * @property {string} [prefix] the half-typed word: only words that start so
 */

export {};
