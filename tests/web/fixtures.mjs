// What `fixtures.py` wrote into the folder that CAROUSEL_FIXTURES names.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { atStrength, sweepSteps } from '../../src/carousel/web/lens/sweep.js';
import { RecurrentLM } from '../../src/carousel/web/model/recurrent_lm.js';

const FOLDER = process.env.CAROUSEL_FIXTURES;
assert.ok(FOLDER, 'CAROUSEL_FIXTURES names the folder that tests/web/fixtures.py wrote');

export const FILES = ['config.json', 'model.safetensors', 'tokenizer.json'];

/** A table of Python's. */
export function table(name) {
  return JSON.parse(readFileSync(join(FOLDER, `${name}.json`), 'utf8'));
}

/** A model folder's files as bytes. */
export function filesOf(name) {
  const folder = table('table').stories.includes(name) ? table(name).folder : join(FOLDER, name);
  return Object.fromEntries(
    FILES.map((file) => {
      const bytes = readFileSync(join(folder, file));
      return [file, bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength)];
    }),
  );
}

export function loadModel(name) {
  return RecurrentLM.load(filesOf(name));
}

/** Every model that has a description, and that. */
export function described() {
  const { models, stories } = table('table');
  return [...models, ...stories].map((name) => [name, table(name)]);
}

/** Numbers agree to `tolerance`, all of them. */
export function near(got, wanted, what, tolerance = 1e-5) {
  assert.equal(got.length, wanted.length, `${what}: length`);
  for (let n = 0; n < wanted.length; n++) {
    // A comparison with NaN is false, so that NaN fails.
    const fine = Math.abs(got[n] - wanted[n]) <= tolerance * Math.max(1, Math.abs(wanted[n]));
    assert.ok(fine, `${what}: ${got[n]} at ${n}, not ${wanted[n]}`);
  }
}

export function idsOf(model, text) {
  return model.tokenizer.encode(text).map((token) => token.id);
}

/** What the decoder's biases put into the difference of two logits; clusters have none. */
export function biasOf({ config, decoder }, first, second) {
  const head = config.cutoffs[0] ?? config.vocab_size;
  return Math.max(first, second) < head ? decoder.bias[first] - decoder.bias[second] : 0;
}

/** A hold of a place by a slider from -1 to 1. */
export const slide = (place, position) =>
  atStrength({ ...place, kind: 'toward', value: 1, strength: 0 }, position);

/** The whole sweep at once; see `sweepSteps`. */
export function sweep(...given) {
  const steps = sweepSteps(...given);
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}
