/** The page's own JSON files: beside the page, or inside it where it is one file. */

/** @param {string} name @returns {Promise<any>} */
export async function loadJson(name) {
  const inside = document.getElementById(`file:${name}`);
  if (inside) return JSON.parse(inside.textContent ?? '');
  const answer = await fetch(new URL(name, document.baseURI));
  if (!answer.ok) throw new Error(`${name}: ${answer.status}`);
  return answer.json();
}
