'use strict';

const { setLog } = require('./calls.js');
const { EmotionLLaMA, Session } = require('./client.js');
const { LiveBuffer } = require('./live.js');
const { fromNative, native } = require('./native.js');
const { AbortError, AnalysisStream, EmotionLLaMAError, invalid } = require('./shared.js');

function setThreadCount(threads) {
  if (!Number.isInteger(threads) || threads < 0 || threads > 0xffffffff) throw invalid(`${threads} threads cannot be; give 0 or more`);
  native().setThreadCount(threads);
}

function libraryVersion() {
  try {
    return { version: native().version(), abiVersion: native().abiVersion() };
  } catch (error) {
    throw fromNative(error);
  }
}

module.exports = { AbortError, AnalysisStream, EmotionLLaMA, EmotionLLaMAError, LiveBuffer, Session, libraryVersion, setLog, setThreadCount };
