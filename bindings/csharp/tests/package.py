#!/usr/bin/env python3
"""Checks that NuGet packages are whole, and of the version that Cargo.toml says: package.py PACKAGE…. Prints their sizes and what is in them."""

import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
MODEL = "EmotionLlama.Model.Mini"
COMMON = [
    r"\[Content_Types\]\.xml",
    r"_rels/\.rels",
    r"package/services/metadata/core-properties/core\.psmdcp",
    r"LICENSE",
    r"THIRD_PARTY\.md",
    r"README\.md",
]
PARTS = COMMON + [
    r"EmotionLlama\.nuspec",
    r"lib/netstandard2\.[01]/EmotionLlama\.(dll|xml)",
    r"runtimes/linux-(x64|arm64)/native/libemotionllama\.so",
    r"runtimes/linux-(x64|arm64)/native/lib(av\w+|sw\w+)[\w-]*\.so\.\d+",
    r"licenses/.+",
]
MODEL_PARTS = COMMON + [
    r"EmotionLlama\.Model\.Mini\.nuspec",
    r"build(Transitive)?/EmotionLlama\.Model\.Mini\.targets",
    r"packs/emotion-llama-mini/pack\.json",
    r"packs/emotion-llama-mini/[a-z_]+\.(json|gguf|safetensors)",
]


def is_needed(part):
    return "(av" not in part and not part.startswith("licenses")


MSCORLIB, NETSTANDARD = bytes.fromhex("08b77a5c561934e089"), bytes.fromhex("08cc7b13ffcd2ddd51")
# With glibc and GCC's run time a library may reckon.
OF_THE_SYSTEM = re.compile(r"^(lib(c|m|dl|rt|pthread|gcc_s|util|resolv)\.so\.\d+|ld-linux[-\w]*\.so\.\d+)$")


def local(tag):
    return tag.rpartition("}")[2]


def check(holds, what):
    if not holds:
        sys.exit(f"FAILED package: {what}")


def check_parts(names, parts):
    for name in names:
        check(any(re.fullmatch(part, name) for part in parts), f"{name} does not belong there")
    for part in filter(is_needed, parts):
        check(any(re.fullmatch(part, name) for name in names), f"nothing is called {part}")
    check(len(names) == len(set(names)), "a name is there twice")


def check_opc(archive, names, id):
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
    check(relations["manifest"] == f"/{id}.nuspec", "the manifest")
    for target in relations.values():
        check(target[1:] in names, f"{target} is not there")
    xml.fromstring(archive.read(relations["core-properties"][1:]))


def check_nuspec(archive, package, id, frameworks):
    metadata = xml.fromstring(archive.read(f"{id}.nuspec"))[0]
    fields = {local(each.tag): each for each in metadata}
    check(package.name == f"{fields['id'].text}.{fields['version'].text}.nupkg", "id and version are those of the file's name")
    check((fields["id"].text, fields["version"].text) == (id, workspace_version()), "the version is Cargo.toml's")
    check(fields["license"].text == "Apache-2.0" and fields["license"].get("type") == "expression", "the licence")
    check(fields["readme"].text == "README.md", "the page")
    groups = [each.get("targetFramework") for each in fields["dependencies"]]
    check(groups == frameworks and not any(len(each) for each in fields["dependencies"]), "no dependencies")


def check_assemblies(archive):
    """netstandard2.0 refers to mscorlib, which every runtime has; 2.1 has what only netstandard has."""
    for framework, has, lacks in (("2.0", MSCORLIB, NETSTANDARD), ("2.1", NETSTANDARD, MSCORLIB)):
        data = archive.read(f"lib/netstandard{framework}/EmotionLlama.dll")
        check(data[:2] == b"MZ" and has in data and lacks not in data, f"the references of netstandard{framework}")
        check((b"IAsyncEnumerable" in data) == (framework == "2.1"), f"IAsyncEnumerable in netstandard{framework}")
        docs = xml.fromstring(archive.read(f"lib/netstandard{framework}/EmotionLlama.xml"))
        check(len(docs.findall("members/member")) > 100, "documentation")


def check_targets(archive, names):
    """A build puts each file of the pack beside the program, where a client without a pack looks."""
    for folder in ("build", "buildTransitive"):
        item = xml.fromstring(archive.read(f"{folder}/{MODEL}.targets"))[0]
        fields = {local(each.tag): each for each in item}
        pattern = fields["EmotionLlamaModelMini"].get("Include")
        check(pattern == "$(MSBuildThisFileDirectory)../packs/emotion-llama-mini/*", "what is copied")
        copied = {local(each.tag): each.text for each in fields["None"]}
        check(copied["Link"] == "packs/emotion-llama-mini/%(Filename)%(Extension)", "where it is copied to")
        check({copied["CopyToOutputDirectory"], copied["CopyToPublishDirectory"]} == {"PreserveNewest"}, "that it is copied")
    listed = {file["name"] if isinstance(file, dict) else file for file in pack_files(archive)}
    inside = {Path(name).name for name in names if name.startswith("packs/")}
    check(listed <= inside, f"the pack lacks {listed - inside}")


def pack_files(archive):
    """The names of files that pack.json mentions."""
    text = archive.read("packs/emotion-llama-mini/pack.json").decode()
    return set(re.findall(r'"([a-z_]+\.(?:json|gguf|safetensors))"', text))


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


def workspace_version():
    text = (ROOT / "Cargo.toml").read_text(encoding="utf-8")
    return re.search(r'^\[workspace\.package\][^\[]*?^version = "([^"]+)"', text, re.M | re.S).group(1)


def check_project(archive, names):
    """EmotionLlama.csproj, which dotnet packs, says the same as the package that was made without dotnet."""
    project = xml.parse(ROOT / "bindings/csharp/EmotionLlama.csproj").getroot()
    properties = {local(each.tag): each.text for group in project if group.tag == "PropertyGroup" for each in group}
    nuspec = {local(each.tag): each.text for each in xml.fromstring(archive.read("EmotionLlama.nuspec"))[0]}
    for field, key in (("PackageId", "id"), ("Version", "version"), ("Authors", "authors"), ("Description", "description"), ("PackageReadmeFile", "readme")):
        check(properties[field] == nuspec[key], f"{field} of EmotionLlama.csproj is {properties[field]}, and {nuspec[key]} in the package")
    check(properties["PackageLicenseExpression"] == nuspec["license"], "the licence of EmotionLlama.csproj")
    built = {f"lib/{framework}/EmotionLlama.{kind}" for framework in properties["TargetFrameworks"].split(";") for kind in ("dll", "xml")}
    check(built == {name for name in names if name.startswith("lib/")}, "the frameworks of EmotionLlama.csproj")
    items = [each for group in project if group.tag == "ItemGroup" for each in group]
    packed = {Path(file).name: each.get("PackagePath") for each in items if each.get("Pack") for file in each.get("Include").split(";")}
    wanted = {"README.md": "/", "LICENSE": "/", "THIRD_PARTY.md": "/", "**": "licenses/", "*.so": "runtimes/$(NativeRid)/native/", "*.so.*": "runtimes/$(NativeRid)/native/"}
    check(packed == wanted, f"EmotionLlama.csproj packs {packed}")
    compiled = [each.get("Include") for each in items if each.tag == "Compile"]
    check(compiled == ["src/**/*.cs"] and properties["EnableDefaultCompileItems"] == "false", "what EmotionLlama.csproj compiles")


def main():
    for package in sys.argv[1:]:
        check_package(Path(package))


def check_package(package):
    with zipfile.ZipFile(package) as archive:
        check(archive.testzip() is None, "damaged")
        names = archive.namelist()
        check(names[0] == "[Content_Types].xml", "the content types come first")
        is_model = package.name.startswith(MODEL)
        id = MODEL if is_model else "EmotionLlama"
        check_parts(names, MODEL_PARTS if is_model else PARTS)
        check_opc(archive, names, id)
        check_nuspec(archive, package, id, [".NETStandard2.0"] if is_model else [".NETStandard2.0", ".NETStandard2.1"])
        if is_model:
            check_targets(archive, names)
        else:
            check(len([name for name in names if name.startswith("lib/")]) == 4, "two frameworks")
            check_assemblies(archive)
            check_libraries(archive, names)
            check_project(archive, names)
        licences = [info for info in archive.infolist() if info.filename.startswith("licenses/")]
        for info in archive.infolist():
            if info not in licences:
                print(f"{info.file_size:>10} {info.filename}")
        if licences:
            print(f"{sum(info.file_size for info in licences):>10} licenses/ ({len(licences)} files)")
        print(f"{package.stat().st_size:>10} {package.name}")


if __name__ == "__main__":
    main()
