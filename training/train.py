"""Trains the projectors and the LoRA of the mini pack. One command reruns it:

    python training/train.py path/to/SmolLM2-135M-Instruct.Q4_1.gguf --out packs/mini

Data is sampled (see evidence.py, wording.py); no speaker and no face is in it. Two processes of one thread each, since
threads that wait for one another waste a busy machine. Checkpoints are written on the way, so a run cut short
still leaves an adapter.
"""

import argparse
import json
import os
import pathlib
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

import samples
from cues import cue_spans, quote_spans
from evidence import vectors
from model import ALPHA, FEATURES, HIDDEN, PROJECTOR_WIDTH, RANK, Adapter, Base, forward, logits, warm_start

# (share of the run, task mix): first fuse, then read the cue vectors, then write.
CURRICULUM = [
    (0.2, {"emotion": 0.6, "states": 0.3, "reason": 0.1}),
    (0.3, {"emotion": 0.15, "states": 0.45, "cues": 0.2, "reason": 0.2}),
    (0.5, {"emotion": 0.13, "states": 0.05, "cues": 0.15, "reason": 0.62, "sentence": 0.05}),
]
LABEL_WEIGHT = 3.0
TEXT_WEIGHT = 1 / 40  # per token of weight 1
# Weights of text tokens: those that state a cue, the person's words (a copy), all others.
CUE_TOKEN, QUOTED_TOKEN, PLAIN_TOKEN = 2.5, 0.3, 0.6
FALL = 0.35  # share of the run over which the learning rate falls
KEEP = 0.97  # of the running mean of the weights, which is what is saved


def collate(base, adapter, encoder, batch):
    """(input rows [n, t, 576], branches, label positions [n], [(sample, position, next id)] of the text)."""
    n = len(batch)
    soft = {}
    vecs = [vectors(s.evidence) for s in batch]
    for name in samples.SLOTS:
        soft[name] = adapter.soft(name, torch.from_numpy(np.stack([v[name] for v in vecs])))
    rows = torch.cat([soft[name] for name in samples.SLOTS], 1).to(base.dtype)  # [n, 11, 576]
    lines, places, branch, label_at, text = [], [], [], [], []
    for i, s in enumerate(batch):
        line = s.prompt + s.lead_in + [encoder.label_ids[s.label]]
        stem = len(line)
        place, side = list(range(stem)), [0] * stem
        label_at.append(stem - 2)
        for k, answer in enumerate(s.answers):
            # The label's row predicts every answer's first token, each token its successor.
            text += [(i, stem - 1 if j == 0 else len(line) + j - 1, token) for j, token in enumerate(answer)]
            line = line + answer[:-1]
            place += range(stem, stem + len(answer) - 1)
            side += [k + 1] * (len(answer) - 1)
        lines.append(line), places.append(place), branch.append(side)
    t = max(len(line) for line in lines)
    pad = lambda rows, value: torch.tensor([row + [value] * (t - len(row)) for row in rows])
    ids = pad(lines, encoder.end)
    x = base.embed[ids.clamp(min=0)].masked_scatter((ids < 0)[..., None], rows)
    return x, (pad(places, 0), pad(branch, 0)), label_at, text


def token_weights(encoder, answer):
    """Weight of each token of one answer's text, the end token included."""
    spans, at = [], 0
    for token in answer[:-1]:
        size = len(encoder.piece(token))
        spans.append((at, at + size))
        at += size
    text = encoder.bytes(answer[:-1])
    if text.startswith(". States:"):
        return [CUE_TOKEN] * len(answer)
    stated, quoted = cue_spans(text), quote_spans(text)
    inside = lambda span, regions: any(span[0] < b and a < span[1] for a, b in regions)
    return [QUOTED_TOKEN if inside(s, quoted) else CUE_TOKEN if inside(s, stated) else PLAIN_TOKEN for s in spans] + [PLAIN_TOKEN]


def losses(base, adapter, encoder, batch):
    """(sum of the labels' KL, weighted sum of the text's cross entropy, sum of those weights)."""
    x, branches, label_at, text = collate(base, adapter, encoder, batch)
    h = forward(base, adapter, x, branches=branches)
    at_label = torch.log_softmax(logits(base, h[torch.arange(len(batch)), torch.tensor(label_at)]), -1)
    kl = 0.0
    for i, s in enumerate(batch):
        p = torch.from_numpy(s.target).float()
        got = at_label[i, [encoder.label_ids[label] for label in s.labels]]
        kl = kl + (p * (torch.log(p.clamp(min=1e-9)) - got)).sum()
    rows, cols, targets = zip(*text)
    at_text = logits(base, h[torch.tensor(rows), torch.tensor(cols)])
    weights = torch.tensor([w for s in batch for answer in s.answers for w in token_weights(encoder, answer)])
    ce = (F.cross_entropy(at_text, torch.tensor(targets), reduction="none") * weights).sum()
    return kl, ce, weights.sum().item()


def batches(seed, encoder, count, per_step, stages):
    """Steps of `per_step` samples of like length, in a random order within each stage of the curriculum."""
    rng = np.random.default_rng(seed)
    steps = []
    for stage, (share, mix) in enumerate(stages):
        drawn = samples.stream(seed * 1000 + stage, encoder, round(count * share / sum(s for s, _ in stages)), mix)
        drawn.sort(key=lambda s: len(s.prompt) + len(s.lead_in) + sum(map(len, s.answers)))
        groups = [drawn[i:i + per_step] for i in range(0, len(drawn) - per_step + 1, per_step)]
        rng.shuffle(groups)
        steps += groups
    return steps


def save(names, tensors, out):
    """`adapter.safetensors`, f16 (the running mean of the weights), by way of a second name so that a reader never sees half a file."""
    out.mkdir(parents=True, exist_ok=True)
    part = out / "adapter.safetensors.part"
    save_file({k: v.half().contiguous() for k, v in zip(names, tensors)}, part)
    part.replace(out / "adapter.safetensors")


def prompt_description():
    """What an inference engine needs to build the prompt and score the labels."""
    import wording
    from cues import LABELS8

    return {
        "segments": samples.PROMPT, "transcript_segment": samples.SAYS, "question_segment": samples.ASK,
        "questions": {"emotion": f"[emotion] {wording.EMOTION_QUESTION}", "reason": f"[reason] {wording.REASON_QUESTION}"},
        "labels_clause": wording.LABELS_CLAUSE, "labels": LABELS8, "known_labels": LABELS8 + ["bored"],
        "lead_in": samples.LEAD_IN, "label_prefix": " ", "after_label": {"emotion": samples.END, "reason": ""}, "end": samples.END,
        "lora": {"rank": RANK, "alpha": ALPHA, "targets": ["q_proj", "v_proj"]},
        "projectors": {name: {"input": size, "hidden": PROJECTOR_WIDTH, "tokens": k, "width": HIDDEN}
                       for name, (size, k) in FEATURES.items()},
    }


def worker(rank, args):
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(args.port))
    dist.init_process_group("gloo", rank=rank, world_size=args.processes)
    base = Base(args.gguf, torch.bfloat16)
    encoder = samples.Encoder(base.tokenizer)
    adapter = Adapter(seed=args.seed)
    warm_start(adapter, base)
    if args.init:
        adapter.load(load_file(args.init))
    stages = CURRICULUM[args.first_stage:]
    steps = batches(args.seed, encoder, args.samples, args.batch, stages)
    lora = [p for name, p in adapter.named().items() if name.startswith("lora")]
    projectors = [p for name, p in adapter.named().items() if name.startswith("projector")]
    opt = torch.optim.AdamW([{"params": lora, "lr": args.lr}, {"params": projectors, "lr": 2 * args.lr}],
                            betas=(0.9, 0.98), weight_decay=0.0)
    names = [name for name in adapter.named() if name.startswith("lora")]
    names += [name for name in adapter.named() if name.startswith("projector")]
    base_lrs = [g["lr"] for g in opt.param_groups]
    params = lora + projectors
    average = [p.detach().clone() for p in params]
    began, told = time.time(), [0.0, 0.0, 0, 0]
    if rank == 0:
        (args.out).mkdir(parents=True, exist_ok=True)
        (args.out / "prompt.json").write_text(json.dumps(prompt_description(), indent=1) + "\n")
    for step, group in enumerate(steps):
        # Warm up, hold, then fall over the last part. `--minutes` moves the fall forward on a slow machine.
        done = step / len(steps)
        if args.minutes:
            clock = torch.tensor([(time.time() - began) / 60 / args.minutes])
            dist.broadcast(clock, 0)
            done = max(done, clock.item())
        rate = min(1.0, (step + 1) / 20, max(0.03, (1 - done) / FALL))
        for g, lr in zip(opt.param_groups, base_lrs):
            g["lr"] = lr * rate
        mine = group[rank::args.processes]
        kl, ce, tokens = losses(base, adapter, encoder, mine)
        ((LABEL_WEIGHT * kl + TEXT_WEIGHT * ce) / len(group)).backward()
        flat = torch.cat([p.grad.reshape(-1) for p in params])
        dist.all_reduce(flat)
        flat *= min(1.0, 1.0 / (flat.norm().item() + 1e-6))
        at = 0
        for p in params:
            p.grad.copy_(flat[at:at + p.numel()].view_as(p))
            at += p.numel()
        opt.step()
        opt.zero_grad(set_to_none=True)
        keep = min(KEEP, step / (step + 10))
        with torch.no_grad():
            for mean, p in zip(average, params):
                mean.lerp_(p, 1 - keep)
        told = [told[0] + kl.item(), told[1] + ce.item(), told[2] + tokens, told[3] + len(mine)]
        if rank == 0 and (step + 1) % args.report == 0:
            print(f"step {step + 1}/{len(steps)}  label KL {told[0] / told[3]:.4f}  text CE {told[1] / told[2]:.4f}  "
                  f"{time.time() - began:.0f} s", flush=True)
            told = [0.0, 0.0, 0, 0]
        last = step + 1 == len(steps) or done >= 1
        if rank == 0 and ((step + 1) % args.checkpoint == 0 or last):
            save(names, average, args.out)
        if last:
            break
    dist.destroy_process_group()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gguf", help="the language model's GGUF file")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("packs/mini"))
    parser.add_argument("--samples", type=int, default=16000)
    parser.add_argument("--batch", type=int, default=8, help="samples per step, over all processes")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--init", help="adapter.safetensors to go on from")
    parser.add_argument("--first-stage", type=int, default=0, help="stage of the curriculum to begin with")
    parser.add_argument("--minutes", type=float, help="bound on the run's time; the learning rate falls accordingly")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--report", type=int, default=20)
    parser.add_argument("--checkpoint", type=int, default=40)
    parser.add_argument("--port", type=int, default=29511)
    args = parser.parse_args()
    mp.spawn(worker, (args,), nprocs=args.processes)


if __name__ == "__main__":
    main()
