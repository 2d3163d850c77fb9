"""Trains the voice head and says how well it reads voices that it never heard.

    python training/voice/train.py --corpus ../shared/datasets/emodb --pack build/packs/emotion-llama-mini

Writes `packs/mini/voice.safetensors` (fitted on all speakers) and the fixtures of its test; prints leave-one-speaker-out figures.
Nothing that meets a held-out speaker is fitted on that speaker: normalisation, norms, penalty, temperature and register model are
fitted per fold. Audio, features and out-of-fold posteriors are kept in `build/voice`. Needs ffmpeg with the rubberband filter.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib

import numpy as np
import torch
from safetensors.numpy import save_file

import augment
import features
import head

ROOT = pathlib.Path(__file__).resolve().parents[2]
VOICE7 = ("neutral", "angry", "happy", "sad", "fear", "disgust", "bored")
LETTERS = "NWFTAEL"
"""EmoDB's sixth letter, in the order of `VOICE7`."""
WOMEN = ("08", "09", "13", "14", "16")
PENALTIES = (5e-2, 1e-1, 2e-1)
INNER_FOLDS = 3


@dataclasses.dataclass
class Corpus:
    """Clips and what was measured on each of their versions."""

    names: list[str]
    label: np.ndarray
    speaker: np.ndarray
    is_female: np.ndarray
    versions: dict[str, features.Version]

    def stacked(self, chosen: np.ndarray, versions: list[str]):
        """Pooled vectors, labels, speakers and sexes of the chosen clips in all `versions` in which a voice was found."""
        keep = [chosen & self.versions[v].heard for v in versions]
        pooled = np.concatenate([self.versions[v].pooled[k] for v, k in zip(versions, keep)])
        rest = (np.concatenate([values[k] for k in keep]) for values in (self.label, self.speaker, self.is_female))
        return pooled, *rest


@dataclasses.dataclass
class Fitted:
    """One fold's model."""

    emotion: head.Linear
    register: head.Linear
    norms: head.Norms
    penalty: float
    temperature: float

    def female(self, pooled: np.ndarray) -> np.ndarray:
        return head.softmax(self.register.logits(head.select(pooled, head.REGISTER_INPUTS)))[:, 1]

    def read(self, version: features.Version, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Posterior `[clips, 7]` (even where no voice was found) and z-scores `[clips, 5]`."""
        pooled, prosody, heard = version.pooled[rows], version.prosody[rows], version.heard[rows]
        posterior = head.softmax(self.emotion.logits(head.select(pooled, head.EMOTION_INPUTS)))
        posterior[~heard] = 1 / len(VOICE7)
        return posterior, self.norms.z(prosody, self.female(pooled))


def fit(corpus: Corpus, chosen: np.ndarray, versions: list[str]) -> Fitted:
    """Everything, from the chosen clips alone."""
    pooled, label, speaker, is_female = corpus.stacked(chosen, versions)
    x = head.select(pooled, head.EMOTION_INPUTS)
    groups = {name: i % INNER_FOLDS for i, name in enumerate(sorted(set(speaker)))}
    inner = np.array([groups[name] for name in speaker])
    trials = []
    for penalty in PENALTIES:
        logits = np.zeros((len(x), len(VOICE7)))
        for fold in range(INNER_FOLDS):
            held = inner == fold
            logits[held] = head.fit_linear(x[~held], label[~held], len(VOICE7), penalty).logits(x[held])
        temperature = head.fit_temperature(logits, label)
        share = 1 / np.bincount(label)[label]
        cost = -(share * np.log(head.softmax(logits / temperature)[np.arange(len(label)), label] + 1e-12)).sum()
        trials.append((cost, penalty, temperature))
    _, penalty, temperature = min(trials)
    emotion = head.fit_linear(x, label, len(VOICE7), penalty).cooled(temperature)
    register = head.fit_linear(head.select(pooled, head.REGISTER_INPUTS), is_female.astype(np.int64), 2, 3e-2)
    fitted = Fitted(emotion, register, head.Norms({}, np.zeros(5), np.ones(5)), penalty, temperature)
    clean = corpus.versions["clean"]
    rows = np.flatnonzero(chosen & clean.heard)
    norms = head.fit_norms(clean.prosody[rows], corpus.label[rows], corpus.is_female[rows], fitted.female(clean.pooled[rows]))
    return dataclasses.replace(fitted, norms=norms)


def recall(posterior: np.ndarray, label: np.ndarray) -> tuple[float, float]:
    """Unweighted and weighted average recall."""
    right = posterior.argmax(1) == label
    return float(np.mean([right[label == c].mean() for c in np.unique(label)])), float(right.mean())


def calibration_error(posterior: np.ndarray, label: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error of the largest probability."""
    sure, right = posterior.max(1), posterior.argmax(1) == label
    which = np.minimum((sure * bins).astype(int), bins - 1)
    return float(sum((which == b).mean() * abs(right[which == b].mean() - sure[which == b].mean()) for b in np.unique(which)))


def say(what: str, posterior: np.ndarray, label: np.ndarray) -> dict:
    """Prints and gives the figures of a set of posteriors."""
    (uar, war), ece = recall(posterior, label), calibration_error(posterior, label)
    print(f"{what:52} UAR {uar:.3f}  WAR {war:.3f}  ECE {ece:.3f}  mean confidence {posterior.max(1).mean():.3f}", flush=True)
    return {"uar": uar, "war": war, "ece": ece}


def baseline(corpus: Corpus, pooled: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Plain logistic regression on all 3072 values of the undisturbed clips as they are, leave-one-speaker-out."""
    out = {version: np.zeros((len(corpus.names), len(VOICE7))) for version in pooled}
    for speaker in np.unique(corpus.speaker):
        held = corpus.speaker == speaker
        plain = head.fit_linear(pooled["clean"][~held], corpus.label[~held], len(VOICE7), 0.1, balanced=False)
        for version in pooled:
            out[version][held] = head.softmax(plain.logits(pooled[version][held]))
    return out


def folds(corpus: Corpus, groups: np.ndarray, versions: list[str], tested: list[str]):
    """Out-of-fold posteriors and z-scores of each tested version."""
    posterior = {v: np.zeros((len(corpus.names), len(VOICE7))) for v in tested}
    z = {v: np.zeros((len(corpus.names), 5)) for v in tested}
    for group in np.unique(groups):
        held = groups == group
        fitted = fit(corpus, ~held, versions)
        for v in tested:
            posterior[v][held], z[v][held] = fitted.read(corpus.versions[v], np.flatnonzero(held))
        _, war = recall(posterior["clean"][held], corpus.label[held])
        print(f"  without {group}: clean WAR {war:.3f}, penalty {fitted.penalty:g}, temperature {fitted.temperature:.2f}", flush=True)
    return posterior, z


def export(fitted: Fitted, path: pathlib.Path, figures: dict) -> None:
    """Writes what `VoiceHead::open` reads."""
    r = fitted.register
    tensors = {f"emotion.{k}": getattr(fitted.emotion, k) for k in ("shift", "scale", "weight", "bias")}
    tensors |= {"register.shift": r.shift, "register.scale": r.scale}
    tensors |= {"register.weight": r.weight[1:] - r.weight[:1], "register.bias": r.bias[1:] - r.bias[:1]}
    metadata = {
        "format": "emotion-llama-voice-1",
        "norms": json.dumps(fitted.norms.to_json()),
        "emotion.inputs": ",".join(head.EMOTION_INPUTS),
        "register.inputs": ",".join(head.REGISTER_INPUTS),
        "figures": json.dumps(figures),
    }
    save_file({k: np.ascontiguousarray(v, dtype=np.float32) for k, v in tensors.items()}, path, metadata)


def write_fixtures(corpus: Corpus, fitted: Fitted, path: pathlib.Path) -> None:
    """Feature vectors of four clips and what the head says of them, for the library's test."""
    cases = []
    for version, row in (("clean", 3), ("clean", 200), ("harsh", 301), ("harsh", 420)):
        measured = corpus.versions[version]
        if not measured.heard[row]:
            continue
        posterior, z = fitted.read(measured, np.array([row]))
        pitch = 2 ** (measured.prosody[row, :2] / 12)
        cases.append({
            "clip": f"{corpus.names[row]}.{version}",
            "pooled": [float(f"{v:.6g}") for v in measured.pooled[row]],
            "prosody": dict(zip(features.RAW, [*map(float, pitch), *map(float, measured.prosody[row, 2:])])),
            "female": float(fitted.female(measured.pooled[row : row + 1])[0]),
            "posterior": [float(v) for v in posterior[0]],
            "z": [float(v) for v in z[0]],
        })
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(cases))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=pathlib.Path, default=ROOT.parent / "shared/datasets/emodb")
    parser.add_argument("--pack", type=pathlib.Path, default=ROOT / "build/packs/emotion-llama-mini")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "build/voice")
    parser.add_argument("--tools", type=pathlib.Path, default=ROOT / "target/release/examples")
    parser.add_argument("--versions", type=int, default=6, help="disturbed copies per clip")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="without baseline and leave-one-sentence-out")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)

    audio = args.work / "audio"
    augment.write_versions(args.corpus, audio, args.versions)
    names = [path.stem for path in sorted(args.corpus.glob("*.flac"))]
    train_versions = ["clean", *(f"train{i}" for i in range(args.versions)), "long0", "long1", "short0", "short1"]
    versions = {v: features.measure(args.tools, args.pack, audio, args.work, names, v) for v in [*train_versions, "harsh"]}
    speaker = np.array([name[:2] for name in names])
    label = np.array([LETTERS.index(name[5]) for name in names])
    corpus = Corpus(names, label, speaker, np.isin(speaker, WOMEN), versions)
    figures = {}

    if not args.quick:
        plain = {v: features.unconditioned(args.tools, args.pack, audio, args.work, names, v) for v in ("clean", "harsh")}
        for version, posterior in baseline(corpus, plain).items():
            figures[f"baseline {version}"] = say(f"plain logistic regression, {version}", posterior, label)

    tested = ["clean", "harsh", "train0", "long0", "long1", "short0", "short1"]
    posterior, z = folds(corpus, speaker, train_versions, tested)
    for version in tested:
        figures[f"speaker {version}"] = say(f"leave one speaker out, {version}", posterior[version], label)
    np.savez(
        args.work / "out_of_fold.npz", names=names, speaker=speaker, label=label, female=corpus.is_female,
        posterior=posterior["clean"].astype(np.float32), harsh_posterior=posterior["harsh"].astype(np.float32),
        prosody_z=z["clean"].astype(np.float32), harsh_prosody_z=z["harsh"].astype(np.float32),
    )
    if not args.quick:
        sentences = np.array([name[2:5] for name in names])
        # Long clips are made of several sentences.
        one_sentence = [v for v in train_versions if not v.startswith("long")]
        by_sentence, _ = folds(corpus, sentences, one_sentence, ["clean", "harsh"])
        for version in ("clean", "harsh"):
            figures[f"sentence {version}"] = say(f"leave one sentence out, {version}", by_sentence[version], label)

    fitted = fit(corpus, np.ones(len(names), bool), train_versions)
    print(f"all speakers: penalty {fitted.penalty:g}, temperature {fitted.temperature:.2f}; norms {fitted.norms.to_json()}")
    export(fitted, ROOT / "packs/mini/voice.safetensors", figures)
    write_fixtures(corpus, fitted, ROOT / "core/tests/data/voice/head.json")


if __name__ == "__main__":
    main()
