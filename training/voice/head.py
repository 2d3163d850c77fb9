"""The voice head's model: norms of prosody, register, and a linear softmax, each fitted on the clips that it is given."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

CLIP = 4.0
"""Inputs are clipped here, in standard deviations; the library does the same."""
EMOTION_INPUTS = ("layer0.mean", "layer1.mean", "layer2.mean")
REGISTER_INPUTS = ("layer0.mean", "layer1.mean", "layer2.mean")
Z_LIMIT = 6.0

# No child speaks in the corpus: its register is put this far over the women's, and is rarer.
CHILD_OVER_FEMALE_ST = 6.0
PRIORS = {"male": 0.48, "female": 0.44, "child": 0.08}
REGISTER_SD_ST = 6.0


def select(pooled: np.ndarray, inputs: tuple[str, ...]) -> np.ndarray:
    """The named parts of pooled vectors, side by side."""
    at = {f"layer{i}.{kind}": 2 * i + k for i in range(4) for k, kind in enumerate(("mean", "std"))}
    parts = pooled.reshape(len(pooled), 8, 384)
    return np.concatenate([parts[:, at[name]] for name in inputs], 1)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    e = np.exp(logits - logits.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@dataclasses.dataclass
class Linear:
    """`softmax(weight clip((x - shift) scale) + bias)`."""

    shift: np.ndarray
    scale: np.ndarray
    weight: np.ndarray
    bias: np.ndarray

    def logits(self, x: np.ndarray) -> np.ndarray:
        return np.clip((x - self.shift) * self.scale, -CLIP, CLIP) @ self.weight.T + self.bias

    def cooled(self, temperature: float) -> "Linear":
        return dataclasses.replace(self, weight=self.weight / temperature, bias=self.bias / temperature)


def fit_linear(x: np.ndarray, label: np.ndarray, classes: int, penalty: float, balanced: bool = True) -> Linear:
    """Multinomial logistic regression with an L2 penalty on standardised inputs; every class has the same weight."""
    shift, scale = x.mean(0), 1 / (x.std(0) + 1e-6)
    z = torch.from_numpy(np.clip((x - shift) * scale, -CLIP, CLIP).astype(np.float32))
    target = torch.from_numpy(label)
    share = 1 / np.bincount(label, minlength=classes).clip(1)[label] if balanced else np.ones(len(label))
    share = torch.from_numpy((share / share.sum()).astype(np.float32))
    weight = torch.zeros(classes, z.shape[1], requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    search = torch.optim.LBFGS([weight, bias], max_iter=60, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        search.zero_grad()
        loss = (torch.nn.functional.cross_entropy(z @ weight.T + bias, target, reduction="none") * share).sum()
        loss = loss + penalty * (weight**2).sum()
        loss.backward()
        return loss

    search.step(closure)
    return Linear(shift.astype(np.float32), scale.astype(np.float32), weight.detach().numpy(), bias.detach().numpy())


def fit_temperature(logits: np.ndarray, label: np.ndarray) -> float:
    """The temperature under which `label` is likeliest, every class with the same weight."""
    share = 1 / np.bincount(label, minlength=7).clip(1)[label]
    grid = np.geomspace(0.4, 4.0, 47)
    cost = [-(share * np.log(softmax(logits / t)[np.arange(len(label)), label] + 1e-12)).sum() for t in grid]
    return float(grid[int(np.argmin(cost))])


@dataclasses.dataclass
class Norms:
    """What `ProsodyNorms` holds: registers and z-score constants."""

    registers_st: dict[str, float]
    mean: np.ndarray
    sd: np.ndarray

    def over_register(self, prosody: np.ndarray, female: np.ndarray) -> np.ndarray:
        """Median pitch in semitones over what this voice would have in a neutral mood, `[clips]`."""
        prior = np.stack([1 - female, *(female * PRIORS[n] / (PRIORS["female"] + PRIORS["child"]) for n in ("female", "child"))], 1)
        usual = np.array([self.registers_st[name] for name in PRIORS])
        weight = prior * np.exp(-0.5 * ((prosody[:, 1:2] - usual) / REGISTER_SD_ST) ** 2) / REGISTER_SD_ST
        weight = np.maximum(weight, 1e-12)
        return prosody[:, 0] - (weight * usual).sum(1) / weight.sum(1)

    def z(self, prosody: np.ndarray, female: np.ndarray) -> np.ndarray:
        """`[clips, 5]`: pitch, pitch_range, energy, rate, brightness; 0 where no voice was found."""
        measures = np.column_stack([self.over_register(prosody, female), prosody[:, 2:]])
        return np.nan_to_num(np.clip((measures - self.mean) / self.sd, -Z_LIMIT, Z_LIMIT))

    def to_json(self) -> dict:
        """As the library reads it."""
        registers = [
            {"name": name, "pitch_hz": float(2 ** (self.registers_st[name] / 12)), "sd_st": REGISTER_SD_ST, "prior": prior}
            for name, prior in PRIORS.items()
        ]
        measures = ("pitch", "pitch_range", "energy", "rate", "brightness")
        return {"registers": registers} | {n: {"mean": float(m), "sd": float(s)} for n, m, s in zip(measures, self.mean, self.sd)}


def fit_norms(prosody: np.ndarray, label: np.ndarray, is_female: np.ndarray, female: np.ndarray) -> Norms:
    """Means over neutral utterances, deviations over all; `female` is what the register model says of the same clips."""
    neutral = label == 0
    pitch = {"male": float(np.median(prosody[neutral & ~is_female, 0])), "female": float(np.median(prosody[neutral & is_female, 0]))}
    norms = Norms(pitch | {"child": pitch["female"] + CHILD_OVER_FEMALE_ST}, np.zeros(5), np.ones(5))
    measures = np.column_stack([norms.over_register(prosody, female), prosody[:, 2:]])
    return dataclasses.replace(norms, mean=measures[neutral].mean(0), sd=measures.std(0))
