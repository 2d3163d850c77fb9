"""What names a version of the SDKs names that of Cargo.toml."""

import json
import re
import unittest
import xml.etree.ElementTree as xml
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
MAVEN = "{http://maven.apache.org/POM/4.0.0}"


def workspace_version():
    return re.search(r'^\[workspace\.package\][^\[]*?^version = "([^"]+)"', read("Cargo.toml"), re.M | re.S).group(1)


def read(path):
    return (ROOT / path).read_text(encoding="utf-8")


class Versions(unittest.TestCase):
    def setUp(self):
        self.version = workspace_version()

    def test_java(self):
        for path in ("bindings/java/pom.xml", "bindings/java/model/pom.xml", "examples/java/pom.xml"):
            project = xml.fromstring(read(path))
            self.assertEqual(project.find(f"{MAVEN}version").text, self.version, path)
            for dependency in project.iter(f"{MAVEN}dependency"):
                if dependency.find(f"{MAVEN}groupId").text == "org.emotionllama":
                    self.assertEqual(dependency.find(f"{MAVEN}version").text, self.version, path)
        named = re.findall(r"<version>(.*?)</version>", read("bindings/java/README.md"))
        self.assertEqual(named, [self.version] * 2)

    def test_csharp(self):
        project = xml.fromstring(read("bindings/csharp/EmotionLlama.csproj"))
        self.assertEqual([each.text for each in project.iter("Version")], [self.version])

    def test_go(self):
        named = re.findall(r"^require emotion-llama-sdk\.internal/emotionllama v(\S+)$", read("examples/go/go.mod"), re.M)
        self.assertEqual(named, [self.version])

    def test_node_and_python(self):
        package = json.loads(read("bindings/node/package.json"))
        named = [package["version"], *package["optionalDependencies"].values(), *package["peerDependencies"].values()]
        self.assertEqual(set(named), {self.version})
        project = read("bindings/python/pyproject.toml")
        self.assertEqual(re.findall(r'^version = "(.*)"$', project, re.M), [self.version])
        self.assertEqual(re.findall(r"emotion-llama-model-mini==([\w.]+)", project), [self.version])


if __name__ == "__main__":
    unittest.main()
