"""The C ABI as ctypes sees it: every constant, struct, callback and function of `ffi/abi.json`, and nothing else.

ctypes and not cffi: it is in the standard library, so the wheel needs no other; in ABI mode cffi would do the same at run time and be a
dependency. Calls through a `CDLL` release the GIL.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, Structure, c_bool, c_char_p, c_double, c_size_t, c_uint32, c_uint64, c_void_p
from typing import Any

CONSTANTS = {
    "EMOTION_LLAMA_ABI_VERSION": 1,
    "EMOTION_LLAMA_PIXELS_RGB": 1,
    "EMOTION_LLAMA_PIXELS_BGR": 2,
    "EMOTION_LLAMA_PIXELS_RGBA": 3,
    "EMOTION_LLAMA_PIXELS_BGRA": 4,
    "EMOTION_LLAMA_PIXELS_NV12": 5,
    "EMOTION_LLAMA_PIXELS_I420": 6,
    "EMOTION_LLAMA_PIXELS_GRAY": 7,
    "EMOTION_LLAMA_SAMPLES_I16": 1,
    "EMOTION_LLAMA_SAMPLES_F32": 2,
    "EMOTION_LLAMA_LOG_ERROR": 1,
    "EMOTION_LLAMA_LOG_WARN": 2,
    "EMOTION_LLAMA_LOG_INFO": 3,
    "EMOTION_LLAMA_LOG_DEBUG": 4,
    "EMOTION_LLAMA_LOG_TRACE": 5,
    "EMOTION_LLAMA_INVALID_ARGUMENT": 1,
    "EMOTION_LLAMA_MEDIA_UNDECODABLE": 2,
    "EMOTION_LLAMA_MEDIA_TOO_LARGE": 3,
    "EMOTION_LLAMA_NOT_FOUND": 4,
    "EMOTION_LLAMA_PACK_INVALID": 5,
    "EMOTION_LLAMA_OUT_OF_MEMORY": 6,
    "EMOTION_LLAMA_OVERLOADED": 7,
    "EMOTION_LLAMA_CANCELLED": 8,
    "EMOTION_LLAMA_TIMEOUT": 9,
    "EMOTION_LLAMA_INTERNAL": 10,
    "EMOTION_LLAMA_UNREACHABLE": 11,
}

PIXELS = {name[21:].lower(): value for name, value in CONSTANTS.items() if name.startswith("EMOTION_LLAMA_PIXELS_")}
SAMPLES = {name[22:].lower(): value for name, value in CONSTANTS.items() if name.startswith("EMOTION_LLAMA_SAMPLES_")}
LEVELS = {name[18:].lower(): value for name, value in CONSTANTS.items() if name.startswith("EMOTION_LLAMA_LOG_")}


class Media(Structure):
    """`emotion_llama_media`"""

    _fields_ = [
        ("size", c_size_t),
        ("data", c_void_p),
        ("length", c_size_t),
        ("live", c_void_p),
        ("seconds", c_double),
    ]


class Frame(Structure):
    """`emotion_llama_frame`"""

    _fields_ = [
        ("size", c_size_t),
        ("format", c_uint32),
        ("width", c_uint32),
        ("height", c_uint32),
        ("reserved", c_uint32),
        ("time_s", c_double),
        ("planes", c_void_p * 3),
        ("strides", c_size_t * 3),
        ("lengths", c_size_t * 3),
    ]


class Samples(Structure):
    """`emotion_llama_samples`"""

    _fields_ = [
        ("size", c_size_t),
        ("format", c_uint32),
        ("rate", c_uint32),
        ("channels", c_uint32),
        ("reserved", c_uint32),
        ("time_s", c_double),
        ("data", c_void_p),
        ("count", c_size_t),
    ]


STRUCTS: dict[str, type[Structure]] = {
    "emotion_llama_media": Media,
    "emotion_llama_frame": Frame,
    "emotion_llama_samples": Samples,
}

ProgressFunction = ctypes.CFUNCTYPE(c_bool, c_void_p, c_uint64, c_uint64)
LogFunction = ctypes.CFUNCTYPE(None, c_void_p, c_uint32, c_char_p, c_char_p)

CALLBACKS: dict[str, Any] = {
    "emotion_llama_progress_function": ProgressFunction,
    "emotion_llama_log_function": LogFunction,
}

# Handles and statuses are plain addresses here; the modules that use them keep them apart.
_HANDLE = c_void_p
_OUT = POINTER(c_void_p)
_STATUS = c_void_p

# name: (what it returns, what it takes)
FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "emotion_llama_abi_version": (c_uint32, []),
    "emotion_llama_version": (c_char_p, []),
    "emotion_llama_cancel_new": (_STATUS, [_OUT]),
    "emotion_llama_cancel_request": (None, [_HANDLE]),
    "emotion_llama_cancel_requested": (c_bool, [_HANDLE]),
    "emotion_llama_cancel_free": (None, [_HANDLE]),
    "emotion_llama_set_thread_count": (None, [c_uint32]),
    "emotion_llama_engine_open": (_STATUS, [c_char_p, _HANDLE, ProgressFunction, c_void_p, _OUT]),
    "emotion_llama_engine_info": (_STATUS, [_HANDLE, _OUT]),
    "emotion_llama_analyze": (_STATUS, [_HANDLE, c_char_p, POINTER(Media), _HANDLE, _OUT]),
    "emotion_llama_engine_free": (None, [_HANDLE]),
    "emotion_llama_live_new": (_STATUS, [c_char_p, _OUT]),
    "emotion_llama_live_push_frame": (_STATUS, [_HANDLE, POINTER(Frame)]),
    "emotion_llama_live_push_samples": (_STATUS, [_HANDLE, POINTER(Samples)]),
    "emotion_llama_live_info": (_STATUS, [_HANDLE, _OUT]),
    "emotion_llama_live_clear": (None, [_HANDLE]),
    "emotion_llama_live_free": (None, [_HANDLE]),
    "emotion_llama_set_log": (_STATUS, [LogFunction, c_void_p, c_uint32]),
    "emotion_llama_session_new": (_STATUS, [_HANDLE, c_char_p, POINTER(Media), _HANDLE, _OUT]),
    "emotion_llama_session_ask": (_STATUS, [_HANDLE, c_char_p, _HANDLE, _OUT]),
    "emotion_llama_session_ask_stream": (_STATUS, [_HANDLE, c_char_p, _HANDLE, _OUT]),
    "emotion_llama_session_reset": (_STATUS, [_HANDLE]),
    "emotion_llama_session_free": (None, [_HANDLE]),
    "emotion_llama_status_code": (c_uint32, [_STATUS]),
    "emotion_llama_status_name": (c_char_p, [_STATUS]),
    "emotion_llama_status_message": (c_char_p, [_STATUS]),
    "emotion_llama_status_free": (None, [_STATUS]),
    "emotion_llama_analyze_stream": (_STATUS, [_HANDLE, c_char_p, POINTER(Media), _HANDLE, _OUT]),
    "emotion_llama_stream_next": (_STATUS, [_HANDLE, _OUT]),
    "emotion_llama_stream_free": (None, [_HANDLE]),
    "emotion_llama_text_data": (c_void_p, [_HANDLE]),
    "emotion_llama_text_length": (c_size_t, [_HANDLE]),
    "emotion_llama_text_free": (None, [_HANDLE]),
}


def declare(library: ctypes.CDLL) -> None:
    """Tells `library` the types of its functions. AttributeError names one that it does not have."""
    for name, (returns, takes) in FUNCTIONS.items():
        function = getattr(library, name)
        function.restype = returns
        function.argtypes = takes
