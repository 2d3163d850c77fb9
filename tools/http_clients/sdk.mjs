#!/usr/bin/env node
// Our JavaScript SDK at a server, as the published documentation announced it: sdk.mjs URL VIDEO, run where emotion-llama-sdk is installed.
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [url, video] = process.argv.slice(2);
const installed = createRequire(path.join(process.cwd(), "package.json"));
const { EmotionLLaMA } = await import(pathToFileURL(installed.resolve("emotion-llama-sdk")).href);
const client = new EmotionLLaMA({ apiUrl: url });
const result = await client.analyze({ videoPath: video, prompt: "[emotion] What emotion is shown?" });
if (!result.emotion || !(result.confidence > 0 && result.confidence <= 1)) throw new Error(JSON.stringify(result));
const reasons = await client.analyze({ videoPath: video, task: "reason" });
if (!reasons.explanation) throw new Error(JSON.stringify(reasons));
console.log(`PASS the JavaScript SDK with apiUrl: ${result.emotion} ${result.confidence.toFixed(2)}`);
process.exit(0);
