/** The page's own files and its models: beside the page, or inside it where it is one file. */

/** The files of a model folder that the page reads. */
export const MODEL_FILES = ['config.json', 'model.safetensors', 'tokenizer.json'];

/** Whether everything stands in the page itself. */
export function isOneFile() { return document.getElementById('file:start.json') !== null; }

/** @param {string} name @returns {Promise<any>} */
export async function loadJson(name) {
  const inside = document.getElementById(`file:${name}`);
  return JSON.parse(inside?.textContent ?? new TextDecoder().decode(await readPage(name)));
}

/** A file beside the page. @param {string} name @returns {Promise<ArrayBuffer>} */
export async function readPage(name) {
  const answer = await fetch(new URL(name, document.baseURI));
  if (!answer.ok) throw new Error(`${name}: ${answer.status}`);
  return answer.arrayBuffer();
}

/**
 * Where a model is read from: the address of its folder, or its files as bytes.
 * @param {string} name @returns {import('./types.js').ModelSource}
 */
export function modelSource(name) {
  if (!isOneFile()) return new URL(`models/${encodeURIComponent(name)}/`, document.baseURI);
  return Object.fromEntries(MODEL_FILES.map((file) => {
    const base64 = document.getElementById(`file:models/${name}/${file}`)?.textContent ?? '';
    return [file, Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)).buffer];
  }));
}
