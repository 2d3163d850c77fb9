"""Waiting for a native call: so that Ctrl-C stops it, that an event loop goes on, and that none outlives the interpreter."""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import os
import signal
import threading
from typing import Callable, Generic, TypeVar

from .cancel import CancelToken
from .errors import EmotionLLaMAError

T = TypeVar("T")

# How long the end of the interpreter waits for calls that were cancelled then; they take 100 ms.
_FAREWELL_S = 5.0

_running: set[CancelToken] = set()
_changed = threading.Condition(threading.RLock())
_ending = False


def stopped_at_the_end(call: Callable[[], T], token: CancelToken) -> T:
    """Runs `call`, which calls back into Python: the interpreter's end cancels it and waits for it, and ends its thread without a word.

    A call that does not call back is left alone: its thread ends with the process.
    """
    with _changed:
        if _ending:
            raise SystemExit
        _running.add(token)
    try:
        return call()
    except EmotionLLaMAError:
        if _ending:
            raise SystemExit from None
        raise
    finally:
        with _changed:
            _running.discard(token)
            _changed.notify_all()


def _end() -> None:
    global _ending
    with _changed:
        _ending = True
        tokens = list(_running)
    for token in tokens:
        token.cancel()
    with _changed:
        _changed.wait_for(lambda: not _running, _FAREWELL_S)


def _forked() -> None:
    global _changed
    # The parent's calls do not run here.
    _changed = threading.Condition(threading.RLock())
    _running.clear()


atexit.register(_end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def waited(call: Callable[[], T], token: CancelToken) -> T:
    """Runs `call` and waits for it. Ctrl-C cancels it: `KeyboardInterrupt` is raised once it has stopped."""
    # Only the main thread handles signals, and not while it is in a native call.
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) in (None, signal.SIG_DFL, signal.SIG_IGN):
        return call()
    done = threading.Lock()
    done.acquire()
    outcome = _Outcome(call, done.release)
    try:
        outcome.start()
        done.acquire()
    except BaseException:
        token.cancel()
        # Without a limit, as the call may use what the caller is about to free; another Ctrl-C ends this too.
        if outcome.started:
            done.acquire()
        raise
    return outcome.take()


async def awaited(call: Callable[[], T], token: CancelToken) -> T:
    """Runs `call` on a thread of its own. When the task is cancelled, so is the call, and the task ends once it has stopped."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def tell() -> None:
        if not done.done():
            done.set_result(None)

    def told() -> None:
        try:
            loop.call_soon_threadsafe(tell)
        except RuntimeError:
            # The loop was closed: nobody waits any more.
            pass

    outcome = _Outcome(call, told)
    outcome.start()
    try:
        await asyncio.shield(done)
    except asyncio.CancelledError:
        token.cancel()
        while not done.done():
            try:
                await asyncio.shield(done)
            except asyncio.CancelledError:
                continue
        outcome.forget()
        raise
    return outcome.take()


class _Outcome(Generic[T]):
    """A call on a thread of its own, in the context of the one that starts it."""

    def __init__(self, call: Callable[[], T], told: Callable[[], None]) -> None:
        self._call = call
        self._told = told
        self._values: list[T] = []
        self._error: BaseException | None = None
        self.started = False

    def start(self) -> None:
        context = contextvars.copy_context()
        # Not joined when the interpreter ends: it is cancelled then.
        thread = threading.Thread(target=context.run, args=(self._run,), name="emotion-llama-call", daemon=True)
        thread.start()
        self.started = True

    def _run(self) -> None:
        try:
            self._values.append(self._call())
        except BaseException as error:  # raised where the outcome is taken
            self._error = error
        finally:
            self._told()

    def take(self) -> T:
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                # Its traceback refers to this frame: without this both would live until the collector finds them.
                del error
        return self._values.pop()

    def forget(self) -> None:
        self._values.clear()
        self._error = None
