// What the packages hold: no stray files, licences in. EMOTION_LLAMA_PACKAGES is the directory of the tarballs, which are installed.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { packageDirectory } from './places.mjs';

const tarballs = process.env.EMOTION_LLAMA_PACKAGES;
const skip = tarballs ? false : 'the packages are not installed';
const modules = path.dirname(packageDirectory);

function listed(name) {
  const directory = path.join(modules, name);
  const found = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => !entry.isDirectory());
  assert.ok(found.every((entry) => entry.isFile()), 'there are links');
  const files = found.map((entry) => path.relative(directory, path.join(entry.path ?? entry.parentPath, entry.name))).sort();
  const size = files.reduce((sum, file) => sum + statSync(path.join(directory, file)).size, 0);
  console.log(`${name}: ${files.length} files, ${(size / 1e6).toFixed(1)} MB`);
  return { files, manifest: JSON.parse(readFileSync(path.join(directory, 'package.json'), 'utf8')) };
}

test('the tarballs are those of this version', { skip }, () => {
  for (const name of readdirSync(tarballs)) console.log(`${name}: ${(statSync(path.join(tarballs, name)).size / 1e6).toFixed(1)} MB`);
  const { version } = JSON.parse(readFileSync(path.join(packageDirectory, 'package.json'), 'utf8'));
  const names = ['emotion-llama-linux-x64-gnu', 'emotion-llama-model-mini', 'emotion-llama-sdk'];
  assert.deepEqual(readdirSync(tarballs).sort(), names.map((name) => `${name}-${version}.tgz`));
});

test('the client', { skip }, () => {
  const { files, manifest } = listed('emotion-llama-sdk');
  const sources = ['browser.d.mts', 'browser.mjs', 'calls.js', 'client.js', 'index.d.mts', 'index.d.ts', 'index.js', 'index.mjs', 'live.js', 'media.js', 'native.js', 'packs.js', 'shared.js', 'shared.mjs', 'types.d.ts'];
  assert.deepEqual(files, ['LICENSE', 'README.md', 'bin/emotion-llama-sdk.js', ...sources.map((name) => `lib/${name}`), 'package.json'].sort());
  assert.equal(manifest.scripts, undefined);
  assert.equal(manifest.dependencies, undefined);
  assert.deepEqual(manifest.optionalDependencies, { '@emotion-llama/linux-x64-gnu': manifest.version });
  assert.deepEqual(manifest.peerDependencies, { '@emotion-llama/model-mini': manifest.version });
});

test('the native part', { skip }, () => {
  const { files, manifest } = listed('@emotion-llama/linux-x64-gnu');
  assert.deepEqual([manifest.os, manifest.cpu, manifest.libc, manifest.scripts], [['linux'], ['x64'], ['glibc'], undefined]);
  const rest = files.filter((file) => !file.startsWith('licenses/'));
  const libraries = rest.filter((file) => /^lib(emotionllama|(avcodec|avformat|avutil|swresample|swscale)-emotionllama)\.so\.\d+$/.test(file));
  assert.deepEqual(rest, ['LICENSE', 'README.md', 'THIRD_PARTY.md', 'emotion_llama.node', 'package.json', ...libraries].sort());
  assert.ok(libraries.includes('libemotionllama.so.1'));
  assert.ok(files.includes('licenses/node/index.txt'));
  if (libraries.length > 1) {
    assert.equal(libraries.length, 6, 'FFmpeg is there in part');
    for (const part of ['crates', 'ffmpeg']) assert.ok(files.some((file) => file.startsWith(`licenses/${part}/`)), `no licences of ${part}`);
  }
});

test('the model', { skip }, () => {
  const { files, manifest } = listed('@emotion-llama/model-mini');
  const pack = JSON.parse(readFileSync(path.join(modules, '@emotion-llama/model-mini/packs/emotion-llama-mini/pack.json'), 'utf8'));
  const wanted = ['pack.json', ...Object.keys(pack.files)].map((name) => `packs/emotion-llama-mini/${name}`);
  assert.deepEqual(files, ['LICENSE', 'README.md', 'THIRD_PARTY.md', 'package.json', ...wanted].sort());
  assert.equal(manifest.scripts, undefined);
});
