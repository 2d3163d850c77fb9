"""Measuring: our program's answers, alternation with a peer, what the machine could do at most."""

import os
import statistics
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("BENCH_PROGRAM", ROOT / "target/release/emotion-llama-bench"))
THREADS = int(os.environ.get("BENCH_THREADS", "2"))


class Ours:
    """The program that times our side: a line in, a number out."""

    program = [PROGRAM]

    def __enter__(self):
        self.process = subprocess.Popen(self.program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()

    def __call__(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        if not answer or answer.startswith("error"):
            raise RuntimeError(f"{' '.join(map(str, words))}: {answer or 'the program ended'}")
        return float(answer)


class Machine:
    """What this machine can do at most, with so many threads."""

    # What there is to say of a GPU: name, memory, gigabytes a second of its copies, TFLOP/s. The part `cuda` fills it in.
    gpu = None

    def __init__(self, ours):
        self.threads = THREADS
        self.read_gb_s = max(ours("machine", "read", THREADS) for _ in range(3))
        self.f32_gflop_s = max(ours("machine", "f32", THREADS) for _ in range(3))
        names = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo", encoding="ascii") if line.startswith("model name")]
        self.processor = f"{names[0]}, {len(names)} processors" if names else "unknown"

    def json(self):
        processor = {"processor": self.processor, "threads": self.threads, "read_gb_s": self.read_gb_s, "f32_gflop_s": self.f32_gflop_s}
        return processor | ({"gpu": self.gpu} if self.gpu else {})

    def __str__(self):
        processor = f"{self.processor}; {self.threads} threads read {self.read_gb_s:.1f} GB/s and do {self.f32_gflop_s:.0f} GFLOP/s in f32"
        if not self.gpu:
            return processor
        copies = "copies {copy_gb_s:.0f} GB/s (read and written) and does {f16_tflop_s:.0f} TFLOP/s in f16".format(**self.gpu)
        return f"{processor}; {self.gpu['name']} {copies}"


class Row:
    """One figure: ours, the peer's, how far it is from what the machine can do."""

    def __init__(self, name, unit, ours, peer, peer_name, limit=None, less=False):
        """`limit` is in `unit`; with `less`, less is better."""
        self.name, self.unit, self.peer_name, self.less = name, unit, peer_name, less
        self.ours, self.peer = Samples(ours), Samples(peer)
        self.limit = limit

    @property
    def ratio(self):
        """Above 1: ours is better."""
        ours, peer = self.ours.median, self.peer.median
        return peer / ours if self.less else ours / peer

    @property
    def limit_fraction(self):
        """1: as good as the machine allows. None where no limit is known."""
        if not self.limit:
            return None
        return self.limit / self.ours.median if self.less else self.ours.median / self.limit

    def json(self):
        return {
            "name": self.name,
            "ours": self.ours.median,
            "peer": self.peer.median,
            "unit": self.unit,
            "ratio": self.ratio,
            "limit_fraction": self.limit_fraction,
            "peer_name": self.peer_name,
            "ours_all": self.ours.all,
            "peer_all": self.peer.all,
        }

    def __str__(self):
        part = f", {self.limit_fraction:.0%} of the limit" if self.limit else ""
        return f"{self.name}: ours {self.ours} {self.unit}, {self.peer_name} {self.peer}: {self.ratio:.2f}x{part}"


class Samples:
    def __init__(self, values):
        self.all = list(values)
        self.median = statistics.median(self.all)

    def __str__(self):
        return f"{self.median:.4g} ({min(self.all):.4g} to {max(self.all):.4g})"


def alternate(rounds, ours, peers):
    """Amounts a second of ours and of each peer, measured in turns. The first turn warms up and is not counted."""
    measured = [[] for _ in range(1 + len(peers))]
    for turn in range(rounds + 1):
        for values, measure in zip(measured, [ours, *peers]):
            value = measure()
            if turn:
                values.append(value)
    return measured[0], measured[1:]


def table(machine, rows):
    lines = [f"{machine}.", "", "| what | ours | peer | | ratio | of the limit |", "|---|---|---|---|---|---|"]
    for row in rows:
        limit = f"{row.limit_fraction:.0%}" if row.limit else ""
        lines.append(f"| {row.name} | {row.ours} {row.unit} | {row.peer} | {row.peer_name} | {row.ratio:.2f} | {limit} |")
    return "\n".join(lines) + "\n"
