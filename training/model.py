"""SmolLM2 (LLaMA architecture) from its GGUF file, with LoRA on q_proj and v_proj and the soft-token projectors.

The base weights are the dequantised GGUF ones, so training sees what inference sees, and stay frozen.
Rotary embedding in the rotate-half order of Hugging Face; the q and k rows of the GGUF are un-permuted on loading.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from gguf import GGUFReader, dequantize
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, decoders, AddedToken

HIDDEN = 576
FEATURES = {"face_peak": (15, 2), "face_time": (15, 1), "geometry": (7, 3), "voice": (15, 2), "prosody": (6, 3)}
PROJECTOR_WIDTH = 64
RANK, ALPHA = 16, 32


def _unpermute(w, heads):
    """llama.cpp's interleaved RoPE rows back to the rotate-half order."""
    rows, cols = w.shape
    return w.reshape(heads, rows // heads // 2, 2, cols).swapaxes(1, 2).reshape(rows, cols)


class Base:
    """The frozen language model. Weights in `dtype`; bfloat16 is about three times as fast as float32 here."""

    def __init__(self, path, dtype=torch.float32):
        reader = GGUFReader(path)
        meta = lambda key: reader.fields[key].contents()
        self.layers = meta("llama.block_count")
        self.heads, self.kv_heads = meta("llama.attention.head_count"), meta("llama.attention.head_count_kv")
        self.eps, self.theta = meta("llama.attention.layer_norm_rms_epsilon"), meta("llama.rope.freq_base")
        self.head_dim = meta("llama.rope.dimension_count")
        self.dtype = dtype
        raw = {t.name: np.array(dequantize(t.data, t.tensor_type), np.float32) for t in reader.tensors}
        get = lambda name: torch.from_numpy(raw[name]).to(dtype)
        self.embed = get("token_embd.weight")  # [49152, 576], tied with the output
        self.norm = torch.from_numpy(raw["output_norm.weight"])
        self.blocks = []
        for i in range(self.layers):
            b = f"blk.{i}."
            q = _unpermute(raw[b + "attn_q.weight"], self.heads)
            k = _unpermute(raw[b + "attn_k.weight"], self.kv_heads)
            self.blocks.append({
                "attn_norm": torch.from_numpy(raw[b + "attn_norm.weight"]),
                "qkv": torch.from_numpy(np.concatenate([q, k, raw[b + "attn_v.weight"]])).to(dtype),
                "o": get(b + "attn_output.weight"),
                "ffn_norm": torch.from_numpy(raw[b + "ffn_norm.weight"]),
                "gate_up": torch.from_numpy(np.concatenate([raw[b + "ffn_gate.weight"], raw[b + "ffn_up.weight"]])).to(dtype),
                "down": get(b + "ffn_down.weight"),
            })
        self.tokenizer = _tokenizer(reader)


def _tokenizer(reader):
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    types = reader.fields["tokenizer.ggml.token_type"].contents()
    merges = [tuple(m.split(" ")) for m in reader.fields["tokenizer.ggml.merges"].contents()]
    tok = Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, merges))
    tok.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tok.decoder = decoders.ByteLevel()
    tok.add_special_tokens([AddedToken(t, special=True, normalized=False) for t, kind in zip(tokens, types) if kind in (3, 4)])
    return tok


class Adapter(torch.nn.Module):
    """What is trained: projectors (feature vector -> k soft tokens) and LoRA. Kept in float32."""

    def __init__(self, layers=30, kv_width=192, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.projectors = torch.nn.ModuleDict({
            name: torch.nn.Sequential(
                torch.nn.Linear(size, PROJECTOR_WIDTH), torch.nn.GELU(), torch.nn.Linear(PROJECTOR_WIDTH, k * HIDDEN))
            for name, (size, k) in FEATURES.items()})
        for p in self.projectors.values():
            torch.nn.init.normal_(p[0].weight, std=0.5)
            torch.nn.init.normal_(p[2].weight, std=0.02)  # about the size of the word embeddings
            torch.nn.init.normal_(p[2].bias, std=0.02)
        bound = 1 / math.sqrt(HIDDEN)
        uniform = lambda *shape: torch.nn.Parameter(torch.empty(*shape).uniform_(-bound, bound))
        zeros = lambda *shape: torch.nn.Parameter(torch.zeros(*shape))
        self.qa = torch.nn.ParameterList([uniform(RANK, HIDDEN) for _ in range(layers)])
        self.qb = torch.nn.ParameterList([zeros(HIDDEN, RANK) for _ in range(layers)])
        self.va = torch.nn.ParameterList([uniform(RANK, HIDDEN) for _ in range(layers)])
        self.vb = torch.nn.ParameterList([zeros(kv_width, RANK) for _ in range(layers)])

    def soft(self, name, x):
        """[n, d] -> [n, k, 576]."""
        return self.projectors[name](x).view(len(x), -1, HIDDEN)

    def named(self):
        """Tensors by their names in `adapter.safetensors`."""
        out = {}
        for name, p in self.projectors.items():
            for i in (0, 2):
                out[f"projector.{name}.{i}.weight"], out[f"projector.{name}.{i}.bias"] = p[i].weight, p[i].bias
        for i in range(len(self.qa)):
            out[f"lora.{i}.q.a"], out[f"lora.{i}.q.b"] = self.qa[i], self.qb[i]
            out[f"lora.{i}.v.a"], out[f"lora.{i}.v.b"] = self.va[i], self.vb[i]
        return out

    def load(self, tensors):
        with torch.no_grad():
            for name, p in self.named().items():
                p.copy_(tensors[name].float())


# Words whose embeddings a notable cue starts from: feature -> input -> (soft token, high words, low words).
WARM_WORDS = {
    "geometry": [(0, "brows raised", "brows lowered"), (0, "", "drawn together"), (1, "eyes wide", "eyes narrowed"), (1, "mouth open", "mouth closed"),
                 (2, "corners up", "corners down"), (2, "stretched", "narrow")],
    "prosody": [(0, "pitch high", "pitch low"), (0, "lively", "flat"), (1, "loud strong", "soft quiet"), (2, "fast quickly", "slow slowly"),
                (2, "bright sharp", "dark muffled")],
}


def warm_start(adapter, base):
    """Lets the cue projectors start from the words that they should bring up, in place of noise.

    Per cue and side two hidden units make a ramp from |z| = 0.65 on that levels off two thirds of a z later; it turns on the mean embedding
    of the side's words. The first layer's other units stay random, with a small say.
    """
    def mean_embedding(word):
        return base.embed[base.tokenizer.encode(" " + word, add_special_tokens=False).ids].float().mean(0)

    with torch.no_grad():
        for name, rows in WARM_WORDS.items():
            first, second = adapter.projectors[name][0], adapter.projectors[name][2]
            second.weight.mul_(0.2)
            second.bias.mul_(0.2)
            k = second.bias.numel() // HIDDEN
            first.weight[0], first.bias[0] = 0.0, 0.0  # there at all: every soft token holds "usual"
            first.weight[0, -1] = 4.0
            second.weight[:, 0] = 0.25 * mean_embedding("usual").repeat(k)
            unit = 1
            for i, (token, *sides) in enumerate(rows):
                for sign, words in zip((1, -1), sides):
                    if not words:
                        continue
                    target = sum(mean_embedding(w) for w in words.split())
                    for bias, weight in ((-1.95, 0.5), (-3.95, -0.5)):
                        first.weight[unit] = 0.0
                        first.weight[unit, i] = 9.0 * sign
                        first.bias[unit] = bias
                        second.weight[:, unit] = 0.0
                        second.weight[token * HIDDEN:(token + 1) * HIDDEN, unit] = weight * target
                        unit += 1


def _rms(x, weight, eps):
    x32 = x.float()
    return (x32 * torch.rsqrt(x32.pow(2).mean(-1, keepdim=True) + eps) * weight).to(x.dtype)


def forward(base, adapter, x, cache=None, branches=None):
    """Hidden rows [n, t, 576] before the output head. `x` are input rows; with `cache` (a list, filled here) more
    rows of the same sequences can follow in a later call.

    `branches` = (positions [n, t], branch [n, t]): rows of branch 0 are seen by all later rows, those of any other
    branch by their own branch only. So several answers to one prompt cost the prompt once.
    """
    n, t, _ = x.shape
    past = cache[0][0].shape[2] if cache else 0
    half = base.head_dim // 2
    freq = base.theta ** (-torch.arange(half, dtype=torch.float32) / half)
    at = torch.arange(past, past + t)[None] if branches is None else branches[0]
    angle = (at.float()[:, :, None] * freq)[:, None]  # [n or 1, 1, t, half]
    cos, sin = angle.cos().to(base.dtype), angle.sin().to(base.dtype)

    def rope(v):
        a, b = v[..., :half], v[..., half:]
        return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)

    scale = ALPHA / RANK
    qw, kw = base.heads * base.head_dim, base.kv_heads * base.head_dim
    group = base.heads // base.kv_heads
    fresh = cache is not None and not cache
    mask = torch.full((t, past + t), -1e30).triu(past + 1)
    if branches is not None:
        other = (branches[1][:, None, :] != 0) & (branches[1][:, None, :] != branches[1][:, :, None])
        mask = mask.expand(n, t, t).masked_fill(other, -1e30)[:, None]
    for i, w in enumerate(base.blocks):
        h = _rms(x, w["attn_norm"], base.eps)
        q, k, v = F.linear(h, w["qkv"]).split([qw, kw, kw], -1)
        if adapter is not None:
            low = F.linear(h, torch.cat([adapter.qa[i], adapter.va[i]]).to(base.dtype))
            q = q + F.linear(low[..., :RANK], (scale * adapter.qb[i]).to(base.dtype))
            v = v + F.linear(low[..., RANK:], (scale * adapter.vb[i]).to(base.dtype))
        q = rope(q.view(n, t, base.heads, -1).transpose(1, 2))
        k = rope(k.view(n, t, base.kv_heads, -1).transpose(1, 2))
        v = v.view(n, t, base.kv_heads, -1).transpose(1, 2)
        if cache is not None:
            if not fresh:
                k, v = torch.cat([cache[i][0], k], 2), torch.cat([cache[i][1], v], 2)
                cache[i] = (k, v)
            else:
                cache.append((k, v))
        # Query heads of one group share their key and value head. Plain products beat the fused kernel at these lengths.
        q = q.reshape(n * base.kv_heads, group * t, -1)
        k, v = k.reshape(n * base.kv_heads, past + t, -1), v.reshape(n * base.kv_heads, past + t, -1)
        a = torch.bmm(q, k.transpose(1, 2)).view(n, base.heads, t, past + t)
        a = torch.softmax(a.float() * base.head_dim ** -0.5 + mask, -1).to(base.dtype)
        a = torch.bmm(a.view(n * base.kv_heads, group * t, -1), v).view(n, base.heads, t, -1)
        x = x + F.linear(a.transpose(1, 2).reshape(n, t, -1), w["o"])
        h = _rms(x, w["ffn_norm"], base.eps)
        gate, up = F.linear(h, w["gate_up"]).chunk(2, -1)
        x = x + F.linear(F.silu(gate) * up, w["down"])
    return _rms(x, base.norm, base.eps)


def logits(base, rows):
    """float32 logits of hidden rows."""
    return F.linear(rows, base.embed).float()
