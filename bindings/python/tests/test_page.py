"""What bindings/python/README.md shows, run as it stands there."""

from __future__ import annotations

import ast
import array
import asyncio
import contextlib
import inspect
import io
import os
import re
import tempfile
import unittest
from pathlib import Path
from typing import Any

import emotion_llama
from support import CLIP, PACK, REPOSITORY

PAGE = REPOSITORY / "bindings/python/README.md"


class Page(unittest.TestCase):
    def test_every_snippet_runs(self) -> None:
        text = PAGE.read_text(encoding="utf-8")
        snippets = re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S)
        self.assertEqual(text.count("```python"), len(snippets))
        self.assertGreater(len(snippets), 2)
        # What a snippet takes from the program around it.
        around: dict[str, Any] = {
            "frame": memoryview(bytes(64 * 48 * 3)).cast("B", (48, 64, 3)),
            "samples": array.array("h", range(4800)),
            "now": 0.0,
        }
        printed = io.StringIO()
        with tempfile.TemporaryDirectory() as directory, contextlib.redirect_stdout(printed):
            before = os.getcwd()
            os.environ.setdefault("EMOTION_LLAMA_PACK", str(PACK))
            os.chdir(directory)
            try:
                Path("clip.mp4").symlink_to(CLIP)
                for snippet in snippets:
                    code = snippet.replace("/path/to/video.mp4", "clip.mp4")
                    ran = eval(compile(code, str(PAGE), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), around)
                    if inspect.iscoroutine(ran):
                        asyncio.run(ran)
            finally:
                os.chdir(before)
        self.assertIsInstance(around["result"], emotion_llama.Analysis)
        self.assertIn("The person feels", printed.getvalue())
