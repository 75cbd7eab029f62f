/**
 * The cell at one word, as the well-known diagram: where boxes, circles and lines stand, and the
 * numbers that they carry. Boxes are layers with weights, circles are done number by number, lines
 * that join go in together, lines that fork are copied; the belt runs along the top.
 */

/** @typedef {{points: [number, number][], name: string, value: number | null, head?: boolean, dashed?: boolean}} Wire */
/** @typedef {{x: number, y: number, sign: string, gate: string}} Box */
/** @typedef {{x: number, y: number, sign: string}} Circle */
/** `side`: where it begins on the turned diagram, if not left of its place. @typedef {{x: number, y: number, name: string, value: number, anchor?: 'middle' | 'end', gate?: string, side?: [number, number]}} Label */
/** @typedef {[x: number, y: number, anchor?: 'end' | '']} Place */
/** @typedef {{width: number, height: number, frame: number[], wires: Wire[], boxes: Box[], circles: Circle[], labels: Label[], input: Place, output: Place}} Diagram */

const WIDTH = 880, BELT = 96;

/**
 * What goes through the cell at one word, in one unit or as means.
 * @typedef {Record<string, number>} Values
 */

/** @param {Values} v @param {{coupled: boolean, peephole: boolean}} cell @returns {Diagram} */
export function lstmDiagram(v, { coupled, peephole }) {
  const f = 240, i = 345, g = 440, o = 545, write = 176, out = 640, boxes = 252, bottom = 318;
  /** @type {Wire[]} */
  const wires = [
    ...(coupled ? [i, g] : [f, i, g]).map((x) => /** @type {Wire} */ ({ points: [[x, bottom], [x, boxes]], name: 'join', value: null })),
    { points: [[165, 372], [165, bottom], [o, bottom], [o, boxes]], name: 'join', value: null },
    { points: [[24, bottom], [165, bottom]], name: 'h', value: v.hBefore },
    { points: [[24, BELT], [f, BELT]], name: 'belt', value: v.cBefore },
    { points: [[f, BELT], [g, BELT]], name: 'belt', value: v.keep },
    { points: [[g, BELT], [WIDTH - 24, BELT]], name: 'belt', value: v.c, head: true },
    coupled ? { points: [[i, write], [f, write], [f, BELT + 15]], name: 'f', value: v.f, head: true }
      : { points: [[f, boxes], [f, BELT + 15]], name: 'f', value: v.f, head: true },
    { points: [[i, boxes], [i, write], [g - 15, write]], name: 'i', value: v.i, head: true },
    { points: [[g, boxes], [g, write + 15]], name: 'g', value: v.g, head: true },
    { points: [[g, write - 13], [g, BELT + 15]], name: 'belt', value: v.write, head: true },
    { points: [[out, BELT], [out, 131]], name: 'belt', value: v.c, head: true },
    { points: [[out, 168], [out, 203]], name: 'belt', value: v.tanh, head: true },
    { points: [[o, boxes], [o, 218], [out - 15, 218]], name: 'o', value: v.o, head: true },
    { points: [[out, 232], [out, bottom], [WIDTH - 24, bottom]], name: 'h', value: v.h, head: true },
    { points: [[785, bottom], [785, 34]], name: 'h', value: v.h, head: true },
  ];
  if (peephole) wires.push(...peepholes(coupled, f, i, o, boxes));
  const circles = [{ x: f, y: BELT, sign: '×' }, { x: g, y: BELT, sign: '+' }, { x: g, y: write, sign: '×' }, { x: out, y: 150, sign: 'tanh' }, { x: out, y: 218, sign: '×' }];
  if (coupled) circles.push({ x: i - 52, y: write, sign: '1−' });
  return {
    width: WIDTH, height: 410, frame: [128, 52, 620, 300], wires, circles,
    boxes: [...(coupled ? [] : [{ x: f, y: boxes, sign: 'σ', gate: 'f' }]), { x: i, y: boxes, sign: 'σ', gate: 'i' }, { x: g, y: boxes, sign: 'tanh', gate: 'g' }, { x: o, y: boxes, sign: 'σ', gate: 'o' }],
    labels: [
      { x: 24, y: BELT - 14, name: 'c₋₁', value: v.cBefore }, { x: (f + g) / 2, y: BELT - 14, name: 'f·c₋₁', value: v.keep, anchor: 'middle' },
      { x: 545, y: BELT - 14, name: 'c', value: v.c, anchor: 'middle' }, { x: f - 10, y: 190, name: 'f', value: v.f, gate: 'f', anchor: 'end' },
      { x: i - 10, y: 222, name: 'i', value: v.i, gate: 'i', anchor: 'end' }, { x: g + 11, y: 222, name: 'g', value: v.g, gate: 'g', side: [205, 469] },
      { x: g + 11, y: 139, name: 'i·g', value: v.write, side: [112, 469] }, { x: 575, y: 207, name: 'o', value: v.o, gate: 'o', anchor: 'middle' },
      { x: out + 12, y: 192, name: 'tanh c', value: v.tanh, side: [164, 671] }, { x: 24, y: bottom - 12, name: 'h₋₁', value: v.hBefore },
      { x: WIDTH - 24, y: bottom - 14, name: 'h', value: v.h, anchor: 'end' },
    ],
    input: [165, 392], output: [785, 24],
  };
}

/** @param {boolean} coupled @param {number} f @param {number} i @param {number} o @param {number} boxes @returns {Wire[]} */
function peepholes(coupled, f, i, o, boxes) {
  const at = coupled ? 225 : 292;
  /** @type {Wire[]} */
  const wires = [
    { points: [[195, BELT], [195, 225], [at, 225], [at, boxes], [i - 30, boxes]], name: 'peek', value: null, dashed: true, head: true },
    { points: [[590, BELT], [590, boxes], [o + 30, boxes]], name: 'peek', value: null, dashed: true, head: true },
  ];
  if (!coupled) wires.push({ points: [[195, BELT], [195, boxes], [f - 30, boxes]], name: 'peek', value: null, dashed: true, head: true });
  return wires;
}

/** @param {Values} v @returns {Diagram} */
export function gruDiagram(v) {
  const r = 290, z = 410, n = 570, mix = 190, reset = 150, boxes = 262, both = 318, alone = 344;
  return {
    width: WIDTH, height: 410, frame: [128, 52, 620, 308],
    wires: [
      { points: [[r, both], [r, boxes]], name: 'join', value: null },
      { points: [[230, 372], [230, both], [z, both], [z, boxes]], name: 'join', value: null },
      { points: [[165, BELT], [165, both], [230, both]], name: 'h', value: v.hBefore },
      { points: [[230, 358], [230, alone], [n, alone], [n, boxes]], name: 'join', value: null },
      { points: [[165, reset], [r - 15, reset]], name: 'h', value: v.hBefore, head: true },
      { points: [[r + 15, reset], [505, reset], [505, 320], [n, 320]], name: 'h', value: v.reset },
      { points: [[r, boxes], [r, reset + 15]], name: 'r', value: v.r, head: true },
      { points: [[z, boxes], [z, BELT + 15]], name: 'z', value: v.z, head: true },
      { points: [[z, mix], [n - 15, mix]], name: 'z', value: 1 - v.z, head: true },
      { points: [[24, BELT], [z, BELT]], name: 'h', value: v.hBefore },
      { points: [[z, BELT], [n, BELT]], name: 'h', value: v.keep },
      { points: [[n, BELT], [WIDTH - 24, BELT]], name: 'h', value: v.h, head: true },
      { points: [[n, boxes], [n, mix + 15]], name: 'n', value: v.n, head: true },
      { points: [[n, mix - 13], [n, BELT + 15]], name: 'h', value: v.write, head: true },
      { points: [[785, BELT], [785, 34]], name: 'h', value: v.h, head: true },
    ],
    boxes: [{ x: r, y: boxes, sign: 'σ', gate: 'r' }, { x: z, y: boxes, sign: 'σ', gate: 'z' }, { x: n, y: boxes, sign: 'tanh', gate: 'n' }],
    circles: [{ x: r, y: reset, sign: '×' }, { x: z, y: BELT, sign: '×' }, { x: n, y: BELT, sign: '+' }, { x: n, y: mix, sign: '×' }, { x: 462, y: mix, sign: '1−' }],
    labels: [
      { x: 24, y: BELT - 14, name: 'h₋₁', value: v.hBefore }, { x: (z + n) / 2, y: BELT - 14, name: 'z·h₋₁', value: v.keep, anchor: 'middle' },
      { x: 665, y: BELT - 14, name: 'h', value: v.h, anchor: 'middle' }, { x: r - 10, y: 222, name: 'r', value: v.r, gate: 'r', anchor: 'end' },
      { x: z - 10, y: 222, name: 'z', value: v.z, gate: 'z', anchor: 'end' }, { x: n + 11, y: 232, name: 'n', value: v.n, gate: 'n', side: [205, 600] },
      { x: n + 11, y: 139, name: '(1−z)·n', value: v.write, side: [106, 600] }, { x: 462, y: 224, name: '1−z', value: 1 - v.z, anchor: 'middle', side: [210, 467] },
    ],
    input: [230, 392], output: [785, 24],
  };
}

/** @param {Values} v @returns {Diagram} */
export function rnnDiagram(v) {
  const y = 130, layer = 430;
  return {
    width: WIDTH, height: 260, frame: [128, 52, 620, 150],
    wires: [
      { points: [[230, 222], [230, y], [layer, y]], name: 'join', value: null },
      { points: [[24, y], [230, y]], name: 'h', value: v.hBefore },
      { points: [[layer, y], [WIDTH - 24, y]], name: 'h', value: v.h, head: true },
      { points: [[785, y], [785, 34]], name: 'h', value: v.h, head: true },
    ],
    boxes: [{ x: layer, y, sign: 'tanh', gate: 'h' }], circles: [],
    labels: [{ x: 24, y: y - 14, name: 'h₋₁', value: v.hBefore }, { x: 600, y: y - 14, name: 'h', value: v.h, anchor: 'middle' }],
    input: [230, 242], output: [785, 24],
  };
}

/** The same from top to bottom, for a narrow screen. @param {Diagram} d @returns {Diagram} */
export function turned(d) {
  const swap = (/** @type {any} */ { x, y, ...rest }) => ({ ...rest, x: y, y: x });
  const [x, y, width, height] = d.frame;
  return {
    width: d.height, height: d.width, frame: [y, x, height, width], boxes: d.boxes.map(swap), circles: d.circles.map(swap),
    wires: d.wires.map((wire) => ({ ...wire, points: wire.points.map(([a, b]) => [b, a]) })),
    labels: d.labels.map(({ side, ...label }) => (side ? { ...label, x: side[0], y: side[1], anchor: undefined } : { ...label, x: label.y, y: label.x + 5, anchor: 'end' })),
    input: [d.height - 6, d.input[0] - 12, 'end'], output: [150, d.output[0] - 10, ''],
  };
}

/** A line with rounded corners. @param {[number, number][]} points @param {number} [radius] */
export function wirePath(points, radius = 10) {
  let path = `M${points[0].join(' ')}`;
  for (let at = 1; at < points.length - 1; at++) {
    const [before, here, after] = [points[at - 1], points[at], points[at + 1]];
    const a = towards(here, before, radius), b = towards(here, after, radius);
    path += `L${a.join(' ')}Q${here.join(' ')} ${b.join(' ')}`;
  }
  return `${path}L${points[points.length - 1].join(' ')}`;
}

/** @param {[number, number]} from @param {[number, number]} to @param {number} distance @returns {[number, number]} */
function towards([x, y], [toX, toY], distance) {
  const length = Math.hypot(toX - x, toY - y) || 1;
  const share = Math.min(distance, length / 2) / length;
  return [x + (toX - x) * share, y + (toY - y) * share];
}

/** The tip at a line's end. @param {[number, number][]} points @param {number} [size] */
export function tipPath(points, size = 7) {
  const [x, y] = points[points.length - 1], [fromX, fromY] = points[points.length - 2];
  const length = Math.hypot(x - fromX, y - fromY) || 1;
  const dx = (x - fromX) / length, dy = (y - fromY) / length;
  return `M${x} ${y}L${x - dx * size - dy * size * 0.6} ${y - dy * size + dx * size * 0.6}L${x - dx * size + dy * size * 0.6} ${y - dy * size - dx * size * 0.6}Z`;
}
