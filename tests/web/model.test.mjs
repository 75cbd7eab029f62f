import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CELLS } from '../../src/carousel/web/model/cells.js';
import { parseConfig, parameterCount } from '../../src/carousel/web/model/config.js';
import { readWeights } from '../../src/carousel/web/model/safetensors.js';
import { logSoftmax, softmax, topK } from '../../src/carousel/web/model/softmax.js';
import { biasOf, described, filesOf, idsOf, loadModel, near, table } from './fixtures.mjs';

for (const [name, { text, ids, values, logits }] of described()) {
  test(`${name}: reads as Python does, word by word and at once`, async () => {
    const model = await loadModel(name);
    const { vocab_size: V, hidden_size: H } = model.config;
    assert.deepEqual(idsOf(model, text), ids);
    const seen = Object.fromEntries(Object.keys(values).map((point) => [point, []]));
    const line = [model.tokenizer.eolId, ...ids];
    const { hidden, state } = model.read(line, model.initialState(), (point, t, value) => {
      assert.equal(seen[point].length, t * H);
      seen[point].push(...value);
    });
    for (const point of Object.keys(values)) near(seen[point], values[point], point);
    const P = hidden.length / line.length;
    let after = model.initialState();
    line.forEach((id, t) => {
      const wanted = logits.slice(t * V, (t + 1) * V);
      near(model.logits(hidden.subarray(t * P, (t + 1) * P)), wanted, `logits ${t}`);
      const step = model.step(id, after);
      near(step.logits, wanted, `step ${t}`);
      after = step.state;
    });
    near(after.h, state.h, 'state', 0);
    if (state.c) near(after.c, state.c, 'belt', 0);
  });

  test(`${name}: the difference of two logits is a product with one vector`, async () => {
    const model = await loadModel(name);
    const { hidden } = model.read([1, ...ids], model.initialState());
    const last = hidden.subarray(-hidden.length / (ids.length + 1));
    const scores = model.logits(last);
    for (const [a, b] of [[2, 3], [3, 9], [14, 15], [8, 9], [0, model.config.vocab_size - 1]]) {
      const found = model.decoder.direction(a, b);
      const cluster = (id) => model.config.cutoffs.findLastIndex((start) => id >= start);
      assert.equal(found === null, cluster(a) !== cluster(b), `${a}, ${b}`);
      if (!found) continue;
      const sum = found.reduce((all, weight, k) => all + weight * last[k], biasOf(model, a, b));
      near([sum], [scores[a] - scores[b]], `${a}, ${b}`);
    }
  });
}

test('the fixtures hold every cell, depth, format and decoder', () => {
  const pattern = /^(.*)-(\d)-(\w+\d+)-(.*)$/;
  const parts = table('table').models.map((name) => name.match(pattern).slice(1));
  const kinds = [0, 1, 2, 3].map((k) => new Set(parts.map((part) => part[k])));
  const [cells, layers, formats, decoders] = kinds;
  assert.deepEqual([...cells].sort(), Object.keys(CELLS).sort());
  // Six decoders, and one model that reads each line as a text of its own.
  assert.equal(layers.size * formats.size * decoders.size, 2 * 3 * 7);
});

test('the shipped models are told by their weights', async () => {
  const { createHash } = await import('node:crypto');
  for (const name of table('table').stories) {
    const bytes = new Uint8Array(filesOf(name)['model.safetensors']);
    const wanted = createHash('sha256').update(bytes).digest('hex').slice(0, 8);
    const model = await loadModel(name);
    assert.equal(model.hash, wanted);
    assert.ok(parameterCount(model.config) > 50_000);
  }
});

test('a damaged or foreign folder is refused in one line', async () => {
  const { RecurrentLM } = await import('../../src/carousel/web/model/recurrent_lm.js');
  const name = table('table').models.find((model) => model.includes('lstm-1-int8'));
  const refused = async (change, message) => {
    const files = filesOf(name);
    change(files);
    await assert.rejects(RecurrentLM.load(files), (error) => {
      assert.equal(error.name, 'CarouselError', error.stack);
      assert.match(error.message, message);
      return !error.message.includes('\n');
    });
  };
  const text = (value) => new TextEncoder().encode(value).buffer;
  const config = (change) => (files) => {
    const fields = JSON.parse(new TextDecoder().decode(files['config.json']));
    files['config.json'] = text(JSON.stringify({ ...fields, ...change }));
  };
  await refused((files) => delete files['tokenizer.json'], /tokenizer.json is missing/);
  await refused((files) => (files['config.json'] = text('{')), /not JSON/);
  await refused((files) => (files['config.json'] = text('[]')), /not a Carousel configuration/);
  await refused(config({ format: 2 }), /another format/);
  await refused(config({ cell: 'constructor' }), /cell must be one of/);
  await refused(config({ more: 1 }), /missing or unknown: more/);
  await refused(config({ hidden_size: 2 ** 25 }), /hidden_size must be/);
  await refused(config({ hidden_size: 8 }), /has shape/);
  await refused(config({ layers: 2 }), /lacks layers.1/);
  await refused(config({ dtype: 'float32' }), /is of type I8|holds .*scale/);
  await refused(config({ vocab_size: 9 }), /tokens, config.json says 9/);
  await refused(config({ cutoffs: [5, 5], tail_sizes: [1, 1] }), /cutoffs must rise/);
  await refused((files) => (files['tokenizer.json'] = text('{}')), /not a tokenizer/);
  const foreign = text('{"model": {"vocab": {"a": 5}}}');
  await refused((files) => (files['tokenizer.json'] = foreign), /not one that Carousel made/);
  await refused((files) => (files['model.safetensors'] = text('')), /not a safetensors file/);
  await refused((files) => {
    files['model.safetensors'] = files['model.safetensors'].slice(0, -1);
  }, /cut short/);
  await refused((files) => {
    const longer = new Uint8Array(files['model.safetensors'].byteLength + 1);
    longer.set(new Uint8Array(files['model.safetensors']));
    files['model.safetensors'] = longer.buffer;
  }, /longer than/);
  await refused((files) => {
    new DataView(files['model.safetensors']).setBigUint64(0, 2n ** 60n, true);
  }, /not a safetensors/);
});

test('no change of one byte of the header makes a model of another shape, or a crash', async () => {
  const name = table('table').models.find((model) => model.includes('lstm-2-bfloat16'));
  const files = filesOf(name);
  const config = parseConfig(new TextDecoder().decode(files['config.json']));
  const whole = new Uint8Array(files['model.safetensors']);
  const sizesOf = ({ buffer }) =>
    Array.from(readWeights(buffer, config), ([key, value]) => [key, value.length]);
  const sizes = sizesOf(whole.slice());
  const header = Number(new DataView(whole.buffer).getBigUint64(0, true));
  for (let at = 0; at < 8 + header; at++) {
    const bytes = whole.slice();
    bytes[at] ^= 1 << (at % 7);
    try {
      assert.deepEqual(sizesOf(bytes), sizes);
    } catch (error) {
      assert.equal(error.name, 'CarouselError', error.stack);
    }
  }
});

test('tensors that lie over one another are refused', () => {
  const name = table('table').models.find((model) => model.startsWith('lstm-2-float32'));
  const files = filesOf(name);
  const config = parseConfig(new TextDecoder().decode(files['config.json']));
  const bytes = new Uint8Array(files['model.safetensors']);
  const size = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + size)));
  header['layers.0.weight_hh'].data_offsets = header['layers.1.weight_hh'].data_offsets;
  const text = new TextEncoder().encode(JSON.stringify(header).padEnd(size));
  assert.equal(text.length, size);
  bytes.set(text, 8);
  assert.throws(() => readWeights(bytes.buffer, config), /overlap or leave gaps/);
});

test('values that are not finite are refused', () => {
  for (const name of table('table').models.filter((model) => model.startsWith('gru-1'))) {
    const files = filesOf(name);
    const config = parseConfig(new TextDecoder().decode(files['config.json']));
    const bytes = new Uint8Array(files['model.safetensors']);
    // The end of the data is NaN in float32 and bfloat16, and -1 or a scale in int8.
    bytes.fill(0xff, bytes.length - 4);
    const read = () => readWeights(bytes.buffer, config);
    if (config.dtype === 'int8') continue;
    assert.throws(read, /not finite/, name);
  }
});

test('the softmax adds up to one, whatever the size of the scores', () => {
  const total = softmax([1000, 999, -1000]).reduce((a, b) => a + b);
  near([total], [1], 'sum', 1e-12);
  near(logSoftmax([0, 0]), [Math.log(0.5), Math.log(0.5)], 'log', 1e-15);
});

test('the k best come in order, the first of equals first', () => {
  const scores = Array.from({ length: 200 }, (_, n) => (n * 7919) % 23);
  const order = scores.map((_, n) => n).sort((a, b) => scores[b] - scores[a]);
  for (const k of [1, 5, 200, 300]) assert.deepEqual(topK(scores, k), order.slice(0, k));
});
