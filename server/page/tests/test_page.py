"""The page in a browser, against the server at PAGE_URL. SPDX-License-Identifier: Apache-2.0"""

import json
import re
import unittest
from pathlib import Path

from setting import CAMERA, PATIENCE_MS, URL, WORK, Setting, clip, ffmpeg, original, result, stream

SIZES = {390: 844, 1440: 900}
ASK = "sessions/*/ask"


class Analyses(Setting):
    """What the server says, as the page shows it."""

    def test_a_clip_is_analysed_in_both_languages_on_narrow_and_wide_screens(self):
        titles = {"en": "What does this person feel, and what shows it?", "zh": "这个人是什么情绪，从哪里看出来？"}
        for language, title in titles.items():
            for width, height in SIZES.items():
                with self.subTest(language=language, width=width):
                    page = self.open(language, width, height, device_scale_factor=2 if width < 800 else 1)
                    self.assertEqual(page.inner_text("h1"), title)
                    self.fits(page)
                    self.shoot(page, f"{language}-{width}-before", full_page=True)
                    self.choose(page, clip("HAP", "webm"))
                    found = self.analyse(page)
                    page.wait_for_selector("#frame-canvas:not([hidden])")
                    self.is_shown(page, found, language)
                    self.fits(page)
                    page.evaluate("document.activeElement.blur()")
                    self.shoot(page, f"{language}-{width}-after", full_page=True)

    def is_shown(self, page, found, language):
        rows = page.locator("#bars tr")
        self.assertEqual(rows.count(), len(found["probabilities"]))
        figures = [row.inner_text().split() for row in rows.all()]
        self.assertEqual(figures[0][-1], f"{found['confidence'] * 100:.0f}%")
        if language == "en":
            best = sorted(found["probabilities"], key=found["probabilities"].get, reverse=True)
            self.assertEqual([figure[0] for figure in figures], best)
            self.assertEqual(page.text_content("#label"), found["emotion"])
        self.assertEqual(page.text_content("#text"), found["response"])
        self.assertEqual(page.text_content("#said"), found["transcript"])
        self.assertIn(f"{found['frame']['time_s']:.2f}", page.text_content("#frame-caption"))
        # Every stage that took time, and the total.
        stages = [ms for name, ms in found["timings_ms"].items() if ms > 0]
        self.assertEqual(page.locator("#times tr").count(), len(stages))
        self.assertEqual(page.evaluate("document.activeElement.id"), "result-title")

    def test_the_frame_that_was_judged_is_drawn_with_its_box(self):
        for kind in ("mp4", "webm"):
            with self.subTest(kind):
                path = clip("ANG", kind)
                page = self.open()
                self.choose(page, path)
                found = self.analyse(page)
                page.wait_for_selector("#frame-canvas:not([hidden])")
                width, height, drawn = page.evaluate(
                    """() => {
                        const canvas = document.getElementById("frame-canvas");
                        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
                        return [canvas.width, canvas.height, Array.from(data)];
                    }"""
                )
                index, face = found["frame"]["index"], found["frame"]["face"]
                # What FFmpeg decodes as this frame is nearer than its neighbours.
                wanted = range(index - 2, index + 3)
                picked = "+".join(f"eq(n\\,{n})" for n in wanted)
                raw = ffmpeg("-i", path, "-vf", f"select={picked}", "-fps_mode", "passthrough", "-pix_fmt", "rgba", "-f", "rawvideo", "-")
                size = width * height * 4
                self.assertEqual(len(raw), size * len(wanted))
                # Where the box is drawn the picture is another one, in each frame alike.
                far = [sum(abs(a - b) for a, b in zip(raw[n * size : (n + 1) * size : 7], drawn[::7])) for n in range(len(wanted))]
                self.assertEqual(far.index(min(far)), 2, far)
                line = {
                    (x, y)
                    for y in range(height)
                    for x in range(width)
                    if drawn[(y * width + x) * 4 : (y * width + x) * 4 + 3] == [0x5F, 0xE3, 0xD3]
                }
                left, right = min(x for x, _ in line), max(x for x, _ in line)
                top, bottom = min(y for _, y in line), max(y for _, y in line)
                box = (face["x"], face["y"], face["x"] + face["width"], face["y"] + face["height"])
                for told, seen in zip(box, (left, top, right, bottom)):
                    self.assertAlmostEqual(told, seen, delta=3)

    def test_a_file_that_browsers_do_not_play_is_analysed_all_the_same(self):
        page = self.open()
        self.choose(page, original("SAD"))
        page.wait_for_selector("#clip-notice:not([hidden])")
        self.assertIn("cannot play", page.inner_text("#clip-notice"))
        found = self.analyse(page)
        self.assertIn(f"{found['frame']['time_s']:.2f}", page.inner_text("#frame-caption"))
        self.assertTrue(page.is_hidden("#frame-canvas"))

    def test_a_picture_and_a_sound_are_clips_too(self):
        WORK.mkdir(parents=True, exist_ok=True)
        picture, sound = WORK / "picture.png", WORK / "sound.wav"
        ffmpeg("-i", original("HAP"), "-frames:v", "1", picture)
        ffmpeg("-i", original("HAP"), "-vn", sound)
        page = self.open()
        self.choose(page, picture)
        self.assertTrue(self.analyse(page)["frame"])
        page.wait_for_selector("#frame-canvas:not([hidden])")
        self.assertIn("still picture", page.inner_text("#notes"))
        page.click("#another")
        self.choose(page, sound)
        self.assertIsNone(self.analyse(page)["frame"])
        self.assertTrue(page.is_hidden("#judged"))
        self.assertIn("no picture", page.inner_text("#notes"))

    def test_a_drawn_face_for_the_documentation(self):
        # Nobody's face stands in the documentation: this one is a drawing. docs/page.png is this screenshot.
        film = WORK / "portrait.mp4"
        page = self.open(width=1280, height=880)
        ffmpeg("-loop", "1", "-t", "3", "-r", "25", "-i", self.drawn_face(page), "-c:v", "libx264", "-pix_fmt", "yuv420p", film)
        self.choose(page, film)
        page.click("#question summary")
        page.select_option("#transcript", "given")
        page.fill("#words", "They gave me the job!")
        page.click("#question summary")
        self.assertTrue(self.analyse(page)["frame"]["face"])
        page.wait_for_selector("#frame-canvas:not([hidden])")
        page.wait_for_timeout(500)
        page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
        page.mouse.move(0, 0)
        self.shoot(page, "page")

    def test_the_choices_reach_the_server(self):
        page = self.open()
        self.choose(page, clip("HAP", "webm"))
        page.check("[value=emotion]")
        page.click("#question summary")
        page.select_option("#frame", "first")
        page.select_option("#transcript", "given")
        page.fill("#words", "It is raining.")
        page.fill("#labels", "happy, calm，sad")
        found = self.analyse(page)
        self.assertEqual(list(found["probabilities"]), ["happy", "calm", "sad"])
        self.assertEqual((found["transcript"], found["frame"]["index"]), ("It is raining.", 0))
        self.assertTrue(page.is_hidden("#text-block"))
        page.click("#analyse")
        page.wait_for_selector("#analyse:enabled", timeout=PATIENCE_MS)
        page.fill("#labels", "one")
        page.click("#analyse")
        self.assertIn("at least two", page.inner_text("#clip-notice"))
        self.assertEqual(self.focused(page), "labels")

    def test_the_frame_that_the_player_shows_can_be_judged(self):
        page = self.open()
        self.choose(page, clip("HAP", "mp4"))
        self.until(page, "document.querySelector('#player video').readyState >= 2")
        page.evaluate("document.querySelector('#player video').currentTime = 1")
        page.click("#question summary")
        page.select_option("#frame", "shown")
        self.assertAlmostEqual(self.analyse(page)["frame"]["time_s"], 1, delta=0.05)

    def test_an_answer_that_the_server_had_kept_is_told_from_a_new_one(self):
        page = self.open()
        self.choose(page, clip("HAP", "webm"))
        for total, words in ((0.1, "With the network"), (1e6, "had this answer already")):
            self.answers(page, "analyze", body=result(timings_ms={"decode": 0.1, "total": total}))
            self.analyse(page)
            self.assertIn(words, page.inner_text("#times-note"))

    def test_a_file_that_is_dropped_is_the_clip(self):
        page = self.open()
        page.evaluate(
            """() => {
                const data = new DataTransfer();
                data.items.add(new File([new Uint8Array([1, 2, 3])], "dropped.mp4", { type: "video/mp4" }));
                const drop = document.getElementById("drop");
                for (const name of ["dragenter", "dragover", "drop"]) {
                    drop.dispatchEvent(new DragEvent(name, { bubbles: true, cancelable: true, dataTransfer: data }));
                }
            }"""
        )
        page.wait_for_selector("#clip:not([hidden])")
        self.assertEqual(page.text_content("#file-name"), "dropped.mp4")
        page.wait_for_selector("#clip-notice:not([hidden])")
        # The server cannot read it either, and says so.
        page.click("#analyse")
        page.wait_for_selector("#trouble:not([hidden])", timeout=PATIENCE_MS)
        self.assertEqual(page.inner_text("#trouble-title"), "The clip cannot be read")
        self.assertEqual(self.focused(page), "trouble-title")

    def test_without_a_clip_nothing_is_sent(self):
        page = self.open()
        page.click("#analyse")
        self.assertIn("Choose a clip first", page.inner_text("#clip-notice"))
        self.assertEqual(self.focused(page), "choose")
        page.set_input_files("#file", {"name": "empty.mp4", "mimeType": "video/mp4", "buffer": b""})
        self.assertIn("empty", page.inner_text("#clip-notice"))
        self.assertEqual([request.url for request in self.asked if request.method == "POST"], [])

    def test_what_the_server_says_is_text_and_never_markup(self):
        page = self.open()
        evil = "<img src=x onerror=alert(1)>"
        self.answers(
            page,
            "analyze",
            body=stream({"type": "text", "text": evil})
            + result(
                response=evil,
                emotion=evil,
                transcript=evil,
                probabilities={evil: 1.0},
                confidence=1,
                notes=[{"name": evil, "message": evil}],
                cues=[{"name": evil, "reading": evil, "unit": evil, "value": 1, "z": 1, "level": "high"}],
            ),
        )
        self.choose(page, clip("HAP", "webm"))
        self.analyse(page)
        self.assertEqual(page.inner_text("#text"), evil)
        self.assertEqual(page.locator("#results img").count(), 0)

    def test_a_frame_is_found_in_a_recording_that_does_not_say_its_length(self):
        # Every frame has its own grey, and no face: only the time counts here.
        path = WORK / "greys.webm"
        grey = "geq=lum='16+8*N':cb=128:cr=128"
        ffmpeg("-f", "lavfi", "-i", f"color=s=320x240:r=10:d=2,{grey}", "-c:v", "libvpx", "-b:v", "2M", "-f", "webm", "-live", "1", path)
        page = self.open()
        self.choose(page, path)
        for index in (0, 1, 7, 12, 19):
            with self.subTest(index):
                self.answers(page, "analyze", body=result(frame={"time_s": index / 10, "index": index, "face": None}))
                self.analyse(page)
                page.wait_for_selector("#frame-canvas:not([hidden])")
                # The picture before it may still stand there for a moment.
                value = "document.getElementById('frame-canvas').getContext('2d').getImageData(160, 120, 1, 1).data[0]"
                page.wait_for_function(f"grey => Math.abs({value} - grey) < 5", arg=8 * index * 255 / 219, timeout=PATIENCE_MS)
                self.assertAlmostEqual(page.evaluate(value), 8 * index * 255 / 219, delta=5)
        self.assertIn("No face", page.inner_text("#frame-caption"))


class Conversations(Setting):
    def test_questions_are_asked_after_the_analysis(self):
        page = self.open()
        self.choose(page, clip("ANG", "mp4"))
        self.analyse(page)
        page.click(".idea >> nth=1")
        page.wait_for_selector("#turns li:nth-child(1) .hint:not(:empty)", timeout=PATIENCE_MS)
        page.fill("#ask-text", "What does the mouth do?")
        page.keyboard.press("Enter")
        page.wait_for_selector("#turns li:nth-child(2) .hint:not(:empty)", timeout=PATIENCE_MS)
        self.assertEqual(page.locator(".asked").all_text_contents(), ["How does the voice sound?", "What does the mouth do?"])
        for text in page.locator("#turns .text").all_text_contents():
            self.assertGreater(len(text), 10)
        self.assertEqual(page.input_value("#ask-text"), "")
        calls = [re.sub(r"sessions/[\w-]+", "sessions/ID", f"{each.method} {each.url[len(URL):]}") for each in self.asked if each.method != "GET"]
        # The first question of the conversation is that of the analysis.
        self.assertEqual(calls, ["POST v1/analyze", "POST v1/sessions"] + ["POST v1/sessions/ID/ask"] * 3)
        self.shoot(page, "en-1440-questions", full_page=True)
        with page.expect_request(lambda request: request.method == "DELETE"):
            page.click("#another")
        self.assertTrue(page.is_hidden("#answer"))

    def test_a_conversation_that_the_server_ended_begins_anew(self):
        page = self.open()
        self.choose(page, clip("ANG", "mp4"))
        self.analyse(page)
        page.click(".idea >> nth=0")
        page.wait_for_selector("#turns li:nth-child(1) .hint:not(:empty)", timeout=PATIENCE_MS)
        gone = {"error": "there is no such session", "code": "not_found", "details": None}
        page.route(f"**/v1/{ASK}", lambda route: route.fulfill(status=404, json=gone), times=1)
        page.click(".idea >> nth=1")
        page.wait_for_selector("#turns li:nth-child(2) .hint:not(:empty)", timeout=PATIENCE_MS)
        self.assertIn("began anew", page.inner_text("#ask-status"))

    def test_a_question_can_be_cancelled_and_asked_again_after_a_failure(self):
        page = self.open()
        self.answers(page, "analyze", body=result())
        self.answers(page, "sessions", status=201, body='{"id": "a-1"}')
        self.choose(page, clip("ANG", "mp4"))
        self.analyse(page)
        self.hold(page, ASK)
        page.fill("#ask-text", "Why?")
        page.click("#ask")
        page.wait_for_selector("#ask-cancel:not([hidden])")
        self.assertEqual(self.focused(page), "ask-cancel")
        page.click("#ask-cancel")
        page.wait_for_selector("#ask:not([hidden])")
        self.assertEqual((self.focused(page), page.input_value("#ask-text")), ("ask-text", "Why?"))
        self.assertEqual(page.locator("#turns li").count(), 0)
        self.answers(page, ASK, status=503, body='{"error": "full", "code": "overloaded", "details": null}')
        page.click("#ask")
        page.wait_for_selector("#ask-block #trouble:not([hidden])")
        self.answers(page, ASK, body=result(response="Because."))
        page.click("#again")
        page.wait_for_selector("#turns .hint:not(:empty)")
        self.assertEqual(page.locator("#turns .text").all_text_contents(), ["Because."])


class Troubles(Setting):
    def start(self, **options):
        page = self.open(**options)
        self.choose(page, clip("HAP", "webm"))
        return page

    def test_every_failure_is_said_in_plain_words(self):
        page = self.start()
        titles = {}
        failures = [
            (400, "invalid_argument"), (400, "media_undecodable"), (413, "media_too_large"), (404, "not_found"), (500, "pack_invalid"),
            (503, "out_of_memory"), (503, "overloaded"), (429, "overloaded"), (504, "timeout"), (500, "internal"), (502, "unreachable"),
            (403, "invalid_argument"), (499, "cancelled"),
        ]
        for status, code in failures:
            with self.subTest(status=status, code=code):
                body = json.dumps({"error": f"sentence of {code}", "code": code, "details": None})
                self.answers(page, "analyze", status=status, body=body)
                page.click("#analyse")
                page.wait_for_selector("#trouble:not([hidden])")
                titles[status, code] = page.inner_text("#trouble-title")
                self.assertIn(f"sentence of {code}", page.inner_text("#trouble-server"))
                self.assertGreater(len(page.inner_text("#trouble-advice")), 20)
                self.assertEqual(self.focused(page), "trouble-title")
                final = status in (400, 403, 413)
                self.assertEqual(page.is_hidden("#again"), final)
        self.assertEqual(len(set(titles.values())), len(failures))
        # Another server between may answer in its own way.
        self.answers(page, "analyze", status=413, body="<html>", content_type="text/html")
        page.click("#analyse")
        page.wait_for_selector("#trouble:not([hidden])")
        self.assertEqual(page.inner_text("#trouble-title"), titles[413, "media_too_large"])

    def test_failures_after_the_beginning_are_said_too(self):
        page = self.start()
        begun = stream({"type": "stage", "stage": "decode"}, {"type": "text", "text": "The per"})
        failed = stream({"type": "error", "error": "it took 9 s", "code": "timeout", "details": None})
        for body, title in ((begun, "The answer broke off"), (begun + failed, "It took too long")):
            with self.subTest(title):
                self.answers(page, "analyze", body=body)
                page.click("#analyse")
                page.wait_for_selector("#trouble:not([hidden])")
                self.assertEqual(page.inner_text("#trouble-title"), title)
                self.assertTrue(page.is_hidden("#answer"))

    def test_a_server_that_is_not_there(self):
        page = self.start()
        page.context.set_offline(True)
        page.click("#analyse")
        page.wait_for_selector("#trouble:not([hidden])")
        self.assertEqual(page.inner_text("#trouble-title"), "The server cannot be reached")
        page.context.set_offline(False)
        page.click("#again")
        self.finished(page)

    def test_a_busy_server_is_left_alone_for_as_long_as_it_wants(self):
        page = self.start()
        busy = {"error": "the queue is full", "code": "overloaded", "details": None}
        self.answers(page, "analyze", status=503, headers={"Retry-After": "2"}, body=json.dumps(busy))
        page.click("#analyse")
        page.wait_for_selector("#again:disabled")
        self.assertRegex(page.inner_text("#again"), r"in [12] s")
        page.wait_for_selector("#again:enabled")
        self.shoot(page, "en-1440-busy")
        self.answers(page, "analyze", body=result())
        page.click("#again")
        self.assertEqual(self.finished(page)["model"]["name"], "made-up")

    def test_a_key_is_asked_for_when_the_server_wants_one(self):
        page = self.start(width=390)
        keys = []

        def gate(route):
            key = route.request.headers.get("authorization")
            keys.append((key, route.request.headers.get("x-api-key")))
            if key == "Bearer open-sesame":
                return route.fulfill(body=result(), content_type="text/event-stream")
            return route.fulfill(status=401, json={"error": "the key is missing or wrong", "code": "invalid_argument", "details": None})

        page.route("**/v1/analyze", gate)
        page.click("#analyse")
        page.wait_for_selector("#key-form:not([hidden])")
        self.assertEqual((self.focused(page), page.inner_text("#key-title")), ("key", "This server wants a key"))
        self.shoot(page, "en-390-key")
        page.fill("#key", "wrong")
        page.keyboard.press("Enter")
        self.until(page, "document.getElementById('key-title').textContent.includes('not accepted')")
        page.fill("#key", "open-sesame")
        page.keyboard.press("Enter")
        self.finished(page)
        self.assertTrue(page.is_hidden("#key-form"))
        self.assertEqual(keys, [(None, None), ("Bearer wrong", "wrong"), ("Bearer open-sesame", "open-sesame")])
        kept = page.evaluate("[JSON.stringify(localStorage), document.cookie, location.href, sessionStorage.length]")
        self.assertNotIn("open-sesame", "".join(map(str, kept)))
        self.assertEqual(kept[3], 1)

    def test_an_analysis_can_be_cancelled(self):
        page = self.start(reduced_motion="reduce")
        self.hold(page, "analyze")
        page.click("#analyse")
        page.wait_for_selector("#progress:not([hidden])")
        self.assertEqual(self.focused(page), "cancel")
        # A person who wants things to stand still sees nothing turn.
        self.assertEqual(page.evaluate("document.getAnimations().length"), 0)
        with page.expect_event("requestfailed") as failed:
            page.click("#cancel")
        self.assertTrue(failed.value.url.endswith("/v1/analyze"))
        page.wait_for_selector("#empty:not([hidden])")
        self.assertEqual(self.focused(page), "analyse")
        self.assertIn("Cancelled.", page.text_content("#heard"))
        # Another clip ends what runs for the one before.
        page.click("#analyse")
        with page.expect_event("requestfailed"):
            page.click("#another")
        page.unroute("**/v1/analyze")
        self.choose(page, clip("SAD", "webm"))
        self.analyse(page)

    def test_stages_are_shown_as_they_come(self):
        # The answer is given in pieces by a stand-in for fetch: what is intercepted comes all at once.
        pieces = """
            const real = window.fetch;
            window.fetch = (url, options) => String(url).endsWith("/v1/analyze") ? Promise.resolve(new Response(new ReadableStream({
                start(controller) { window.give = (text) => text ? controller.enqueue(new TextEncoder().encode(text)) : controller.close(); },
            }), { headers: { "Content-Type": "text/event-stream" } })) : real(url, options);
        """
        page = self.start(script=pieces)
        page.click("#analyse")
        page.wait_for_selector("[data-step=send][aria-current=step]")
        for stage in ("decode", "dream", "observe", "respond"):
            page.evaluate("give", stream({"type": "stage", "stage": stage}))
            if stage != "dream":
                page.wait_for_selector(f"[data-step={stage}][aria-current=step]")
        self.assertEqual(page.locator("#steps .done").count(), 3)
        page.evaluate("give", stream({"type": "text", "text": "The person "}))
        self.until(page, "document.getElementById('text').textContent === 'The person '")
        self.shoot(page, "en-1440-during")
        page.evaluate("give", stream({"type": "text", "text": "feels happy."}) + result(response="The person feels happy."))
        self.finished(page)
        self.assertEqual(page.text_content("#text"), "The person feels happy.")
        self.assertIn("The person feels happy.", page.locator("#heard p").all_text_contents())
        self.assertIn("Result: happy, 70% sure.", page.locator("#heard p").all_text_contents())

    def test_a_server_that_wants_a_key_from_the_first_call_on(self):
        self.contexts.append(context := self.browser.new_context(locale="en-GB"))
        page = context.new_page()
        denied = {"error": "the key is missing", "code": "invalid_argument", "details": None}
        page.route("**/v1/models", lambda route: route.fulfill(status=401, json=denied), times=1)
        page.goto(URL)
        page.wait_for_selector("#key-form:not([hidden])")
        page.fill("#key", "any")
        page.click("#key-form button")
        page.wait_for_selector("#model:not(:empty)", state="attached")
        page.wait_for_selector("#empty:not([hidden])")


class Webcam(Setting):
    def test_a_clip_is_recorded_and_analysed(self):
        page = self.open(width=390, height=844)
        page.click("#use-webcam")
        page.wait_for_selector("#webcam:not([hidden])")
        self.assertEqual(self.focused(page), "record")
        page.select_option("#seconds", "3")
        page.click("#record")
        page.wait_for_selector("#count:not([hidden])")
        page.wait_for_selector("#recording:not([hidden])")
        self.shoot(page, "en-390-webcam", full_page=True)
        page.wait_for_selector("#clip:not([hidden])")
        self.assertRegex(page.text_content("#file-name"), r"^webcam\.(webm|mp4)$")
        self.assertEqual(self.focused(page), "analyse")
        self.until(page, "Math.abs(document.querySelector('#player video').duration - 3) < 1")
        # The camera is given back.
        self.assertIsNone(page.evaluate("document.getElementById('live').srcObject"))
        found = self.analyse(page)
        # The browser's own test picture has no face, and its beeps are no voice.
        self.assertIn("no_face", [note["name"] for note in found["notes"]])
        self.assertIn("No face was found", page.inner_text("#notes"))
        self.assertNotIn("no_video", [note["name"] for note in found["notes"]])
        self.assertNotIn("no_audio", [note["name"] for note in found["notes"]])

    def test_recording_can_be_stopped_early_and_left(self):
        page = self.open()
        page.click("#use-webcam")
        page.click("#record")
        page.wait_for_selector("#recording:not([hidden])")
        page.wait_for_timeout(1000)
        page.click("#record")
        page.wait_for_selector("#clip:not([hidden])")
        page.click("#another")
        page.click("#use-webcam")
        page.click("#record")
        page.wait_for_selector("#count:not([hidden])")
        page.click("#webcam-close")
        page.wait_for_selector("#drop:not([hidden])")
        self.assertEqual(self.focused(page), "use-webcam")
        page.wait_for_timeout(200)
        self.assertIsNone(page.evaluate("document.getElementById('live').srcObject"))
        self.assertTrue(page.is_hidden("#clip"))

    def test_a_page_that_is_not_secure_says_why_there_is_no_webcam(self):
        hidden = "Object.defineProperty(Navigator.prototype, 'mediaDevices', { value: undefined });"
        page = self.open(script=hidden + "Object.defineProperty(window, 'isSecureContext', { value: false });")
        page.click("#use-webcam")
        page.wait_for_selector("#clip-notice:not([hidden])")
        self.assertIn("HTTPS or from localhost", page.inner_text("#clip-notice"))

    def test_what_the_webcam_refuses_is_explained(self):
        wanted = {"NotAllowedError": "may not use the webcam", "NotFoundError": "No webcam", "NotReadableError": "Another program", "OddError": "failed"}
        for name, words in wanted.items():
            with self.subTest(name):
                page = self.open(script=f"MediaDevices.prototype.getUserMedia = async () => {{ throw new DOMException('', '{name}'); }};")
                page.click("#use-webcam")
                page.wait_for_selector("#clip-notice:not([hidden])")
                self.assertIn(words, page.inner_text("#clip-notice"))

    def test_a_webcam_without_a_microphone_records_the_picture(self):
        script = """
            const real = MediaDevices.prototype.getUserMedia;
            MediaDevices.prototype.getUserMedia = function (wanted) {
                return wanted.audio ? Promise.reject(new DOMException("", "NotFoundError")) : real.call(this, wanted);
            };
        """
        page = self.open(script=script)
        page.click("#use-webcam")
        page.wait_for_selector("#clip-notice:not([hidden])")
        self.assertIn("no sound", page.inner_text("#clip-notice"))
        page.select_option("#seconds", "3")
        page.click("#record")
        page.wait_for_selector("#clip:not([hidden])")
        self.assertIn("no_audio", [note["name"] for note in self.analyse(page)["notes"]])


class Languages(Setting):
    def test_the_language_is_switched_and_remembered(self):
        page = self.open("en")
        self.assertEqual(page.get_attribute("html", "lang"), "en")
        self.answers(page, "analyze", body=result(notes=[{"name": "no_voice", "message": "no voice was heard"}]))
        self.choose(page, clip("HAP", "webm"))
        self.analyse(page)
        page.click("[data-language=zh]")
        self.assertEqual(page.get_attribute("html", "lang"), "zh-Hans")
        self.assertEqual(page.inner_text("#label"), "高兴")
        self.assertEqual(page.inner_text("#sure"), "把握 70%")
        self.assertEqual(page.inner_text("#notes"), "声音中没有听到人声。")
        self.assertEqual(page.get_attribute("[data-language=zh]", "aria-pressed"), "true")
        page.reload()
        self.assertEqual(page.inner_text("#analyse"), "开始分析")

    def test_the_browser_s_language_is_the_first_choice(self):
        self.assertEqual(self.open("zh").inner_text("#analyse"), "开始分析")

    def test_troubles_are_said_in_chinese(self):
        page = self.open("zh")
        self.choose(page, clip("HAP", "webm"))
        self.answers(page, "analyze", status=413, body='{"error": "too long", "code": "media_too_large", "details": null}')
        page.click("#analyse")
        page.wait_for_selector("#trouble:not([hidden])")
        self.assertEqual(page.inner_text("#trouble-title"), "文件超过了服务器的上限")
        page.click("[data-language=en]")
        self.assertEqual(page.inner_text("#trouble-title"), "The clip is too large for this server")


class Access(Setting):
    """For people who use the keyboard, or hear the page."""

    def check(self, page, name):
        page.evaluate((Path(WORK) / "axe.min.js").read_text(encoding="utf-8"))
        tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
        found = page.evaluate("(tags) => axe.run({ runOnly: tags }).then((all) => all.violations)", tags)
        told = [f"{each['id']}: {[node['html'][:120] for node in each['nodes']]}" for each in found]
        self.assertEqual(told, [], name)

    def test_axe_finds_nothing_in_any_state(self):
        for language, scheme, width in (("en", "light", 1440), ("zh", "dark", 390)):
            with self.subTest(language):
                page = self.open(language, width, color_scheme=scheme)
                self.check(page, "before")
                page.click("#use-webcam")
                page.wait_for_selector("#webcam:not([hidden])")
                self.check(page, "webcam")
                page.click("#webcam-close")
                self.choose(page, clip("SAD", "mp4"))
                page.click("#question summary")
                page.select_option("#transcript", "given")
                self.check(page, "choices")
                page.select_option("#transcript", "auto")
                self.hold(page, "analyze")
                page.click("#analyse")
                page.wait_for_selector("#progress:not([hidden])")
                self.check(page, "progress")
                page.click("#cancel")
                self.answers(page, "analyze", status=503, headers={"Retry-After": "60"}, body='{"error": "full", "code": "overloaded"}')
                page.click("#analyse")
                page.wait_for_selector("#trouble:not([hidden])")
                self.check(page, "trouble")
                self.answers(page, "analyze", status=401, body='{"error": "no key", "code": "invalid_argument"}')
                page.click("#analyse")
                page.wait_for_selector("#key-form:not([hidden])")
                self.check(page, "key")
                page.unroute("**/v1/analyze")
                self.analyse(page)
                page.click(".idea >> nth=0")
                page.wait_for_selector("#turns .hint:not(:empty)", timeout=PATIENCE_MS)
                for summary in page.locator("#answer summary").all():
                    summary.click()
                self.check(page, "answer")
                self.fits(page)
                self.shoot(page, f"{language}-{width}-{scheme}-all", full_page=True)

    def test_everything_can_be_done_with_the_keyboard(self):
        page = self.open()

        def tab_to(selector):
            for _ in range(40):
                page.keyboard.press("Tab")
                if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
                    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                    self.assertNotEqual(outline, "none", f"{selector} does not show that it has the focus")
                    return
            self.fail(f"Tab does not reach {selector}")

        choosers = []
        page.on("filechooser", lambda chooser: choosers.append(chooser))
        page.keyboard.press("Tab")
        self.assertEqual(page.evaluate("document.activeElement.className"), "skip")
        page.keyboard.press("Enter")
        tab_to("#choose")
        page.keyboard.press("Enter")
        for _ in range(50):
            page.wait_for_timeout(100)
            if choosers:
                break
        choosers[0].set_files(str(clip("HAP", "mp4")))
        page.wait_for_selector("#clip:not([hidden])")
        tab_to("#analyse")
        page.keyboard.press("Enter")
        self.finished(page)
        self.assertEqual(self.focused(page), "result-title")
        tab_to("#ask-text")
        page.keyboard.type("How does the voice sound?")
        page.keyboard.press("Enter")
        page.wait_for_selector("#turns .hint:not(:empty)", timeout=PATIENCE_MS)
        self.assertEqual(self.focused(page), "ask-text")
        tab_to("#measures summary")
        page.keyboard.press("Enter")
        self.assertTrue(page.is_visible("#cues"))

    def test_the_page_fits_a_very_narrow_screen(self):
        page = self.open("en", 320, 640)
        self.fits(page)
        long = "x" * 90
        self.answers(page, "analyze", body=result(response=long, transcript=long, emotion=long, probabilities={long: 1.0}))
        self.choose(page, clip("HAP", "webm"))
        self.analyse(page)
        self.fits(page)


class Portrait(Setting):
    """A webcam that somebody sits before, a little to one side."""

    FILM = WORK / "webcam.mjpeg"
    ARGUMENTS = (*CAMERA, f"--use-file-for-fake-video-capture={FILM}")

    def test_the_face_before_the_webcam_is_found_where_it_is(self):
        page = self.open("zh")
        aside = "crop=480:480:140:0,pad=640:480:0:0:color=gray"
        ffmpeg("-loop", "1", "-t", "1", "-r", "10", "-i", self.drawn_face(page), "-vf", aside, "-c:v", "mjpeg", "-q:v", "2", "-pix_fmt", "yuvj420p", self.FILM)
        page.click("#use-webcam")
        page.wait_for_selector("#webcam:not([hidden])")
        page.select_option("#seconds", "3")
        page.click("#record")
        page.wait_for_selector("#clip:not([hidden])")
        face = self.analyse(page)["frame"]["face"]
        page.wait_for_selector("#frame-canvas:not([hidden])")
        # The live picture is a mirror; what is recorded and judged is not.
        self.assertLess(face["x"] + face["width"] / 2, 240)
        page.evaluate("document.activeElement.blur()")
        self.shoot(page, "zh-1440-webcam", full_page=True)


class Denied(Setting):
    """A browser that does not give its webcam."""

    ARGUMENTS = CAMERA[:1]

    def test_a_person_who_says_no_is_told_what_else_there_is(self):
        page = self.open("zh")
        page.click("#use-webcam")
        page.wait_for_selector("#clip-notice:not([hidden])")
        self.assertIn("未获许可", page.inner_text("#clip-notice"))
        self.assertTrue(page.is_enabled("#use-webcam"))


if __name__ == "__main__":
    unittest.main()
