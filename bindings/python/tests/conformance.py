#!/usr/bin/env python3
"""Runs the cases of conformance/ with the Python clients: prints `LANGUAGE MODE CASE ok`, `FAILED reason` or `-`.

    python conformance.py [--mode embedded|server] [--client sync|async] [--case NAME …]

Needs nothing but the installed package. conformance/README.md says what the cases mean.
"""

from __future__ import annotations

import argparse
import array
import asyncio
import base64
import contextlib
import json
import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Coroutine, Iterator, Mapping, TypeVar

import emotion_llama as el

T = TypeVar("T")


def root() -> Path:
    """The repository, which holds the cases: EMOTION_LLAMA_REPOSITORY, or the one that this file is in."""
    named = os.environ.get("EMOTION_LLAMA_REPOSITORY")
    return Path(named) if named else Path(__file__).resolve().parents[3]


class Mismatch(Exception):
    """A result that is not the expected one."""


def expect(holds: bool, what: str) -> None:
    if not holds:
        raise Mismatch(what)


def same(got: object, wanted: object, what: str) -> None:
    expect(got == wanted, f"{what} is {got!r}, expected {wanted!r}")


# The clients, made alike.


class Sync:
    language = "python"

    def __init__(self, client: el.EmotionLLaMA) -> None:
        self.client = client

    @classmethod
    def open(cls, **options: Any) -> Sync:
        return cls(el.EmotionLLaMA(**options))

    def info(self) -> el.EngineInfo:
        return self.client.info

    def analyze(self, **request: Any) -> el.Analysis:
        return self.client.analyze(**request)

    def at_once(self, count: int, request: Mapping[str, Any]) -> list[el.Analysis]:
        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(lambda _: self.client.analyze(**request), range(count)))

    def stream(self, on_event: Callable[[el.Event], None], **request: Any) -> None:
        with self.client.stream(**request) as events:
            for event in events:
                on_event(event)

    def session(self, questions: list[Any], on_answer: Callable[[Any, el.Analysis], None], **request: Any) -> None:
        with self.client.session(**request) as session:
            for question in questions:
                if question.get("reset"):
                    session.reset()
                on_answer(question, session.ask(**question["request"]))

    def close(self) -> None:
        self.client.close()


class Async:
    language = "python-async"

    def __init__(self, client: el.AsyncEmotionLLaMA, loop: asyncio.AbstractEventLoop) -> None:
        self.client = client
        self.loop = loop

    @classmethod
    def open(cls, **options: Any) -> Async:
        loop = asyncio.new_event_loop()

        async def opened() -> el.AsyncEmotionLLaMA:
            return await el.AsyncEmotionLLaMA(**options)

        return cls(loop.run_until_complete(opened()), loop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def info(self) -> el.EngineInfo:
        return self.run(self.client.info())

    def analyze(self, **request: Any) -> el.Analysis:
        return self.run(self.client.analyze(**request))

    def at_once(self, count: int, request: Mapping[str, Any]) -> list[el.Analysis]:
        async def work() -> list[el.Analysis]:
            return list(await asyncio.gather(*(self.client.analyze(**request) for _ in range(count))))

        return self.run(work())

    def stream(self, on_event: Callable[[el.Event], None], **request: Any) -> None:
        async def work() -> None:
            async with self.client.stream(**request) as events:
                async for event in events:
                    on_event(event)

        self.run(work())

    def session(self, questions: list[Any], on_answer: Callable[[Any, el.Analysis], None], **request: Any) -> None:
        async def work() -> None:
            async with await self.client.session(**request) as session:
                for question in questions:
                    if question.get("reset"):
                        await session.reset()
                    on_answer(question, await session.ask(**question["request"]))

        self.run(work())

    def close(self) -> None:
        self.run(self.client.close())
        self.loop.close()


# A case's inputs.


def filled(value: Any, places: Mapping[str, str]) -> Any:
    """`value` with its ${places} filled in."""
    if isinstance(value, str):
        for name, place in places.items():
            value = value.replace("${%s}" % name, place)
        return value
    if isinstance(value, list):
        return [filled(item, places) for item in value]
    if isinstance(value, dict):
        return {name: filled(item, places) for name, item in value.items()}
    return value


def opening(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of an engine, as the constructors take them."""
    known = {"api_key", "timeout_s", "connect_timeout_s", "ca_file", "upload", "search", "verify", "threads"}
    given = {name: value for name, value in options.items() if name in known}
    further = {name: value for name, value in options.items() if name not in known and name != "source"}
    source = options["source"]
    place = {"api_url": source} if source.startswith("http") else {"pack": source}
    return {**place, **given, **({"options": further} if further else {})}


@contextlib.contextmanager
def clip_of(case: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The clip, as the methods take it."""
    clip = case.get("clip")
    if clip is None:
        yield {}
    elif "path" in clip:
        yield {"video_path": clip["path"]}
    elif "bytes_of" in clip:
        yield {"data": Path(clip["bytes_of"]).read_bytes()[: clip.get("first")]}
    elif "base64" in clip:
        yield {"data": base64.b64decode(clip["base64"])}
    else:
        live = clip["live"]
        with el.LiveBuffer(**live.get("options", {})) as buffer:
            fill(buffer, live)
            for name, value in live.get("info", {}).items():
                got = getattr(buffer.info, name)
                expect(math.isclose(got, value, abs_tol=1e-6), f"live {name} is {got}, expected {value}")
            yield {"live": buffer, **({"seconds": live["seconds"]} if live.get("seconds") else {})}


def fill(buffer: el.LiveBuffer, live: Mapping[str, Any]) -> None:
    if "pictures" in live:
        p = live["pictures"]
        channels = 3 if p["format"] == "rgb" else 1
        for i in range(p["count"]):
            pixels = bytes(
                (3 * x + 5 * y + 7 * i + 40 * c) % 256
                for y in range(p["height"])
                for x in range(p["width"])
                for c in range(channels)
            )
            buffer.push_frame(
                pixels, time_s=i / p["per_second"], format=p["format"], width=p["width"], height=p["height"]
            )
    if "sound" in live:
        s = live["sound"]
        count, channels = round(s["rate"] * s["seconds"]), s["channels"]
        values = [((n % 64) - 32) * 256 for n in range(count) for _ in range(channels)]
        per_piece = count // s["pieces"]
        for piece in range(s["pieces"]):
            part = values[piece * per_piece * channels : (piece + 1) * per_piece * channels]
            scale, kind = (1, "h") if s["format"] == "i16" else (1 / 32768, "f")
            samples = array.array(kind, (value * scale for value in part))
            buffer.push_samples(samples, time_s=piece * per_piece / s["rate"], rate=s["rate"], channels=channels)


# What is expected.


def check_error(error: el.EmotionLLaMAError, wanted: Mapping[str, Any]) -> None:
    same(error.name, wanted["name"], f"the error ({error})")
    same(error.code, wanted["code"], "its code")
    if "http_status" in wanted:
        same(error.http_status, wanted["http_status"], "its HTTP status")
    words = wanted.get("message_has", "")
    expect(words in str(error), f"its message {str(error)!r} has no {words!r}")


def check(got: el.Analysis, wanted: Mapping[str, Any]) -> None:
    for name in ("emotion", "response", "language", "transcript"):
        if name in wanted:
            same(getattr(got, name), wanted[name], name)
    if "response_begins" in wanted:
        begin = wanted["response_begins"]
        expect(got.response.startswith(begin), f"response {got.response!r} does not begin with {begin!r}")
    for name in ("explanation", "cues"):
        if name in wanted:
            same("some" if getattr(got, name) else "none", wanted[name], name)
    labels = list(wanted.get("probabilities", wanted.get("labels", got.probabilities)))
    same(list(got.probabilities), labels, "the labels")
    for label, value in wanted.get("probabilities", {}).items():
        distance = abs(got.probabilities[label] - value)
        expect(distance <= wanted["tolerance"], f"{label} has {got.probabilities[label]}, expected {value}")
    if "faces" in wanted:
        same(len(got.faces), wanted["faces"], "the number of faces")
    if "frame" in wanted:
        same(got.frame is not None, wanted["frame"], "whether there is a frame")
    if "notes" in wanted:
        same([note.name for note in got.notes], wanted["notes"], "the notes")
    if "cached_tokens" in wanted:
        same("some" if got.usage.cached_tokens else "none", wanted["cached_tokens"], "cached_tokens")
    if "model" in wanted:
        same(got.model.name or None, wanted["model"], "the model")
    if "confidence" in wanted:
        same((got.confidence, dict(got.probabilities)), (None, {}), "confidence and probabilities")
    else:
        greatest = max(got.probabilities.values())
        assert got.confidence is not None
        expect(abs(got.confidence - greatest) <= 1e-6, f"confidence {got.confidence} is not the greatest probability")
        expect(abs(got.probabilities[got.emotion] - greatest) <= 1e-6, f"{got.emotion} is not the likeliest")
        expect(abs(sum(got.probabilities.values()) - 1) <= 1e-3, "the probabilities do not sum to 1")


def check_info(info: el.EngineInfo, wanted: Mapping[str, Any]) -> None:
    for name in ("labels", "tasks"):
        if name in wanted:
            same(list(getattr(info, name)), wanted[name], name)
    if "pack" in wanted:
        same(info.pack.name if info.pack else None, wanted["pack"]["name"], "the pack")


class Events:
    """Collects a stream's events, and cancels at a stage."""

    def __init__(self, token: el.CancelToken, cancel_at: str | None) -> None:
        self.token, self.cancel_at = token, cancel_at
        self.names: list[str] = []
        self.label: el.LabelEvent | None = None
        self.text = ""
        self.analysis: el.Analysis | None = None

    def __call__(self, event: el.Event) -> None:
        expect(self.analysis is None, "an event comes after the result")
        if isinstance(event, el.StageEvent):
            if event.stage != "upload":
                self.names.append(event.stage)
            if event.stage == self.cancel_at:
                self.token.cancel()
        elif isinstance(event, el.LabelEvent):
            self.names.append("label")
            self.label = event
        elif isinstance(event, el.TextEvent):
            self.text += event.text
            if self.names[-1:] != ["text"]:
                self.names.append("text")
        else:
            self.names.append("result")
            self.analysis = event.analysis

    def check(self, wanted: Mapping[str, Any]) -> None:
        if self.analysis is None:
            raise Mismatch("the stream ended without a result")
        same(self.text, self.analysis.response, "the text of the stream")
        if self.label is not None:
            known = (self.analysis.emotion, self.analysis.confidence, self.analysis.probabilities)
            same((self.label.emotion, self.label.confidence, self.label.probabilities), known, "the label")
        if "events" in wanted:
            same(self.names, wanted["events"], "the events")
        check(self.analysis, wanted)


def run(case: Mapping[str, Any], shared: Sync | Async, kind: type[Sync] | type[Async]) -> None:
    wanted = case["expect"]
    own: Sync | Async | None = None
    try:
        if "open" in case:
            own = kind.open(**opening(case["open"]))
        client = own or shared
        if case.get("call") == "open":
            check_info(client.info(), wanted.get("info", {}))
        else:
            ask(case, client)
    except el.EmotionLLaMAError as error:
        if "error" not in wanted:
            raise
        check_error(error, wanted["error"])
    else:
        expect("error" not in wanted, "it succeeds, although it should fail")
    finally:
        if own is not None:
            own.close()


def ask(case: Mapping[str, Any], client: Sync | Async) -> None:
    wanted, call = case["expect"], case.get("call", "analyze")
    token = el.CancelToken()
    if case.get("cancel") == "before":
        token.cancel()
    with clip_of(case) as clip:
        request = {**clip, **case["request"], "cancel": token}
        if call == "session":
            client.session(case["questions"], lambda question, answer: check(answer, question["expect"]), **request)
        elif call == "stream":
            events = Events(token, case.get("cancel"))
            client.stream(events, **request)
            if "error" not in wanted:
                events.check(wanted)
        elif "concurrent" in case:
            answers = client.at_once(case["concurrent"], request)
            same(len(answers), case["concurrent"], "the number of answers")
            for answer in answers:
                check(answer, wanted)
                same(answer.response, answers[0].response, "a response")
                for label, value in answer.probabilities.items():
                    expect(abs(value - answers[0].probabilities[label]) <= 1e-5, f"{label} is not the same for all")
        else:
            answer = client.analyze(**request)
            if "error" not in wanted:
                check(answer, wanted)


@contextlib.contextmanager
def server(repository: Path) -> Iterator[str]:
    """The URL of the stub server."""
    given = os.environ.get("EMOTION_LLAMA_SERVER")
    if given:
        yield given
        return
    program = [sys.executable, str(repository / "conformance/server.py")]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        try:
            line = process.stdout.readline()
            expect(line.startswith("listening on "), f"the server says {line!r}")
            yield line.split()[-1]
        finally:
            process.stdin.close()


def places_of(repository: Path) -> dict[str, str]:
    return {
        "pack": os.environ.get("EMOTION_LLAMA_PACK", str(repository / "build/packs/emotion-llama-mini")),
        "clips": os.environ.get("EMOTION_LLAMA_CLIPS", str(repository / "build/clips")),
        "files": str(repository / "conformance/files"),
    }


def run_mode(mode: str, kind: type[Sync] | type[Async], names: list[str]) -> int:
    """How many cases failed."""
    repository = root()
    failed = 0
    with contextlib.ExitStack() as stack:
        places = places_of(repository)
        if mode == "server":
            places["server"] = stack.enter_context(server(repository))
        places["source"] = places["server"] if mode == "server" else places["pack"]
        shared = kind.open(**opening({"source": places["source"]}))
        stack.callback(shared.close)
        for path in sorted((repository / "conformance/cases").glob("*.json")):
            case = filled(json.loads(path.read_text(encoding="utf-8")), places)
            if names and case["name"] not in names:
                continue
            if mode not in case.get("modes", ["embedded", "server"]):
                outcome = "-"
            else:
                try:
                    run(case, shared, kind)
                    outcome = "ok"
                except Exception as error:  # every case is run, whatever one fails with
                    failed += 1
                    outcome = f"FAILED {error if isinstance(error, Mismatch) else repr(error)}"
            print(kind.language, mode, case["name"], outcome, flush=True)
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description="runs the conformance cases")
    parser.add_argument("--mode", choices=["embedded", "server"], action="append")
    parser.add_argument("--client", choices=["sync", "async"], action="append")
    parser.add_argument("--case", action="append", default=[])
    options = parser.parse_args()
    failed = 0
    for client in options.client or ["sync", "async"]:
        for mode in options.mode or ["embedded", "server"]:
            failed += run_mode(mode, Sync if client == "sync" else Async, options.case)
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
