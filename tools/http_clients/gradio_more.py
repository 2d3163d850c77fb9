#!/usr/bin/env python3
"""What gradio_client does beyond plain calls, against a server of this project: gradio_more.py URL VIDEO

Streams that grow, cancellation, an upload, a full session of parallel jobs. Prints PASS and FAIL lines; exit code 1 when a check failed.
"""

import json
import os
import sys
import threading
import time
import urllib.request
import uuid

import gradio_client
from gradio_client import Client, handle_file

URL, VIDEO = sys.argv[1].rstrip("/"), sys.argv[2]
# The server keeps answers; a question that nobody asked before is computed.
REASON = f"[reason] {uuid.uuid4()} Please analyze all the clues in the video and reason out the emotional label of the person in the video."
TIMEOUT = 300
failed = 0


def check(name):
    """Runs the decorated function at once, in a thread that is given up after some time, and reports it."""

    def run(function):
        global failed
        outcome = []

        def work():
            try:
                function()
                outcome.append(None)
            except BaseException as error:  # a client may raise anything
                outcome.append(f"{type(error).__name__}: {error}"[:400])

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(TIMEOUT)
        error = outcome[0] if outcome else f"nothing after {TIMEOUT} s"
        failed += error is not None
        print(f"PASS {name}" if error is None else f"FAIL {name}: {error}", flush=True)
        return function

    return run


def need(condition, message):
    if not condition:
        raise AssertionError(str(message)[:300])


def queue_size():
    with urllib.request.urlopen(f"{URL}/queue/status", timeout=30) as response:
        return json.load(response)["queue_size"]


version = gradio_client.__version__
client = Client(URL, verbose=False)


@check(f"[{version}] an answer grows on the stream and ends as the result")
def _():
    job = client.submit(VIDEO, REASON, api_name="/predict")
    seen = list(job)
    result = job.result(timeout=TIMEOUT)
    need(len(seen) > 5, seen)
    need(all(isinstance(text, str) for text in seen), seen)
    # What is trimmed at the end apart, each is the beginning of the next.
    need(all(len(a) < len(b) and b.startswith(a) for a, b in zip(seen[:-1], seen[1:-1])), seen)
    need(seen[-1] == result, (seen[-1], result))


@check(f"[{version}] the same clip as an upload gives the same answer as its path")
def _():
    by_path = client.predict(VIDEO, "[emotion]", api_name="/predict")
    by_upload = client.predict(handle_file(VIDEO), "[emotion]", api_name="/predict")
    need(by_path == by_upload, (by_path, by_upload))


@check(f"[{version}] a cancelled job ends, and the next one is answered")
def _():
    job = client.submit(VIDEO, f"{REASON} {uuid.uuid4()}", api_name="/predict")
    while not job.outputs():
        time.sleep(0.02)
    need(job.cancel(), "cancel() is False")
    need(client.predict(VIDEO, "[emotion]", api_name="/predict"), "no answer")


@check(f"[{version}] jobs one after the other on streams that open and close")
def _():
    for _ in range(8):
        need(client.submit(VIDEO, "[emotion]", api_name="/predict").result(timeout=TIMEOUT), "no answer")


@check(f"[{version}] jobs that join while others of their session end")
def _():
    jobs = []
    for number in range(12):
        # Some are computed, and some are there at once.
        question = f"[emotion] {uuid.uuid4()}" if number % 3 == 0 else "[emotion]"
        jobs.append(client.submit(VIDEO, question, api_name="/predict"))
        time.sleep(0.03 * (number % 5))
    answers = [job.result(timeout=TIMEOUT) for job in jobs]
    need(all(answers) and len({answers[1], answers[2], answers[4]}) == 1, answers)


@check(f"[{version}] what is wrong is said")
def _():
    for video, question, expected in ((VIDEO + ".none", "[emotion]", "no such file"), (VIDEO, "x" * 5000, "5000 bytes")):
        try:
            answer = client.predict(video, question, api_name="/predict")
        except Exception as error:
            need(expected in str(error), error)
        else:
            raise AssertionError(answer)


@check(f"[{version}] nothing is left in the queue")
def _():
    need(queue_size() == 0, queue_size())


os._exit(1 if failed else 0)  # the client's heartbeat may still run
