// What README.md shows, run as it stands there.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { clip, pack, packageDirectory, repository } from './places.mjs';

test('every snippet of the page runs', () => {
  const text = readFileSync(path.join(repository, 'bindings/node/README.md'), 'utf8');
  const snippets = [...text.matchAll(/^```js\n(.*?)^```$/gms)].map(([, code]) => code);
  assert.equal(snippets.length, text.split('```js').length - 1);
  assert.ok(snippets.length > 1);
  // What the snippets take from the program around them.
  const around = 'const [width, height, timeS] = [64, 48, 0];\nconst pixels = new Uint8Array(4 * width * height);\nconst samples = new Int16Array(2 * 4800);\n';
  const directory = mkdtempSync(path.join(tmpdir(), 'page-'));
  try {
    symlinkSync(clip, path.join(directory, 'clip.mp4'));
    symlinkSync(path.dirname(packageDirectory), path.join(directory, 'node_modules'));
    writeFileSync(path.join(directory, 'page.mjs'), around + snippets.join('').replaceAll('/path/to/video.mp4', 'clip.mp4'));
    const { status, stdout, stderr } = spawnSync(process.execPath, ['page.mjs'], { cwd: directory, encoding: 'utf8', env: { ...process.env, EMOTION_LLAMA_PACK: pack } });
    assert.equal(status, 0, stderr);
    assert.match(stdout, /The person feels/);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
