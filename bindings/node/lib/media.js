'use strict';

const { fileURLToPath } = require('node:url');
const { fromNative, native } = require('./native.js');
const { LiveBuffer, bytesOf } = require('./live.js');
const { invalid, raced } = require('./shared.js');

// Long clips are copied in pieces, so that timers and sockets get their turn.
const PIECE = 4 << 20;

const turn = () => new Promise((resolve) => setImmediate(resolve));

async function append(media, bytes, signal) {
  for (let at = 0; at === 0 || at < bytes.length; at += PIECE) {
    if (at > 0) await raced(turn(), signal);
    try {
      media.append(bytes.subarray(at, at + PIECE));
    } catch (error) {
      throw fromNative(error);
    }
  }
}

/** Splits what a caller gives into the request's fields and a function that makes the clip. */
function clipOf(given) {
  const { videoPath, video, live, seconds, ...fields } = given;
  if (fields.path !== undefined) throw invalid('path is named videoPath here');
  if ([videoPath, video, live].filter((clip) => clip != null).length > 1) {
    throw invalid('give one clip: videoPath, video or live');
  }
  if (seconds !== undefined && live == null) throw invalid('seconds is for a live buffer');
  if (videoPath != null) {
    const isUrl = videoPath instanceof URL;
    if (!isUrl && typeof videoPath !== 'string') throw invalid('videoPath is a string or a file: URL; bytes are given as video');
    if (isUrl && videoPath.protocol !== 'file:') throw invalid(`videoPath is ${videoPath}; only file: URLs are paths`);
    fields.path = isUrl ? fileURLToPath(videoPath) : videoPath;
  }
  return { fields, fill: (media, signal) => fill(media, { video, live, seconds }, signal) };
}

async function fill(media, { video, live, seconds }, signal) {
  if (live != null) return LiveBuffer.fill(media, live, seconds);
  if (video == null) return undefined;
  if (video instanceof ArrayBuffer || ArrayBuffer.isView(video)) {
    const bytes = bytesOf(video);
    try {
      media.reserve(bytes.length);
    } catch (error) {
      throw fromNative(error);
    }
    return append(media, bytes, signal);
  }
  const readable = typeof Blob === 'function' && video instanceof Blob ? video.stream() : video;
  if (typeof readable?.[Symbol.asyncIterator] !== 'function') {
    throw invalid('video is a Buffer, a Uint8Array, an ArrayBuffer, a Blob or a Readable');
  }
  const pieces = readable[Symbol.asyncIterator]();
  try {
    media.reserve(0);
    for (;;) {
      const { done, value } = await raced(pieces.next(), signal);
      if (done) return undefined;
      if (typeof value === 'string') throw invalid('video is a stream of text; open it without an encoding');
      await append(media, bytesOf(value), signal);
    }
  } catch (error) {
    // A stream that is stuck in its source is not waited for.
    Promise.resolve(pieces.return?.()).catch(() => {});
    if (signal?.aborted) readable.destroy?.();
    throw error;
  }
}

/** A new clip of the native part. */
const newMedia = () => new (native().Media)();

module.exports = { clipOf, newMedia };
