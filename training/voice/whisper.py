"""The Whisper-tiny encoder of the pack's speech source, in PyTorch: a reference for the Rust port.

Reads CTranslate2's `model.bin` (a flat list of named tensors, format version 6) and runs the encoder on a clip's own length,
without padding to 30 s. Follows openai/whisper `audio.py` (log-mel) and `model.py` (`AudioEncoder`).
"""

from __future__ import annotations

import pathlib
import struct

import numpy as np
import torch
import torch.nn.functional as F

SAMPLE_RATE = 16_000
LAYERS = 4
HIDDEN = 384
HEADS = 6


def read_model_bin(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Named tensors of a CTranslate2 model file, as f32."""
    dtypes = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
    data = pathlib.Path(path).read_bytes()
    at = 0

    def take(fmt: str):
        nonlocal at
        values = struct.unpack_from("<" + fmt, data, at)
        at += struct.calcsize("<" + fmt)
        return values

    def text() -> str:
        nonlocal at
        (length,) = take("H")
        at += length
        return data[at - length : at - 1].decode()

    take("I"), text(), take("I")
    tensors = {}
    for _ in range(take("I")[0]):
        name = text()
        (rank,) = take("B")
        shape = take(f"{rank}I")
        (dtype,) = take("B")
        (size,) = take("I")
        values = np.frombuffer(data, dtypes[dtype], size // np.dtype(dtypes[dtype]).itemsize, at)
        tensors[name] = values.reshape(shape).astype(np.float32)
        at += size
    return tensors


def mel_filters(bands: int = 80, n_fft: int = 400) -> np.ndarray:
    """Slaney-scale triangular filters with area normalisation, `[bands, n_fft/2+1]`."""
    step, log_from, log_step = 200.0 / 3, 1000.0, np.log(6.4) / 27.0

    def to_mel(hz):
        return np.where(hz < log_from, hz / step, log_from / step + np.log(np.maximum(hz, 1e-9) / log_from) / log_step)

    def to_hz(mel):
        return np.where(mel < log_from / step, mel * step, log_from * np.exp(log_step * (mel - log_from / step)))

    edges = to_hz(np.linspace(0.0, to_mel(np.array(SAMPLE_RATE / 2.0)), bands + 2))
    bins = np.arange(n_fft // 2 + 1) * SAMPLE_RATE / n_fft
    up = (bins[None] - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    down = (edges[2:, None] - bins[None]) / (edges[2:] - edges[1:-1])[:, None]
    return (np.maximum(0, np.minimum(up, down)) * (2.0 / (edges[2:] - edges[:-2]))[:, None]).astype(np.float32)


class Encoder:
    """The encoder; [`pooled`] gives what the voice head reads."""

    def __init__(self, model_bin: pathlib.Path) -> None:
        self.w = {k: torch.from_numpy(v) for k, v in read_model_bin(model_bin).items() if k.startswith("encoder/")}
        self.mel = torch.from_numpy(mel_filters())
        self.window = torch.hann_window(400)

    def log_mel(self, samples: np.ndarray) -> torch.Tensor:
        """`[80, frames]` for 16 kHz mono samples, 100 frames per second."""
        audio = torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32))
        power = torch.stft(audio, 400, 160, window=self.window, return_complex=True)[:, :-1].abs() ** 2
        log = torch.clamp(self.mel @ power, min=1e-10).log10()
        return (torch.maximum(log, log.max() - 8.0) + 4.0) / 4.0

    def _norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return F.layer_norm(x, (HIDDEN,), self.w[f"{name}/gamma"], self.w[f"{name}/beta"])

    def _linear(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return F.linear(x, self.w[f"{name}/weight"], self.w[f"{name}/bias"])

    @torch.no_grad()
    def layers(self, samples: np.ndarray) -> list[torch.Tensor]:
        """Residual stream after each layer, `[positions, 384]`, then the last one after the final layer norm."""
        w = self.w
        x = F.gelu(F.conv1d(self.log_mel(samples)[None], w["encoder/conv1/weight"], w["encoder/conv1/bias"], padding=1))
        x = F.gelu(F.conv1d(x, w["encoder/conv2/weight"], w["encoder/conv2/bias"], stride=2, padding=1))[0].T
        x = x[:1500] + w["encoder/position_encodings/encodings"][: x.shape[0]]
        out = []
        for i in range(LAYERS):
            p = f"encoder/layer_{i}"
            q, k, v = self._linear(self._norm(x, f"{p}/self_attention/layer_norm"), f"{p}/self_attention/linear_0").chunk(3, -1)
            q, k, v = (t.view(-1, HEADS, HIDDEN // HEADS).transpose(0, 1) for t in (q, k, v))
            mixed = F.scaled_dot_product_attention(q, k, v).transpose(0, 1).reshape(-1, HIDDEN)
            x = x + self._linear(mixed, f"{p}/self_attention/linear_1")
            hidden = F.gelu(self._linear(self._norm(x, f"{p}/ffn/layer_norm"), f"{p}/ffn/linear_0"))
            x = x + self._linear(hidden, f"{p}/ffn/linear_1")
            out.append(x)
        out.append(self._norm(x, "encoder/layer_norm"))
        return out

    def pooled(self, samples: np.ndarray) -> np.ndarray:
        """`[3840]`: mean and (population) standard deviation over time of the five outputs of [`layers`]."""
        return torch.cat([t for x in self.layers(samples) for t in (x.mean(0), x.std(0, correction=0))]).numpy()
