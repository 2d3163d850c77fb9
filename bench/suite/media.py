"""Reading faces against face-api.js, decoding against OpenCV and PyAV: the same clip, the same number of frames of the same size."""

import os
import statistics
import tempfile
import time
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

from measure import ROOT, THREADS, Ours, Row, alternate

PACK = ROOT / "build/packs/emotion-llama-mini"
CLIP = ROOT / "build/clips/1001_DFA_ANG_XX.flv"
MODULES = Path(os.environ.get("BENCH_NODE_MODULES", ROOT / "build/bench/node_modules"))
FRAMES = 12
SIDE = 240


class FaceApi(Ours):
    """face-api.js in Node: the same talk as with our program."""

    program = ["node", Path(__file__).with_name("face_api.mjs"), MODULES]


def places(count, wanted):
    """Numbers of `wanted` frames, spread evenly over `count`."""
    return [int((i + 0.5) * count / wanted) for i in range(wanted)]


def size(width, height, side):
    scale = min(1, side / max(width, height))
    return round(width * scale), round(height * scale)


class PyAv:
    """All frames are decoded or the wanted ones sought; those are scaled while they become RGB."""

    def __init__(self, clip):
        import av

        self.av, self.clip = av, str(clip)
        with self.opened() as (file, stream):
            self.width, self.height = stream.width, stream.height
            self.stamps = [frame.pts for frame in file.decode(stream)]
        self.count = len(self.stamps)
        numbers = {stamp: number for number, stamp in enumerate(self.stamps)}
        with self.opened() as (file, stream):
            stream.codec_context.skip_frame = "NONREF"
            references = [(numbers[frame.pts], frame.key_frame) for frame in file.decode(stream)]
        self.references = [number for number, _ in references]
        self.keys = [number for number, key in references if key]

    @contextmanager
    def opened(self):
        with self.av.open(self.clip) as file:
            stream = file.streams.video[0]
            stream.thread_type, stream.codec_context.thread_count = "AUTO", THREADS
            yield file, stream

    def scaled(self, frame, side):
        width, height = size(frame.width, frame.height, side)
        return frame.to_ndarray(format="rgb24", width=width, height=height, interpolation="AREA")

    def frames(self, wanted, side):
        keep = set(places(self.count, wanted))
        with self.opened() as (file, stream):
            return [self.scaled(frame, side) for number, frame in enumerate(file.decode(stream)) if number in keep]

    def key_before(self, number):
        return max(key for key in self.keys if key <= number)

    def frames_by_seeking(self, wanted, side):
        """Only from the key frame before each wanted frame up to it. Where the key frames are is known beforehand."""
        kept, at = [], 0
        with self.opened() as (file, stream):
            coming = file.decode(stream)
            for number in places(self.count, wanted):
                if self.key_before(number) > at:
                    file.seek(self.stamps[number], stream=stream)
                    coming = file.decode(stream)
                frame = next(frame for frame in coming if frame.pts >= self.stamps[number])
                kept.append(self.scaled(frame, side))
                at = number
        return kept

    def time(self, wanted, side):
        return self.timed(self.frames, wanted, side)

    def time_by_seeking(self, wanted, side):
        return self.timed(self.frames_by_seeking, wanted, side)

    @staticmethod
    def timed(frames, wanted, side):
        began = time.perf_counter()
        assert len(frames(wanted, side)) == wanted
        return time.perf_counter() - began

    def limit(self, wanted, side, read_gb_s):
        """Wanted frames a second if memory alone set the pace: see docs/performance.md."""
        decoded = set(places(self.count, wanted))
        for number in tuple(decoded):
            decoded.update(reference for reference in self.references if self.key_before(number) <= reference <= number)
        width, height = size(self.width, self.height, side)
        # Written and read in YUV of 1.5 bytes, written in RGB.
        moved = len(decoded) * 2 * 1.5 * self.width * self.height + wanted * 3 * width * height
        return 1e9 * read_gb_s * wanted / moved


class OpenCv:
    """All frames are decoded (`grab`) or the wanted ones sought; those are converted, scaled and put in the order of RGB."""

    def __init__(self, clip, count):
        import cv2

        self.cv2, self.clip, self.count = cv2, str(clip), count
        cv2.setNumThreads(THREADS)

    def scaled(self, frame, side):
        scaled = self.cv2.resize(frame, size(frame.shape[1], frame.shape[0], side), interpolation=self.cv2.INTER_AREA)
        return self.cv2.cvtColor(scaled, self.cv2.COLOR_BGR2RGB)

    def grabbed(self, video, wanted):
        keep, number = set(places(self.count, wanted)), 0
        while video.grab():
            if number in keep:
                yield video.retrieve()[1]
            number += 1

    def sought(self, video, wanted):
        for number in places(self.count, wanted):
            video.set(self.cv2.CAP_PROP_POS_FRAMES, number)
            yield video.read()[1]

    def time(self, wanted, side):
        return self.timed(self.grabbed, wanted, side)

    def time_by_seeking(self, wanted, side):
        return self.timed(self.sought, wanted, side)

    def timed(self, frames, wanted, side):
        began = time.perf_counter()
        video = self.cv2.VideoCapture(self.clip, self.cv2.CAP_FFMPEG, [self.cv2.CAP_PROP_N_THREADS, THREADS])
        kept = [self.scaled(frame, side) for frame in frames(video, wanted)]
        video.release()
        assert len(kept) == wanted
        return time.perf_counter() - began


def larger(clip, to, count=None, **options):
    """The clip's pictures as H.264 of 1280 x 960, as a phone or a page would send them; `count` of them, there and back again."""
    import av

    with av.open(str(clip)) as source, av.open(str(to), "w") as target:
        pictures = [frame.reformat(1280, 960, "yuv420p") for frame in source.decode(video=0)]
        stream = target.add_stream("libx264", rate=30, options={"preset": "medium", "threads": "2"} | options)
        stream.width, stream.height, stream.pix_fmt = 1280, 960, "yuv420p"
        last = len(pictures) - 1
        for number in range(count or len(pictures)):
            picture = pictures[last - abs(last - number % (2 * last))]
            # A picture of the source keeps its kind; the encoder is to choose.
            picture.pict_type = 0
            picture.pts, picture.time_base = number, Fraction(1, 30)
            target.mux(stream.encode(picture))
        target.mux(stream.encode(None))


def faces(ours, machine, rounds, raw):
    pictures = PyAv(CLIP).frames(FRAMES, 1 << 16)
    raw.write_bytes(b"".join(picture.tobytes() for picture in pictures))
    height, width, _ = pictures[0].shape
    ours("face", "load", PACK, CLIP, FRAMES, THREADS)
    limit = 1e9 * machine.f32_gflop_s * FRAMES / ours("face", "operations")
    with FaceApi() as ssd, FaceApi() as tiny:
        ssd("load", "ssd", raw, width, height, FRAMES)
        tiny("load", "tiny", raw, width, height, FRAMES)
        peers = [lambda: FRAMES / ssd("read"), lambda: FRAMES / tiny("read")]
        values, (by_ssd, by_tiny) = alternate(rounds, lambda: FRAMES / ours("face", "read"), peers)
    yield Row("face_frame", "frames/s", values, by_ssd, "face-api.js, wasm, one thread", limit)
    yield Row("face_frame_vs_tiny", "frames/s", values, by_tiny, "face-api.js with its tiny detector, wasm, one thread", limit)


def decoding(ours, machine, rounds, clip, name, seek=False):
    """Beside OpenCV and PyAV, which decode all frames or, with `seek`, do what is faster: that, or seek the wanted ones."""
    av = PyAv(clip)
    limit = av.limit(FRAMES, SIDE, machine.read_gb_s)
    ways = [(peer, name, way) for peer, name in ((OpenCv(clip, av.count), "OpenCV"), (av, "PyAV")) for way in ("time", "time_by_seeking")[: 1 + seek]]
    peers = [lambda peer=peer, way=way: FRAMES / getattr(peer, way)(FRAMES, SIDE) for peer, _, way in ways]
    values, theirs = alternate(rounds, lambda: FRAMES / ours("media", clip, FRAMES, SIDE), peers)
    for peer in ("OpenCV", "PyAV"):
        of, way = max(((of, way) for of, (_, who, way) in zip(theirs, ways) if who == peer), key=lambda one: statistics.median(one[0]))
        does = {"time": "all decoded" if seek else "pictures only", "time_by_seeking": "sought"}[way]
        yield Row(f"{name}_vs_{peer.lower()}", "frames/s", values, of, f"{peer}, {does}", limit)


def rows(ours, machine, rounds):
    with tempfile.TemporaryDirectory() as folder:
        yield from faces(ours, machine, rounds, Path(folder, "frames.rgb"))
        yield from decoding(ours, machine, rounds, CLIP, "decode_resize")
        h264 = Path(folder, "clip.mp4")
        larger(CLIP, h264)
        yield from decoding(ours, machine, rounds, h264, "decode_resize_h264_960p")
        # As phones write: a key frame every two seconds.
        larger(CLIP, h264, 600, preset="veryfast", g="60", keyint_min="60", sc_threshold="0")
        yield from decoding(ours, machine, rounds, h264, "decode_12_of_20s", seek=True)
