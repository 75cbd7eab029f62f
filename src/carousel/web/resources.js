/** The page's own files and its models: beside the page, or inside it where it is one file. */

/** The files of a model folder that the page reads. */
export const MODEL_FILES = ['config.json', 'model.safetensors', 'tokenizer.json'];

/** What a large model runs in, beside the page's own thread. */
export const WORKER = 'lens/reader_worker.js';

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
    const text = atob(document.getElementById(`file:models/${name}/${file}`)?.textContent ?? '');
    const bytes = new Uint8Array(text.length);
    for (let n = 0; n < text.length; n++) bytes[n] = text.charCodeAt(n);
    return [file, bytes.buffer];
  }));
}

/** The address of the worker's script: a file of the page, or one made of what stands in it. */
export function workerAddress() {
  const inside = document.getElementById(`file:${WORKER}`)?.textContent;
  return inside ? URL.createObjectURL(new Blob([inside], { type: 'text/javascript' })) : new URL(WORKER, document.baseURI).href;
}
