import assert from 'node:assert/strict';
import { test } from 'node:test';

import { editDistance, nearestWords } from '../../src/carousel/web/model/nearest.js';
import { Tokenizer } from '../../src/carousel/web/model/tokenizer.js';
import { loadModel, table } from './fixtures.mjs';

const made = table('tokenizers').map((one) => {
  return { ...one, tokenizer: Tokenizer.fromJson(one.json) };
});

for (const { kind, tokenizer, cases, prefixes } of made) {
  const title = `${kind}${tokenizer.lowercase ? ', lowercase' : ''}`;

  test(`${title}: ids, text and normal form are Python's`, () => {
    assert.equal(tokenizer.kind, kind);
    for (const { text, ids, decoded, normalized } of cases) {
      const shown = JSON.stringify(text);
      assert.deepEqual(tokenizer.encode(text).map((token) => token.id), ids, shown);
      assert.equal(tokenizer.decode(ids), decoded, shown);
      assert.equal(tokenizer.normalize(text), normalized, shown);
    }
  });

  test(`${title}: a token stands where it was typed`, () => {
    for (const { text } of cases) {
      let end = 0;
      for (const token of tokenizer.encode(text)) {
        const shown = `${JSON.stringify(text)} ${token.start}-${token.end}`;
        assert.ok(token.start < token.end && token.end <= text.length, shown);
        // Tokens that are parts of one character may stand at the same place.
        assert.ok(token.end >= end, shown);
        end = token.end;
        const typed = text.slice(token.start, token.end);
        // Text that spells the special token out means that token.
        if (token.id === tokenizer.eolId) assert.ok(['\n', '<eos>'].includes(typed), shown);
        // Marks may join across a border in the typed text; then the place is wider than the word.
        else if (token.known && kind !== 'bpe') {
          assert.ok(tokenizer.normalize(typed).includes(tokenizer.tokens[token.id]), shown);
        }
      }
    }
  });

  test(`${title}: half-typed words are Python's`, () => {
    for (const [text, before, prefix] of prefixes) {
      assert.deepEqual(tokenizer.splitPrefix(text), [before, prefix], JSON.stringify(text));
    }
  });
}

test('places are exact where nothing is changed, and where something is', () => {
  const { tokenizer } = made.find((one) => one.kind === 'words' && one.tokenizer.lowercase);
  const places = (text) => tokenizer.encode(text).map(({ start, end }) => text.slice(start, end));
  const typed = ['Krish', 'likes', 'pizza', ',', '\n', 'but'];
  assert.deepEqual(places('Krish likes  pizza,\nbut'), typed);
  assert.deepEqual(places('cafe\u0301 don\u2019t \u0130stanbul \u{1f600} x'), [
    'cafe\u0301', 'don\u2019t', '\u0130stanbul', '\u{1f600}', 'x',
  ]);
  const byLetters = made.find((one) => one.kind === 'chars').tokenizer;
  const hindi = byLetters.encode('\u0939\u093fe\u0301').map(({ start, end }) => [start, end]);
  assert.deepEqual(hindi, [[0, 1], [1, 2], [2, 4]]);
  const byBytes = made.find((one) => one.kind === 'bpe').tokenizer;
  const emoji = byBytes.encode('a\u{1f600}b');
  assert.ok(emoji.slice(1, -1).every((token) => token.start === 1 && token.end === 3));
});

test('a half-typed word may be of any script', () => {
  const { tokenizer } = made.find((one) => one.kind === 'words');
  const half = (text) => tokenizer.splitPrefix(text);
  assert.deepEqual(half('the \u0939\u093f\u0928\u094d'), ['the ', '\u0939\u093f\u0928\u094d']);
  assert.deepEqual(half('un cafe\u0301'), ['un ', 'cafe\u0301']);
  assert.deepEqual(half("he doesn'"), ['he ', "doesn'"]);
  assert.deepEqual(half('he '), ['he ', '']);
  assert.deepEqual(half('3.14'), ['3.14', '']);
  assert.deepEqual(half('he likes\n'), ['he likes\n', '']);
});

test('long texts without a space are cut whole', () => {
  const long = 'x'.repeat(20_000);
  const texts = [long, `${long}3`, ' '.repeat(10_000), "a'".repeat(9_999)];
  for (const { kind, tokenizer } of made) {
    for (const text of texts) {
      const tokens = tokenizer.encode(text);
      if (kind === 'bpe') assert.equal(tokenizer.decode(tokens.map((token) => token.id)), text);
      if (kind === 'chars') assert.equal(tokens.length, text.length);
      const [before, prefix] = tokenizer.splitPrefix(text);
      assert.equal(before + prefix, text);
    }
  }
});

test('half a surrogate pair is an unknown character, and nothing worse', () => {
  for (const { tokenizer, kind } of made) {
    const tokens = tokenizer.encode('a\ud800b \udfff');
    assert.ok(tokens.every((token) => token.start < token.end));
    if (kind === 'chars') assert.equal(tokens.length, 5);
  }
});

test('a foreign tokenizer is refused', () => {
  const table = JSON.parse(made[0].json);
  const refused = (change) => {
    const text = JSON.stringify({ ...table, ...change });
    assert.throws(() => Tokenizer.fromJson(text), { name: 'CarouselError' });
  };
  refused({ pre_tokenizer: { type: 'Whitespace' } });
  refused({ pre_tokenizer: { type: 'Split', pattern: { Regex: '(a+)+$' } } });
  refused({ added_tokens: [{ id: 0, content: '<unk>' }] });
  refused({ model: { ...table.model, vocab: { '<unk>': 0, '<eos>': 2 } } });
  refused({ model: { ...table.model, vocab: { '<unk>': 0, '<eos>': 1, a: 7e9 } } });
  refused({ model: { ...table.model, vocab: { '<unk>': 0, '<eos>': 1, a: 'length' } } });
  refused({ model: null });
});

test('edit distance: the textbook cases, and the laws of a distance', () => {
  const distance = (a, b) => editDistance(Array.from(a), Array.from(b));
  assert.equal(distance('kitten', 'sitting'), 3);
  assert.equal(distance('ab', 'ba'), 1);
  assert.equal(distance('', 'abc'), 3);
  assert.equal(distance('ca', 'abc'), 3);
  const words = ['pizza', 'piza', 'burger', 'salad', 'sald', 'a', ''];
  for (const a of words) {
    for (const b of words) {
      assert.equal(distance(a, b), distance(b, a));
      assert.equal(distance(a, b) === 0, a === b);
      const capped = editDistance(Array.from(a), Array.from(b), 2);
      if (distance(a, b) <= 2) assert.equal(capped, distance(a, b));
      else assert.ok(capped > 2);
    }
  }
});

test('the nearest known words of a typing error', async () => {
  const { tokenizer } = await loadModel('as-stories-lstm');
  assert.equal(nearestWords(tokenizer, 'piza')[0], 'pizza');
  assert.equal(nearestWords(tokenizer, 'Brugers')[0], 'burger');
  assert.deepEqual(nearestWords(tokenizer, 'xyzzyqqqqqqq'), []);
  assert.ok(tokenizer.isKnown('Pizza') && !tokenizer.isKnown('piza') && !tokenizer.isKnown(''));
});
