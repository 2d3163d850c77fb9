"""Whole analyses with the built-in model: how soon the label is there, how many run at once, how much memory they take.

Where there is no peer the goal stands in its place, and a ratio above 1 is within it.
"""

import json
import os
import subprocess
import time

from measure import ROOT, THREADS, Row, alternate

PACK = ROOT / "build/packs/emotion-llama-mini"
# 2.2 s of video with sound, somebody speaks.
CLIP = ROOT / "build/clips/1001_DFA_ANG_XX.flv"
PROGRAM = ROOT / "target/release/emotion-llama"
GOAL_WARM_MS, GOAL_COLD_MS, GOAL_PEAK_MB = 250, 600, 450
TOGETHER = 8


def cold():
    """Milliseconds from the start of a process to its answer, and the most megabytes that it had in memory."""
    began = time.perf_counter()
    words = [PROGRAM, "analyze", CLIP, "--pack", PACK, "--task", "emotion", "--json"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    answer = process.stdout.readline()
    took = time.perf_counter() - began
    process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0 or "emotion" not in json.loads(answer):
        raise RuntimeError(f"analyze says {answer!r}")
    return 1e3 * took, used.ru_maxrss * 1024 / 1e6


def rows(ours, machine, rounds):
    ours("pipeline", "load", PACK, THREADS)
    labels, _ = alternate(rounds, lambda: 1e3 * ours("pipeline", "label", CLIP), [])
    yield Row("label_warm", "ms", labels, [GOAL_WARM_MS], "goal", less=True)
    runs, _ = alternate(rounds, cold, [])
    yield Row("label_cold", "ms", [run[0] for run in runs], [GOAL_COLD_MS], "goal", less=True)
    yield Row("peak_memory", "MB", [run[1] for run in runs], [GOAL_PEAK_MB], "goal", less=True)
    together, each = alternate(
        max(3, rounds // 3),
        lambda: TOGETHER / ours("pipeline", "together", CLIP, TOGETHER),
        [lambda: TOGETHER / ours("pipeline", "each", CLIP, TOGETHER)],
    )
    yield Row(f"analyses_{TOGETHER}_together", "analyses/s", together, each[0], "one after the other")
