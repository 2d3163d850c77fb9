"""Pictures and sound of a running program."""

from __future__ import annotations

from ctypes import byref, sizeof
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Sequence, Union

from . import _abi, _library
from ._buffers import Memory
from .errors import InvalidArgumentError
from .results import LiveInfo

if TYPE_CHECKING:
    from typing_extensions import Buffer

PixelFormat = Literal["rgb", "bgr", "rgba", "bgra", "nv12", "i420", "gray"]

_BYTES_PER_PIXEL = {"rgb": 3, "bgr": 3, "rgba": 4, "bgra": 4, "gray": 1}
_PLANES = {"nv12": 2, "i420": 3}


class LiveBuffer:
    """The last seconds of a camera and a microphone. May be used by several threads at once. Give it to `analyze`, `stream` or `session`.

    `seconds` are kept (0.1 to 120, default 10); pictures are scaled down so that the longer side has at most `max_side` pixels (default
    1280); pictures that come faster than `max_frames_per_second` are left out (default 15).
    """

    def __init__(
        self,
        *,
        seconds: float | None = None,
        max_side: int | None = None,
        max_frames_per_second: float | None = None,
    ) -> None:
        lib = _library.library()
        options = {"seconds": seconds, "max_side": max_side, "max_frames_per_second": max_frames_per_second}
        json = _library.to_json(options)
        self._handle = _library.Handle("live", lambda out: lib.emotion_llama_live_new(json, out))

    def push_frame(
        self,
        pixels: Buffer | Sequence[Buffer],
        *,
        time_s: float,
        format: PixelFormat = "rgb",
        width: int | None = None,
        height: int | None = None,
    ) -> None:
        """Takes one picture, or leaves it out when pictures come too fast.

        `pixels` is an array `[height, width, channels]`, or `[height, width]` for grey, of bytes; it is read where it lies, also when its rows
        have gaps between them, as those of a crop have. Or bytes without gaps, with `width` and `height` given. `nv12` and `i420` need both
        and are one buffer, or one for each plane. `time_s` is on any clock that the sound has too and that does not go back.
        """
        if format not in _abi.PIXELS:
            raise InvalidArgumentError(f"format is {format!r}; give one of {', '.join(_abi.PIXELS)}")
        frame = _abi.Frame(size=sizeof(_abi.Frame), format=_abi.PIXELS[format], time_s=time_s)
        # Held until the call is over.
        planes = self._planes(frame, pixels, format, width, height)
        with self._handle.use() as address:
            _library.check(_library.library().emotion_llama_live_push_frame(address, byref(frame)))
        del planes

    def _planes(
        self,
        frame: _abi.Frame,
        pixels: Buffer | Sequence[Buffer],
        format: str,
        width: int | None,
        height: int | None,
    ) -> list[Memory]:
        if format in _PLANES:
            return _subsampled(frame, pixels, format, width, height)
        size = _BYTES_PER_PIXEL[format]
        memory = Memory(pixels, "the picture")
        if memory.itemsize != 1:
            raise InvalidArgumentError(f"the picture's items have {memory.itemsize} bytes; give bytes (uint8)")
        shape, is_flat = memory.shape, len(memory.shape) == 1
        if not is_flat and shape not in ((*shape[:2], size), shape[:2] if size == 1 else ()):
            raise InvalidArgumentError(f"the picture has the shape {list(shape)}; give [height, width, {size}] for {format}")
        if is_flat and (width is None or height is None):
            raise InvalidArgumentError("give width and height beside bytes")
        rows, columns = (height, width) if is_flat else shape[:2]
        if (width, height) not in ((None, None), (columns, rows)):
            raise InvalidArgumentError(f"the picture has the shape {list(shape)}, but width {width} and height {height} are given")
        rows, columns = _count("height", rows), _count("width", columns)
        row_bytes = columns * size
        stride = row_bytes
        if not is_flat and memory.strides[1:] == ((size, 1) if len(shape) == 3 else (1,)) and memory.strides[0] >= row_bytes:
            stride = memory.strides[0]
            length = stride * (rows - 1) + row_bytes
        else:
            memory = memory.packed()
            length = memory.nbytes
        frame.width, frame.height = columns, rows
        frame.planes[0], frame.strides[0], frame.lengths[0] = memory.address, stride, length
        return [memory]

    def push_samples(
        self,
        samples: Buffer,
        *,
        time_s: float,
        rate: int,
        channels: int | None = None,
    ) -> None:
        """Takes a piece of sound: 16-bit integers, or 32-bit floats with full scale 1, interleaved; `[samples]` or `[samples, channels]`.

        `rate` is in hertz. `time_s` is when the first sample was taken. Pieces that follow each other become one sound without seams.
        """
        memory = Memory(samples, "the sound")
        kinds: dict[tuple[str, int], str] = {("h", 2): "i16", ("f", 4): "f32"}
        kind = kinds.get((memory.kind, memory.itemsize))
        if kind is None:
            raise InvalidArgumentError(f"the sound's items are of the type {memory.kind!r}; give int16 or float32")
        shape = memory.shape
        if len(shape) > 2 or (len(shape) == 2 and channels not in (None, shape[1])):
            raise InvalidArgumentError(f"the sound has the shape {list(shape)}; give [samples] or [samples, channels]")
        given = channels if channels is not None else shape[1] if len(shape) == 2 else 1
        itemsize = memory.itemsize
        memory = memory.packed()
        piece = _abi.Samples(
            size=sizeof(_abi.Samples),
            format=_abi.SAMPLES[kind],
            rate=_count("rate", rate),
            channels=_count("channels", given),
            time_s=time_s,
            data=memory.address,
            count=memory.nbytes // itemsize,
        )
        with self._handle.use() as address:
            _library.check(_library.library().emotion_llama_live_push_samples(address, byref(piece)))
        del memory

    @property
    def info(self) -> LiveInfo:
        """What is held now."""
        lib, out = _library.library(), _library.Out()
        with self._handle.use() as address:
            _library.check(lib.emotion_llama_live_info(address, out.reference))
        json = out.json()
        return LiveInfo(json.get("frames", 0), json.get("duration_s", 0.0), json.get("memory_bytes", 0))

    def clear(self) -> None:
        """Forgets all pictures and all sound; the clock begins anew."""
        with self._handle.use() as address:
            _library.library().emotion_llama_live_clear(address)

    def close(self) -> None:
        """Frees the buffer; an analysis that was given it goes on. Closing twice is allowed."""
        self._handle.close()

    def __enter__(self) -> LiveBuffer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _subsampled(
    frame: _abi.Frame, pixels: Buffer | Sequence[Buffer], format: str, width: int | None, height: int | None
) -> list[Memory]:
    if width is None or height is None:
        raise InvalidArgumentError(f"give width and height with {format}")
    columns, rows = _count("width", width), _count("height", height)
    half_columns, half_rows = (columns + 1) // 2, (rows + 1) // 2
    row_bytes = [columns, 2 * half_columns] if format == "nv12" else [columns, half_columns, half_columns]
    lengths = [size * (rows if plane == 0 else half_rows) for plane, size in enumerate(row_bytes)]
    given: list[Memory]
    if isinstance(pixels, (list, tuple)):
        given = [Memory(plane, "a plane").packed() for plane in pixels]
        addresses = [plane.address for plane in given]
        held = [plane.nbytes for plane in given]
    else:
        whole = Memory(pixels, "the picture").packed()
        given, start = [whole], whole.address
        offsets = [sum(lengths[:plane]) for plane in range(len(lengths))]
        addresses = [start + offset for offset in offsets]
        held = [max(0, min(length, whole.nbytes - offset)) for length, offset in zip(lengths, offsets)]
    if len(addresses) != len(lengths):
        raise InvalidArgumentError(f"{len(addresses)} planes given; {format} has {len(lengths)}")
    frame.width, frame.height = columns, rows
    for plane, (address, stride, length) in enumerate(zip(addresses, row_bytes, held)):
        frame.planes[plane], frame.strides[plane], frame.lengths[plane] = address, stride, length
    return given


def _count(name: str, value: Union[int, None]) -> int:
    if not isinstance(value, int) or not 0 <= value < 2**32:
        raise InvalidArgumentError(f"{name} is {value}; give a whole number from 1 on")
    return value
