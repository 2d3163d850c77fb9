// What went wrong, in plain words, and what to do about it.
// SPDX-License-Identifier: Apache-2.0

import { announce } from "./announce.js";
import * as api from "./api.js";
import { number, onLanguage, t } from "./language.js";

const $ = (id) => document.getElementById(id);
const KNOWN = new Set([
  "invalid_argument", "media_undecodable", "media_too_large", "not_found", "pack_invalid", "out_of_memory", "overloaded", "rate",
  "timeout", "internal", "unreachable", "ended", "forbidden", "cancelled", "page",
]);
// The same again would end the same.
const FINAL = new Set(["invalid_argument", "media_undecodable", "media_too_large", "forbidden"]);
let trouble = null;
let again = null;
let ticking = null;

/** Begins to show troubles. */
export function begin() {
  $("again").addEventListener("click", () => {
    const repeat = again;
    clear();
    repeat?.();
  });
  $("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const key = $("key").value.trim();
    // Other characters cannot be sent in a header.
    if (!/^[\x21-\x7e]+$/.test(key)) return show(new api.Failure("locked"), again, { below: $("trouble").previousElementSibling });
    api.useKey(key);
    $("key").value = "";
    const repeat = again;
    clear();
    repeat?.();
  });
  onLanguage(() => trouble && write());
}

/**
 * Shows `error` below the element `below` (usually at the head of the result), and offers to `repeat` what failed. The focus goes there,
 * unless `quietly`.
 */
export function show(error, repeat, { quietly = false, below = $("result-title") } = {}) {
  const failure = error instanceof api.Failure ? error : new api.Failure("page");
  // What the page itself did wrong is for its developer.
  if (failure !== error) console.error(error);
  const asked = failure.code === "locked" && (api.hasKey() || trouble?.failure.code === "locked");
  trouble = { failure, asked, until: performance.now() + (failure.retryAfter ?? 0) * 1000 };
  again = repeat;
  below.after($("trouble"), $("key-form"));
  write();
  const title = $(failure.code === "locked" ? "key-title" : "trouble-title");
  if (quietly) announce(title.textContent);
  else if (failure.code === "locked") $("key").focus();
  else title.focus();
}

/** Forgets it. */
export function clear() {
  trouble = null;
  again = null;
  clearInterval(ticking);
  $("trouble").hidden = true;
  $("key-form").hidden = true;
}

function write() {
  const { failure, asked } = trouble;
  const locked = failure.code === "locked";
  $("key-form").hidden = !locked;
  $("trouble").hidden = locked;
  $("key-title").textContent = t(asked ? "key.title.wrong" : "key.title");
  if (locked) return;
  const code = KNOWN.has(failure.code) ? failure.code : "internal";
  $("trouble-title").textContent = t(`trouble.${code}`);
  $("trouble-advice").textContent = t(`trouble.${code}.do`);
  $("trouble-server").textContent = failure.message ? t("trouble.server", { text: failure.message }) : "";
  clearInterval(ticking);
  ticking = setInterval(wait, 500);
  wait();
}

/** Keeps the button shut for as long as the server wants. */
function wait() {
  const left = Math.ceil((trouble.until - performance.now()) / 1000);
  $("again").hidden = !again || FINAL.has(trouble.failure.code);
  $("again").disabled = left > 0;
  $("again").textContent = left > 0 ? t("trouble.again_in", { n: number(left) }) : t("again");
  if (left <= 0) clearInterval(ticking);
}
