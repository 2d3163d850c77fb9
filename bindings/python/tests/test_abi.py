"""Every constant, struct, callback and function of ffi/abi.json is bound, as it is there, and nothing else."""

from __future__ import annotations

import ctypes
import json
import unittest
from ctypes import c_bool, c_char_p, c_double, c_size_t, c_uint32, c_uint64, c_void_p
from typing import Any

from emotion_llama import _abi, _library, errors
from support import REPOSITORY

ABI = json.loads((REPOSITORY / "ffi/abi.json").read_text(encoding="utf-8"))
STRUCT_POINTERS = {name: ctypes.POINTER(struct) for name, struct in _abi.STRUCTS.items()}
PLAIN = {"void": None, "bool": c_bool, "double": c_double, "size_t": c_size_t, "uint32_t": c_uint32, "uint64_t": c_uint64}


def bound(c_type: str) -> Any:
    """What `c_type` is in ctypes."""
    words = c_type.replace("*", " * ").split()
    stars = words.count("*")
    names = [word for word in words if word not in ("const", "struct", "*")]
    assert len(names) == 1, c_type
    name = names[0]
    if stars == 0:
        return _abi.CALLBACKS.get(name) or PLAIN[name]
    if stars == 2:
        return ctypes.POINTER(c_void_p)
    if name == "char":
        return c_char_p
    return STRUCT_POINTERS.get(name, c_void_p)


def declared(text: str) -> tuple[str, str, int]:
    """Type, name and number of items of `const char *name[3]`."""
    text, _, count = text.partition("[")
    head, star, name = text.rpartition("*")
    if not star:
        head, _, name = text.rpartition(" ")
    return (head + star).strip(), name.strip(), int(count.rstrip("]")) if count else 0


class Abi(unittest.TestCase):
    def test_constants(self) -> None:
        self.assertEqual(_abi.CONSTANTS, ABI["constants"])
        self.assertEqual(ABI["abi_version"], _abi.CONSTANTS["EMOTION_LLAMA_ABI_VERSION"])

    def test_every_code_has_its_class(self) -> None:
        groups = ("ABI", "PIXELS", "SAMPLES", "LOG")
        codes = {
            name[14:].lower(): value for name, value in _abi.CONSTANTS.items() if name.split("_")[2] not in groups
        }
        self.assertEqual({kind._NAME: code for code, kind in errors.KINDS.items()}, codes)

    def test_structs(self) -> None:
        self.assertEqual(set(_abi.STRUCTS), set(ABI["structs"]))
        for name, fields in ABI["structs"].items():
            expected: list[tuple[str, Any]] = []
            for field in fields:
                c_type, field_name, count = declared(field)
                kind = c_void_p if "*" in c_type else bound(c_type)
                expected.append((field_name, kind * count if count else kind))
            struct = _abi.STRUCTS[name]
            self.assertEqual([tuple(field[:2]) for field in struct._fields_], expected, name)
            again = type("Again", (ctypes.Structure,), {"_fields_": expected})
            self.assertEqual(ctypes.sizeof(struct), ctypes.sizeof(again), name)

    def test_callbacks(self) -> None:
        self.assertEqual(set(_abi.CALLBACKS), set(ABI["callbacks"]))
        for name, callback in ABI["callbacks"].items():
            kind = _abi.CALLBACKS[name]
            self.assertEqual(kind._restype_, bound(callback["returns"]), name)
            taken = [bound(declared(parameter)[0]) for parameter in callback["parameters"]]
            self.assertEqual(list(kind._argtypes_), taken, name)

    def test_functions(self) -> None:
        self.assertEqual(set(_abi.FUNCTIONS), set(ABI["functions"]))
        for name, function in ABI["functions"].items():
            returns, takes = _abi.FUNCTIONS[name]
            # The bytes of a text are taken with their length.
            expected = c_void_p if name == "emotion_llama_text_data" else bound(function["returns"])
            self.assertEqual(returns, expected, name)
            taken = [bound(declared(parameter)[0]) for parameter in function["parameters"]]
            self.assertEqual(takes, taken, name)

    def test_every_function_is_used_and_in_the_library(self) -> None:
        sources = "".join(
            path.read_text(encoding="utf-8")
            for path in (REPOSITORY / "bindings/python/src/emotion_llama").glob("*.py")
            if path.name != "_abi.py"
        )
        for name in _abi.FUNCTIONS:
            getattr(_library.library(), name)
            # A handle is freed by the name of its kind.
            kind = name[len("emotion_llama_") : -len("_free")]
            is_handles = name.endswith("_free") and f'Handle("{kind}"' in sources
            self.assertTrue(is_handles or name in sources, f"{name} is not used")


if __name__ == "__main__":
    unittest.main()
