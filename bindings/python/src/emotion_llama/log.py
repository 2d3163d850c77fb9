"""What the library logs, for Python's logging."""

from __future__ import annotations

import atexit
import logging
import sys
import threading
from typing import Any, Callable

from . import _abi, _library
from .errors import InvalidArgumentError

LogFunction = Callable[[str, str, str], None]
"""Told level (`"error"` to `"trace"`), target and message, from any thread."""

_PYTHON_LEVELS = {"error": logging.ERROR, "warn": logging.WARNING, "info": logging.INFO, "debug": logging.DEBUG, "trace": 5}
_LEVEL_NAMES = {number: name for name, number in _abi.LEVELS.items()}

_lock = threading.Lock()
# The hook that the library has; it must live as long as it is set.
_hook: Any = None


def set_log(function: LogFunction | None, level: str = "info") -> None:
    """Sends what the library logs to `function`, up to `level` (`"error"`, `"warn"`, `"info"`, `"debug"`, `"trace"`); None turns it off.

    For the whole process: there is one hook. No message holds media, transcripts or answers. Once this returns, the function that was
    set before is not called any more. Not to be called from the function itself.
    """
    global _hook
    if level not in _abi.LEVELS:
        raise InvalidArgumentError(f"level is {level!r}; give one of {', '.join(_abi.LEVELS)}")
    hook = _abi.LogFunction() if function is None else _abi.LogFunction(_guarded(function))
    with _lock:
        _library.check(_library.library().emotion_llama_set_log(hook, None, _abi.LEVELS[level]))
        _hook = hook


def log_to(logger: logging.Logger, level: str = "info") -> None:
    """Sends what the library logs to `logger`, up to `level`; `trace` becomes level 5."""

    def function(level: str, target: str, message: str) -> None:
        logger.log(_PYTHON_LEVELS.get(level, logging.INFO), "%s: %s", target, message)

    set_log(function, level)


def _guarded(function: LogFunction) -> Callable[..., None]:
    def hook(_userdata: Any, level: int, target: bytes, message: bytes) -> None:
        try:
            function(_LEVEL_NAMES.get(level, "info"), target.decode("utf-8", "replace"), message.decode("utf-8", "replace"))
        except BaseException:  # there is nobody to raise it to
            sys.excepthook(*sys.exc_info())

    return hook


def _end() -> None:
    # A hook that is called after the interpreter has ended would end the process.
    if _hook is not None:
        set_log(None)


atexit.register(_end)
