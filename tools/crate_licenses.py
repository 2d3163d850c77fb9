"""Gathers the licence texts of the Rust crates that are linked into one crate's library.

    python tools/crate_licenses.py CRATE DIRECTORY

DIRECTORY gets one directory of texts for each crate, the standard library's notices, and `index.txt`.
"""

import json
import pathlib
import re
import shutil
import subprocess
import sys

TEXTS = re.compile(r"(licen[cs]e|copying|copyright|notice|unlicense)", re.IGNORECASE)


def linked(metadata, name):
    """The packages of `cargo metadata` that are linked into package `name`: no build scripts, no macros, no tests."""
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    waiting = [id for id in metadata["workspace_members"] if packages[id]["name"] == name]
    if not waiting:
        raise SystemExit(f"no package {name} in this workspace")
    found = set()
    while waiting:
        id = waiting.pop()
        is_macro = any("proc-macro" in target["kind"] for target in packages[id]["targets"])
        if id in found or is_macro:
            continue
        found.add(id)
        for dependency in nodes[id]["deps"]:
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                waiting.append(dependency["pkg"])
    return sorted((packages[id] for id in found), key=lambda package: (package["name"], package["version"]))


def texts(package):
    """The licence files of a package, as its source has them."""
    directory = pathlib.Path(package["manifest_path"]).parent
    found = [path for path in directory.iterdir() if TEXTS.match(path.name) and path.is_file()]
    if package["license_file"]:
        found.append(directory / package["license_file"])
    return sorted(set(found))


def stand_in(package, others):
    """A package whose texts serve for one that comes without: of the same repository, or else under the same licence."""
    for same in ("repository", "license"):
        for other in others:
            if package[same] and other[same] == package[same] and texts(other):
                return other
    raise SystemExit(f"{package['name']} {package['version']} ({package['license']}) has no licence text, nor has any like it")


def gather(packages, directory):
    """Copies the texts of third parties' packages and writes the index."""
    # Those of the workspace come under the project's own licence.
    third_parties = [package for package in packages if package["source"]]
    index = ["Rust crates that are linked into the library: name, version, licence, authors, source.", ""]
    for package in third_parties:
        source = package if texts(package) else stand_in(package, third_parties)
        place = directory / f"{package['name']}-{package['version']}"
        place.mkdir(parents=True)
        for path in texts(source):
            shutil.copyfile(path, place / path.name)
        line = [package["name"], package["version"], package["license"] or "see its file"]
        line += [", ".join(package["authors"]), package["repository"] or ""]
        if source is not package:
            line.append(f"comes without a text; this one is from {source['name']} {source['version']}")
        index.append(" | ".join(part for part in line if part))
    (directory / "index.txt").write_text("\n".join(index) + "\n", encoding="utf-8")
    return len(third_parties)


def main(name, directory):
    """Does it for the workspace in the current directory."""
    host = re.search(r"^host: (.*)$", output("rustc", "-vV"), re.MULTILINE)[1]
    metadata = output("cargo", "metadata", "--format-version=1", "--locked", f"--filter-platform={host}")
    directory = pathlib.Path(directory)
    count = gather(linked(json.loads(metadata), name), directory)
    notices = pathlib.Path(output("rustc", "--print=sysroot").strip(), "share/doc/rust/COPYRIGHT-library.html")
    if not notices.is_file():
        raise SystemExit(f"the notices of Rust's standard library are not in {notices}; they come with rustc")
    shutil.copyfile(notices, directory / "rust-standard-library.html")
    print(f"licences of {count} crates", file=sys.stderr)


def output(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
