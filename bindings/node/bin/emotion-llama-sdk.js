#!/usr/bin/env node
'use strict';

const { parseArgs } = require('node:util');
const { AbortError, EmotionLLaMA, EmotionLLaMAError, libraryVersion } = require('../lib/index.js');

const USAGE = `usage: emotion-llama-sdk analyze CLIP [options]
       emotion-llama-sdk info [options]

  --task emotion|reason   what is asked (reason)
  --prompt TEXT           a question of your own
  --transcript TEXT       auto, none, or the words
  --pack DIRECTORY        a model of this machine (the built-in one)
  --api-url URL           a running server
  --api-key KEY           its key; also in EMOTION_LLAMA_API_KEY
  --json                  the whole result as JSON
  --version, --help
`;

async function main() {
  const text = (names) => Object.fromEntries(names.map((name) => [name, { type: 'string' }]));
  const flag = (names) => Object.fromEntries(names.map((name) => [name, { type: 'boolean' }]));
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { ...text(['task', 'prompt', 'transcript', 'pack', 'api-url', 'api-key']), ...flag(['json', 'version', 'help']) },
  });
  if (values.help) return void process.stdout.write(USAGE);
  if (values.version) return void console.log(`emotion-llama-sdk ${require('../package.json').version}, library ${libraryVersion().version}`);
  const [command, clip, ...more] = positionals;
  const known = (command === 'analyze' && clip !== undefined && more.length === 0) || (command === 'info' && clip === undefined);
  if (!known) {
    process.stderr.write(USAGE);
    process.exitCode = 2;
    return;
  }
  const apiKey = values['api-key'] ?? process.env.EMOTION_LLAMA_API_KEY;
  const apiUrl = values['api-url'];
  const client = new EmotionLLaMA(apiUrl ? { apiUrl, apiKey, pack: values.pack } : { pack: values.pack });
  const stop = new AbortController();
  process.once('SIGINT', () => stop.abort());
  try {
    if (command === 'info') return void console.log(JSON.stringify(await client.info({ signal: stop.signal }), undefined, 2));
    const { task = values.prompt === undefined ? 'reason' : undefined, prompt, transcript } = values;
    const stream = client.stream({ videoPath: clip, task, prompt, transcript, signal: stop.signal });
    if (values.json) return void console.log(JSON.stringify(await stream.result(), undefined, 2));
    await show(stream);
  } finally {
    await client.close();
  }
}

async function show(stream) {
  for await (const event of stream) {
    if (event.type === 'stage' && process.stderr.isTTY) process.stderr.write(`${event.stage} …\n`);
    if (event.type === 'text') process.stdout.write(event.text);
    if (event.type === 'result') {
      const { emotion, confidence, notes } = event.analysis;
      process.stdout.write(`\n\n${emotion}${confidence === null ? '' : ` ${(confidence * 100).toFixed(1)} %`}\n`);
      for (const note of notes) process.stderr.write(`note: ${note.message}\n`);
    }
  }
}

main().catch((error) => {
  if (error instanceof AbortError) process.exitCode = 130;
  else if (error instanceof EmotionLLaMAError) {
    process.stderr.write(`${error.code}: ${error.message}\n`);
    process.exitCode = 1;
  } else if (error?.code?.startsWith('ERR_PARSE_ARGS')) {
    process.stderr.write(`${error.message}\n${USAGE}`);
    process.exitCode = 2;
  } else throw error;
});
