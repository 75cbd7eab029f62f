/** Where things stand: columns, bands, drags, curves, and the words for them. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bandsOf, fullest, letGo, pathOf } from '../../src/carousel/web/geometry/bands.js';
import { tipPath, wirePath, lstmDiagram } from '../../src/carousel/web/geometry/cell.js';
import { columnsOf, positionAt, rowsOf } from '../../src/carousel/web/geometry/columns.js';
import { along, across, reachOf } from '../../src/carousel/web/geometry/curve.js';
import { amountAt, dragged, REACH } from '../../src/carousel/web/geometry/drag.js';
import { meanAndSpread, mostMoved } from '../../src/carousel/web/geometry/plots.js';
import { exact, fill, heldPhrase, percent, placeName, printable, stretchName } from '../../src/carousel/web/phrasing.js';
import { pythonQuoted, shellQuoted } from '../../src/carousel/web/export.js';

const measure = (word, size) => word.length * size * 0.6;
const close = (a, b, gap = 1e-9) => assert.ok(Math.abs(a - b) <= gap, `${a} is not ${b}`);

test('columns hold their words, fill the room and do not overlap', () => {
  const words = 'krish likes pizza but his friend likes burger'.split(' ');
  const columns = columnsOf({ words, left: 100, right: 900, cursor: 7, measure });
  assert.equal(columns.from, 0);
  assert.equal(columns.to, words.length);
  words.forEach((word, t) => {
    assert.ok(columns.widths[t] >= measure(word, columns.size));
    if (t) close(columns.begins[t], columns.begins[t - 1] + columns.widths[t - 1]);
  });
  assert.ok(columns.end <= 900 + 1e-9);
});

test('a long text has a window that holds the cursor, wherever it is', () => {
  const words = Array.from({ length: 300 }, (_, t) => `word${t}`);
  for (let cursor = 0; cursor < 300; cursor += 7) {
    const columns = columnsOf({ words, left: 100, right: 900, cursor, measure });
    assert.ok(columns.from <= cursor && cursor < columns.to);
    assert.ok(columns.end <= 900 + 1e-9 && columns.to - columns.from > 5);
    assert.equal(columns.lead > 0, columns.from > 0);
    assert.ok(columns.begins[columns.from] >= 100 + columns.lead - 1e-9);
  }
});

test('rows of a narrow screen are 44 pixels and hold the cursor', () => {
  const rows = rowsOf(500, 44, 26, 400);
  assert.ok(rows.from <= 400 && 400 < rows.to);
  assert.equal(rows.widths[400], 44);
  close(rows.begins[rows.from], 26);
});

test('the position under a pointer', () => {
  const columns = columnsOf({ words: ['a', 'b', 'c'], left: 10, right: 310, cursor: 0, measure });
  assert.deepEqual([-5, 11, columns.begins[1] + 1, columns.begins[2] + 1, 9999].map((x) => positionAt(columns, x)), [0, 0, 1, 2, 2]);
});

/** Amounts where each word puts on 1 and each later word keeps half of everything. */
const halves = (t) => Float64Array.from({ length: t + 1 }, (_, s) => 0.5 ** (t - s));

test('bands lie on each other, in scale, and start where their word is', () => {
  const words = ['a', 'b', 'c', 'd'];
  const columns = columnsOf({ words, left: 0, right: 400, cursor: 3, measure });
  const scale = 80 / fullest(halves, columns);
  const bands = bandsOf(halves, columns, scale, 3);
  assert.deepEqual(bands.map((band) => band.s), [0, 1, 2, 3]);
  // At the end: heights of 1/8, 1/4, 1/2 and 1, the first at the bottom.
  let ground = 0;
  bands.forEach((band, s) => {
    const [top, bottom] = [band.upper.at(-1)[1], band.lower.at(-1)[1]];
    close(bottom, ground);
    close(top - bottom, halves(3)[s] * scale);
    ground = top;
    assert.ok(band.upper[0][0] > columns.begins[s] && band.upper[0][0] < columns.begins[s] + columns.widths[s]);
  });
  close(ground, 80);
});

test('earlier words are one band, but for those that stand apart', () => {
  const words = Array.from({ length: 60 }, (_, t) => `word${t}`);
  const columns = columnsOf({ words, left: 0, right: 500, cursor: 59, measure });
  const even = (t) => new Float64Array(t + 1).fill(1);
  const bands = bandsOf(even, columns, 1, 59, [2]);
  assert.deepEqual(bands.slice(0, 3).map((band) => band.s), [-1, 2, columns.from]);
  const height = (band) => band.upper.at(-1)[1] - band.lower.at(-1)[1];
  close(height(bands[0]), columns.from - 1);
  close(bands.reduce((sum, band) => sum + height(band), 0), 60);
});

test('what is let go is what was there less what is left', () => {
  assert.deepEqual([...letGo(halves, 2)], [0.25, 0.5]);
});

test('paths are numbers alone', () => {
  const columns = columnsOf({ words: ['a', 'b'], left: 0, right: 100, cursor: 1, measure });
  for (const turned of [false, true]) {
    for (const band of bandsOf(halves, columns, 50, 1)) assert.match(pathOf(band, (point) => point, turned), /^M[\d\s.LCZ-]+Z$/);
  }
});

test('a grab that hardly moves is no drag; along chooses, across holds', () => {
  const drag = { x: 100, y: 100, position: 5, amount: 0, span: [5, 8], kind: '' };
  assert.equal(dragged(drag, 102, 98, 5).kind, '');
  assert.deepEqual(dragged(drag, 140, 103, 7), { kind: 'choose', span: [5, 7], amount: 0 });
  assert.deepEqual(dragged({ ...drag, position: 9 }, 60, 103, 3), { kind: 'choose', span: [3, 9], amount: 0 });
  assert.deepEqual(dragged(drag, 103, 100 - REACH, 5), { kind: 'hold', span: [5, 8], amount: 1 });
  assert.deepEqual(dragged({ ...drag, position: 2 }, 100, 100 + REACH / 2, 2), { kind: 'hold', span: [2, 2], amount: -0.5 });
  // What it began as it stays.
  assert.equal(dragged({ ...drag, kind: 'hold' }, 300, 90, 9).kind, 'hold');
});

test('an amount has bounds, and a rest at 0', () => {
  assert.deepEqual([-3, -1, -0.02, 0.02, 0.555, 2].map(amountAt), [-1, -1, 0, 0, 0.56, 1]);
});

test('the curve is aligned with the slider', () => {
  const box = { left: 14, right: 214, top: 0, bottom: 100, most: 10 };
  assert.deepEqual([-1, 0, 1].map((amount) => along(amount, box)), [14, 114, 214]);
  assert.deepEqual([10, 0, -10, 99].map((difference) => across(difference, box)), [0, 50, 100, 0]);
  assert.ok(reachOf([NaN, 20]) > 20 && reachOf([]) >= 4);
});

test('means, spreads and the units that move', () => {
  const { mean, spread } = meanAndSpread(Float64Array.of(1, 3, 2, 2), 2);
  assert.deepEqual([...mean], [2, 2]);
  assert.deepEqual([...spread], [1, 0]);
  assert.deepEqual(mostMoved(Float64Array.of(0, 0, 0, 0.1, 5, -1, 0, 0, 0), 3, 2), [1, 2]);
});

test('what is printed of a product or a sum is true to its last digit', () => {
  let seed = 1;
  const random = () => { seed = (seed * 16807) % 2147483647; return (seed / 2147483647) * 4 - 2; };
  const number = (text) => Number(text.replace('\u2212', '-')) + 0;
  const rounded = (value) => Number(value.toFixed(3)) + 0;
  for (let n = 0; n < 2000; n++) {
    const [a, b] = [random(), random()];
    for (const [operation, result] of [[([x, y]) => x * y, a * b], [([x, y]) => x + y, a + b]]) {
      const printed = exact([a, b], result, operation);
      assert.equal(rounded(operation(printed.operands.map(number))), number(printed.result));
      assert.equal(rounded(result), number(printed.result));
    }
  }
});

test('a cell has its belt on top, and lines end where they should', () => {
  const v = { hBefore: 0.1, h: 0.2, cBefore: 1, c: 1.2, keep: 0.9, write: 0.3, f: 0.9, i: 0.5, g: 0.6, o: 0.3, tanh: 0.8 };
  for (const cell of [{ coupled: false, peephole: false }, { coupled: true, peephole: true }]) {
    const diagram = lstmDiagram(v, cell);
    assert.equal(diagram.boxes.length, cell.coupled ? 3 : 4);
    for (const wire of diagram.wires) {
      assert.match(wirePath(wire.points), /^M[\d .LQ-]+$/);
      assert.ok(!tipPath(wire.points).includes('NaN'));
    }
  }
});

test('percent, places and phrases', () => {
  assert.deepEqual([1, 0.9996, 0.999, 0.994, 0.5, 0.042, 0.0042, 0.0001, 0].map(percent), ['100%', '100%', '99.9%', '99.4%', '50%', '4%', '0.4%', '<0.1%', '0%']);
  const words = 'krish likes pizza but his friend likes burger'.split(' ');
  const nth = ['1st', '2nd'];
  assert.equal(placeName(words, 6, nth), 'likes (2nd)');
  assert.equal(placeName(words, 2, nth), 'pizza');
  assert.equal(stretchName(words, 4, 7, nth), 'his … burger');
  assert.equal(heldPhrase({ all: 'all {where}', more: '{percent} more at {where}', less: '{percent} less', none: 'none' }, 0.55, 'x'), '55% more at x');
  assert.equal(fill('{a} {b}', { a: '{b}' }), '{b} {b}');
  assert.equal(printable('\u202e\u0000a\t'), '\ufffd\ufffda\u21e5');
  assert.equal(printable(' a'), '\u2423a');
});

test('texts in commands stay texts', () => {
  assert.equal(shellQuoted("a'b $(c) `d`"), "'a'\\''b $(c) `d`'");
  assert.equal(pythonQuoted('a"b\\c\u{1f355}\u05d0'), '"a\\"b\\\\c\\U0001f355\\u05d0"');
});
