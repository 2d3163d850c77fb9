"""The language model against llama.cpp, whose C API is timed around `llama_decode`.

The 7B shape has random weights, the same file for both. One file at a time lies in the work directory (4 or 7 GB; `BENCH_WORK`
names another than build/bench); it is removed afterwards.
"""

import os
import time
from pathlib import Path

import llama_cpp as cpp

from measure import ROOT, THREADS, Row, alternate
from shapes import LAYERS_MINI, OUTPUT_MINI, prefill_limit

MINI = ROOT / "build/packs/emotion-llama-mini/llm.gguf"
WORK = Path(os.environ.get("BENCH_WORK", ROOT / "build/bench"))
# Of the same size as ours (Q4_1) or larger, and Q4_0, its fastest.
QUANTISED = {"Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q4_K_M": 15}
# Of the 7B shape, in the order in which they are measured.
SHAPES = {"7b_q4k": "q4_k", "7b_q40": "q4_0", "7b_q80": "q8_0"}
# LLaMA-2-7B's matrices inside of the layers, and its output; one token is multiplied with both, of a prompt the last one only with the output.
LAYERS_7B, OUTPUT_7B = 32 * (4 * 4096 * 4096 + 3 * 4096 * 11008), 32000 * 4096
# What a token reads of the file: all but the embedding, of which it reads one row.
READ_7B = (LAYERS_7B + OUTPUT_7B) / (LAYERS_7B + 2 * OUTPUT_7B)
BATCH = 8


@cpp.llama_log_callback
def silent(_level, _text, _data):
    """Takes what llama.cpp would print."""


cpp.llama_log_set(silent, None)


def quantised(kind):
    """The mini model as llama.cpp stores it."""
    path = WORK / f"mini.{kind}.gguf"
    if not path.exists():
        options = cpp.llama_model_quantize_default_params()
        options.ftype, options.allow_requantize, options.nthread = QUANTISED[kind], True, THREADS
        if cpp.llama_model_quantize(str(MINI).encode(), str(path).encode(), options) != 0:
            raise RuntimeError(f"llama.cpp cannot make {path}")
    return path


def ids(n):
    return [1000 + 37 * i % 20000 for i in range(n)]


class LlamaCpp:
    """One context; its cache is emptied before each measurement."""

    def __init__(self, path, sequences=1):
        cpp.llama_backend_init()
        model = cpp.llama_model_default_params()
        model.n_gpu_layers = 0
        self.model = cpp.llama_model_load_from_file(str(path).encode(), model)
        context = cpp.llama_context_default_params()
        context.n_ctx, context.n_batch, context.n_ubatch, context.n_seq_max = 2048, 512, 512, sequences
        context.n_threads = context.n_threads_batch = THREADS
        self.context = cpp.llama_init_from_model(self.model, context)
        if not self.context:
            raise RuntimeError(f"llama.cpp cannot load {path}")

    def run(self, tokens, positions, sequences, every=False):
        """Seconds of one `llama_decode`, with the logits of the last row or of every one."""
        batch = cpp.llama_batch_init(len(tokens), 0, 1)
        batch.n_tokens = len(tokens)
        for i, (token, position, sequence) in enumerate(zip(tokens, positions, sequences)):
            batch.token[i], batch.pos[i] = token, position
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, sequence
            batch.logits[i] = int(every or i == len(tokens) - 1)
        began = time.perf_counter()
        code = cpp.llama_decode(self.context, batch)
        cpp.llama_synchronize(self.context)
        took = time.perf_counter() - began
        cpp.llama_batch_free(batch)
        if code != 0:
            raise RuntimeError(f"llama_decode says {code}")
        return took

    def clear(self):
        cpp.llama_memory_clear(cpp.llama_get_memory(self.context), True)

    def prefill(self, n):
        self.clear()
        return n / self.run(ids(n), range(n), [0] * n)

    def decode(self, before, n):
        self.clear()
        self.run(ids(before), range(before), [0] * before)
        return n / sum(self.run([token], [before + i], [0]) for i, token in enumerate(ids(n)))

    def decode_batch(self, sequences, before, n):
        """Tokens of all sequences a second, one of each in every call."""
        self.clear()
        for sequence in range(sequences):
            self.run(ids(before), range(before), [sequence] * before)
        each = list(range(sequences))
        took = sum(self.run([token] * sequences, [before + i] * sequences, each, every=True) for i, token in enumerate(ids(n)))
        return sequences * n / took

    def close(self):
        cpp.llama_free(self.context)
        cpp.llama_model_free(self.model)


def rested(measure):
    """The peer's threads look for work for a while after a call, which would be taken from who is measured next."""

    def run():
        time.sleep(0.1)
        return measure()

    return run


def load_seconds(path):
    began = time.perf_counter()
    peer = LlamaCpp(path)
    took = time.perf_counter() - began
    peer.close()
    return took


def rows(ours, machine, rounds):
    WORK.mkdir(parents=True, exist_ok=True)
    yield from mini(ours, machine, rounds)
    for name, kind in SHAPES.items():
        # A round takes half a minute.
        yield from shape(ours, machine, min(rounds, 5), name, kind)


def mini(ours, machine, rounds):
    ours("llm", "load", MINI, THREADS)
    i16 = max(ours("machine", "i16", THREADS) for _ in range(3))
    peers = {kind: LlamaCpp(quantised(kind), BATCH) for kind in QUANTISED}
    a_token = machine.read_gb_s * 1e9 / Path(MINI).stat().st_size
    cases = [
        (f"mini_prefill_{n}", lambda n=n: n / ours("llm", "prefill", n), lambda peer, n=n: peer.prefill(n), prefill_limit(i16, LAYERS_MINI, OUTPUT_MINI, n))
        for n in (256, 64)
    ]
    cases += [
        ("mini_decode", lambda: 64 / ours("llm", "decode", 64, 64), lambda peer: peer.decode(64, 64), a_token),
        ("mini_decode_8", lambda: BATCH * 32 / ours("llm", "batch", BATCH, 64, 32), lambda peer: peer.decode_batch(BATCH, 64, 32), BATCH * a_token),
    ]
    for name, our, their, limit in cases:
        values, theirs = alternate(rounds, rested(our), [rested(lambda peer=peer: their(peer)) for peer in peers.values()])
        found = [Row(name, "tokens/s", values, of, f"llama.cpp {kind}", limit) for kind, of in zip(peers, theirs)]
        # The fastest of them is the one to beat; the others are told beside it.
        yield from sorted(found, key=lambda row: row.ratio)[:1]
        for row in sorted(found, key=lambda row: row.ratio)[1:]:
            row.name = f"{name}_vs_{row.peer_name.split()[-1].lower()}"
            yield row
    for peer in peers.values():
        peer.close()


def shape(ours, machine, rounds, name, kind):
    """Rows of one storage type of the 7B shape."""
    path = WORK / f"{name}.gguf"
    kept = path.exists()
    if not kept:
        ours("llm", "shape", path, kind)
    try:
        peer = LlamaCpp(path)
        i16 = max(ours("machine", "i16", THREADS) for _ in range(3))
        a_token = path.stat().st_size * READ_7B
        ours("llm", "load", path, THREADS)
        cases = [
            ("prefill_256", lambda: 256 / ours("llm", "prefill", 256), lambda: peer.prefill(256), prefill_limit(i16, LAYERS_7B, OUTPUT_7B, 256)),
            ("decode", lambda: 16 / ours("llm", "decode", 64, 16), lambda: peer.decode(64, 16), machine.read_gb_s * 1e9 / a_token),
        ]
        for part, our, their, limit in cases:
            values, theirs = alternate(rounds, rested(our), [rested(their)])
            yield Row(f"{name}_{part}", "tokens/s", values, theirs[0], f"llama.cpp {kind}", limit)
        peer.close()
        if name == "7b_q4k":
            # Once with the file's pages in memory; the peer takes seconds, since it stores weights in another order.
            values, theirs = alternate(1, lambda: ours("llm", "load", path, THREADS), [lambda: load_seconds(path)])
            yield Row(f"{name}_load", "s", values, theirs[0], f"llama.cpp {kind}", less=True)
    finally:
        if not kept:
            path.unlink()
