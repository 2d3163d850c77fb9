"""Writes `core/tests/data/adapter/`: what this code computes for three clips, for the engine's parity tests.

    python training/reference.py path/to/SmolLM2-135M-Instruct.Q4_1.gguf packs/mini/adapter.safetensors core/tests/data/adapter

`reference.safetensors`: per case `<case>.in.<feature>` (vector), `<case>.soft.<feature>` [k, 576].
`reference.json`: per case and task the prompt's token ids (a negative id -1-i is a soft row of feature i in `slots`), the lead-in's ids,
the 20 largest logits of the last row, P and ln P of each label over the vocabulary, and greedy text after the chosen label.
"""

import json
import pathlib
import sys

import numpy as np
import torch
from safetensors.torch import save_file

import samples
import wording
from cues import FACE7, LABELS8, VOICE7
from evaluate import Reader
from evidence import Evidence, vectors
from model import forward, logits


def peaked(order, **shares):
    rest = (1 - sum(shares.values())) / (7 - len(shares))
    return np.array([shares.get(c, rest) for c in order])


CASES = {
    "all": (Evidence(face_peak=peaked(FACE7, happy=0.9, neutral=0.05), face_time=peaked(FACE7, happy=0.6, neutral=0.33),
                     geometry=np.array([0.2, 0.1, -0.9, 1.4, 2.1, 1.7]), voice=peaked(VOICE7, neutral=0.45, happy=0.3),
                     prosody=np.array([1.2, 1.0, 0.1, -0.4, 0.3]), transcript="The library opens at noon."), LABELS8),
    "voice": (Evidence(voice=peaked(VOICE7, angry=0.88, happy=0.07), prosody=np.array([1.1, 0.4, 1.9, 0.9, 1.3])), VOICE7),
    "nothing": (Evidence(), LABELS8),
}


def main():
    gguf, adapter, out = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
    torch.set_num_threads(1)
    reader = Reader(gguf, adapter)
    encoder, tensors, told = reader.encoder, {}, {"slots": samples.SLOTS, "slot_rows": samples.SLOT_ROWS, "cases": []}
    for name, (e, labels) in CASES.items():
        for feature, v in vectors(e).items():
            tensors[f"{name}.in.{feature}"] = torch.from_numpy(v)
            tensors[f"{name}.soft.{feature}"] = reader.adapter.soft(feature, torch.from_numpy(v)[None])[0].detach().clone()
        case = {"name": name, "labels": labels, "transcript": e.transcript, "tasks": {}}
        for task, ask in (("emotion", wording.EMOTION_QUESTION), ("reason", wording.REASON_QUESTION)):
            question = f"[{task}] {ask}" + ("" if labels == LABELS8 else wording.LABELS_CLAUSE.format(labels=", ".join(labels)))
            prompt, lead = encoder.prompt(e.transcript, question), encoder.ids(samples.LEAD_IN[task])
            with torch.no_grad():
                x, _ = reader.rows([e], [prompt + lead])
                row = logits(reader.base, forward(reader.base, reader.adapter, x)[0, -1])
            top = torch.topk(row, 20)
            logp = torch.log_softmax(row.double(), -1)
            p = torch.softmax(row[[encoder.label_ids[label] for label in labels]].double(), -1).tolist()
            best = labels[int(np.argmax(p))]
            case["tasks"][task] = {
                "question": question, "prompt_ids": prompt, "lead_in_ids": lead,
                "top": [[int(i), round(float(v), 5)] for v, i in zip(top.values, top.indices)],
                "label_ids": {label: encoder.label_ids[label] for label in labels},
                "label_logp": {label: round(float(logp[encoder.label_ids[label]]), 6) for label in labels},
                "probabilities": {label: round(v, 6) for label, v in zip(labels, p)}, "label": best,
                "text": reader.explain(e, best) if task == "reason" else "",
            }
        told["cases"].append(case)
    out.mkdir(parents=True, exist_ok=True)
    save_file(tensors, out / "reference.safetensors")
    (out / "reference.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    for case in told["cases"]:
        print(case["name"], {t: (v["label"], round(max(v["probabilities"].values()), 3)) for t, v in case["tasks"].items()}, case["tasks"]["reason"]["text"])


if __name__ == "__main__":
    main()
