"""What is in the wheels: the package, the library, the licences, and nothing else. Of the installed packages, where they are."""

from __future__ import annotations

import importlib.metadata
import re
import unittest

import emotion_llama
from emotion_llama import _open, _library
from support import REPOSITORY

MODULES = {path.name for path in (REPOSITORY / "bindings/python/src/emotion_llama").glob("*.py")}


def installed(name: str) -> importlib.metadata.Distribution | None:
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return None
    return distribution


def contents(distribution: importlib.metadata.Distribution) -> dict[str, int]:
    """Paths of the wheel and their sizes, without what pip adds."""
    added = re.compile(r"__pycache__/|\.dist-info/(INSTALLER|REQUESTED|direct_url\.json|RECORD)$")
    files = distribution.files or []
    return {str(file): file.size or 0 for file in files if not added.search(str(file))}


class Client(unittest.TestCase):
    def setUp(self) -> None:
        found = installed("emotion-llama")
        if found is None:
            self.skipTest("emotion-llama is not installed from a wheel")
        self.distribution = found

    def test_contents(self) -> None:
        files = contents(self.distribution)
        sizes = ", ".join(f"{name.split('/')[-1]} {size / 1e6:.1f}" for name, size in files.items() if "/lib/" in name)
        print(f"emotion-llama: {len(files)} files, {sum(files.values()) / 1e6:.1f} MB ({sizes})")
        package = {name[len("emotion_llama/") :] for name in files if name.startswith("emotion_llama/")}
        libraries = {name for name in package if name.startswith("lib/")}
        self.assertEqual(package - libraries, MODULES | {"py.typed"})
        self.assertIn("lib/libemotionllama.so.1", libraries)
        allowed = re.compile(r"lib/lib(emotionllama|(av(codec|format|util)|sw(resample|scale))-emotionllama)\.so\.\d+$")
        self.assertEqual([name for name in libraries if not allowed.match(name)], [])
        info = sorted(name.split("/", 1)[1] for name in files if not name.startswith("emotion_llama/"))
        plain = [name for name in info if not name.startswith(("licenses/crates/", "licenses/ffmpeg/"))]
        self.assertEqual(plain, ["METADATA", "WHEEL", "licenses/LICENSE", "licenses/THIRD_PARTY.md"])
        if len(libraries) > 1:
            self.assertIn("licenses/ffmpeg/COPYING.LGPLv2.1", info)
            self.assertTrue(any(name.startswith("licenses/crates/") for name in info))

    def test_nothing_else_is_required(self) -> None:
        self.assertEqual([line for line in self.distribution.requires or [] if "extra ==" not in line], [])
        self.assertEqual(self.distribution.version, emotion_llama.__version__)
        self.assertEqual(emotion_llama.version(), emotion_llama.__version__)

    def test_the_library_is_the_one_inside(self) -> None:
        directory = _library.directory()
        assert directory
        self.assertEqual(directory.parent, self.distribution.locate_file("emotion_llama"))


class Model(unittest.TestCase):
    def test_contents(self) -> None:
        found = installed("emotion-llama-model-mini")
        if found is None:
            self.skipTest("emotion-llama-model-mini is not installed")
        files = contents(found)
        print(f"emotion-llama-model-mini: {len(files)} files, {sum(files.values()) / 1e6:.1f} MB")
        pack = "emotion_llama_model_mini/packs/emotion-llama-mini/"
        names = {name[len(pack) :] for name in files if name.startswith(pack)}
        weights = {"adapter", "face", "speech", "voice"}
        expected = {f"{name}.safetensors" for name in weights} | {"llm.gguf", "pack.json", "speech_tokenizer.json"}
        self.assertEqual(names, expected)
        rest = sorted(name.split("/", 1)[1] for name in files if not name.startswith(pack))
        licences = ["licenses/LICENSE", "licenses/MODEL_CARD.md", "licenses/THIRD_PARTY.md"]
        self.assertEqual(rest, sorted(["METADATA", "WHEEL", "__init__.py", "py.typed", *licences]))
        import emotion_llama_model_mini  # type: ignore[import-not-found,unused-ignore]

        self.assertEqual(str(_open.built_in()), emotion_llama_model_mini.path())


if __name__ == "__main__":
    unittest.main()
