"""Features that the tests or the fuzz targets want of crates that the library has too, the library's build has as well: otherwise cargo compiles these
crates twice, with and without, and everything that stands on them."""

import subprocess
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
HINT = "give these crates in Cargo.toml the features that `cargo tree` shows there, as `bytemuck` has them"


def crates(kinds, *options):
    """Each crate with its features, as they are where these kinds of dependencies are compiled."""
    tree = ["cargo", "tree", "--locked", "--workspace", "--prefix", "none", "--no-dedupe", "--format", "{p} with {f}", "--edges", kinds, *options]
    return set(subprocess.run(tree, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines())


class Features(unittest.TestCase):
    def test_tests_add_none(self):
        self.assertEqual(crates("normal") - crates("normal,dev"), set(), HINT)

    def test_fuzz_targets_add_none(self):
        fuzzing = crates("normal,build", "--features", "emotion-llama-fuzz/fuzzing")
        others = {crate for crate in crates("normal,build") if not crate.startswith("emotion-llama-fuzz ")}
        self.assertEqual(others - fuzzing, set(), HINT)


if __name__ == "__main__":
    unittest.main()
