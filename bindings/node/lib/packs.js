'use strict';

const { existsSync } = require('node:fs');
const path = require('node:path');
const { libraryDirectory, unpacked } = require('./native.js');
const { EmotionLLaMAError } = require('./shared.js');

const BUILT_IN = 'emotion-llama-mini';
const MODEL_PACKAGE = '@emotion-llama/model-mini';

/** Where packs lie by name: in the model's package, beside the library. */
function packDirectories() {
  const found = [];
  for (const from of [__dirname, process.cwd()]) {
    try {
      found.push(path.join(unpacked(path.dirname(require.resolve(`${MODEL_PACKAGE}/package.json`, { paths: [from] }))), 'packs'));
    } catch {
      // Not installed there.
    }
  }
  const library = libraryDirectory();
  if (library) found.push(path.join(library, '..', 'share', 'emotion-llama', 'packs'), path.join(library, 'packs'));
  return [...new Set(found)].filter((directory) => existsSync(directory));
}

/** The built-in model's directory. */
function builtIn() {
  for (const directory of packDirectories()) {
    const pack = path.join(directory, BUILT_IN);
    if (existsSync(path.join(pack, 'pack.json'))) return pack;
  }
  if (process.env.EMOTION_LLAMA_PACK) return process.env.EMOTION_LLAMA_PACK;
  throw new EmotionLLaMAError(
    'not_found',
    `the built-in model is not installed; run \`npm install ${MODEL_PACKAGE}\`, give pack, name its directory in EMOTION_LLAMA_PACK, or give apiUrl`,
  );
}

module.exports = { builtIn, packDirectories };
