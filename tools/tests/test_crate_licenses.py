"""Licences of linked crates: what is linked is found, and a crate without a text gets one or stops the build."""

import pathlib
import tempfile
import unittest

import crate_licenses


class CrateLicenses(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)

    def package(self, name, *, source="registry", license="MIT", repository=None, kind="lib", files=("LICENSE",)) -> dict:
        directory = self.root / name
        directory.mkdir()
        for file in files:
            (directory / file).write_text(f"the text of {name}")
        return {
            "id": name,
            "name": name,
            "version": "1.0.0",
            "source": source,
            "license": license,
            "license_file": None,
            "authors": [],
            "repository": repository,
            "targets": [{"kind": [kind]}],
            "manifest_path": str(directory / "Cargo.toml"),
        }

    def test_only_what_is_linked_is_found(self):
        packages = [
            self.package("ours", source=None),
            self.package("linked"),
            self.package("deeper"),
            self.package("macro", kind="proc-macro"),
            self.package("of-the-macro"),
            self.package("of-a-test"),
            self.package("of-the-build"),
        ]

        def needs(name, *dependencies):
            kinds = [{"pkg": pkg, "dep_kinds": [{"kind": kind}]} for pkg, kind in dependencies]
            return {"id": name, "deps": kinds}

        nodes = [
            needs("ours", ("linked", None), ("macro", None), ("of-a-test", "dev"), ("of-the-build", "build")),
            needs("linked", ("deeper", None)),
            needs("macro", ("of-the-macro", None)),
            *(needs(name) for name in ("deeper", "of-the-macro", "of-a-test", "of-the-build")),
        ]
        metadata = {"packages": packages, "workspace_members": ["ours"], "resolve": {"nodes": nodes}}
        found = [package["name"] for package in crate_licenses.linked(metadata, "ours")]
        self.assertEqual(found, ["deeper", "linked", "ours"])
        with self.assertRaisesRegex(SystemExit, "no package theirs"):
            crate_licenses.linked(metadata, "theirs")

    def test_a_crate_without_a_text_gets_that_of_its_repository_first(self):
        packages = [
            self.package("ours", source=None),
            self.package("like", files=("COPYING", "Cargo.lock")),
            self.package("sister", repository="there", license="Zlib", files=("LICENSE-ZLIB", "NOTICE.md")),
            self.package("without", repository="there", files=()),
        ]
        self.assertEqual(crate_licenses.gather(packages, self.root / "out"), 3)
        texts = {str(path.relative_to(self.root / "out")) for path in (self.root / "out").rglob("*") if path.is_file()}
        expected = {"index.txt", "like-1.0.0/COPYING"}
        expected |= {f"{name}-1.0.0/{file}" for name in ("sister", "without") for file in ("LICENSE-ZLIB", "NOTICE.md")}
        self.assertEqual(texts, expected)
        index = (self.root / "out" / "index.txt").read_text()
        self.assertIn("without | 1.0.0 | MIT | there | comes without a text; this one is from sister 1.0.0\n", index)
        self.assertNotIn("ours", index)

    def test_a_licence_that_nothing_has_the_text_of_stops(self):
        packages = [self.package("like"), self.package("odd", license="Odd-1.0", files=())]
        with self.assertRaisesRegex(SystemExit, r"odd 1.0.0 \(Odd-1.0\) has no licence text"):
            crate_licenses.gather(packages, self.root / "out")


if __name__ == "__main__":
    unittest.main()
