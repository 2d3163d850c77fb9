#!/usr/bin/env python3
"""Runs the API guide: every snippet of docs/api/en.md as it stands there, in order, as a reader would; docs/api/zh.md must have the same ones.

    tools/test_guide.sh [--list] [--from N] [--to N]

What a fenced block is, its first words say:

    bash, python, js        run, in one directory with three clips and an empty home
    bash server             run in the background until the next of its kind; waited for until it is ready
    cmd, powershell         read as Windows would, and the same request is sent from here: there is no Windows
    text prompt             one prompt a line; each is asked by the documented call
    toml NAME               written to that file
    text output             what the block before printed; `…` stands for anything

Needs target/release/emotion-llama (or EMOTION_LLAMA), the mini pack, the clips, curl, node with the packages in NODE_PACKAGES, and the
Python packages of tools/guide_requirements.txt beside the SDK's. Where a documented port is taken, another one is put in its place, and said.
"""

import argparse
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGES = [ROOT / "docs/api/en.md", ROOT / "docs/api/zh.md"]
PROGRAM = pathlib.Path(os.environ.get("EMOTION_LLAMA", ROOT / "target/release/emotion-llama")).resolve()
PACKS = ROOT / "build/packs"
NODE_PACKAGES = pathlib.Path(os.environ.get("NODE_PACKAGES", ROOT / "build/guide/node_modules"))
CLIPS = {"clip.mp4": "1001_DFA_ANG_XX.flv", "happy.mp4": "1001_DFA_HAP_XX.flv", "sad.mp4": "1001_DFA_SAD_XX.flv"}
PORTS = {"7889": None, "7887": None}
# Only whether it is ready is asked so; the snippets verify.
UNVERIFIED = ssl.create_default_context()
UNVERIFIED.check_hostname, UNVERIFIED.verify_mode = False, ssl.CERT_NONE
FLAGS_OF_OTHERS = {"--build-arg", "--tmpfs"}
PREDICT = "http://localhost:7889/api/predict/"
# With a margin for machines that do other things, too.
LIMIT_S = 600


class Block:
    def __init__(self, number, line, info, text):
        self.number, self.line, self.text = number, line, text
        self.language, _, self.role = info.partition(" ")

    def __str__(self):
        kind = f"{self.language} {self.role}".strip()
        first = next((line for line in self.text.splitlines() if line.strip()), "")
        return f"{self.number:3} line {self.line:4}  {kind:14} {first[:70]}"


def blocks(path):
    """The fenced blocks of a page."""
    found, inside = [], None
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if inside is None and line.startswith("```"):
            inside = (number, line[3:].strip(), [])
        elif inside is not None and line == "```":
            start, info, lines = inside
            found.append(Block(len(found) + 1, start, info, "\n".join(lines) + "\n"))
            inside = None
        elif inside is not None:
            inside[2].append(line)
    if inside is not None:
        raise SystemExit(f"{path.name}:{inside[0]}: the block has no end")
    return found


# ---- What the pages are like -----------------------------------------------------------------------------------------------------------


def slug(heading):
    """The anchor that GitHub gives a heading."""
    text = re.sub(r"[`*]", "", heading.strip().lower())
    return "".join(character for character in text.replace(" ", "-") if character.isalnum() or character in "-_")


def check_pages():
    """The same snippets on both pages, the same sections, and links that lead somewhere."""
    problems = []
    english, chinese = (blocks(page) for page in PAGES)
    for one, other in zip(english, chinese):
        if (one.language, one.role, one.text) != (other.language, other.role, other.text):
            problems.append(f"en.md:{one.line} and zh.md:{other.line} differ; the snippets of both pages are the same")
    if len(english) != len(chinese):
        problems.append(f"en.md has {len(english)} snippets and zh.md {len(chinese)}")
    prose = [re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S) for page in PAGES]
    levels = [[len(match) for match in re.findall(r"^(#+) ", text, re.M)] for text in prose]
    if levels[0] != levels[1]:
        problems.append("the pages do not have the same sections")
    for page, text, other in zip(PAGES, prose, reversed(PAGES)):
        if f"({other.name})" not in "\n".join(text.splitlines()[:5]):
            problems.append(f"{page.name}: the first lines have no link to {other.name}")
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            name, _, anchor = target.partition("#")
            if re.match(r"[a-z]+:", target):
                continue
            place = (page.parent / name) if name else page
            if not place.exists():
                problems.append(f"{page.name}: {target} is not there")
            elif anchor and anchor not in {slug(heading) for heading in re.findall(r"^#+ (.*)$", place.read_text(encoding="utf-8"), re.M)}:
                problems.append(f"{page.name}: {target} is no section")
    for block in english:
        is_known = (
            (block.language in ("bash", "python", "js", "cmd", "powershell") and not block.role)
            or (block.language, block.role) in (("bash", "server"), ("text", "output"), ("text", "prompt"))
            or (block.language == "toml" and block.role)
        )
        if not is_known:
            problems.append(f"en.md:{block.line}: a block {block.language!r} {block.role!r} is none that is run")
    return problems


def check_names():
    """Settings, flags and calls that the pages name are those of the program."""
    problems = []
    printed = subprocess.run([PROGRAM, "serve", "--print-config"], capture_output=True, text=True, check=True, env={}).stdout
    sections = "|".join(re.findall(r"^\[(\w+)\]$", printed, re.M))
    flags = ""
    for command in (["serve"], ["keys", "new"], ["analyze"]):
        flags += subprocess.run([PROGRAM, *command, "--help"], capture_output=True, text=True).stdout
    flags = set(re.findall(r"--[a-z][a-z-]+", flags))
    for page in [*PAGES, ROOT / "docs/deployment.md"]:
        text = page.read_text(encoding="utf-8")
        for name in sorted(set(re.findall(rf"(?<![\w./-])(?:{sections})\.[a-z_]+\b(?![./-])", text))):
            # One that is known may have another type, or not stand alone.
            done = subprocess.run([PROGRAM, "serve", "--print-config", "--set", f"{name}=1"], capture_output=True, text=True, env={})
            if "unknown field" in done.stderr:
                problems.append(f"{page.name}: there is no setting {name}")
        for flag in sorted(set(re.findall(r"`(--[a-z][a-z-]+)", text)) - flags - FLAGS_OF_OTHERS):
            problems.append(f"{page.name}: there is no flag {flag}")
    return problems


# ---- Windows ---------------------------------------------------------------------------------------------------------------------------


def cmd_arguments(text):
    """The arguments that a program gets from a line of cmd.exe. Fails on what cmd would take for itself."""
    line = text.strip()
    if "\n" in line:
        raise ValueError("cmd takes one line")
    # cmd knows no backslash: each quotation mark begins or ends a quotation for it.
    quoted = False
    for character in line:
        if character == '"':
            quoted = not quoted
        elif character in "&|<>^" and not quoted or character == "%":
            raise ValueError(f"cmd takes {character!r} for itself there")
    # Then the program's runtime splits: 2n backslashes and a quotation mark are n and the mark of a quotation; one more, and it is text.
    arguments, current, quoted, index = [], None, False, 0
    while index < len(line):
        slashes = len(line[index:]) - len(line[index:].lstrip("\\"))
        index += slashes
        character = line[index : index + 1]
        if slashes:
            current = (current or "") + "\\" * (slashes // 2 if character == '"' else slashes)
        if character == '"' and slashes % 2:
            current += '"'
        elif character == '"':
            quoted, current = not quoted, current or ""
        elif character == " " and not quoted:
            if current is not None:
                arguments.append(current)
            current = None
        else:
            current = (current or "") + character
        index += 1
    if quoted:
        raise ValueError("a quotation does not end")
    return arguments + ([current] if current is not None else [])


class PowerShell:
    """As much of the language as the guide needs: variables, texts, @{…}, @(…), ConvertTo-Json and Invoke-RestMethod."""

    def __init__(self, text):
        self.tokens, position = [], 0
        text = text.replace("`\n", " ").rstrip()
        while position < len(text):
            match = re.compile(r"[ \t]*(?:(\n)|('(?:[^']|'')*')|(\$\w+)|(@\{|@\(|[(){},;=|])|(-[A-Za-z]+)|(\d+)|([A-Za-z][\w-]*))").match(text, position)
            if not match:
                raise ValueError(f"not understood: {text[position:position + 40]!r}")
            self.tokens.append(match.group().strip(" \t"))
            position = match.end()
        self.position, self.variables, self.requests = 0, {}, []

    def peek(self):
        return self.tokens[self.position] if self.position < len(self.tokens) else None

    def take(self, expected=None):
        token = self.peek()
        if token is None or expected and token != expected:
            raise ValueError(f"{expected or 'more'} expected, found {token!r}")
        self.position += 1
        return token

    def skip(self, *tokens):
        while self.peek() in tokens:
            self.position += 1

    def run(self):
        """The requests that are sent: (method, address, headers, body)."""
        self.skip("\n", ";")
        while self.peek() is not None:
            if self.peek().startswith("$") and self.tokens[self.position + 1 : self.position + 2] == ["="]:
                name = self.take()
                self.take("=")
                self.variables[name] = self.pipeline()
            else:
                self.pipeline()
            if self.peek() is not None and self.take() not in ("\n", ";"):
                raise ValueError("the statement goes on unexpectedly")
            self.skip("\n", ";")
        return self.requests

    def pipeline(self):
        value = self.value()
        while self.peek() == "|":
            self.take()
            self.take("ConvertTo-Json")
            if self.peek() == "-Depth":
                self.take()
                self.take()
            value = json.dumps(value)
        return value

    def value(self):
        token = self.take()
        if token.startswith("'"):
            return token[1:-1].replace("''", "'")
        if token.startswith("$"):
            return self.variables[token]
        if token.isdigit():
            return int(token)
        if token == "@{":
            table = {}
            self.skip("\n", ";")
            while self.peek() != "}":
                name = self.take()
                self.take("=")
                table[name.strip("'")] = self.value()
                self.skip("\n", ";")
            self.take("}")
            return table
        if token == "@(":
            items = []
            self.skip("\n", ",")
            while self.peek() != ")":
                items.append(self.value())
                self.skip("\n", ",")
            self.take(")")
            return items
        if token == "Invoke-RestMethod":
            given = {}
            while self.peek() is not None and self.peek().startswith("-"):
                name = self.take()
                given[name.lower()] = self.take() if re.match(r"[A-Za-z]", self.peek() or "") else self.value()
            headers = dict(given.get("-headers", {}))
            if "-contenttype" in given:
                headers["Content-Type"] = given["-contenttype"]
            self.requests.append((given.get("-method", "Get").upper(), given["-uri"], headers, given.get("-body")))
            return {}
        raise ValueError(f"not understood: {token!r}")


# ---- Running them ----------------------------------------------------------------------------------------------------------------------


class Reader:
    """Somebody who tries the page, in a directory of their own."""

    def __init__(self, scratch):
        self.home = scratch / "home"
        self.place = scratch / "guide"
        self.tools = scratch / "bin"
        for directory in (self.home, self.place, self.tools):
            directory.mkdir()
        for name, clip in CLIPS.items():
            shutil.copy(ROOT / "build/clips" / clip, self.place / name)
        (self.tools / "emotion-llama").symlink_to(PROGRAM)
        for name in ("python", "python3"):
            (self.tools / name).write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
            (self.tools / name).chmod(0o755)
        if NODE_PACKAGES.is_dir():
            (self.place / "node_modules").symlink_to(NODE_PACKAGES.resolve())
        node = shutil.which("node")
        # Nothing of the caller's environment: keys, proxies, settings.
        self.environment = {
            "HOME": str(self.home), "PATH": f"{self.tools}:{os.path.dirname(node) if node else '/usr/bin'}:/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONWARNINGS": "ignore", "EMOTION_LLAMA_PACKS": str(PACKS),
            # gradio_client would tell its makers that it was used.
            "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1",
        }
        self.server = None
        self.log = scratch / "server.log"
        self.ports = {}
        for port in PORTS:
            self.ports[port] = port if is_free(int(port)) else str(free_port())
            if self.ports[port] != port:
                print(f"port {port} is taken; {self.ports[port]} stands for it")

    def with_ports(self, text):
        for port, other in self.ports.items():
            text = re.sub(rf"(?<=[: ]){port}\b", other, text)
        return text

    def without_ports(self, text):
        for port, other in self.ports.items():
            text = text.replace(f":{other}", f":{port}")
        return text

    def run(self, block):
        """What the block printed; None where that is not said on a page."""
        text = self.with_ports(block.text)
        if block.language == "toml":
            (self.place / block.role).write_text(text, encoding="utf-8")
            return None
        if block.role == "server":
            return self.serve(text)
        if block.role == "prompt":
            for line in text.strip().splitlines():
                answer = self.send("POST", self.with_ports(PREDICT), {"Content-Type": "application/json"}, json.dumps({"data": ["clip.mp4", line]}))
                if not json.loads(answer)["data"][0].strip():
                    raise Failure(f"no answer to {line!r}")
            return None
        if block.language == "cmd":
            arguments = cmd_arguments(text)
            if arguments[0] != "curl":
                raise Failure("only curl is understood")
            return self.call(["curl", "-sS", "--fail-with-body", *arguments[1:]])
        if block.language == "powershell":
            requests = PowerShell(text).run()
            if not requests:
                raise Failure("nothing is sent")
            return "".join(self.send(*request) for request in requests)
        name, command = {
            "bash": ("snippet.sh", ["bash", "-e"]),
            "python": ("snippet.py", ["python"]),
            "js": ("snippet.mjs", ["node"]),
        }[block.language]
        (self.place / name).write_text(text, encoding="utf-8")
        try:
            return self.call([*command, name])
        finally:
            (self.place / name).unlink()

    def call(self, command):
        done = subprocess.run(command, cwd=self.place, env=self.environment, capture_output=True, text=True, timeout=LIMIT_S)
        if done.returncode:
            raise Failure(f"exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return self.without_ports(done.stdout)

    def send(self, method, address, headers, body):
        request = urllib.request.Request(address, method=method, headers=headers, data=None if body is None else body.encode())
        try:
            with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
                return self.without_ports(answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                raise Failure(f"{error.code} {error.read().decode()}") from None

    def serve(self, text):
        self.stop()
        port = re.search(r"--port[ =](\d+)", text)
        port = int(port[1]) if port else int(self.ports["7889"])
        with_port = text.strip()
        if not re.search(r"--port\b", text) and self.ports["7889"] != "7889":
            with_port = re.sub(r"emotion-llama serve", f"emotion-llama serve --port {port}", with_port, count=1)
        log = self.log.open("wb")
        self.server = subprocess.Popen(
            ["bash", "-c", f"exec {with_port}" if "\n" not in with_port.replace("\\\n", "") else with_port],
            cwd=self.place, env=self.environment, stdout=log, stderr=log, start_new_session=True,
        )
        log.close()
        scheme = "https" if "--tls-certificate" in text else "http"
        for _ in range(LIMIT_S * 10):
            if self.server.poll() is not None:
                raise Failure(f"the server ended: {self.log.read_text()}")
            try:
                with urllib.request.urlopen(f"{scheme}://localhost:{port}/readyz", timeout=10, context=UNVERIFIED):
                    return self.without_ports(self.log.read_text())
            except OSError:
                time.sleep(0.1)
        raise Failure("the server was not ready in time")

    def stop(self):
        if self.server and self.server.poll() is None:
            self.server.send_signal(signal.SIGTERM)
            try:
                self.server.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(self.server.pid, signal.SIGKILL)
                self.server.wait()


class Failure(Exception):
    """A snippet that does not do what the page says."""


def matches(expected, printed):
    """Whether `printed` is what the page says; `…` stands for anything."""
    pattern = ".*?".join(re.escape(piece) for piece in expected.strip().split("…"))
    lines = "\n".join(line.rstrip() for line in printed.strip().splitlines())
    return re.fullmatch(pattern, lines, re.S) is not None


def is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def check_windows():
    """What is read as Windows reads it."""
    wanted = ["curl", "-d", '{"a": ["x y", "it\'s \\"]}', "C:\\dir\\", ""]
    found = cmd_arguments(r'''curl -d "{\"a\": [\"x y\", \"it's \\\"]}" C:\dir\ ""''')
    assert found == wanted, found
    for wrong in ['curl "a\nb"', r'curl -d "{\"a\": \"x & y\"}"', 'curl %PATH%', 'curl "a']:
        try:
            cmd_arguments(wrong)
        except ValueError:
            continue
        raise AssertionError(wrong)
    requests = PowerShell("$b = @{ a = @('x', 'it''s'); n = 3 } | ConvertTo-Json\nInvoke-RestMethod -Method Post -Uri 'u' `\n  -Body $b").run()
    assert requests == [("POST", "u", {}, '{"a": ["x", "it\'s"], "n": 3}')], requests
    assert matches("a … c\n", "a b\nb c") and not matches("a … c", "a b d") and not matches("a", "a b")


def main():
    arguments = argparse.ArgumentParser(description="Runs the snippets of docs/api/en.md.")
    arguments.add_argument("--list", action="store_true", help="list them and stop")
    arguments.add_argument("--from", dest="first", type=int, default=1, metavar="N", help="leave out those before, but for servers and files")
    arguments.add_argument("--to", dest="last", type=int, default=10**6, metavar="N")
    given = arguments.parse_args()
    check_windows()
    problems = check_pages()
    found = blocks(PAGES[0])
    if given.list:
        print("\n".join(map(str, found)))
    if given.list:
        print(*problems, sep="\n")
        return 1 if problems else 0
    if not PROGRAM.exists():
        raise SystemExit(f"{PROGRAM} is not built; run: make build")
    problems += check_names()
    print(*problems, sep="\n", end="\n" if problems else "")
    run, printed = 0, None
    with tempfile.TemporaryDirectory() as scratch:
        reader = Reader(pathlib.Path(scratch))
        try:
            for block in found:
                asks = re.search(r"(localhost|127\.0\.0\.1):", block.text)
                sets_up = block.role == "server" or block.language == "toml" or block.language == "bash" and not asks
                if block.number > given.last or block.number < given.first and not sets_up:
                    printed = None
                    continue
                began = time.monotonic()
                try:
                    if block.role == "output":
                        if printed is not None and not matches(block.text, printed):
                            raise Failure(f"the page says:\n{block.text}and printed was:\n{printed}")
                        continue
                    printed = None
                    printed = reader.run(block)
                    run += 1
                    print(f"PASS {block}  {time.monotonic() - began:.1f} s", flush=True)
                except (Failure, ValueError, KeyError, subprocess.TimeoutExpired) as error:
                    problems.append(str(block))
                    print(f"FAIL {block}\n{error}", flush=True)
        finally:
            reader.stop()
    print(f"{run} snippets run, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
