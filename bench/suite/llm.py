"""The language model against llama.cpp, whose C API is timed around `llama_decode`."""

import time
from pathlib import Path

import llama_cpp as cpp

from measure import ROOT, THREADS, Row, alternate

MINI = ROOT / "build/packs/emotion-llama-mini/llm.gguf"
WORK = ROOT / "build/bench"
# Of the same size as ours (Q4_1) or larger, and Q4_0, its fastest.
QUANTISED = {"Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q4_K_M": 15}


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


def rows(ours, machine, rounds):
    WORK.mkdir(parents=True, exist_ok=True)
    ours("llm", "load", MINI, THREADS)
    peers = {kind: LlamaCpp(quantised(kind)) for kind in QUANTISED}
    bytes_a_token = Path(MINI).stat().st_size
    cases = [
        ("mini_prefill_256", lambda: 256 / ours("llm", "prefill", 256), lambda peer: peer.prefill(256), None),
        ("mini_prefill_64", lambda: 64 / ours("llm", "prefill", 64), lambda peer: peer.prefill(64), None),
        ("mini_decode", lambda: 64 / ours("llm", "decode", 64, 64), lambda peer: peer.decode(64, 64), machine.read_gb_s * 1e9 / bytes_a_token),
    ]
    for name, our, their, limit in cases:
        values, theirs = alternate(rounds, our, [lambda peer=peer: their(peer) for peer in peers.values()])
        found = [Row(name, "tokens/s", values, of, f"llama.cpp {kind}", limit) for kind, of in zip(peers, theirs)]
        # The fastest of them is the one to beat; the others are told beside it.
        yield from sorted(found, key=lambda row: row.ratio)[:1]
        for row in sorted(found, key=lambda row: row.ratio)[1:]:
            row.name = f"{name}_vs_{row.peer_name.split()[-1].lower()}"
            yield row
