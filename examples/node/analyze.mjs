// Analyses a file: shows how far it is, and the answer as it is written.
//
//     node analyze.mjs CLIP [PACK or URL]

import { EmotionLLaMA, EmotionLLaMAError } from 'emotion-llama-sdk';

const [clip, source] = process.argv.slice(2);
if (!clip) {
  console.error('usage: node analyze.mjs CLIP [PACK or URL]');
  process.exit(2);
}

function onProgress(done, total) {
  if (process.stderr.isTTY) process.stderr.write(`\rloading the model: ${Math.round((100 * done) / total)} %${done === total ? '\n' : ''}`);
}

const client = source?.startsWith('http') ? new EmotionLLaMA({ apiUrl: source }) : new EmotionLLaMA({ pack: source, onProgress });
try {
  for await (const event of client.stream({ videoPath: clip, task: 'reason' })) {
    if (event.type === 'stage') console.error(`… ${event.stage}`);
    if (event.type === 'label') console.error(`… ${event.emotion}`);
    if (event.type === 'text') process.stdout.write(event.text);
    if (event.type === 'result') {
      const { emotion, confidence, transcript } = event.analysis;
      console.log(`\n\n${emotion}${confidence === null ? '' : ` (${confidence.toFixed(2)})`}`);
      if (transcript) console.log(`said: ${transcript}`);
    }
  }
} catch (error) {
  if (!(error instanceof EmotionLLaMAError)) throw error;
  console.error(`${error.code}: ${error.message}`);
  process.exitCode = 1;
} finally {
  await client.close();
}
