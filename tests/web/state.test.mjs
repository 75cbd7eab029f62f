/** The state, its link, and undo. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  change, clampText, decode, encode, fromHash, INITIAL, MOST_CHARACTERS, parseClamp, ranges, STEPS, Store, toHash, VIEWS, withHold,
} from '../../src/carousel/web/state.js';

/** A random number generator with a seed (mulberry32). */
function generator(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const LETTERS = [...'abcxyz   &=#%+~@:,.?/\\"\'<>\u0000\u0301\u202e\u05d0', '\u{1f355}', '\n'];

function randomState(random) {
  const integer = (most) => Math.floor(random() * most);
  const text = (most) => Array.from({ length: integer(most) }, () => LETTERS[integer(LETTERS.length)]).join('');
  const maybe = (value) => (random() < 0.5 ? value : null);
  const hold = () => {
    const from = integer(30);
    const amount = (integer(201) - 100) / 100 || 1;
    return { gate: 'fiozr'[integer(5)], layer: integer(3), units: maybe([...new Set([integer(9), 10 + integer(9)])]), from, to: from + integer(9), amount };
  };
  const first = integer(20);
  return change(INITIAL, {
    model: random() < 0.5 ? 'stories-lstm' : 'my model & co', digest: random() < 0.5 ? '0123abcd' : '', text: text(random() < 0.1 ? 3000 : 60), other: text(20),
    cursor: maybe(integer(40)), holds: Array.from({ length: integer(4) }, hold), compare: maybe([text(9), text(9)]), gate: random() < 0.5 ? 'f' : '',
    layer: integer(4) - 1, unit: integer(99) - 2, span: maybe([first, first + integer(9)]), units: maybe([integer(9)]), view: VIEWS[integer(VIEWS.length)], step: integer(9),
  });
}

test('500 random states survive state, link, state', async () => {
  const random = generator(7);
  for (let n = 0; n < 500; n++) {
    const state = randomState(random);
    assert.deepEqual(await fromHash(await toHash(state)), state);
  }
});

test('a long link is deflated, and no longer than it must be', async () => {
  const state = change(INITIAL, { text: 'krish likes pizza '.repeat(300) });
  const hash = await toHash(state);
  assert.match(hash, /^#z=[\w-]+$/);
  assert.ok(hash.length < 500, String(hash.length));
  assert.deepEqual(await fromHash(hash), state);
});

test('wrong links give what can be read of them, and never throw', async () => {
  for (const hash of ['#', '#z=', '#z=!!', '#z=AAAA', '#%', '#%E0%A4%A', '#hold=forget', '#at=-5&span=9-2&step=99&unit=1e9&view=<b>', `#text=${'a'.repeat(1e6)}`, '#word=a', '#hold=forget%3D1%4099999']) {
    const state = await fromHash(hash);
    assert.ok(state.step <= 8 && VIEWS.includes(state.view) && state.text.length <= MOST_CHARACTERS);
    assert.equal(state.holds.length, 0);
  }
});

test('a small link does not unfold without end', async () => {
  const stream = new Blob([`text=${'a'.repeat(5e7)}`]).stream().pipeThrough(new CompressionStream('deflate-raw'));
  const bytes = Buffer.from(await new Response(stream).arrayBuffer());
  const state = await fromHash(`#z=${bytes.toString('base64url')}`);
  assert.ok(state.text.length <= MOST_CHARACTERS);
});

test('holds are written as the command line reads them', () => {
  const hold = { gate: 'f', layer: 0, units: null, from: 5, to: 8, amount: 0.55 };
  assert.equal(clampText(hold), 'forget~1:0.55@5-8');
  assert.equal(clampText({ ...hold, amount: -0.3, to: 5 }), 'forget~0:0.3@5');
  assert.equal(clampText({ ...hold, amount: 1 }), 'forget=1@5-8');
  assert.equal(clampText({ ...hold, amount: -1, units: [3, 4, 5, 9] }), 'forget:3-5,9=0@5-8');
  assert.equal(clampText({ ...hold, layer: 1, gate: 'z' }, true), 'layers.1.update~1:0.55@5-8');
  assert.deepEqual(parseClamp('forget~1:0.55@5-8'), hold);
  for (const wrong of ['forget', 'candidate=1@2', 'forget=2@1', 'forget~1:1.5@1', 'forget=1@9-2', 'forget=1@word', 'forget~1:0@1', 'forget:9-2=1@1', 'cell=1@1']) {
    assert.equal(parseClamp(wrong), null, wrong);
  }
  assert.equal(ranges([1, 2, 3, 7, 9, 10]), '1-3,7,9-10');
});

test('a hold of the same place replaces, and one of nothing is let go', () => {
  const hold = { gate: 'f', layer: 0, units: null, from: 5, to: 8, amount: 0.5 };
  const one = withHold([], hold);
  assert.deepEqual(withHold(one, { ...hold, amount: 1 }), [{ ...hold, amount: 1 }]);
  assert.equal(withHold(one, { ...hold, to: 7 }).length, 2);
  assert.deepEqual(withHold(one, { ...hold, amount: 0 }), []);
});

test('a drag is one step of undo, a look is none, and a drag back to where it began is none', () => {
  const store = new Store(change(INITIAL, { text: 'a' }));
  for (const text of ['ab', 'abc', 'abcd']) store.try({ text });
  store.commit();
  store.look({ cursor: 1 });
  assert.equal(store.past.length, 1);
  store.try({ text: 'x' });
  store.try({ text: 'abcd' });
  store.commit();
  assert.equal(store.past.length, 1);
  store.undo();
  assert.equal(store.present.text, 'a');
  store.redo();
  assert.equal(store.present.text, 'abcd');
  store.redo();
  assert.equal(store.present.text, 'abcd');
});

test('undo in the middle of a drag goes back to before it', () => {
  const store = new Store(change(INITIAL, { text: 'a' }));
  store.try({ text: 'ab' });
  store.undo();
  assert.equal(store.present.text, 'a');
});

test('undo goes back so many steps, and a new change forgets what was undone', () => {
  const store = new Store(INITIAL);
  for (let n = 1; n <= STEPS + 20; n++) store.commit({ text: String(n) });
  for (let n = 0; n < STEPS + 20; n++) store.undo();
  assert.equal(store.present.text, '20');
  store.commit({ text: 'new' });
  store.redo();
  assert.equal(store.present.text, 'new');
});

test('the state is never changed', () => {
  assert.throws(() => { INITIAL.text = 'x'; }, TypeError);
  const state = decode('hold=forget%3D1%405');
  assert.throws(() => { state.holds[0].amount = 0; }, TypeError);
  assert.equal(encode(INITIAL), '');
});
