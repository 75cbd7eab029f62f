/** The page as one HTML file that needs no network; the same, byte for byte, as `one_file.py`'s. */

import { MODEL_FILES, readPage, WORKER } from './resources.js';

const DATA_FILES = ['words.json', 'tour.json'];

const IMPORT = /^import \{([^}]*)\} from '(\.[^']+)';\n/gm;
const EXPORT = /^export ((?:async )?(?:function\*?|class|const) (\w+))/gm;
const COMMENT = /\/\*.*?\*\/|^[ \t]*\/\/[^\n]*/gms;
const BLANK = /^[ \t]*\n|^[ \t]+/gm;
const PRELOAD = / *<link rel="modulepreload" href="[^"]+">\n/g;
const PICTURE = /(<(carousel-\w+)>).*?(<\/\2>)/gs;

/**
 * @param {string[]} models names of the models that go into it
 * @param {string} link what it opens with
 * @returns {Promise<string>}
 */
export async function writePage(models, link) {
  const [page, style, early] = await Promise.all([readText('index.html'), readText('style.css'), readModule('early.js')]);
  const script = await writeScript('app.js');
  const data = await Promise.all(DATA_FILES.map(async (name) => [name, jsonBlock(await readText(name))]));
  data.push(['models.json', jsonBlock(JSON.stringify({ models }))], ['start.json', jsonBlock(JSON.stringify({ link }))]);
  data.push([WORKER, await writeScript(WORKER)]);
  for (const name of models) {
    for (const file of MODEL_FILES) {
      const bytes = await readPage(`models/${encodeURIComponent(name)}/${file}`);
      data.push([`models/${name}/${file}`, base64(new Uint8Array(bytes))]);
    }
  }
  const blocks = data.map(([name, content]) => `<script type="text/plain" id="file:${escape(name)}">${content}<` + '/script>\n');
  /** @type {[string | RegExp, string][]} */
  const parts = [
    ['<meta charset="utf-8">\n', `<meta charset="utf-8">\n${await policyOf([early, script], style)}`],
    ['<link rel="stylesheet" href="style.css">', `<style>${style}</style>`],
    ['<script src="early.js"><' + '/script>', `<script>${early}<` + '/script>'],
    [/  <script type="module" src="\w+\.js"><\/script>\n/, ''],
    ['</body>', `${blocks.join('')}<script type="module">${script}<` + '/script>\n</body>'],
  ];
  let whole = page.replace(PICTURE, '$1$3').replace(PRELOAD, '');
  for (const [old, now] of parts) whole = whole.replace(/** @type {RegExp} */ (old), () => now);
  return whole;
}

/** A module and all that it needs in one script, each in a function of its own and after those that it imports. @param {string} entry */
async function writeScript(entry) {
  /** @type {Map<string, Promise<string>>} */
  const texts = new Map();
  // All are asked for before the first is waited for.
  /** @param {string} name */
  const read = (name) => {
    let text = texts.get(name);
    if (!text) texts.set(name, text = readModule(name));
    return text;
  };
  /** @type {string[]} */
  const names = [];
  /** @type {Set<string>} */
  const seen = new Set();
  let script = '';
  /** @param {string} name */
  const write = async (name) => {
    if (seen.has(name)) return;
    seen.add(name);
    const text = await read(name);
    for (const [, , address] of text.matchAll(IMPORT)) read(resolve(name, address));
    for (const [, , address] of text.matchAll(IMPORT)) await write(resolve(name, address));
    const imports = Array.from(text.matchAll(IMPORT), ([, list, address]) =>
      `const {${list.replaceAll(' as ', ': ')}} = m${names.indexOf(resolve(name, address))};\n`);
    const exported = Array.from(text.matchAll(EXPORT), ([, , one]) => one);
    let body = imports.join('') + text.replace(IMPORT, '').replace(EXPORT, '$1');
    if (exported.length) body = `const m${names.length} = (() => {\n${body}return { ${exported.join(', ')} };\n})();\n`;
    names.push(name);
    script += `// ${name}\n${body}`;
  };
  await write(entry);
  return script;
}

/** The module that `'../model/cells.js'` means in another one. @param {string} module @param {string} address */
function resolve(module, address) {
  const parts = module.split('/').slice(0, -1);
  for (const part of address.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '.') parts.push(part);
  }
  return parts.join('/');
}

/** What the file may do: run these scripts, use this style, show pictures that it made. @param {string[]} scripts @param {string} style */
async function policyOf(scripts, style) {
  /** @param {string} text */
  const hashOf = async (text) => `'sha256-${base64(new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text))))}'`;
  const policy = `default-src 'none'; script-src ${(await Promise.all(scripts.map(hashOf))).join(' ')}; style-src ${await hashOf(style)}; ` +
    "img-src blob: data:; worker-src blob:; base-uri 'none'; form-action 'none'";
  return `  <meta http-equiv="Content-Security-Policy" content="${policy}">\n`;
}

/** JSON that can stand in HTML: no text in it ends the block. @param {string} text */
function jsonBlock(text) { return text.replaceAll('<', '\\u003c'); }

/** As Python's `html.escape`. @param {string} text */
function escape(text) {
  /** @type {Record<string, string>} */
  const signs = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#x27;' };
  return text.replace(/[&<>"']/g, (sign) => signs[sign]);
}

/** @param {Uint8Array} bytes */
function base64(bytes) {
  let binary = '';
  for (let at = 0; at < bytes.length; at += 8192) binary += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(binary);
}

/** @param {string} name */
async function readText(name) { return new TextDecoder().decode(await readPage(name)); }

/** A module without its comments, blank lines and indentation. @param {string} name */
async function readModule(name) { return (await readText(name)).replace(COMMENT, '').replace(BLANK, ''); }
