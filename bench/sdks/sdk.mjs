// Seconds that an analysis with its text takes through the Node SDK: sdk.mjs PACK CLIP THREADS, one for each line that comes in.

import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const { EmotionLLaMA } = createRequire(import.meta.url)('../../bindings/node');
const [pack, clip, threads] = process.argv.slice(2);
const client = new EmotionLLaMA({ pack, threads: Number(threads), verify: false });
for await (const line of createInterface({ input: process.stdin })) {
  const began = performance.now();
  for await (const event of client.stream({ videoPath: clip, task: 'reason', greedy: true })) void event;
  console.log(`${(performance.now() - began) / 1000}${line}`);
}
await client.close();
