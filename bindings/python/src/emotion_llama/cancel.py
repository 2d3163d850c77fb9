"""Stops running work from another thread."""

from __future__ import annotations

import threading
import weakref

from . import _library


class CancelToken:
    """A flag that stops the calls that it was given to, within 100 ms. It cannot be taken back. May be used from any thread."""

    def __init__(self) -> None:
        lib = _library.library()
        self._handle = _library.Handle("cancel", lambda out: lib.emotion_llama_cancel_new(out))
        self._lock = threading.Lock()
        self._children: weakref.WeakSet[CancelToken] = weakref.WeakSet()

    def cancel(self) -> None:
        """Asks the work to stop."""
        with self._handle.use() as address:
            _library.library().emotion_llama_cancel_request(address)
        with self._lock:
            children = list(self._children)
        for child in children:
            child.cancel()

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        with self._handle.use() as address:
            return bool(_library.library().emotion_llama_cancel_requested(address))

    def _child(self) -> CancelToken:
        """A token of one call: it is cancelled with this one, and can be cancelled alone."""
        child = CancelToken()
        with self._lock:
            self._children.add(child)
        # After it was added, so that a cancel in between is not missed.
        if self.cancelled:
            child.cancel()
        return child


def token_of_call(given: CancelToken | None) -> CancelToken:
    return CancelToken() if given is None else given._child()
