"""On an NVIDIA GPU: pictures against torchvision, encoders against PyTorch, both on the same device and in f16; the language model against the
processor of the same machine, with our own code. `make bench-cuda` runs it.

Times are from values in the host's memory to values there, but those of the row `gpu_picture_kernel_224`: its pictures lie on the device before
and after, and what is timed are the device's own clocks. BENCH_ENCODERS and BENCH_LLM name what is measured of them, with commas.
"""

import gc
import os
import time

import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as images

from encoders import AMOUNTS, PEERS, UNITS, WORK, Hubert, Vit, operations
from measure import ROOT, THREADS, Ours, Row, alternate

MINI = ROOT / "build/packs/emotion-llama-mini/llm.gguf"
# A batch of frames of a usual video, as many as VideoMAE sees.
COUNT, WIDTH, HEIGHT = 16, 1920, 1080
# What EVA and the two encoders of face and motion see.
SIDES = (448, 224)
# CLIP's, as the published encoders take them.
MEAN, DEVIATION = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
PROMPT, STEPS = 256, 64


def wait(device):
    if device == "cuda":
        torch.cuda.synchronize()


class Pictures:
    """torchvision's antialiased bicubic resize and normalisation, of pictures as a decoder leaves them."""

    def __init__(self, count, width, height, side, device):
        self.side, self.device = side, device
        self.host = torch.randint(0, 256, (count, height, width, 3), dtype=torch.uint8)
        if device == "cuda":
            self.host = self.host.pin_memory()

    def make(self, pixels):
        resized = images.resize(pixels.permute(0, 3, 1, 2), [self.side] * 2, interpolation=InterpolationMode.BICUBIC, antialias=True)
        return images.normalize(images.to_dtype(resized, torch.float16, scale=True), MEAN, DEVIATION)

    def run(self):
        """Seconds from the host's memory to pictures on the device."""
        wait(self.device)
        began = time.perf_counter()
        self.make(self.host.to(self.device, non_blocking=True))
        wait(self.device)
        return time.perf_counter() - began

    def alone(self):
        """Seconds on the device alone."""
        pixels = self.host.to(self.device)
        if self.device != "cuda":
            began = time.perf_counter()
            self.make(pixels)
            return time.perf_counter() - began
        began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        began.record()
        self.make(pixels)
        ended.record()
        ended.synchronize()
        return began.elapsed_time(ended) / 1e3


class Encoder:
    """PyTorch's, in f16 on the device."""

    def __init__(self, name, device, build=None):
        self.device = device
        model = (build or PEERS[name])().eval()
        with torch.inference_mode():
            self.operations = operations(model)
        self.input = model.input
        self.model = model.to(device, torch.float16)

    def run(self):
        with torch.inference_mode():
            wait(self.device)
            began = time.perf_counter()
            self.model(self.input.to(self.device, torch.float16)).float().cpu()
            return time.perf_counter() - began


def peak_flops(device, size=8192, rounds=20):
    """Additions and multiplications a second that PyTorch's f16 product of matrices reaches."""
    a, b = (torch.randn(size, size, device=device, dtype=torch.float16) for _ in range(2))
    seconds = []
    for _ in range(rounds):
        wait(device)
        began = time.perf_counter()
        a @ b
        wait(device)
        seconds.append(time.perf_counter() - began)
    return 2 * size**3 / min(seconds)


def traffic(count, width, height, side):
    """Bytes that a launch has to read and write at least: 8-bit pixels, and planes of f16."""
    return count * 3 * (width * height + 2 * side * side)


def picture_rows(ours, copied, rounds, device="cuda"):
    """`copied` are the bytes a second that copies on the device read and write."""
    size = (COUNT, WIDTH, HEIGHT)
    for side in SIDES:
        peer = Pictures(*size, side, device)
        values, (theirs,) = alternate(
            rounds, lambda: COUNT / ours("gpu", "pictures", *size, side), [lambda: COUNT / peer.run()]
        )
        yield Row(f"gpu_pictures_{side}", "pictures/s", values, theirs, "torchvision f16")
    side = SIDES[-1]
    limit = COUNT * copied / traffic(*size, side)
    values, (theirs,) = alternate(rounds, lambda: COUNT / ours("gpu", "kernel", *size, side), [lambda: COUNT / peer.alone()])
    yield Row(f"gpu_picture_kernel_{side}", "pictures/s", values, theirs, "torchvision f16", limit)


def encoder_rows(ours, flops, rounds, device="cuda", peers=None):
    WORK.mkdir(parents=True, exist_ok=True)
    for name in os.environ.get("BENCH_ENCODERS", ",".join(PEERS)).split(","):
        path = WORK / f"{name}.f16.gguf"
        try:
            ours("encoder", "write", name, "f16", path)
            ours("encoder", "load", name, path, THREADS)
            ours("gpu", "encoder")
            peer = Encoder(name, device, peers and peers[name])
            values, (theirs,) = alternate(
                rounds, lambda: AMOUNTS[name] / ours("encoder", "run"), [lambda: AMOUNTS[name] / peer.run()]
            )
        finally:
            path.unlink(missing_ok=True)
        yield Row(f"gpu_{name}_f16", UNITS[name], values, theirs, "PyTorch f16", AMOUNTS[name] / peer.operations * flops)
        del peer
        gc.collect()
        if device == "cuda":
            torch.cuda.empty_cache()


def llm_rows(ours, processor, rounds):
    """`processor` is our program once more, whose model stays on the processor."""
    rounds = min(rounds, 3)
    for name in os.environ.get("BENCH_LLM", "mini,7b_q4k").split(","):
        path = MINI
        if name != "mini":
            path = WORK / "7b_q4k.gguf"
            WORK.mkdir(parents=True, exist_ok=True)
            ours("llm", "shape", path, "q4_k")
        try:
            for program in (ours, processor):
                program("llm", "load", path, THREADS)
            ours("gpu", "llm")
            for row, words, tokens in [("prefill_256", ("prefill", PROMPT), PROMPT), ("decode", ("decode", PROMPT, STEPS), STEPS)]:
                values, (theirs,) = alternate(
                    rounds, lambda: tokens / ours("llm", *words), [lambda: tokens / processor("llm", *words)]
                )
                yield Row(f"gpu_{name}_{row}", "tokens/s", values, theirs, "ours on the processor")
        finally:
            if name != "mini":
                path.unlink(missing_ok=True)


def rows(ours, machine, rounds):
    memory = ours("gpu", "open", os.environ.get("BENCH_GPU", "0"))
    copied = max(ours("gpu", "copy") for _ in range(3)) * 1e9
    torch.cuda.set_device(int(os.environ.get("BENCH_GPU", "0")))
    flops = peak_flops("cuda")
    machine.gpu = {
        "name": torch.cuda.get_device_name(),
        "memory_gb": memory,
        "copy_gb_s": copied / 1e9,
        "f16_tflop_s": flops / 1e12,
    }
    print(machine, flush=True)
    yield from picture_rows(ours, copied, rounds)
    yield from encoder_rows(ours, flops, rounds)
    with Ours() as processor:
        yield from llm_rows(ours, processor, rounds)
