// Questions about the clip, after the analysis.
// SPDX-License-Identifier: Apache-2.0

import { announce, Sentences } from "./announce.js";
import * as api from "./api.js";
import { number, onLanguage, percent, speaks, t } from "./language.js";
import { labelOf } from "./result.js";
import * as trouble from "./trouble.js";

const $ = (id) => document.getElementById(id);
const IDEAS = ["idea.face", "idea.voice", "idea.why"];
// What the conversation is about: the clip, and what was asked of it first.
let subject = null;
let session = null;
let running = null;
let status = null;
const turns = [];

/** Begins to take questions. */
export function begin() {
  $("ask-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = $("ask-text").value.trim();
    if (text && subject && !running) put(text);
  });
  $("ask-cancel").addEventListener("click", () => running?.abort());
  // A page that is come back to goes on with another conversation.
  addEventListener("pagehide", close);
  onLanguage(() => {
    $("ideas").replaceChildren(...IDEAS.map(idea));
    for (const turn of turns) writeFacts(turn);
    say(status);
  });
}

/** From now on the questions are about `clip`, which was analysed with `observe` (what is read of it) and `first` (the question). */
export function about(clip, observe, first) {
  end();
  subject = { clip, observe, first };
}

/** Ends the conversation. */
export function end() {
  running?.abort();
  running = null;
  busy(false);
  close();
  subject = null;
  turns.length = 0;
  $("turns").replaceChildren();
  say(null);
}

function close() {
  if (session) api.closeSession(session);
  session = null;
}

async function put(text) {
  const mine = subject;
  const turn = write(text);
  running = new AbortController();
  const { signal } = running;
  trouble.clear();
  busy(true);
  try {
    const analysis = await answer(text, turn, signal);
    turn.answer.textContent = analysis.response;
    turn.analysis = analysis;
    writeFacts(turn);
    $("ask-text").value = "";
  } catch (error) {
    turn.item.remove();
    turns.splice(turns.indexOf(turn), 1);
    if (mine !== subject) return;
    say(null);
    if (error.name === "AbortError") announce(t("step.cancelled"));
    else trouble.show(error, () => put(text), { below: $("ask-form") });
    if (!$("ask-text").value) $("ask-text").value = text;
  } finally {
    turn.answer.classList.remove("writing");
    if (mine === subject) {
      running = null;
      busy(false);
    }
  }
}

async function answer(text, turn, signal) {
  const known = session !== null;
  if (!known) await open(signal);
  try {
    return await ask({ prompt: text }, turn, signal);
  } catch (error) {
    // A conversation that was left alone may have been ended.
    if (!known || error.code !== "not_found") throw error;
    session = null;
    await open(signal);
    const analysis = await ask({ prompt: text }, turn, signal);
    say("ask.anew");
    return analysis;
  }
}

/** A conversation in which the first question, that of the analysis, was asked too: the others may go back to it. */
async function open(signal) {
  say("ask.opening");
  const mine = subject;
  const id = await api.openSession(mine.clip.file, mine.observe, signal);
  if (mine !== subject) {
    api.closeSession(id);
    throw new DOMException("another clip was chosen", "AbortError");
  }
  try {
    await api.ask(id, mine.first, { signal, onEvent: () => {} });
  } catch (error) {
    api.closeSession(id);
    throw error;
  }
  session = id;
}

async function ask(request, turn, signal) {
  say("ask.answering");
  const sentences = new Sentences();
  turn.answer.textContent = "";
  const onEvent = (name, event) => {
    if (name !== "text") return;
    turn.answer.textContent += event.text;
    sentences.push(event.text);
  };
  const { labels } = subject.first;
  const analysis = await api.ask(session, labels ? { ...request, labels } : request, { signal, onEvent });
  sentences.finish();
  say(null);
  return analysis;
}

function write(text) {
  const item = document.createElement("li");
  const question = document.createElement("p");
  const reply = document.createElement("p");
  const facts = document.createElement("p");
  question.className = "asked";
  question.textContent = text;
  reply.className = "text writing";
  reply.lang = "en";
  facts.className = "hint";
  item.append(question, reply, facts);
  $("turns").append(item);
  const turn = { item, answer: reply, facts, analysis: null };
  turns.push(turn);
  return turn;
}

function writeFacts({ facts, analysis }) {
  if (!analysis?.emotion || analysis.confidence == null) return;
  const sure = t("sure", { p: percent(analysis.confidence) });
  facts.textContent = t("ask.meta", { label: labelOf(analysis.emotion), sure, ms: number(analysis.timings_ms?.total ?? 0) });
}

function idea(key) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "idea";
  button.lang = "en";
  button.textContent = t(key);
  button.addEventListener("click", () => {
    $("ask-text").value = button.textContent;
    if (!running) put(button.textContent);
  });
  return button;
}

function busy(yes) {
  const focused = document.activeElement;
  $("ask").hidden = yes;
  $("ask-cancel").hidden = !yes;
  for (const button of $("ideas").children) button.disabled = yes;
  $("ask-text").readOnly = yes;
  // A button that goes away takes the focus with it.
  if (yes && (focused === $("ask") || $("ideas").contains(focused))) $("ask-cancel").focus();
  if (!yes && focused === $("ask-cancel")) $("ask-text").focus();
}

function say(key) {
  status = key;
  $("ask-status").textContent = key ? t(key) : "";
}
