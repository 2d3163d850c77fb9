import assert from 'node:assert/strict';
import { createReadStream, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { Readable } from 'node:stream';
import { after, describe, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';

import sdk, { AbortError, EmotionLLaMA, EmotionLLaMAError, LiveBuffer, libraryVersion, setLog, setThreadCount } from 'emotion-llama-sdk';

import { clip, pack, quick, startServer } from './places.mjs';

const client = new EmotionLLaMA({ pack });
after(() => client.close());

const failure = (code) => (error) => error instanceof EmotionLLaMAError && error.code === code;
const aborted = (reason) => (error) => error instanceof AbortError && error.name === 'AbortError' && error.code === 'cancelled' && error.cause === reason;

/** A live buffer with one small picture: the quickest clip there is. */
function picture() {
  const live = new LiveBuffer();
  live.pushFrame({ data: new Uint8Array(64 * 48), format: 'gray', width: 64, height: 48, timeS: 0 });
  return live;
}

test('import and require are one package', () => {
  const required = createRequire(import.meta.url)('emotion-llama-sdk');
  assert.equal(required.EmotionLLaMA, EmotionLLaMA);
  assert.equal(sdk, required);
  assert.match(libraryVersion().version, /^\d+\.\d+\.\d+/);
  assert.equal(libraryVersion().abiVersion, 1);
});

/** Delays of a 10 ms timer while `work` goes on, the smallest first. */
async function delaysDuring(work) {
  const delays = [];
  let last = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    delays.push(now - last - 10);
    last = now;
  }, 10);
  await work();
  clearInterval(timer);
  return delays.sort((a, b) => a - b);
}

test('the event loop goes on during an analysis', async () => {
  await client.open();
  // What the machine does by itself, so that the figure can be judged.
  const idle = await delaysDuring(() => wait(2000));
  const delays = await delaysDuring(() => client.analyze({ videoPath: clip }));
  assert.ok(delays.length > 1, 'no timer ran during the analysis');
  const [largest, largestIdle, median] = [delays.at(-1), idle.at(-1), delays[delays.length >> 1]].map((ms) => `${ms.toFixed(1)} ms`);
  console.log(
    `event loop: the largest delay of a 10 ms timer is ${largest} during an analysis (median ${median}, ${delays.length} turns), ${largestIdle} in two seconds without one`,
  );
});

test('more calls than the pool of libuv has threads leave files and names alone', async () => {
  const calls = Array.from({ length: 6 }, () => client.analyze({ videoPath: clip, ...quick }));
  let over = 0;
  for (const call of calls) call.then(() => (over += 1));
  await readFile(clip);
  assert.equal(over, 0, 'a file was read only after an analysis');
  const answers = await Promise.all(calls);
  for (const { response } of answers) assert.equal(response, answers[0].response);
});

describe('inputs', () => {
  const bytes = readFileSync(clip);
  const ways = {
    'a file: URL': { videoPath: pathToFileURL(clip) },
    'a Buffer': { video: bytes },
    'a Uint8Array in a larger buffer': { video: new Uint8Array(Buffer.concat([Buffer.from([1, 2, 3]), bytes]).buffer.slice(0)).subarray(0) },
    'an ArrayBuffer': { video: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) },
    'shared memory': { video: shared(bytes) },
    'a Blob': { video: new Blob([bytes]) },
    'a Readable': { video: createReadStream(clip) },
    'a web stream': { video: Readable.toWeb(createReadStream(clip)) },
    'an async generator': { video: pieces(bytes) },
  };
  const larger = Buffer.concat([Buffer.from([1, 2, 3]), bytes]);
  ways['a Uint8Array in a larger buffer'] = { video: new Uint8Array(larger.buffer, larger.byteOffset + 3, bytes.length) };

  function shared(bytes) {
    const view = new Uint8Array(new SharedArrayBuffer(bytes.length));
    view.set(bytes);
    return view;
  }

  async function* pieces(bytes) {
    for (let at = 0; at < bytes.length; at += 50_000) yield bytes.subarray(at, at + 50_000);
  }

  test('all kinds give the same answer', async () => {
    const wanted = await client.analyze({ videoPath: clip, ...quick });
    for (const [name, way] of Object.entries(ways)) {
      const got = await client.analyze({ ...way, ...quick });
      assert.deepEqual([got.response, got.probabilities], [wanted.response, wanted.probabilities], name);
    }
  });

  test('mistakes are named before anything runs', async () => {
    for (const given of [
      undefined,
      { videoPath: clip, video: bytes },
      { videoPath: 3 },
      { videoPath: new URL('http://localhost/a.mp4') },
      { path: clip },
      { video: 'text' },
      { video: Readable.from(['text']) },
      { live: {} },
      { videoPath: clip, seconds: 1 },
      { videoPath: clip, temperature: Number.NaN },
      { videoPath: clip, tsk: 'emotion' },
      { videoPath: clip, signal: 'stop' },
      { videoPath: clip, onDone() {} },
    ]) {
      await assert.rejects(client.analyze(given), failure('invalid_argument'), JSON.stringify(given));
    }
  });

  test('what a stream fails with is what the call fails with', async () => {
    const broken = new Error('the disk is gone');
    const video = new Readable({ read() { this.destroy(broken); } });
    await assert.rejects(client.analyze({ video }), (error) => error === broken);
  });

  test('a seed beyond 2^53 is not rounded', async () => {
    const highest = 2n ** 64n - 1n;
    await client.analyze({ live: picture(), ...quick, seed: highest });
    await assert.rejects(client.analyze({ live: picture(), ...quick, seed: highest + 1n }), failure('invalid_argument'));
  });
});

describe('stopping', () => {
  const reason = { why: 'the user left' };

  test('before the call', async () => {
    await assert.rejects(client.analyze({ videoPath: clip, signal: AbortSignal.abort(reason) }), aborted(reason));
    const stream = client.stream({ videoPath: clip, signal: AbortSignal.abort(reason) });
    await assert.rejects(stream.next(), aborted(reason));
    assert.deepEqual(await stream.next(), { done: true, value: undefined });
  });

  test('while the model is loaded, which others may still want', async () => {
    const own = new EmotionLLaMA({ pack });
    const stop = new AbortController();
    const other = own.info();
    const call = own.analyze({ videoPath: clip, signal: stop.signal });
    stop.abort(reason);
    await assert.rejects(call, aborted(reason));
    assert.ok((await other).labels.length > 1);
    await own.close();

    const alone = new EmotionLLaMA({ pack });
    const stopAlone = new AbortController();
    const opening = alone.open({ signal: stopAlone.signal });
    stopAlone.abort(reason);
    await assert.rejects(opening, aborted(reason));
    await alone.open();
    await alone.close();
  });

  test('while a stream is read', async () => {
    const stop = new AbortController();
    const video = new Readable({ read() {} });
    video.push('begin');
    const call = client.analyze({ video, signal: stop.signal });
    setTimeout(() => stop.abort(reason), 20);
    await assert.rejects(call, aborted(reason));
    assert.ok(video.destroyed);
  });

  for (const stage of ['decode', 'observe', 'respond']) {
    test(`at the stage ${stage}`, async () => {
      const stop = new AbortController();
      const seen = [];
      let began;
      const reading = (async () => {
        for await (const event of client.stream({ videoPath: clip, task: 'reason', signal: stop.signal })) {
          seen.push(event.type);
          if (event.stage === stage) {
            began = performance.now();
            stop.abort(reason);
          }
        }
      })();
      await assert.rejects(reading, aborted(reason));
      console.log(`stopped at ${stage} within ${(performance.now() - began).toFixed(0)} ms`);
      assert.ok(!seen.includes('result'));
    });
  }

  test('in the middle of a plain call', async () => {
    const stop = new AbortController();
    const call = client.analyze({ videoPath: clip, signal: stop.signal });
    setTimeout(() => stop.abort(reason), 100);
    await assert.rejects(call, aborted(reason));
  });

  test('after the end, where it does nothing', async () => {
    const stop = new AbortController();
    await client.analyze({ live: picture(), ...quick, signal: stop.signal });
    stop.abort(reason);
    await client.analyze({ live: picture(), ...quick });
  });

  test('by a deadline', async () => {
    await assert.rejects(client.analyze({ videoPath: clip, signal: AbortSignal.timeout(50) }), (error) => error instanceof AbortError && error.cause.name === 'TimeoutError');
  });
});

describe('streams', () => {
  test('a stream that is left is stopped, and can be left twice', async () => {
    const stream = client.stream({ videoPath: clip, task: 'reason' });
    for await (const event of stream) if (event.type === 'stage') break;
    assert.deepEqual(await stream.next(), { done: true, value: undefined });
    await stream.return();
    await assert.rejects(stream.result(), failure('invalid_argument'));
  });

  test('the result alone can be waited for, and a failure is told once', async () => {
    assert.ok((await client.stream({ live: picture(), ...quick }).result()).emotion);
    const stream = client.stream({ videoPath: '/nowhere.mp4' });
    await assert.rejects(stream.result(), failure('not_found'));
    assert.equal((await stream.next()).done, true);
  });

  test('several readers get each event once', async () => {
    const stream = client.stream({ live: picture(), ...quick });
    const seen = [];
    await Promise.all([1, 2, 3].map(async () => {
      for (let step = await stream.next(); !step.done; step = await stream.next()) seen.push(step.value.type);
    }));
    assert.equal(seen.filter((type) => type === 'result').length, 1);
  });

  test('a stream that nobody reads harms nobody', async () => {
    client.stream({ videoPath: '/nowhere.mp4' });
    client.stream({ live: picture(), ...quick });
    await client.info();
  });
});

test('a session: follow-ups, a stream, two questions at once, a reset', async () => {
  const session = await client.session({ videoPath: clip, transcript: 'none' });
  const first = await session.ask({ task: 'emotion' });
  assert.equal((await session.ask({ task: 'emotion' })).usage.cachedTokens > 0, true);
  const both = await Promise.allSettled([session.ask({ prompt: '[reason] Why?', greedy: true, maxNewTokens: 12 }), session.ask({ task: 'emotion' })]);
  const failed = both.filter(({ status }) => status === 'rejected');
  assert.ok(failed.length <= 1 && failed.every(({ reason }) => reason.code === 'overloaded'), JSON.stringify(failed));
  await session.stream({ prompt: 'Why?', greedy: true, maxNewTokens: 4 }).result();
  await session.reset();
  assert.deepEqual((await session.ask({ task: 'emotion' })).probabilities, first.probabilities);
  await session.close();
  await session.close();
  await assert.rejects(session.ask(), failure('invalid_argument'));
});

describe('live', () => {
  test('every format, planes in one piece and apart, strides', () => {
    const live = new LiveBuffer({ seconds: 5, maxFramesPerSecond: 200 });
    const [width, height] = [6, 4];
    const sizes = { rgb: 72, bgr: 72, rgba: 96, bgra: 96, nv12: 36, i420: 36, gray: 24 };
    let timeS = 0;
    for (const [format, size] of Object.entries(sizes)) {
      live.pushFrame({ data: new Uint8Array(size), format, width, height, timeS: (timeS += 0.1) });
      assert.throws(() => live.pushFrame({ data: new Uint8Array(size - 1), format, width, height, timeS: timeS + 0.1 }), failure('invalid_argument'), format);
    }
    live.pushFrame({ planes: [24, 6, 6].map((size) => Buffer.alloc(size)), format: 'i420', width, height, timeS: (timeS += 0.1) });
    live.pushFrame({ data: new Uint8Array(80), strides: [20], format: 'rgb', width, height, timeS: (timeS += 0.1) });
    assert.equal(live.info.frames, 9);
    live.clear();
    assert.equal(live.info.frames, 0);
    live.close();
    live.close();
    assert.throws(() => live.info, failure('invalid_argument'));
  });

  test('sound of both types and as bytes; mistakes', () => {
    const live = new LiveBuffer();
    live.pushSamples(new Int16Array(1600), { rate: 16000, timeS: 0 });
    live.pushSamples(new Float32Array(3200), { rate: 16000, channels: 2, timeS: 0.1 });
    live.pushSamples(Buffer.alloc(3201).subarray(1), { rate: 16000, timeS: 0.2, format: 'i16' });
    assert.ok(Math.abs(live.info.durationS - 0.3) < 0.01, String(live.info.durationS));
    const mistakes = [
      () => live.pushSamples(new Uint8Array(4), { rate: 16000, timeS: 1 }),
      () => live.pushSamples(new Int16Array(3), { rate: 16000, channels: 2, timeS: 1 }),
      () => live.pushSamples(new Int16Array(2), { rate: 1.5, timeS: 1 }),
      () => live.pushSamples(new Int16Array(2), { rate: 16000 }),
      () => live.pushFrame({ data: new Uint8Array(3), format: 'xyz', width: 1, height: 1, timeS: 1 }),
      () => live.pushFrame({ data: [1, 2, 3], format: 'rgb', width: 1, height: 1, timeS: 1 }),
      () => new LiveBuffer({ secnds: 3 }),
    ];
    for (const mistake of mistakes) assert.throws(mistake, failure('invalid_argument'), String(mistake));
  });

  test('an analysis keeps a buffer that is closed', async () => {
    const live = picture();
    const call = client.analyze({ live, ...quick });
    await client.info();
    await call;
    live.close();
    await assert.rejects(client.analyze({ live }), failure('invalid_argument'));
  });
});

describe('opening', () => {
  test('making a client neither blocks nor fails; using it does', async () => {
    const absent = new EmotionLLaMA({ pack: '/nowhere' });
    await assert.rejects(absent.open(), failure('not_found'));
    await assert.rejects(absent.analyze({ videoPath: clip }), failure('not_found'));
    await absent.close();
    assert.throws(() => new EmotionLLaMA({ pack, apiUrl: 'http://localhost' }), failure('invalid_argument'));
    assert.throws(() => new EmotionLLaMA({ apiUrl: 'localhost' }), failure('invalid_argument'));
    assert.throws(() => new EmotionLLaMA('pack'), failure('invalid_argument'));
  });

  test('progress is told, can stop the load, and its exceptions come out', async () => {
    const seen = [];
    const told = new EmotionLLaMA({ pack, onProgress: (done, total) => void seen.push([done, total]) });
    await told.open();
    await told.close();
    assert.deepEqual(seen.at(-1)[0], seen.at(-1)[1]);
    assert.ok(seen.every(([done], i) => i === 0 || done >= seen[i - 1][0]));
    await assert.rejects(new EmotionLLaMA({ pack, onProgress: () => false }).open(), (error) => error instanceof AbortError);
    const own = new Error('mine');
    await assert.rejects(new EmotionLLaMA({ pack, onProgress: () => { throw own; } }).open(), (error) => error === own);
  });

  test('closing waits for what runs; afterwards calls fail', async () => {
    const own = new EmotionLLaMA({ pack });
    const call = own.analyze({ live: picture(), ...quick });
    await own.close();
    assert.ok((await call).emotion);
    await own.close();
    await assert.rejects(own.analyze({ videoPath: clip }), failure('invalid_argument'));
    assert.equal(typeof own[Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')], 'function');
  });

  test('a server is asked like a pack', async () => {
    const server = await startServer();
    const remote = new EmotionLLaMA({ apiUrl: server.url });
    assert.equal((await remote.info()).protocol, 'v1');
    await remote.close();
    await server.close();
  });
});

test('the log comes in, and can be turned off', async () => {
  const seen = [];
  setLog((entry) => seen.push(entry), 'trace');
  const own = new EmotionLLaMA({ pack });
  await own.analyze({ live: picture(), ...quick });
  await own.close();
  setLog(null);
  const count = seen.length;
  for (const { level, target, message } of seen) assert.deepEqual([typeof level, typeof target, typeof message], ['string', 'string', 'string']);
  console.log(`log: ${count} entries`);
  await client.analyze({ live: picture(), ...quick });
  assert.equal(seen.length, count);
  assert.throws(() => setLog(() => {}, 'loud'), failure('invalid_argument'));
});

test('the number of threads', async () => {
  setThreadCount(1);
  const own = new EmotionLLaMA({ pack });
  assert.equal((await own.info()).threads, 1);
  await own.close();
  setThreadCount(0);
  assert.throws(() => setThreadCount(-1), failure('invalid_argument'));
});

test('worker threads have clients of their own', async () => {
  const code = `
    import { parentPort, workerData } from 'node:worker_threads';
    import { EmotionLLaMA } from ${JSON.stringify(import.meta.resolve('emotion-llama-sdk'))};
    const client = new EmotionLLaMA({ pack: workerData.pack });
    parentPort.postMessage((await client.analyze({ videoPath: workerData.clip, ...workerData.quick })).response);
    await client.close();`;
  const start = () =>
    new Promise((resolve, reject) => {
      const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`), { workerData: { pack, clip, quick } });
      let said;
      worker.on('message', (message) => (said = message));
      worker.on('error', reject);
      worker.on('exit', () => resolve(said));
    });
  const [here, ...there] = await Promise.all([client.analyze({ videoPath: clip, ...quick }), start(), start()]);
  assert.deepEqual(there, [here.response, here.response]);
});
