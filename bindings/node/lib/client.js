'use strict';

const { call } = require('./calls.js');
const { clipOf, newMedia } = require('./media.js');
const { native } = require('./native.js');
const { builtIn, packDirectories } = require('./packs.js');
const { AnalysisStream, analysisOf, asyncDispose, camelCased, eventOf, invalid, isObject, raced, toJson } = require('./shared.js');

function checkSignal(signal) {
  if (signal !== undefined && !(isObject(signal) && typeof signal.addEventListener === 'function')) {
    throw invalid('signal is no AbortSignal');
  }
}

/** Counts what runs, so that closing can wait for it. */
class Works {
  #running = new Set();

  add(promise) {
    this.#running.add(promise);
    const over = () => this.#running.delete(promise);
    promise.then(over, over);
    return promise;
  }

  async over() {
    while (this.#running.size) await Promise.allSettled(this.#running);
  }
}

/** A question: `begin(id, token, mailbox, events)` starts it. */
const answered = async (begin, signal) => analysisOf(await call((id, token, box) => begin(id, token, box, false), { signal }));

function streamed(begin, post, signal) {
  const onEvent = (json) => {
    const event = eventOf(json);
    if (event) post(event);
  };
  return call((id, token, box) => begin(id, token, box, true), { signal, onEvent });
}

class EmotionLLaMA {
  #options;
  #onProgress;
  #opening;
  #closed = false;
  #works = new Works();

  constructor(options = {}) {
    if (!isObject(options)) throw invalid('the options of EmotionLLaMA are an object, for example { pack } or { apiUrl }');
    const { onProgress, ...rest } = options;
    const { apiUrl, pack } = rest;
    if (apiUrl != null && pack != null) throw invalid('apiUrl and pack are both given; give one of them, or none for the built-in model');
    if (apiUrl != null && !/^https?:\/\//i.test(apiUrl)) throw invalid(`apiUrl is ${apiUrl}; it begins with http:// or https://`);
    if (onProgress !== undefined && typeof onProgress !== 'function') throw invalid('onProgress is no function');
    this.#options = { ...rest };
    this.#onProgress = onProgress;
  }

  #json() {
    const { apiUrl, pack, ...rest } = this.#options;
    if (apiUrl != null) return toJson({ source: String(apiUrl), ...rest });
    return toJson({ source: pack ?? builtIn(), search: packDirectories(), ...rest });
  }

  /** The engine, opened when it is first needed. An opening that nobody waits for any more is stopped. */
  async #engine(signal) {
    if (this.#closed) throw invalid('this client was closed');
    if (!this.#opening) {
      const json = this.#json();
      const { Cancel, Engine } = native();
      const opening = { engine: new Engine(), token: new Cancel(), waiting: 0, over: false };
      const done = call((id, token, box) => opening.engine.open(box, id, json, token, Boolean(this.#onProgress)), {
        token: opening.token,
        onProgress: this.#onProgress,
      });
      opening.promise = done.finally(() => (opening.over = true));
      opening.promise.catch(() => {
        if (this.#opening === opening) this.#opening = undefined;
      });
      this.#opening = opening;
    }
    const opening = this.#opening;
    opening.waiting += 1;
    try {
      await raced(opening.promise, signal);
      return opening.engine;
    } finally {
      opening.waiting -= 1;
      if (opening.waiting === 0 && !opening.over) {
        opening.token.request();
        if (this.#opening === opening) this.#opening = undefined;
      }
    }
  }

  async open({ signal } = {}) {
    checkSignal(signal);
    await this.#works.add(this.#engine(signal));
  }

  async info({ signal } = {}) {
    checkSignal(signal);
    const work = async () => {
      const engine = await this.#engine(signal);
      return camelCased(JSON.parse(await call((id, token, box) => engine.info(box, id, token), { signal })));
    };
    return this.#works.add(work());
  }

  /** Reads the clip and gives a function that begins a call on it. */
  async #prepared(given, signal) {
    const { fields, fill } = clipOf(given);
    const json = toJson(fields);
    const engine = await this.#engine(signal);
    const media = newMedia();
    await fill(media, signal);
    return { engine, json, media };
  }

  async analyze({ signal, ...given } = {}) {
    checkSignal(signal);
    const work = async () => {
      const { engine, json, media } = await this.#prepared(given, signal);
      return answered((id, token, box, events) => engine.analyze(box, id, json, media, token, events), signal);
    };
    return this.#works.add(work());
  }

  stream({ signal, ...given } = {}) {
    checkSignal(signal);
    const work = async (post, stop) => {
      const { engine, json, media } = await this.#prepared(given, stop);
      await streamed((id, token, box, events) => engine.analyze(box, id, json, media, token, events), post, stop);
    };
    return new AnalysisStream((post, stop) => this.#works.add(work(post, stop)), signal);
  }

  async session({ signal, ...given } = {}) {
    checkSignal(signal);
    const work = async () => {
      const { engine, json, media } = await this.#prepared(given, signal);
      const handle = new (native().Session)();
      await call((id, token, box) => engine.session(box, id, json, media, token, handle), { signal });
      return new Session(handle, this.#works);
    };
    return this.#works.add(work());
  }

  async close() {
    this.#closed = true;
    const opening = this.#opening;
    await this.#works.over();
    opening?.engine.close();
  }

  async [asyncDispose]() {
    await this.close();
  }
}

class Session {
  #handle;
  #works;

  constructor(handle, works) {
    this.#handle = handle;
    this.#works = works;
  }

  async ask({ signal, ...question } = {}) {
    checkSignal(signal);
    const json = toJson(question);
    return this.#works.add(answered((id, token, box, events) => this.#handle.ask(box, id, json, token, events), signal));
  }

  stream({ signal, ...question } = {}) {
    checkSignal(signal);
    const json = toJson(question);
    const begin = (id, token, box, events) => this.#handle.ask(box, id, json, token, events);
    return new AnalysisStream((post, stop) => this.#works.add(streamed(begin, post, stop)), signal);
  }

  async reset() {
    await this.#works.add(call((id, token, box) => this.#handle.reset(box, id, token)));
  }

  async close() {
    this.#handle.close();
  }

  async [asyncDispose]() {
    await this.close();
  }
}

module.exports = { EmotionLLaMA, Session };
