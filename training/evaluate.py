"""The recipe's figures, through the language model's own label scores and its own text.

    python training/evaluate.py path/to/SmolLM2-135M-Instruct.Q4_1.gguf packs/mini/adapter.safetensors [--voice voice_oof.npz]

`--voice` holds the posteriors of a voice head that was fitted without the speaker it judges: arrays `speaker`, `label`
(index in VOICE7), `posterior` [n, 7], `prosody_z` [n, 5], and optionally the same of a degraded copy: `harsh_posterior`, `harsh_prosody_z`.
"""

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from safetensors.torch import load_file

import samples
import wording
from cues import LABELS8, VOICE7, agrees, stated_cues
from evidence import Evidence, fuse, sample_evidence, vectors
from model import Adapter, Base, forward, logits


class Reader:
    """Label scores and greedy text of the trained model."""

    def __init__(self, gguf, adapter, dtype=torch.float32):
        self.base = Base(gguf, dtype)
        self.encoder = samples.Encoder(self.base.tokenizer)
        self.adapter = Adapter()
        self.adapter.load(load_file(adapter))
        self.adapter.requires_grad_(False)

    def rows(self, evidences, prompts):
        """Right-padded input rows [n, t, 576] and the lengths."""
        vecs = [vectors(e) for e in evidences]
        soft = torch.cat([self.adapter.soft(name, torch.from_numpy(np.stack([v[name] for v in vecs])))
                          for name in samples.SLOTS], 1).to(self.base.dtype)
        t = max(map(len, prompts))
        ids = torch.tensor([p + [self.encoder.end] * (t - len(p)) for p in prompts])
        x = self.base.embed[ids.clamp(min=0)]
        return x.masked_scatter((ids < 0)[..., None], soft), [len(p) for p in prompts]

    @torch.no_grad()
    def scores(self, evidences, labels, task="emotion", question=None, size=32):
        """P over `labels` (one list for all), float64 [n, len(labels)]."""
        if question is None:
            question = f"[{task}] " + (wording.EMOTION_QUESTION if task == "emotion" else wording.REASON_QUESTION)
            if list(labels) != LABELS8:
                question += wording.LABELS_CLAUSE.format(labels=", ".join(labels))
        lead = self.encoder.ids(samples.LEAD_IN[task])
        ids = [self.encoder.label_ids[label] for label in labels]
        prompts = [self.encoder.prompt(e.transcript, question) + lead for e in evidences]
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        out = np.zeros((len(prompts), len(labels)))
        for at in range(0, len(order), size):
            part = order[at:at + size]
            x, lengths = self.rows([evidences[i] for i in part], [prompts[i] for i in part])
            h = forward(self.base, self.adapter, x)
            last = h[torch.arange(len(part)), torch.tensor(lengths) - 1]
            row = logits(self.base, last)[:, ids].double()
            out[part] = torch.softmax(row, -1).numpy()
        return out

    def explain(self, e, label, question=None, limit=90):
        """Greedy text after `The person feels {label}`."""
        return self.explain_all([e], [label], question, limit)[0]

    @torch.no_grad()
    def explain_all(self, evidences, labels, question=None, limit=90):
        """Greedy text of each; prompts of one length are decoded together."""
        question = question or f"[reason] {wording.REASON_QUESTION}"
        prompts = [self.encoder.prompt(e.transcript, question) + self.encoder.ids(samples.LEAD_IN["reason"])
                   + [self.encoder.label_ids[label]] for e, label in zip(evidences, labels)]
        texts = [None] * len(prompts)
        for length in sorted(set(map(len, prompts))):
            group = [i for i, p in enumerate(prompts) if len(p) == length]
            x, _ = self.rows([evidences[i] for i in group], [prompts[i] for i in group])
            cache, out, going = [], [[] for _ in group], [True] * len(group)
            for _ in range(limit):
                tokens = logits(self.base, forward(self.base, self.adapter, x, cache)[:, -1]).argmax(-1)
                for k, token in enumerate(tokens.tolist()):
                    going[k] = going[k] and token != self.encoder.end
                    if going[k]:
                        out[k].append(token)
                if not any(going):
                    break
                x = self.base.embed[tokens[:, None]]
            for i, ids in zip(group, out):
                texts[i] = self.encoder._tok.decode(ids)
        return texts


def calibration_error(p, hit, bins=10):
    """Expected calibration error of the top probability, equal-width bins."""
    top = p.max(1)
    which = np.minimum((top * bins).astype(int), bins - 1)
    return sum(abs(top[which == b].mean() - hit[which == b].mean()) * (which == b).mean() for b in range(bins) if (which == b).any())


def recall(truth, said, classes):
    """(UAR, WAR) over the classes that occur."""
    present = [c for c in range(classes) if (truth == c).any()]
    return np.mean([(said[truth == c] == c).mean() for c in present]), (truth == said).mean()


def synthetic(reader, count, seed):
    rng = np.random.default_rng(seed)
    groups = {"all": None, "face+voice": (True, True, False), "face only": (True, False, False),
              "voice only": (False, True, False), "words only": (False, False, True), "nothing": (False, False, False)}
    for name, pattern in groups.items():
        n = {"all": count, "nothing": 4}.get(name, count // 4)
        es = [sample_evidence(rng, wording.words, pattern) for _ in range(n)]
        best = np.array([fuse(e, LABELS8) for e in es])
        p = reader.scores(es, LABELS8)
        truth = np.array([rng.choice(8, p=q) for q in best])
        said = p.argmax(1)
        kl = (best * (np.log(best + 1e-12) - np.log(p + 1e-12))).sum(1).mean()
        print(f"synthetic {name:<11} n {n:<5} accuracy {np.mean(said == truth):.3f}  best fusion {np.mean(best.argmax(1) == truth):.3f}  "
              f"same label {np.mean(said == best.argmax(1)):.3f}  ECE {calibration_error(p, said == truth):.3f}  KL {kl:.4f}", flush=True)
        if name == "nothing":
            print("   nothing:", {label: round(float(v), 2) for label, v in zip(LABELS8, p[0])})


def voice_set(path, key="posterior"):
    """Evidence of each clip with its voice alone, the truth, the speakers."""
    data = np.load(path, allow_pickle=True)
    z = data[key.replace("posterior", "prosody_z")]
    es = [Evidence(voice=np.asarray(q, float) / np.sum(q), prosody=np.asarray(v, float)) for q, v in zip(data[key], z)]
    return es, np.asarray(data["label"]), data[key]


def emodb(reader, path, words="The book is on the shelf."):
    data = np.load(path, allow_pickle=True)
    for key in [k for k in ("posterior", "harsh_posterior") if k in data.files]:
        es, truth, q = voice_set(path, key)
        uar, war = recall(truth, q.argmax(1), 7)
        print(f"EmoDB {key}: voice head alone UAR {uar:.3f} WAR {war:.3f} ECE {calibration_error(q, q.argmax(1) == truth):.3f}")
        for name, text in (("voice only", None), ("with neutral words", words))[:2 if key == "posterior" else 1]:
            for e in es:
                e.transcript = text
            p = reader.scores(es, VOICE7)
            uar, war = recall(truth, p.argmax(1), 7)
            print(f"EmoDB {key}, {name}: seven labels UAR {uar:.3f} WAR {war:.3f} ECE {calibration_error(p, p.argmax(1) == truth):.3f} "
                  f"follows the head {np.mean(p.argmax(1) == q.argmax(1)):.3f}", flush=True)
            truth8 = np.array([LABELS8.index("neutral" if VOICE7[t] == "bored" else VOICE7[t]) for t in truth])
            p = reader.scores(es, LABELS8)
            uar, war = recall(truth8, p.argmax(1), 8)
            print(f"EmoDB {key}, {name}: eight labels (bored as neutral) UAR {uar:.3f} WAR {war:.3f} "
                  f"ECE {calibration_error(p, p.argmax(1) == truth8):.3f}", flush=True)


def explanations(reader, es, name, show=0):
    agree = stated = 0
    labels = [LABELS8[i] for i in reader.scores(es, LABELS8, "reason").argmax(1)]
    texts = reader.explain_all(es, labels)
    for i, (e, label, text) in enumerate(zip(es, labels, texts)):
        wrong = []
        for statement in stated_cues(text):
            stated += 1
            good = agrees(statement, e.geometry, e.prosody, e.face, e.voice)
            agree += good
            if not good:
                wrong.append(statement)
        if i < show:
            print(f"  The person feels {label}{text}   {'WRONG ' + str(wrong) if wrong else ''}")
    print(f"explanations {name}: {len(es)} texts, {stated} stated cues, agreement {agree / max(stated, 1):.3f}, "
          f"cues per text {stated / len(es):.2f}, distinct texts {len(set(texts)) / len(texts):.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gguf")
    parser.add_argument("adapter")
    parser.add_argument("--voice")
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--texts", type=int, default=150)
    parser.add_argument("--seed", type=int, default=987)
    parser.add_argument("--show", type=int, default=8)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    args = parser.parse_args()
    torch.set_num_threads(1)
    reader = Reader(args.gguf, args.adapter, getattr(torch, args.dtype))
    synthetic(reader, args.count, args.seed)
    if args.voice:
        emodb(reader, args.voice)
    rng = np.random.default_rng(args.seed + 1)
    explanations(reader, [sample_evidence(rng, wording.words) for _ in range(args.texts)], "synthetic", args.show)
    if args.voice:
        es = voice_set(args.voice)[0]
        explanations(reader, [es[i] for i in rng.choice(len(es), min(60, len(es)), replace=False)], "EmoDB", args.show // 2)


if __name__ == "__main__":
    main()
