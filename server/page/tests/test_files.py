"""The page's files as they are served, and its modules by themselves. SPDX-License-Identifier: Apache-2.0"""

import re
import unittest
import urllib.error
import urllib.parse
import urllib.request

from setting import PAGE, URL, Setting

KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
FILES = sorted(path for path in PAGE.iterdir() if path.is_file())


def fetch(path, **headers):
    request = urllib.request.Request(urllib.parse.urljoin(URL, path), headers=headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


class Served(unittest.TestCase):
    def test_every_file_is_served_as_it_stands_with_the_page_s_policy(self):
        for file in FILES:
            with self.subTest(file.name):
                status, headers, body = fetch("" if file.name == "index.html" else f"page/{file.name}")
                self.assertEqual((status, body), (200, file.read_bytes()))
                self.assertEqual(headers.get_content_type(), KINDS[file.suffix])
                self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
                policy = headers["Content-Security-Policy"]
                self.assertIn("default-src 'self'", policy)
                self.assertNotIn("unsafe", policy)
                self.assertNotIn("http", policy)

    def test_what_has_not_changed_is_not_sent_again(self):
        for file in FILES:
            with self.subTest(file.name):
                path = "" if file.name == "index.html" else f"page/{file.name}"
                tag = fetch(path)[1]["ETag"]
                self.assertTrue(tag)
                status, headers, body = fetch(path, **{"If-None-Match": tag})
                self.assertEqual((status, body, headers["ETag"]), (304, b"", tag))

    def test_nothing_else_is_there(self):
        for path in ("page/", "page/nothing.js", "page/../index.html", "page/%2e%2e/index.html", "page/tests/setting.py", "page/mod.rs"):
            with self.subTest(path):
                self.assertEqual(fetch(path)[0], 404)


class Written(unittest.TestCase):
    def test_no_script_or_style_stands_in_the_page_and_nothing_comes_from_elsewhere(self):
        text = (PAGE / "index.html").read_text(encoding="utf-8")
        self.assertEqual(re.findall(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\bsrc=)", text), [])
        for file in FILES:
            found = re.findall(r"https?://[^\s\"')]+", file.read_text(encoding="utf-8"))
            self.assertEqual([url for url in found if url != "http://www.w3.org/2000/svg"], [], file.name)


class Modules(Setting):
    def test_both_languages_say_the_same_things(self):
        strings = self.open().evaluate("import('./page/strings.js').then((module) => module.strings)")
        english, chinese = strings["en"], strings["zh"]
        self.assertEqual(list(english), list(chinese))
        for key in english:
            with self.subTest(key):
                self.assertTrue(english[key].strip() and chinese[key].strip())
                self.assertEqual(set(re.findall(r"\{\w+\}", english[key])), set(re.findall(r"\{\w+\}", chinese[key])))

    def test_every_string_that_is_used_is_there_and_every_one_that_is_there_is_used(self):
        strings = set(self.open().evaluate("import('./page/strings.js').then((module) => Object.keys(module.strings.en))"))
        text = "".join(file.read_text(encoding="utf-8") for file in FILES if file.name != "strings.js")
        used = set(re.findall(r'data-t(?:-\w+)?="([^"]+)"', text)) | set(re.findall(r'\b(?:t|tell|say)\(\s*"([^"]+)"', text))
        self.assertEqual(used - strings, set())
        # Some keys are put together: of those the part before the point is in the code.
        families = set(re.findall(r"`(\w+)\.\$\{", text)) | {"trouble"}
        unused = {key for key in strings - used if key.split(".")[0] not in families and f'"{key}"' not in text}
        self.assertEqual(unused, set())

    def test_events_are_read_however_they_are_cut(self):
        found = self.open().evaluate(
            """async () => {
                const { events } = await import("./page/events.js");
                const text = ": a comment\\r\\n\\r\\nevent: text\\r\\ndata: {\\"text\\": \\"你\\"}\\r\\n\\r\\n" +
                    "data: a\\ndata:b\\nretry: 5\\n\\n\\n\\rid\\revent:c\\rdata: d: e\\r\\revent: cut\\ndata: off";
                const bytes = new TextEncoder().encode(text);
                const read = async (size) => {
                    const body = new ReadableStream({ start(controller) {
                        for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.slice(at, at + size));
                        controller.close();
                    } });
                    const all = [];
                    for await (const event of events(body)) all.push([event.name, event.data]);
                    return JSON.stringify(all);
                };
                return Promise.all([1, 2, 3, 5, 7, 1000].map(read));
            }"""
        )
        wanted = '[["text","{\\"text\\": \\"你\\"}"],["","a\\nb"],["c","d: e"]]'
        self.assertEqual(found, [wanted] * 6)

    def test_a_text_is_announced_in_whole_sentences(self):
        page = self.open()
        page.evaluate(
            """async () => {
                const { Sentences } = await import("./page/announce.js");
                const sentences = new Sentences();
                for (const piece of ["The pers", "on is happy.", " The pitch is 1.", "5 high", ". Ah"]) sentences.push(piece);
                sentences.finish();
            }"""
        )
        self.assertEqual(page.locator("#heard p").all_text_contents()[-3:], ["The person is happy.", "The pitch is 1.5 high.", "Ah"])


if __name__ == "__main__":
    unittest.main()
