// The client for browsers: asks a server with fetch, and nothing else. docs/http-v1.md says what goes over the wire; a published Gradio server is
// asked through its /api/predict/.

import { AbortError, AnalysisStream, CODES, EmotionLLaMAError, analysisOf, asyncDispose, camelCased, eventOf, invalid, isObject, toJson } from './shared.mjs';

export { AbortError, AnalysisStream, EmotionLLaMAError };

const unreachable = (message, cause) => new EmotionLLaMAError('unreachable', message, { cause });

function parsed(url) {
  try {
    return new URL(url);
  } catch {
    throw invalid(`apiUrl is ${url}, which is no address`);
  }
}

/** What an answer that is no success says. */
async function failureOf(answer, url) {
  const text = await answer.text().catch(() => '');
  const wait = answer.headers.get('retry-after');
  const advice = answer.status === 401 ? '; give apiKey (api_key)' : /^\d+$/.test(wait ?? '') ? `; try again in ${wait} s` : '';
  try {
    const { error, code } = JSON.parse(text);
    if (typeof error === 'string' && Object.hasOwn(CODES, code)) return new EmotionLLaMAError(code, error + advice);
  } catch {
    // No JSON: the status says what there is to say.
  }
  const byStatus = { 400: 'invalid_argument', 401: 'invalid_argument', 403: 'invalid_argument', 413: 'media_too_large', 429: 'overloaded', 503: 'overloaded', 504: 'timeout' };
  return new EmotionLLaMAError(byStatus[answer.status] ?? (answer.status >= 500 ? 'internal' : 'unreachable'), `${url} answers ${answer.status}${advice}`);
}

/** The events of a `text/event-stream`. */
async function* eventsOf(body) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let text = '';
  try {
    for (;;) {
      const { done, value } = await reader.read();
      text += done ? decoder.decode() : decoder.decode(value, { stream: true });
      const blocks = text.split(/\r\n\r\n|\n\n|\r\r/);
      text = blocks.pop();
      for (const block of blocks) {
        const fields = block.split(/\r\n|\n|\r/).map((line) => /^(event|data): ?(.*)$/s.exec(line)).filter(Boolean);
        const data = fields.filter(([, name]) => name === 'data').map(([, , value]) => value);
        if (data.length) yield { name: fields.findLast(([, name]) => name === 'event')?.[2], data: data.join('\n') };
      }
      if (done) return;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** Fields of a request, and the bytes beside it. */
function clipOf({ videoPath, video, ...fields }) {
  if (fields.path !== undefined) throw invalid('path is named videoPath here');
  if (fields.live !== undefined) throw invalid('a browser has no live buffer; record a Blob and give it as video');
  if ((videoPath == null) === (video == null)) throw invalid('give one clip: videoPath, a file of the server, or video');
  if (videoPath != null) return { fields: { path: String(videoPath), ...fields } };
  if (!(video instanceof Blob) && !(video instanceof ArrayBuffer) && !ArrayBuffer.isView(video)) {
    throw invalid('video is a Blob, an ArrayBuffer or a typed array');
  }
  return { fields, media: video instanceof Blob ? video : new Blob([video]) };
}

function bodyOf({ fields, media }) {
  const json = toJson(fields);
  if (!media) return { body: json, headers: { 'content-type': 'application/json' } };
  const form = new FormData();
  form.append('request', json);
  form.append('media', media, media.name ?? 'clip');
  return { body: form, headers: {} };
}

const LABELS = ['neutral', 'angry', 'happy', 'sad', 'worried', 'surprise', 'fear', 'contempt', 'doubt'];

/** Tag and question, as the published pages write them. */
function publishedPrompt({ task, prompt = '' }) {
  const [, tag, text] = /^\s*(?:\[(emotion|reason)\])?\s*(.*?)\s*$/s.exec(prompt);
  const kind = task ?? tag ?? (text ? 'free' : 'emotion');
  const question =
    text ||
    (kind === 'reason'
      ? 'Please analyze all the clues in the video and reason out the emotional label of the person in the video.'
      : 'Please determine which emotion label in the video represents: happy, sad, neutral, angry, worried, surprise, fear, contempt, doubt.');
  return kind === 'free' ? question : `[${kind}] ${question}`;
}

/** The answer of a published server, which tells text alone. The label is the one that it ends with, or else the only one that it names. */
function fromText(response, ignored) {
  const words = response.toLowerCase().split(/[^\p{L}\p{N}]+/u).filter(Boolean);
  const named = LABELS.filter((label) => words.includes(label));
  const emotion = LABELS.includes(words.at(-1)) ? words.at(-1) : named.length === 1 ? named[0] : '';
  const notes = [{ name: 'text_only', message: 'this server gives text alone: confidence, probabilities, faces, cues and transcript are not known' }];
  if (emotion) notes.push({ name: 'label_from_text', message: 'the emotion is the label that the answer names' });
  else notes.push({ name: 'no_label', message: `the answer does not name just one of the labels ${LABELS.join(', ')}` });
  if (ignored.length) notes.push({ name: 'ignored_option', message: `this server takes a clip and a question alone; it was not told ${ignored.join(', ')}` });
  const explanation = response.trim().replace(/\.+$/, '').toLowerCase() === emotion ? '' : response.trim();
  return analysisOf({ response, emotion, explanation, notes });
}

export class EmotionLLaMA {
  #url;
  #key;
  #timeout;
  #found;
  #closed = false;

  constructor(options = {}) {
    if (!isObject(options)) throw invalid('the options of EmotionLLaMA are an object: { apiUrl }');
    const { apiUrl, apiKey, timeoutS = 600, upload = 'never', ...rest } = options;
    if (typeof apiUrl !== 'string' || !/^https?:\/\//i.test(apiUrl)) throw invalid(`apiUrl is ${apiUrl}; it begins with http:// or https://`);
    const { username, password, search, hash } = parsed(apiUrl);
    if (username || password || search || hash) throw invalid('apiUrl has more than a server and a path; give a key as apiKey');
    if (upload !== 'never') throw invalid(`upload is ${upload}; in a browser every path is the server's: never`);
    if (!(timeoutS > 0)) throw invalid(`timeoutS is ${timeoutS}; give more than 0`);
    const [unknown] = Object.keys(rest);
    if (unknown) throw invalid(`a browser's client has no option ${unknown}`);
    this.#url = apiUrl.replace(/\/+$/, '');
    this.#key = apiKey;
    this.#timeout = timeoutS * 1000;
  }

  /** Fetches, and lets `read` use the answer while the time and the signal still count. */
  async #fetch(path, { method = 'GET', body, headers, accept, signal, any } = {}, read) {
    if (this.#closed) throw invalid('this client was closed');
    if (signal?.aborted) throw new AbortError(signal.reason);
    const url = this.#url + path;
    const stop = new AbortController();
    const late = new EmotionLLaMAError('timeout', `${url} took longer than ${this.#timeout / 1000} s`);
    const timer = setTimeout(() => stop.abort(late), this.#timeout);
    const abort = () => stop.abort(signal.reason);
    signal?.addEventListener('abort', abort, { once: true });
    const keys = this.#key === undefined ? {} : { authorization: `Bearer ${this.#key}`, 'x-api-key': this.#key };
    try {
      const answer = await fetch(url, { method, body, headers: { ...headers, ...keys, ...(accept ? { accept } : {}) }, signal: stop.signal });
      if (!answer.ok && !any) throw await failureOf(answer, url);
      return await read(answer);
    } catch (error) {
      if (signal?.aborted) throw new AbortError(signal.reason);
      if (stop.signal.aborted) throw late;
      if (error instanceof EmotionLLaMAError) throw error;
      throw unreachable(`${url} cannot be reached: ${error.cause?.message ?? error.message}`, error);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    }
  }

  #json(path, options) {
    return this.#fetch(path, options, async (answer) => {
      const text = await answer.text();
      try {
        return JSON.parse(text);
      } catch (cause) {
        throw unreachable(`the answer of ${this.#url}${path} is no JSON`, cause);
      }
    });
  }

  /** Which server it is, asked once. */
  async #server(signal) {
    if (this.#found) return this.#found;
    const models = await this.#fetch('/v1/models', { signal, any: true }, async (answer) => {
      if (answer.status === 404 || answer.status === 405) return undefined;
      if (!answer.ok) throw await failureOf(answer, this.#url);
      return answer.json().catch(() => undefined);
    });
    const model = models?.data?.[0];
    if (model) return (this.#found = { protocol: 'v1', model });
    const config = await this.#fetch('/config', { signal, any: true }, (answer) => answer.json().catch(() => undefined));
    const functions = Array.isArray(config?.dependencies) ? config.dependencies : [];
    const named = functions.filter(({ api_name: name }) => typeof name === 'string' && /^\/?[\w./-]+$/.test(name));
    const chosen = named.find(({ api_name: name }) => name === 'predict') ?? named.find(({ inputs }) => inputs?.length === 2);
    if (!chosen) throw unreachable(`${this.#url} is no server of Emotion-LLaMA`);
    const prefix = typeof config.api_prefix === 'string' ? config.api_prefix.replace(/\/+$/, '') : '';
    return (this.#found = { protocol: 'gradio', prefix, function: chosen.api_name.replace(/^\//, '') });
  }

  /** Asks a published server. */
  async #published(server, { fields, media }, post, signal) {
    let { path } = fields;
    if (media) {
      post({ type: 'stage', stage: 'upload' });
      const form = new FormData();
      form.append('files', media, media.name ?? 'clip');
      [path] = await this.#json(`${server.prefix}/upload`, { method: 'POST', body: form, signal });
    }
    post({ type: 'stage', stage: 'respond' });
    const { path: _, task, prompt, ...ignored } = fields;
    const body = JSON.stringify({ data: [path, publishedPrompt({ task, prompt })] });
    const answer = await this.#json(`${server.prefix}/api/${server.function}/`, { method: 'POST', body, headers: { 'content-type': 'application/json' }, signal });
    const text = answer?.data?.[0];
    if (typeof text !== 'string') throw unreachable(`the answer of ${this.#url} is not what the published server gives`);
    post({ type: 'text', text });
    post({ type: 'result', analysis: fromText(text, Object.keys(ignored).filter((name) => ignored[name] !== undefined)) });
  }

  async #stream(path, body, post, signal) {
    let ended = false;
    await this.#fetch(path, { method: 'POST', ...body, accept: 'text/event-stream', signal }, async (answer) => {
      if (!/^text\/event-stream/i.test(answer.headers.get('content-type') ?? '')) throw unreachable(`${this.#url}${path} gives no events`);
      for await (const { name, data } of eventsOf(answer.body)) {
        if (name === 'error') {
          const { error, code } = JSON.parse(data);
          throw new EmotionLLaMAError(code, error);
        }
        const event = eventOf(data);
        if (!event || (event.type === 'stage' && !['decode', 'observe', 'respond'].includes(event.stage))) continue;
        post(event);
        if (event.type === 'result') {
          ended = true;
          return;
        }
      }
    });
    if (!ended) throw unreachable(`${this.#url} ended the answer before its result`);
  }

  async open({ signal } = {}) {
    await this.#server(signal);
  }

  async info({ signal } = {}) {
    const { protocol, model } = await this.#server(signal);
    if (!model) return { url: this.#url, protocol };
    const { id, version, digest, architecture, labels, tasks, devices } = camelCased(model);
    return { url: this.#url, protocol, pack: { name: id, version, digest, architecture }, labels, tasks, devices };
  }

  async analyze(options) {
    return this.stream(options).result();
  }

  stream({ signal, ...given } = {}) {
    const clip = clipOf(given);
    return new AnalysisStream(async (post, stop) => {
      const body = bodyOf(clip);
      const server = await this.#server(stop);
      if (server.protocol === 'v1') await this.#stream('/v1/analyze', body, post, stop);
      else await this.#published(server, clip, post, stop);
    }, signal);
  }

  async session({ signal, ...given } = {}) {
    const body = bodyOf(clipOf(given));
    const server = await this.#server(signal);
    if (server.protocol !== 'v1') throw invalid(`${this.#url} is a published server, which has no sessions`);
    const { id } = await this.#json('/v1/sessions', { method: 'POST', ...body, signal });
    if (!/^[\w-]{1,128}$/.test(id)) throw unreachable(`${this.#url} gives a session a name that cannot be`);
    const path = `/v1/sessions/${id}`;
    return new Session(
      ({ signal, ...question }) => new AnalysisStream((post, stop) => this.#stream(`${path}/ask`, bodyOf({ fields: question }), post, stop), signal),
      () => this.#fetch(`${path}/reset`, { method: 'POST' }, async () => {}),
      () => this.#fetch(path, { method: 'DELETE' }, async () => {}),
    );
  }

  async close() {
    this.#closed = true;
  }

  async [asyncDispose]() {
    await this.close();
  }
}

export class Session {
  #ask;
  #reset;
  #end;

  constructor(ask, reset, end) {
    this.#ask = ask;
    this.#reset = reset;
    this.#end = end;
  }

  async ask(question = {}) {
    return this.stream(question).result();
  }

  stream(question = {}) {
    if (!this.#end) throw invalid('this was closed');
    return this.#ask(question);
  }

  async reset() {
    if (!this.#end) throw invalid('this was closed');
    await this.#reset();
  }

  async close() {
    const end = this.#end;
    this.#end = undefined;
    await end?.().catch(() => {});
  }

  async [asyncDispose]() {
    await this.close();
  }
}
