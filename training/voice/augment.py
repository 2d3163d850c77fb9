"""Other studios out of one studio: the disturbances a voice meets on its way to a microphone and a file.

`train_version` makes what the head is trained on; `harsh_version` makes what it is tested on, from devices that training never
sees (other codecs, other room model, other noises). Everything is drawn from a generator seeded by clip name and version.
"""

from __future__ import annotations

import pathlib
import subprocess
import zlib

import numpy as np
from scipy import signal

RATE = 16_000
TRAIN_CODECS = [
    ("mp3", ["-c:a", "libmp3lame", "-b:a", "{}k"], [24, 32, 48, 64], "mp3", 16_000),
    ("opus", ["-c:a", "libopus", "-b:a", "{}k"], [10, 16, 24], "ogg", 16_000),
    ("aac", ["-c:a", "aac", "-b:a", "{}k"], [20, 32, 48], "adts", 16_000),
    ("gsm", ["-c:a", "libgsm"], [0], "gsm", 8_000),
    ("ulaw", ["-c:a", "pcm_mulaw"], [0], "wav", 8_000),
]
HARSH_CODECS = [
    ("speex", ["-c:a", "libspeex", "-b:a", "8k"], [0], "ogg", 8_000),
    ("g726", ["-c:a", "g726", "-code_size", "3"], [0], "wav", 8_000),
    ("g722", ["-c:a", "g722"], [0], "wav", 16_000),
    ("adpcm", ["-c:a", "adpcm_ms"], [0], "wav", 11_025),
    ("vorbis", ["-c:a", "libvorbis", "-q:a", "-1"], [0], "ogg", 11_025),
]


def generator(name: str, version: str) -> np.random.Generator:
    """Random numbers that depend on nothing but the clip and the version."""
    return np.random.default_rng(zlib.crc32(f"{name}/{version}".encode()))


def ffmpeg(args: list[str], data: bytes | None = None) -> bytes:
    """Runs ffmpeg on `data` and gives what it writes to standard output."""
    command = ["ffmpeg", "-v", "error", "-nostdin", "-threads", "1"] if data is None else ["ffmpeg", "-v", "error", "-threads", "1"]
    return subprocess.run(command + args, input=data, stdout=subprocess.PIPE, check=True).stdout


def decode(path: pathlib.Path, filters: str | None = None) -> np.ndarray:
    """16 kHz mono f32 samples of a file, after an ffmpeg filter chain."""
    chain = ["-af", filters] if filters else []
    return np.frombuffer(ffmpeg(["-i", str(path), *chain, "-ac", "1", "-ar", str(RATE), "-f", "f32le", "-"]), np.float32).copy()


def through_codec(x: np.ndarray, codec, rng: np.random.Generator) -> np.ndarray:
    """Encodes and decodes again."""
    _, args, rates, container, rate = codec
    args = [a.format(int(rng.choice(rates))) for a in args]
    raw = ["-f", "f32le", "-ar", str(RATE), "-ac", "1"]
    loud = x / max(1e-6, np.abs(x).max()) * 0.7
    packed = ffmpeg([*raw, "-i", "-", "-ar", str(rate), *args, "-f", container, "-"], loud.astype("<f4").tobytes())
    source = ["-f", container] if container == "gsm" else []
    return np.frombuffer(ffmpeg([*source, "-i", "-", "-ac", "1", "-ar", str(RATE), "-f", "f32le", "-"], packed), np.float32).copy()


def shaped_noise(n: int, rng: np.random.Generator, slope: float) -> np.ndarray:
    """Noise whose power falls with frequency to the power of `slope` (0 white, 1 pink, 2 brown)."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    hz = np.maximum(np.fft.rfftfreq(n, 1 / RATE), 30.0)
    return np.fft.irfft(spectrum * hz ** (-slope / 2), n)


def speechlike_noise(n: int, rng: np.random.Generator) -> np.ndarray:
    """Several voices' worth of noise: long-term speech spectrum, 2-6 Hz envelopes."""
    b, a = signal.butter(2, [200, 1200], "band", fs=RATE)
    out = np.zeros(n)
    for _ in range(rng.integers(2, 6)):
        envelope = np.abs(signal.lfilter(*signal.butter(2, rng.uniform(2, 6), fs=RATE), rng.standard_normal(n)))
        out += signal.lfilter(b, a, rng.standard_normal(n)) * envelope / (envelope.mean() + 1e-9)
    return out


def hum(n: int, rng: np.random.Generator) -> np.ndarray:
    """Mains hum with harmonics, over a little pink noise."""
    t = np.arange(n) / RATE
    base = rng.choice([50.0, 60.0])
    tones = sum(rng.uniform(0, 1) / k * np.sin(2 * np.pi * base * k * t + rng.uniform(0, 6.28)) for k in range(1, 9))
    noise = shaped_noise(n, rng, 1.0)
    return tones + noise / noise.std() * tones.std() * 0.5


def add_noise(x: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """Adds `noise` at `snr_db` below the loud half of the signal."""
    power = x**2
    loud = power[power > np.percentile(power, 50)].mean() if len(x) else 0.0
    return x + noise * np.sqrt(loud / (noise**2).mean().clip(1e-12) * 10 ** (-snr_db / 10))


def decaying_room(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A synthetic room: a direct path, a few early echoes, then noise that decays and darkens."""
    rt60, direct = rng.uniform(0.15, 0.8), rng.uniform(-4, 14)
    n = int(rt60 * RATE)
    t = np.arange(n) / RATE
    tail = rng.standard_normal(n) * 10 ** (-3 * t / rt60)
    tail = signal.lfilter(*signal.butter(1, rng.uniform(2000, 7000), fs=RATE), tail)
    tail[: int(0.002 * RATE)] = 0
    for delay in rng.integers(30, 500, 5):
        if delay < n:
            tail[delay] += rng.choice([-1, 1]) * 10 ** (-3 * delay / RATE / rt60) * 2
    response = np.concatenate([[1.0], tail / np.sqrt((tail**2).sum()) * 10 ** (-direct / 20)])
    return signal.fftconvolve(x, response)[: len(x) + int(0.1 * RATE)]


def shoebox_room(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A rectangular room by the image-source method (Allen and Berkley, 1979), up to 6 reflections."""
    size = rng.uniform([3, 3, 2.4], [9, 7, 4])
    source, microphone = size * rng.uniform(0.2, 0.8, 3), size * rng.uniform(0.2, 0.8, 3)
    reflection = rng.uniform(0.6, 0.88)
    order = np.arange(-4, 5)
    grid = np.stack(np.meshgrid(order, order, order, [0, 1], [0, 1], [0, 1], indexing="ij"), -1).reshape(-1, 6)
    shift, mirror = grid[:, :3], grid[:, 3:]
    distance = np.linalg.norm((1 - 2 * mirror) * source + 2 * shift * size - microphone, axis=1)
    gain = reflection ** (np.abs(shift - mirror) + np.abs(shift)).sum(1) / distance
    at = np.round((distance - distance.min()) / 343 * RATE).astype(int)
    response = np.zeros(at.max() + 1)
    np.add.at(response, at, gain)
    return signal.fftconvolve(x, response / response.max())[: len(x) + int(0.15 * RATE)]


def equalise(x: np.ndarray, gains_db: np.ndarray, hz: np.ndarray) -> np.ndarray:
    """Zero-phase filter with `gains_db` at `hz`, interpolated over log frequency."""
    n = len(x)
    bins = np.maximum(np.fft.rfftfreq(n, 1 / RATE), 20.0)
    return np.fft.irfft(np.fft.rfft(x) * 10 ** (np.interp(np.log(bins), np.log(hz), gains_db) / 20), n)


def channel(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A microphone: spectral tilt, a few broad bumps, band edges."""
    hz = np.geomspace(60, 8000, 9)
    tilt = rng.uniform(-4, 4) * np.log2(hz / 1000) / 2
    x = equalise(x, tilt + rng.normal(0, 2.0, len(hz)), hz)
    if rng.random() < 0.3:
        x = signal.lfilter(*signal.butter(int(rng.integers(1, 4)), rng.uniform(70, 300), "high", fs=RATE), x)
    if rng.random() < 0.35:
        x = signal.lfilter(*signal.butter(int(rng.integers(2, 6)), rng.uniform(3000, 7500), fs=RATE), x)
    return x


def pad(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Up to a second of nothing before and after."""
    return np.concatenate([np.zeros(int(rng.uniform(0, 1) * RATE)), x, np.zeros(int(rng.uniform(0, 1) * RATE))])


def train_version(path: pathlib.Path, version: int) -> np.ndarray:
    """One disturbed copy of a clip; the version decides which disturbances are likely."""
    rng = generator(path.stem, f"train{version}")
    chain = None
    if rng.random() < 0.6:
        tempo, pitch = np.exp(rng.uniform(-0.13, 0.13)), 2 ** (rng.uniform(-2.5, 2.5) / 12)
        formant = rng.choice(["shifted", "preserved"])
        chain = f"rubberband=tempo={tempo:.4f}:pitch={pitch:.4f}:formant={formant}"
    x = decode(path, chain).astype(np.float64)
    if rng.random() < 0.6:
        x = pad(x, rng)
    if rng.random() < 0.25:
        x = np.tanh(x / np.abs(x).max() * rng.uniform(1, 4))
    if rng.random() < 0.5:
        x = decaying_room(x, rng)
    if rng.random() < 0.75:
        x = channel(x, rng)
    if rng.random() < 0.75:
        kind = rng.integers(0, 4)
        n = len(x)
        noise = [lambda: shaped_noise(n, rng, rng.uniform(0, 1)), lambda: shaped_noise(n, rng, rng.uniform(1, 2.2)),
                 lambda: speechlike_noise(n, rng), lambda: hum(n, rng)][kind]()
        x = add_noise(x, noise, rng.uniform(6, 32))
    if rng.random() < 0.45:
        x = through_codec(x, TRAIN_CODECS[rng.integers(0, len(TRAIN_CODECS))], rng)
    level = 10 ** (rng.uniform(-24, -1) / 20)
    return (x / max(1e-6, np.abs(x).max()) * level).astype(np.float32)


def chords(n: int, rng: np.random.Generator) -> np.ndarray:
    """Something like music next door: plucked triads, twice a second."""
    out = np.zeros(n)
    t = np.arange(RATE) / RATE
    for start in range(0, n, RATE // 2):
        root = 110 * 2 ** (rng.integers(0, 18) / 12)
        for ratio in (1, 1.26, 1.5):
            note = sum(np.sin(2 * np.pi * root * ratio * k * t) / k**1.5 for k in range(1, 6)) * np.exp(-3 * t)
            out[start : start + RATE] += note[: max(0, n - start)]
    return out


def clatter(n: int, rng: np.random.Generator) -> np.ndarray:
    """Dishes and keys: short ringing knocks."""
    out = shaped_noise(n, rng, 0.8)
    out /= out.std() * 8
    t = np.arange(int(0.05 * RATE)) / RATE
    for start in rng.integers(0, max(1, n - len(t)), max(1, int(n / RATE * 5))):
        knock = np.sin(2 * np.pi * rng.uniform(800, 5000) * t) * np.exp(-t * rng.uniform(60, 200)) * rng.uniform(1, 5)
        out[start : start + len(t)] += knock[: max(0, n - start)]
    return out


def harsh_version(path: pathlib.Path) -> np.ndarray:
    """The clip in a shoebox room, through an unknown microphone and codec, with music or clatter at 8 to 15 dB."""
    rng = generator(path.stem, "harsh")
    x = pad(decode(path).astype(np.float64), rng)
    x = shoebox_room(x, rng)
    hz = np.geomspace(50, 8000, 14)
    x = equalise(x, rng.normal(0, 4.0, len(hz)) + rng.uniform(-3, 3) * np.log2(hz / 1000), hz)
    noise = chords(len(x), rng) if rng.random() < 0.5 else clatter(len(x), rng)
    x = add_noise(x, noise, rng.uniform(8, 15))
    x = through_codec(x, HARSH_CODECS[rng.integers(0, len(HARSH_CODECS))], rng)
    return (x / max(1e-6, np.abs(x).max()) * 10 ** (rng.uniform(-20, -1) / 20)).astype(np.float32)


def recorded(folder: pathlib.Path, name: str, rng: np.random.Generator, versions: list[str]) -> np.ndarray:
    """One of the versions of a clip that are already written."""
    return np.fromfile(folder / f"{name}.{rng.choice(versions)}.f32", "<f4")


def long_version(folder: pathlib.Path, name: str, names: list[str], version: str, sources: list[str]) -> np.ndarray:
    """Two to six utterances in a row by the same speaker in the same mood: encoder states drift with the length of a clip."""
    rng = generator(name, version)
    same = [other for other in names if other[:2] == name[:2] and other[5] == name[5] and other != name] or [name]
    chosen = [name, *(str(n) for n in rng.permutation(same)[: rng.integers(1, 6)])]
    gap = np.zeros(int(rng.uniform(0.05, 0.4) * RATE), "<f4")
    return np.concatenate([part for n in chosen for part in (recorded(folder, n, rng, sources), gap)])


def short_version(folder: pathlib.Path, name: str, version: str, sources: list[str]) -> np.ndarray:
    """0.8 to 1.6 seconds out of the clip."""
    rng = generator(name, version)
    x = recorded(folder, name, rng, sources)
    length = min(len(x), int(rng.uniform(0.8, 1.6) * RATE))
    start = int(rng.integers(0, len(x) - length + 1))
    return x[start : start + length]


def write_versions(corpus: pathlib.Path, out: pathlib.Path, versions: int) -> None:
    """Writes `<name>.<version>.f32`: the clean clip, the harsh one, `versions` training copies, and long and short clips made of
    undisturbed (0) or disturbed (1) ones. Keeps what is there."""
    out.mkdir(parents=True, exist_ok=True)
    clips = sorted(corpus.glob("*.flac"))
    makers = [("clean", lambda p: decode(p)), ("harsh", harsh_version)]
    makers += [(f"train{v}", lambda p, v=v: train_version(p, v)) for v in range(versions)]
    names = [path.stem for path in clips]
    disturbed = [f"train{v}" for v in range(versions)] or ["clean"]
    for i, sources in enumerate((["clean"], disturbed)):
        makers.append((f"long{i}", lambda p, i=i, s=sources: long_version(out, p.stem, names, f"long{i}", s)))
        makers.append((f"short{i}", lambda p, i=i, s=sources: short_version(out, p.stem, f"short{i}", s)))
    for version, make in makers:
        for path in clips:
            target = out / f"{path.stem}.{version}.f32"
            if not target.exists():
                part = target.with_suffix(".part")
                make(path).astype("<f4").tofile(part)
                part.rename(target)
        print(f"{version}: {len(clips)} clips", flush=True)
