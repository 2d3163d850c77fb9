// Compiled, never run: what the documentation shows must have types.

import { createReadStream } from 'node:fs';
import sdk, { AbortError, EmotionLLaMA, EmotionLLaMAError, LiveBuffer, libraryVersion, setLog, setThreadCount, type Analysis } from 'emotion-llama-sdk';
import { EmotionLLaMA as InBrowser } from 'emotion-llama-sdk/browser';

export async function use(): Promise<Analysis> {
  const client = new EmotionLLaMA({ apiUrl: 'http://localhost:7889' });
  const result = await client.analyze({ videoPath: '/path/to/video.mp4', prompt: '[emotion] What emotion is shown?' });
  const confidence: number | null = result.confidence;
  await client.analyze({ video: createReadStream('a.mp4'), seed: 12n, signal: AbortSignal.timeout(1000), labels: ['a', 'b'] });
  await client.analyze({ video: Buffer.alloc(3), features: { mae: new Float32Array(2) }, frame: 1.5 });
  for await (const event of client.stream({ videoPath: new URL('file:///a.mp4'), task: 'reason' })) {
    if (event.type === 'text') event.text.trim();
    else if (event.type === 'result') event.analysis.timingsMs.total.toFixed();
  }
  const session = await client.session({ videoPath: 'a.mp4', transcript: 'none' });
  await session.ask({ prompt: 'Why?' });
  await session.stream({ task: 'reason' }).result();
  const live = new LiveBuffer({ seconds: 5, maxSide: 640 });
  live.pushFrame({ data: new Uint8Array(12), format: 'rgb', width: 2, height: 2, timeS: 0 });
  live.pushSamples(new Int16Array(160), { rate: 16000, timeS: 0 });
  await client.analyze({ live, seconds: 2 });
  setLog(({ level, message }) => console.log(level, message), 'debug');
  setThreadCount(2);
  libraryVersion().abiVersion.toFixed();
  // @ts-expect-error a clip is needed
  await client.analyze({ task: 'emotion' });
  // @ts-expect-error one clip
  await client.analyze({ videoPath: 'a', video: Buffer.alloc(1) });
  // @ts-expect-error there is no such task
  await client.analyze({ videoPath: 'a', task: 'guess' });
  try {
    await new sdk.EmotionLLaMA().open();
  } catch (error) {
    if (error instanceof AbortError) error.cause;
    else if (error instanceof EmotionLLaMAError && error.code === 'not_found') error.number.toFixed();
  }
  await new InBrowser({ apiUrl: 'http://localhost:7889' }).analyze({ video: new Blob([]) });
  confidence?.toFixed();
  await client.close();
  return result;
}
