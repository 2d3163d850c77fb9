#!/usr/bin/env python3
"""A server that speaks docs/http-v1.md and replays recorded answers. Needs Python 3.8 and nothing else.

    python3 conformance/server.py [--host 127.0.0.1] [--port 0] [--recorded DIRECTORY] [--real HOST:PORT] [--forever]

Its first line is `listening on http://HOST:PORT`. It ends when its standard input ends, unless --forever is given.
Below some paths it behaves in a way of its own: conformance/README.md lists them. With --real, what is below none of them is answered by the server
that runs there, and nothing of it is replayed.

SPDX-License-Identifier: Apache-2.0
"""

import argparse
import copy
import hashlib
import json
import os
import select
import socket
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BASES = ("later", "locked", "busy", "slow", "broken", "late", "published", "nothing")
KEY = "open-sesame"
# A question that is held or never answered is given up after so many seconds, so that no thread stays for ever.
PATIENCE_S = 30
MAX_BODY = 64 << 20

STATUS = {
    "invalid_argument": 400,
    "media_undecodable": 400,
    "media_too_large": 413,
    "not_found": 404,
    "pack_invalid": 500,
    "out_of_memory": 503,
    "overloaded": 503,
    "cancelled": 499,
    "timeout": 504,
    "internal": 500,
    "unreachable": 502,
}
# What a request need not say.
USUAL = {"transcript": "auto", "frame": "peak"}


class Failure(Exception):
    """An answer that is no success."""

    def __init__(self, code, sentence, status=None, headers=()):
        super().__init__(sentence)
        self.code = code
        self.status = status or STATUS[code]
        self.headers = dict(headers)

    def json(self):
        return {"error": str(self), "code": self.code, "details": None}


def canonical(value):
    """The same for requests that mean the same: nothing that is null or usual, no float where an integer will do."""
    if isinstance(value, dict):
        kept = {name: canonical(item) for name, item in value.items() if item is not None and item != {}}
        return {name: kept[name] for name in sorted(kept) if USUAL.get(name) != kept[name]}
    if isinstance(value, list):
        return [canonical(item) for item in value]
    if isinstance(value, float):
        rounded = float("%.6g" % value)
        return int(rounded) if rounded.is_integer() and abs(rounded) < 2**53 else rounded
    return value


class Recorded:
    """The answers under a directory, each a list of entries `{"call", "request", "media", …}`."""

    def __init__(self, directory):
        self.models = json.loads((directory / "models.json").read_text(encoding="utf-8"))
        self.entries = []
        for path in sorted(directory.glob("*.json")):
            if path.name != "models.json":
                self.entries += json.loads(path.read_text(encoding="utf-8"))

    def find(self, call, request, media):
        wanted = [canonical(request)]
        if isinstance(request.get("path"), str):
            # The server's files lie elsewhere on every machine: a recorded path may be a name alone.
            wanted.append(canonical(dict(request, path=request["path"].rpartition("/")[2])))
        fitting = [entry for entry in self.entries if entry["call"] == call and canonical(entry["request"]) in wanted]
        for heard in (media, "any" if media else None):
            for entry in fitting:
                if entry["media"] == heard:
                    return entry
        raise Failure("internal", "nothing is recorded for %s with the clip %s" % (json.dumps(wanted[0]), media))


def turn_of(entry, asked):
    """The answer of a session's entry after the questions `asked`, the last of which is answered."""
    wanted = [canonical(question) for question in asked]
    for turn in entry["turns"]:
        if [canonical(question) for question in turn["asked"]] == wanted:
            return turn
    raise Failure("internal", "nothing is recorded for a session that was asked %s" % json.dumps(wanted))


def parts_of(body, content_type):
    """The parts of a multipart/form-data body: name to bytes."""
    boundary = next((word.split("=", 1)[1].strip('"') for word in map(str.strip, content_type.split(";")) if word.startswith("boundary=")), None)
    if not boundary:
        raise Failure("invalid_argument", "the body's boundary is not told")
    found = {}
    for piece in (b"\r\n" + body).split(b"\r\n--" + boundary.encode())[1:-1]:
        head, _, content = piece.partition(b"\r\n\r\n")
        for line in head.decode("utf-8").split("\r\n"):
            name, _, value = line.partition(":")
            if name.strip().lower() == "content-disposition":
                words = [word.strip() for word in value.split(";")]
                found.update({word[5:].strip('"'): content for word in words if word.startswith("name=")})
    return found


def of_a_later_release(events):
    """The events with what this release does not know among them."""
    yield {"type": "stage", "stage": "dream", "depth": 3}
    yield {"type": "mood", "of": "the server"}
    for event in copy.deepcopy(events):
        event["also"] = {"new": True}
        if event["type"] == "result":
            analysis = event["analysis"]
            analysis["weather"] = {"sky": "blue"}
            analysis["usage"]["dreamt_tokens"] = 5
            analysis["timings_ms"]["dream"] = 1.5
            for group in ("faces", "cues", "notes"):
                for item in analysis[group]:
                    item["novelty"] = [1, 2]
            analysis["notes"].append({"name": "something_new", "message": "A note of a later release.", "level": 2})
        yield event


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "emotion-llama-conformance"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.serve()

    do_POST = do_DELETE = do_GET

    def serve(self):
        target = self.path.split("?")[0]
        self.base, rest = "", target
        first, _, after = target.lstrip("/").partition("/")
        if first in BASES:
            self.base, rest = first, "/" + after
        try:
            body = self.body()
            if self.base == "locked":
                self.check_key()
            if self.server.real and not self.base:
                return self.pass_on(body)
            self.route(rest, body)
        except Failure as failure:
            self.answer(failure.status, failure.json(), failure.headers)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def route(self, target, body):
        words = target.strip("/").split("/")
        if self.base == "published":
            return self.published(target)
        if self.base != "nothing":
            if (self.command, words) == ("GET", ["v1", "models"]):
                return self.answer(200, self.server.recorded.models)
            if (self.command, words) == ("POST", ["v1", "analyze"]):
                self.behave()
                request, media = self.question(body)
                return self.give(self.server.recorded.find("analyze", request, media))
            if words[:2] == ["v1", "sessions"]:
                self.behave()
                return self.session(words[2:], body)
        raise Failure("not_found", "there is nothing at %s" % target)

    def check_key(self):
        if self.headers.get("Authorization") != "Bearer " + KEY or self.headers.get("X-API-Key") != KEY:
            raise Failure("invalid_argument", "the key is missing or wrong", status=401)

    def behave(self):
        if self.base == "busy":
            raise Failure("overloaded", "the stub is busy", headers={"Retry-After": "7"})
        if self.base == "slow":
            self.wait_for_close()
            self.close_connection = True
            raise BrokenPipeError

    def pass_on(self, body):
        """The request to the real server and its answer back, byte by byte. When one side goes away, so does the other."""
        self.close_connection = True
        kept = [(name, value) for name, value in self.headers.items() if name.lower() not in ("connection", "transfer-encoding", "content-length", "expect")]
        lines = ["%s %s HTTP/1.1" % (self.command, self.path)] + ["%s: %s" % pair for pair in kept]
        lines += ["Content-Length: %d" % len(body), "Connection: close", "", ""]
        with socket.create_connection(self.server.real) as real:
            real.sendall("\r\n".join(lines).encode("latin-1") + body)
            while True:
                readable, _, _ = select.select([real, self.connection], [], [])
                if self.connection in readable:
                    # The client says nothing while it waits, so this is the end of the connection.
                    return
                piece = real.recv(65536)
                if not piece:
                    return
                self.connection.sendall(piece)

    # What is asked.

    def body(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            pieces = []
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
                if size == 0:
                    return b"".join(pieces)
        length = int(self.headers.get("Content-Length") or 0)
        if length > MAX_BODY:
            raise Failure("media_too_large", "the body has %d bytes; give at most %d" % (length, MAX_BODY))
        return self.rfile.read(length)

    def question(self, body):
        """The request, and the SHA-256 of the clip that came with it, or None."""
        kind = self.headers.get("Content-Type", "")
        media = None
        if kind.startswith("multipart/form-data"):
            parts = parts_of(body, kind)
            if "request" not in parts or "media" not in parts:
                raise Failure("invalid_argument", "the form has no parts request and media")
            body, media = parts["request"], hashlib.sha256(parts["media"]).hexdigest()
        try:
            request = json.loads(body or b"{}")
        except ValueError as error:
            raise Failure("invalid_argument", "the request is no JSON: %s" % error) from None
        if not isinstance(request, dict) or (media and "path" in request):
            raise Failure("invalid_argument", "the request is no object, or names a second clip")
        return request, media

    def session(self, words, body):
        sessions = self.server.sessions
        if not words:
            if self.command != "POST":
                raise Failure("not_found", "sessions are not listed")
            request, media = self.question(body)
            entry = self.server.recorded.find("session", request, media)
            if "error" in entry:
                return self.give(entry)
            name = uuid.uuid4().hex
            sessions[name] = (entry, [])
            return self.answer(201, {"id": name})
        if words[0] not in sessions:
            raise Failure("not_found", "there is no session %s" % words[0])
        entry, asked = sessions[words[0]]
        if (self.command, words[1:]) == ("DELETE", []):
            del sessions[words[0]]
            return self.answer(204, None)
        if (self.command, words[1:]) == ("POST", ["reset"]):
            asked.clear()
            return self.answer(204, None)
        if (self.command, words[1:]) == ("POST", ["ask"]):
            question, _ = self.question(body)
            asked.append(question)
            return self.give(turn_of(entry, asked))
        raise Failure("not_found", "there is no such call of a session")

    # What is answered.

    def head(self, status, headers):
        self.send_response(status)
        self.send_header("X-API-Version", "1.9" if self.base == "later" else "1.0")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def answer(self, status, value, headers=()):
        content = b"" if value is None else json.dumps(value, ensure_ascii=False).encode("utf-8")
        # Success without content has neither a length nor a type.
        told = {} if status == 204 else {"Content-Type": "application/json", "Content-Length": str(len(content))}
        self.head(status, {**told, **dict(headers)})
        self.wfile.write(content)

    def give(self, entry):
        """An entry's answer, in the form that was asked for."""
        streamed = "text/event-stream" in self.headers.get("Accept", "")
        error = entry.get("error")
        if error and not (streamed and self.base == "late"):
            raise Failure(error["code"], error["error"])
        events = [{"type": "error", **error}] if error else entry["events"]
        if self.base == "later":
            events = list(of_a_later_release(events))
        if not streamed:
            analysis = next(event["analysis"] for event in events if event["type"] == "result")
            return self.answer(200, analysis)
        self.head(200, {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "Transfer-Encoding": "chunked"})
        if self.base == "later":
            self.piece(": a comment\nretry: 5\n\n")
        for event in events:
            if self.base == "broken" and event["type"] == "result":
                self.close_connection = True
                return
            self.piece("event: %s\ndata: %s\n\n" % (event["type"], json.dumps(event, ensure_ascii=False)))
            if event["type"] == "stage" and event["stage"] == entry.get("hold"):
                self.wait_for_close()
        self.wfile.write(b"0\r\n\r\n")

    def piece(self, text):
        content = text.encode("utf-8")
        self.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))
        self.wfile.flush()

    def wait_for_close(self):
        """Until the client goes away."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            readable, _, _ = select.select([self.connection], [], [], 0.2)
            if readable:
                # The client says nothing while it waits, so this is the end of the connection.
                self.close_connection = True
                raise BrokenPipeError

    def published(self, target):
        """A published Gradio server with one function."""
        if (self.command, target) == ("GET", "/config"):
            function = {"api_name": "predict", "inputs": [1, 2], "outputs": [3]}
            return self.answer(200, {"version": "4.44.1", "api_prefix": "", "dependencies": [function]})
        if (self.command, target) == ("POST", "/upload"):
            return self.answer(200, ["/tmp/gradio/clip.flv"])
        if (self.command, target) == ("POST", "/api/predict/"):
            return self.answer(200, {"data": ["The person is happy."], "duration": 0.1})
        return self.answer(404, {"detail": "Not Found"})


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address, directory, real=None):
        self.recorded = Recorded(directory)
        self.real = real
        self.sessions = {}
        super().__init__(address, Handler)

    def handle_error(self, request, client_address):
        # A client that goes away is no mistake of this server.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def main():
    parser = argparse.ArgumentParser(description="replays recorded answers over docs/http-v1.md")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--recorded", type=Path, default=Path(__file__).resolve().parent / "recorded")
    parser.add_argument("--real", help="HOST:PORT of a server that answers what is below no special path")
    parser.add_argument("--forever", action="store_true", help="go on when standard input ends")
    options = parser.parse_args()
    real = None
    if options.real:
        host, _, port = options.real.rpartition(":")
        real = (host, int(port))
    server = Server((options.host, options.port), options.recorded, real)
    print("listening on http://%s:%d" % server.server_address[:2], flush=True)
    if not options.forever:

        def until_end_of_input():
            while os.read(0, 4096):
                pass
            os._exit(0)

        threading.Thread(target=until_end_of_input, daemon=True).start()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
