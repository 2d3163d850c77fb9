// Many analyses in one process: prints the memory at the beginning and at the end. The number is the argument.

import { EmotionLLaMA, LiveBuffer } from 'emotion-llama-sdk';

import { pack, quick } from './places.mjs';

const count = Number(process.argv[2] ?? 500);
const megabytes = () => (process.memoryUsage.rss() / 2 ** 20).toFixed(1);

const client = new EmotionLLaMA({ pack });
const live = new LiveBuffer();
live.pushFrame({ data: new Uint8Array(64 * 48), format: 'gray', width: 64, height: 48, timeS: 0 });
const once = () => client.analyze({ live, ...quick, maxNewTokens: 1, task: 'emotion' });

for (let i = 0; i < Math.min(10, count); i++) await once();
const first = megabytes();
const began = performance.now();
for (let i = 0; i < count; i++) await once();
console.log(`node: ${count} analyses in ${((performance.now() - began) / 1000).toFixed(1)} s; RSS ${first} MB at first, ${megabytes()} MB at last`);
await client.close();
