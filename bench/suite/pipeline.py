"""Whole analyses with the built-in model: how soon the label is there, how many run at once, how much memory they take.

Where there is no peer the goal stands in its place, and a ratio above 1 is within it.
"""

import json
import subprocess
import sys
from pathlib import Path

from measure import ROOT, THREADS, Row, alternate
from shapes import A_SECOND, LAYERS_MINI, OUTPUT_MINI, encoder_seconds, heard, prefill_limit

PACK = ROOT / "build/packs/emotion-llama-mini"
# Video with sound, somebody speaks.
CLIP = ROOT / "build/clips/1001_DFA_ANG_XX.flv"
SECONDS = 2.2
# What is looked at of it, and the prompt's positions that are not shared with every other prompt.
FRAMES, PROMPT = 12, 42
MEASURING = Path(__file__).with_name("process.py")
PROGRAM = ROOT / "target/release/emotion-llama"
GOAL_WARM_MS, GOAL_COLD_MS, GOAL_PEAK_MB = 250, 600, 450
TOGETHER = 8


def cold():
    """Milliseconds from the start of a process to its answer, and the most megabytes that it had in memory."""
    words = [PROGRAM, "analyze", CLIP, "--pack", PACK, "--task", "emotion", "--json"]
    run = subprocess.run([sys.executable, MEASURING, *words], stdout=subprocess.PIPE, text=True, check=True)
    took, used, answer = json.loads(run.stdout)
    if "emotion" not in json.loads(answer):
        raise RuntimeError(f"analyze says {answer!r}")
    return 1e3 * took, used / 1e6


def label_seconds(ours, machine):
    """At least, for what can be counted beforehand: the face nets, the voice, the sound encoded for its words, the prompt."""
    ours("face", "load", PACK, CLIP, FRAMES, THREADS)
    faces = ours("face", "operations") / (1e9 * machine.f32_gflop_s)
    sound = encoder_seconds(machine, int(SECONDS * A_SECOND)) + encoder_seconds(machine, heard(SECONDS))
    i16 = max(ours("machine", "i16", THREADS) for _ in range(3))
    # No i16 peak is measured on some processors.
    prompt = PROMPT / prefill_limit(i16, LAYERS_MINI, OUTPUT_MINI, PROMPT) if i16 else 0
    return faces + sound + prompt


def rows(ours, machine, rounds):
    least = label_seconds(ours, machine)
    ours("pipeline", "load", PACK, THREADS)
    labels, _ = alternate(rounds, lambda: 1e3 * ours("pipeline", "label", CLIP), [])
    yield Row("label_warm", "ms", labels, [GOAL_WARM_MS], "goal", 1e3 * least, less=True)
    runs, _ = alternate(rounds, cold, [])
    yield Row("label_cold", "ms", [run[0] for run in runs], [GOAL_COLD_MS], "goal", 1e3 * least, less=True)
    yield Row("peak_memory", "MB", [run[1] for run in runs], [GOAL_PEAK_MB], "goal", less=True)
    together, each = alternate(
        max(3, rounds // 3),
        lambda: TOGETHER / ours("pipeline", "together", CLIP, TOGETHER),
        [lambda: TOGETHER / ours("pipeline", "each", CLIP, TOGETHER)],
    )
    yield Row(f"analyses_{TOGETHER}_together", "analyses/s", together, each[0], "one after the other", 1 / least)
