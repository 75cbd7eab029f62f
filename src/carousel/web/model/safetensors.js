/**
 * The weights of a model from a safetensors file, checked before it is believed; mirrors
 * `weights_file.py` and `storage.py`. Matrices may be float32, bfloat16, or int8 with a scale a
 * row (`NAME.scale`), plain or in tiles of 16 rows by 4 columns. All come out as float32.
 */

import { isTable, modelShapes, parseJson } from './config.js';
import { CarouselError } from './errors.js';

/** @typedef {import('../types.js').Config} Config */
/** @typedef {{dtype: string, shape: number[], data_offsets: [number, number]}} Entry */

const FILE = 'model.safetensors';
const LARGEST_HEADER = 2 ** 20;
const LARGEST_SCALE = 3.4028234663852886e38 / 127;
const [HIGH, WIDE] = [16, 4];
/** @type {Record<string, number>} */
const BYTES = { F32: 4, BF16: 2, I8: 1 };
const KINDS = { float32: 'F32', bfloat16: 'BF16', int8: 'I8' };

/**
 * Every weight of a model in float32, by name.
 *
 * @param {ArrayBuffer} buffer the file
 * @param {Config} config says which tensors must be there, of which shape
 * @returns {Map<string, Float32Array>} views of `buffer` where the file holds float32
 * @throws {CarouselError} anything in the file that differs from that; values that are not finite
 */
export function readWeights(buffer, config) {
  const { header, start } = parseHeader(buffer);
  const shapes = modelShapes(config);
  const tensors = expectedTensors(shapes, config, header);
  for (const name of tensors.keys()) {
    if (!header.has(name)) throw new CarouselError(`${FILE} lacks ${name}`);
  }
  for (const name of header.keys()) {
    if (!tensors.has(name)) {
      throw new CarouselError(`${FILE} holds ${name}, which config.json does not`);
    }
  }
  checkSpans(header, tensors, buffer.byteLength - start);
  /** @type {Map<string, Float32Array>} */
  const weights = new Map();
  for (const [name, shape] of shapes) {
    const entry = /** @type {Entry} */ (header.get(name));
    const values = toFloat32(buffer, start, entry, shape, header.get(`${name}.scale`), name);
    if (!allFinite(values)) {
      throw new CarouselError(`${FILE}: ${name} holds a value that is not finite`);
    }
    weights.set(name, values);
  }
  return weights;
}

/**
 * The header of a safetensors file, and where its data starts.
 *
 * @param {ArrayBuffer} buffer
 * @returns {{header: Map<string, Entry>, start: number}}
 * @throws {CarouselError} no safetensors file, or one that is cut short
 */
export function parseHeader(buffer) {
  const size = buffer.byteLength;
  const length = size < 8 ? 0 : Number(new DataView(buffer).getBigUint64(0, true));
  if (length < 2 || length > Math.min(LARGEST_HEADER, size - 8)) {
    throw new CarouselError(`${FILE} is not a safetensors file, or is cut short`);
  }
  const table = parseJson(new TextDecoder().decode(new Uint8Array(buffer, 8, length)), FILE);
  if (!isTable(table)) {
    throw new CarouselError(`${FILE} is not a safetensors file: its header is no table`);
  }
  /** @type {Map<string, Entry>} */
  const header = new Map();
  for (const [name, entry] of Object.entries(table)) {
    if (name === '__metadata__') continue;
    if (!isEntry(entry)) {
      throw new CarouselError(`${FILE}: ${name} is not described as safetensors does`);
    }
    header.set(name, entry);
  }
  return { header, start: 8 + length };
}

/**
 * @param {unknown} entry
 * @returns {entry is Entry}
 */
function isEntry(entry) {
  if (!isTable(entry) || typeof entry.dtype !== 'string') return false;
  const { shape, data_offsets: offsets } = entry;
  return (
    Array.isArray(shape) && shape.every(Number.isInteger) &&
    Array.isArray(offsets) && offsets.length === 2 && offsets.every(Number.isInteger)
  );
}

/**
 * The type and the shape that each tensor of the file must have. An int8 matrix may lie in tiles.
 * @param {Map<string, number[]>} shapes
 * @param {Config} config
 * @param {Map<string, Entry>} header
 */
function expectedTensors(shapes, config, header) {
  const kind = KINDS[config.dtype];
  /** @type {Map<string, {kind: string, shape: number[]}>} */
  const tensors = new Map();
  for (const [name, shape] of shapes) {
    if (shape.length !== 2) {
      tensors.set(name, { kind: 'F32', shape });
    } else if (kind !== 'I8') {
      tensors.set(name, { kind, shape });
    } else {
      const [rows, columns] = shape;
      const inTiles = header.get(name)?.shape.length === 4;
      const tiles = [Math.ceil(rows / HIGH), Math.ceil(columns / WIDE), HIGH, WIDE];
      tensors.set(name, { kind, shape: inTiles ? tiles : shape });
      tensors.set(`${name}.scale`, { kind: 'F32', shape: [rows] });
    }
  }
  return tensors;
}

/**
 * @param {Map<string, Entry>} header
 * @param {Map<string, {kind: string, shape: number[]}>} tensors
 * @param {number} size bytes of data that the file has
 */
function checkSpans(header, tensors, size) {
  const spans = [];
  for (const [name, { kind, shape }] of tensors) {
    const entry = /** @type {Entry} */ (header.get(name));
    if (entry.dtype !== kind) {
      throw new CarouselError(`${FILE}: ${name} is of type ${entry.dtype}, not ${kind}`);
    }
    if (entry.shape.join() !== shape.join()) {
      throw new CarouselError(`${FILE}: ${name} has shape [${entry.shape}], not [${shape}]`);
    }
    const [start, stop] = entry.data_offsets;
    if (start < 0 || stop - start !== BYTES[kind] * shape.reduce((a, b) => a * b, 1)) {
      throw new CarouselError(`${FILE}: ${name} is not as long as its shape says`);
    }
    spans.push(entry.data_offsets);
  }
  let end = 0;
  for (const [start, stop] of spans.sort((a, b) => a[0] - b[0] || a[1] - b[1])) {
    if (start !== end) throw new CarouselError(`${FILE}: its tensors overlap or leave gaps`);
    end = stop;
  }
  if (end !== size) {
    throw new CarouselError(`${FILE} is ${size < end ? 'cut short' : 'longer than its tensors'}`);
  }
}

/**
 * @param {ArrayBuffer} buffer
 * @param {number} base where the file's data starts
 * @param {Entry} entry
 * @param {number[]} shape
 * @param {Entry | undefined} scaleEntry
 * @param {string} name
 */
function toFloat32(buffer, base, entry, shape, scaleEntry, name) {
  const [start, stop] = entry.data_offsets;
  if (entry.dtype === 'F32') return floats(buffer, base + start, base + stop);
  if (entry.dtype === 'BF16') {
    const stored = new Uint16Array(buffer.slice(base + start, base + stop));
    // A bfloat16 is the upper half of a float32.
    const bits = new Uint32Array(stored.length);
    for (let k = 0; k < bits.length; k++) bits[k] = stored[k] << 16;
    return new Float32Array(bits.buffer);
  }
  const [first, last] = /** @type {Entry} */ (scaleEntry).data_offsets;
  const scale = floats(buffer, base + first, base + last);
  if (!scale.every((value) => value > 0 && value <= LARGEST_SCALE)) {
    throw new CarouselError(`${FILE}: ${name} holds a scale that is not positive and finite`);
  }
  const stored = new Int8Array(buffer, base + start, stop - start);
  if (stored.includes(-128)) throw new CarouselError(`${FILE}: ${name} holds the value -128`);
  return scaled(stored, scale, shape, entry.shape.length === 4);
}

/**
 * An int8 matrix times its rows' scales.
 * @param {Int8Array} stored
 * @param {Float32Array} scale
 * @param {number[]} shape
 * @param {boolean} inTiles
 */
function scaled(stored, scale, [rows, columns], inTiles) {
  const wide = new Float32Array(rows * columns);
  const across = Math.ceil(columns / WIDE);
  for (let n = 0; n < rows; n++) {
    // Within a tile: 16 rows of 4 columns each.
    const tile = (Math.floor(n / HIGH) * across * HIGH + (n % HIGH)) * WIDE;
    for (let k = 0; k < columns; k++) {
      const at = inTiles ? tile + (k >> 2) * HIGH * WIDE + (k & 3) : n * columns + k;
      wide[n * columns + k] = stored[at] * scale[n];
    }
  }
  return wide;
}

/**
 * @param {ArrayBuffer} buffer
 * @param {number} start
 * @param {number} stop
 */
function floats(buffer, start, stop) {
  // Only a foreign file lays floats where they can't be read as they are.
  return start % 4 === 0
    ? new Float32Array(buffer, start, (stop - start) / 4)
    : new Float32Array(buffer.slice(start, stop));
}

/** @param {Float32Array} values */
function allFinite(values) {
  let sum = 0;
  // Not a number and infinity survive a sum.
  for (let k = 0; k < values.length; k++) sum += values[k];
  return Number.isFinite(sum);
}
