#!/usr/bin/env python3
"""So many analyses in one process, and its memory at first and at last: memory.py [500]"""

from __future__ import annotations

import sys
import time

import emotion_llama as el
from support import SMALL_PACK, tone


def resident_mib() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096 / 2**20


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    began = time.monotonic()
    with el.EmotionLLaMA(SMALL_PACK) as client:
        for run in range(1, runs + 1):
            client.analyze(data=tone(), transcript="none", greedy=True, max_new_tokens=2)
            list(client.stream(data=tone(), transcript="none", greedy=True, max_new_tokens=2))
            try:
                client.analyze("/no/such/clip.mp4")
            except el.NotFoundError:
                pass
            if run in (10, runs // 2, runs):
                print(f"after {run} rounds of an analysis, a stream and a failure: {resident_mib():.1f} MiB", flush=True)
    print(f"{runs} rounds in {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    main()
