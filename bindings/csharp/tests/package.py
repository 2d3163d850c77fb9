#!/usr/bin/env python3
"""Checks that a NuGet package is whole: package.py PACKAGE. Prints its size and what is in it."""

import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml
import zipfile
from pathlib import Path

PARTS = [
    r"\[Content_Types\]\.xml",
    r"_rels/\.rels",
    r"package/services/metadata/core-properties/core\.psmdcp",
    r"EmotionLlama\.nuspec",
    r"LICENSE",
    r"THIRD_PARTY\.md",
    r"README\.md",
    r"lib/netstandard2\.[01]/EmotionLlama\.(dll|xml)",
    r"runtimes/linux-(x64|arm64)/native/libemotionllama\.so",
    r"runtimes/linux-(x64|arm64)/native/lib(av\w+|sw\w+)[\w-]*\.so\.\d+",
    r"licenses/.+",
]
NEEDED = [part for part in PARTS if "(av" not in part and not part.startswith("licenses")]
MSCORLIB, NETSTANDARD = bytes.fromhex("08b77a5c561934e089"), bytes.fromhex("08cc7b13ffcd2ddd51")
# With glibc and GCC's run time a library may reckon.
OF_THE_SYSTEM = re.compile(r"^(lib(c|m|dl|rt|pthread|gcc_s|util|resolv)\.so\.\d+|ld-linux[-\w]*\.so\.\d+)$")


def local(tag):
    return tag.rpartition("}")[2]


def check(holds, what):
    if not holds:
        sys.exit(f"FAILED package: {what}")


def check_parts(names):
    for name in names:
        check(any(re.fullmatch(part, name) for part in PARTS), f"{name} does not belong there")
    for part in NEEDED:
        check(any(re.fullmatch(part, name) for name in names), f"nothing is called {part}")
    check(len(names) == len(set(names)), "a name is there twice")
    check(len([name for name in names if name.startswith("lib/")]) == 4, "two frameworks")


def check_opc(archive, names):
    """Open Packaging Conventions: every part has a type, and every relationship leads somewhere."""
    types = xml.fromstring(archive.read("[Content_Types].xml"))
    extensions = {each.get("Extension") for each in types if local(each.tag) == "Default"}
    overrides = {each.get("PartName") for each in types if local(each.tag) == "Override"}
    for name in names:
        if name != "[Content_Types].xml":
            check(Path(name).suffix[1:] in extensions or f"/{name}" in overrides or name == "_rels/.rels", f"{name} has no content type")
    check("rels" in extensions, "relationships have no content type")
    for override in overrides:
        check(override[1:] in names, f"{override} has a content type and is not there")
    relations = {each.get("Type").rpartition("/")[2]: each.get("Target") for each in xml.fromstring(archive.read("_rels/.rels"))}
    check(relations["manifest"] == "/EmotionLlama.nuspec", "the manifest")
    for target in relations.values():
        check(target[1:] in names, f"{target} is not there")
    xml.fromstring(archive.read(relations["core-properties"][1:]))


def check_nuspec(archive, package):
    metadata = xml.fromstring(archive.read("EmotionLlama.nuspec"))[0]
    fields = {local(each.tag): each for each in metadata}
    check(package.name == f"{fields['id'].text}.{fields['version'].text}.nupkg", "id and version are those of the file's name")
    check(fields["license"].text == "Apache-2.0" and fields["license"].get("type") == "expression", "the licence")
    check(fields["readme"].text == "README.md", "the page")
    groups = [each.get("targetFramework") for each in fields["dependencies"]]
    check(groups == [".NETStandard2.0", ".NETStandard2.1"] and not any(len(each) for each in fields["dependencies"]), "no dependencies")


def check_assemblies(archive):
    """netstandard2.0 refers to mscorlib, which every runtime has; 2.1 has what only netstandard has."""
    for framework, has, lacks in (("2.0", MSCORLIB, NETSTANDARD), ("2.1", NETSTANDARD, MSCORLIB)):
        data = archive.read(f"lib/netstandard{framework}/EmotionLlama.dll")
        check(data[:2] == b"MZ" and has in data and lacks not in data, f"the references of netstandard{framework}")
        check((b"IAsyncEnumerable" in data) == (framework == "2.1"), f"IAsyncEnumerable in netstandard{framework}")
        docs = xml.fromstring(archive.read(f"lib/netstandard{framework}/EmotionLlama.xml"))
        check(len(docs.findall("members/member")) > 100, "documentation")


def check_libraries(archive, names):
    objdump = shutil.which("objdump")
    if objdump is None:
        print("SKIPPED what the native libraries want: there is no objdump on this machine")
        return
    native = [name for name in names if name.startswith("runtimes/")]
    inside = {Path(name).name for name in native}
    outside = set()
    for name in native:
        with tempfile.NamedTemporaryFile() as file:
            file.write(archive.read(name))
            file.flush()
            headers = subprocess.run([objdump, "-p", file.name], check=True, capture_output=True, text=True).stdout
        needed = set(re.findall(r"^\s*NEEDED\s+(\S+)$", headers, re.M))
        outside |= {each for each in needed - inside if not OF_THE_SYSTEM.match(each)}
        if needed & inside:
            check("$ORIGIN" in headers, f"{name} does not look beside itself")
    if outside:
        print(f"not portable, as it wants {', '.join(sorted(outside))} of the system")


def main():
    package = Path(sys.argv[1])
    with zipfile.ZipFile(package) as archive:
        check(archive.testzip() is None, "damaged")
        names = archive.namelist()
        check(names[0] == "[Content_Types].xml", "the content types come first")
        check_parts(names)
        check_opc(archive, names)
        check_nuspec(archive, package)
        check_assemblies(archive)
        check_libraries(archive, names)
        licences = [info for info in archive.infolist() if info.filename.startswith("licenses/")]
        for info in archive.infolist():
            if info not in licences:
                print(f"{info.file_size:>10} {info.filename}")
        print(f"{sum(info.file_size for info in licences):>10} licenses/ ({len(licences)} files)")
        print(f"{package.stat().st_size:>10} {package.name}")


if __name__ == "__main__":
    main()
