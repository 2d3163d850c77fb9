// Runs the cases of conformance/ and prints `LANGUAGE MODE CASE ok`, `FAILED reason` or `- (not for this mode)`; its README.md says what they mean.
//
//     node conformance.mjs [--mode embedded|server] [--client node|browser] [--case NAME …]

import assert from 'node:assert/strict';
import { readFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';

import { clips, files, pack, repository, startServer } from './places.mjs';

const { values: chosen } = parseArgs({
  options: { mode: { type: 'string' }, client: { type: 'string', default: 'node' }, case: { type: 'string', multiple: true } },
});
const sdk = await import(chosen.client === 'browser' ? 'emotion-llama-sdk/browser' : 'emotion-llama-sdk');
const { EmotionLLaMA, EmotionLLaMAError, LiveBuffer } = sdk;
const language = chosen.client === 'browser' ? 'node-browser' : 'node';

/** A case that this client cannot be asked. */
class NotApplicable extends Error {}

const camel = (name) => name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());

function named(value) {
  if (Array.isArray(value) || typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [camel(name), named(item)]));
}

function filled(value, places) {
  if (typeof value === 'string') return value.replace(/\$\{(\w+)\}/g, (whole, name) => places[name] ?? whole);
  if (Array.isArray(value)) return value.map((item) => filled(item, places));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, filled(item, places)]));
}

function opened({ source, ...options }) {
  return new EmotionLLaMA({ ...(source.startsWith('http') ? { apiUrl: source } : { pack: source }), ...named(options) });
}

async function clipOf(clip) {
  if (!clip) return {};
  if (clip.path !== undefined) {
    if (language !== 'node-browser' || clip.path.startsWith('/srv/')) return { videoPath: clip.path };
    // A browser has no paths of its own: the file's bytes stand for it.
    const bytes = await readFile(clip.path).catch(() => undefined);
    if (!bytes) throw new NotApplicable('a browser has no files');
    return { video: bytes };
  }
  if (clip.bytes_of !== undefined) return { video: (await readFile(clip.bytes_of)).subarray(0, clip.first) };
  if (clip.base64 !== undefined) return { video: Buffer.from(clip.base64, 'base64') };
  if (!LiveBuffer) throw new NotApplicable('a browser has no live buffer');
  const { options, pictures, sound, seconds, info } = clip.live;
  const live = new LiveBuffer(named(options ?? {}));
  if (pictures) pushPictures(live, pictures);
  if (sound) pushSound(live, sound);
  for (const [name, value] of Object.entries(info ?? {})) near(live.info[camel(name)], value, 1e-6, `live ${name}`);
  return { live, ...(seconds ? { seconds } : {}) };
}

function pushPictures(live, { format, width, height, count, per_second }) {
  const channels = format === 'rgb' ? 3 : 1;
  for (let i = 0; i < count; i++) {
    const data = new Uint8Array(width * height * channels);
    let at = 0;
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) for (let c = 0; c < channels; c++) data[at++] = 3 * x + 5 * y + 7 * i + 40 * c;
    }
    live.pushFrame({ data, format, width, height, timeS: i / per_second });
  }
}

function pushSound(live, { format, rate, channels, seconds, pieces }) {
  const count = Math.round(rate * seconds);
  const each = Math.floor(count / pieces);
  const sample = (n) => ((n % 64) - 32) * 256;
  for (let piece = 0; piece < pieces; piece++) {
    const values = Array.from({ length: each * channels }, (_, i) => sample(piece * each + Math.floor(i / channels)));
    const samples = format === 'i16' ? Int16Array.from(values) : Float32Array.from(values, (value) => value / 32768);
    live.pushSamples(samples, { rate, channels, timeS: (piece * each) / rate });
  }
}

function near(got, wanted, tolerance, what) {
  assert.ok(Math.abs(got - wanted) <= tolerance, `${what} is ${got}, expected ${wanted}`);
}

function checkError(error, wanted) {
  assert.deepEqual({ name: error.code, code: error.number }, { name: wanted.name, code: wanted.code }, `the error is ${error.code}: ${error.message}`);
  if (wanted.http_status !== undefined) assert.equal(error.httpStatus, wanted.http_status, 'its HTTP status');
  if (wanted.name === 'cancelled') assert.equal(error.name, 'AbortError');
  assert.ok(error.message.includes(wanted.message_has ?? ''), `its message ${JSON.stringify(error.message)} has no ${wanted.message_has}`);
}

function check(got, wanted) {
  for (const name of ['emotion', 'response', 'language', 'transcript']) {
    if (name in wanted) assert.equal(got[name] ?? null, wanted[name], name);
  }
  if ('response_begins' in wanted) assert.ok(got.response.startsWith(wanted.response_begins), `response is ${got.response}`);
  for (const name of ['explanation', 'cues']) {
    if (name in wanted) assert.equal(got[name].length ? 'some' : 'none', wanted[name], name);
  }
  const labels = 'probabilities' in wanted ? Object.keys(wanted.probabilities) : (wanted.labels ?? Object.keys(got.probabilities));
  assert.deepEqual(Object.keys(got.probabilities), labels, 'the labels');
  for (const [label, value] of Object.entries(wanted.probabilities ?? {})) near(got.probabilities[label], value, wanted.tolerance, label);
  if ('faces' in wanted) assert.equal(got.faces.length, wanted.faces, 'the number of faces');
  if ('frame' in wanted) assert.equal(got.frame !== null, wanted.frame, 'whether there is a frame');
  if ('notes' in wanted) assert.deepEqual(got.notes.map((note) => note.name), wanted.notes, 'the notes');
  if ('cached_tokens' in wanted) assert.equal(got.usage.cachedTokens ? 'some' : 'none', wanted.cached_tokens, 'cachedTokens');
  if ('model' in wanted) assert.equal(got.model.name || null, wanted.model, 'the model');
  if ('confidence' in wanted) {
    assert.deepEqual([got.confidence, got.probabilities], [null, {}], 'confidence and probabilities');
    return;
  }
  const values = Object.values(got.probabilities);
  const greatest = Math.max(...values);
  near(got.confidence, greatest, 1e-6, 'confidence');
  near(got.probabilities[got.emotion], greatest, 1e-6, `the probability of ${got.emotion}`);
  near(values.reduce((sum, value) => sum + value, 0), 1, 1e-3, 'the sum of the probabilities');
}

function checkInfo(info, wanted = {}) {
  for (const name of ['labels', 'tasks']) if (name in wanted) assert.deepEqual(info[name], wanted[name], name);
  if (wanted.pack) assert.equal(info.pack?.name, wanted.pack.name, 'the pack');
}

async function checkStream(stream, aborting, { cancel, expect }) {
  const names = [];
  let text = '';
  let label;
  let analysis;
  for await (const event of stream) {
    assert.equal(analysis, undefined, 'an event comes after the result');
    if (event.type === 'stage') {
      if (event.stage !== 'upload') names.push(event.stage);
      if (event.stage === cancel) aborting.abort();
    } else if (event.type === 'label') {
      names.push('label');
      label = event;
    } else if (event.type === 'text') {
      text += event.text;
      if (names.at(-1) !== 'text') names.push('text');
    } else {
      names.push('result');
      analysis = event.analysis;
    }
  }
  assert.ok(analysis, 'the stream ended without a result');
  assert.equal(text, analysis.response, 'the text of the stream');
  if (label) {
    const { emotion, confidence, probabilities } = analysis;
    assert.deepEqual(label, { type: 'label', emotion, confidence, probabilities }, 'the label');
  }
  if (expect.events) assert.deepEqual(names, expect.events, 'the events');
  check(analysis, expect);
}

async function ask(case_, client) {
  const { call = 'analyze', expect, cancel, concurrent, questions } = case_;
  const aborting = new AbortController();
  if (cancel === 'before') aborting.abort();
  const clip = await clipOf(case_.clip);
  try {
    const request = { ...clip, ...named(case_.request), signal: aborting.signal };
    if (call === 'open') return checkInfo(await client.info(), expect.info);
    if (call === 'stream') return await checkStream(client.stream(request), aborting, case_);
    if (call === 'session') {
      const session = await client.session(request);
      for (const question of questions) {
        if (question.reset) await session.reset();
        check(await session.ask(named(question.request)), question.expect);
      }
      return await session.close();
    }
    const answers = await Promise.all(Array.from({ length: concurrent ?? 1 }, () => client.analyze(request)));
    for (const answer of answers) {
      if (!expect.error) check(answer, expect);
      assert.equal(answer.response, answers[0].response, 'a response');
      for (const label in answer.probabilities) near(answer.probabilities[label], answers[0].probabilities[label], 1e-5, label);
    }
  } finally {
    clip.live?.close();
  }
}

async function run(case_, shared) {
  const wanted = case_.expect.error;
  let own;
  try {
    if (case_.open) own = opened(case_.open);
    await ask(case_, own ?? shared);
  } catch (error) {
    if (!(error instanceof EmotionLLaMAError)) throw error;
    if (!wanted) throw new Error(`${error.code}: ${error.message}`);
    return checkError(error, wanted);
  } finally {
    await own?.close();
  }
  assert.ok(!wanted, 'it succeeds, although it should fail');
}

async function runMode(mode, cases) {
  const server = mode === 'server' ? await startServer() : undefined;
  const places = { pack, clips, files, server: server?.url, source: server?.url ?? pack };
  const shared = opened({ source: places.source });
  let failed = 0;
  for (const given of cases) {
    const case_ = filled(given, places);
    let outcome = 'ok';
    if (case_.modes && !case_.modes.includes(mode)) outcome = '- (not for this mode)';
    else {
      await run(case_, shared).catch((error) => {
        if (error instanceof NotApplicable) outcome = `n/a ${error.message}`;
        else {
          failed += 1;
          outcome = `FAILED ${String(error.message).replaceAll(/\s+/g, ' ')}`;
        }
      });
    }
    console.log(`${language} ${mode} ${case_.name} ${outcome}`);
  }
  await shared.close();
  await server?.close();
  return failed;
}

const folder = path.join(repository, 'conformance/cases');
const cases = await Promise.all(
  (await readdir(folder)).filter((name) => name.endsWith('.json')).sort().map(async (name) => JSON.parse(await readFile(path.join(folder, name), 'utf8'))),
);
const wanted = chosen.case ? cases.filter(({ name }) => chosen.case.includes(name)) : cases;
const modes = chosen.mode ? [chosen.mode] : language === 'node-browser' ? ['server'] : ['embedded', 'server'];
let failed = 0;
for (const mode of modes) failed += await runMode(mode, wanted);
console.log(`${language}: ${failed ? `${failed} cases failed` : 'all cases are as expected'}`);
process.exitCode = failed ? 1 : 0;
