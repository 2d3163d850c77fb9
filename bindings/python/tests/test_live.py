"""Live pictures and sound: what is read where it lies, and what is refused."""

from __future__ import annotations

import array
import importlib
import unittest
from typing import Any

import emotion_llama as el
from emotion_llama import _abi, live
from emotion_llama._buffers import Memory
from support import mini

try:
    np: Any = importlib.import_module("numpy")
except ImportError:
    np = None

WIDTH, HEIGHT = 48, 32


def picture(size: int) -> bytes:
    return bytes((7 * x + 3 * y + 50 * c) % 256 for y in range(HEIGHT) for x in range(WIDTH) for c in range(size))


def described(pixels: Any, **options: Any) -> _abi.Frame:
    """The native picture that `pixels` become."""
    frame = _abi.Frame()
    options = {"format": "rgb", "width": None, "height": None, **options}
    buffer = el.LiveBuffer()
    held = buffer._planes(frame, pixels, **options)
    buffer.close()
    assert held
    return frame


class Pictures(unittest.TestCase):
    def test_bytes_of_every_format(self) -> None:
        with el.LiveBuffer(max_frames_per_second=240) as buffer:
            for i, name in enumerate(("rgb", "bgr", "rgba", "bgra", "gray")):
                size = live._BYTES_PER_PIXEL[name]
                buffer.push_frame(picture(size), time_s=i * 0.1, format=name, width=WIDTH, height=HEIGHT)  # type: ignore[arg-type]
            planar = bytes(WIDTH * HEIGHT * 3 // 2)
            buffer.push_frame(planar, time_s=0.5, format="nv12", width=WIDTH, height=HEIGHT)
            luma, chroma = planar[: WIDTH * HEIGHT], planar[: WIDTH * HEIGHT // 4]
            buffer.push_frame([luma, chroma, chroma], time_s=0.6, format="i420", width=WIDTH, height=HEIGHT)
            self.assertEqual(buffer.info.frames, 7)
            self.assertGreater(buffer.info.memory_bytes, 0)
            buffer.clear()
            self.assertEqual((buffer.info.frames, buffer.info.duration_s), (0, 0.0))
            buffer.close()
            with self.assertRaisesRegex(el.InvalidArgumentError, "closed"):
                buffer.clear()

    def test_what_does_not_fit_is_refused(self) -> None:
        with el.LiveBuffer() as buffer:
            refused: list[tuple[Any, dict[str, Any]]] = [
                (picture(3), {}),
                (picture(3), {"width": WIDTH, "height": HEIGHT + 1}),
                (picture(3), {"width": -1, "height": HEIGHT}),
                (picture(3), {"width": WIDTH, "height": HEIGHT, "format": "yuv"}),
                (picture(3)[: WIDTH * 4], {"width": WIDTH, "height": HEIGHT, "format": "nv12"}),
                ([picture(1)], {"width": WIDTH, "height": HEIGHT, "format": "i420"}),
                (picture(3), {"format": "nv12"}),
                (memoryview(picture(3)).cast("B", (HEIGHT, WIDTH, 3)), {"format": "rgba"}),
                (memoryview(picture(3)).cast("B", (HEIGHT, WIDTH, 3)), {"width": 5, "height": 5}),
                (array.array("f", [0.0] * 12), {"width": 2, "height": 2}),
                ("text", {"width": 2, "height": 2}),
            ]
            for pixels, options in refused:
                with self.subTest(options=options), self.assertRaises(el.InvalidArgumentError):
                    buffer.push_frame(pixels, time_s=0.0, **options)
            self.assertEqual(buffer.info.frames, 0)

    @unittest.skipUnless(np, "NumPy is not installed")
    def test_arrays_are_read_where_they_lie(self) -> None:
        whole = np.frombuffer(picture(3), np.uint8).reshape(HEIGHT, WIDTH, 3)
        for pixels in (whole, whole[4:, 8:40], whole[::2]):
            frame = described(pixels)
            self.assertEqual(frame.planes[0], pixels.__array_interface__["data"][0])
            self.assertEqual((frame.height, frame.width), pixels.shape[:2])
            self.assertEqual(frame.strides[0], pixels.strides[0])
            self.assertEqual(frame.lengths[0], (frame.height - 1) * pixels.strides[0] + 3 * frame.width)
        gray = whole[:, :, 0]
        # Not pixel after pixel: copied.
        for pixels, name in ((gray, "gray"), (whole[:, :, ::-1], "rgb"), (whole[::-1], "rgb"), (whole[:, ::2], "rgb")):
            frame = described(pixels, format=name)
            self.assertNotEqual(frame.planes[0], pixels.__array_interface__["data"][0])
            self.assertEqual(frame.strides[0], frame.width * (1 if name == "gray" else 3))

    @unittest.skipUnless(np, "NumPy is not installed")
    def test_an_array_is_the_same_picture_as_its_bytes(self) -> None:
        whole = np.frombuffer(picture(3), np.uint8).reshape(HEIGHT, WIDTH, 3)
        answers = []
        for crop in (whole[2:30, 4:44], np.ascontiguousarray(whole[2:30, 4:44]), whole[2:30, 4:44].tobytes()):
            with el.LiveBuffer() as buffer:
                options: dict[str, Any] = {"width": 40, "height": 28} if isinstance(crop, bytes) else {}
                buffer.push_frame(crop, time_s=0.0, **options)
                answers.append(mini().analyze(live=buffer, transcript="none").probabilities)
        self.assertEqual(answers[0], answers[1])
        self.assertEqual(answers[0], answers[2])


class Sound(unittest.TestCase):
    def test_arrays_of_both_types(self) -> None:
        with el.LiveBuffer() as buffer:
            buffer.push_samples(array.array("h", [0, 1000] * 1600), time_s=0.0, rate=16000, channels=2)
            buffer.push_samples(array.array("f", [0.5] * 1600), time_s=0.1, rate=16000)
            self.assertAlmostEqual(buffer.info.duration_s, 0.2, places=6)
            for samples in (array.array("d", [0.0]), b"\0\0", array.array("H", [0])):
                with self.assertRaises(el.InvalidArgumentError):
                    buffer.push_samples(samples, time_s=0.3, rate=16000)
            with self.assertRaises(el.InvalidArgumentError):
                buffer.push_samples(array.array("h", [0, 0, 0]), time_s=0.3, rate=16000, channels=2)

    @unittest.skipUnless(np, "NumPy is not installed")
    def test_numpy_arrays(self) -> None:
        with el.LiveBuffer() as buffer:
            stereo = np.zeros((1600, 2), np.int16)
            buffer.push_samples(stereo, time_s=0.0, rate=16000)
            buffer.push_samples(stereo[:, 0], time_s=0.1, rate=16000)
            buffer.push_samples(np.zeros(1600, np.float32), time_s=0.2, rate=16000)
            self.assertAlmostEqual(buffer.info.duration_s, 0.3, places=6)
            with self.assertRaises(el.InvalidArgumentError):
                buffer.push_samples(stereo, time_s=0.3, rate=16000, channels=1)
            with self.assertRaises(el.InvalidArgumentError):
                buffer.push_samples(np.zeros((2, 2, 2), np.int16), time_s=0.3, rate=16000)
        self.assertEqual(Memory(stereo, "").address, stereo.__array_interface__["data"][0])


if __name__ == "__main__":
    unittest.main()
