/** The belt: a band of luggage for each word, as thick as what is left of it. */

import { bandsOf, fullest, GONE, LET_GO, letGo, pathOf, PUT_ON, THERE } from '../geometry/bands.js';
import { middle } from '../geometry/columns.js';
import { h, show, View } from '../dom.js';
import { fill, percent, whole } from '../phrasing.js';
import { cut, measure, roleOf, table, tableButton } from './parts.js';

const TOP = 47, HEIGHT = 150, LINE = 18;

export class BeltView extends View {
  /** @param {any} r */
  render(r) {
    if (!r.T) return show(this);
    const name = r.belted ? r.text.belt : r.text.state;
    show(this,
      h('div', { class: 'caption' }, h('h2', null, name), h('p', null, r.belted ? r.text.belt_hint : r.text.state_hint), tableButton(r, 'belt')),
      r.ui.tables.belt ? beltTable(r) : h('div', {
        class: 'belt', role: 'listbox', tabindex: '0', 'aria-label': r.text.belt_list, 'aria-orientation': r.turned ? 'vertical' : 'horizontal',
        'aria-activedescendant': `word-${r.cursor}`, onkeydown: (/** @type {KeyboardEvent} */ event) => r.onBeltKey(event),
      }, r.turned ? turnedPicture(r) : picture(r)),
      !r.turned && r.columns.to - r.columns.from < r.T ? overview(r) : null);
  }
}

/** The amounts that are drawn, and the one that fills the belt: the same with and without holds. @param {any} r */
function pictureOf(r) {
  const { amounts } = r.now;
  const sides = [amounts, r.before.amounts];
  const full = Math.max(...sides.map((one) => fullest(one, r.columns)));
  // The room below the ground is the same at every word and under every hold: nothing jumps.
  const lost = range(Math.max(1, r.columns.from), r.columns.to).flatMap((t) => sides.map((one) => letGo(one, t).reduce((sum, value) => sum + value, 0)));
  return { amounts, full, deepest: Math.max(0, ...lost) };
}

/** @param {any} r */
function picture(r) {
  const { columns, cursor } = r;
  const ground = TOP + HEIGHT;
  const focus = focusOf(r);
  const { shapes, below } = r.belted ? bandShapes(r, ground) : { shapes: changeShapes(r, ground), below: 12 };
  const foot = ground + below + 8;
  const height = foot + focus.length * LINE + 4;
  return h('svg', { viewBox: `0 0 ${r.width} ${height}`, width: r.width, height, role: 'none', class: 'picture', 'data-export': 'belt' },
    h('rect', { class: 'cursor-column', x: columns.begins[cursor], y: 2, width: columns.widths[cursor], height: height - 4, rx: 8 }),
    h('defs', null, h('pattern', { id: 'hatch', width: 7, height: 7, patternUnits: 'userSpaceOnUse', patternTransform: 'rotate(45)' }, h('path', { class: 'hatch-line', d: 'M0 0V7' }))),
    range(columns.from, columns.to).filter((t) => !r.tokens[t].known).map((t) => h('rect', { key: `hatch-${t}`, class: 'hatch', x: columns.begins[t] + 1, y: TOP - 14, width: columns.widths[t] - 2, height: HEIGHT + 14, fill: 'url(#hatch)' })),
    r.belted ? h('text', { class: 'dim', x: 0, y: ground - 5 }, r.text.belt.toLowerCase()) : null,
    below > 14 && r.belted ? h('text', { class: 'dim', x: 0, y: ground + 16 }, r.text.let_go) : null,
    columns.lead ? h('text', { class: 'dim middle small', x: columns.left - columns.lead / 2, y: 20 }, '…', h('title', null, r.text.earlier)) : null,
    shapes,
    h('path', { class: 'ground', d: `M${columns.left - columns.lead - 8} ${ground}H${columns.end + 12}` }),
    focus.map((s, row) => shareRow(r, s, foot + (row + 0.75) * LINE)),
    range(columns.from, columns.to).map((t) => wordShape(r, t, height)));
}

/** The positions whose shares are written out: the compared words, where they first stand. @param {any} r @returns {number[]} */
export function focusOf(r) {
  if (!r.pair || !r.belted) return [];
  return r.pair.map((/** @type {string} */ word) => r.words.indexOf(word, 1)).filter((/** @type {number} */ s) => s > 0)
    .sort((/** @type {number} */ a, /** @type {number} */ b) => a - b);
}

/** @param {number} from @param {number} to */
function range(from, to) { return Array.from({ length: Math.max(0, to - from) }, (_, index) => from + index); }

/** @param {any} r @param {number} t @param {number} height */
function wordShape(r, t, height) {
  const { columns, cursor } = r;
  const word = r.words[t];
  const role = roleOf(r, t);
  const x = columns.begins[t], width = columns.widths[t];
  const classes = ['word', role, t === cursor && 'here', t > cursor && 'later', r.tokens[t] && !r.tokens[t].known && 'unknown',
    r.ui.hover === t && 'hover'].filter(Boolean).join(' ');
  return h('g', {
    key: `word-${t}`, id: `word-${t}`, class: classes, role: 'option', 'aria-selected': String(t === cursor), 'aria-label': spoken(r, t),
    onclick: () => r.lookAt(t), onpointerenter: () => r.setUi({ hover: t }), onpointerleave: () => r.setUi({ hover: null }),
  },
  h('rect', { class: 'hit', x, y: 0, width, height }),
  h('text', { x: x + width / 2, y: 21, class: 'middle', 'font-size': columns.size }, cut(word, columns.size, width - 4)),
  role === 'other' ? null : h('rect', { class: `mark ${role}`, x: x + width / 2 - 12, y: 26, width: 24, height: 3, rx: 1.5 }));
}

/** What a word's option says. @param {any} r @param {number} t */
function spoken(r, t) {
  const name = t ? r.place(t) : r.text.line_start;
  if (!r.belted || t > r.cursor) return name;
  return fill(r.text.left, { word: name, percent: percent(shareLeft(r, t, r.cursor)) });
}

/** What is left at `t` of what `s` put on. @param {any} r @param {number} s @param {number} t */
export function shareLeft(r, s, t) {
  const { amounts } = r.now;
  return amounts(t)[s] / Math.max(amounts(s)[s], 1e-12);
}

/** @param {any} r @param {number} s @param {number} y */
function shareRow(r, s, y) {
  const { columns } = r;
  const name = fill(r.text.left, { word: '', percent: '' }).replace(/[:\s]+/g, ' ').trim();
  return h('g', { class: `share ${roleOf(r, s)}`, 'aria-hidden': 'true' },
    h('text', { class: 'name', x: 0, y }, cut(`${r.words[s]} ${name}`, 12, 112)),
    range(Math.max(s, columns.from), Math.min(columns.to, r.cursor + 1)).map((t) => h('text', {
      class: t === r.cursor ? 'middle strong' : 'middle', x: middle(columns, t), y }, whole(shareLeft(r, s, t)))));
}

/** @param {any} r @param {number} ground */
function bandShapes(r, ground) {
  const { columns, cursor } = r;
  const { amounts, full, deepest } = pictureOf(r);
  const scale = HEIGHT / full;
  /** @type {(point: [number, number]) => [number, number]} */
  const place = ([along, across]) => [along, ground - across];
  const bands = bandsOf(amounts, columns, scale, cursor, focusOf(r));
  const shapes = [];
  for (const band of bands) {
    const role = band.s < 0 ? 'earlier' : roleOf(r, band.s);
    shapes.push(h('path', { key: `band-${band.s}`, d: pathOf(band, place), class: `band ${role}${band.s % 2 ? ' odd' : ''}${lit(r, band.s)}`,
      onclick: () => r.lookAt(Math.max(0, band.s)), onpointerenter: () => r.setUi({ hover: band.s }), onpointerleave: () => r.setUi({ hover: null }) },
    h('title', null, band.s < 0 ? r.text.earlier : fill(r.text.left_at, { word: r.place(band.s), at: r.place(cursor), left: percent(shareLeft(r, band.s, cursor)) }))));
  }
  for (const t of range(Math.max(1, columns.from), Math.min(columns.to, cursor + 1))) {
    const lost = letGo(amounts, t);
    let y = ground + 3;
    for (let s = 0; s < t; s++) {
      const height = lost[s] * scale;
      if (height > 0.3) {
        shapes.push(h('rect', { key: `lost-${t}-${s}`, class: `lost ${roleOf(r, s)}${lit(r, s)}`, x: columns.begins[t] + LET_GO * columns.widths[t], y,
          width: (GONE - LET_GO) * columns.widths[t], height }));
      }
      y += height;
    }
    const top = bands.reduce((most, band) => Math.max(most, topAt(band, columns.begins[t] + THERE * columns.widths[t])), 0);
    shapes.push(sign(columns.begins[t] + (LET_GO + GONE) / 2 * columns.widths[t], ground, '×', r.keeper),
      sign(columns.begins[t] + (PUT_ON + THERE) / 2 * columns.widths[t], ground - top - 10, '+', 'i'));
  }
  for (const { s, label } of bands) {
    if (s < 0 || !label || label.room < measure(r.words[s], 12) + 2) continue;
    shapes.push(h('text', { key: `label-${s}`, class: `band-label middle ${roleOf(r, s)}`, x: label.along, y: ground - label.across + 4 }, r.words[s]));
  }
  return { shapes, below: Math.max(14, Math.min(deepest * scale + 8, 96)) };
}

/** @param {import('../geometry/bands.js').Band} band @param {number} along */
function topAt(band, along) {
  let height = 0;
  for (const [x, y] of band.upper) if (x <= along + 0.1) height = y;
  return height;
}

/** Whether a word's luggage stands out, or stands back for another. @param {any} r @param {number} s */
function lit(r, s) { return r.ui.hover === null || r.ui.hover === undefined ? '' : r.ui.hover === s ? ' lit' : ' back'; }

/** @param {number} x @param {number} y @param {string} mark @param {string} gate */
function sign(x, y, mark, gate) {
  return h('g', { key: `sign-${mark}-${x.toFixed(0)}`, class: `sign gate-${gate}`, 'aria-hidden': 'true' }, h('circle', { cx: x, cy: y, r: 6 }),
    h('path', { d: mark === '+' ? `M${x - 3} ${y}h6M${x} ${y - 3}v6` : `M${x - 2.4} ${y - 2.4}l4.8 4.8M${x + 2.4} ${y - 2.4}l-4.8 4.8` }));
}

/** Without a belt: how much of the state each word made anew. @param {any} r @param {number} ground */
function changeShapes(r, ground) {
  const { columns } = r;
  return range(columns.from, Math.min(columns.to, r.cursor + 1)).map((t) => {
    const share = r.now.changed[t];
    return h('g', { key: `change-${t}` },
      h('rect', { class: 'band other', x: columns.begins[t] + 8, width: columns.widths[t] - 16, y: ground - share * HEIGHT * 0.8, height: share * HEIGHT * 0.8, rx: 3 },
        h('title', null, fill(r.text.changed, { percent: whole(share) }))),
      h('text', { class: 'middle small dim', x: middle(columns, t), y: ground - share * HEIGHT * 0.8 - 6 }, whole(share)));
  });
}

/** The belt of a narrow screen: a row a word, the belt runs down. @param {any} r */
function turnedPicture(r) {
  const { columns, cursor } = r;
  const left = 92, right = r.width - 62;
  /** @type {any[]} */
  const shapes = [];
  if (r.belted) {
    const { amounts, full } = pictureOf(r);
    /** @type {(point: [number, number]) => [number, number]} */
    const place = ([along, across]) => [left + across, along];
    for (const band of bandsOf(amounts, columns, (right - left) / full, cursor)) {
      shapes.push(h('path', { key: `band-${band.s}`, d: pathOf(band, place, true), class: `band ${roleOf(r, band.s)}${band.s % 2 ? ' odd' : ''}${lit(r, band.s)}` }));
    }
  } else {
    for (const t of range(columns.from, Math.min(columns.to, cursor + 1))) {
      shapes.push(h('rect', { key: `change-${t}`, class: 'band other', x: left, y: columns.begins[t] + 10, height: 24, width: r.now.changed[t] * (right - left), rx: 3 }));
    }
  }
  const height = columns.end + 6;
  const gate = r.gate;
  return h('svg', { viewBox: `0 0 ${r.width} ${height}`, width: r.width, height, role: 'none', class: 'picture turned', 'data-export': 'belt' },
    h('rect', { class: 'cursor-column', x: 0, y: columns.begins[cursor], width: r.width, height: columns.widths[cursor], rx: 8 }),
    gate ? h('text', { class: 'dim end', x: r.width - 4, y: 16 }, r.gateWords(gate).name) : null,
    r.belted ? h('text', { class: 'dim', x: left, y: 16 }, r.text.belt.toLowerCase()) : null,
    shapes,
    h('path', { class: 'ground', d: `M${left} ${columns.left - 4}V${columns.end + 2}` }),
    range(columns.from, columns.to).map((t) => turnedWord(r, t, left)));
}

/** @param {any} r @param {number} t @param {number} left */
function turnedWord(r, t, left) {
  const { columns, cursor } = r;
  const y = columns.begins[t], size = columns.widths[t];
  const role = roleOf(r, t);
  const held = r.span && t >= r.span[0] && t <= r.span[1];
  const value = r.gate ? r.now.means[r.gate][t] : null;
  const x = r.width - 54;
  const classes = ['word', role, t === cursor && 'here', t > cursor && 'later', r.tokens[t] && !r.tokens[t].known && 'unknown'].filter(Boolean).join(' ');
  return h('g', { key: `word-${t}`, id: `word-${t}`, class: classes, role: 'option', 'aria-selected': String(t === cursor), 'aria-label': spoken(r, t),
    onclick: () => { r.lookAt(t); if (t) r.openSheet(t); } },
  h('rect', { class: 'hit', x: 0, y, width: r.width, height: size }),
  held && r.gate ? h('rect', { class: `stretch-turned gate-${r.gate}`, x: x - 4, y: y + (t === r.span[0] ? 3 : 0), width: 58, height: size - (t === r.span[0] ? 3 : 0) - (t === r.span[1] ? 3 : 0) }) : null,
  h('text', { x: 6, y: y + size / 2 + 5, 'font-size': 15 }, cut(r.words[t], 15, left - 22)),
  role === 'other' ? null : h('rect', { class: `mark ${role}`, x: left - 12, y: y + size / 2 - 10, width: 3, height: 20, rx: 1.5 }),
  value === null ? null : h('rect', { class: 'gate-room', x, y: y + size / 2 - 4, width: 50, height: 8, rx: 4 }),
  value === null ? null : h('rect', { class: `gate-value gate-${r.gate}`, x, y: y + size / 2 - 4, width: 50 * value, height: 8, rx: 4 }));
}

/** The whole text in small, with the part that is shown marked. @param {any} r */
function overview(r) {
  const left = r.gutter, width = r.width - left - 12, each = width / r.T;
  const move = (/** @type {PointerEvent} */ event) => {
    if (event.type === 'pointermove' && !(event.buttons & 1)) return;
    const box = /** @type {Element} */ (event.currentTarget).getBoundingClientRect();
    r.lookAt(Math.max(0, Math.min(r.T - 1, Math.floor((event.clientX - box.left - left) / each))));
  };
  return h('svg', { class: 'overview', viewBox: `0 0 ${r.width} 30`, width: r.width, height: 30, role: 'img', 'aria-label': r.text.overview, onpointerdown: move, onpointermove: move },
    h('rect', { class: 'overview-room', x: left, y: 6, width, height: 18, rx: 4 }),
    h('rect', { class: 'overview-shown', x: left + r.columns.from * each, y: 4, width: (r.columns.to - r.columns.from) * each, height: 22, rx: 4 }),
    range(0, r.T).filter((t) => roleOf(r, t) !== 'other').map((t) => h('rect', { class: `mark ${roleOf(r, t)}`, x: left + t * each, y: 9, width: Math.max(2, each), height: 12 })),
    h('rect', { class: 'overview-cursor', x: left + r.cursor * each, y: 3, width: Math.max(2, each), height: 24 }));
}

/** @param {any} r */
function beltTable(r) {
  const focus = focusOf(r);
  const head = [r.text.word, ...r.gates.map((/** @type {string} */ gate) => r.gateWords(gate).name), ...focus.map((s) => r.words[s]), r.text.answer, ''];
  const rows = range(0, r.T).map((t) => [t ? r.place(t) : r.text.line_start,
    ...r.gates.map((/** @type {string} */ gate) => r.now.means[gate][t].toFixed(4)),
    ...focus.map((s) => (s <= t ? percent(shareLeft(r, s, t)) : '')),
    r.now.likeliest[t]?.word ?? '', r.now.likeliest[t] ? percent(r.now.likeliest[t].probability) : '']);
  return table(r.belted ? r.text.belt : r.text.state, head, rows);
}

