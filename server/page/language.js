// The language of the page: which one it is, its words, and its numbers.
// SPDX-License-Identifier: Apache-2.0

import { strings } from "./strings.js";

const REMEMBERED = "emotion-llama-language";
const TAGS = { en: "en", zh: "zh-Hans" };
const listeners = [];
let language = "en";

/** The sentence called `key`, with `{name}` replaced by `values[name]`. */
export function t(key, values = {}) {
  const sentence = strings[language][key] ?? strings.en[key];
  if (sentence === undefined) throw new Error(`there is no string ${key}`);
  return sentence.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? values[name] : whole));
}

/** The sentence called `key`, or `otherwise` where there is none: for words that a server may add to. */
export function known(key, otherwise) {
  return key in strings.en ? t(key) : otherwise;
}

/** `value` with `digits` digits after the point. */
export function number(value, digits = 0) {
  return new Intl.NumberFormat(TAGS[language], { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);
}

/** A probability as a percentage. What is not nothing is not shown as nothing. */
export function percent(p) {
  if (p > 0 && p < 0.005) return language === "zh" ? "不到 1%" : "< 1%";
  return `${number(p * 100)}%`;
}

/** Calls `listener` whenever the language has changed. */
export function onLanguage(listener) {
  listeners.push(listener);
}

/** Whether the page speaks `name`. */
export function speaks(name) {
  return language === name;
}

/** Chooses the language: the one that was chosen before, or else the browser's. */
export function begin() {
  for (const button of document.querySelectorAll("[data-language]")) {
    button.addEventListener("click", () => choose(button.dataset.language, true));
  }
  const wanted = navigator.languages?.find((tag) => /^(en|zh)\b/i.test(tag)) ?? "en";
  choose(remembered() ?? (/^zh/i.test(wanted) ? "zh" : "en"), false);
}

function choose(name, remember) {
  language = name;
  if (remember) {
    try {
      localStorage.setItem(REMEMBERED, name);
    } catch {
      // A browser that keeps nothing asks again the next time.
    }
  }
  const root = document.documentElement;
  root.lang = TAGS[name];
  for (const button of document.querySelectorAll("[data-language]")) {
    button.setAttribute("aria-pressed", String(button.dataset.language === name));
  }
  for (const element of root.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
  for (const element of root.querySelectorAll("[data-t-label]")) element.setAttribute("aria-label", t(element.dataset.tLabel));
  for (const element of root.querySelectorAll("[data-t-title]")) element.title = t(element.dataset.tTitle);
  for (const element of root.querySelectorAll("[data-t-placeholder]")) element.placeholder = t(element.dataset.tPlaceholder);
  for (const listener of listeners) listener();
}

function remembered() {
  try {
    const name = localStorage.getItem(REMEMBERED);
    return name in TAGS ? name : undefined;
  } catch {
    return undefined;
  }
}
