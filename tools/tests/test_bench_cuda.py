"""`make bench-cuda` where there is no GPU: it says so and fetches nothing; its rows are right, and its peers run on the processor."""

import importlib.util
import os
import pathlib
import subprocess
import sys
import unittest
from unittest import mock

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench/suite"))

import measure  # noqa: E402

HAS_GPU = subprocess.run([sys.executable, ROOT / "tools/cuda/has_gpu.py"], capture_output=True).returncode == 0
HAS_PEERS = all(importlib.util.find_spec(name) for name in ("torch", "torchvision"))


def machine(gpu=None):
    machine = object.__new__(measure.Machine)
    machine.processor, machine.threads, machine.read_gb_s, machine.f32_gflop_s, machine.gpu = "a processor", 2, 40.0, 450.0, gpu
    return machine


class WithoutGpu(unittest.TestCase):
    @unittest.skipIf(HAS_GPU, "there is a GPU")
    def test_it_says_so_before_anything_is_fetched(self):
        for command in (["bash", "tools/bench.sh"], ["make", "bench-cuda"]):
            run = subprocess.run(command, cwd=ROOT, env=os.environ | {"BENCH": "cuda"}, capture_output=True, text=True)
            self.assertNotEqual(run.returncode, 0)
            self.assertIn("NVIDIA driver", run.stderr)
            self.assertFalse((ROOT / "build/bench/venv-cuda").exists())

    def test_an_unknown_part_is_refused(self):
        run = subprocess.run(["bash", "tools/bench.sh"], cwd=ROOT, env=os.environ | {"BENCH": "gpu"}, capture_output=True, text=True)
        self.assertEqual(run.returncode, 2)
        self.assertIn("cuda", run.stderr)


class Machines(unittest.TestCase):
    def test_a_gpu_is_named_only_where_one_was_measured(self):
        self.assertNotIn("gpu", machine().json())
        gpu = {"name": "a GPU", "memory_gb": 80.0, "copy_gb_s": 2600.0, "f16_tflop_s": 700.0}
        self.assertEqual(machine(gpu).json()["gpu"], gpu)
        self.assertIn("a GPU copies 2600 GB/s", str(machine(gpu)))
        self.assertNotIn("GPU", str(machine()))


@unittest.skipUnless(HAS_PEERS, "torch and torchvision are not there; tools/bench/cuda.txt names them")
class Rows(unittest.TestCase):
    def setUp(self):
        import cuda

        self.cuda, self.asked = cuda, []

    def ours(self, *words):
        """Our program, for which everything takes half a second."""
        self.asked.append(words)
        return 0.5

    def test_pictures(self):
        with mock.patch.multiple(self.cuda, COUNT=2, WIDTH=64, HEIGHT=36, SIDES=(28, 14)):
            rows = list(self.cuda.picture_rows(self.ours, 1e6, 1, device="cpu"))
        self.assertEqual([row.name for row in rows], ["gpu_pictures_28", "gpu_pictures_14", "gpu_picture_kernel_14"])
        self.assertEqual(self.asked[-1], ("gpu", "kernel", 2, 64, 36, 14))
        json = rows[-1].json()
        self.assertEqual((json["ours"], json["unit"]), (4.0, "pictures/s"))
        # Two pictures in half a second, of 3 * (64 * 36 + 2 * 14 * 14) bytes each, where a million bytes a second can be copied.
        self.assertAlmostEqual(json["limit_fraction"], 2 * 3 * (64 * 36 + 2 * 14 * 14) / 0.5 / 1e6)
        self.assertAlmostEqual(json["ratio"], 4.0 / json["peer"])

    def test_pictures_are_those_of_the_encoders(self):
        import torch

        peer = self.cuda.Pictures(1, 40, 30, 20, "cpu")
        peer.host[:] = 255
        made = peer.make(peer.host)
        self.assertEqual((made.shape, made.dtype), ((1, 3, 20, 20), torch.float16))
        white = [(1 - mean) / deviation for mean, deviation in zip(self.cuda.MEAN, self.cuda.DEVIATION)]
        self.assertTrue(torch.allclose(made[0, :, 3, 3].float(), torch.tensor(white), atol=2e-3))

    def test_encoders(self):
        small = {
            "eva": lambda: self.cuda.Vit(32, 2, 4, 64, 28, 14),
            "hubert": lambda: self.cuda.Hubert(32, 1, 4, 64, 16),
            "mae": lambda: self.cuda.Vit(32, 2, 4, 64, 32, 16),
            "videomae": lambda: self.cuda.Vit(32, 2, 4, 64, 32, 16, frames=4),
        }
        rows = list(self.cuda.encoder_rows(self.ours, 1e12, 1, device="cpu", peers=small))
        self.assertEqual([row.name for row in rows], [f"gpu_{name}_f16" for name in small])
        self.assertEqual(self.asked[2], ("gpu", "encoder"))
        self.assertEqual(rows[1].json()["ours"], 20.0)
        self.assertTrue(all(0 < row.json()["limit_fraction"] < 1 for row in rows))

    def test_the_language_model(self):
        with mock.patch.dict(os.environ, {"BENCH_LLM": "mini"}):
            rows = list(self.cuda.llm_rows(self.ours, lambda *words: 1.0, 9))
        self.assertEqual([row.name for row in rows], ["gpu_mini_prefill_256", "gpu_mini_decode"])
        self.assertEqual([row.json()["ratio"] for row in rows], [2.0, 2.0])
        self.assertEqual(rows[0].json()["peer_name"], "ours on the processor")
