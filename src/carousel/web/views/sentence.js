/** The field for the sentence, with what comes next in grey, and what the model does not know. */

import { h, show, View } from '../dom.js';
import { percent } from '../phrasing.js';

export class SentenceView extends View {
  /** @param {any} r */
  render(r) {
    const { text } = r;
    const { suggestions } = r.now;
    const ghost = suggestions[0] ? suggestions[0].rest : '';
    show(this,
      h('h1', null, r.question),
      h('div', { class: 'field' },
        h('div', { class: 'mirror', 'aria-hidden': 'true' }, mirrored(r), r.ui.offered ? h('span', { class: 'ghost' }, ghost) : null, '\u200b'),
        h('textarea', { id: 'sentence', rows: '1', spellcheck: 'false', autocapitalize: 'off', autocomplete: 'off', 'aria-label': text.field, placeholder: text.field_hint,
          'aria-describedby': 'suggestions', dir: 'auto', value: r.state.text,
          oninput: (/** @type {any} */ event) => r.type(event.target.value),
          onkeydown: (/** @type {KeyboardEvent} */ event) => r.onFieldKey(event),
          onfocus: () => r.setUi({ typing: true }), onblur: () => r.stopTyping() })),
      h('div', { class: 'under-field' },
        h('p', { id: 'suggestions', class: 'suggestions' },
          h('span', { class: 'dim' }, text.suggest),
          suggestions.slice(0, 4).map((/** @type {any} */ one) => h('button', { type: 'button', class: 'chip', key: one.word, onpointerdown: (/** @type {Event} */ event) => event.preventDefault(), onclick: () => r.take(one) },
            one.word, h('span', { class: 'dim' }, ` ${percent(one.probability)}`))),
          r.ui.offered && ghost ? h('span', { class: 'dim hint' }, text.take) : null),
        h('div', { class: 'player', role: 'group', 'aria-label': text.position },
          iconed(r, 'back', text.step_back, () => r.lookAt(Math.max(0, r.cursor - 1)), r.cursor === 0),
          iconed(r, r.ui.playing ? 'pause' : 'play', r.ui.playing ? text.pause : text.play, () => r.play(), r.T < 2),
          iconed(r, 'on', text.step_on, () => r.lookAt(Math.min(r.T - 1, r.cursor + 1)), r.cursor >= r.T - 1),
          h('input', { type: 'range', class: 'scrubber', min: '0', max: String(Math.max(0, r.T - 1)), value: String(r.cursor), 'aria-label': text.position,
            'aria-valuetext': r.T ? r.place(r.cursor) : '', disabled: r.T < 2, oninput: (/** @type {any} */ event) => r.lookAt(Number(event.target.value)) }))),
      r.notice ? h('p', { class: 'notice' }, r.notice.text, r.notice.replacements.length ? h('span', null, ` ${text.perhaps} `) : null,
        r.notice.replacements.map((/** @type {any} */ one) => h('button', { type: 'button', class: 'chip', key: `${one.start} ${one.word}`, onclick: () => r.replaceWord(one) }, one.word))) : null);
    this.#fitHeight();
  }

  /** The field is as high as its text. */
  #fitHeight() {
    const mirror = this.querySelector('.mirror'), field = this.querySelector('textarea');
    if (mirror && field) field.style.setProperty('height', `${mirror.clientHeight}px`);
  }
}

/** @param {any} r @param {any} name @param {string} label @param {() => void} onclick @param {boolean} disabled */
function iconed(r, name, label, onclick, disabled) {
  return h('button', { key: label === r.text.pause || label === r.text.play ? 'play' : name, class: 'icon-button', type: 'button', 'aria-label': label, title: label, onclick, disabled }, r.icon(name));
}

/** The text again, behind the field: unknown words underlined, the compared ones in their colours. @param {any} r */
function mirrored(r) {
  const text = r.state.text;
  const parts = [];
  let end = 0;
  for (const token of r.tokens.slice(1)) {
    if (token.known || token.start < end) continue;
    parts.push(text.slice(end, token.start), h('span', { class: 'unknown' }, text.slice(token.start, token.end)));
    end = token.end;
  }
  parts.push(text.slice(end));
  return parts.filter((part) => part !== '');
}

