"""What a person in a clip feels, and what shows it.

    from emotion_llama import EmotionLLaMA

    client = EmotionLLaMA()                              # or EmotionLLaMA(pack="…"), or EmotionLLaMA(api_url="http://…")
    result = client.analyze(video_path="clip.mp4", task="reason")
    print(result.emotion, result.confidence, result.explanation)

`AsyncEmotionLLaMA` is the same for asyncio.
"""

from ._library import set_thread_count, version
from .aio import AsyncAnalysisStream, AsyncEmotionLLaMA, AsyncSession
from .cancel import CancelToken
from .client import AnalysisStream, EmotionLLaMA, Session
from .errors import (
    CancelledError,
    EmotionLLaMAError,
    InternalError,
    InvalidArgumentError,
    MediaTooLargeError,
    MediaUndecodableError,
    NotFoundError,
    OutOfMemoryError,
    OverloadedError,
    PackInvalidError,
    TimeoutError,
    UnreachableError,
)
from .live import LiveBuffer
from .log import log_to, set_log
from .results import (
    Analysis,
    Cue,
    DescribedFrame,
    EngineInfo,
    Event,
    Face,
    LabelEvent,
    LiveInfo,
    ModelInfo,
    Note,
    PackInfo,
    Rect,
    ResultEvent,
    StageEvent,
    TextEvent,
    Timings,
    Usage,
)

__version__ = "0.1.0"

__all__ = [
    "Analysis",
    "AnalysisStream",
    "AsyncAnalysisStream",
    "AsyncEmotionLLaMA",
    "AsyncSession",
    "CancelToken",
    "CancelledError",
    "Cue",
    "DescribedFrame",
    "EmotionLLaMA",
    "EmotionLLaMAError",
    "EngineInfo",
    "Event",
    "Face",
    "InternalError",
    "InvalidArgumentError",
    "LabelEvent",
    "LiveBuffer",
    "LiveInfo",
    "MediaTooLargeError",
    "MediaUndecodableError",
    "ModelInfo",
    "NotFoundError",
    "Note",
    "OutOfMemoryError",
    "OverloadedError",
    "PackInfo",
    "PackInvalidError",
    "Rect",
    "ResultEvent",
    "Session",
    "StageEvent",
    "TextEvent",
    "TimeoutError",
    "Timings",
    "UnreachableError",
    "Usage",
    "log_to",
    "set_log",
    "set_thread_count",
    "version",
]
