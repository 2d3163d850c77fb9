"""Memory of other objects, without copies: anything with the buffer protocol, such as bytes, arrays and NumPy's arrays."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_char_p, c_int, c_ssize_t, c_void_p
from typing import Any

from .errors import InvalidArgumentError

_FULL_RO = 0x011C  # PyBUF_FULL_RO


class _PyBuffer(ctypes.Structure):
    """CPython's `Py_buffer`: part of its stable ABI since 3.11, and the same since 3.3."""

    _fields_ = [
        ("buf", c_void_p),
        ("obj", c_void_p),
        ("len", c_ssize_t),
        ("itemsize", c_ssize_t),
        ("readonly", c_int),
        ("ndim", c_int),
        ("format", c_char_p),
        ("shape", c_void_p),
        ("strides", c_void_p),
        ("suboffsets", c_void_p),
        ("internal", c_void_p),
    ]


_get = ctypes.pythonapi.PyObject_GetBuffer
_get.restype, _get.argtypes = c_int, [ctypes.py_object, POINTER(_PyBuffer), c_int]
_release = ctypes.pythonapi.PyBuffer_Release
_release.restype, _release.argtypes = None, [POINTER(_PyBuffer)]


class Memory:
    """The memory of `thing` while this is alive."""

    def __init__(self, thing: Any, what: str) -> None:
        try:
            self._view = memoryview(thing)
        except TypeError:
            raise InvalidArgumentError(
                f"{what} is of type {type(thing).__name__}; give bytes, an array or another buffer"
            ) from None

    @property
    def kind(self) -> str:
        """The type of an item, as the struct module writes it, without its byte order."""
        return self._view.format.lstrip("@=<")

    @property
    def itemsize(self) -> int:
        return self._view.itemsize

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self._view.shape or ())

    @property
    def strides(self) -> tuple[int, ...]:
        """Bytes from one item of an axis to the next."""
        return tuple(self._view.strides or ())

    @property
    def nbytes(self) -> int:
        """Bytes of all items, without gaps."""
        return self._view.nbytes

    @property
    def is_packed(self) -> bool:
        """Whether the items follow each other without gaps."""
        return self._view.c_contiguous

    def packed(self) -> Memory:
        """This, or a copy whose items follow each other without gaps; a copy forgets the shape."""
        return self if self.is_packed else Memory(self._view.tobytes(), "a copy")

    @property
    def address(self) -> int:
        """Of the first item."""
        buffer = _PyBuffer()
        _get(self._view, ctypes.byref(buffer), _FULL_RO)
        address = int(buffer.buf or 0)
        # The memoryview goes on holding the memory where it is.
        _release(ctypes.byref(buffer))
        return address
