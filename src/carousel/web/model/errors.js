/** An error for people: one line with what was wrong, where, and what to do. */
export class CarouselError extends Error {
  /** @param {string} message */
  constructor(message) {
    super(message);
    this.name = 'CarouselError';
  }
}
