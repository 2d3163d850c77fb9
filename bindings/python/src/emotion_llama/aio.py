"""The client for programs with asyncio. Each call waits on a thread of its own, so the event loop goes on."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Any, AsyncIterator, BinaryIO, Generator, Literal, Mapping

from . import _calls, _library, _open
from ._clip import Clip
from ._wait import awaited
from .cancel import CancelToken, token_of_call
from .errors import InvalidArgumentError
from .live import LiveBuffer
from .results import Analysis, EngineInfo, Event, ResultEvent

if TYPE_CHECKING:
    from typing_extensions import Buffer, Unpack

    from .options import AnalyzeOptions, ClipOptions, Progress, QuestionOptions, StrPath


class AsyncEmotionLLaMA:
    """As `EmotionLLaMA`, to be awaited. The model is loaded by `await client`, by `async with client`, or by the first call.

    Cancelling a task cancels its call; the task ends once the work has stopped, which takes at most 100 ms.
    """

    def __init__(
        self,
        pack: StrPath | None = None,
        *,
        api_url: str | None = None,
        api_key: str | None = None,
        timeout_s: float | None = None,
        connect_timeout_s: float | None = None,
        ca_file: StrPath | None = None,
        upload: Literal["auto", "never"] | None = None,
        search: list[StrPath] | None = None,
        verify: bool | None = None,
        threads: int | None = None,
        device: str | None = None,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self._json = _open.options_of(
            pack,
            api_url,
            api_key=api_key,
            timeout_s=timeout_s,
            connect_timeout_s=connect_timeout_s,
            ca_file=ca_file,
            upload=upload,
            search=search,
            verify=verify,
            threads=threads,
            device=device,
            options=options,
        )
        self._progress = progress
        self._cancel = cancel
        self._engine: _library.Handle | None = None
        self._closed = False
        # Made in the loop: before Python 3.10 a lock belongs to the loop that it was made in.
        self._opening: asyncio.Lock | None = None

    def __await__(self) -> Generator[Any, None, AsyncEmotionLLaMA]:
        return self._opened_self().__await__()

    async def _opened_self(self) -> AsyncEmotionLLaMA:
        await self._opened()
        return self

    async def _opened(self) -> _library.Handle:
        if self._closed:
            raise InvalidArgumentError("this client is closed")
        if self._engine is not None:
            return self._engine
        if self._opening is None:
            self._opening = asyncio.Lock()
        async with self._opening:
            if self._engine is None:
                token = token_of_call(self._cancel)
                engine = await awaited(_open.opener(self._json, self._progress, token), token)
                if self._closed:
                    engine.close()
                    raise InvalidArgumentError("this client was closed while it was loading")
                self._engine = engine
            return self._engine

    async def info(self) -> EngineInfo:
        """What the engine is and can."""
        return _open.info_of(await self._opened())

    async def analyze(
        self,
        video_path: StrPath | None = None,
        *,
        data: Buffer | BinaryIO | None = None,
        live: LiveBuffer | None = None,
        seconds: float | None = None,
        cancel: CancelToken | None = None,
        **options: Unpack[AnalyzeOptions],
    ) -> Analysis:
        """As `EmotionLLaMA.analyze`."""
        token = token_of_call(cancel)
        clip = Clip(video_path, data, live, seconds, options)
        return await awaited(_calls.analyze(await self._opened(), clip, token), token)

    def stream(
        self,
        video_path: StrPath | None = None,
        *,
        data: Buffer | BinaryIO | None = None,
        live: LiveBuffer | None = None,
        seconds: float | None = None,
        cancel: CancelToken | None = None,
        **options: Unpack[AnalyzeOptions],
    ) -> AsyncAnalysisStream:
        """As `EmotionLLaMA.stream`: `async for event in client.stream(…)`. The work begins with the first event that is asked for."""
        token = token_of_call(cancel)
        clip = Clip(video_path, data, live, seconds, options)

        async def begin() -> _library.Handle:
            return await awaited(_calls.stream(await self._opened(), clip, token), token)

        return AsyncAnalysisStream(begin, token)

    async def session(
        self,
        video_path: StrPath | None = None,
        *,
        data: Buffer | BinaryIO | None = None,
        live: LiveBuffer | None = None,
        seconds: float | None = None,
        cancel: CancelToken | None = None,
        **options: Unpack[ClipOptions],
    ) -> AsyncSession:
        """As `EmotionLLaMA.session`."""
        token = token_of_call(cancel)
        clip = Clip(video_path, data, live, seconds, options)
        return AsyncSession(await awaited(_calls.session(await self._opened(), clip, token), token))

    async def close(self) -> None:
        """Frees the model once nothing runs on it. Closing twice is allowed."""
        self._closed = True
        if self._engine is not None:
            self._engine.close()

    async def __aenter__(self) -> AsyncEmotionLLaMA:
        return await self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


class AsyncAnalysisStream(AsyncIterator[Event]):
    """The events of an analysis. Forgetting or closing it stops the work."""

    def __init__(self, begin: Any, token: CancelToken) -> None:
        self._begin = begin
        self._token = token
        self._handle: _library.Handle | None = None
        self._ended = False
        self._result: Analysis | None = None

    def __aiter__(self) -> AsyncAnalysisStream:
        return self

    async def __anext__(self) -> Event:
        if self._ended:
            raise StopAsyncIteration
        if self._handle is None:
            self._handle = await self._begin()
        event = await awaited(_calls.next_event(self._handle), self._token)
        if event is None:
            self._end()
            raise StopAsyncIteration
        if isinstance(event, ResultEvent):
            self._result = event.analysis
        return event

    async def result(self) -> Analysis:
        """Goes through the events that are left, and gives the analysis."""
        async for _ in self:
            pass
        if self._result is None:
            raise InvalidArgumentError("this stream was closed before its result")
        return self._result

    def cancel(self) -> None:
        """Stops the work: the next event is `CancelledError`."""
        self._token.cancel()

    def _end(self) -> None:
        self._ended = True
        if self._handle is not None:
            self._handle.close()

    async def close(self) -> None:
        """Stops the work, and frees what it had. Closing twice is allowed."""
        if not self._ended:
            self._token.cancel()
            self._end()

    aclose = close

    async def __aenter__(self) -> AsyncAnalysisStream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


class AsyncSession:
    """As `Session`, to be awaited."""

    def __init__(self, handle: _library.Handle) -> None:
        self._handle = handle

    async def ask(self, *, cancel: CancelToken | None = None, **options: Unpack[QuestionOptions]) -> Analysis:
        """As `Session.ask`."""
        token = token_of_call(cancel)
        return await awaited(_calls.ask(self._handle, options, token), token)

    def stream(self, *, cancel: CancelToken | None = None, **options: Unpack[QuestionOptions]) -> AsyncAnalysisStream:
        """As `Session.stream`. The work begins with the first event that is asked for."""
        token = token_of_call(cancel)
        begin = _calls.ask_stream(self._handle, options, token)

        async def begun() -> _library.Handle:
            return await awaited(begin, token)

        return AsyncAnalysisStream(begun, token)

    async def reset(self) -> None:
        """As `Session.reset`."""
        await awaited(_calls.reset(self._handle), CancelToken())

    async def close(self) -> None:
        """Frees the conversation. Closing twice is allowed."""
        # A server may be told, which waits a little.
        await awaited(self._handle.close, CancelToken())

    async def __aenter__(self) -> AsyncSession:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
