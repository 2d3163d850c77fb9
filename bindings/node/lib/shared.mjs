'use strict';

// What the entry for Node and the one for browsers have in common: errors, names, checks. `shared.mjs` is this file with its last line as ESM
// wants it; a test compares them.

/** Number and HTTP status of each kind of failure, by its code. */
const CODES = {
  invalid_argument: { number: 1, httpStatus: 400 },
  media_undecodable: { number: 2, httpStatus: 400 },
  media_too_large: { number: 3, httpStatus: 413 },
  not_found: { number: 4, httpStatus: 404 },
  pack_invalid: { number: 5, httpStatus: 500 },
  out_of_memory: { number: 6, httpStatus: 503 },
  overloaded: { number: 7, httpStatus: 503 },
  cancelled: { number: 8, httpStatus: 499 },
  timeout: { number: 9, httpStatus: 504 },
  internal: { number: 10, httpStatus: 500 },
  unreachable: { number: 11, httpStatus: 502 },
};

class EmotionLLaMAError extends Error {
  constructor(code, message, { number, cause } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.number = number ?? CODES[code]?.number ?? 0;
    this.httpStatus = CODES[code]?.httpStatus;
  }

  get name() {
    return 'EmotionLLaMAError';
  }
}

class AbortError extends EmotionLLaMAError {
  constructor(cause) {
    super('cancelled', 'the call was cancelled', { cause });
  }

  get name() {
    return 'AbortError';
  }
}

function invalid(message) {
  return new EmotionLLaMAError('invalid_argument', message);
}

function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const toSnake = (name) => name.replace(/[A-Z]/g, (letter) => '_' + letter.toLowerCase());
const toCamel = (name) => name.replace(/(?<=[a-z0-9])_([a-z0-9])/g, (_, letter) => letter.toUpperCase());

/** A request's or an option object's JSON, in the library's names. Fields that are undefined are left out; what JSON cannot say is refused. */
function toJson(fields) {
  if (typeof fields === 'bigint') return String(fields);
  if (typeof fields === 'number' && !Number.isFinite(fields)) throw invalid(`a number is ${fields}; give a finite one`);
  if (typeof fields === 'function' || typeof fields === 'symbol') throw invalid(`a ${typeof fields} is no option's value`);
  if (ArrayBuffer.isView(fields) && !(fields instanceof DataView)) fields = Array.from(fields);
  if (Array.isArray(fields)) return `[${fields.map((item) => (item === undefined ? 'null' : toJson(item))).join(',')}]`;
  if (isObject(fields)) {
    const parts = Object.entries(fields).filter(([, value]) => value !== undefined);
    return `{${parts.map(([name, value]) => `${JSON.stringify(toSnake(name))}:${toJson(value)}`).join(',')}}`;
  }
  return JSON.stringify(fields ?? null);
}

/** A value of the library's JSON with names as JavaScript has them. The keys of `probabilities` are labels, not names. */
function camelCased(value) {
  if (Array.isArray(value)) return value.map(camelCased);
  if (!isObject(value)) return value;
  const entries = Object.entries(value);
  return Object.fromEntries(entries.map(([name, item]) => [toCamel(name), name === 'probabilities' ? item : camelCased(item)]));
}

/** An analysis from the library's JSON. Fields of later releases are kept. */
function analysisOf(json) {
  const given = typeof json === 'string' ? JSON.parse(json) : json;
  const rest = camelCased(given ?? {});
  return {
    response: '',
    emotion: '',
    confidence: null,
    probabilities: {},
    explanation: '',
    transcript: null,
    faces: [],
    frame: null,
    cues: [],
    timeToLabelMs: 0,
    notes: [],
    ...rest,
    usage: { promptTokens: 0, completionTokens: 0, cachedTokens: 0, ...rest.usage },
    timingsMs: { decode: 0, preprocess: 0, encode: 0, prefill: 0, generate: 0, total: 0, ...rest.timingsMs },
    model: { name: '', version: '', digest: '', ...rest.model },
  };
}

/** An event from the library's JSON; undefined for a kind of a later release. */
function eventOf(json) {
  const event = JSON.parse(json);
  if (event.type === 'stage') return { type: 'stage', stage: event.stage };
  if (event.type === 'label') {
    return { type: 'label', emotion: event.emotion, confidence: event.confidence, probabilities: event.probabilities };
  }
  if (event.type === 'text') return { type: 'text', text: event.text };
  if (event.type === 'result') return { type: 'result', analysis: analysisOf(event.analysis) };
  return undefined;
}

/** Settles as `promise` does, or fails when `signal` is aborted. */
function raced(promise, signal) {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const abort = () => reject(new AbortError(signal.reason));
    if (signal.aborted) return abort();
    signal.addEventListener('abort', abort, { once: true });
    const settled = (settle) => (value) => {
      signal.removeEventListener('abort', abort);
      settle(value);
    };
    promise.then(settled(resolve), settled(reject));
  });
}

const asyncDispose = Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose');
const dispose = Symbol.dispose ?? Symbol.for('Symbol.dispose');

/** The events of an analysis that runs. */
class AnalysisStream {
  #events = [];
  #readers = [];
  #ended = false;
  #failure;
  #stop;
  #finished;
  #result;

  /** `run(post, signal)` works until there are no more events; `signal` is aborted when they are not wanted any more. */
  constructor(run, signal) {
    const stop = new AbortController();
    const abort = () => stop.abort(signal.reason);
    if (signal?.aborted) abort();
    else signal?.addEventListener('abort', abort, { once: true });
    this.#stop = stop;
    const post = (event) => {
      if (event.type === 'result') this.#result = event.analysis;
      const reader = this.#readers.shift();
      if (reader) reader.resolve({ done: false, value: event });
      else if (!this.#ended) this.#events.push(event);
    };
    this.#finished = (async () => run(post, stop.signal))()
      .then(() => this.#end(), (error) => this.#end(error))
      .finally(() => signal?.removeEventListener('abort', abort));
  }

  #end(failure) {
    if (this.#ended) return;
    this.#ended = true;
    const reader = failure && this.#readers.shift();
    if (reader) reader.reject(failure);
    else this.#failure = failure;
    for (const { resolve } of this.#readers.splice(0)) resolve({ done: true, value: undefined });
  }

  async next() {
    if (this.#events.length) return { done: false, value: this.#events.shift() };
    if (this.#failure) {
      const failure = this.#failure;
      this.#failure = undefined;
      throw failure;
    }
    if (this.#ended) return { done: true, value: undefined };
    return new Promise((resolve, reject) => this.#readers.push({ resolve, reject }));
  }

  /** Stops the work; resolves once it has stopped. `for await` calls it when it is left. */
  async return(value) {
    this.#events = [];
    this.#end();
    this.#failure = undefined;
    this.#stop.abort();
    await this.#finished;
    return { done: true, value };
  }

  /** Stops the work: the next event is an `AbortError`. */
  cancel(reason) {
    this.#stop.abort(reason);
  }

  /** Goes through the events that are left, and gives the analysis. */
  async result() {
    for (;;) {
      const { done } = await this.next();
      if (done) break;
    }
    if (!this.#result) throw invalid('this stream was left before its result');
    return this.#result;
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  async [asyncDispose]() {
    await this.return();
  }
}

export { CODES, EmotionLLaMAError, AbortError, AnalysisStream, analysisOf, asyncDispose, camelCased, dispose, eventOf, invalid, isObject, raced, toJson };
