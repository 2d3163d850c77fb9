// Where the tests find things: the repository by EMOTION_LLAMA_REPOSITORY, or around this file.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export const repository = process.env.EMOTION_LLAMA_REPOSITORY ?? fileURLToPath(new URL('../../..', import.meta.url));
export const pack = process.env.EMOTION_LLAMA_PACK ?? path.join(repository, 'build/packs/emotion-llama-mini');
export const clips = process.env.EMOTION_LLAMA_CLIPS ?? path.join(repository, 'build/clips');
export const files = path.join(repository, 'conformance/files');
export const clip = path.join(clips, '1001_DFA_ANG_XX.flv');

/** The stub server; `close` ends it. */
export async function startServer() {
  if (process.env.EMOTION_LLAMA_SERVER) return { url: process.env.EMOTION_LLAMA_SERVER, close() {} };
  const child = spawn('python3', [path.join(repository, 'conformance/server.py')], { stdio: ['pipe', 'pipe', 'inherit'] });
  const gone = once(child, 'exit').then(([code]) => [`nothing and exits with ${code}`]);
  const [line] = await Promise.race([once(createInterface({ input: child.stdout }), 'line'), gone]);
  if (!line.startsWith('listening on ')) throw new Error(`the server says ${line}`);
  return { url: line.split(' ').at(-1), close: () => child.stdin.end() };
}

/** The package's own directory, and its native part. */
export const packageDirectory = path.dirname(createRequire(import.meta.url).resolve('emotion-llama-sdk/package.json'));
export const { native } = createRequire(import.meta.url)(path.join(packageDirectory, 'lib/native.js'));
/** An analysis that is quick. */
export const quick = { transcript: 'none', maxNewTokens: 8, greedy: true };
