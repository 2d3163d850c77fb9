// The native part against ffi/abi.json: whatever the ABI has is bound, with the same shape.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { test } from 'node:test';

import { native, packageDirectory, repository } from './places.mjs';

const abi = JSON.parse(readFileSync(path.join(repository, 'ffi/abi.json'), 'utf8'));
const lines = native().bound();
const inPackage = (file) => createRequire(import.meta.url)(path.join(packageDirectory, 'lib', file));

/** A type of C as the native part writes it. */
function rust(type) {
  const named = {
    void: '', bool: 'bool', double: 'f64', size_t: 'usize', uint32_t: 'u32', 'const char *': '*const c_char', 'const uint8_t *': '*const u8', 'void *': '*mut c_void',
    'const void *': '*const c_void', emotion_llama_progress_function: 'Progress', emotion_llama_log_function: 'Log',
  };
  if (type in named) return named[type];
  const [, constant, name, stars] = /^(const )?struct emotion_llama_(\w+) (\*+)$/.exec(type) ?? assert.fail(`no type is known for ${type}`);
  const pointer = constant ? '*const ' : '*mut ';
  return pointer.repeat(stars.length) + name[0].toUpperCase() + name.slice(1);
}

test('every function is bound with its parameters and result', () => {
  const wanted = Object.entries(abi.functions).map(([name, { parameters, returns }]) => {
    const types = parameters.map((parameter) => rust(/^(.*?)\w+$/.exec(parameter)[1].trim()));
    return `function ${name}(${types.join(', ')}) ${rust(returns)}`;
  });
  assert.deepEqual(lines.filter((line) => line.startsWith('function ')).sort(), wanted.sort());
});

test('every struct has its fields, in order, at their places', () => {
  const sizes = { usize: 8, u32: 4, f64: 8 };
  const wanted = Object.entries(abi.structs).map(([name, fields]) => {
    let at = 0;
    const parts = fields.map((field) => {
      const [, type, plain, count] = /^(.*?)(\w+)(?:\[(\d+)\])?$/.exec(field);
      const one = rust(type.trim());
      const size = sizes[one] ?? 8;
      at = Math.ceil(at / size) * size;
      const part = `${count ? `[${one}; ${count}]` : one} ${plain} ${at}`;
      at += size * Number(count ?? 1);
      return part;
    });
    return `struct ${name} ${Math.ceil(at / 8) * 8}: ${parts.join('; ')}`;
  });
  assert.deepEqual(lines.filter((line) => line.startsWith('struct ')).sort(), wanted.sort());
});

test('every constant has its name here', () => {
  const { CODES } = inPackage('shared.js');
  const { PIXELS, SAMPLES } = inPackage('live.js');
  const { LEVELS } = inPackage('calls.js');
  const named = (prefix, values) => Object.entries(values).map(([name, value]) => [`EMOTION_LLAMA_${prefix}${name.toUpperCase()}`, value]);
  const numbers = Object.fromEntries(Object.entries(CODES).map(([code, { number }]) => [code, number]));
  assert.deepEqual(
    {
      EMOTION_LLAMA_ABI_VERSION: native().abiVersion(),
      ...Object.fromEntries([...named('PIXELS_', PIXELS), ...named('SAMPLES_', SAMPLES), ...named('LOG_', LEVELS), ...named('', numbers)]),
    },
    abi.constants,
  );
  assert.equal(abi.abi_version, abi.constants.EMOTION_LLAMA_ABI_VERSION);
});

test('every opaque type and callback is known', () => {
  assert.deepEqual(abi.types.map((name) => name.slice('emotion_llama_'.length)).sort(), ['cancel', 'engine', 'live', 'session', 'status', 'stream', 'text']);
  const shapes = Object.entries(abi.callbacks).map(([name, { returns, parameters }]) => `${returns} ${name}(${parameters.join(', ')})`);
  assert.deepEqual(shapes, [
    'bool emotion_llama_progress_function(void *userdata, uint64_t done, uint64_t total)',
    'void emotion_llama_log_function(void *userdata, uint32_t level, const char *target, const char *message)',
  ]);
});

test('the two forms of what Node and browsers share are the same', () => {
  const [js, mjs] = ['shared.js', 'shared.mjs'].map((file) => readFileSync(path.join(packageDirectory, 'lib', file), 'utf8'));
  assert.equal(mjs, js.replace(/^module\.exports = (\{.*\});$/m, 'export $1;'));
});
