"""The clip of a call: a path in the request, or memory beside it."""

from __future__ import annotations

import contextlib
import os
from ctypes import byref, sizeof
from typing import TYPE_CHECKING, Any, BinaryIO, Iterator, Mapping

from . import _abi, _library
from ._buffers import Memory
from .errors import InvalidArgumentError
from .live import LiveBuffer

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from .options import StrPath


class Clip:
    """What was given, checked, with the request that goes with it."""

    def __init__(
        self,
        video_path: StrPath | None,
        data: Buffer | BinaryIO | None,
        live: LiveBuffer | None,
        seconds: float | None,
        options: Mapping[str, Any],
    ) -> None:
        if sum(thing is not None for thing in (video_path, data, live)) > 1:
            raise InvalidArgumentError("more than one clip is given; give one of video_path, data and live")
        if seconds is not None and live is None:
            raise InvalidArgumentError("seconds are for a live buffer; give live, or leave them out")
        path = None if video_path is None else os.fspath(video_path)
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        self.request = _library.to_json({"path": path, **options})
        self._data = data
        self._live = live
        self._seconds = seconds

    @contextlib.contextmanager
    def media(self) -> Iterator[Any]:
        """The argument `media` of a call: a reference, or None. Reads a stream, so it may take a while."""
        if self._live is not None:
            with self._live._handle.use() as address:
                yield byref(_abi.Media(size=sizeof(_abi.Media), live=address, seconds=self._seconds or 0.0))
        elif self._data is not None:
            memory = Memory(_content(self._data), "the clip").packed()
            # An empty clip is a clip all the same: what is wrong with it is for the library to say, which wants an address.
            held = memory if memory.nbytes else Memory(b"\0", "a place")
            yield byref(_abi.Media(size=sizeof(_abi.Media), data=held.address, length=memory.nbytes))
        else:
            yield None


def _content(data: Any) -> Any:
    """The buffer that `data` is, or what can be read from it."""
    try:
        # A mapped file can also be read, but its memory is there already.
        memoryview(data).release()
    except TypeError:
        return data.read() if hasattr(data, "read") else data
    return data
