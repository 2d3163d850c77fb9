// A few seconds from the webcam.
// SPDX-License-Identifier: Apache-2.0

import { announce } from "./announce.js";
import { choose, tell } from "./clip.js";
import { number, onLanguage, t } from "./language.js";

const $ = (id) => document.getElementById(id);
// The first that the browser can write is taken. The server reads all of them.
const KINDS = ["video/webm;codecs=vp8,opus", "video/webm", "video/mp4"];
const COUNT_FROM = 3;
let stream = null;
let recorder = null;
// Ends the countdown or the recording.
let stopped = null;

/** Shows the webcam when it is asked for. `onChange` is called when something was recorded. */
export function begin(onChange) {
  $("use-webcam").addEventListener("click", open);
  $("webcam-close").addEventListener("click", () => {
    close();
    $("use-webcam").focus();
  });
  $("record").addEventListener("click", () => (stopped ? stopped.abort() : record(onChange)));
  onLanguage(() => {
    for (const option of $("seconds").options) option.textContent = t("webcam.seconds", { n: number(option.value) });
    $("record").textContent = t(stopped ? "webcam.stop" : "webcam.record");
  });
}

/** Gives the webcam back. */
export function close() {
  stopped?.abort("closed");
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = null;
  $("live").srcObject = null;
  if (!$("webcam").hidden) {
    $("webcam").hidden = true;
    $("drop").hidden = false;
  }
}

async function open() {
  tell();
  if (!navigator.mediaDevices) return tell(isSecureContext ? "webcam.unsupported" : "webcam.insecure");
  if (!("MediaRecorder" in window)) return tell("webcam.unsupported");
  announce(t("webcam.starting"));
  $("use-webcam").disabled = true;
  try {
    stream = await media();
  } catch (error) {
    tell(reason(error));
    return;
  } finally {
    $("use-webcam").disabled = false;
  }
  $("live").srcObject = stream;
  $("live").play().catch(() => {});
  $("drop").hidden = true;
  $("webcam").hidden = false;
  if (stream.getAudioTracks().length === 0) tell("webcam.silent");
  announce(t("webcam.ready"));
  $("record").focus();
}

/** Picture and sound, or the picture alone where there is no sound to be had. */
async function media() {
  const video = { width: { ideal: 640 }, height: { ideal: 480 }, facingMode: "user" };
  try {
    return await navigator.mediaDevices.getUserMedia({ video, audio: true });
  } catch (error) {
    return navigator.mediaDevices.getUserMedia({ video }).catch(() => {
      throw error;
    });
  }
}

function reason(error) {
  const reasons = { NotAllowedError: "denied", SecurityError: "denied", NotFoundError: "missing", OverconstrainedError: "missing" };
  return `webcam.${{ ...reasons, NotReadableError: "busy", AbortError: "busy" }[error.name] ?? "failed"}`;
}

async function record(onChange) {
  const ending = new AbortController();
  stopped = ending;
  const seconds = Number($("seconds").value);
  $("seconds").disabled = true;
  $("record").textContent = t("webcam.stop");
  try {
    if (!(await countDown(ending.signal))) return;
    const file = await take(seconds, ending.signal);
    if (!file) return;
    stopped = null;
    close();
    choose(file, onChange);
    announce(t("webcam.done"));
    $("analyse").focus();
  } catch {
    tell("webcam.failed");
  } finally {
    if (stopped === ending) stopped = null;
    recorder = null;
    $("seconds").disabled = false;
    $("record").textContent = t("webcam.record");
    $("count").hidden = true;
    $("recording").hidden = true;
  }
}

/** Counts down in the picture. False if it was stopped. */
async function countDown(signal) {
  announce(t("webcam.in", { n: number(COUNT_FROM) }));
  $("count").hidden = false;
  for (let n = COUNT_FROM; n > 0; n--) {
    $("count").textContent = number(n);
    await pause(1000, signal);
    if (signal.aborted) return false;
  }
  $("count").hidden = true;
  return true;
}

/** What comes in the next `seconds`, or until it is stopped; null if the webcam was closed. */
async function take(seconds, signal) {
  const kind = KINDS.find((name) => MediaRecorder.isTypeSupported(name));
  recorder = new MediaRecorder(stream, kind ? { mimeType: kind } : {});
  const pieces = [];
  const ended = new Promise((resolve, reject) => {
    recorder.addEventListener("dataavailable", (event) => pieces.push(event.data));
    recorder.addEventListener("stop", resolve);
    recorder.addEventListener("error", reject);
  });
  recorder.start();
  announce(t("webcam.recording", { n: number(seconds) }));
  $("recording").hidden = false;
  const until = performance.now() + seconds * 1000;
  while (!signal.aborted && recorder.state === "recording" && performance.now() < until) {
    $("left").textContent = t("webcam.seconds", { n: number(Math.ceil((until - performance.now()) / 1000)) });
    await pause(Math.min(200, until - performance.now()), signal);
  }
  if (recorder.state !== "inactive") recorder.stop();
  await ended;
  if (signal.reason === "closed") return null;
  const type = recorder.mimeType.split(";")[0] || "video/webm";
  return new File(pieces, `webcam.${type.split("/")[1]}`, { type });
}

function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
