// What a screen reader says while the page works.
// SPDX-License-Identifier: Apache-2.0

const KEPT = 20;

/** Has `text` read out, after what was announced before. */
export function announce(text) {
  const log = document.getElementById("heard");
  const line = document.createElement("p");
  line.textContent = text;
  log.append(line);
  while (log.children.length > KEPT) log.firstElementChild.remove();
}

/** Announces a text that comes in pieces sentence by sentence: pieces of words cannot be understood. */
export class Sentences {
  #rest = "";

  push(piece) {
    this.#rest += piece;
    const end = /^[^]*[.!?。！？]["”’」]?(?=\s)/.exec(this.#rest);
    if (!end) return;
    this.#rest = this.#rest.slice(end[0].length);
    announce(end[0].trim());
  }

  finish() {
    if (this.#rest.trim()) announce(this.#rest.trim());
    this.#rest = "";
  }
}
