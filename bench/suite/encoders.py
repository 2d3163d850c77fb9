"""The published model's encoders at full size with random weights against the same architectures in PyTorch.

Ours reads files that the program of the benchmark writes; they are removed after use (EVA's f32 file has 4 GB). BENCH_WORK names another
directory for them.
"""

import gc
import os
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from measure import ROOT, THREADS, Row, alternate

WORK = Path(os.environ.get("BENCH_WORK", ROOT / "build/bench"))


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        batch, tokens, width = x.shape
        q, k, v = self.qkv(x).view(batch, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, tokens, width))


class SplitAttention(nn.Module):
    """HuBERT's: queries, keys and values are layers of their own."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x):
        batch, tokens, width = x.shape
        q, k, v = (layer(x).view(batch, tokens, self.heads, width // self.heads).transpose(1, 2) for layer in (self.q, self.k, self.v))
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, tokens, width))


class Block(nn.Module):
    def __init__(self, width, heads, mlp, attention=Attention):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = attention(width, heads)
        self.fc1, self.fc2 = nn.Linear(width, mlp), nn.Linear(mlp, width)

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class Vit(nn.Module):
    """EVA ViT-g, MAE, and VideoMAE, whose patches are cubes and which has no class token."""

    def __init__(self, width, depth, heads, mlp, image, patch, frames=0):
        super().__init__()
        self.video = frames > 0
        side = image // patch
        self.patches = nn.Conv3d(3, width, (2, patch, patch), (2, patch, patch)) if self.video else nn.Conv2d(3, width, patch, patch)
        tokens = side * side * (frames // 2 or 1)
        if not self.video:
            self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.zeros(1, tokens + (not self.video), width))
        self.blocks = nn.Sequential(*[Block(width, heads, mlp) for _ in range(depth)])
        self.norm = nn.Identity() if self.video else nn.LayerNorm(width)
        self.input = torch.rand(1, 3, frames, image, image) if self.video else torch.rand(1, 3, image, image)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        if not self.video:
            x = torch.cat((self.class_token, x), 1)
        return self.norm(self.blocks(x + self.positions))


class Hubert(nn.Module):
    """HuBERT-large over 10 s of sound."""

    def __init__(self, width=1024, depth=24, heads=16, mlp=4096, conv=512):
        super().__init__()
        kernels, strides = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)
        self.convolutions = nn.ModuleList(nn.Conv1d(conv if i else 1, conv, k, s) for i, (k, s) in enumerate(zip(kernels, strides)))
        self.norms = nn.ModuleList(nn.LayerNorm(conv) for _ in kernels)
        self.feature_norm, self.projection = nn.LayerNorm(conv), nn.Linear(conv, width)
        self.positions = nn.Conv1d(width, width, 128, padding=64, groups=16)
        self.blocks = nn.Sequential(*[Block(width, heads, mlp, SplitAttention) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)
        self.input = torch.rand(1, 1, 160_000)

    def forward(self, x):
        for convolution, norm in zip(self.convolutions, self.norms):
            x = F.gelu(norm(convolution(x).transpose(1, 2)).transpose(1, 2))
        x = self.projection(self.feature_norm(x.transpose(1, 2)))
        x = x + F.gelu(self.positions(x.transpose(1, 2))[:, :, :-1]).transpose(1, 2)
        return self.norm(self.blocks(x)).mean(1)


PEERS = {
    "eva": lambda: Vit(1408, 39, 16, 6144, 448, 14),
    "hubert": Hubert,
    "mae": lambda: Vit(1024, 24, 16, 4096, 224, 16),
    "videomae": lambda: Vit(1024, 24, 16, 4096, 224, 16, frames=16),
}
UNITS = {"eva": "pictures/s", "hubert": "seconds of sound/s", "mae": "pictures/s", "videomae": "clips/s"}
# What one run takes: a picture, 10 s of sound, a picture, 16 frames.
AMOUNTS = {"eva": 1, "hubert": 10, "mae": 1, "videomae": 1}


def operations(model):
    """Additions and multiplications of the dense layers, convolutions and attention in one run."""
    count = 0

    def add(layer, inputs, output):
        nonlocal count
        if isinstance(layer, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)):
            count += 2 * output.numel() * layer.weight[0].numel()
        elif isinstance(layer, (Attention, SplitAttention)):
            count += 4 * inputs[0].shape[1] * inputs[0].numel()

    hooks = [layer.register_forward_hook(add) for layer in model.modules()]
    model(model.input)
    for hook in hooks:
        hook.remove()
    return count


def rows(ours, machine, rounds):
    WORK.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(THREADS)
    rounds = min(rounds, 5)
    for name in os.environ.get("BENCH_ENCODERS", ",".join(PEERS)).split(","):
        with torch.inference_mode():
            model = PEERS[name]().eval()
            limit = AMOUNTS[name] / operations(model) * machine.f32_gflop_s * 1e9

            def peer():
                began = time.perf_counter()
                model(model.input)
                return AMOUNTS[name] / (time.perf_counter() - began)

            for row, kind in ((f"{name}_f32", "f32"), (f"{name}_int8", "q8_0")):
                path = WORK / f"{name}.{kind}.gguf"
                try:
                    ours("encoder", "write", name, kind, path)
                    ours("encoder", "load", name, path, THREADS)
                    values, (theirs,) = alternate(rounds, lambda: AMOUNTS[name] / ours("encoder", "run"), [peer])
                finally:
                    path.unlink(missing_ok=True)
                # The limit of int8 is that of f32, too: it is the peer's.
                yield Row(row, UNITS[name], values, theirs, "PyTorch f32", limit)
            del model
            gc.collect()
