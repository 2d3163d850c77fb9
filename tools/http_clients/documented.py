#!/usr/bin/env python3
"""What the published documentation tells a Python programmer to write, against a running server: documented.py GRADIO FASTAPI VIDEO [KEY]

The calls are the documented ones in form; addresses and files are this server's. Needs requests and aiohttp. Prints PASS and FAIL lines; exit
code 1 when a check failed.
"""

import asyncio
import base64
import json
import subprocess
import sys

import aiohttp
import requests

GRADIO, FASTAPI, VIDEO = (text.rstrip("/") for text in sys.argv[1:4])
KEY = sys.argv[4] if len(sys.argv) > 4 else None
WORDS = "The person in video says: Won't you? Impossible! Fan Xiaomei is not such a person. "
EMOTION = "[emotion] What is the emotion expressed in this video?"
REASON = WORDS + "[reason] What are the facial expressions and vocal tone used in the video? Which emotion does this reflect?"
url = f"{GRADIO}/api/predict/"
headers = {"Content-Type": "application/json"}
if KEY:
    headers["X-API-Key"] = KEY
failed = 0


def check(name):
    def run(function):
        global failed
        try:
            function()
        except Exception as error:
            failed += 1
            print(f"FAIL {name}: {type(error).__name__}: {error}"[:400], flush=True)
        else:
            print(f"PASS {name}", flush=True)
        return function

    return run


def need(condition, message):
    if not condition:
        raise AssertionError(str(message)[:300])


@check("Gradio's call with json.dumps; the answer and its duration")
def _():
    response = requests.post(url, headers=headers, data=json.dumps({"data": [VIDEO, REASON]}))
    result = response.json()
    need(isinstance(result["data"][0], str) and result["data"][0], result)
    need(isinstance(result["duration"], float), result)


@check("the documented prompts")
def _():
    for prompt in (EMOTION, "[emotion] What emotion is expressed?", "Describe the person's emotional state in detail."):
        response = requests.post(url, headers=headers, data=json.dumps({"data": [VIDEO, prompt]}), timeout=300)
        response.raise_for_status()
        need(response.json()["data"][0], prompt)


@check("the documented loop over errors: raise_for_status, then error in the result")
def _():
    said = []
    for video in (VIDEO, VIDEO + ".none"):
        try:
            response = requests.post(url, headers=headers, data=json.dumps({"data": [video, EMOTION]}), timeout=300)
            response.raise_for_status()
            result = response.json()
            said.append(result["error"] if "error" in result else result["data"][0])
        except requests.exceptions.RequestException as error:
            said.append(f"failed: {error}")
    need(not said[0].startswith("failed") and said[1].startswith("failed: 404"), said)


@check("the documented table of errors: 404 and 400 with error, code and details")
def _():
    for body, status in (({"data": [VIDEO + ".none", EMOTION]}, 404), ({"data": ["", EMOTION]}, 400)):
        response = requests.post(url, headers=headers, json=body)
        need(response.status_code == status, response.text)
        need(set(response.json()) == {"error", "code", "details"}, response.text)


@check("several clips one after the other")
def _():
    results = []
    for video in [VIDEO] * 3:
        response = requests.post(url, headers=headers, data=json.dumps({"data": [video, EMOTION]}))
        results.append(response.json())
    need(len({result["data"][0] for result in results}) == 1, results)


@check("several clips at once with aiohttp")
def _():
    async def process_video_async(session, video):
        async with session.post(url, json={"data": [video, EMOTION]}) as response:
            return await response.json()

    async def process_all():
        async with aiohttp.ClientSession(headers=headers) as session:
            return await asyncio.gather(*[process_video_async(session, video) for video in [VIDEO] * 4])

    results = asyncio.run(process_all())
    need(len({result["data"][0] for result in results}) == 1, results)


@check("a key as Authorization: Bearer")
def _():
    bearer = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY or 'YOUR_API_KEY'}"}
    response = requests.post(url, headers=bearer, data=json.dumps({"data": [VIDEO, EMOTION]}))
    need(response.status_code == 200, response.text)


@check("the first frame as a PNG in base64, as infer_api.py sends it")
def _():
    command = ["ffmpeg", "-v", "error", "-i", VIDEO, "-frames:v", "1", "-f", "image2pipe", "-c:v", "png", "-"]
    image = base64.b64encode(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout).decode("utf-8")
    response = requests.post(url, headers=headers, data=json.dumps({"data": [image, "What emotions does the video convey?"]})).json()
    need(response["data"][0], response)


@check("FastAPI's call with json=")
def _():
    response = requests.post(f"{FASTAPI}/process_video", json={"video_path": VIDEO, "question": REASON}, headers=headers)
    need(list(response.json()) == ["response"] and response.json()["response"], response.text)


@check("FastAPI's error has the field error")
def _():
    response = requests.post(f"{FASTAPI}/process_video", json={"video_path": VIDEO + ".none", "question": EMOTION}, headers=headers)
    need("no such file" in response.json()["error"], response.text)


sys.exit(1 if failed else 0)
