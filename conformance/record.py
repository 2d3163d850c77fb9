#!/usr/bin/env python3
"""Records what the stub server replays: runs the cases' requests with the embedded engine, by means of the Python client.

    PYTHONPATH=bindings/python/src EMOTION_LLAMA_LIBRARY=… python3 conformance/record.py [CASE …]

SPDX-License-Identifier: Apache-2.0
"""

import hashlib
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "bindings/python/tests"))

import conformance as runner  # noqa: E402
import emotion_llama as el  # noqa: E402


def event_json(event):
    if isinstance(event, el.StageEvent):
        return {"type": "stage", "stage": event.stage}
    if isinstance(event, el.LabelEvent):
        return {"type": "label", "emotion": event.emotion, "confidence": event.confidence, "probabilities": dict(event.probabilities)}
    if isinstance(event, el.TextEvent):
        return {"type": "text", "text": event.text}
    # Times are those of this machine, and differ in every run.
    analysis = {**event.analysis.raw, "timings_ms": dict.fromkeys(event.analysis.raw["timings_ms"], 1.0), "time_to_label_ms": 1.0}
    return {"type": "result", "analysis": analysis}


def error_json(error, places):
    sentence = str(error)
    for place in places.values():
        sentence = sentence.replace(place + "/", "")
    return {"error": sentence, "code": error.name, "details": None}


def media_of(case, given):
    """The key of the clip: its SHA-256, `any` for what is encoded before it is sent, None for a file of the server, whose name comes with it."""
    clip = case.get("clip", {})
    if case.get("open", {}).get("upload") == "never":
        return None, Path(clip["path"]).name
    if "live" in clip:
        return "any", None
    if "data" in given:
        return hashlib.sha256(given["data"]).hexdigest(), None
    path = given.get("video_path")
    if path is None:
        return None, None
    if Path(path).is_file():
        return hashlib.sha256(Path(path).read_bytes()).hexdigest(), None
    return None, path


def record(case, client, places):
    """The entries of one case."""
    call = "session" if case.get("call") == "session" else "analyze"
    with runner.clip_of(case) as given:
        media, path = media_of(case, given)
        entry = {"call": call, "media": media, "request": dict(case["request"], **({"path": path} if path else {}))}
        try:
            if call == "session":
                entry["turns"] = []
                asked = []
                with client.session(**given, **case["request"]) as session:
                    for question in case["questions"]:
                        if question.get("reset"):
                            session.reset()
                            asked = []
                        asked = [*asked, question["request"]]
                        turn = {"asked": asked, "events": list(map(event_json, session.stream(**question["request"])))}
                        # After a reset the same question has the same answer.
                        if turn not in entry["turns"]:
                            entry["turns"].append(turn)
            else:
                if case.get("cancel") not in (None, "before"):
                    entry["hold"] = case["cancel"]
                entry["events"] = list(map(event_json, client.stream(**given, **case["request"])))
        except el.EmotionLLaMAError as error:
            entry.pop("events", None)
            entry["error"] = error_json(error, places)
    return entry


def main():
    places = runner.places_of(runner.root())
    names = sys.argv[1:]
    directory = HERE / "recorded"
    directory.mkdir(exist_ok=True)
    with el.EmotionLLaMA(pack=places["pack"]) as client:
        raw = client.info.raw
        model = {"id": raw["pack"]["name"], "object": "model", "version": raw["pack"]["version"]}
        model.update(digest=raw["pack"]["digest"], architecture=raw["pack"]["architecture"])
        model.update({name: raw[name] for name in ("labels", "tasks", "devices")})
        write(directory / "models.json", {"object": "list", "data": [model]})
        seen = []
        for path in sorted((HERE / "cases").glob("*.json")):
            case = runner.filled(json.loads(path.read_text(encoding="utf-8")), places)
            here = "server" in case.get("modes", ["embedded", "server"])
            if not here or case.get("call") == "open" or case.get("cancel") == "before" or (names and case["name"] not in names):
                continue
            entry = record(case, client, places)
            key = (entry["call"], entry["media"], json.dumps(entry["request"], sort_keys=True))
            if key in seen:
                continue
            seen.append(key)
            write(directory / f"{case['name']}.json", [entry])
            print(case["name"], entry.get("error", {}).get("code", "ok"), flush=True)


def write(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
