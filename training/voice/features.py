"""Measured features of all versions of all clips, by the library's own code, so that training and use cannot differ.

Needs the examples `prosody_features` and `voice_features` of emotion-llama-core, built for release, and the pack's speech weights.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import subprocess

import numpy as np
from safetensors.numpy import load_file

LAYERS, HIDDEN = 4, 384
RAW = ("pitch_hz", "pitch_base_hz", "pitch_range_st", "energy_db", "rate_sps", "brightness")


@dataclasses.dataclass
class Version:
    """What was measured on one version of the corpus; rows in the order of the clips."""

    pooled: np.ndarray
    """`[clips, 3072]`, zeros where no voice was found."""
    prosody: np.ndarray
    """`[clips, 6]` in the order of `RAW`, pitches in semitones over 1 Hz; NaN where no voice was found."""

    @property
    def heard(self) -> np.ndarray:
        """Clips in which a voice was found."""
        return ~np.isnan(self.prosody).any(1)


def run_pooling(tools: pathlib.Path, pack: pathlib.Path, paths: list[pathlib.Path], work: pathlib.Path) -> np.ndarray:
    """`[len(paths), 3072]` from the Rust encoder."""
    work.mkdir(parents=True, exist_ok=True)
    listing, output = work / "list.txt", work / "pooled.safetensors"
    listing.write_text("".join(f"{path}\n" for path in paths))
    subprocess.run([tools / "voice_features", pack, listing, output], check=True, stderr=subprocess.DEVNULL)
    pooled = load_file(output)["features"]
    listing.unlink(), output.unlink()
    return pooled


def measure(tools: pathlib.Path, pack: pathlib.Path, audio: pathlib.Path, work: pathlib.Path, names: list[str], version: str) -> Version:
    """Prosody and pooled encoder states of one version; kept in `work` for the next run."""
    kept = work / f"features.{version}.npz"
    if kept.exists():
        data = np.load(kept)
        return Version(data["pooled"], data["prosody"])
    conditioned = work / "conditioned"
    conditioned.mkdir(parents=True, exist_ok=True)
    paths = [audio / f"{name}.{version}.f32" for name in names]
    listing = "".join(f"{path}\n" for path in paths)
    command = [tools / "prosody_features", "--conditioned", conditioned]
    lines = subprocess.run(command, input=listing, capture_output=True, text=True, check=True).stdout.splitlines()
    prosody = np.full((len(names), len(RAW)), np.nan)
    for row, line in zip(prosody, lines, strict=True):
        found = json.loads(line)
        if found and found["pitch_hz"]:
            row[:] = [found[key] for key in RAW]
            row[:2] = 12 * np.log2(row[:2])
    heard = np.flatnonzero(~np.isnan(prosody).any(1))
    pooled = np.zeros((len(names), LAYERS * 2 * HIDDEN), np.float32)
    pooled[heard] = run_pooling(tools, pack, [conditioned / paths[i].name for i in heard], work)
    np.savez(kept, pooled=pooled, prosody=prosody)
    return Version(pooled, prosody)


def unconditioned(tools: pathlib.Path, pack: pathlib.Path, audio: pathlib.Path, work: pathlib.Path, names: list[str], version: str) -> np.ndarray:
    """Pooled states of the clips as they are, for the baseline."""
    kept = work / f"unconditioned.{version}.npy"
    if not kept.exists():
        np.save(kept, run_pooling(tools, pack, [audio / f"{name}.{version}.f32" for name in names], work))
    return np.load(kept)
