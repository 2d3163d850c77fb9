"""What the library gives, as values. They can be compared, copied and pickled; `raw` has every field, also those of later releases."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping, Union


def _raw() -> Any:
    return field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Rect:
    """A rectangle in pixels of the source picture, after rotation."""

    x: float
    y: float
    width: float
    height: float

    @classmethod
    def _of(cls, json: Mapping[str, Any] | None) -> Rect | None:
        return None if json is None else cls(json["x"], json["y"], json["width"], json["height"])


@dataclass(frozen=True)
class Face:
    """A face, followed through the clip."""

    box: Rect | None
    """Where it is, in the frame at `time_s`."""
    score: float
    """How sure the detector is, 0..1."""
    track: int
    """Number of the person, the same through the clip."""
    time_s: float

    @classmethod
    def _of(cls, json: Mapping[str, Any]) -> Face:
        return cls(Rect._of(json.get("box")), json.get("score", 0.0), json.get("track", 0), json.get("time_s", 0.0))


@dataclass(frozen=True)
class DescribedFrame:
    """The frame that was described."""

    time_s: float
    index: int
    """Its number in the stream, from 0."""
    face: Rect | None

    @classmethod
    def _of(cls, json: Mapping[str, Any] | None) -> DescribedFrame | None:
        return None if json is None else cls(json.get("time_s", 0.0), json.get("index", 0), Rect._of(json.get("face")))


@dataclass(frozen=True)
class Cue:
    """Something that was measured."""

    name: str
    reading: str
    """In words, for example `"lowered"`."""
    level: str
    """`"low"`, `"normal"` or `"high"`."""
    z: float | None
    """Distance from the norm, in standard deviations."""
    value: float | None
    unit: str | None

    @classmethod
    def _of(cls, json: Mapping[str, Any]) -> Cue:
        get = json.get
        return cls(get("name", ""), get("reading", ""), get("level", ""), get("z"), get("value"), get("unit"))


@dataclass(frozen=True)
class Usage:
    """Tokens read and written by the language model."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    """Of the prompt, those that a session had read before."""

    @classmethod
    def _of(cls, json: Mapping[str, Any]) -> Usage:
        return cls(json.get("prompt_tokens", 0), json.get("completion_tokens", 0), json.get("cached_tokens", 0))


@dataclass(frozen=True)
class Timings:
    """Milliseconds of each stage. Some run side by side, so the parts may add up to more than the total."""

    decode: float
    preprocess: float
    encode: float
    prefill: float
    generate: float
    total: float

    @classmethod
    def _of(cls, json: Mapping[str, Any]) -> Timings:
        get = json.get
        return cls(*(get(name, 0.0) for name in ("decode", "preprocess", "encode", "prefill", "generate", "total")))


@dataclass(frozen=True)
class ModelInfo:
    """Which model answered. Empty where a published server does not tell."""

    name: str
    version: str
    digest: str
    """SHA-256 of the pack's manifest."""

    @classmethod
    def _of(cls, json: Mapping[str, Any]) -> ModelInfo:
        return cls(json.get("name") or "", json.get("version") or "", json.get("digest") or "")


@dataclass(frozen=True)
class Note:
    """Something that is no error but that the caller should know."""

    name: str
    """Stable, for example `"no_face"`."""
    message: str
    """One sentence for a person."""

    @classmethod
    def _of(cls, json: Mapping[str, Any]) -> Note:
        return cls(json.get("name", ""), json.get("message", ""))


@dataclass(frozen=True)
class Analysis:
    """What a person in a clip feels, and what shows it."""

    response: str
    """The text as the model gave it."""
    emotion: str
    """The label with the highest probability; empty where a server's text names none."""
    confidence: float | None
    """Its probability, 0..1; None where a published server does not tell."""
    probabilities: Mapping[str, float]
    """Each label with its probability, in the order of the labels; empty where a published server does not tell."""
    explanation: str
    """What shows it, in sentences; empty when only the label was asked for."""
    transcript: str | None
    """What is said; None when nothing is, or when it was not wanted."""
    language: str | None
    """ISO 639-1 code of the language that was heard."""
    faces: tuple[Face, ...]
    """Every face that was found, the described one first."""
    frame: DescribedFrame | None
    """The frame that was described; None without a face or without pictures."""
    cues: tuple[Cue, ...]
    """What was measured."""
    usage: Usage
    timings_ms: Timings
    time_to_label_ms: float
    """Milliseconds until the label and its probability were known; the text follows. 0 where a server does not tell."""
    model: ModelInfo
    notes: tuple[Note, ...]
    raw: Mapping[str, Any] = _raw()
    """All of it as the library gave it."""

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> Analysis:
        """An analysis of the JSON that the library and the server give. Fields that are not known stay in `raw`."""
        get = json.get
        return cls(
            response=get("response") or "",
            emotion=get("emotion") or "",
            confidence=get("confidence"),
            probabilities=dict(get("probabilities") or {}),
            explanation=get("explanation") or "",
            transcript=get("transcript"),
            language=get("language"),
            faces=tuple(map(Face._of, get("faces") or ())),
            frame=DescribedFrame._of(get("frame")),
            cues=tuple(map(Cue._of, get("cues") or ())),
            usage=Usage._of(get("usage") or {}),
            timings_ms=Timings._of(get("timings_ms") or {}),
            time_to_label_ms=get("time_to_label_ms") or 0.0,
            model=ModelInfo._of(get("model") or {}),
            notes=tuple(map(Note._of, get("notes") or ())),
            raw=json,
        )


@dataclass(frozen=True)
class StageEvent:
    """A stage begins: `"decode"`, `"observe"` or `"respond"`; with a server also `"upload"`."""

    stage: str
    type: str = "stage"


@dataclass(frozen=True)
class LabelEvent:
    """The label is known; the text follows. A server of the published API does not tell it."""

    emotion: str
    confidence: float
    probabilities: Mapping[str, float]
    type: str = "label"


@dataclass(frozen=True)
class TextEvent:
    """A piece of the answer. The pieces add up to `Analysis.response`."""

    text: str
    type: str = "text"


@dataclass(frozen=True)
class ResultEvent:
    """The analysis; the last event."""

    analysis: Analysis
    type: str = "result"


Event = Union[StageEvent, LabelEvent, TextEvent, ResultEvent]


def event_from_json(json: Mapping[str, Any]) -> Event | None:
    """None for an event of a later release."""
    kind = json.get("type")
    if kind == "stage":
        return StageEvent(json["stage"])
    if kind == "label":
        return LabelEvent(json["emotion"], json["confidence"], dict(json["probabilities"]))
    if kind == "text":
        return TextEvent(json["text"])
    if kind == "result":
        return ResultEvent(Analysis.from_json(json["analysis"]))
    return None


@dataclass(frozen=True)
class PackInfo:
    """The model that an engine has."""

    name: str
    version: str
    digest: str
    architecture: str
    description: str
    format_version: int | None


@dataclass(frozen=True)
class EngineInfo:
    """What an engine is and can."""

    version: str
    """Of the library."""
    pack: PackInfo | None
    """None where a published server does not tell."""
    labels: tuple[str, ...]
    tasks: tuple[str, ...]
    devices: tuple[str, ...]
    threads: int | None
    """How many each call computes with; None for a server."""
    url: str | None
    """The server's."""
    protocol: str | None
    """How the server is spoken to: `"v1"`, `"gradio"` or `"fastapi"`."""
    raw: Mapping[str, Any] = _raw()
    """All of it as the library gave it."""

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> EngineInfo:
        get, pack = json.get, json.get("pack")
        # A server's part of it stands in `server` where the library keeps it apart.
        return cls(
            version=get("version") or "",
            pack=None
            if not pack
            else PackInfo(
                name=pack.get("name") or "",
                version=pack.get("version") or "",
                digest=pack.get("digest") or "",
                architecture=pack.get("architecture") or "",
                description=pack.get("description") or "",
                format_version=pack.get("format_version"),
            ),
            labels=tuple(get("labels") or ()),
            tasks=tuple(get("tasks") or ()),
            devices=tuple(get("devices") or ()),
            threads=get("threads"),
            url=get("url"),
            protocol=get("protocol"),
            raw=json,
        )


@dataclass(frozen=True)
class LiveInfo:
    """What a live buffer holds."""

    frames: int
    duration_s: float
    memory_bytes: int
