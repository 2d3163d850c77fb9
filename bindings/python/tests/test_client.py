"""The client that waits: inputs, results, failures, handles, threads."""

from __future__ import annotations

import copy
import gc
import io
import mmap
import os
import pickle
import tempfile
import threading
import time
import unittest
from pathlib import Path
from typing import Any
from unittest import mock

import emotion_llama as el
from emotion_llama import _open
from emotion_llama.results import event_from_json
from support import CLIP, LONG, PACK, SMALL_PACK, mini, small, tone

QUICK: dict[str, Any] = {"transcript": "none", "greedy": True, "max_new_tokens": 2}


class Inputs(unittest.TestCase):
    def test_the_same_clip_in_every_form(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "ein Ton 🎵.wav"
            path.write_bytes(tone())
            with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                padded = memoryview(b"xx" + tone() + b"yy")[2:-2]
                scattered = memoryview(b"".join(bytes([byte, 0]) for byte in tone()))[::2]
                answers = [small().analyze(given, **QUICK) for given in (path, str(path))]
                for data in (tone(), bytearray(tone()), padded, scattered, mapped, io.BytesIO(tone()), open(path, "rb")):
                    answers.append(small().analyze(data=data, **QUICK))
                    if isinstance(data, io.BufferedReader):
                        data.close()
        for answer in answers[1:]:
            self.assertEqual(answer.response, answers[0].response)
            self.assertEqual(answer.probabilities, answers[0].probabilities)

    def test_one_clip_at_a_time(self) -> None:
        with self.assertRaises(el.InvalidArgumentError):
            small().analyze("a.mp4", data=b"")
        with self.assertRaises(el.InvalidArgumentError):
            small().analyze(data=b"", seconds=1)
        with self.assertRaisesRegex(el.InvalidArgumentError, "type int"):
            small().analyze(data=7)  # type: ignore[arg-type]

    def test_what_json_cannot_hold_is_an_invalid_argument(self) -> None:
        for value in (float("nan"), float("inf"), object()):
            with self.assertRaises(el.InvalidArgumentError):
                small().analyze(data=tone(), temperature=value)  # type: ignore[arg-type]
        # No text, but half of a character: the library refuses it.
        with self.assertRaises(el.InvalidArgumentError):
            small().analyze(data=tone(), prompt="\ud83d")

    def test_text_with_nul_inside_goes_through(self) -> None:
        self.assertEqual(mini().analyze(data=tone(), transcript="a\0b").transcript, "a\0b")


class Results(unittest.TestCase):
    def test_pickles_and_copies_are_equal(self) -> None:
        answer = mini().analyze(CLIP, transcript="none")
        self.assertEqual(len(answer.faces), 1)
        for again in (pickle.loads(pickle.dumps(answer)), copy.deepcopy(answer)):
            self.assertEqual(again, answer)
            self.assertEqual(again.raw, answer.raw)
        self.assertEqual(pickle.loads(pickle.dumps(mini().info)), mini().info)

    def test_what_is_not_known_is_kept_and_what_is_missing_has_no_value(self) -> None:
        json = {"response": "a", "emotion": "b", "confidence": None, "novelty": 1, "notes": [{"name": "n", "x": 1}]}
        answer = el.Analysis.from_json(json)
        self.assertIsNone(answer.confidence)
        self.assertEqual((answer.probabilities, answer.faces, answer.frame, answer.model.name), ({}, (), None, ""))
        self.assertEqual(answer.notes, (el.Note("n", ""),))
        self.assertEqual(answer.raw["novelty"], 1)
        self.assertIsNone(event_from_json({"type": "weather"}))
        self.assertEqual(event_from_json({"type": "stage", "stage": "dream"}), el.StageEvent("dream"))

    def test_a_failure_has_its_class_code_and_name(self) -> None:
        with self.assertRaises(el.NotFoundError) as caught:
            small().analyze("/no/such/clip.mp4")
        error = caught.exception
        self.assertEqual((error.code, error.name, error.http_status), (4, "not_found", 404))
        again = pickle.loads(pickle.dumps(error))
        self.assertEqual((type(again), again.code, str(again)), (type(error), 4, str(error)))
        later = el.errors.error_of(99, "rate_limited", "later")
        self.assertEqual((type(later), later.code, later.name), (el.EmotionLLaMAError, 99, "rate_limited"))
        self.assertEqual(pickle.loads(pickle.dumps(later)).name, "rate_limited")


class Opening(unittest.TestCase):
    def test_progress_grows_to_the_end(self) -> None:
        seen: list[tuple[int, int]] = []
        el.EmotionLLaMA(SMALL_PACK, progress=lambda done, total: seen.append((done, total))).close()
        self.assertEqual(seen, sorted(seen))
        self.assertEqual(seen[-1][0], seen[-1][1])

    def test_progress_stops_a_load_and_its_exception_comes_out(self) -> None:
        with self.assertRaises(el.CancelledError):
            el.EmotionLLaMA(SMALL_PACK, progress=lambda done, total: False)

        def broken(done: int, total: int) -> bool:
            raise KeyError("progress")

        with self.assertRaises(KeyError):
            el.EmotionLLaMA(SMALL_PACK, progress=broken)

    def test_a_cancelled_token_stops_a_load(self) -> None:
        token = el.CancelToken()
        token.cancel()
        with self.assertRaises(el.CancelledError):
            el.EmotionLLaMA(SMALL_PACK, cancel=token)

    def test_the_built_in_model_is_looked_for(self) -> None:
        with mock.patch.object(_open, "_directories", lambda: []):
            with mock.patch.dict(os.environ, {"EMOTION_LLAMA_PACK": SMALL_PACK}):
                self.assertEqual(_open.built_in(), Path(SMALL_PACK))
            environment = {name: value for name, value in os.environ.items() if name != "EMOTION_LLAMA_PACK"}
            with mock.patch.dict(os.environ, environment, clear=True):
                with self.assertRaisesRegex(el.NotFoundError, "pip install"):
                    el.EmotionLLaMA()
        parent = Path(PACK).parent
        with mock.patch.object(_open, "_directories", lambda: [parent]):
            self.assertEqual(_open.built_in(), parent / "emotion-llama-mini")
            with el.EmotionLLaMA(pack="emotion-llama-mini") as by_name:
                assert by_name.info.pack
                self.assertEqual(by_name.info.pack.name, "emotion-llama-mini")

    def test_pack_and_url_exclude_each_other(self) -> None:
        with self.assertRaises(el.InvalidArgumentError):
            el.EmotionLLaMA("x", api_url="http://localhost")
        with self.assertRaises(el.InvalidArgumentError):
            el.EmotionLLaMA(api_url="localhost:7889")

    def test_threads(self) -> None:
        with el.EmotionLLaMA(SMALL_PACK, threads=1) as client:
            self.assertEqual(client.info.threads, 1)
        el.set_thread_count(1)
        try:
            with el.EmotionLLaMA(SMALL_PACK) as client:
                self.assertEqual(client.info.threads, 1)
        finally:
            el.set_thread_count(0)
        self.assertRegex(el.version(), r"^\d+\.\d+\.\d+")


class Handles(unittest.TestCase):
    def test_closing_twice_and_calling_after(self) -> None:
        client = el.EmotionLLaMA(SMALL_PACK)
        client.close()
        client.close()
        with self.assertRaisesRegex(el.InvalidArgumentError, "closed"):
            client.analyze(data=tone())

    def test_closing_while_calls_run(self) -> None:
        for _ in range(5):
            client = el.EmotionLLaMA(SMALL_PACK)
            outcomes: list[str] = []

            def work() -> None:
                try:
                    while True:
                        client.analyze(data=tone(), **QUICK)
                except el.InvalidArgumentError:
                    outcomes.append("closed")

            threads = [threading.Thread(target=work) for _ in range(3)]
            for thread in threads:
                thread.start()
            time.sleep(0.05)
            client.close()
            for thread in threads:
                thread.join()
            self.assertEqual(outcomes, ["closed"] * 3)

    def test_forgetting_while_a_stream_and_a_session_go_on(self) -> None:
        client = el.EmotionLLaMA(SMALL_PACK)
        stream = client.stream(data=tone(), **QUICK)
        session = client.session(data=tone(), transcript="none")
        del client
        gc.collect()
        self.assertEqual(stream.result().emotion, session.ask(task="emotion").emotion)
        session.close()
        session.close()

    def test_a_call_lets_other_threads_go_on(self) -> None:
        counted = 0
        stop = threading.Event()

        def count() -> None:
            nonlocal counted
            while not stop.wait(0.001):
                counted += 1

        thread = threading.Thread(target=count)
        thread.start()
        try:
            before = counted
            mini().analyze(CLIP, transcript="none")
            during = counted - before
        finally:
            stop.set()
            thread.join()
        print(f"a thread that waits 1 ms each time went round {during} times during an analysis")
        # It would be 0 or 1 if the call held the interpreter's lock.
        self.assertGreater(during, 20)


class Streams(unittest.TestCase):
    def test_closed_in_the_middle(self) -> None:
        with mini().stream(**LONG) as events:
            self.assertEqual(next(events), el.StageEvent("decode"))
        self.assertEqual(list(events), [])
        events.close()
        with self.assertRaises(el.InvalidArgumentError):
            events.result()

    def test_forgotten_in_the_middle(self) -> None:
        for event in mini().stream(**LONG):
            break
        del event
        gc.collect()
        self.assertTrue(small().analyze(data=tone(), **QUICK).emotion)

    def test_cancelled_from_another_thread(self) -> None:
        token = el.CancelToken()
        with self.assertRaises(el.CancelledError):
            for event in mini().stream(cancel=token, **LONG):
                if event == el.StageEvent("observe"):
                    threading.Thread(target=token.cancel).start()
        self.assertTrue(token.cancelled)
        with self.assertRaises(el.CancelledError):
            small().analyze(data=tone(), cancel=token)

    def test_one_token_for_many_calls(self) -> None:
        token = el.CancelToken()
        outcomes: list[str] = []

        def work() -> None:
            try:
                mini().analyze(cancel=token, **LONG)
            except el.CancelledError:
                outcomes.append("cancelled")

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(0.2)
        began = time.monotonic()
        token.cancel()
        for thread in threads:
            thread.join()
        print(f"three calls stopped {1e3 * (time.monotonic() - began):.0f} ms after their token was cancelled")
        self.assertEqual(outcomes, ["cancelled"] * 3)


class Sessions(unittest.TestCase):
    def test_questions_follow_each_other(self) -> None:
        with mini().session(data=tone(), transcript="none") as session:
            first = session.ask(task="emotion")
            again = session.ask(prompt="[reason] Why?", greedy=True, max_new_tokens=4)
            self.assertGreater(again.usage.cached_tokens, first.usage.cached_tokens)
            with self.assertRaisesRegex(el.InvalidArgumentError, "transcript"):
                session.ask(transcript="none")  # type: ignore[call-arg]
            session.reset()
            self.assertEqual(session.stream(task="emotion").result().probabilities, first.probabilities)

    def test_one_question_at_a_time(self) -> None:
        with mini().session(data=tone(), transcript="none") as session:
            running = session.stream(task="reason", max_new_tokens=500)
            self.assertEqual(next(running).type, "stage")
            with self.assertRaises(el.OverloadedError):
                session.ask(task="emotion")
            running.close()


class Log(unittest.TestCase):
    def test_messages_come_with_level_and_target(self) -> None:
        heard: list[tuple[str, str, str]] = []
        el.set_log(lambda *message: heard.append(message), "trace")
        try:
            el.EmotionLLaMA(SMALL_PACK).close()
            with self.assertLogs("emotion_llama_test", 1) as caught:
                import logging

                el.log_to(logging.getLogger("emotion_llama_test"), "trace")
                el.EmotionLLaMA(SMALL_PACK).analyze(data=tone(), **QUICK)
        finally:
            el.set_log(None)
        count = len(heard)
        small().analyze(data=tone(), **QUICK)
        self.assertEqual(len(heard), count)
        self.assertTrue(heard and caught.records)
        self.assertLessEqual({level for level, _, _ in heard}, {"error", "warn", "info", "debug", "trace"})
        with self.assertRaises(el.InvalidArgumentError):
            el.set_log(None, "loud")


if __name__ == "__main__":
    unittest.main()
