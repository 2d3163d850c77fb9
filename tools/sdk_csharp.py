#!/usr/bin/env python3
"""Makes the NuGet packages of the C# binding from what mcs compiled, and of the built-in model.

    sdk_csharp.py retarget ASSEMBLY                               the reference to mscorlib becomes one to netstandard 2.1, in place
    sdk_csharp.py pack --built DIRECTORY --native DIRECTORY --out DIRECTORY
    sdk_csharp.py model --pack DIRECTORY --out DIRECTORY

`built` has netstandard2.0/ and netstandard2.1/; `native` has libemotionllama.so.1 and its FFmpeg, in it or in lib/. Needs Python 3.9. The same
input gives the same bytes.
"""

import argparse
import platform
import re
import struct
import sys
import zipfile
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "EmotionLlama"
FRAMEWORKS = ("netstandard2.0", "netstandard2.1")
ARCHITECTURES = {"x86_64": "x64", "aarch64": "arm64"}
SONAME = re.compile(r"^lib[\w.+-]+?\.so\.\d+$")
DESCRIPTION = "What a person in a clip feels, and what shows it"
MODEL = "EmotionLlama.Model.Mini"
MODEL_DESCRIPTION = "The built-in model of EmotionLlama. It is put beside the program, where a client without a pack looks for it"
MSCORLIB_TOKEN = bytes.fromhex("b77a5c561934e089")
NETSTANDARD_TOKEN = bytes.fromhex("cc7b13ffcd2ddd51")


def version():
    text = (ROOT / "Cargo.toml").read_text(encoding="utf-8")
    return re.search(r'^\[workspace\.package\][^\[]*?^version = "([^"]+)"', text, re.M | re.S).group(1)


def retarget(path):
    """
    Points an assembly's only reference to netstandard 2.1 (ECMA-335, II.22.5 and II.24).

    mcs can compile against Mono's mscorlib alone, and .NET finds newer types, such as IAsyncEnumerable, in netstandard but not in mscorlib.
    """
    data = bytearray(path.read_bytes())
    root = data.index(b"BSJB")
    length = struct.unpack_from("<I", data, root + 12)[0]
    at = root + 16 + length + 2
    heaps = {}
    for _ in range(struct.unpack_from("<H", data, at)[0]):
        at += 2 if not heaps else 0
        offset, size = struct.unpack_from("<II", data, at)
        end = data.index(0, at + 8)
        heaps[data[at + 8 : end].decode()] = (root + offset, size)
        at += 8 + (end - at - 8 + 4) // 4 * 4
    tables, tables_size = heaps["#~"]
    strings, strings_size = heaps["#Strings"]
    blobs, blobs_size = heaps["#Blob"]

    def name(text):
        return data.index(text.encode() + b"\0", strings, strings + strings_size) - strings

    token = data.index(b"\x08" + MSCORLIB_TOKEN, blobs, blobs + blobs_size) - blobs
    # Small heaps have two-byte indices.
    if data[tables + 6] & 0b101:
        raise SystemExit(f"{path} is larger than this expects")
    row = struct.pack("<HHHHIHH", 4, 0, 0, 0, 0, token, name("mscorlib"))
    if data.count(row, tables, tables + tables_size) != 1:
        raise SystemExit(f"{path} does not refer to mscorlib 4.0.0.0 once")
    place = data.index(row, tables, tables + tables_size)
    data[place : place + len(row)] = struct.pack("<HHHHIHH", 2, 1, 0, 0, 0, token, name("netstandard"))
    data[blobs + token + 1 : blobs + token + 9] = NETSTANDARD_TOKEN
    path.write_bytes(data)


def libraries(native):
    """The shared libraries by the names that they are looked for by."""
    directory = native / "lib" if (native / "lib").is_dir() else native
    found = {path.name: path for path in sorted(directory.iterdir()) if SONAME.match(path.name) and path.is_file()}
    if "libemotionllama.so.1" not in found:
        sys.exit(f"no libemotionllama.so.1 in {directory}; run `make dist`, or name the directory")
    # The name that a runtime makes of the one in DllImport.
    found["libemotionllama.so"] = found.pop("libemotionllama.so.1")
    return found


def nuspec(package, description, groups):
    groups = "".join(f'\n      <group targetFramework=".NETStandard{name[-3:]}" />' for name in groups)
    return f"""<?xml version="1.0" encoding="utf-8"?>
<package xmlns="http://schemas.microsoft.com/packaging/2013/05/nuspec.xsd">
  <metadata minClientVersion="3.0">
    <id>{package}</id>
    <version>{escape(version())}</version>
    <authors>emotion-llama-sdk</authors>
    <requireLicenseAcceptance>false</requireLicenseAcceptance>
    <license type="expression">Apache-2.0</license>
    <readme>README.md</readme>
    <description>{description}</description>
    <tags>emotion video audio multimodal native</tags>
    <dependencies>{groups}
    </dependencies>
  </metadata>
</package>
"""


def content_types(names):
    """Every part has a type: by its extension, or by its name where it has none."""
    known = {
        "rels": "application/vnd.openxmlformats-package.relationships+xml",
        "psmdcp": "application/vnd.openxmlformats-package.core-properties+xml",
    }
    defaults, overrides = dict(known), []
    for name in names:
        suffix = Path(name).suffix[1:]
        if suffix:
            defaults.setdefault(suffix, "application/octet")
        else:
            overrides.append(f'<Override PartName="/{escape(name)}" ContentType="application/octet" />')
    lines = [f'<Default Extension="{escape(key)}" ContentType="{value}" />' for key, value in sorted(defaults.items())]
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">\n  '
        + "\n  ".join(lines + overrides)
        + "\n</Types>\n"
    )


RELATIONSHIPS = """<?xml version="1.0" encoding="utf-8"?>
<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">
  <Relationship Type="http://schemas.microsoft.com/packaging/2010/07/manifest" Target="/{package}.nuspec" Id="R1" />
  <Relationship Type="http://schemas.openxmlformats.org/package/2006/relationships/metadata/core-properties" Target="/{core}" Id="R2" />
</Relationships>
"""


def core_properties(package, description):
    return f"""<?xml version="1.0" encoding="utf-8"?>
<coreProperties xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns="http://schemas.openxmlformats.org/package/2006/metadata/core-properties">
  <dc:creator>emotion-llama-sdk</dc:creator>
  <dc:description>{description}</dc:description>
  <dc:identifier>{package}</dc:identifier>
  <version>{escape(version())}</version>
</coreProperties>
"""


def pack(built, native, out):
    files = {}
    for framework in FRAMEWORKS:
        for suffix in ("dll", "xml"):
            files[f"lib/{framework}/{PACKAGE}.{suffix}"] = (built / framework / f"{PACKAGE}.{suffix}").read_bytes()
    rid = f"linux-{ARCHITECTURES.get(platform.machine(), platform.machine())}"
    for name, path in libraries(native).items():
        files[f"runtimes/{rid}/native/{name}"] = path.read_bytes()
    for name in ("LICENSE", "THIRD_PARTY.md"):
        files[name] = (ROOT / name).read_bytes()
    files["README.md"] = (ROOT / "bindings/csharp/README.md").read_bytes()
    licences = native / "share/doc/emotion-llama"
    for path in sorted(licences.rglob("*")) if licences.is_dir() else ():
        if path.is_file() and path.parent != licences:
            files[f"licenses/{path.relative_to(licences).as_posix()}"] = path.read_bytes()

    write(PACKAGE, DESCRIPTION, FRAMEWORKS, files, out)


# What a project that refers to the package gets: the pack beside the program, where the library's client looks for it.
TARGETS = """<Project xmlns="http://schemas.microsoft.com/developer/msbuild/2003">
  <ItemGroup>
    <EmotionLlamaModelMini Include="$(MSBuildThisFileDirectory)../packs/emotion-llama-mini/*" />
    <None Include="@(EmotionLlamaModelMini)">
      <Link>packs/emotion-llama-mini/%(Filename)%(Extension)</Link>
      <CopyToOutputDirectory>PreserveNewest</CopyToOutputDirectory>
      <CopyToPublishDirectory>PreserveNewest</CopyToPublishDirectory>
      <Visible>false</Visible>
    </None>
  </ItemGroup>
</Project>
"""


def model(directory, out):
    files = {f"{folder}/{MODEL}.targets": TARGETS.encode() for folder in ("build", "buildTransitive")}
    for path in sorted(directory.iterdir()):
        if path.is_file() and not path.name.startswith("."):
            files[f"packs/{directory.name}/{path.name}"] = path
    for name in ("LICENSE", "THIRD_PARTY.md"):
        files[name] = (ROOT / name).read_bytes()
    files["README.md"] = (ROOT / "packs/mini/MODEL_CARD.md").read_bytes()
    write(MODEL, MODEL_DESCRIPTION, ("netstandard2.0",), files, out)


def write(package, description, groups, files, out):
    """Makes a package of files: bytes, or the path of a large file, which is stored as it is."""
    core = "package/services/metadata/core-properties/core.psmdcp"
    files[f"{package}.nuspec"] = nuspec(package, description, groups).encode()
    files[core] = core_properties(package, description).encode()
    files["_rels/.rels"] = RELATIONSHIPS.format(package=package, core=core).encode()
    files["[Content_Types].xml"] = content_types(sorted(files)).encode()

    out.mkdir(parents=True, exist_ok=True)
    target = out / f"{package}.{version()}.nupkg"
    # Readers of packages want these two before the rest.
    first = ["[Content_Types].xml", "_rels/.rels"]
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in first + sorted(set(files) - set(first)):
            content = files[name]
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            # Weights hardly become smaller.
            entry.compress_type = zipfile.ZIP_DEFLATED if isinstance(content, bytes) else zipfile.ZIP_STORED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content if isinstance(content, bytes) else content.read_bytes())
    print(f"{target}: {len(files)} files, {target.stat().st_size} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("retarget").add_argument("assembly", type=Path)
    packing = commands.add_parser("pack")
    for name in ("--built", "--native", "--out"):
        packing.add_argument(name, type=Path, required=True)
    modelling = commands.add_parser("model")
    for name in ("--pack", "--out"):
        modelling.add_argument(name, type=Path, required=True)
    given = parser.parse_args()
    if given.command == "retarget":
        retarget(given.assembly)
    elif given.command == "model":
        model(given.pack, given.out)
    else:
        pack(given.built, given.native, given.out)


if __name__ == "__main__":
    main()
