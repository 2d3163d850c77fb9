"""Makes core/tests/data/speech/reference.safetensors: what transformers and CTranslate2 compute on the test sounds.

    python tools/reference/speech_reference.py <folder with model.bin> <core/tests/data/speech>

Needs torch, transformers, ctranslate2, tokenizers and safetensors. The Rust tests read its output only.

The sounds are 16 kHz mono PCM16: `german.wav` is the EmoDB recording 03a01Wa (CC0-1.0), `english.wav` was spoken by
espeak-ng, voice en-us: "She opened the window and looked at the garden."
"""

from __future__ import annotations

import json
import pathlib
import sys
import wave

import ctranslate2
import numpy as np
import tokenizers
import torch
from safetensors.numpy import save_file
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "pack_sources"))
import speech  # noqa: E402

PROMPT = [50257, 50362]  # start of transcript, no timestamps
KEEP_FRAMES = 5  # every 5th frame of hidden states is kept
KEEP_LOGITS = 64  # every 64th logit


def read(path: pathlib.Path) -> np.ndarray:
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16000, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float32) / 32768


def model(folder: pathlib.Path) -> WhisperForConditionalGeneration:
    """transformers' Whisper with the weights of CTranslate2's file."""
    weights = speech.tensors(speech.read_ctranslate2(folder / "model.bin"))
    of = lambda name: torch.tensor(weights[name].astype(np.float32))  # noqa: E731
    config = WhisperConfig(
        vocab_size=weights["decoder.embedding"].shape[0], num_mel_bins=80, d_model=384, encoder_layers=4,
        decoder_layers=4, encoder_attention_heads=6, decoder_attention_heads=6, encoder_ffn_dim=1536,
        decoder_ffn_dim=1536, pad_token_id=50256, bos_token_id=50256, eos_token_id=50256, decoder_start_token_id=50257,
    )  # fmt: skip
    state = {"proj_out.weight": of("decoder.embedding"), "model.decoder.embed_tokens.weight": of("decoder.embedding")}
    for index in (1, 2):
        state[f"model.encoder.conv{index}.weight"] = of(f"encoder.conv{index}.weight").permute(0, 2, 1)
        state[f"model.encoder.conv{index}.bias"] = of(f"encoder.conv{index}.bias")

    def split(there: str, parts: str, value: torch.Tensor, kind: str) -> None:
        for part, piece in zip(parts, value.chunk(len(parts)), strict=True):
            if (part, kind) == ("k", "bias"):
                assert not piece.any()
            else:
                state[f"{there}.{part}_proj.{kind}"] = piece

    for side in ("encoder", "decoder"):
        state[f"model.{side}.embed_positions.weight"] = of(f"{side}.position")
        for kind in ("weight", "bias"):
            state[f"model.{side}.layer_norm.{kind}"] = of(f"{side}.norm.{kind}")
            for layer in range(4):
                here, there = f"{side}.layers.{layer}", f"model.{side}.layers.{layer}"
                state[f"{there}.self_attn_layer_norm.{kind}"] = of(f"{here}.attention.norm.{kind}")
                split(f"{there}.self_attn", "qkv", of(f"{here}.attention.qkv.{kind}"), kind)
                state[f"{there}.self_attn.out_proj.{kind}"] = of(f"{here}.attention.out.{kind}")
                if side == "decoder":
                    cross = f"{here}.cross_attention"
                    state[f"{there}.encoder_attn_layer_norm.{kind}"] = of(f"{cross}.norm.{kind}")
                    split(f"{there}.encoder_attn", "q", of(f"{cross}.q.{kind}"), kind)
                    split(f"{there}.encoder_attn", "kv", of(f"{cross}.kv.{kind}"), kind)
                    state[f"{there}.encoder_attn.out_proj.{kind}"] = of(f"{cross}.out.{kind}")
                state[f"{there}.final_layer_norm.{kind}"] = of(f"{here}.mlp.norm.{kind}")
                state[f"{there}.fc1.{kind}"] = of(f"{here}.mlp.up.{kind}")
                state[f"{there}.fc2.{kind}"] = of(f"{here}.mlp.down.{kind}")
    result = WhisperForConditionalGeneration(config).float().eval()
    result.load_state_dict(state, strict=True)
    return result


def own_length_states(encoder: torch.nn.Module, mel: np.ndarray) -> list[np.ndarray]:
    """transformers' encoder layers on any length. Its forward() insists on 3000 frames, so its parts are called."""
    gelu = torch.nn.functional.gelu
    with torch.no_grad():
        hidden = gelu(encoder.conv2(gelu(encoder.conv1(torch.tensor(mel)[None])))).permute(0, 2, 1)
        hidden = hidden + encoder.embed_positions.weight[: hidden.shape[1]]
        states = []
        for layer in encoder.layers:
            hidden = layer(hidden, None, None)[0]
            states.append(hidden[0].numpy())
        states[-1] = encoder.layer_norm(hidden)[0].numpy()
    return states


def main() -> None:
    folder, data = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    extract = WhisperFeatureExtractor()
    torch_model = model(folder)
    translator = ctranslate2.models.Whisper(str(folder), device="cpu", compute_type="float32")
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    arrays: dict[str, np.ndarray] = {}
    texts = {}
    for name in ("german", "english"):
        sound = read(data / f"{name}.wav")
        mel = extract(sound, sampling_rate=16000, padding=False, return_tensors="np").input_features[0]
        if name == "german":
            arrays["mel"] = np.ascontiguousarray(mel.T, dtype=np.float32)
            states = own_length_states(torch_model.model.encoder, mel)
            arrays["states"] = np.stack([state[::KEEP_FRAMES] for state in states])
            pooled = [np.concatenate([state.mean(0), state.std(0)]) for state in states]
            arrays["pooled"] = np.concatenate(pooled).astype(np.float32)
        padded = extract(sound, sampling_rate=16000, return_tensors="np").input_features.astype(np.float32)
        storage = ctranslate2.StorageView.from_array(padded)
        result = translator.generate(storage, [PROMPT], beam_size=1, return_no_speech_prob=True)[0]
        texts[name] = tokenizer.decode(result.sequences_ids[0])
        arrays[f"{name}.no_speech"] = np.array([result.no_speech_prob], dtype=np.float32)
        if name == "english":
            tokens = PROMPT + result.sequences_ids[0]
            arrays["english.tokens"] = np.array(tokens, dtype=np.int64)
            encoded = np.array(translator.encode(storage, to_cpu=True))[0]
            arrays["english.encoded"] = np.ascontiguousarray(encoded[: len(sound) // 320 : KEEP_FRAMES])
            with torch.no_grad():
                logits = torch_model(torch.tensor(padded), decoder_input_ids=torch.tensor([tokens])).logits[0]
            arrays["english.logits"] = np.ascontiguousarray(logits.numpy()[:, ::KEEP_LOGITS])
            arrays["english.best"] = logits.argmax(-1).numpy().astype(np.int64)
    save_file(arrays, data / "reference.safetensors")
    (data / "texts.json").write_text(json.dumps(texts, indent=1) + "\n")


if __name__ == "__main__":
    main()
