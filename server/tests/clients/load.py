#!/usr/bin/env python3
"""Many clients at once: every answer is an analysis or an honest refusal, and nobody's place is lost.

    load.py [--clients 32] [--requests 500]

Prints statuses, percentiles, throughput and memory; figures are printed, not judged.
SPDX-License-Identifier: Apache-2.0
"""

import argparse
import asyncio
import collections
import json
import time

from running import CLIPS, Running, call, form, metric, until

# Short answers, so that the server is busy with clips rather than with sentences.
REQUEST = {"task": "emotion", "transcript": "none", "max_new_tokens": 8, "greedy": True}


async def load(server, clients, requests):
    bodies = [form(clip, REQUEST) for clip in CLIPS]
    left = iter(range(requests))
    statuses, seconds, resident = collections.Counter(), [], []

    async def client():
        for number in left:
            body, kind = bodies[number % len(bodies)]
            began = time.monotonic()
            status, headers, answer = await call(server, "POST", "/v1/analyze", body, [kind])
            statuses[status] += 1
            if status == 200:
                seconds.append(time.monotonic() - began)
                assert json.loads(answer)["emotion"], answer
            else:
                # An honest refusal says when to come again.
                assert status in (429, 503), (status, answer)
                assert int(headers["retry-after"]) > 0 and json.loads(answer)["code"] == "overloaded", answer
                await asyncio.sleep(0.2)
            resident.append(server.resident_mib())

    began = time.monotonic()
    await asyncio.gather(*(client() for _ in range(clients)))
    took = time.monotonic() - began
    assert sum(statuses.values()) == requests and statuses[200] > 0, statuses
    seconds.sort()
    quantile = lambda q: seconds[min(len(seconds) - 1, int(q * len(seconds)))]
    print(f"{requests} requests of {clients} clients in {took:.1f} s: {dict(statuses)}, {statuses[200] / took:.2f} analyses/s")
    print("seconds to an answer: " + ", ".join(f"p{100 * q:.0f} {quantile(q):.2f}" for q in (0.5, 0.95, 0.99)))
    tenth = max(1, len(resident) // 10)
    print(f"resident MiB: {resident[tenth - 1]:.0f} after a tenth, {resident[-1]:.0f} at the end, {max(resident):.0f} at most")


async def leave(server, rounds=10):
    """Clients that go away while their clip is analysed: the place is free again."""
    body, kind = form(CLIPS[0], {"task": "reason", "transcript": "none"})
    waits = []
    for number in range(rounds):
        reader, writer = await asyncio.open_connection(server.host, server.port)
        head = f"POST /v1/analyze HTTP/1.1\r\nHost: a\r\n{kind[0]}: {kind[1]}\r\nAccept: text/event-stream\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        # It runs when its first stage is told; it goes on for a while then.
        while not (await reader.readline()).startswith(b"event: stage"):
            pass
        await asyncio.sleep(0.03 * number)
        began = time.monotonic()
        writer.transport.abort()

        async def free():
            return (await running(server)) == 0

        await until("the place is free", free)
        waits.append(time.monotonic() - began)
    waits.sort()
    print(f"a place is free after its client went away: median {1000 * waits[len(waits) // 2]:.0f} ms, at most {1000 * waits[-1]:.0f} ms, {rounds} times")


async def running(server):
    _, _, text = await call(server, "GET", "/metrics")
    return metric(text.decode(), "emotion_llama_queue_running")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--requests", type=int, default=500)
    options = parser.parse_args()
    assert CLIPS, "there are no clips; run make clips"
    # Without a cache every request is work; a queue that is shorter than the clients refuses some.
    with Running("--set", "cache.bytes=0", "--waiting", "24") as server:
        asyncio.run(load(server, options.clients, options.requests))
        asyncio.run(leave(server))


if __name__ == "__main__":
    main()
