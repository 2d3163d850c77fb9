// The server's calls: docs/http-v1.md.
// SPDX-License-Identifier: Apache-2.0

import { events } from "./events.js";

const KEY = "emotion-llama-key";
let key = storedKey();

/** A call that failed. `code` is one of docs/http-v1.md, or `rate`, `forbidden`, `locked`, `ended`. */
export class Failure extends Error {
  constructor(code, message = "", retryAfter = null) {
    super(message);
    this.code = code;
    this.retryAfter = retryAfter;
  }
}

/** From now on `given` is sent with every call. It outlives a reload, but not the tab. */
export function useKey(given) {
  key = given;
  try {
    sessionStorage.setItem(KEY, given);
  } catch {
    // Then it is known until the page is left.
  }
}

/** Whether a key is sent. */
export function hasKey() {
  return key !== "";
}

/** The models, the one that answers first. */
export async function models(signal) {
  return (await json(await call("GET", "v1/models", { signal }))).data ?? [];
}

/** Analyses `clip`, a File; `onEvent` hears of every stage and piece of text. Gives the analysis. */
export async function analyze(clip, request, { signal, onEvent }) {
  return answer(await call("POST", "v1/analyze", { body: form(clip, request), streamed: true, signal }), onEvent);
}

/** Begins a conversation about `clip` and gives its name. */
export async function openSession(clip, request, signal) {
  return (await json(await call("POST", "v1/sessions", { body: form(clip, request), signal }))).id;
}

/** Asks the conversation `id`. Gives the analysis. */
export async function ask(id, request, { signal, onEvent }) {
  const body = JSON.stringify(request);
  return answer(await call("POST", `v1/sessions/${id}/ask`, { body, streamed: true, signal }), onEvent);
}

/** Ends the conversation `id`; nobody waits for the answer, so it may be called when the page is left. */
export function closeSession(id) {
  call("DELETE", `v1/sessions/${id}`, { keepalive: true }).catch(() => {});
}

function form(clip, request) {
  // The order of the parts is part of the contract.
  const data = new FormData();
  data.append("request", JSON.stringify(request));
  data.append("media", clip, clip.name);
  return data;
}

async function call(method, path, { body, streamed, signal, keepalive } = {}) {
  const headers = { Accept: streamed ? "text/event-stream" : "application/json" };
  if (typeof body === "string") headers["Content-Type"] = "application/json";
  if (key) Object.assign(headers, { Authorization: `Bearer ${key}`, "X-API-Key": key });
  let response;
  try {
    response = await fetch(new URL(path, document.baseURI), { method, headers, body, signal, keepalive, cache: "no-store" });
  } catch (error) {
    throw lost(error, "unreachable");
  }
  if (!response.ok) throw await failure(response);
  return response;
}

/** An abort stays what it is; all else that ends a connection is a failure. */
function lost(error, code) {
  return error.name === "AbortError" ? error : new Failure(code);
}

async function json(response) {
  try {
    return await response.json();
  } catch (error) {
    throw lost(error, "ended");
  }
}

async function failure(response) {
  const told = await response.json().catch(() => ({}));
  const { status } = response;
  const message = typeof told.error === "string" ? told.error : "";
  const wait = Number.parseInt(response.headers.get("Retry-After"), 10);
  const retryAfter = Number.isFinite(wait) ? wait : null;
  const byStatus = { 401: "locked", 403: "forbidden", 429: "rate" }[status];
  const usual = { 404: "not_found", 413: "media_too_large", 415: "media_undecodable", 502: "unreachable", 503: "overloaded", 504: "timeout" }[status];
  const code = byStatus ?? (typeof told.code === "string" ? told.code : usual) ?? (status < 500 ? "invalid_argument" : "internal");
  return new Failure(code, message, retryAfter);
}

async function answer(response, onEvent) {
  if (!response.headers.get("Content-Type")?.startsWith("text/event-stream")) return json(response);
  try {
    for await (const { name, data } of events(response.body)) {
      const event = JSON.parse(data);
      if (name === "result") return event.analysis;
      if (name === "error") throw new Failure(event.code ?? "internal", event.error ?? "");
      onEvent(name, event);
    }
  } catch (error) {
    throw error instanceof Failure ? error : lost(error, "ended");
  }
  throw new Failure("ended");
}

function storedKey() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}
