"""The calls that both clients make: each is a function without arguments that waits, for a thread to run."""

from __future__ import annotations

from typing import Any, Callable, Mapping

from . import _library
from ._clip import Clip
from ._library import Handle, Out, check, library
from .cancel import CancelToken
from .results import Analysis, Event, event_from_json


def analyze(engine: Handle, clip: Clip, token: CancelToken) -> Callable[[], Analysis]:
    def call() -> Analysis:
        out = Out()
        with engine.use() as address, clip.media() as media, token._handle.use() as cancel:
            check(library().emotion_llama_analyze(address, clip.request, media, cancel, out.reference))
        return Analysis.from_json(out.json())

    return call


def stream(engine: Handle, clip: Clip, token: CancelToken) -> Callable[[], Handle]:
    def call() -> Handle:
        begin = library().emotion_llama_analyze_stream
        with engine.use() as address, clip.media() as media, token._handle.use() as cancel:
            return Handle("stream", lambda out: begin(address, clip.request, media, cancel, out))

    return call


def session(engine: Handle, clip: Clip, token: CancelToken) -> Callable[[], Handle]:
    def call() -> Handle:
        begin = library().emotion_llama_session_new
        with engine.use() as address, clip.media() as media, token._handle.use() as cancel:
            return Handle("session", lambda out: begin(address, clip.request, media, cancel, out))

    return call


def ask(session: Handle, question: Mapping[str, Any], token: CancelToken) -> Callable[[], Analysis]:
    request = _library.to_json(question)

    def call() -> Analysis:
        out = Out()
        with session.use() as address, token._handle.use() as cancel:
            check(library().emotion_llama_session_ask(address, request, cancel, out.reference))
        return Analysis.from_json(out.json())

    return call


def ask_stream(session: Handle, question: Mapping[str, Any], token: CancelToken) -> Callable[[], Handle]:
    request = _library.to_json(question)

    def call() -> Handle:
        begin = library().emotion_llama_session_ask_stream
        with session.use() as address, token._handle.use() as cancel:
            return Handle("stream", lambda out: begin(address, request, cancel, out))

    return call


def reset(session: Handle) -> Callable[[], None]:
    def call() -> None:
        with session.use() as address:
            check(library().emotion_llama_session_reset(address))

    return call


def next_event(stream: Handle) -> Callable[[], Event | None]:
    """The next event, or None when there is nothing more. Events of later releases are passed over."""

    def call() -> Event | None:
        while True:
            out = Out()
            with stream.use() as address:
                check(library().emotion_llama_stream_next(address, out.reference))
            json = out.json()
            event = None if json is None else event_from_json(json)
            if json is None or event is not None:
                return event

    return call
