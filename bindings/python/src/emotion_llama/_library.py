"""Finds and loads the native library, and turns what it gives into Python's values, errors and handles."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import sys
import threading
import weakref
from ctypes import byref, c_void_p
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping

from . import _abi
from .errors import InternalError, InvalidArgumentError, NotFoundError, error_of

ENVIRONMENT = "EMOTION_LLAMA_LIBRARY"
_FILE = "libemotionllama.so.1" if sys.platform.startswith("linux") else "libemotionllama.1.dylib" if sys.platform == "darwin" else "emotionllama.dll"

_library: ctypes.CDLL | None = None
_path: str | None = None
_lock = threading.Lock()
# Grows in every child of a fork: a handle of the parent has lost its threads there.
_generation = 0


def _forked() -> None:
    global _generation, _lock
    _generation += 1
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def library() -> ctypes.CDLL:
    """The native library: of this package, else the file that EMOTION_LLAMA_LIBRARY names, else the system's."""
    global _library, _path
    with _lock:
        if _library is None:
            _library, _path = _load()
        return _library


def directory() -> Path | None:
    """Where the library that was loaded lies; None when the system's loader found it."""
    library()
    return Path(_path).resolve().parent if _path and os.path.sep in _path else None


def _load() -> tuple[ctypes.CDLL, str]:
    inside = Path(__file__).resolve().parent / "lib" / _FILE
    named = os.environ.get(ENVIRONMENT)
    path = str(inside) if inside.is_file() else named if named else _FILE
    try:
        loaded = ctypes.CDLL(path)
    except OSError as error:
        raise NotFoundError(
            f"the native library {path} cannot be loaded ({error}); install a wheel of emotion-llama for this platform, or name "
            f"the file of libemotionllama in {ENVIRONMENT}"
        ) from None
    try:
        version = loaded.emotion_llama_abi_version
        version.restype = ctypes.c_uint32
        found, wanted = version(), _abi.CONSTANTS["EMOTION_LLAMA_ABI_VERSION"]
        if found != wanted:
            raise InternalError(f"{path} has version {found} of the ABI, this package needs {wanted}; use releases that fit")
        _abi.declare(loaded)
    except AttributeError as error:
        raise InternalError(f"{path} is not the libemotionllama that this package needs ({error}); use releases that fit") from None
    return loaded, path


def check(status: int | None) -> None:
    """Raises what `status` tells, and frees it; nothing for success."""
    if not status:
        return
    lib = library()
    try:
        code = lib.emotion_llama_status_code(status)
        name = lib.emotion_llama_status_name(status).decode("utf-8", "replace")
        message = lib.emotion_llama_status_message(status).decode("utf-8", "replace")
    finally:
        lib.emotion_llama_status_free(status)
    raise error_of(code, name, message)


def take_json(text: int | None) -> Any:
    """The JSON value that a text holds, and frees the text; None for NULL."""
    if not text:
        return None
    lib = library()
    try:
        content = ctypes.string_at(lib.emotion_llama_text_data(text), lib.emotion_llama_text_length(text))
    finally:
        lib.emotion_llama_text_free(text)
    return json.loads(content)


def to_json(value: Mapping[str, Any]) -> bytes:
    """A request or options as the library reads them. `None`s are left out."""
    given = {name: item for name, item in value.items() if item is not None}
    try:
        return json.dumps(given, allow_nan=False, default=_plain).encode("ascii")
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(f"the options cannot be written as JSON: {error}") from None


def _plain(value: Any) -> Any:
    """What json does not know: paths, other sequences and mappings, NumPy's numbers and arrays."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "__iter__"):
        return list(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")


class Out:
    """A place for a text that a call gives."""

    def __init__(self) -> None:
        self._place = c_void_p()
        self.reference = byref(self._place)

    def json(self) -> Any:
        """What was given, as a JSON value; None for NULL. To be called once."""
        return take_json(self._place.value)


class Handle:
    """A native handle. It is freed once, when it is closed or forgotten and no call that was given it is running."""

    def __init__(self, kind: str, make: Callable[[Any], int | None]) -> None:
        out = c_void_p()
        check(make(byref(out)))
        self._kind = kind
        self._state = _State(out.value or 0, getattr(library(), f"emotion_llama_{kind}_free"))
        self._finalizer = weakref.finalize(self, self._state.close)
        # The end of the process frees the rest; a session is told apart because a server may keep it.
        self._finalizer.atexit = kind == "session"

    @property
    def closed(self) -> bool:
        return self._state.closed

    def close(self) -> None:
        self._finalizer()

    @contextlib.contextmanager
    def use(self) -> Iterator[int]:
        """The address, which stays valid until the end of the `with` whatever other threads do."""
        address = self._state.enter(self._kind)
        try:
            yield address
        finally:
            self._state.leave()


class _State:
    def __init__(self, address: int, free: Callable[[int], None]) -> None:
        self.address = address
        self.free = free
        self.users = 0
        self.closed = False
        self.generation = _generation
        # Re-entrant: the collector may run a finalizer in a thread that holds it.
        self.lock = threading.RLock()

    def enter(self, kind: str) -> int:
        if self.generation != _generation:
            raise InvalidArgumentError(f"this {kind} was made before the process forked and has no threads here; make one in the child")
        with self.lock:
            if self.closed:
                raise InvalidArgumentError(f"this {kind} is closed")
            self.users += 1
            return self.address

    def leave(self) -> None:
        if self.generation != _generation:
            return
        with self.lock:
            self.users -= 1
            is_last = self.closed and self.users == 0
        if is_last:
            self.free(self.address)

    def close(self) -> None:
        # In a child of a fork, what the parent's threads hold may be locked for ever; its memory is the parent's to give back.
        if self.generation != _generation:
            self.closed = True
            return
        with self.lock:
            is_last = not self.closed and self.users == 0
            self.closed = True
        if is_last:
            self.free(self.address)


def version() -> str:
    """The version of the native library."""
    return str(library().emotion_llama_version().decode("ascii"))


def set_thread_count(threads: int) -> None:
    """How many threads each call computes with, for clients that are made later; 0, as in the beginning, is one per processor."""
    if not 0 <= threads < 2**32:
        raise InvalidArgumentError(f"threads is {threads}; give 0 to 1024")
    library().emotion_llama_set_thread_count(threads)

