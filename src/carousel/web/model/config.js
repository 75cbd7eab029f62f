/** `config.json`, checked before it is believed, and the shapes of the weights that it asks for. */

import { CELLS, weightShapes } from './cells.js';
import { CarouselError } from './errors.js';

/** @typedef {import('../types.js').Config} Config */

const FORMAT = 1;
const LARGEST_SIZE = 2 ** 24;
const LARGEST_LAYERS = 64;
const DTYPES = ['float32', 'bfloat16', 'int8'];
const REQUIRED = [
  'cell', 'vocab_size', 'embedding_size', 'hidden_size', 'layers', 'tied', 'projection_size',
  'biases',
];
/** The id of the end of a line, in every vocabulary. */
export const LINE_END_ID = 1;
/** Fields that came after the format: absent where they have their default, as in older files. */
const LATER = { dtype: 'float32', cutoffs: [], tail_sizes: [], carry_state: true };

/**
 * The configuration that a `config.json` holds.
 *
 * @param {string} text
 * @returns {Config}
 * @throws {CarouselError} not JSON, of another format, or with a field missing, unknown or wrong
 */
export function parseConfig(text) {
  const table = parseJson(text, 'config.json');
  if (!isTable(table) || !('format' in table)) {
    throw new CarouselError('config.json is not a Carousel configuration');
  }
  const { format, sha256: hashes, ...fields } = table;
  if (format !== FORMAT) {
    throw new CarouselError(
      `config.json is of another format than ${FORMAT}: made by a newer version?`,
    );
  }
  const known = [...REQUIRED, ...Object.keys(LATER)];
  const odd = [
    ...REQUIRED.filter((name) => !(name in fields)),
    ...Object.keys(fields).filter((name) => !known.includes(name)),
  ];
  if (odd.length) throw new CarouselError(`config.json: missing or unknown: ${odd.join(', ')}`);
  const config = /** @type {Config} */ (/** @type {unknown} */ ({ ...LATER, ...fields }));
  if (hashes !== undefined && !isTable(hashes)) {
    throw new CarouselError('config.json: sha256 must be a table');
  }
  const wrong = fault(config);
  if (wrong) throw new CarouselError(`config.json: ${wrong}`);
  return config;
}

/**
 * The hashes that a `config.json` states of the other files, or null where it is older.
 *
 * @param {string} text one that `parseConfig` has taken
 * @returns {Record<string, unknown> | null}
 */
export function parseHashes(text) {
  const table = parseJson(text, 'config.json');
  return isTable(table) && isTable(table.sha256) ? table.sha256 : null;
}

/**
 * What is wrong with a configuration, or null.
 * @param {Config} config
 */
function fault(config) {
  if (!Object.hasOwn(CELLS, config.cell)) {
    return `cell must be one of ${Object.keys(CELLS).join(', ')}`;
  }
  for (const name of /** @type {const} */ (['vocab_size', 'embedding_size', 'hidden_size'])) {
    if (!isSize(config[name])) return `${name} must be 1 to ${LARGEST_SIZE}`;
  }
  if (!isSize(config.layers, LARGEST_LAYERS)) return `layers must be 1 to ${LARGEST_LAYERS}`;
  if (config.projection_size !== 0 && !isSize(config.projection_size)) {
    return `projection_size must be 0 to ${LARGEST_SIZE}`;
  }
  if (typeof config.tied !== 'boolean') return 'tied must be true or false';
  if (typeof config.biases !== 'boolean') return 'biases must be true or false';
  if (typeof config.carry_state !== 'boolean') return 'carry_state must be true or false';
  if (config.tied && decoderWidth(config) !== config.embedding_size) {
    const [wanted, given] = [config.embedding_size, decoderWidth(config)];
    return `a tied decoder reads embedding_size ${wanted} values, but ${given} come in`;
  }
  if (!DTYPES.includes(config.dtype)) return `dtype must be one of ${DTYPES.join(', ')}`;
  return clustersFault(config);
}

/** @param {Config} config */
function clustersFault(config) {
  const { cutoffs, tail_sizes: sizes, vocab_size: V } = config;
  if (!Array.isArray(cutoffs) || !Array.isArray(sizes) || cutoffs.length > LARGEST_LAYERS) {
    return 'cutoffs and tail_sizes must be lists';
  }
  const bounds = [0, ...cutoffs, V];
  for (let k = 1; k < bounds.length; k++) {
    if (!Number.isInteger(bounds[k]) || bounds[k] <= bounds[k - 1]) {
      return `cutoffs must rise from above 0 to below vocab_size ${V}`;
    }
  }
  if (sizes.length !== cutoffs.length || !sizes.every((size) => isSize(size))) {
    return `tail_sizes must be one width for each of ${cutoffs.length} cutoffs`;
  }
  if (config.tied && sizes.some((size) => size !== config.embedding_size)) {
    return `clusters tied with the embedding are ${config.embedding_size} wide`;
  }
  return null;
}

/**
 * How many values the decoder reads: `P`.
 * @param {Config} config
 */
export function decoderWidth(config) {
  return config.projection_size || config.hidden_size;
}

/**
 * The ids of each cluster of an adaptive softmax, from `start` to below `stop`.
 * @param {Config} config
 * @returns {{start: number, stop: number}[]}
 */
export function clusters(config) {
  return config.cutoffs.map((start, k) => ({
    start,
    stop: config.cutoffs[k + 1] ?? config.vocab_size,
  }));
}

/**
 * The shape of every weight of such a model, by the name it has on disk.
 * @param {Config} config
 * @returns {Map<string, number[]>}
 */
export function modelShapes(config) {
  /** @type {Map<string, number[]>} */
  const shapes = new Map([['embedding.weight', [config.vocab_size, config.embedding_size]]]);
  let width = config.embedding_size;
  for (let layer = 0; layer < config.layers; layer++) {
    const shapesOfLayer = weightShapes(CELLS[config.cell], width, config.hidden_size);
    for (const [name, shape] of Object.entries(shapesOfLayer)) {
      if (config.biases || !name.startsWith('bias')) shapes.set(`layers.${layer}.${name}`, shape);
    }
    width = config.hidden_size;
  }
  const P = decoderWidth(config);
  if (config.projection_size) shapes.set('projection.weight', [P, config.hidden_size]);
  if (config.cutoffs.length) {
    const n = config.cutoffs.length;
    const head = config.cutoffs[0] + n;
    shapes.set('decoder.head.bias', [head]);
    if (config.tied) shapes.set('decoder.clusters.weight', [n, P]);
    else shapes.set('decoder.head.weight', [head, P]);
    clusters(config).forEach(({ start, stop }, k) => {
      shapes.set(`decoder.tail.${k}.0.weight`, [config.tail_sizes[k], P]);
      if (!config.tied) {
        shapes.set(`decoder.tail.${k}.1.weight`, [stop - start, config.tail_sizes[k]]);
      }
    });
    return shapes;
  }
  if (!config.tied) shapes.set('decoder.weight', [config.vocab_size, P]);
  return shapes.set('decoder.bias', [config.vocab_size]);
}

/**
 * How many numbers are learned.
 * @param {Config} config
 */
export function parameterCount(config) {
  let count = 0;
  for (const shape of modelShapes(config).values()) count += shape.reduce((a, b) => a * b, 1);
  return count;
}

/**
 * JSON, or one clear line.
 * @param {string} text
 * @param {string} where
 * @returns {unknown}
 */
export function parseJson(text, where) {
  try {
    return JSON.parse(text);
  } catch {
    throw new CarouselError(`${where} is not JSON, or is cut short`);
  }
}

/**
 * @param {unknown} value
 * @returns {value is Record<string, unknown>}
 */
export function isTable(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * @param {unknown} value
 * @param {number} [most]
 */
function isSize(value, most = LARGEST_SIZE) {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= most;
}
