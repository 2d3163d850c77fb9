"""Reference figures for the language model and its tokenizer, from transformers in f32.

Usage: python tools/reference/llama.py MODEL.gguf core/tests/data/llama

Needs torch, transformers 4.57, gguf, safetensors, numpy. Writes
  parity.safetensors   prompts' ids, soft rows, every fourth last-row logit (f16), layer outputs, greedy continuations
  lora.safetensors     a random adapter
  tokenizer.json       strings and their ids
  quants.safetensors   random packed blocks and their values
"""

import argparse
import json
import pathlib

import numpy as np
import torch
from gguf import GGMLQuantizationType, GGUFReader
from gguf.quants import dequantize
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from tokenizers import AddedToken
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from llama_strings import STRINGS

PROMPTS = [
    "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>user\nDescribe how a worried person looks and sounds, in two sentences.<|im_end|>\n<|im_start|>assistant\n",
    "The weather was cold, so before leaving the house she",
]
HIDDEN_LAYERS = [0, 15, 29]
NEW_TOKENS = 40
LORA_RANK = 2
# Every fourth logit is kept, for the fixture's size.
LOGIT_STEP = 4
LORA_SCALE = 2.0


def build_tokenizer(reader):
    """The model's published tokenizer: byte-level BPE after splitting off single digits, nothing added."""
    field = lambda name: reader.fields[f"tokenizer.ggml.{name}"].contents()
    tokens, kinds = field("tokens"), field("token_type")
    merges = [tuple(line.split(" ")) for line in field("merges")]
    tokenizer = Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, normalized=False) for t, k in zip(tokens, kinds) if k == 3])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, clean_up_tokenization_spaces=False)


def tokenizer_cases(tokenizer):
    cases = []
    for text in STRINGS:
        ids = tokenizer.encode(text, add_special_tokens=False)
        plain = tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
        cases.append({"text": text, "ids": ids, "plain_ids": plain,
                      "decoded": tokenizer.decode(ids, skip_special_tokens=False)})
    return cases


def rotate_half_order(weight, heads):
    """Undoes the order of rows that conversion to GGUF gives query and key projections: pair by pair."""
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def build_model(reader):
    """The file's weights, dequantised to f32, in transformers' own model."""
    field = lambda name: reader.fields[f"llama.{name}"].contents()
    heads, kv_heads = field("attention.head_count"), field("attention.head_count_kv")
    config = LlamaConfig(
        vocab_size=field("vocab_size"), hidden_size=field("embedding_length"), intermediate_size=field("feed_forward_length"),
        num_hidden_layers=field("block_count"), num_attention_heads=heads, num_key_value_heads=kv_heads,
        max_position_embeddings=field("context_length"), rms_norm_eps=field("attention.layer_norm_rms_epsilon"),
        rope_theta=field("rope.freq_base"), tie_word_embeddings=True, bos_token_id=1, eos_token_id=2)
    config._attn_implementation = "eager"
    names = {"token_embd": "model.embed_tokens", "output_norm": "model.norm"}
    parts = {"attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
             "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm",
             "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
    state = {}
    for tensor in reader.tensors:
        values = dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        stem = tensor.name.removesuffix(".weight")
        if stem.startswith("blk."):
            _, layer, part = stem.split(".")
            if part in ("attn_q", "attn_k"):
                values = rotate_half_order(values, heads if part == "attn_q" else kv_heads)
            stem = f"model.layers.{layer}.{parts[part]}"
        else:
            stem = names[stem]
        state[f"{stem}.weight"] = torch.from_numpy(np.ascontiguousarray(values))
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model = LlamaForCausalLM(config)
    model.load_state_dict(state, strict=True)
    return model.float().eval()


class LoraLinear(torch.nn.Module):
    def __init__(self, base, a, b, scale):
        super().__init__()
        self.base, self.a, self.b, self.scale = base, a, b, scale

    def forward(self, x):
        return self.base(x) + self.scale * (x @ self.a.T) @ self.b.T


def add_lora(model, generator):
    tensors = {}
    for i, layer in enumerate(model.model.layers):
        for name in ("q", "v"):
            base = getattr(layer.self_attn, f"{name}_proj")
            rows, columns = base.weight.shape
            a = torch.randn(LORA_RANK, columns, generator=generator).mul(columns**-0.5).half()
            b = torch.randn(rows, LORA_RANK, generator=generator).mul(0.1).half()
            tensors[f"lora.{i}.{name}.a"], tensors[f"lora.{i}.{name}.b"] = a.numpy(), b.numpy()
            setattr(layer.self_attn, f"{name}_proj", LoraLinear(base, a.float(), b.float(), LORA_SCALE))
    return tensors


def run(model, rows):
    """Last-row logits and the outputs of HIDDEN_LAYERS (last row of each) for embedding rows [n, hidden]."""
    outputs = {}
    hooks = [model.model.layers[i].register_forward_hook(
        lambda _m, _i, out, i=i: outputs.__setitem__(i, out[0] if isinstance(out, tuple) else out)) for i in HIDDEN_LAYERS]
    with torch.no_grad():
        logits = model(inputs_embeds=rows[None]).logits[0, -1]
    for hook in hooks:
        hook.remove()
    hidden = np.stack([outputs[i].reshape(-1, rows.shape[1])[-1].numpy() for i in HIDDEN_LAYERS])
    return logits.numpy(), hidden


def quant_cases(rng):
    cases = {}
    for kind in ("Q4_0", "Q4_1", "Q8_0", "Q4_K", "Q6_K"):
        blocks = {"Q4_0": (18, [0]), "Q4_1": (20, [0, 2]), "Q8_0": (34, [0]), "Q4_K": (144, [0, 2]), "Q6_K": (210, [208])}
        size, halves = blocks[kind]
        data = rng.integers(0, 256, (3, size), dtype=np.uint8)
        for at in halves:
            data[:, at:at + 2] = rng.normal(0, 0.1, (3, 1)).astype(np.float16).view(np.uint8)
        cases[f"{kind}.packed"] = data.reshape(-1)
        cases[f"{kind}.values"] = dequantize(data, GGMLQuantizationType[kind]).astype(np.float32).reshape(-1)
    return cases


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("gguf", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    reader = GGUFReader(args.gguf)
    tokenizer = build_tokenizer(reader)
    cases = tokenizer_cases(tokenizer)
    (args.out / "tokenizer.json").write_text(json.dumps(cases, ensure_ascii=True, separators=(",", ":"), indent=0) + "\n")
    print(len(cases), "tokenizer cases")
    save_file(quant_cases(np.random.default_rng(7)), args.out / "quants.safetensors")

    model = build_model(reader)
    embed = model.model.embed_tokens
    generator = torch.Generator().manual_seed(11)
    tensors = {}
    for i, prompt in enumerate(PROMPTS):
        ids = torch.tensor(tokenizer.encode(prompt, add_special_tokens=False))
        logits, hidden = run(model, embed(ids).detach())
        with torch.no_grad():
            full = model.generate(ids[None], max_new_tokens=NEW_TOKENS, do_sample=False, repetition_penalty=1.0,
                                  eos_token_id=2, pad_token_id=2)[0]
        tensors |= {f"prompt{i}.ids": ids.numpy().astype(np.uint32), f"prompt{i}.logits": logits[::LOGIT_STEP].astype(np.float16),
                    f"prompt{i}.hidden": hidden, f"prompt{i}.greedy": full[len(ids):].numpy().astype(np.uint32)}
        print(repr(tokenizer.decode(full)))
    # Soft rows of an embedding's size between the prompt's tokens.
    ids = torch.tensor(tokenizer.encode(PROMPTS[0], add_special_tokens=False))
    soft = torch.randn(5, embed.weight.shape[1], generator=generator).mul(embed.weight.std().item()).half()
    rows = torch.cat([embed(ids[:4]), soft.float(), embed(ids[4:])]).detach()
    logits, hidden = run(model, rows)
    tensors |= {"soft.rows": soft.numpy(), "soft.logits": logits[::LOGIT_STEP].astype(np.float16), "soft.hidden": hidden}
    lora = add_lora(model, generator)
    logits, hidden = run(model, rows)
    tensors |= {"soft_lora.logits": logits[::LOGIT_STEP].astype(np.float16), "soft_lora.hidden": hidden}
    save_file(tensors, args.out / "parity.safetensors")
    save_file(lora, args.out / "lora.safetensors")
    for name in ("parity", "lora", "quants"):
        print(name, (args.out / f"{name}.safetensors").stat().st_size)


if __name__ == "__main__":
    main()
