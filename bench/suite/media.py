"""Reading faces against face-api.js, decoding against OpenCV and PyAV: the same clip, the same number of frames of the same size."""

import os
import tempfile
import time
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
    """All frames are decoded, the wanted ones are scaled while they become RGB."""

    def __init__(self, clip):
        import av

        self.av, self.clip = av, str(clip)
        with av.open(self.clip) as file:
            self.count = sum(1 for _ in file.decode(video=0))

    def frames(self, wanted, side):
        keep = set(places(self.count, wanted))
        kept = []
        with self.av.open(self.clip) as file:
            stream = file.streams.video[0]
            stream.thread_type, stream.codec_context.thread_count = "AUTO", THREADS
            for number, frame in enumerate(file.decode(stream)):
                if number in keep:
                    width, height = size(frame.width, frame.height, side)
                    kept.append(frame.to_ndarray(format="rgb24", width=width, height=height, interpolation="AREA"))
        return kept

    def time(self, wanted, side):
        began = time.perf_counter()
        assert len(self.frames(wanted, side)) == wanted
        return time.perf_counter() - began


class OpenCv:
    """All frames are decoded (`grab`), the wanted ones are converted (`retrieve`), scaled and put in the order of RGB."""

    def __init__(self, clip, count):
        import cv2

        self.cv2, self.clip, self.count = cv2, str(clip), count
        cv2.setNumThreads(THREADS)

    def time(self, wanted, side):
        cv2 = self.cv2
        began = time.perf_counter()
        keep, kept = set(places(self.count, wanted)), []
        video = cv2.VideoCapture(self.clip, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, THREADS])
        number = 0
        while video.grab():
            if number in keep:
                frame = video.retrieve()[1]
                scaled = cv2.resize(frame, size(frame.shape[1], frame.shape[0], side), interpolation=cv2.INTER_AREA)
                kept.append(cv2.cvtColor(scaled, cv2.COLOR_BGR2RGB))
            number += 1
        video.release()
        assert len(kept) == wanted
        return time.perf_counter() - began


def larger(clip, to):
    """The clip's pictures as H.264 of 1280 x 960, as a phone or a page would send them."""
    import av

    with av.open(str(clip)) as source, av.open(str(to), "w") as target:
        stream = None
        for number, frame in enumerate(source.decode(video=0)):
            if stream is None:
                stream = target.add_stream("libx264", rate=30, options={"preset": "medium", "threads": "2"})
                stream.width, stream.height, stream.pix_fmt = 1280, 960, "yuv420p"
            picture = frame.reformat(1280, 960, "yuv420p")
            picture.pts, picture.time_base = number, Fraction(1, 30)
            target.mux(stream.encode(picture))
        target.mux(stream.encode(None))


def faces(ours, rounds, raw):
    pictures = PyAv(CLIP).frames(FRAMES, 1 << 16)
    raw.write_bytes(b"".join(picture.tobytes() for picture in pictures))
    height, width, _ = pictures[0].shape
    ours("face", "load", PACK, CLIP, FRAMES, THREADS)
    with FaceApi() as ssd, FaceApi() as tiny:
        ssd("load", "ssd", raw, width, height, FRAMES)
        tiny("load", "tiny", raw, width, height, FRAMES)
        peers = [lambda: FRAMES / ssd("read"), lambda: FRAMES / tiny("read")]
        values, (by_ssd, by_tiny) = alternate(rounds, lambda: FRAMES / ours("face", "read"), peers)
    yield Row("face_frame", "frames/s", values, by_ssd, "face-api.js, wasm, one thread")
    yield Row("face_frame_vs_tiny", "frames/s", values, by_tiny, "face-api.js with its tiny detector, wasm, one thread")


def rows(ours, machine, rounds):
    with tempfile.TemporaryDirectory() as folder:
        yield from faces(ours, rounds, Path(folder, "frames.rgb"))
        h264 = Path(folder, "clip.mp4")
        larger(CLIP, h264)
        for clip, suffix in ((CLIP, ""), (h264, "_h264_960p")):
            av = PyAv(clip)
            cv = OpenCv(clip, av.count)
            peers = [lambda peer=peer: FRAMES / peer.time(FRAMES, SIDE) for peer in (cv, av)]
            values, (by_cv, by_av) = alternate(rounds, lambda clip=clip: FRAMES / ours("media", clip, FRAMES, SIDE), peers)
            yield Row(f"decode_resize{suffix}_vs_opencv", "frames/s", values, by_cv, "OpenCV, pictures only")
            yield Row(f"decode_resize{suffix}_vs_pyav", "frames/s", values, by_av, "PyAV, pictures only")
