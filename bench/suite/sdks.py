"""What the SDKs cost: an analysis with its text, its events taken one by one, beside the same with the engine itself."""

import os
from contextlib import ExitStack
from pathlib import Path

from measure import ROOT, THREADS, Ours, Row, alternate

PACK = ROOT / "build/packs/emotion-llama-mini"
CLIP = ROOT / "build/clips/1001_DFA_ANG_XX.flv"
PROGRAMS = Path(os.environ.get("BENCH_SDKS", ROOT / "build/bench/sdks"))


class Sdk(Ours):
    """A program in the SDK's language: the same talk as with our program."""

    def __init__(self, program):
        self.program = [program, PACK, CLIP, str(THREADS)]


def rows(ours, machine, rounds):
    ours("pipeline", "load", PACK, THREADS)
    for program in sorted(PROGRAMS.glob("run_*")):
        with ExitStack() as stack:
            sdk = stack.enter_context(Sdk(program))
            values, (engine,) = alternate(rounds, lambda: 1e3 * sdk(""), [lambda: 1e3 * ours("pipeline", "each", CLIP, 1)])
        yield Row(f"sdk_{program.name.removeprefix('run_')}", "ms", values, engine, "the engine itself", less=True)
