#!/usr/bin/env node
// What @gradio/client does beyond plain calls, against a server of this project: gradio_more.mjs URL VIDEO CLIENT_DIR
// A stream that grows, an upload, cancellation. Prints PASS and FAIL lines; exit code 1 when a check failed.
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [url, video, dir] = process.argv.slice(2);
const client = path.resolve(dir, "node_modules/@gradio/client");
const { version } = JSON.parse(readFileSync(path.join(client, "package.json"), "utf8"));
const { Client } = await import(pathToFileURL(path.join(client, "dist/index.js")).href);
// The server keeps answers; a question that nobody asked before is computed.
const reason = () => `[reason] ${randomUUID()} Please analyze all the clues in the video and reason out the emotional label of the person in the video.`;
const limit = 300_000;
let failed = 0;
const need = (condition, message) => {
  if (!condition) throw new Error(String(message).slice(0, 300));
};
process.on("unhandledRejection", () => {}); // some versions reject promises that nobody awaits
async function check(name, work) {
  let timer;
  const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error(`nothing after ${limit / 1000} s`)), limit)));
  try {
    await Promise.race([work(), late]);
    console.log(`PASS [${version}] ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL [${version}] ${name}: ${error?.message ?? JSON.stringify(error)}`);
  } finally {
    clearTimeout(timer);
  }
}

const app = await Client.connect(url, { events: ["status", "data"] });

await check("an answer grows on the stream and ends as the result", async () => {
  const [seen, question] = [[], reason()];
  for await (const message of app.submit("/predict", [video, question])) {
    if (message.type === "data") seen.push(message.data[0]);
    if (message.type === "status" && (message.stage === "complete" || message.stage === "error")) break;
  }
  need(seen.length > 5 && seen.every((text) => typeof text === "string"), seen.length);
  need(seen.slice(1, -1).every((text, index) => text.startsWith(seen[index])), JSON.stringify(seen));
  const direct = await (await fetch(`${url}/api/predict/`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ data: [video, question] }) })).json();
  need(seen.at(-1) === direct.data[0], `${seen.at(-1)} instead of ${direct.data[0]}`);
});

await check("the same clip as a Blob gives the same answer as its path", async () => {
  const blob = new Blob([readFileSync(video)], { type: "video/x-flv" });
  const [byPath, byUpload] = [await app.predict("/predict", [video, "[emotion]"]), await app.predict("/predict", [blob, "[emotion]"])];
  need(byPath.data[0] === byUpload.data[0], `${byUpload.data[0]} instead of ${byPath.data[0]}`);
});

await check("a cancelled submission ends, and the next one is answered", async () => {
  const submission = app.submit("/predict", [video, reason()]);
  for await (const message of submission) {
    if (message.type === "data") break;
  }
  await submission.cancel();
  need((await app.predict("/predict", [video, "[emotion]"])).data[0], "no answer");
});

await check("submissions that join while others of their session end", async () => {
  const answers = [];
  for (let number = 0; number < 12; number += 1) {
    // Some are computed, and some are there at once.
    answers.push(app.predict("/predict", [video, number % 3 === 0 ? `[emotion] ${randomUUID()}` : "[emotion]"]));
    await new Promise((resolve) => setTimeout(resolve, 30 * (number % 5)));
  }
  const texts = (await Promise.all(answers)).map((answer) => answer.data[0]);
  need(texts.every(Boolean) && texts[1] === texts[2], JSON.stringify(texts));
});

await check("what is wrong is said", async () => {
  let said = "";
  try {
    said = JSON.stringify(await app.predict("/predict", [`${video}.none`, "[emotion]"]));
  } catch (error) {
    said = error?.message ?? JSON.stringify(error);
  }
  need(said.includes("no such file"), said);
});

process.exit(failed ? 1 : 0);
