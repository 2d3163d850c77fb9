"""The client for programs that wait."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Iterator, Literal, Mapping

from . import _calls, _library, _open
from ._clip import Clip
from ._wait import waited
from .cancel import CancelToken, token_of_call
from .errors import InvalidArgumentError
from .live import LiveBuffer
from .results import Analysis, EngineInfo, Event, ResultEvent

if TYPE_CHECKING:
    from typing_extensions import Buffer, Unpack

    from .options import AnalyzeOptions, ClipOptions, Progress, QuestionOptions, StrPath


class EmotionLLaMA:
    """A model: loaded here, or of a running server. May be used by any number of threads at once; calls release the GIL.

    `EmotionLLaMA()` has the built-in model, `EmotionLLaMA(pack="…")` that of a directory, or of a name that is looked for in `search`, and
    `EmotionLLaMA(api_url="http://…")` asks a server. Loading takes seconds for large packs; `progress` is told how far it is.

    - `threads`: how many each call computes with; left out: one per processor.
    - `device`: where it computes: `"auto"` (a graphics processor if one can be used, the default), `"cpu"`, `"cuda"`, `"cuda:1"` or `"cuda:UUID"`.
    - `verify`: whether the pack's checksums are compared (default True).
    - `api_key`, `timeout_s` (600), `connect_timeout_s` (10), `ca_file` (PEM), `upload` (`"auto"`: local files are sent; `"never"`: paths are the
      server's): for a server.
    - `options`: further options of the library, for releases that have more.

    Fails with a subclass of `EmotionLLaMAError`.
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
        json = _open.options_of(
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
        token = token_of_call(cancel)
        self._engine = waited(_open.opener(json, progress, token), token)

    @property
    def info(self) -> EngineInfo:
        """What the engine is and can."""
        return _open.info_of(self._engine)

    def analyze(
        self,
        video_path: StrPath | None = None,
        *,
        data: Buffer | BinaryIO | None = None,
        live: LiveBuffer | None = None,
        seconds: float | None = None,
        cancel: CancelToken | None = None,
        **options: Unpack[AnalyzeOptions],
    ) -> Analysis:
        """Analyses one clip and waits for the result.

        The clip is the file at `video_path`, the bytes or the open file `data`, or the last `seconds` of `live` (left out: all it holds).
        `options` are those of `AnalyzeOptions`. Ctrl-C in the main thread stops the work.
        """
        token = token_of_call(cancel)
        return waited(_calls.analyze(self._engine, Clip(video_path, data, live, seconds, options), token), token)

    def stream(
        self,
        video_path: StrPath | None = None,
        *,
        data: Buffer | BinaryIO | None = None,
        live: LiveBuffer | None = None,
        seconds: float | None = None,
        cancel: CancelToken | None = None,
        **options: Unpack[AnalyzeOptions],
    ) -> AnalysisStream:
        """As `analyze`, but gives the events one by one while the work goes on. What goes wrong is raised while they are fetched."""
        token = token_of_call(cancel)
        begin = _calls.stream(self._engine, Clip(video_path, data, live, seconds, options), token)
        return AnalysisStream(waited(begin, token), token)

    def session(
        self,
        video_path: StrPath | None = None,
        *,
        data: Buffer | BinaryIO | None = None,
        live: LiveBuffer | None = None,
        seconds: float | None = None,
        cancel: CancelToken | None = None,
        **options: Unpack[ClipOptions],
    ) -> Session:
        """Begins a conversation about a clip, which is decoded and read once. Takes as long as an analysis without its answer."""
        token = token_of_call(cancel)
        begin = _calls.session(self._engine, Clip(video_path, data, live, seconds, options), token)
        return Session(waited(begin, token))

    def close(self) -> None:
        """Frees the model once nothing runs on it. Closing twice is allowed."""
        self._engine.close()

    def __enter__(self) -> EmotionLLaMA:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class AnalysisStream(Iterator[Event]):
    """The events of an analysis that runs. Forgetting or closing it stops the work."""

    def __init__(self, handle: _library.Handle, token: CancelToken) -> None:
        self._handle = handle
        self._token = token
        self._result: Analysis | None = None

    def __iter__(self) -> AnalysisStream:
        return self

    def __next__(self) -> Event:
        if self._handle.closed:
            raise StopIteration
        event = waited(_calls.next_event(self._handle), self._token)
        if event is None:
            self._handle.close()
            raise StopIteration
        if isinstance(event, ResultEvent):
            self._result = event.analysis
        return event

    def result(self) -> Analysis:
        """Goes through the events that are left, and gives the analysis."""
        for _ in self:
            pass
        if self._result is None:
            raise InvalidArgumentError("this stream was closed before its result")
        return self._result

    def cancel(self) -> None:
        """Stops the work: the next event is `CancelledError`."""
        self._token.cancel()

    def close(self) -> None:
        """Stops the work, and frees what it had. Closing twice is allowed."""
        if not self._handle.closed:
            self._token.cancel()
            self._handle.close()

    def __enter__(self) -> AnalysisStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class Session:
    """A conversation about one clip. Answers one question at a time; another at the same time is `OverloadedError`."""

    def __init__(self, handle: _library.Handle) -> None:
        self._handle = handle

    def ask(
        self, *, cancel: CancelToken | None = None, **options: Unpack[QuestionOptions]
    ) -> Analysis:
        """Asks a question, after those before: a follow-up such as `"Why?"` is understood. One that fails or is cancelled leaves no trace."""
        token = token_of_call(cancel)
        return waited(_calls.ask(self._handle, options, token), token)

    def stream(
        self, *, cancel: CancelToken | None = None, **options: Unpack[QuestionOptions]
    ) -> AnalysisStream:
        """As `ask`, but gives the events one by one."""
        token = token_of_call(cancel)
        begin = _calls.ask_stream(self._handle, options, token)
        return AnalysisStream(waited(begin, token), token)

    def reset(self) -> None:
        """Forgets the questions and answers, and keeps the clip."""
        token = CancelToken()
        waited(_calls.reset(self._handle), token)

    def close(self) -> None:
        """Frees the conversation. Closing twice is allowed."""
        self._handle.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
