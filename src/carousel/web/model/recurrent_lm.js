/** A recurrent language model: ids in, logits out. The caller owns the state, everywhere. */

import { CELLS, linear } from './cells.js';
import { LINE_END_ID, decoderWidth, parseConfig, parseHashes } from './config.js';
import { CarouselError } from './errors.js';
import { parseHeader, readWeights } from './safetensors.js';
import { Decoder } from './softmax.js';
import { Tokenizer } from './tokenizer.js';

/** @typedef {import('../types.js').Config} Config */
/** @typedef {import('../types.js').LayerWeights} LayerWeights */
/** @typedef {import('../types.js').ModelSource} ModelSource */
/** @typedef {import('../types.js').State} State */
/** @typedef {import('../types.js').EditAt} EditAt */

const FILES = ['config.json', 'model.safetensors', 'tokenizer.json'];

/**
 * ```
 * const model = await RecurrentLM.load('models/stories-lstm');
 * const { logits } = model.step(model.tokenizer.eolId, model.initialState());
 * ```
 */
export class RecurrentLM {
  /**
   * @param {Config} config
   * @param {Map<string, Float32Array>} weights by the names they have on disk
   * @param {Tokenizer} tokenizer
   * @param {string} [hash]
   */
  constructor(config, weights, tokenizer, hash = '') {
    this.config = config;
    this.cell = CELLS[config.cell];
    /** What turns text into ids; the model itself knows only ids. */
    this.tokenizer = tokenizer;
    /** The first 8 hex digits of the SHA-256 of the weights' file, or ''. */
    this.hash = hash;
    this.embedding = /** @type {Float32Array} */ (weights.get('embedding.weight'));
    this.projection = weights.get('projection.weight') ?? null;
    this.decoder = new Decoder(config, weights);
    /** @type {LayerWeights[]} */
    this.layers = Array.from({ length: config.layers }, (_, layer) => {
      /** @param {string} name */
      const weight = (name) => weights.get(`layers.${layer}.${name}`) ?? null;
      return {
        weight_ih: /** @type {Float32Array} */ (weight('weight_ih')),
        weight_hh: /** @type {Float32Array} */ (weight('weight_hh')),
        bias_ih: weight('bias_ih'),
        bias_hh: weight('bias_hh'),
        weight_ch: weight('weight_ch'),
      };
    });
  }

  /**
   * Open a model folder: every name, type, shape and size is checked before it is used.
   * @param {ModelSource} source the folder's address, or its three files as bytes, by name
   * @returns {Promise<RecurrentLM>}
   * @throws {CarouselError} missing, damaged or foreign files, in one line
   */
  static async load(source) {
    const [configFile, weightsFile, tokenizerFile] = await Promise.all(
      FILES.map((name) => readFile(source, name)),
    );
    const config = parseConfig(toText(configFile, 'config.json'));
    const tokenizer = Tokenizer.fromJson(toText(tokenizerFile, 'tokenizer.json'));
    if (tokenizer.vocabSize !== config.vocab_size) {
      throw new CarouselError(
        `tokenizer.json has ${tokenizer.vocabSize} tokens, config.json says ${config.vocab_size}`,
      );
    }
    const weights = readWeights(weightsFile, config);
    const hashes = parseHashes(toText(configFile, 'config.json'));
    await checkHashes(hashes, weightsFile, tokenizerFile);
    const hash = (await sha256(weightsFile)).slice(0, 8);
    return new RecurrentLM(config, weights, tokenizer, hash);
  }

  /** The state before anything was read: zeros. @returns {State} */
  initialState() {
    const size = this.config.layers * this.config.hidden_size;
    const belt = this.cell.states.includes('c');
    return { h: new Float32Array(size), c: belt ? new Float32Array(size) : null };
  }

  /**
   * The embedding of a token, `[E]`: a view.
   * @param {number} id
   */
  embed(id) {
    const E = this.config.embedding_size;
    return this.embedding.subarray(id * E, (id + 1) * E);
  }

  /**
   * What the decoder reads, `[P]`, of the last layer's `h [H]`: itself without a projection.
   * @param {Float32Array} h
   * @param {Float32Array} [out] where it goes
   */
  project(h, out = new Float32Array(decoderWidth(this.config))) {
    if (this.projection) linear(h, this.projection, null, out);
    else out.set(h);
    return out;
  }

  /**
   * Read one token.
   * @param {number} id
   * @param {State} state
   * @returns {{logits: Float32Array, state: State}} `[V]`, and the new state
   */
  step(id, state) {
    const { hidden, state: after } = this.read([id], state);
    return { logits: this.logits(hidden), state: after };
  }

  /**
   * Read tokens.
   * @param {ArrayLike<number>} ids `[T]`
   * @param {State} state not changed
   * @param {EditAt} [edit] sees every gate and state, and may change it in place
   * @returns {{hidden: Float32Array, state: State}} what the decoder reads, `[T, P]`, and the
   *   state after the last token
   */
  read(ids, state, edit) {
    const { cell, config } = this;
    const [T, H, P] = [ids.length, config.hidden_size, decoderWidth(config)];
    const after = { h: state.h.slice(), c: state.c ? state.c.slice() : null };
    const hidden = new Float32Array(T * P);
    const pre = {
      x: new Float32Array(cell.stacked.length * H),
      h: new Float32Array(cell.stacked.length * H),
    };
    const gates = Object.fromEntries(cell.made.map((name) => [name, new Float32Array(H)]));
    for (let t = 0; t < T; t++) {
      // Where each line is a text of its own, its end is read from a zero state.
      if (config.carry_state === false && ids[t] === LINE_END_ID) {
        after.h.fill(0);
        after.c?.fill(0);
      }
      let x = this.embed(ids[t]);
      for (let layer = 0; layer < config.layers; layer++) {
        const h = after.h.subarray(layer * H, (layer + 1) * H);
        const c = after.c ? after.c.subarray(layer * H, (layer + 1) * H) : null;
        cell.project(this.layers[layer], x, { h, c }, pre);
        /** @type {import('../types.js').Edit | undefined} */
        const editHere = edit && ((name, value) => edit(`layers.${layer}.${name}`, t, value));
        cell.update(this.layers[layer], pre, { h, c }, gates, editHere);
        h.set(gates.h);
        c?.set(gates.c);
        x = h;
      }
      this.project(x, hidden.subarray(t * P, (t + 1) * P));
    }
    return { hidden, state: after };
  }

  /**
   * Logits of every token; of an adaptive softmax, log-probabilities.
   * @param {Float32Array} hidden `[P]`
   * @returns {Float32Array} `[V]`
   */
  logits(hidden) {
    return this.decoder.logits(hidden);
  }
}

/**
 * One file of a model folder.
 * @param {ModelSource} source
 * @param {string} name
 * @returns {Promise<ArrayBuffer>}
 * @throws {CarouselError} it is not there
 */
export async function readFile(source, name) {
  if (typeof source !== 'string' && !(source instanceof URL)) {
    if (source[name] instanceof ArrayBuffer) return source[name];
    throw new CarouselError(`${name} is missing: not a model folder, or not a whole one`);
  }
  const address = `${String(source).replace(/\/$/, '')}/${name}`;
  let response;
  try {
    response = await fetch(address);
  } catch {
    throw new CarouselError(`${address} can't be read: is the server still running?`);
  }
  if (!response.ok) {
    throw new CarouselError(`${address} is missing: not a model folder, or not a whole one`);
  }
  return response.arrayBuffer();
}

/**
 * A file's text.
 * @param {ArrayBuffer} bytes
 * @param {string} name
 * @throws {CarouselError} it is not UTF-8
 */
export function toText(bytes, name) {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new CarouselError(`${name} is not UTF-8 text`);
  }
}

/**
 * Check that the files were written together: they are fetched one by one, and the folder may be
 * replaced meanwhile. Older folders have no hashes.
 *
 * @param {Record<string, unknown> | null} hashes
 * @param {ArrayBuffer} weightsFile
 * @param {ArrayBuffer} tokenizerFile
 * @throws {CarouselError} they were not
 */
async function checkHashes(hashes, weightsFile, tokenizerFile) {
  if (!hashes || !globalThis.crypto?.subtle) return;
  const header = weightsFile.slice(0, parseHeader(weightsFile).start);
  const digests = {
    'model.safetensors': await sha256(header),
    'tokenizer.json': await sha256(tokenizerFile),
  };
  for (const [name, digest] of Object.entries(digests)) {
    if (hashes[name] !== digest) {
      throw new CarouselError(`${name} is not the one that config.json was written with`);
    }
  }
}

/**
 * The hexadecimal digits of a hash, or '' where the page is served without encryption.
 * @param {ArrayBuffer} bytes
 */
async function sha256(bytes) {
  const subtle = globalThis.crypto?.subtle;
  if (!subtle) return '';
  const digest = new Uint8Array(await subtle.digest('SHA-256', bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
