// A stream of server-sent events, read from the body of an answer.
// SPDX-License-Identifier: Apache-2.0

/** The events of `body`, a ReadableStream of bytes, each `{name, data}`. Comments are passed over. */
export async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let event = { name: "", data: [] };
  try {
    for (;;) {
      const { value, done } = await reader.read();
      // A carriage return at the end may be half of a line's end, so it waits for what follows.
      const text = rest + (value ?? "");
      const lines = text.split(done ? /\r\n|\n|\r/ : /\r\n|\n|\r(?!$)/);
      rest = lines.pop();
      for (const line of lines) {
        if (line === "") {
          if (event.data.length) yield { name: event.name, data: event.data.join("\n") };
          event = { name: "", data: [] };
        } else {
          const [, field, content] = /^([^:]*):? ?(.*)$/s.exec(line);
          if (field === "event") event.name = content;
          if (field === "data") event.data.push(content);
        }
      }
      // An event without the empty line after it was cut off.
      if (done) return;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
