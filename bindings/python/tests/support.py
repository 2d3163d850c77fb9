"""Where the tests' inputs are, and one client for all of them."""

from __future__ import annotations

import array
import functools
import io
import math
import os
import wave
from pathlib import Path
from typing import Any

import emotion_llama as el
from conformance import places_of, root

REPOSITORY = root()
PACK = places_of(REPOSITORY)["pack"]
# A small pack answers in milliseconds; what it says means nothing. `emotion-llama pack synth --shape least` makes one.
SMALL_PACK = os.environ.get("EMOTION_LLAMA_SMALL_PACK", PACK)
CLIP = Path(places_of(REPOSITORY)["clips"]) / "1001_DFA_ANG_XX.flv"
# A call that takes seconds, for tests that stop it.
LONG: dict[str, Any] = {"video_path": str(CLIP), "task": "reason", "max_new_tokens": 500}


@functools.lru_cache(maxsize=None)
def mini() -> el.EmotionLLaMA:
    return el.EmotionLLaMA(PACK)


@functools.lru_cache(maxsize=None)
def small() -> el.EmotionLLaMA:
    return el.EmotionLLaMA(SMALL_PACK)


@functools.lru_cache(maxsize=None)
def tone() -> bytes:
    """A fifth of a second of a tone, as a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(16000)
        writer.writeframes(array.array("h", (int(8000 * math.sin(i * 0.1)) for i in range(3200))).tobytes())
    return file.getvalue()
