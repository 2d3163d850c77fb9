// An analysis as a person reads it.
// SPDX-License-Identifier: Apache-2.0

import { draw } from "./frame.js";
import { known, number, onLanguage, percent, speaks, t } from "./language.js";

const $ = (id) => document.getElementById(id);
const STAGES = ["decode", "preprocess", "encode", "prefill", "generate"];
let shown = null;

/** Begins to show results. */
export function begin() {
  $("copy").addEventListener("click", copy);
  onLanguage(() => shown && write());
}

/** Forgets what is shown. */
export function clear() {
  shown = null;
  $("answer").hidden = true;
  for (const id of ["verdict", "said-block", "ask-block", "times-block", "measures"]) $(id).hidden = true;
  $("json").closest("details").hidden = true;
  $("notes").replaceChildren();
  $("text").textContent = "";
  $("copied").textContent = "";
}

/** Shows the label, before the text and the analysis are there. */
export function label(told) {
  $("answer").hidden = false;
  $("verdict").classList.add("alone");
  writeVerdict(told);
}

/** Shows a piece of the text, before the analysis is there. */
export function stream(piece) {
  $("answer").hidden = false;
  $("text-block").hidden = false;
  $("text-language").hidden = speaks("en");
  $("text").classList.add("writing");
  $("text").textContent += piece;
}

/** Shows `analysis` of `clip`, and its frame when that is drawn. `tookMs` is the time that passed here. */
export async function show(analysis, clip, tookMs) {
  shown = { analysis, clip, tookMs, drawn: false };
  const mine = shown;
  $("text").classList.remove("writing");
  $("answer").hidden = false;
  write();
  if (!analysis.frame) return;
  const drawn = await draw($("frame-canvas"), clip, analysis.frame);
  if (mine !== shown) return;
  mine.drawn = drawn;
  writeFrame();
}

/** The label of `analysis` in the page's language. */
export function labelOf(label) {
  return known(`label.${label}`, label);
}

function write() {
  const { analysis } = shown;
  writeVerdict(analysis);
  writeFrame();
  // A task that asks for the label alone has nothing to say beside it.
  $("text-block").hidden = !analysis.explanation && (analysis.response === analysis.emotion || !analysis.response);
  $("text").textContent = analysis.response;
  $("text-language").hidden = speaks("en");
  $("said-block").hidden = !analysis.transcript;
  $("said").textContent = analysis.transcript ?? "";
  $("said").lang = analysis.language ?? "";
  $("notes").replaceChildren(...(analysis.notes ?? []).map((note) => item("li", known(`note.${note.name}`, note.message))));
  $("ask-block").hidden = false;
  writeTimes(analysis);
  writeCues(analysis.cues ?? []);
  $("json").closest("details").hidden = false;
  $("json").textContent = JSON.stringify(analysis, null, 2);
}

function writeVerdict({ emotion, confidence, probabilities, frame }) {
  $("verdict").hidden = !emotion && !frame;
  $("label").textContent = emotion ? labelOf(emotion) : "";
  $("sure").textContent = confidence == null ? "" : t("sure", { p: percent(confidence) });
  const rows = Object.entries(probabilities ?? {}).sort(([, a], [, b]) => b - a);
  $("bars").replaceChildren(...rows.map(([label, p]) => bar(labelOf(label), percent(p), p, label === emotion)));
  $("bars").closest("table").hidden = rows.length === 0;
}

function writeFrame() {
  const { analysis, clip, drawn } = shown;
  const { frame, faces } = analysis;
  $("judged").hidden = !frame;
  $("verdict").classList.toggle("alone", !frame || !drawn);
  if (!frame) return;
  const values = { time: number(frame.time_s, 2), n: number(faces?.length ?? 1) };
  let key = faces?.length > 1 ? "frame.caption.of" : "frame.caption";
  if (clip.kind === "image") key = "frame.caption.picture";
  if (!frame.face) key = "frame.caption.none";
  $("frame-canvas").hidden = !drawn;
  $("frame-canvas").setAttribute("aria-label", t(key, values));
  $("frame-caption").textContent = t(drawn ? key : "frame.unseen", values);
  // Until it is drawn nothing is known of it.
  if (!drawn && clip.kind !== "unseen" && clip.kind !== "audio") $("frame-caption").textContent = "";
}

function writeTimes({ timings_ms: times, model }) {
  $("times-block").hidden = !times?.total;
  if (!times?.total) return;
  const rows = STAGES.filter((stage) => times[stage] > 0).map((stage) => [stage, times[stage]]);
  const longest = Math.max(times.total, ...rows.map(([, ms]) => ms));
  const milliseconds = (ms) => t("times.ms", { n: number(ms, ms < 10 ? 1 : 0) });
  $("times").replaceChildren(
    ...rows.map(([stage, ms]) => bar(t(`times.${stage}`), milliseconds(ms), ms / longest, false)),
    bar(t("times.total"), milliseconds(times.total), times.total / longest, true),
  );
  const name = [model?.name, model?.version].filter(Boolean).join(" ");
  // Servers keep answers: then the stages are those of the first time.
  const key = shown.tookMs < times.total ? "times.kept" : "times.note";
  $("times-note").textContent = t(key, { n: number(shown.tookMs), model: name });
}

function writeCues(cues) {
  $("measures").hidden = cues.length === 0;
  const rows = cues.map((cue) => {
    const row = document.createElement("tr");
    const value = cue.value == null ? "" : `${number(cue.value, 1)} ${known(`unit.${cue.unit}`, cue.unit ?? "")}`;
    const name = item("th", known(`cue.${cue.name}`, cue.name));
    name.scope = "row";
    const sign = cue.z > 0 ? "+" : "";
    row.append(name, item("td", known(`reading.${cue.reading}`, cue.reading)), item("td", value), item("td", cue.z == null ? "" : sign + number(cue.z, 1)));
    row.classList.toggle("notable", cue.level !== "normal");
    return row;
  });
  $("cues").replaceChildren(...rows);
}

/** A row of a table of bars. */
function bar(name, value, share, first) {
  const row = document.createElement("tr");
  const head = item("th", name);
  head.scope = "row";
  // A long label is cut at the end.
  head.title = name;
  const track = document.createElement("td");
  track.className = "track";
  const fill = document.createElement("div");
  fill.style.width = `${Math.max(0, Math.min(1, share)) * 100}%`;
  track.append(fill);
  // The bar says nothing that the number beside it does not.
  track.setAttribute("aria-hidden", "true");
  const figure = item("td", value);
  figure.className = "figure";
  row.append(head, track, figure);
  row.classList.toggle("first", first);
  return row;
}

async function copy() {
  try {
    await navigator.clipboard.writeText($("json").textContent);
    $("copied").textContent = t("json.copied");
  } catch {
    $("copied").textContent = t("json.failed");
  }
}

function item(tag, text) {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}
