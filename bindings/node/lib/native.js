'use strict';

// The native part, loaded when it is first needed, so that an import never fails.

const { existsSync, readFileSync } = require('node:fs');
const path = require('node:path');
const { EmotionLLaMAError } = require('./shared.js');

const LIBRARIES = { linux: 'libemotionllama.so.1', darwin: 'libemotionllama.1.dylib', win32: 'emotionllama.dll' };
const TARGET = `${process.platform}-${process.arch}${process.platform === 'linux' ? '-gnu' : ''}`;
const PACKAGE = `@emotion-llama/${TARGET}`;
const LIBRARY = LIBRARIES[process.platform] ?? LIBRARIES.linux;

/** An exception of the native part, whose code is `NUMBER NAME`. */
function fromNative(error) {
  const [, number, name] = /^(\d+) (\w+)$/.exec(error?.code ?? '') ?? [];
  return name ? new EmotionLLaMAError(name, error.message, { number: Number(number) }) : error;
}

/** Electron keeps what must be a file beside its archive. */
const unpacked = (file) => file.replace(/app\.asar(?=[\\/])/, 'app.asar.unpacked');

function modulePath() {
  try {
    return require.resolve(`${PACKAGE}/emotion_llama.node`);
  } catch {
    const built = path.join(__dirname, '..', 'npm', TARGET, 'emotion_llama.node');
    if (existsSync(built)) return built;
  }
  throw new EmotionLLaMAError(
    'not_found',
    `the package ${PACKAGE} is not installed; install emotion-llama-sdk without --omit=optional on the machine that runs it` +
      (TARGET === 'linux-x64-gnu' ? '' : '; there may be none for this machine: ask a server with apiUrl'),
  );
}

function libraryPath(beside) {
  if (existsSync(beside)) return beside;
  const named = process.env.EMOTION_LLAMA_LIBRARY;
  if (!named) return LIBRARY;
  if (existsSync(named)) return path.resolve(named);
  throw new EmotionLLaMAError('not_found', `EMOTION_LLAMA_LIBRARY is ${named}, which is not there`);
}

let loaded;

/** The native part, with the library in it. */
function native() {
  if (loaded) return loaded.functions;
  const file = modulePath();
  const container = { exports: {} };
  try {
    process.dlopen(container, file);
  } catch (error) {
    throw new EmotionLLaMAError('not_found', `${file} cannot be loaded: ${error.message}`, { cause: error });
  }
  const library = libraryPath(unpacked(path.join(path.dirname(file), LIBRARY)));
  try {
    container.exports.load(library);
  } catch (error) {
    throw fromNative(error);
  }
  loaded = { functions: container.exports, library };
  return loaded.functions;
}

/** The directory of the library that was loaded; undefined where that is not known. */
function libraryDirectory() {
  native();
  if (path.isAbsolute(loaded.library)) return path.dirname(loaded.library);
  try {
    const line = readFileSync('/proc/self/maps', 'utf8').split('\n').find((line) => line.includes('/libemotionllama.so'));
    return line && path.dirname(line.slice(line.indexOf('/')));
  } catch {
    return undefined;
  }
}

module.exports = { fromNative, libraryDirectory, native, unpacked };
