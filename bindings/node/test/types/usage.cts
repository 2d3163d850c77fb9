import sdk = require('emotion-llama-sdk');

export async function use(): Promise<string> {
  await using client = new sdk.EmotionLLaMA({ pack: 'emotion-llama-mini', onProgress: (done, total) => done < total });
  return (await client.analyze({ videoPath: 'a.mp4' })).emotion;
}
