#!/usr/bin/env python3
"""Makes the Python wheels: `emotion-llama`, with the native library inside, and `emotion-llama-model-mini`, with the built-in model.

    sdk_python.py --native DIRECTORY --pack DIRECTORY --out DIRECTORY

Needs Python 3.9 and objdump. The same input gives the same bytes. The platform tag says the newest glibc that the libraries want.
"""

import argparse
import base64
import hashlib
import json
import platform
import re
import subprocess
import sys
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "bindings/python"
# What PEP 600 lets a manylinux wheel take from the system; the rest has to be inside.
OF_THE_SYSTEM = re.compile(r"^(lib(c|m|dl|rt|pthread|gcc_s|util|resolv)\.so\.\d+|ld-linux[-\w]*\.so\.\d+)$")
SONAME = re.compile(r"^lib[\w.+-]+?\.so\.\d+$")
ALIASES = {(2, 17): "manylinux2014", (2, 12): "manylinux2010", (2, 5): "manylinux1"}


def version():
    text = (ROOT / "Cargo.toml").read_text(encoding="utf-8")
    return re.search(r'^\[workspace\.package\][^\[]*?^version = "([^"]+)"', text, re.M | re.S).group(1)


def objdump(option, path):
    return subprocess.run(["objdump", option, str(path)], check=True, capture_output=True, text=True).stdout


def libraries(native):
    """The shared libraries, by the names that they are looked for by."""
    directory = native / "lib" if (native / "lib").is_dir() else native
    found = {path.name: path for path in sorted(directory.iterdir()) if SONAME.match(path.name) and path.is_file()}
    if "libemotionllama.so.1" not in found:
        sys.exit(f"no libemotionllama.so.1 in {directory}; run `make dist`, or name the directory")
    return found


def platform_tag(found):
    """`manylinux_…` of the newest glibc symbol, or `linux_…` where libraries of the system are wanted that a wheel may not take."""
    machine = platform.machine()
    newest, outside = (2, 5), set()
    for path in found.values():
        needed = re.findall(r"^\s*NEEDED\s+(\S+)$", objdump("-p", path), re.M)
        outside.update(name for name in needed if name not in found and not OF_THE_SYSTEM.match(name))
        for major, minor in re.findall(r"GLIBC_(\d+)\.(\d+)", objdump("-T", path)):
            newest = max(newest, (int(major), int(minor)))
    if outside:
        print(f"sdk-python: not portable, as it wants {', '.join(sorted(outside))} of the system", file=sys.stderr)
        return f"linux_{machine}"
    tags = [f"manylinux_{newest[0]}_{newest[1]}_{machine}"]
    if newest in ALIASES:
        tags.append(f"{ALIASES[newest]}_{machine}")
    return ".".join(tags)


def metadata(name, summary, readme, requires_python, extras=(), licence="Apache-2.0"):
    lines = [
        "Metadata-Version: 2.1",
        f"Name: {name}",
        f"Version: {version()}",
        f"Summary: {summary}",
        f"License: {licence}",
        "Classifier: Programming Language :: Python :: 3",
        *(["Classifier: Typing :: Typed"] if extras else []),
        f"Requires-Python: {requires_python}",
    ]
    for extra, requirement in extras:
        lines += [f"Provides-Extra: {extra}", f'Requires-Dist: {requirement} ; extra == "{extra}"']
    return "\n".join([*lines, "Description-Content-Type: text/markdown", "", readme])


class Wheel:
    """A wheel that is being written."""

    def __init__(self, out, name, tag):
        base = f"{name.replace('-', '_')}-{version()}"
        self.path = out / f"{base}-{tag}.whl"
        self.info = f"{base}.dist-info"
        self.record = []
        self.time = time.gmtime(315532800)[:6]  # 1980-01-01, the first that a zip file knows
        out.mkdir(parents=True, exist_ok=True)
        self.partial = self.path.with_suffix(".partial")
        self.zip = zipfile.ZipFile(self.partial, "w", zipfile.ZIP_DEFLATED, compresslevel=6)
        purelib = "true" if tag.endswith("-any") else "false"
        self.meta = f"Wheel-Version: 1.0\nGenerator: emotion-llama sdk_python\nRoot-Is-Purelib: {purelib}\n"
        first, abi, platforms = tag.split("-")
        self.meta += "".join(f"Tag: {first}-{abi}-{one}\n" for one in platforms.split("."))

    def add(self, name, content, mode=0o644):
        content = content.encode("utf-8") if isinstance(content, str) else content
        entry = zipfile.ZipInfo(name, self.time)
        entry.external_attr = (0o100000 | mode) << 16
        entry.compress_type = zipfile.ZIP_DEFLATED
        self.zip.writestr(entry, content)
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        self.record.append(f"{name},sha256={digest},{len(content)}")

    def add_tree(self, prefix, directory):
        for path in sorted(directory.rglob("*")):
            if path.is_file():
                self.add(f"{prefix}/{path.relative_to(directory).as_posix()}", path.read_bytes())

    def close(self, meta):
        self.add(f"{self.info}/METADATA", meta)
        self.add(f"{self.info}/WHEEL", self.meta)
        self.add(f"{self.info}/RECORD", "\n".join([*self.record, f"{self.info}/RECORD,,", ""]))
        self.zip.close()
        self.partial.replace(self.path)
        print(f"{self.path} ({self.path.stat().st_size / 1e6:.1f} MB)")


def client_wheel(native, out):
    found = libraries(native)
    wheel = Wheel(out, "emotion-llama", f"py3-none-{platform_tag(found)}")
    source = PACKAGE / "src/emotion_llama"
    for path in sorted([*source.glob("*.py"), source / "py.typed"]):
        wheel.add(f"emotion_llama/{path.name}", path.read_bytes())
    for name, path in found.items():
        wheel.add(f"emotion_llama/lib/{name}", path.read_bytes(), 0o755)
    documents = native / "share/doc/emotion-llama"
    if documents.is_dir():
        # Licences of the crates and of FFmpeg, with how it was built.
        for part in ("crates", "ffmpeg"):
            wheel.add_tree(f"{wheel.info}/licenses/{part}", documents / part)
    for name in ("LICENSE", "THIRD_PARTY.md"):
        wheel.add(f"{wheel.info}/licenses/{name}", (ROOT / name).read_bytes())
    readme = (PACKAGE / "README.md").read_text(encoding="utf-8")
    summary = "What a person in a clip feels, and what shows it: face, voice and words, read on this machine or by a server"
    extras = [("numpy", "numpy"), ("model", f"emotion-llama-model-mini=={version()}")]
    licence = "Apache-2.0" if len(found) == 1 else "Apache-2.0 AND LGPL-2.1-or-later"
    wheel.close(metadata("emotion-llama", summary, readme, ">=3.9", extras, licence))


MODEL_MODULE = '''"""The built-in model of emotion-llama. The package `emotion_llama` finds it by itself."""

from pathlib import Path


def path() -> str:
    """The pack's directory."""
    return str(Path(__file__).resolve().parent / "packs" / "emotion-llama-mini")
'''


def model_wheel(pack, out):
    manifest = json.loads((pack / "pack.json").read_text(encoding="utf-8"))
    wheel = Wheel(out, "emotion-llama-model-mini", "py3-none-any")
    place = "emotion_llama_model_mini"
    wheel.add(f"{place}/__init__.py", MODEL_MODULE)
    wheel.add(f"{place}/py.typed", "")
    for name in ["pack.json", *sorted(manifest["files"])]:
        wheel.add(f"{place}/packs/emotion-llama-mini/{name}", (pack / name).read_bytes())
    for name in ("LICENSE", "THIRD_PARTY.md", "packs/mini/MODEL_CARD.md"):
        wheel.add(f"{wheel.info}/licenses/{Path(name).name}", (ROOT / name).read_bytes())
    card = (ROOT / "packs/mini/MODEL_CARD.md").read_text(encoding="utf-8")
    licences = " AND ".join(sorted({file["licence"] for file in manifest["files"].values()}))
    wheel.close(metadata("emotion-llama-model-mini", "The built-in model of emotion-llama", card, ">=3.9", licence=licences))


def main():
    parser = argparse.ArgumentParser(description="makes the Python wheels")
    parser.add_argument("--native", type=Path, required=True)
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    client_wheel(options.native, options.out)
    model_wheel(options.pack, options.out)


if __name__ == "__main__":
    main()
