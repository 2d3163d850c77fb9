// The page: what is asked, and in which order things happen. Each part of it is a module of its own.
// SPDX-License-Identifier: Apache-2.0

import { announce, Sentences } from "./announce.js";
import * as api from "./api.js";
import * as clip from "./clip.js";
import * as language from "./language.js";
import { number, onLanguage, percent, t } from "./language.js";
import * as result from "./result.js";
import * as talk from "./talk.js";
import * as trouble from "./trouble.js";
import * as webcam from "./webcam.js";

const $ = (id) => document.getElementById(id);
const STEPS = ["send", "decode", "observe", "respond"];
let model = null;
let running = null;

function begin() {
  clip.begin(another);
  webcam.begin(another);
  result.begin();
  talk.begin();
  trouble.begin();
  $("question").addEventListener("submit", (event) => {
    event.preventDefault();
    if (!running) analyse();
  });
  $("cancel").addEventListener("click", () => running?.abort());
  $("transcript").addEventListener("change", () => {
    const given = $("transcript").value === "given";
    $("words").hidden = $("words-label").hidden = !given;
    if (given) $("words").focus();
  });
  onLanguage(writeModel);
  language.begin();
  result.clear();
  meet();
}

/** Asks the server which model it has. */
async function meet() {
  try {
    model = (await api.models())[0] ?? null;
    writeModel();
    if ($("answer").hidden && !running) show("empty");
  } catch (error) {
    trouble.show(error, meet, { quietly: true });
    show("trouble");
  }
}

function writeModel() {
  $("where").textContent = t("clip.sent", { host: location.host });
  if (!model) return;
  $("model").textContent = [model.id, model.version].filter(Boolean).join(" ");
  $("labels").placeholder = (model.labels ?? []).join(", ");
  const reasons = model.tasks?.includes("reason") ?? true;
  const [reason, emotion] = document.getElementsByName("task");
  reason.disabled = !reasons;
  if (!reasons) emotion.checked = true;
}

/** There is another clip, or none: what was said of the one before no longer holds. */
function another() {
  running?.abort();
  webcam.close();
  talk.end();
  result.clear();
  trouble.clear();
  show("empty");
  // What comes next stands out: a clip, then the analysis.
  $("analyse").classList.toggle("primary", clip.current() !== null);
}

/** What is read of the clip, and what is asked; null if something is missing, which is then said. */
function asked() {
  const mine = clip.current();
  if (!mine) {
    clip.tell("clip.none");
    ($("webcam").hidden ? $("choose") : $("record")).focus();
    return null;
  }
  const observe = {};
  const first = { task: document.querySelector("[name=task]:checked").value };
  const words = $("transcript").value;
  if (words === "none") observe.transcript = "none";
  if (words === "given") observe.transcript = $("words").value.trim() || "none";
  const frame = $("frame").value;
  if (frame === "shown") {
    const time = mine.element?.currentTime;
    if (time > 0) observe.frame = time;
    else observe.frame = "first";
  } else if (frame !== "peak") {
    observe.frame = frame;
  }
  const labels = $("labels").value.split(/[,，、]/).map((label) => label.trim()).filter(Boolean);
  if (labels.length === 1) {
    clip.tell("labels.few");
    $("labels").closest("details").open = true;
    $("labels").focus();
    return null;
  }
  if (labels.length) first.labels = labels;
  return { mine, observe, first };
}

async function analyse() {
  const question = asked();
  if (!question) return;
  const { mine, observe, first } = question;
  const here = new AbortController();
  const { signal } = here;
  running = here;
  const sentences = new Sentences();
  if (mine.kind !== "unseen") clip.tell();
  trouble.clear();
  talk.end();
  result.clear();
  show("progress");
  $("analyse").disabled = true;
  step("send");
  $("cancel").focus();
  const began = performance.now();
  const clock = setInterval(() => elapsed(began), 100);
  elapsed(began);
  let failed = null;
  try {
    const onEvent = (name, event) => {
      if (name === "stage") step(event.stage);
      if (name === "label") result.label(event);
      if (name === "text" && first.task !== "emotion") {
        result.stream(event.text);
        sentences.push(event.text);
      }
    };
    const analysis = await api.analyze(mine.file, { ...observe, ...first }, { signal, onEvent });
    sentences.finish();
    result.show(analysis, mine, performance.now() - began);
    talk.about(mine, observe, first);
    announce(heard(analysis));
  } catch (error) {
    failed = error;
    result.clear();
  } finally {
    clearInterval(clock);
    if (running === here) {
      running = null;
      $("analyse").disabled = false;
    }
  }
  finish(failed, signal);
}

/** Shows how it ended, and puts the focus where one goes on. */
function finish(failed, signal) {
  if (running || clip.current() === null) return;
  if (!failed) {
    show("");
    $("result-title").focus();
  } else if (signal.aborted) {
    announce(t("step.cancelled"));
    show("empty");
    $("analyse").focus();
  } else {
    show("trouble");
    trouble.show(failed, analyse);
  }
}

function heard({ emotion, confidence }) {
  if (!emotion) return t("result.unnamed");
  const label = result.labelOf(emotion);
  return confidence == null ? t("result.named", { label }) : t("result.said", { label, sure: t("sure", { p: percent(confidence) }) });
}

/** Which of the result's parts beside the result itself is seen. */
function show(part) {
  for (const id of ["empty", "progress"]) $(id).hidden = id !== part;
}

function step(name) {
  const now = STEPS.indexOf(name);
  if (now < 0) return;
  for (const item of $("steps").children) {
    const place = STEPS.indexOf(item.dataset.step);
    item.classList.toggle("done", place < now);
    if (place === now) item.setAttribute("aria-current", "step");
    else item.removeAttribute("aria-current");
  }
  announce(t(`step.${name}`));
}

function elapsed(began) {
  $("elapsed").textContent = t("step.elapsed", { n: number((performance.now() - began) / 1000, 1) });
}

begin();
