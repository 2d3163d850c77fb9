'use strict';

const { native, fromNative } = require('./native.js');
const { camelCased, dispose, invalid, isObject, toJson } = require('./shared.js');

const PIXELS = { rgb: 1, bgr: 2, rgba: 3, bgra: 4, nv12: 5, i420: 6, gray: 7 };
const SAMPLES = { i16: 1, f32: 2 };
const NOTHING = new Uint8Array(0);

/** The bytes of a view, where they are. Memory that other threads may write to is copied first. */
function bytesOf(view) {
  if (view instanceof ArrayBuffer) return new Uint8Array(view);
  if (!ArrayBuffer.isView(view)) throw invalid('bytes are expected: a Buffer, a typed array or an ArrayBuffer');
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  return typeof SharedArrayBuffer === 'function' && view.buffer instanceof SharedArrayBuffer ? bytes.slice() : bytes;
}

function whole(value, name) {
  if (!Number.isInteger(value) || value < 0 || value > 0xffffffff) throw invalid(`${name} is ${value}; a whole number is expected`);
  return value;
}

function number(value, name) {
  if (typeof value !== 'number' || !Number.isFinite(value)) throw invalid(`${name} is ${value}; a number is expected`);
  return value;
}

/** Bytes a row, and rows, of each plane of a format. */
function planesOf(format, width, height) {
  const [w, h] = [(width + 1) >> 1, (height + 1) >> 1];
  switch (format) {
    case 'rgb':
    case 'bgr':
      return [[width * 3, height]];
    case 'rgba':
    case 'bgra':
      return [[width * 4, height]];
    case 'nv12':
      return [[width, height], [w * 2, h]];
    case 'i420':
      return [[width, height], [w, h], [w, h]];
    default:
      return [[width, height]];
  }
}

function attempt(work) {
  try {
    return work();
  } catch (error) {
    throw fromNative(error);
  }
}

/** The last seconds of a camera and a microphone. */
class LiveBuffer {
  #handle;

  constructor(options = {}) {
    if (!isObject(options)) throw invalid('the options of a live buffer are an object');
    const json = toJson(options);
    const { Live } = native();
    this.#handle = attempt(() => new Live(json));
  }

  pushFrame({ data, planes, strides, format, width, height, timeS }) {
    if (!Object.hasOwn(PIXELS, format)) throw invalid(`format is ${format}; one of ${Object.keys(PIXELS).join(', ')} is expected`);
    const shape = planesOf(format, whole(width, 'width'), whole(height, 'height'));
    let given = planes?.map(bytesOf);
    if (!given) {
      let rest = bytesOf(data);
      given = shape.map(([row, rows], i) => {
        const length = i === shape.length - 1 ? rest.length : (strides?.[i] ?? row) * rows;
        const plane = rest.subarray(0, length);
        rest = rest.subarray(length);
        return plane;
      });
    }
    const steps = shape.map(([row], i) => whole(strides?.[i] ?? row, 'a stride'));
    const [first, second = NOTHING, third = NOTHING] = given;
    const at = number(timeS, 'timeS');
    attempt(() => this.#handle.pushFrame(PIXELS[format], width, height, at, first ?? NOTHING, second, third, steps));
  }

  pushSamples(samples, { rate, channels = 1, timeS, format } = {}) {
    const kind = format ?? (samples instanceof Float32Array ? 'f32' : samples instanceof Int16Array ? 'i16' : undefined);
    if (!Object.hasOwn(SAMPLES, kind ?? '')) throw invalid('samples are an Int16Array or a Float32Array, or bytes with a format, i16 or f32');
    const bytes = bytesOf(samples);
    const count = Math.floor(bytes.length / (kind === 'i16' ? 2 : 4));
    const at = number(timeS, 'timeS');
    attempt(() => this.#handle.pushSamples(SAMPLES[kind], whole(rate, 'rate'), whole(channels, 'channels'), at, bytes, count));
  }

  get info() {
    return camelCased(JSON.parse(attempt(() => this.#handle.info())));
  }

  clear() {
    attempt(() => this.#handle.clear());
  }

  close() {
    this.#handle.close();
  }

  [dispose]() {
    this.close();
  }

  /** Makes a clip of it: for the client. */
  static fill(media, live, seconds) {
    if (!(live instanceof LiveBuffer)) throw invalid('live is no LiveBuffer');
    attempt(() => media.setLive(live.#handle, seconds === undefined ? 0 : number(seconds, 'seconds')));
  }
}

module.exports = { LiveBuffer, PIXELS, SAMPLES, bytesOf };
