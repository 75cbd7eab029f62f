/**
 * Keyed update of nodes: a description of what should stand there is compared with what does, and
 * only the difference is changed, so that focus, selections and drags survive. Text becomes text
 * nodes and attributes, never markup.
 */

/**
 * @typedef {object} Shape what a node should be
 * @property {string} tag
 * @property {Record<string, any>} props attributes; `on...` listeners; `css` custom properties;
 *   `value`, `checked`, `disabled`, `hidden` and other booleans as properties; `key`
 * @property {(Shape | string)[]} children
 */

const SVG = 'http://www.w3.org/2000/svg';
const MATH = 'http://www.w3.org/1998/Math/MathML';
/** @type {WeakMap<Element, Record<string, any>>} */
const known = new WeakMap();

/**
 * Describe a node. Children that are null, undefined or false are left out.
 * @param {string} tag @param {Record<string, any> | null} [props] @param {...any} children
 * @returns {Shape}
 */
export function h(tag, props = null, ...children) {
  const flat = children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
  return { tag, props: props ?? {}, children: flat.map((child) => (typeof child === 'number' ? String(child) : child)) };
}

/**
 * Make the children of `parent` what `shapes` describe.
 * @param {Element} parent @param {...any} shapes
 */
export function show(parent, ...shapes) {
  const wanted = h('', null, ...shapes).children;
  /** @type {Map<any, Element>} */
  const keyed = new Map();
  for (const node of parent.children) {
    const key = known.get(node)?.key;
    if (key !== undefined) keyed.set(key, node);
  }
  /** @type {ChildNode | null} */
  let here = parent.firstChild;
  for (const shape of wanted) {
    if (typeof shape === 'string') {
      if (here?.nodeType === Node.TEXT_NODE) {
        if (here.nodeValue !== shape) here.nodeValue = shape;
        here = here.nextSibling;
      } else parent.insertBefore(document.createTextNode(shape), here);
      continue;
    }
    const node = keyed.get(shape.props.key) ?? fitting(here, shape);
    if (node && node.localName === shape.tag) {
      if (node === here) here = here.nextSibling;
      else parent.insertBefore(node, here);
      update(node, shape);
    } else {
      const made = create(parent, shape);
      parent.insertBefore(made, here);
      update(made, shape);
    }
  }
  while (here) {
    const next = here.nextSibling;
    here.remove();
    here = next;
  }
}

/** The node that stands here, if it has no key and is of the right kind. @param {ChildNode | null} node @param {Shape} shape */
function fitting(node, shape) {
  if (!(node instanceof Element) || shape.props.key !== undefined) return null;
  return node.localName === shape.tag && known.get(node)?.key === undefined ? node : null;
}

/** @param {Element} parent @param {Shape} shape */
function create(parent, { tag }) {
  if (tag === 'svg') return document.createElementNS(SVG, tag);
  if (tag === 'math') return document.createElementNS(MATH, tag);
  const space = parent.localName === 'foreignObject' ? null : parent.namespaceURI;
  return space === SVG || space === MATH ? document.createElementNS(space, tag) : document.createElement(tag);
}

/** @param {Element} node @param {Shape} shape */
function update(node, { props, children }) {
  const before = known.get(node) ?? {};
  for (const name of Object.keys(before)) {
    if (!(name in props)) set(node, name, undefined, before[name]);
  }
  for (const name of Object.keys(props)) set(node, name, props[name], before[name]);
  known.set(node, props);
  // A custom element fills itself.
  if (!node.localName.includes('-')) show(node, ...children);
}

/** @param {any} node @param {string} name @param {any} value @param {any} before */
function set(node, name, value, before) {
  if (name === 'key') return;
  if (name === 'value') {
    // What is being typed is compared with the field itself.
    if (node.value !== String(value ?? '')) node.value = value ?? '';
    return;
  }
  if (value === before && name !== 'css') return;
  if (name.startsWith('on')) {
    node[name] = value ?? null;
  } else if (name === 'css') {
    for (const key of Object.keys(before ?? {})) if (!value || !(key in value)) node.style.removeProperty(key);
    for (const [key, one] of Object.entries(value ?? {})) node.style.setProperty(key, String(one));
  } else if (typeof value === 'boolean' && name in node) {
    node[name] = value;
  } else if (value === undefined || value === null || value === false) {
    if (typeof before === 'boolean' && name in node) node[name] = false;
    else node.removeAttribute(name);
  } else {
    node.setAttribute(name, String(value));
  }
}

/**
 * A custom element that shows a reading: `update(reading)` is called after each change.
 */
export class View extends HTMLElement {
  /** @type {any} */
  reading = null;

  /** @param {any} reading */
  update(reading) {
    // What stood there before the first reading is the picture of `index.html`.
    if (!this.reading) this.replaceChildren();
    this.reading = reading;
    this.render(reading);
  }

  /** @param {any} _reading */
  render(_reading) {}
}
