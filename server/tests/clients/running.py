"""A server of its own for a test, and what is measured of it. The standard library alone."""

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
CLI = ROOT / "target/release/emotion-llama"
PACK = os.environ.get("EMOTION_LLAMA_PACK", str(ROOT / "build/packs/emotion-llama-mini"))
CLIPS = sorted(Path(os.environ.get("EMOTION_LLAMA_CLIPS", ROOT / "build/clips")).glob("*.flv"))


class Running:
    """`emotion-llama serve` on a free port."""

    def __init__(self, *flags, pack=PACK):
        program = [CLI, "serve", "--port", "0", "--pack", pack, *flags]
        self.process = subprocess.Popen(program, stderr=subprocess.PIPE, text=True)
        self.said = []
        for line in self.process.stderr:
            self.said.append(line)
            if line.startswith("ready"):
                break
        else:
            raise RuntimeError(f"the server ended: {''.join(self.said)}")
        # What it says further is read, so that it never waits for a reader.
        self.drain = subprocess.Popen(["cat"], stdin=self.process.stderr, stdout=subprocess.DEVNULL)
        address = re.search(r"listens at http://(\S+):(\d+)", "".join(self.said))
        self.host, self.port = address[1], int(address[2])
        self.url = f"http://{self.host}:{self.port}"

    def resident_mib(self):
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    def open_files(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)
        self.drain.wait()


async def call(server, method, path, body=b"", headers=()):
    """One request on a connection of its own: status, headers, body."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        head = [f"{method} {path} HTTP/1.1", f"Host: {server.host}", f"Content-Length: {len(body)}", "Connection: close"]
        head += [f"{name}: {value}" for name, value in headers]
        writer.write("\r\n".join([*head, "", ""]).encode() + body)
        await writer.drain()
        answer = await reader.read()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    head, _, rest = answer.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    found = {name.strip().lower(): value.strip() for name, value in (line.split(":", 1) for line in lines[1:])}
    if found.get("transfer-encoding") == "chunked":
        rest = dechunk(rest)
    return int(lines[0].split()[1]), found, rest


def dechunk(data):
    whole = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        whole, data = whole + data[:length], data[length + 2 :]
        if length == 0:
            break
    return whole


def form(clip, request):
    """The body of an upload, and its content type."""
    mark = "----a-mark-that-no-clip-has"
    parts = [
        f'--{mark}\r\nContent-Disposition: form-data; name="request"\r\n\r\n{json.dumps(request)}\r\n'.encode(),
        f'--{mark}\r\nContent-Disposition: form-data; name="media"; filename="{clip.name}"\r\n'.encode(),
        b"Content-Type: application/octet-stream\r\n\r\n" + clip.read_bytes() + f"\r\n--{mark}--\r\n".encode(),
    ]
    return b"".join(parts), ("Content-Type", f"multipart/form-data; boundary={mark}")


def metric(text, name):
    """The sum of a metric's samples."""
    values = re.findall(rf"^{re.escape(name)}(?:\{{[^}}]*\}})? ([0-9.e+-]+)$", text, re.M)
    assert values, f"/metrics has no {name}:\n{text}"
    return sum(map(float, values))


async def until(what, condition, seconds=30):
    end = time.monotonic() + seconds
    while not await condition():
        if time.monotonic() > end:
            raise AssertionError(f"after {seconds} s still not: {what}")
        await asyncio.sleep(0.01)
