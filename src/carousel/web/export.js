/** Taking something along: pictures, tables, numbers, and the commands that print the same. */

import { writePage } from './one_file.js';
import { isOneFile } from './resources.js';
import { change, clampText, encode } from './state.js';
import { fill } from './phrasing.js';

/** @param {any} r */
const layered = (r) => r.model.config.layers > 1;

/** A text in single quotes, as a shell reads it. @param {string} text */
export function shellQuoted(text) { return `'${text.replaceAll("'", `'\\''`)}'`; }

/** A text as a literal of Python. @param {string} text */
export function pythonQuoted(text) {
  const plain = JSON.stringify(text).replace(/[\u007f-\uffff]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
  // Python has no surrogate pairs in its escapes.
  return plain.replace(/\\ud([89ab][0-9a-f]{2})\\ud([c-f][0-9a-f]{2})/g, (_, high, low) =>
    `\\U${(0x10000 + ((parseInt(`d${high}`, 16) - 0xd800) << 10) + parseInt(`d${low}`, 16) - 0xdc00).toString(16).padStart(8, '0')}`);
}

/** What Python and the command line call the model. @param {any} r */
function modelName(r) { return Object.hasOwn(r.app.names, r.state.model) ? r.app.names[r.state.model] : r.state.model; }

/** The command whose output has the same probabilities. @param {any} r */
export function commandOf(r) {
  const clamps = r.holds.map((/** @type {any} */ hold) => ` --clamp ${shellQuoted(clampText(hold, layered(r)))}`);
  const compare = r.pair ? ` --compare ${shellQuoted(r.pair.join(','))}` : '';
  return `carousel explain ${shellQuoted(modelName(r))} ${shellQuoted(textRead(r))}${compare}${clamps.join('')}`;
}

/** The text up to the cursor: what the next word is asked after. @param {any} r */
function textRead(r) {
  return r.cursor === r.tokens.length - 1 ? r.state.text : r.state.text.slice(0, r.tokens[r.cursor].end);
}

/** The same in Python. @param {any} r */
export function pythonOf(r) {
  const text = pythonQuoted(textRead(r));
  const lines = ['import carousel', '', `model = carousel.load(${pythonQuoted(modelName(r))})`, `text = ${text}`];
  if (!r.holds.length) lines.push('model.next_words(text, k=5)');
  else {
    const clamps = r.holds.map((/** @type {any} */ hold) => pythonQuoted(clampText(hold, layered(r))));
    const compare = r.pair ? `, compare=(${r.pair.map(pythonQuoted).join(', ')})` : '';
    lines.push(`model.effect(text, ${clamps.length === 1 ? clamps[0] : `[${clamps.join(', ')}]`}${compare}).changes`);
  }
  return lines.join('\n');
}

/** Everything at every word, a row a word. @param {any} r */
export function csvOf(r) {
  const cell = (/** @type {string | number} */ value) => (/[",\n\r]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value));
  // A spreadsheet takes a cell that begins so for a formula.
  const word = (/** @type {string} */ text) => (/^[=+\-@\t\r]/.test(text) ? `'${text}` : text);
  const head = ['position', 'word', ...r.gates.flatMap((/** @type {string} */ gate) => [gate, `${gate}_before`]), ...(r.belted ? r.words.map((/** @type {string} */ one, /** @type {number} */ s) => `left_${s}_${one}`) : [])];
  const rows = r.words.map((/** @type {string} */ one, /** @type {number} */ t) => [t, word(one),
    ...r.gates.flatMap((/** @type {string} */ gate) => [r.now.means[gate][t], r.before.means[gate][t]]),
    ...(r.belted ? r.words.map((/** @type {string} */ _, /** @type {number} */ s) => (s <= t ? r.now.amounts(t)[s] : '')) : [])]);
  return [head.map((one) => cell(word(one))), ...rows.map((/** @type {any[]} */ row) => row.map(cell))].map((row) => row.join(',')).join('\r\n');
}

/** The state and its numbers as plain data. @param {any} r */
export function dataOf(r) {
  const side = (/** @type {any} */ one) => ({
    next: one.next, difference: Number.isFinite(one.difference) ? one.difference : null,
    gates: Object.fromEntries(Object.entries(one.means).map(([gate, means]) => [gate, Array.from(/** @type {Float64Array} */ (means))])),
    left: r.belted ? r.words.map((/** @type {string} */ _, /** @type {number} */ t) => Array.from(one.amounts(t))) : null,
  });
  return { model: r.state.model, weights: r.model.reader.hash, text: r.state.text, words: r.words, cursor: r.cursor, compare: r.pair,
    holds: r.holds.map((/** @type {any} */ hold) => clampText(hold, layered(r))), before: side(r.before), now: side(r.now), said: r.said };
}

const PAINT = ['fill', 'stroke', 'opacity', 'fill-opacity'];
const STROKE = ['stroke-width', 'stroke-dasharray', 'stroke-linejoin', 'paint-order'];
const FONT = ['font-size', 'font-weight', 'font-family', 'text-anchor'];
/** What need not be written, as it is so by itself. */
const USUAL = new Set(['opacity: 1', 'fill-opacity: 1', 'stroke: none', 'stroke-dasharray: none', 'stroke-linejoin: miter', 'paint-order: normal', 'font-weight: 400', 'text-anchor: start']);

/** Write the style that the page gives an element into a copy of it. @param {Element} copy @param {CSSStyleDeclaration} style */
function writeStyle(copy, style) {
  const names = [...PAINT, ...(style.stroke === 'none' ? [] : STROKE), ...(copy.localName === 'text' ? FONT : [])];
  for (const name of ['class', 'role', 'id', 'aria-selected', 'aria-hidden', 'aria-label']) if (copy.localName !== 'pattern' || name !== 'id') copy.removeAttribute(name);
  if (copy.localName === 'g' || copy.localName === 'title') return;
  for (const name of names) {
    const value = style.getPropertyValue(name);
    if (!USUAL.has(`${name}: ${value}`)) copy.setAttribute(name, value);
  }
}

/** The belt's picture by itself, with the page's colours written into it. @returns {string} */
export function svgOf() {
  const source = /** @type {SVGElement | null} */ (document.querySelector('svg[data-export="belt"]'));
  if (!source) return '';
  const copy = /** @type {SVGElement} */ (source.cloneNode(true));
  const originals = [...source.querySelectorAll('*')];
  [...copy.querySelectorAll('*')].forEach((node, index) => writeStyle(node, getComputedStyle(originals[index])));
  for (const node of [...copy.querySelectorAll('[fill="rgba(0, 0, 0, 0)"]')]) node.remove();
  for (const name of ['class', 'role', 'data-export']) copy.removeAttribute(name);
  const [, , width, height] = (copy.getAttribute('viewBox') ?? '0 0 0 0').split(' ');
  const ground = document.createElementNS('http://www.w3.org/2000/svg', 'rect');
  ground.setAttribute('width', width);
  ground.setAttribute('height', height);
  ground.setAttribute('fill', getComputedStyle(document.documentElement).getPropertyValue('--ground').trim());
  copy.prepend(ground);
  return new XMLSerializer().serializeToString(copy);
}

/** @param {any} r @param {string} name @param {Blob} blob */
function save(r, name, blob) {
  const address = URL.createObjectURL(blob);
  const link = document.createElement('a');
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
  r.app.tell(fill(r.text.saved, { name }));
}

/** The picture at twice its size. @param {any} r */
async function savePng(r) {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svgOf())}`;
  await image.decode();
  const canvas = document.createElement('canvas');
  canvas.width = image.naturalWidth * 2;
  canvas.height = image.naturalHeight * 2;
  canvas.getContext('2d')?.drawImage(image, 0, 0, canvas.width, canvas.height);
  canvas.toBlob((blob) => { if (blob) save(r, 'carousel.png', blob); }, 'image/png');
}

/** @param {any} r @param {string} what */
async function copy(r, what) {
  try {
    await navigator.clipboard.writeText(what);
    r.app.tell(fill(r.text.copied, { what }));
  } catch {
    r.app.tell(fill(r.text.copy_failed, { what }));
  }
}

/** The page with the models that are open in one file, which opens as this page is now. @param {any} r */
async function saveHtml(r) {
  const page = await writePage([...r.app.opened.keys()], encode(change(r.store.present, { step: 0 })));
  save(r, 'carousel.html', new Blob([page], { type: 'text/html' }));
}

/** What the menu offers: the name in `words.json`, and what it does. @type {{name: string, run: (r: any) => void}[]} */
const EXPORTERS = [
  { name: 'copy_link', run: async (r) => copy(r, await r.app.link()) },
  { name: 'copy_command', run: (r) => copy(r, commandOf(r)) },
  { name: 'copy_python', run: (r) => copy(r, pythonOf(r)) },
  { name: 'save_html', run: saveHtml },
  { name: 'save_svg', run: (r) => save(r, 'carousel.svg', new Blob([svgOf()], { type: 'image/svg+xml' })) },
  { name: 'save_png', run: (r) => savePng(r) },
  { name: 'save_csv', run: (r) => save(r, 'carousel.csv', new Blob([csvOf(r)], { type: 'text/csv' })) },
  { name: 'save_json', run: (r) => save(r, 'carousel.json', new Blob([JSON.stringify(dataOf(r), null, 1)], { type: 'application/json' })) },
];

/** What can be taken along here: a page that is one file is at hand already. */
export function exporters() {
  return EXPORTERS.filter(({ name }) => name !== 'save_html' || !isOneFile());
}
