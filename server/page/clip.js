// The clip that is asked about: chosen, dropped or recorded, and shown.
// SPDX-License-Identifier: Apache-2.0

import { announce } from "./announce.js";
import { number, onLanguage, t } from "./language.js";

const $ = (id) => document.getElementById(id);
let clip = null;
let notice = null;

/**
 * The clip, or null: `{file, url, kind, element}`. `kind` is `video`, `audio`, `image`, or `unseen` for what the browser cannot show.
 */
export function current() {
  return clip;
}

/** Shows the choosing of a clip. `onChange` is called when there is another clip, or none. */
export function begin(onChange) {
  const drop = $("drop");
  const input = $("file");
  $("choose").addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    if (input.files[0]) choose(input.files[0], onChange);
    // The same file may be chosen again after it was changed.
    input.value = "";
  });
  $("another").addEventListener("click", () => {
    clear();
    onChange();
    $("choose").focus();
  });
  // A file that misses the field would otherwise take the page's place.
  let depth = 0;
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("dragenter", () => drop.classList.toggle("over", ++depth > 0));
  addEventListener("dragleave", () => drop.classList.toggle("over", --depth > 0));
  addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    drop.classList.remove("over");
    const file = event.dataTransfer?.files[0];
    if (file) choose(file, onChange);
  });
  onLanguage(() => {
    if (clip) showFacts();
    showNotice();
  });
}

/** Takes `file` as the clip. */
export function choose(file, onChange) {
  clear();
  if (file.size === 0) {
    tell("clip.empty");
    onChange();
    return;
  }
  const kind = /^(audio|image)\//.exec(file.type)?.[1] ?? "video";
  clip = { file, url: URL.createObjectURL(file), kind, element: null };
  clip.element = player(clip);
  $("player").replaceChildren(clip.element);
  $("player").classList.toggle("sound", kind === "audio");
  $("drop").hidden = true;
  $("webcam").hidden = true;
  $("clip").hidden = false;
  showFacts();
  announce(t("clip.chosen", { name: file.name }));
  onChange();
}

/** Says `key` below the clip; nothing, without one. */
export function tell(key) {
  notice = key ?? null;
  showNotice();
}

/** Waits until `video` knows its length. Recordings do not say it: only their end tells. */
export async function settled(video) {
  if (video.readyState < HTMLMediaElement.HAVE_METADATA) await once(video, "loadedmetadata");
  if (Number.isFinite(video.duration)) return;
  video.currentTime = Number.MAX_SAFE_INTEGER;
  await once(video, "seeked");
  video.currentTime = 0;
  await once(video, "seeked");
}

/** Waits for the event `name` of `target`; fails at an `error` event, and after ten seconds. */
export function once(target, name) {
  return new Promise((resolve, reject) => {
    const over = new AbortController();
    const end = (settle) => () => {
      over.abort();
      clearTimeout(timer);
      settle();
    };
    const timer = setTimeout(end(reject), 10000);
    target.addEventListener(name, end(resolve), { signal: over.signal });
    target.addEventListener("error", end(reject), { signal: over.signal });
  });
}

function player(mine) {
  const element = document.createElement({ audio: "audio", image: "img" }[mine.kind] ?? "video");
  const unseen = () => {
    if (clip !== mine) return;
    mine.kind = "unseen";
    $("player").replaceChildren();
    tell("clip.unplayable");
  };
  element.addEventListener("error", unseen);
  if (mine.kind !== "image") {
    element.controls = true;
    element.preload = "auto";
    element.playsInline = true;
  }
  element.src = mine.url;
  if (mine.kind === "video") {
    settled(element).then(() => {
      // A container of video may hold sound alone.
      if (clip === mine && element.videoWidth === 0) {
        mine.kind = "audio";
        $("player").classList.add("sound");
      }
    }, unseen);
  }
  return element;
}

function clear() {
  if (clip) URL.revokeObjectURL(clip.url);
  clip = null;
  tell();
  $("player").replaceChildren();
  $("clip").hidden = true;
  $("drop").hidden = false;
}

function showFacts() {
  const { file, element } = clip;
  $("file-name").textContent = file.name;
  const big = file.size >= 1e6;
  $("file-size").textContent = big ? `${number(file.size / 1e6, 1)} MB` : `${number(Math.max(1, file.size / 1e3))} kB`;
  if (element.tagName === "IMG") element.alt = t("clip.player");
  else element.setAttribute("aria-label", t("clip.player"));
}

function showNotice() {
  $("clip-notice").hidden = notice === null;
  $("clip-notice").textContent = notice === null ? "" : t(notice);
}
