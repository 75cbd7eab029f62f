/** What people can do, and when what is shown is read again. */

import { columnsOf, rowsOf } from './geometry/columns.js';
import { samePlace } from './lens/hold.js';
import { openReader } from './lens/reader.js';
import { nearestWords } from './model/nearest.js';
import { fill, placeName, printable, stretchName, whole } from './phrasing.js';
import { readDirection, readModel, readOther, Readings } from './reading.js';
import { isOneFile, loadJson, modelSource, workerAddress } from './resources.js';
import { noticeOf, sayFrame } from './said.js';
import { change, decode, fromHash, INITIAL, Store, toHash } from './state.js';
import { actionsOf } from './actions.js';
import { icon, measure } from './views/parts.js';

const NARROW = 720, GUTTER = 126;
const SPOKEN_AFTER = 500, LINK_AFTER = 300, DIMMED_AFTER = 150, PLAY_EVERY = 450, SWEEP_AFTER = 120, SWEEP_AFTER_KEY = 500;

/** @typedef {import('./state.js').State} State */

export class App {
  /**
   * @param {string[]} views names of the custom elements
   * @param {any} text the words of the interface @param {any} tour @param {string[]} models names
   * @param {State} state
   */
  constructor(views, text, tour, models, state) {
    this.views = views;
    this.text = text;
    this.tour = tour;
    this.models = models;
    /** What a command line calls the models, where that is not their name here. @type {Record<string, string>} */
    this.names = {};
    this.broken = false;
    this.store = new Store(this.fitting(state));
    this.readings = new Readings();
    /** @type {Map<string, Promise<any>>} */
    this.opened = new Map();
    /** What is shown beside the state and is in no link. @type {any} */
    this.ui = { hover: null, peeking: false, playing: false, typing: false, offered: false, tables: {}, sharing: false, sheet: null, guess: null };
    /** @type {any} */
    this.frame = null;
    this.busy = false;
    this.again = false;
    this.painting = 0;
    /** @type {Record<string, ReturnType<typeof setTimeout>>} */
    this.timers = {};
  }

  /** Load what the page needs beside the models, and show the state of its address. @param {string[]} views */
  static async start(views) {
    const [text, tour, { models, arguments: names = {} }] = await Promise.all(['words.json', 'tour.json', 'models.json'].map(loadJson));
    const hash = location.hash || (isOneFile() ? `#${(await loadJson('start.json')).link}` : '');
    const app = new App(views, text, tour, models, await fromHash(hash));
    app.names = names;
    if (models.length) app.#listen();
    else app.#message(text.no_models);
  }

  #listen() {
    this.store.listen(() => this.#changed());
    addEventListener('hashchange', async () => {
      const state = this.fitting(await fromHash(location.hash));
      if (await toHash(state) !== await toHash(this.store.present)) this.store.commit(state);
    });
    addEventListener('resize', () => this.paint());
    addEventListener('keydown', (event) => this.#onKey(event));
    addEventListener('keyup', (event) => { if (event.key === 'b' || event.key === 'B') this.setUi({ peeking: false }); });
    addEventListener('blur', () => this.setUi({ peeking: false, hover: null }));
    this.#changed();
  }

  /** A state that this page can show: with a model that is here, and the first text if none. @param {State} state */
  fitting(state) {
    const first = decode(this.tour.first);
    const fresh = state === INITIAL || (!state.text && !state.model && !state.step);
    const chosen = fresh ? first : state;
    const model = this.models.includes(chosen.model) ? chosen.model : this.models[0] ?? '';
    return change(chosen, { model, digest: model === chosen.model ? chosen.digest : '' });
  }

  #changed() {
    this.paint();
    this.read();
    this.#later('link', LINK_AFTER, async () => showLink(await toHash(this.store.present)));
  }

  /** @param {string} name @param {number} after @param {() => void} run */
  #later(name, after, run) {
    clearTimeout(this.timers[name]);
    this.timers[name] = setTimeout(run, after);
  }

  /** The model of a name, opened once. @param {string} name */
  model(name) {
    let opening = this.opened.get(name);
    if (!opening) {
      opening = openReader(modelSource(name), workerAddress)
        .then((reader) => ({ name, reader, config: reader.config }));
      opening.catch(() => this.opened.delete(name));
      this.opened.set(name, opening);
    }
    return opening;
  }

  /** Read what the state says; while a reading is under way, the latest state is read next. */
  async read() {
    this.again = true;
    if (this.busy) return;
    this.busy = true;
    this.timers.dim = setTimeout(() => document.body.classList.add('stale'), DIMMED_AFTER);
    try {
      while (this.again) {
        this.again = false;
        await this.#readOnce();
      }
    } finally {
      this.busy = false;
      clearTimeout(this.timers.dim);
      document.body.classList.remove('stale');
    }
  }

  async #readOnce() {
    const state = this.store.present;
    let model;
    try {
      model = await this.model(state.model);
      const options = { typing: this.ui.typing, dragging: this.store.base !== null, everyWord: Boolean(this.ui.tables.belt) };
      const frame = await this.readings.read(state, model, options);
      const more = await this.#moreFor(frame, state, model);
      this.frame = { ...frame, ...more, state, model, sweep: this.readings.curveOf(state, model, frame) };
      if (this.broken) this.#message('');
      this.broken = false;
    } catch (error) {
      this.broken = true;
      this.#message(fill(this.text.broken, { model: state.model, why: error instanceof Error ? error.message : String(error) }));
      return;
    }
    this.paint();
    this.#later('sweep', this.ui.typing ? SWEEP_AFTER_KEY : this.frame.sweep ? SWEEP_AFTER : 0, () => this.#readSweep());
    this.#later('speak', SPOKEN_AFTER, () => { const live = document.getElementById('live'); if (live && live.textContent !== this.frame.said) live.textContent = this.frame.said; });
  }

  /** What the open view needs beside the reading. @param {any} frame @param {State} state @param {any} model */
  async #moreFor(frame, state, model) {
    if (!frame.T) return {};
    // While a hand moves a gate of a large model, other readings would keep it waiting.
    if (frame.following) return { direction: this.frame.direction, two: this.frame.two, others: this.frame.others };
    if (state.view === 'decision') return { direction: await readDirection(frame, model) };
    if (state.view === 'two') return { two: await readOther(frame, state, model) };
    if (state.view === 'models') return { others: await Promise.all(this.models.map((/** @type {string} */ name) => readModel(name, this.model(name), frame, state))) };
    return {};
  }

  async #readSweep() {
    const { frame } = this;
    const sweep = await this.readings.sweep(frame.state, frame.model, frame);
    if (this.frame !== frame || frame.sweep === sweep) return;
    this.frame = { ...frame, sweep };
    this.paint();
    this.#later('sweep', SWEEP_AFTER, () => this.#readSweep());
  }

  /** The page's address with everything that it shows. */
  async link() {
    const { present } = this.store;
    return new URL(await toHash(change(present, { digest: this.frame.model.reader.hash })), location.href).href;
  }

  /** @param {string} message */
  #message(message) {
    const place = document.getElementById('message');
    if (place && place.textContent !== message) place.textContent = message;
  }

  /** Say something for a while. @param {string} message */
  tell(message) {
    this.#message(message);
    this.#later('tell', 4000, () => this.#message(''));
  }

  paint() {
    if (!this.painting) this.painting = requestAnimationFrame(() => { this.painting = 0; this.#show(); });
  }

  #show() {
    if (!this.frame) return;
    const frame = this.#complete(this.frame);
    this.shown = frame;
    for (const name of this.views) {
      /** @type {any} */ (document.querySelector(name))?.update(frame);
    }
    performance.mark('carousel-painted');
  }

  /** What views need beside the reading: places, words, and what can be done. @param {any} read */
  #complete(read) {
    const { text, ui, store } = this;
    const state = store.present;
    const before = read.before, now = ui.peeking ? before : read.now;
    const words = read.words.map(printable);
    const last = read.tokens.length - 1;
    const span = state.span && state.span[0] <= last ? [state.span[0], Math.min(state.span[1], last)] : null;
    const room = innerWidthOf('carousel-belt');
    const turned = innerWidth < NARROW;
    const frame = { ...read, text, ui, store, state: { ...state, model: state.model }, tour: this.tour, models: this.models, before, now, words, span, icon, turned,
      heldNow: read.holds.length > 0, held: read.holds.length > 0, units: state.units, width: room, gutter: turned ? 0 : GUTTER,
      setUi: (/** @type {any} */ some) => this.setUi(some) };
    frame.columns = turned ? rowsOf(words.length, 44, 26, frame.cursor)
      : columnsOf({ words, left: GUTTER, right: room - 14, cursor: frame.cursor, measure });
    frame.wideColumns = turned ? columnsOf({ words, left: 92, right: room - 6, cursor: frame.cursor, measure }) : frame.columns;
    frame.curveWidth = Math.max(200, (turned || room < 640 ? room - 36 : room - 36 - 210));
    const answer = innerWidthOf('carousel-answer');
    frame.answerWidth = turned ? Math.max(120, Math.min(240, answer - 140)) : innerWidth < 1200 ? (answer - 70) / 2 : answer - 42;
    frame.gateWords = (/** @type {string} */ gate) => text.gates[gate] ?? text.gates.f;
    frame.place = (/** @type {number} */ t) => (t ? placeName(words, t, text.nth) : text.line_start);
    frame.stretch = (/** @type {number} */ a, /** @type {number} */ b) => stretchName(words, a, Math.min(b, last), text.nth);
    frame.amountOf = (/** @type {string} */ gate) => (span ? state.holds.find((/** @type {any} */ one) => samePlace(one, { gate, layer: read.layer, from: span[0], to: span[1], units: state.units }))?.amount ?? 0 : 0);
    frame.amount = frame.amountOf(frame.gate);
    frame.counterpart = read.pair && before.next[0] ? read.pair.find((/** @type {string} */ word) => word !== before.next[0].word && words.includes(word)) ?? null : null;
    frame.handleLabel = frame.amount ? `${frame.amount > 0 ? '+' : '\u2212'}${whole(Math.abs(frame.amount))}`
      : frame.gate === read.keeper && frame.counterpart && span && words.indexOf(frame.counterpart) < span[0] ? fill(text.hold_keep, { word: frame.counterpart }) : text.handle;
    const step = this.tour.steps[state.step - 1] ?? { link: this.tour.first, question: text.question };
    frame.question = decode(step.link).text === state.text ? step.question : text.question_free;
    Object.assign(frame, actionsOf(this, frame));
    frame.said = sayFrame(frame);
    frame.notice = noticeOf(frame, (word) => nearestWords(read.model.reader.tokenizer, word, 3));
    this.frame.said = frame.said;
    return frame;
  }

  focusField() { document.getElementById('sentence')?.focus(); }

  /** @param {any} some */
  setUi(some) {
    if (Object.keys(some).every((key) => this.ui[key] === some[key])) return;
    const readAgain = 'typing' in some || 'tables' in some;
    this.ui = { ...this.ui, ...some };
    if (readAgain) this.read();
    this.paint();
  }

  /** @param {string} value */
  type(value) {
    const text = value.replaceAll('\n', ' ');
    const { present } = this.store;
    const { tokens } = this.frame;
    let same = 0;
    while (same < text.length && text[same] === present.text[same]) same++;
    // What was held or chosen at words that are no longer the same is let go.
    const stays = (/** @type {number} */ to) => to < tokens.length && tokens[to].end <= same;
    this.store.try({
      text, cursor: null, holds: Object.freeze(present.holds.filter((hold) => stays(hold.to))),
      span: present.span && stays(present.span[1]) ? present.span : null,
      compare: same < present.text.length ? null : present.compare,
    });
    this.setUi({ offered: true });
    if (text.endsWith(' ')) this.store.commit();
  }

  /** @param {KeyboardEvent} event @param {any} frame */
  onFieldKey(event, frame) {
    const field = /** @type {HTMLTextAreaElement} */ (event.target);
    const atEnd = field.selectionStart === field.value.length && field.selectionEnd === field.value.length;
    const [first] = frame.now.suggestions;
    if (event.key === 'Enter') event.preventDefault();
    if (event.key === 'Escape') this.setUi({ offered: false });
    // Tab takes a word only right after typing: else nobody without a pointer could leave the field.
    if (first?.rest && atEnd && !event.shiftKey && (event.key === 'ArrowRight' || (event.key === 'Tab' && this.ui.offered))) {
      event.preventDefault();
      frame.take(first);
    }
  }

  /** @param {KeyboardEvent} event @param {any} frame */
  onBeltKey(event, frame) {
    const last = frame.tokens.length - 1;
    const steps = /** @type {Record<string, number>} */ ({ ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1, Home: -last, End: last });
    const by = steps[event.key];
    if (by !== undefined) {
      event.preventDefault();
      // Keys can come faster than frames: what counts is the state, not what is drawn.
      const { present } = this.store;
      const here = Math.min(present.cursor ?? last, last);
      const to = Math.max(0, Math.min(last, here + by));
      const cursor = to === last ? null : to;
      if (!event.shiftKey) return this.store.look({ cursor });
      // The end of the stretch that the cursor is not at stays.
      const { span } = present;
      const other = !span ? here : span[0] === here ? span[1] : span[1] === here ? span[0] : here;
      this.store.look({ span: [Math.min(other, to), Math.max(other, to)], cursor });
    } else if (event.key === ' ') {
      event.preventDefault();
      this.play();
    } else if (event.key === 'Enter') {
      event.preventDefault();
      const here = Math.min(this.store.present.cursor ?? last, last);
      const { span } = this.store.present;
      if (!span || here < span[0] || here > span[1]) this.store.look({ span: [here, here] });
      requestAnimationFrame(() => document.getElementById(`amount-${frame.gate}`)?.focus());
    }
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const typing = event.target instanceof HTMLTextAreaElement;
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'z') {
      event.preventDefault();
      if (event.shiftKey) this.store.redo();
      else this.store.undo();
    }
    if (event.key === 'Escape') this.setUi({ sheet: null, sharing: false });
    if (!typing && !event.ctrlKey && !event.metaKey && event.key.toLowerCase() === 'b') this.setUi({ peeking: true });
  }

  play() {
    const { frame } = this;
    if (this.ui.playing) return this.setUi({ playing: false });
    const last = frame.tokens.length - 1;
    this.setUi({ playing: true });
    let at = frame.cursor >= last ? 0 : frame.cursor;
    const step = () => {
      if (!this.ui.playing) return;
      this.store.look({ cursor: at >= last ? null : at });
      if (at++ >= last) this.setUi({ playing: false });
      else this.#later('play', PLAY_EVERY, step);
    };
    step();
  }
}

/** Put the state into the address; a page inside of another one (a notebook's) may not. @param {string} hash */
function showLink(hash) {
  try {
    history.replaceState(null, '', hash);
  } catch {
    // The page goes on without.
  }
}

/** The width inside an element's padding; of one that is not shown, a width that can be drawn. @param {string} selector */
function innerWidthOf(selector) {
  const element = /** @type {Element} */ (document.querySelector(selector));
  const { paddingLeft, paddingRight } = getComputedStyle(element);
  return Math.max(240, element.clientWidth - Number.parseFloat(paddingLeft) - Number.parseFloat(paddingRight));
}
