"""What the page's tests share: the browser, the clips and the answers of a made-up server. SPDX-License-Identifier: Apache-2.0"""

import json
import os
import shutil
import subprocess
import unittest
from pathlib import Path

from playwright.sync_api import Error, sync_playwright

ROOT = Path(__file__).resolve().parents[3]
PAGE = Path(__file__).resolve().parents[1]
URL = os.environ.get("PAGE_URL", "http://127.0.0.1:7889/")
WORK = Path(os.environ.get("PAGE_WORK", ROOT / "build/page"))
SHOTS = Path(os.environ.get("PAGE_SCREENSHOTS", ROOT / "build/screenshots"))
CLIPS = Path(os.environ.get("EMOTION_LLAMA_CLIPS", ROOT / "build/clips"))
CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# A machine with little to spare may need long for an analysis; nothing waits so long otherwise.
PATIENCE_MS = 120_000
LOCALES = {"en": "en-GB", "zh": "zh-CN"}
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")


def clip(name, kind):
    """A clip of CREMA-D as a file that browsers play: its own kind is one that they do not."""
    made = WORK / f"{name}.{kind}"
    if not made.exists():
        codecs = {"mp4": ["-c:v", "libx264", "-c:a", "aac"], "webm": ["-c:v", "libvpx", "-b:v", "1M", "-c:a", "libopus"]}[kind]
        ffmpeg("-i", original(name), *codecs, "-pix_fmt", "yuv420p", made)
    return made


def original(name):
    return CLIPS / f"1001_DFA_{name}_XX.flv"


def ffmpeg(*words):
    return subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, words)], check=True, stdout=subprocess.PIPE).stdout


def stream(*events):
    """The body of a streamed answer."""
    return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)


def analysis(**other):
    """An analysis that no model made."""
    return {
        "response": "The person feels happy. The mouth is stretched.",
        "emotion": "happy",
        "confidence": 0.7,
        "probabilities": {"sad": 0.298, "happy": 0.7, "fear": 0.002},
        "explanation": "The mouth is stretched.",
        "transcript": "Hello.",
        "language": "en",
        "faces": [],
        "frame": None,
        "cues": [],
        "usage": {"prompt_tokens": 5, "completion_tokens": 6, "cached_tokens": 0},
        "timings_ms": {"decode": 1.5, "preprocess": 20, "encode": 10, "prefill": 0, "generate": 5, "total": 30},
        "model": {"name": "made-up", "version": "1", "digest": "ab"},
        "notes": [],
        **other,
    }


def result(**other):
    return stream({"type": "result", "analysis": analysis(**other)})


class Setting(unittest.TestCase):
    """One browser for a class, one page for a test. A test fails if the page threw, broke its policy or asked another host."""

    ARGUMENTS = CAMERA

    @classmethod
    def setUpClass(cls):
        WORK.mkdir(parents=True, exist_ok=True)
        SHOTS.mkdir(parents=True, exist_ok=True)
        cls.playwright = sync_playwright().start()
        # As root, in a container, Chromium has no sandbox of its own.
        sandbox = [] if os.geteuid() else ["--no-sandbox"]
        cls.browser = cls.playwright.chromium.launch(executable_path=CHROMIUM, args=[*cls.ARGUMENTS, *sandbox])

    @classmethod
    def tearDownClass(cls):
        cls.browser.close()
        cls.playwright.stop()

    def setUp(self):
        self.contexts = []
        self.faults = []
        self.asked = []
        self.held = []

    def tearDown(self):
        for route in self.held:
            # Playwright waits for a word on each, also where the page gave up the request itself.
            try:
                route.fallback()
            except Error:
                pass
        for context in self.contexts:
            context.close()
        self.assertEqual(self.faults, [])

    def open(self, language="en", width=1440, height=900, url=URL, script=None, **options):
        context = self.browser.new_context(locale=LOCALES[language], viewport={"width": width, "height": height}, **options)
        self.contexts.append(context)
        context.set_default_timeout(20_000)
        # The first page of a browser on a machine with other work takes long.
        context.set_default_navigation_timeout(120_000)
        if script:
            context.add_init_script(script)
        page = context.new_page()
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", self.console)
        page.on("request", lambda request: self.request(request, url))
        page.goto(url)
        page.wait_for_selector("#model:not(:empty)", state="attached")
        return page

    def console(self, message):
        # The browser itself tells the console of a status that says no, and of a test that reads a canvas twice.
        usual = ("Failed to load resource", "Canvas2D: Multiple readback")
        if message.type in ("error", "warning") and not message.text.startswith(usual):
            self.faults.append(message.text)

    def request(self, request, url):
        self.asked.append(request)
        if not request.url.startswith((url, "blob:", "data:")):
            self.faults.append(f"the page asked for {request.url}")

    def choose(self, page, path):
        page.set_input_files("#file", str(path))
        page.wait_for_selector("#clip:not([hidden])")

    def analyse(self, page):
        """Analyses the clip, and gives the analysis that the page has."""
        page.click("#analyse")
        return self.finished(page)

    def finished(self, page):
        page.wait_for_selector("#times-block:not([hidden])", timeout=PATIENCE_MS)
        page.wait_for_selector("#progress", state="hidden")
        return json.loads(page.text_content("#json"))

    def answers(self, page, path, **answer):
        """From now on the server's `path` answers so."""
        answer.setdefault("content_type", "text/event-stream" if "event:" in answer.get("body", "") else "application/json")
        page.unroute(f"**/v1/{path}")
        page.route(f"**/v1/{path}", lambda route: route.fulfill(**answer))

    def drawn_face(self, page):
        """A picture of a face that nobody has."""
        drawing = WORK / "face.png"
        other = page.context.new_page()
        other.set_viewport_size({"width": 640, "height": 480})
        other.set_content(f"<body style='margin: 0'>{(PAGE / 'tests/face.svg').read_text(encoding='utf-8')}")
        other.screenshot(path=str(drawing))
        other.close()
        return drawing

    def until(self, page, expression, wanted=True):
        """Waits until `expression` has this value. (Playwright's own way is eval, which the page's policy forbids.)"""
        for _ in range(200):
            if page.evaluate(expression) == wanted:
                return
            page.wait_for_timeout(100)
        self.fail(f"{expression} is still {page.evaluate(expression)}")

    def shoot(self, page, name, **options):
        page.screenshot(path=str(SHOTS / f"{name}.png"), **options)

    def hold(self, page, path):
        """From now on the server's `path` does not answer."""
        page.unroute(f"**/v1/{path}")
        page.route(f"**/v1/{path}", lambda route: self.held.append(route))

    def fits(self, page):
        """Nothing is wider than the screen."""
        wide = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        self.assertLessEqual(wide[0], wide[1])

    def focused(self, page):
        return page.evaluate("document.activeElement.id")
