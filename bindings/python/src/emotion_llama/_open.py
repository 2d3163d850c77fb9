"""The options that an engine is opened with, and where the built-in model is looked for."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any, Callable, Mapping

from . import _abi, _library
from ._wait import stopped_at_the_end
from .cancel import CancelToken
from .errors import InvalidArgumentError, NotFoundError
from .options import Progress, StrPath
from .results import EngineInfo

ENVIRONMENT = "EMOTION_LLAMA_PACK"
BUILT_IN = "emotion-llama-mini"
_MODEL_PACKAGE = "emotion_llama_model_mini"


def options_of(
    pack: StrPath | None,
    api_url: str | None,
    *,
    api_key: str | None,
    timeout_s: float | None,
    connect_timeout_s: float | None,
    ca_file: StrPath | None,
    upload: str | None,
    search: list[StrPath] | None,
    verify: bool | None,
    threads: int | None,
    device: str | None,
    options: Mapping[str, Any] | None,
) -> bytes:
    """The JSON for `engine_open`."""
    if pack is not None and api_url is not None:
        raise InvalidArgumentError("pack and api_url are both given; give one of them, or none for the built-in model")
    if api_url is not None and not api_url.lower().startswith(("http://", "https://")):
        raise InvalidArgumentError(f"api_url is {api_url!r}; it begins with http:// or https://")
    source: StrPath = api_url if api_url is not None else pack if pack is not None else built_in()
    remote = {
        "api_key": api_key,
        "timeout_s": timeout_s,
        "connect_timeout_s": connect_timeout_s,
        "ca_file": ca_file,
        "upload": upload,
    }
    local: dict[str, Any] = {"search": search, "verify": verify, "threads": threads, "device": device}
    if api_url is None:
        local["search"] = search if search is not None else [directory for directory in _directories() if directory.is_dir()]
    return _library.to_json({"source": os.fspath(source), **remote, **local, **(options or {})})


def _directories() -> list[Path]:
    """Where packs lie by name: in the model's package, beside the library."""
    found = []
    spec = importlib.util.find_spec(_MODEL_PACKAGE)
    for place in (spec.submodule_search_locations or []) if spec else []:
        found.append(Path(place) / "packs")
    beside = _library.directory()
    if beside is not None:
        found += [beside.parent / "share" / "emotion-llama" / "packs", beside / "packs"]
    return found


def built_in() -> Path:
    """The built-in model's directory."""
    for directory in _directories():
        if (directory / BUILT_IN / "pack.json").is_file():
            return directory / BUILT_IN
    named = os.environ.get(ENVIRONMENT)
    if named:
        return Path(named)
    raise NotFoundError(
        "the built-in model is not installed; run `pip install emotion-llama-model-mini`, give pack=, name its directory in "
        f"{ENVIRONMENT}, or give api_url="
    )


def opener(json: bytes, progress: Progress | None, token: CancelToken) -> Callable[[], _library.Handle]:
    """A call that loads the model."""

    def call() -> _library.Handle:
        lib = _library.library()
        raised: list[BaseException] = []

        def report(_userdata: Any, done: int, total: int) -> bool:
            try:
                return progress is None or progress(done, total) is not False
            except BaseException as error:  # raised again below; it must not go through the library
                raised.append(error)
                return False

        function = _abi.ProgressFunction(report) if progress else _abi.ProgressFunction()

        def load() -> _library.Handle:
            with token._handle.use() as cancel:
                return _library.Handle("engine", lambda out: lib.emotion_llama_engine_open(json, cancel, function, None, out))

        try:
            return stopped_at_the_end(load, token) if progress else load()
        except Exception:
            if raised:
                raise raised.pop() from None
            raise

    return call


def info_of(engine: _library.Handle) -> EngineInfo:
    """What the engine tells of itself."""
    out = _library.Out()
    with engine.use() as address:
        _library.check(_library.library().emotion_llama_engine_info(address, out.reference))
    return EngineInfo.from_json(out.json())

