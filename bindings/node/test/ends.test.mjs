// Processes, workers and objects that end while calls run: no crash, no hang.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';

import { clip, pack } from './places.mjs';

const SDK = import.meta.resolve('emotion-llama-sdk');
const PATIENCE_MS = 60_000;

const HEAD = `
  import { EmotionLLaMA, LiveBuffer, setLog } from ${JSON.stringify(SDK)};
  const [pack, clip] = ${JSON.stringify([pack, clip])};
  const client = new EmotionLLaMA({ pack });
  const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
`;

/** Runs a program of its own and gives what became of it. */
function run(code, ...flags) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...flags, '--input-type=module', '-e', HEAD + code], { stdio: ['ignore', 'pipe', 'pipe'] });
    let [out, errors] = ['', ''];
    child.stdout.on('data', (data) => (out += data));
    child.stderr.on('data', (data) => (errors += data));
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`it hangs; so far: ${out}${errors}`));
    }, PATIENCE_MS);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, out: out.trim(), errors });
    });
  });
}

async function ends(code, { exit = 0, says, errors, flags = [] } = {}) {
  const got = await run(code, ...flags);
  assert.deepEqual([got.code, got.signal], [exit, null], got.errors);
  if (says !== undefined) assert.equal(got.out, says, got.errors);
  if (errors) assert.match(got.errors, errors);
}

const AT = { opening: 0, decoding: 30, observing: 300 };

for (const [name, ms] of Object.entries(AT)) {
  test(`process.exit while ${name}`, () =>
    ends(`${name === 'opening' ? '' : 'await client.open();'} client.analyze({ videoPath: clip }); await wait(${ms}); process.exit(7);`, { exit: 7 }));
}

test('process.exit while a stream, a session and a log are open', () =>
  ends(
    `setLog(() => {}, 'trace');
     const session = await client.session({ videoPath: clip, transcript: 'none' });
     const stream = session.stream({ task: 'reason' });
     client.analyze({ videoPath: clip });
     await stream.next();
     process.exit(7);`,
    { exit: 7 },
  ));

test('an exception that nobody catches, during a call', () =>
  ends(`await client.open(); client.analyze({ videoPath: clip }); await wait(50); throw new Error('thrown on purpose');`, { exit: 1, errors: /thrown on purpose/ }));

test('a signal during a call', async () => {
  const { signal } = await run(`await client.open(); client.analyze({ videoPath: clip }); await wait(50); process.kill(process.pid, 'SIGTERM'); await wait(20_000);`);
  assert.equal(signal, 'SIGTERM');
});

test('a promise that is waited for keeps the process alive; an open client does not', () =>
  ends(`client.analyze({ videoPath: clip, transcript: 'none' }).then(({ emotion }) => console.log(emotion.length > 0));`, { says: 'true' }));

const WORKER = `
  const { Worker } = await import('node:worker_threads');
  const code = (work) => new URL('data:text/javascript,' + encodeURIComponent(
    'import { parentPort } from "node:worker_threads"; import { EmotionLLaMA, setLog } from ${JSON.stringify(SDK)}; const client = new EmotionLLaMA({ pack: ' + JSON.stringify(pack) +
    ' }); const clip = ' + JSON.stringify(clip) + ';' + work));
  const started = (work) => new Promise((resolve, reject) => {
    const worker = new Worker(code(work));
    worker.on('error', reject);
    worker.on('message', () => resolve(worker));
  });
`;

test('worker.terminate while opening', () =>
  ends(`${WORKER} const worker = await started('client.open(); parentPort.postMessage(0);'); await worker.terminate(); console.log('over');`, { says: 'over' }));

test('worker.terminate during analyses, again and again, and the library still works', () =>
  ends(
    `${WORKER}
     for (const ms of [0, 50, 300]) {
       const worker = await started('setLog(() => {}, "trace"); await client.open(); client.analyze({ videoPath: clip }); client.stream({ videoPath: clip }); parentPort.postMessage(0);');
       await wait(ms);
       await worker.terminate();
     }
     console.log((await client.analyze({ videoPath: clip, transcript: 'none' })).emotion.length > 0);`,
    { says: 'true' },
  ));

test('process.exit in a worker, and of the process while workers call', async () => {
  const work = `'await client.open(); client.analyze({ videoPath: clip }); parentPort.postMessage(0);'`;
  await ends(`${WORKER} const worker = await started(${work} + 'setTimeout(() => process.exit(3), 50);'); worker.on('exit', (code) => console.log(code));`, { says: '3' });
  await ends(`${WORKER} await Promise.all([started(${work}), started(${work})]); process.exit(7);`, { exit: 7 });
});

test('what is forgotten is collected, while calls run too', () =>
  ends(
    `let collected = 0;
     const registry = new FinalizationRegistry(() => (collected += 1));
     function begun() {
       const own = new EmotionLLaMA({ pack });
       const live = new LiveBuffer();
       live.pushFrame({ data: new Uint8Array(64 * 48), format: 'gray', width: 64, height: 48, timeS: 0 });
       registry.register(own);
       registry.register(live);
       return own.analyze({ live, transcript: 'none', greedy: true, maxNewTokens: 4 });
     }
     let calls = [begun(), begun(), begun()];
     for (let i = 0; i < 20; i++) { gc(); await wait(10); }
     const answers = await Promise.all(calls);
     calls = undefined;
     for (let i = 0; i < 100 && collected < 6; i++) { gc(); await wait(20); }
     console.log(answers.length, collected);`,
    { says: '3 6', flags: ['--expose-gc'] },
  ));
