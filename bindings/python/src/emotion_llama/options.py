"""The options of calls, as types. What they mean is said where the library says it: docs/http-v1.md and include/emotion_llama.h."""

from __future__ import annotations

from os import PathLike
from typing import Callable, Literal, Optional, Sequence, TypedDict, Union

Task = Literal["emotion", "reason", "free"]
StrPath = Union[str, "PathLike[str]"]
Progress = Callable[[int, int], Optional[bool]]
"""Told `done` and `total` bytes of a load, on the thread that loads. Returning False stops it."""


class Limits(TypedDict, total=False):
    """Which inputs are refused."""

    max_duration_s: float
    max_pixels: int
    max_streams: int
    max_bytes: int


class Features(TypedDict, total=False):
    """Features that were extracted beforehand. Only for converted packs."""

    mae: Sequence[float]
    videomae: Sequence[float]
    hubert: Sequence[float]


class QuestionOptions(TypedDict, total=False):
    """What is asked, and how the answer is written."""

    task: Optional[Task]
    """Left out: what the prompt's tag says, else `"free"` with a prompt and `"emotion"` without."""
    prompt: Optional[str]
    """A question of your own; may begin with `[emotion]` or `[reason]`."""
    labels: Optional[Sequence[str]]
    """2 to 64 words; left out: the pack's."""
    prompt_path: Optional[Literal["train", "eval", "demo"]]
    """Which of the published prompts is written. Only for converted packs."""
    max_new_tokens: Optional[int]
    temperature: Optional[float]
    top_p: Optional[float]
    top_k: Optional[int]
    repetition_penalty: Optional[float]
    seed: Optional[int]
    greedy: Optional[bool]


class ClipOptions(TypedDict, total=False):
    """What concerns the clip."""

    transcript: Optional[str]
    """`"auto"`, `"none"`, or the words."""
    frame: Optional[Union[Literal["peak", "first", "middle"], float]]
    """Which frame is described: by name, or seconds from the start."""
    features: Optional[Features]
    limits: Optional[Limits]


class AnalyzeOptions(QuestionOptions, ClipOptions, total=False):
    """All of it."""

