/**
 * Dragging on a lane: along it chooses a stretch, up and down holds the gate there. Which of both
 * a drag is, is decided by its first few pixels.
 */

/** Pixels before a drag is one; a grab that moves less changes nothing. */
export const SLACK = 4;
/** Pixels from "as it is" to "everything". */
export const REACH = 90;

/**
 * @typedef {object} Drag
 * @property {number} x where it began
 * @property {number} y
 * @property {number} position position under the pointer when it began
 * @property {number} amount what the gate was held at when it began
 * @property {readonly [number, number] | null} span the stretch that was chosen when it began
 * @property {'' | 'choose' | 'hold'} kind
 */

/**
 * What a drag that has come to `x`, `y` means.
 * @param {Drag} drag @param {number} x @param {number} y @param {number} position under the pointer now
 * @returns {{kind: Drag['kind'], span: readonly [number, number] | null, amount: number}}
 */
export function dragged(drag, x, y, position) {
  const across = Math.abs(x - drag.x), up = drag.y - y;
  const inside = drag.span !== null && drag.position >= drag.span[0] && drag.position <= drag.span[1];
  let { kind } = drag;
  if (!kind && Math.max(across, Math.abs(up)) > SLACK) kind = Math.abs(up) > across ? 'hold' : 'choose';
  if (kind === 'choose') {
    const span = /** @type {[number, number]} */ ([Math.min(drag.position, position), Math.max(drag.position, position)]);
    return { kind, span, amount: 0 };
  }
  if (kind === 'hold') {
    const span = inside ? drag.span : /** @type {[number, number]} */ ([drag.position, drag.position]);
    return { kind, span, amount: amountAt((inside ? drag.amount : 0) + up / REACH) };
  }
  return { kind, span: drag.span, amount: drag.amount };
}

/** An amount in its bounds, in steps of 1%; near 0 it is 0. @param {number} amount */
export function amountAt(amount) {
  const bounded = Math.max(-1, Math.min(1, amount));
  return Math.abs(bounded) < 0.03 ? 0 : Math.round(bounded * 100) / 100;
}
