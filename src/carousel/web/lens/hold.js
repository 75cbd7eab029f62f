/** Holding a gate over a stretch of a text: `f' = (1 - s) f + s target`. */

import { namesOf } from './points.js';

/** @typedef {import('../types.js').Config} Config */
/** @typedef {import('../types.js').Hold} Hold */

/**
 * What a hold is about, without how far it goes.
 * @typedef {Pick<Hold, 'layer'|'gate'|'units'|'from'|'to'>} Place
 */

/**
 * Change a gate's value in place as a hold says.
 * @param {Hold} hold
 * @param {Float32Array} value `[H]`
 */
export function applyHold({ kind, units, value: target, strength }, value) {
  const s = kind === 'toward' ? strength : 1;
  const size = units ? units.length : value.length;
  for (let n = 0; n < size; n++) {
    const u = units ? units[n] : n;
    value[u] = kind === 'scale' ? value[u] * target : (1 - s) * value[u] + s * target;
  }
}

/**
 * The hold of a slider that is centred: at 0 all is as it is, at 1 the gate is at its upper end,
 * at -1 at its lower end.
 * @param {Place} place
 * @param {number} position -1 to 1
 * @param {[number, number]} [ends] the lower and the upper end; 0 and 1 if left out
 * @returns {Hold}
 */
export function slide(place, position, ends = [0, 1]) {
  const value = position < 0 ? ends[0] : ends[1];
  return { ...place, kind: 'toward', value, strength: Math.min(1, Math.abs(position)) };
}

/**
 * Whether two holds are about the same gate, units and stretch.
 * @param {Place} a
 * @param {Place} b
 */
export function samePlace(a, b) {
  return (
    a.layer === b.layer && a.gate === b.gate && a.from === b.from && a.to === b.to &&
    String(a.units) === String(b.units)
  );
}

/**
 * The holds with one more; one that is about the same place is replaced.
 * @param {Hold[]} holds
 * @param {Hold} hold
 * @returns {Hold[]}
 */
export function withHold(holds, hold) {
  const at = holds.findIndex((other) => samePlace(other, hold));
  return at < 0 ? [...holds, hold] : holds.with(at, hold);
}

/**
 * Whether a hold changes anything at all.
 * @param {Hold} hold
 */
export function isActive({ kind, from, to, value, strength }) {
  const nothing = (kind === 'toward' && strength === 0) || (kind === 'scale' && value === 1);
  return from <= to && !nothing;
}

/**
 * What is wrong with a hold for a model, or null.
 * @param {Hold} hold
 * @param {Config} config
 * @returns {'gate'|'layer'|'units'|'stretch'|'value'|null} the part that does not fit
 */
export function holdFault(hold, config) {
  /** @param {number} n @param {number} below */
  const isIndex = (n, below) => Number.isInteger(n) && n >= 0 && n < below;
  if (!Object.hasOwn(namesOf(config), hold.gate)) return 'gate';
  if (!isIndex(hold.layer, config.layers)) return 'layer';
  if (hold.units && !hold.units.every((u) => isIndex(u, config.hidden_size))) return 'units';
  if (!isIndex(hold.from, Infinity) || !isIndex(hold.to, Infinity)) return 'stretch';
  const fine = Number.isFinite(hold.value) && hold.strength >= 0 && hold.strength <= 1;
  return fine && ['set', 'scale', 'toward'].includes(hold.kind) ? null : 'value';
}

/**
 * The first position that may differ where one list of holds takes the place of another, on one
 * layer; infinite where none does. Holds act one after the other, so their order counts.
 * @param {Hold[]} before
 * @param {Hold[]} after
 * @param {number} layer
 */
export function firstChange(before, after, layer) {
  const [a, b] = [before, after].map((holds) =>
    holds.filter((hold) => hold.layer === layer && isActive(hold)),
  );
  /** @param {Hold | undefined} x @param {Hold | undefined} y */
  const same = (x, y) =>
    !!x && !!y && samePlace(x, y) && x.kind === y.kind && x.value === y.value &&
    (x.kind !== 'toward' || x.strength === y.strength);
  while (same(a[0], b[0])) [a, b].forEach((holds) => holds.shift());
  while (same(a.at(-1), b.at(-1))) [a, b].forEach((holds) => holds.pop());
  return Math.min(Infinity, ...[...a, ...b].map((hold) => hold.from));
}
