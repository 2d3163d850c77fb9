#!/usr/bin/env python3
"""The stub server over plain HTTP: the status of every error of the cases, events, sessions, and what it does below its paths.

Needs the clips of `make clips`, no library and no pack. SPDX-License-Identifier: Apache-2.0
"""

import base64
import http.client
import json
import os
import subprocess
import sys
import unittest
from pathlib import Path
from urllib.parse import urlsplit

HERE = Path(__file__).resolve().parent
CLIPS = Path(os.environ.get("EMOTION_LLAMA_CLIPS", HERE.parent / "build/clips"))
BOUNDARY = "a-line-that-no-clip-has"


def filled(value):
    if isinstance(value, str):
        return value.replace("${clips}", str(CLIPS)).replace("${files}", str(HERE / "files"))
    if isinstance(value, list):
        return [filled(item) for item in value]
    if isinstance(value, dict):
        return {name: filled(item) for name, item in value.items()}
    return value


def cases():
    for path in sorted((HERE / "cases").glob("*.json")):
        case = json.loads(path.read_text(encoding="utf-8"))
        assert case["name"] == path.stem, path
        yield case


def clip_of(case):
    """The clip's bytes, and the path where it is a file of the server."""
    clip = filled(case.get("clip", {}))
    if "bytes_of" in clip:
        return Path(clip["bytes_of"]).read_bytes()[: clip.get("first")], None
    if "base64" in clip:
        return base64.b64decode(clip["base64"]), None
    path = clip.get("path")
    if path and Path(path).is_file():
        return Path(path).read_bytes(), None
    return None, path


class StubServer(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        program = [sys.executable, str(HERE / "server.py")]
        cls.process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        cls.url = cls.process.stdout.readline().split()[-1]

    @classmethod
    def tearDownClass(cls):
        cls.process.stdin.close()
        cls.process.stdout.close()
        assert cls.process.wait(10) == 0

    def call(self, method, target, body=None, headers=()):
        """Status, headers and text of an answer."""
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=20)
        try:
            connection.request(method, target, body, dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode("utf-8")
        finally:
            connection.close()

    def post(self, target, request, media=None, path=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if media is None:
            body = json.dumps({**request, **({"path": path} if path else {})}).encode()
            return self.call("POST", target, body, {"Content-Type": "application/json", **headers})
        part = "--%s\r\nContent-Disposition: form-data; name=\"%s\"%s\r\n\r\n"
        body = (part % (BOUNDARY, "request", "")).encode() + json.dumps(request).encode() + b"\r\n"
        body += (part % (BOUNDARY, "media", '; filename="clip"')).encode() + media + b"\r\n"
        body += ("--%s--\r\n" % BOUNDARY).encode()
        return self.call("POST", target, body, {"Content-Type": "multipart/form-data; boundary=" + BOUNDARY, **headers})

    def test_every_error_has_its_status(self):
        checked = 0
        for case in cases():
            error = case["expect"].get("error")
            if not error or "open" in case or case.get("cancel"):
                continue
            if "live" in case.get("clip", {}):
                continue
            with self.subTest(case["name"]):
                media, path = clip_of(case)
                target = "/v1/sessions" if case.get("call") == "session" else "/v1/analyze"
                status, headers, text = self.post(target, case["request"], media, path)
                self.assertEqual((status, json.loads(text)["code"]), (error["http_status"], error["name"]), text)
                self.assertEqual(headers["X-API-Version"], "1.0")
                checked += 1
        self.assertGreaterEqual(checked, 15)

    def test_an_answer_is_whole_or_a_stream(self):
        case = next(case for case in cases() if case["name"] == "stream_reason")
        media, _ = clip_of(case)
        status, headers, text = self.post("/v1/analyze", case["request"], media)
        self.assertEqual((status, headers["Content-Type"]), (200, "application/json"))
        analysis = json.loads(text)
        status, headers, text = self.post("/v1/analyze", case["request"], media, Accept="text/event-stream")
        self.assertEqual((status, headers["Content-Type"]), (200, "text/event-stream"))
        events = [json.loads(line[6:]) for line in text.split("\n") if line.startswith("data: ")]
        self.assertEqual(events[-1], {"type": "result", "analysis": analysis})
        pieces = [event["text"] for event in events if event["type"] == "text"]
        self.assertGreater(len(pieces), 3)
        self.assertEqual("".join(pieces), analysis["response"])

    def test_a_session_knows_what_was_asked(self):
        case = next(case for case in cases() if case["name"] == "session")
        media, _ = clip_of(case)
        status, _, text = self.post("/v1/sessions", case["request"], media)
        self.assertEqual(status, 201)
        place = "/v1/sessions/" + json.loads(text)["id"]
        first, second = (question["request"] for question in case["questions"][:2])
        answers = [self.post(place + "/ask", question) for question in (first, second)]
        self.assertEqual([status for status, _, _ in answers], [200, 200])
        self.assertGreater(json.loads(answers[1][2])["usage"]["cached_tokens"], 0)
        self.assertEqual(self.call("POST", place + "/reset")[0], 204)
        self.assertEqual(self.post(place + "/ask", first)[2], answers[0][2])
        self.assertEqual(self.call("DELETE", place)[0], 204)
        self.assertEqual(self.post(place + "/ask", first)[0], 404)

    def test_what_is_not_recorded_is_said(self):
        status, _, text = self.post("/v1/analyze", {"seed": 987654321}, b"never seen")
        self.assertEqual((status, json.loads(text)["code"]), (500, "internal"))
        self.assertIn("987654321", text)

    def test_paths_with_a_behaviour(self):
        self.assertEqual(self.call("GET", "/locked/v1/models")[0], 401)
        keys = {"Authorization": "Bearer open-sesame", "X-API-Key": "open-sesame"}
        self.assertEqual(self.call("GET", "/locked/v1/models", headers=keys)[0], 200)
        status, headers, text = self.post("/busy/v1/analyze", {}, b"clip")
        self.assertEqual((status, headers["Retry-After"], json.loads(text)["code"]), (503, "7", "overloaded"))
        self.assertEqual(self.call("GET", "/later/v1/models")[1]["X-API-Version"], "1.9")
        self.assertEqual(self.call("GET", "/nothing/v1/models")[0], 404)
        self.assertEqual(self.call("GET", "/published/v1/models")[0], 404)
        self.assertEqual(json.loads(self.call("GET", "/published/config")[2])["dependencies"][0]["api_name"], "predict")
        sound = next(case for case in cases() if case["name"] == "sound_only")
        media, _ = clip_of(sound)
        with self.assertRaises(http.client.IncompleteRead):
            self.post("/broken/v1/analyze", sound["request"], media, Accept="text/event-stream")
        text = self.post("/later/v1/analyze", sound["request"], media, Accept="text/event-stream")[2]
        self.assertIn("event: mood\n", text)
        text = self.post("/late/v1/analyze", {}, b"This is not a clip. " * 20, Accept="text/event-stream")[2]
        self.assertIn('event: error\ndata: {"type": "error"', text)


if __name__ == "__main__":
    unittest.main()
