#!/usr/bin/env python3
"""kill -9 in the middle of 50 uploads: the next start is clean, nothing is left of them, and it answers.

SPDX-License-Identifier: Apache-2.0
"""

import asyncio
import json
import os
import tempfile
from pathlib import Path

from running import CLIPS, Running, call, form

UPLOADS = 50


async def begin(server, body, kind):
    """An upload that stops half way, for as long as the connection is held."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    head = f"POST /v1/analyze HTTP/1.1\r\nHost: a\r\n{kind[0]}: {kind[1]}\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body[: len(body) // 2])
    await writer.drain()
    return writer


def held(directory):
    return sum(entry.stat().st_size for entry in Path(directory).rglob("*") if entry.is_file())


async def kill_during_uploads(directory, round):
    flags = ("--set", f'files.upload_dir="{directory}"', "--waiting", "4")
    body, kind = form(CLIPS[round % len(CLIPS)], {"task": "emotion", "transcript": "none", "greedy": True})
    with Running(*flags) as server:
        before = server.open_files()
        writers = await asyncio.gather(*(begin(server, body, kind) for _ in range(UPLOADS)))
        # One that is complete, and is being analysed.
        whole = asyncio.create_task(call(server, "POST", "/v1/analyze", body, [kind]))
        await asyncio.sleep(0.15 * (round + 1))
        assert server.open_files() > before, "nothing was being uploaded"
        server.kill()
        for writer in writers:
            writer.transport.abort()
        await asyncio.gather(whole, return_exceptions=True)
    left = held(directory)
    with Running(*flags) as server:
        status, _, answer = await call(server, "POST", "/v1/analyze", body, [kind])
        assert status == 200 and json.loads(answer)["emotion"], (status, answer)
    print(f"killed during {UPLOADS} uploads: {left} bytes left behind, {held(directory)} after the next start, which answers {json.loads(answer)['emotion']}")
    assert left == 0 and held(directory) == 0, sorted(os.listdir(directory))


def main():
    with tempfile.TemporaryDirectory() as directory:
        for round in range(3):
            asyncio.run(kill_during_uploads(directory, round))


if __name__ == "__main__":
    main()
