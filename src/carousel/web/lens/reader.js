/**
 * A model that is open: what a page asks of it, in this thread or in a worker. A large model reads
 * for longer than a frame of the screen lasts, so it gets a thread of its own.
 */

import { parameterCount, parseConfig } from '../model/config.js';
import { CarouselError } from '../model/errors.js';
import { likeliest, nextWords } from '../model/next_words.js';
import { readFile, RecurrentLM, toText } from '../model/recurrent_lm.js';
import { Tokenizer } from '../model/tokenizer.js';
import { decisionDirection } from './decision.js';
import { firstChanges, readTrace, Trace } from './trace.js';
import { sweepSteps } from './sweep.js';

/** @typedef {import('../types.js').Hold} Hold */
/** @typedef {import('../types.js').ModelSource} ModelSource */
/** @typedef {import('../types.js').NextWordsOptions} NextWordsOptions */
/** @typedef {import('../types.js').Reader} Reader */

/** Above so many parameters a model gets a worker: a word takes over a millisecond there. */
const LARGE = 1_000_000;
/** Bytes of traces that are kept for the next reading. */
const KEPT_BYTES = 64e6;
/** Milliseconds after which a sweep lets other questions through, and for which it waits for more. */
const PATIENCE = 40;
/** Readings whose logits are kept: several questions about one position cost one decoding. */
const KEPT_LOGITS = 4;

/**
 * Open a model folder.
 *
 * @param {ModelSource} source the folder's address, or its three files as bytes, by name
 * @param {() => string} workerAddress where `reader_worker.js` is; asked for a large model
 * @param {{worker?: boolean}} [options] left out, a large model gets a worker
 * @returns {Promise<Reader>}
 * @throws {CarouselError} missing, damaged or foreign files, in one line
 */
export async function openReader(source, workerAddress, { worker } = {}) {
  const config = parseConfig(toText(await readFile(source, 'config.json'), 'config.json'));
  if (worker ?? parameterCount(config) > LARGE) return RemoteReader.open(source, workerAddress());
  return new LocalReader(await RecurrentLM.load(source));
}

/** A model in this thread. */
export class LocalReader {
  /** @param {RecurrentLM} model */
  constructor(model) {
    this.model = model;
    this.config = model.config;
    this.tokenizer = model.tokenizer;
    this.hash = model.hash;
    /** The last traces, the latest first. @type {Trace[]} */
    this.traces = [];
    /** @type {Decoded<Float32Array>[]} */
    this.decoded = [];
    /** How many sweeps were asked for; only the last one is read to its end. */
    this.sweeps = 0;
    /** When the last question was answered. */
    this.answered = 0;
  }

  /** @type {Reader['trace']} */
  async trace(ids, holds = []) {
    const trace = this.#trace(ids, holds);
    this.answered = performance.now();
    return trace;
  }

  /** @param {ArrayLike<number>} ids @param {Hold[]} holds */
  #trace(ids, holds) {
    const { eolId } = this.tokenizer;
    const all = Int32Array.of(eolId, ...Array.from(ids));
    const { layers } = this.config;
    let [previous, most] = [/** @type {Trace | null} */ (null), 0];
    for (const trace of this.traces) {
      const starts = firstChanges(all, holds, layers, trace);
      const common = starts.reduce((sum, start) => sum + start, 0);
      const same = trace.length === all.length && starts[layers] === all.length;
      if (same && JSON.stringify(trace.holds) === JSON.stringify(holds)) return this.#keep(trace);
      if (common > most) [previous, most] = [trace, common];
    }
    return this.#keep(readTrace(this.model, ids, holds, previous));
  }

  /** @type {Reader['logits']} */
  async logits(hidden) {
    return this.#decode(hidden);
  }

  /** @param {Float32Array} hidden */
  #decode(hidden) {
    const logits = decodeOnce(this.decoded, hidden, () => this.model.logits(hidden));
    this.answered = performance.now();
    return logits;
  }

  /** @type {Reader['nextWords']} */
  async nextWords(trace, at, options = {}) {
    let place = at;
    // A space before a word to come is part of that word's search.
    if (!this.tokenizer.wholeWords) {
      while (place && this.tokenizer.show(trace.ids[place]) === ' ') place--;
    }
    const lineStart = trace.ids[place] === this.tokenizer.eolId;
    const logits = this.#decode(trace.hiddenAt(place));
    return nextWords(this.model, logits, trace.stateAt(place), { ...options, lineStart });
  }

  /** @type {Reader['sweep']} */
  async sweep(trace, hold, strengths, first, second, at) {
    const number = ++this.sweeps;
    const whole = this.#trace(trace.ids.subarray(1), trace.holds);
    const steps = sweepSteps(this.model, whole, hold, strengths, first, second, at);
    let since = performance.now();
    while (number === this.sweeps) {
      const step = steps.next();
      if (step.done) return step.value;
      if (performance.now() - since < PATIENCE) continue;
      do await new Promise((resolve) => setTimeout(resolve, this.answered > since ? PATIENCE : 0));
      while (performance.now() - this.answered < PATIENCE);
      since = performance.now();
    }
    return null;
  }

  /** @type {Reader['stop']} */
  async stop() {
    this.sweeps++;
  }

  /** @type {Reader['direction']} */
  async direction(first, second) {
    return decisionDirection(this.model, first, second);
  }

  close() {
    this.traces = [];
  }

  /** @param {Trace} trace */
  #keep(trace) {
    const others = this.traces.filter((other) => other !== trace);
    let bytes = 0;
    this.traces = [trace, ...others].filter((kept) => {
      for (const part of [...Object.values(kept.values), ...kept.inputs]) bytes += part.byteLength;
      return kept === trace || bytes < KEPT_BYTES;
    });
    // More are of no use: a page shows two texts, each as it is and held.
    this.traces.length = Math.min(this.traces.length, 6);
    return trace;
  }
}

/** A model in a worker. What goes to and fro are ids, holds and traces' data. */
class RemoteReader {
  /**
   * @param {Worker} worker
   * @param {{config: import('../types.js').Config, hash: string}} about
   * @param {Tokenizer} tokenizer
   */
  constructor(worker, about, tokenizer) {
    this.worker = worker;
    this.config = about.config;
    this.hash = about.hash;
    this.tokenizer = tokenizer;
    /** @type {Decoded<Promise<Float32Array>>[]} */
    this.decoded = [];
  }

  /** @param {ModelSource} source @param {string} address of the worker's script */
  static async open(source, address) {
    // What stands in a file that is opened from disk is no module, and has no imports.
    const worker = new Worker(address, { type: address.startsWith('blob:') ? 'classic' : 'module' });
    const where = source instanceof URL || typeof source === 'string'
      ? new URL(source, document.baseURI).href
      : source;
    try {
      // The tokenizer is small, and typing can't wait for a thread that is reading.
      const [about, file] = await Promise.all([
        ask(worker, 'open', [where]),
        readFile(source, 'tokenizer.json'),
      ]);
      return new RemoteReader(worker, about, Tokenizer.fromJson(toText(file, 'tokenizer.json')));
    } catch (error) {
      worker.terminate();
      throw error;
    }
  }

  /** @type {Reader['trace']} */
  async trace(ids, holds = []) {
    return new Trace(await ask(this.worker, 'trace', [Int32Array.from(ids), holds]));
  }

  /** @type {Reader['logits']} */
  logits(hidden) {
    return decodeOnce(this.decoded, hidden, () => ask(this.worker, 'logits', [hidden.slice()]));
  }

  /** @type {Reader['nextWords']} */
  async nextWords(trace, at, options = {}) {
    const { tokenizer } = this;
    // Words are found here in what `logits` gives, which is asked for anyway.
    if (tokenizer.wholeWords) {
      return likeliest(tokenizer, await this.logits(trace.hiddenAt(at)), options.k, tokenizer.normalize(options.prefix ?? ''));
    }
    return ask(this.worker, 'nextWords', [keyOf(trace), at, options]);
  }

  /** @type {Reader['sweep']} */
  sweep(trace, hold, strengths, first, second, at) {
    const given = [keyOf(trace), hold, Float64Array.from(strengths), first, second, at];
    return ask(this.worker, 'sweep', given);
  }

  /** @type {Reader['stop']} */
  stop() {
    return ask(this.worker, 'stop', []);
  }

  /** @type {Reader['direction']} */
  direction(first, second) {
    return ask(this.worker, 'direction', [first, second]);
  }

  close() {
    this.worker.terminate();
  }
}

/** What was decoded. @template T @typedef {{hidden: Float32Array, logits: T}} Decoded */

/**
 * What `hidden` was decoded to before, or is now; the last ones are kept.
 * @template T @param {Decoded<T>[]} kept @param {Float32Array} hidden @param {() => T} decode @returns {T}
 */
function decodeOnce(kept, hidden, decode) {
  const known = kept.find((one) => one.hidden.every((value, k) => value === hidden[k]));
  if (known) return known.logits;
  kept.unshift({ hidden: hidden.slice(), logits: decode() });
  kept.length = Math.min(kept.length, KEPT_LOGITS);
  return kept[0].logits;
}

/** What tells a trace: the worker has it still, or reads it again. @param {Trace} trace */
function keyOf(trace) {
  return { ids: trace.ids.slice(1), holds: trace.holds };
}

let questions = 0;

/**
 * @param {Worker} worker
 * @param {string} method
 * @param {unknown[]} given
 * @returns {Promise<any>}
 */
function ask(worker, method, given) {
  const number = questions++;
  return new Promise((resolve, reject) => {
    /** @param {MessageEvent} event */
    const answered = ({ data }) => {
      if (data.number !== number) return;
      finish();
      if ('error' in data) reject(new CarouselError(data.error));
      else resolve(data.result);
    };
    const failed = () => {
      finish();
      reject(new CarouselError("the model's own thread can't be started"));
    };
    const finish = () => {
      worker.removeEventListener('message', answered);
      worker.removeEventListener('error', failed);
    };
    worker.addEventListener('message', answered);
    worker.addEventListener('error', failed);
    worker.postMessage({ number, method, given });
  });
}
