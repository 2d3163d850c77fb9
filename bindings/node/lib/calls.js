'use strict';

// Calls of the native part as promises. Each runs on a thread of its own, and ends with a letter to `receive`.

const { native, fromNative } = require('./native.js');
const { AbortError, EmotionLLaMAError } = require('./shared.js');

const pending = new Map();
const { setInterval, clearInterval } = globalThis;
let box;
let awake;
let lastId = 0;
let logListener;

function mailbox() {
  if (!box) {
    const { Mailbox } = native();
    box = new Mailbox(receive);
    // `process.exit` in the main thread runs no hooks of native parts.
    process.once('exit', () => {
      box.logOff();
      box.shut();
    });
  }
  return box;
}

function receive(id, kind, text, name, number, total) {
  if (kind === 'log') return tell(logListener, { level: number, target: name, message: text });
  const call = pending.get(id);
  if (!call) return undefined;
  if (kind === 'event') return call.onEvent?.(text);
  if (kind === 'progress') return call.progress(number, total);
  pending.delete(id);
  if (pending.size === 0) clearInterval(awake);
  return call.end(kind === 'done' ? undefined : new EmotionLLaMAError(name, text, { number }), text);
}

/** An exception of the caller's function is the program's, not this call's. */
function tell(listener, ...values) {
  try {
    listener?.(...values);
  } catch (error) {
    process.nextTick(() => {
      throw error;
    });
  }
}

/**
 * `begin(id, token, mailbox)` starts a call of the native part; the promise has its text. An abort of `signal` stops it, and fails it once it
 * has stopped.
 */
function call(begin, { signal, token, onEvent, onProgress } = {}) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(new AbortError(signal.reason));
    const cancel = token ?? new (native().Cancel)();
    const abort = () => cancel.request();
    let thrown;
    const id = (lastId = (lastId + 1) >>> 0 || 1);
    const end = (error, text) => {
      signal?.removeEventListener('abort', abort);
      if (thrown) reject(thrown.error);
      else if (signal?.aborted) reject(new AbortError(signal.reason));
      else if (error?.code === 'cancelled') reject(new AbortError());
      else if (error) reject(error);
      else resolve(text);
    };
    const progress = (done, total) => {
      try {
        if (thrown || onProgress?.(done, total) !== false) return;
      } catch (error) {
        thrown = { error };
      }
      cancel.request();
    };
    const to = mailbox();
    pending.set(id, { end, onEvent, progress });
    // A promise that is waited for keeps the process alive; the native part's own handle does not.
    if (pending.size === 1) awake = setInterval(() => {}, 1 << 30);
    signal?.addEventListener('abort', abort, { once: true });
    try {
      begin(id, cancel, to);
    } catch (error) {
      pending.delete(id);
      if (pending.size === 0) clearInterval(awake);
      end(fromNative(error));
    }
  });
}

const LEVELS = { error: 1, warn: 2, info: 3, debug: 4, trace: 5 };

function setLog(listener, level = 'info') {
  if (listener != null && (typeof listener !== 'function' || !Object.hasOwn(LEVELS, level))) {
    throw new EmotionLLaMAError('invalid_argument', `give a function and one of the levels ${Object.keys(LEVELS).join(', ')}`);
  }
  try {
    mailbox().log(listener == null ? 0 : LEVELS[level]);
  } catch (error) {
    throw fromNative(error);
  }
  const names = Object.keys(LEVELS);
  logListener = listener && ((entry) => listener({ ...entry, level: names[entry.level - 1] ?? 'trace' }));
}

module.exports = { LEVELS, call, setLog };
