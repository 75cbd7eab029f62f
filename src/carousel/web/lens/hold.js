/** Holding a gate over a stretch of a text: `f' = (1 - s) f + s target`. */

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
 * Whether two holds are about the same gate, units and stretch.
 * @typedef {Omit<Place, 'units'> & {units: readonly number[] | null}} Compared
 * @param {Compared} a
 * @param {Compared} b
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
