"""What a call fails with: one class for each kind of failure."""

from __future__ import annotations

from typing import Any


class EmotionLLaMAError(Exception):
    """A call failed. `code` and `name` are the same in every release; the message is a sentence for a person."""

    code: int
    name: str
    http_status: int | None
    message: str

    # What a class stands for; a failure of a later release keeps its own code and name.
    _CODE = 0
    _NAME = "unknown"
    _HTTP_STATUS: int | None = None

    def __init__(self, message: str, *, code: int | None = None, name: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = self._CODE if code is None else code
        self.name = self._NAME if name is None else name
        self.http_status = self._HTTP_STATUS

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self.message, self.code, self.name)


class InvalidArgumentError(EmotionLLaMAError, ValueError):
    """An option or argument has a value that cannot be used."""

    _CODE, _NAME, _HTTP_STATUS = 1, "invalid_argument", 400


class MediaUndecodableError(EmotionLLaMAError):
    """The input is not media that can be decoded."""

    _CODE, _NAME, _HTTP_STATUS = 2, "media_undecodable", 400


class MediaTooLargeError(EmotionLLaMAError):
    """The input goes beyond a limit."""

    _CODE, _NAME, _HTTP_STATUS = 3, "media_too_large", 413


class NotFoundError(EmotionLLaMAError):
    """A file, pack, session or library is not there."""

    _CODE, _NAME, _HTTP_STATUS = 4, "not_found", 404


class PackInvalidError(EmotionLLaMAError):
    """A pack is there but cannot be used."""

    _CODE, _NAME, _HTTP_STATUS = 5, "pack_invalid", 500


class OutOfMemoryError(EmotionLLaMAError):
    """Memory or threads ran out."""

    _CODE, _NAME, _HTTP_STATUS = 6, "out_of_memory", 503


class OverloadedError(EmotionLLaMAError):
    """Too much is already running; try again."""

    _CODE, _NAME, _HTTP_STATUS = 7, "overloaded", 503


class CancelledError(EmotionLLaMAError):
    """The caller cancelled the work. Cancelling an asyncio task raises `asyncio.CancelledError`, as everywhere."""

    _CODE, _NAME, _HTTP_STATUS = 8, "cancelled", 499


class TimeoutError(EmotionLLaMAError):  # noqa: A001 - the name of the kind
    """The work took longer than the caller allowed."""

    _CODE, _NAME, _HTTP_STATUS = 9, "timeout", 504


class InternalError(EmotionLLaMAError):
    """A defect in the library."""

    _CODE, _NAME, _HTTP_STATUS = 10, "internal", 500


class UnreachableError(EmotionLLaMAError):
    """The server cannot be reached, is no such server, or gave an answer that cannot be used."""

    _CODE, _NAME, _HTTP_STATUS = 11, "unreachable", 502


KINDS: dict[int, type[EmotionLLaMAError]] = {
    kind._CODE: kind
    for kind in (
        InvalidArgumentError,
        MediaUndecodableError,
        MediaTooLargeError,
        NotFoundError,
        PackInvalidError,
        OutOfMemoryError,
        OverloadedError,
        CancelledError,
        TimeoutError,
        InternalError,
        UnreachableError,
    )
}


def error_of(code: int, name: str, message: str) -> EmotionLLaMAError:
    """The error that the library tells; a kind of a later release is an `EmotionLLaMAError` with its code and name."""
    return KINDS.get(code, EmotionLLaMAError)(message, code=code, name=name)


def _again(kind: type[EmotionLLaMAError], message: str, code: int, name: str) -> EmotionLLaMAError:
    return kind(message, code=code, name=name)
