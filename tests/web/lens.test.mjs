import assert from 'node:assert/strict';
import { test } from 'node:test';

import { align, distances } from '../../src/carousel/web/lens/align.js';
import { Belt } from '../../src/carousel/web/lens/belt.js';
import { decisionDirection, decisionShares } from '../../src/carousel/web/lens/decision.js';
import { withHold } from '../../src/carousel/web/lens/hold.js';
import { namesOf, pointsOf } from '../../src/carousel/web/lens/points.js';
import { LocalReader } from '../../src/carousel/web/lens/reader.js';
import { crossing, interpolate } from '../../src/carousel/web/lens/sweep.js';
import { holdsFor } from '../../src/carousel/web/reading.js';
import { readTrace } from '../../src/carousel/web/lens/trace.js';
import { nextWords } from '../../src/carousel/web/model/next_words.js';
import { softmax } from '../../src/carousel/web/model/softmax.js';
import { biasOf, described, idsOf, loadModel, near, slide, sweep, table } from './fixtures.mjs';

const SWITCH = 'krish likes pizza but his friend likes burger so his friend orders';

function checkTrace(model, trace, { values, logits }, what) {
  const V = model.config.vocab_size;
  for (const point of pointsOf(model.config)) {
    near(trace.values[point], values[point], `${what}: ${point}`);
  }
  const last = model.logits(trace.hiddenAt(trace.length - 1));
  near(last, logits.slice(-V), `${what}: logits`);
}

function same(a, b) {
  assert.deepEqual(a.values, b.values);
  assert.deepEqual(a.hidden, b.hidden);
}

for (const [name, python] of described()) {
  test(`${name}: trace, belt and decision are Python's`, async () => {
    const model = await loadModel(name);
    const trace = readTrace(model, python.ids);
    checkTrace(model, trace, python, 'trace');
    assert.deepEqual(Array.from(trace.ids, (id) => model.tokenizer.show(id)), python.words);
    const T = trace.length;
    python.belts.forEach(({ amounts, luggage }, layer) => {
      const belt = new Belt(trace, layer);
      belt.amounts().forEach((row, t) => near(row, amounts[t], `amounts ${t}`));
      near(belt.luggageAt(T - 1), luggage, 'luggage');
      assert.ok(belt.error() < 1e-5);
    });
    for (const { words: [first, second], shares } of python.decisions) {
      if (model.config.cell === 'rnn') {
        assert.throws(() => new Belt(trace, 0), { name: 'CarouselError' });
        continue;
      }
      const direction = decisionDirection(model, first, second);
      assert.equal(direction === null, shares === null);
      if (!direction) continue;
      const mine = decisionShares(new Belt(trace, model.config.layers - 1), direction, T - 1);
      near(mine, shares, 'shares', 3e-5);
      const scores = model.logits(trace.hiddenAt(T - 1));
      const bias = biasOf(model, first, second);
      const sum = mine.reduce((a, b) => a + b, bias);
      near([sum], [scores[first] - scores[second]], 'the shares add up', 3e-5);
    }
  });

  test(`${name}: held gates, read again from where they are held`, async () => {
    const model = await loadModel(name);
    let last = readTrace(model, python.ids);
    for (const { hold, ...held } of python.holds) {
      const alone = readTrace(model, python.ids, [hold]);
      checkTrace(model, alone, held, `${hold.kind} ${hold.gate}`);
      // What a hold puts on the belt is on the account of its word.
      if (model.config.cell !== 'rnn') assert.ok(new Belt(alone, hold.layer).error() < 1e-4);
      // Whatever was read before, the numbers are the same.
      last = readTrace(model, python.ids, [hold], last);
      same(last, alone);
    }
    same(readTrace(model, python.ids, [], last), readTrace(model, python.ids));
  });

  test(`${name}: a word typed or taken back, and two holds in any order`, async () => {
    const model = await loadModel(name);
    const { ids } = python;
    let typed = null;
    for (let n = 0; n <= ids.length; n++) typed = readTrace(model, ids.slice(0, n), [], typed);
    same(typed, readTrace(model, ids));
    same(readTrace(model, ids.slice(0, 3), [], typed), readTrace(model, ids.slice(0, 3)));
    same(readTrace(model, ids.with(4, ids[0]), [], typed), readTrace(model, ids.with(4, ids[0])));
    const [a, b] = [python.holds[0].hold, python.holds.at(-1).hold];
    let held = typed;
    const nothing = { ...b, strength: 0, kind: 'toward' };
    for (const holds of [[a], [a, b], [b], [b, a], [], [a, nothing]]) {
      held = readTrace(model, ids, holds, held);
      same(held, readTrace(model, ids, holds));
    }
  });
}

test('reading again costs only what changed', async () => {
  const name = table('table').models.find((model) => model.startsWith('lstm-2'));
  const model = await loadModel(name);
  const ids = table(name).ids;
  const counts = { projectX: 0, update: 0 };
  const counted = Object.create(model.cell);
  for (const method of Object.keys(counts)) {
    counted[method] = (...given) => {
      counts[method]++;
      model.cell[method](...given);
    };
  }
  const reading = Object.assign(Object.create(model), { cell: counted });
  let trace = null;
  const cost = (text, holds) => {
    Object.assign(counts, { projectX: 0, update: 0 });
    trace = readTrace(reading, text, holds, trace);
    return [counts.projectX, counts.update];
  };
  const T = ids.length + 1;
  const hold = { gate: 'f', units: null, to: 6, kind: 'toward', value: 1, strength: 0.5 };
  assert.deepEqual(cost(ids, []), [2 * T, 2 * T]);
  assert.deepEqual(cost([...ids, 2], []), [2, 2]);
  assert.deepEqual(cost(ids, []), [0, 0]);
  // A hold on the upper layer leaves the lower one, and all that comes from below, as it was.
  assert.deepEqual(cost(ids, [{ ...hold, layer: 1, from: 4 }]), [0, T - 4]);
  assert.deepEqual(cost(ids, []), [0, T - 4]);
  assert.deepEqual(cost(ids, [{ ...hold, layer: 0, from: 5 }]), [T - 5, 2 * (T - 5)]);
});

test('lists of words pair up as difflib pairs them', () => {
  for (const { first, second, pairs } of table('aligned')) {
    assert.deepEqual(align(first, second), pairs);
  }
});

test('two sentences: no distance before the first word that differs', async () => {
  const model = await loadModel('as-stories-lstm');
  const a = readTrace(model, idsOf(model, 'krish likes pizza so he orders'));
  const b = readTrace(model, idsOf(model, 'krish likes burger so he orders'));
  const apart = distances(a, b, align(a.ids, b.ids), 0);
  assert.deepEqual(Object.keys(apart), Object.keys(namesOf(model.config)));
  for (const row of Object.values(apart)) {
    assert.deepEqual(row.slice(0, 3), [0, 0, 0]);
    assert.ok(row.slice(3).every((distance) => distance > 0));
  }
  const T = Array.from({ length: 3 }, (_, t) => [t, null]);
  assert.ok(Object.values(distances(a, b, T, 0)).flat().every((distance) => distance === null));
});

test('pizza goes off the belt, and stays where all is kept at "his … burger"', async () => {
  const model = await loadModel('as-stories-lstm');
  const { tokenizer } = model;
  const ids = idsOf(model, SWITCH);
  const [pizza, burger] = ['pizza', 'burger'].map((word) => tokenizer.id(word));
  const trace = readTrace(model, ids);
  const last = trace.length - 1;
  const belt = new Belt(trace, 0);
  assert.equal(belt.retention(3, 3), 1);
  assert.equal(Math.round(100 * belt.retention(3, last)), 7);
  const place = { layer: 0, gate: 'f', units: null, from: 5, to: 8 };
  const chance = (read) => softmax(model.logits(read.hiddenAt(last)));
  assert.ok(chance(trace)[burger] > 0.995);
  const kept = readTrace(model, ids, [slide(place, 1)], trace);
  near([chance(kept)[pizza]], [0.999], 'pizza', 1e-3);
  same(readTrace(model, ids, [slide(place, 0)], trace), trace);
  const strengths = Array.from({ length: 41 }, (_, n) => n / 20 - 1);
  const curve = sweep(model, trace, slide(place, 1), strengths, pizza, burger);
  near([crossing(curve)], [0.55], 'the needle crosses', 0.02);
  // At a strength of the sweep, interpolating is exact.
  const held = readTrace(model, ids, [slide(place, 0.25)], trace);
  const difference = (strength) => interpolate(curve, strength)[pizza] - interpolate(curve, strength)[burger];
  near(interpolate(curve, 0.25), model.logits(held.hiddenAt(last)), 'logits');
  near([curve.differences[strengths.indexOf(0.25)]], [difference(0.25)], 'difference');
  assert.ok(difference(0.27) > difference(0.25) && difference(0.27) < difference(0.3));
  const odds = chance(trace)[pizza] / chance(trace)[burger];
  near([difference(0)], [Math.log(odds)], 'as it is', 1e-4);
  const down = readTrace(model, ids, [slide(place, -0.5)], trace);
  near(interpolate(curve, -0.5), model.logits(down.hiddenAt(last)), 'the other side');
  // Logits are linear in what the decoder reads: between two strengths, a mean of both is both's.
  const [low, high] = [0.25, 0.3].map((amount) => readTrace(model, ids, [slide(place, amount)], trace).hiddenAt(last));
  const middle = low.map((value, k) => 0.6 * value + 0.4 * high[k]);
  near(interpolate(curve, 0.27), model.logits(middle), 'between');
});

test('the units that carry a word are those with most of its luggage', async () => {
  const model = await loadModel('as-stories-gru');
  const trace = readTrace(model, idsOf(model, SWITCH));
  const belt = new Belt(trace, 0);
  const H = model.config.hidden_size;
  const units = belt.carriers(3, 9, 12);
  const luggage = belt.luggageAt(9).subarray(3 * H, 4 * H).map(Math.abs);
  const least = Math.min(...units.map((u) => luggage[u]));
  assert.equal(new Set(units).size, 12);
  luggage.forEach((amount, u) => assert.ok(units.includes(u) || amount <= least));
  const means = trace.means('z', 0, units);
  const byHand = units.map((u) => trace.at('z', 0, 9)[u]).reduce((a, b) => a + b) / 12;
  near([means[9]], [byHand], 'mean', 1e-12);
});

test('a hold that does not fit a model is left out', async () => {
  const { config } = await loadModel('as-stories-gru');
  const units = [0, config.hidden_size - 1];
  const hold = slide({ layer: 0, gate: 'z', units, from: 0, to: 3 }, 0.5);
  const fits = (changes) => holdsFor({ holds: [{ ...hold, ...changes }] }, { config }, 4).length === 1;
  assert.ok(fits({}));
  assert.ok(fits({ to: 9 }));
  for (const gate of ['f', 'n', 'constructor']) assert.ok(!fits({ gate }), gate);
  assert.ok(!fits({ layer: 1 }));
  assert.ok(!fits({ units: [config.hidden_size] }));
  assert.ok(!fits({ from: 4 }));
  const other = slide(hold, -1);
  assert.deepEqual(withHold([hold], other), [other]);
  assert.equal(withHold([hold], { ...other, from: 1 }).length, 2);
});

test('a reader remembers what it read, and gives the same numbers', async () => {
  const model = await loadModel('as-stories-lstm');
  const reader = new LocalReader(model);
  const ids = idsOf(model, SWITCH);
  const place = { layer: 0, gate: 'f', units: null, from: 5, to: 8 };
  const plain = await reader.trace(ids);
  assert.equal(await reader.trace(ids), plain);
  const held = await reader.trace(ids, [slide(place, 1)]);
  same(held, readTrace(model, ids, [slide(place, 1)]));
  assert.equal(await reader.trace(ids), plain);
  for (let n = 0; n < 20; n++) await reader.trace(ids.slice(0, n % 11), [slide(place, n / 40)]);
  assert.ok(reader.traces.length <= 6);
  same(await reader.trace(ids), plain);
  const [best] = await reader.nextWords(plain, ids.length, { k: 3 });
  assert.equal(best.word, 'burger');
  const logits = await reader.logits(plain.hiddenAt(ids.length));
  const [first] = nextWords(model, logits, plain.stateAt(ids.length));
  assert.deepEqual(best, first);
  const [pizza, burger] = [model.tokenizer.id('pizza'), model.tokenizer.id('burger')];
  const given = [slide(place, 1), [-1, 0, 1], pizza, burger];
  assert.deepEqual(await reader.sweep(plain, ...given), sweep(model, plain, ...given));
  assert.deepEqual(await reader.direction(pizza, burger), decisionDirection(model, pizza, burger));
  // A sweep that is not over yet is given up.
  const long = reader.sweep(plain, given[0], Array.from({ length: 5000 }, (_, n) => n / 5000), pizza, burger);
  await reader.stop();
  assert.equal(await long, null);
});

for (const kind of ['words', 'whitespace', 'chars', 'bpe']) {
  test(`next words by ${kind} are Python's, half-typed ones too`, async () => {
    const model = await loadModel(`kind-${kind}`);
    const reader = new LocalReader(model);
    for (const { text, prefix, k, words } of table(`kind-${kind}`).next_words) {
      const trace = await reader.trace(idsOf(model, text));
      const options = { k, prefix: prefix ?? '' };
      const found = await reader.nextWords(trace, trace.length - 1, options);
      const what = `${JSON.stringify(text)} + ${prefix}`;
      assert.deepEqual(found.map(({ word }) => word), words.map(([word]) => word), what);
      near(found.map(({ probability }) => probability), words.map(([, p]) => p), what);
    }
  });
}

test('a space typed after a word does not change what follows it', async () => {
  for (const kind of ['chars', 'bpe']) {
    const model = await loadModel(`kind-${kind}`);
    const reader = new LocalReader(model);
    const bare = await reader.trace(idsOf(model, 'the'));
    const spaced = await reader.trace(idsOf(model, 'the '));
    assert.ok(spaced.length > bare.length);
    const after = await reader.nextWords(spaced, spaced.length - 1);
    assert.deepEqual(after, await reader.nextWords(bare, bare.length - 1));
  }
});
