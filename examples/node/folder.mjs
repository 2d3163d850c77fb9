// Analyses every file of a folder, four at a time, and prints a line for each as soon as it is done.
//
//     node folder.mjs FOLDER [PACK or URL]

import { readdir } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import { EmotionLLaMA, EmotionLLaMAError } from 'emotion-llama-sdk';

const AT_ONCE = 4;

const [folder, source] = process.argv.slice(2);
if (!folder) {
  console.error('usage: node folder.mjs FOLDER [PACK or URL]');
  process.exit(2);
}

// Four calls share the processors, instead of each taking all of them.
const threads = Math.max(1, Math.floor(os.cpus().length / AT_ONCE));
const client = source?.startsWith('http') ? new EmotionLLaMA({ apiUrl: source }) : new EmotionLLaMA({ pack: source, threads });
const names = (await readdir(folder, { withFileTypes: true })).filter((entry) => !entry.isDirectory()).map(({ name }) => name).sort();

async function work() {
  for (let name = names.shift(); name !== undefined; name = names.shift()) {
    try {
      const { emotion, transcript } = await client.analyze({ videoPath: path.join(folder, name) });
      console.log(`${name}\t${emotion}\t${transcript ?? ''}`);
    } catch (error) {
      if (!(error instanceof EmotionLLaMAError)) throw error;
      console.log(`${name}\t${error.code}: ${error.message}`);
      process.exitCode = 1;
    }
  }
}

await Promise.all(Array.from({ length: AT_ONCE }, work));
await client.close();
