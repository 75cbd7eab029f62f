/** What views can do to the state. */

import { decode, withHold } from './state.js';

/** @typedef {import('./controller.js').App} App */

/**
 * @param {App} app
 * @param {any} frame what is shown
 */
export function actionsOf(app, frame) {
  const { store } = app;
  return {
    app,
    lookAt: (/** @type {number} */ t) => store.look({ cursor: t === frame.tokens.length - 1 ? null : t }),
    type: (/** @type {string} */ value) => app.type(value),
    stopTyping: () => { app.setUi({ typing: false, offered: false }); store.commit(); },
    take: (/** @type {any} */ one) => { store.commit({ text: one.text, cursor: null, step: store.present.step }); app.setUi({ offered: false }); app.focusField(); },
    onFieldKey: (/** @type {KeyboardEvent} */ event) => app.onFieldKey(event, frame),
    onBeltKey: (/** @type {KeyboardEvent} */ event) => app.onBeltKey(event, frame),
    play: () => app.play(),
    holdAt: (/** @type {string} */ gate, /** @type {readonly [number, number]} */ span, /** @type {number} */ amount) => {
      if (!span) return;
      const hold = Object.freeze({ gate, layer: frame.layer, units: store.present.units, from: span[0], to: span[1], amount });
      store.try({ holds: withHold(store.present.holds, hold), gate, span });
    },
    chooseUnits: (/** @type {number[] | null} */ units) => store.look({ units: units && [...units].sort((a, b) => a - b) }),
    unitsThatCarry: (/** @type {string} */ word) => {
      const s = frame.words.indexOf(word, 1);
      return s > 0 ? frame.before.belt.carriers(s, Math.max(s, Math.min((frame.span?.[0] ?? s + 1) - 1, frame.tokens.length - 1)), Math.ceil(frame.model.config.hidden_size / 8)) : null;
    },
    compareWith: (/** @type {string} */ word) => { if (frame.pair && !frame.pair.includes(word)) store.commit({ compare: [frame.now.next[0].word === word ? frame.pair[0] : frame.now.next[0].word, word] }); },
    chooseModel: (/** @type {string} */ name) => store.commit({ model: name, digest: '' }),
    replaceWord: (/** @type {any} */ one) => { const { text } = store.present; store.commit({ text: text.slice(0, one.start) + one.word + text.slice(one.end) }); },
    goTo: (/** @type {string} */ link) => store.commit(app.fitting(decode(link))),
    goToStep: (/** @type {number} */ step) => { app.setUi({ guess: null }); store.commit(app.fitting(decode(app.tour.steps[step - 1].link))); },
    reset: () => store.commit(app.fitting(decode(app.tour.first))),
    setTheme: () => { const { dataset } = document.documentElement; dataset.theme = dataset.theme === 'dark' ? 'light' : 'dark'; app.paint(); },
    focusField: () => app.focusField(),
    openSheet: (/** @type {number} */ t) => { app.setUi({ sheet: t }); if (!(frame.span && t >= frame.span[0] && t <= frame.span[1])) store.look({ span: [t, t] }); },
  };
}
