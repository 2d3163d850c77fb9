"""The ends of processes and of calls that run then: no crash, no hang, and what a program sees."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
import unittest

from support import CLIP, PACK, SMALL_PACK

# A shell's background job leaves its children deaf to Ctrl-C; Python takes that over.
BEGIN = f"""
import asyncio, gc, os, signal, sys, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)
import emotion_llama as el
LONG = dict(video_path={str(CLIP)!r}, task="reason", max_new_tokens=500)
def say(*words): print(*words, flush=True)
client = el.EmotionLLaMA({PACK!r})
"""

IN_A_THREAD = """
begun = threading.Event()
def work():
    for event in client.stream(**LONG):
        begun.set()
threading.Thread(target=work, daemon=True).start()
begun.wait()
"""


class Ends(unittest.TestCase):
    def run_program(self, code: str, interrupt: bool = False) -> tuple[int, str, str]:
        """Exit code, output and errors. With `interrupt`, Ctrl-C is sent once the program has said `begun`."""
        program = [sys.executable, "-X", "faulthandler", "-c", BEGIN + textwrap.dedent(code)]
        process = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout
        output = ""
        if interrupt:
            while "begun" not in output and process.poll() is None:
                output += process.stdout.readline()
            time.sleep(0.3)
            process.send_signal(signal.SIGINT)
        try:
            rest, errors = process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            process.kill()
            rest, errors = process.communicate()
            self.fail(f"it hangs: {output + rest} {errors}")
        return process.returncode, output + rest, errors

    def ends(self, code: str, interrupt: bool = False, exit_code: int = 0) -> str:
        returned, output, errors = self.run_program(code, interrupt)
        self.assertEqual((returned, errors), (exit_code, ""), output)
        return output

    def test_ctrl_c_stops_a_call(self) -> None:
        code = """
        say("begun")
        began = time.monotonic()
        try:
            client.analyze(**LONG)
        except KeyboardInterrupt:
            say("interrupted")
        running = [thread for thread in threading.enumerate() if thread.name == "emotion-llama-call"]
        time.sleep(0.05)
        say("left", sum(thread.is_alive() for thread in running))
        client.analyze(**{**LONG, "max_new_tokens": 1, "transcript": "none"})
        say("goes on")
        """
        self.assertEqual(self.ends(code, interrupt=True).split("\n")[1:4], ["interrupted", "left 0", "goes on"])

    def test_ctrl_c_stops_a_stream_and_a_load(self) -> None:
        code = """
        try:
            for event in client.stream(**LONG):
                if event == el.StageEvent("decode"): say("begun")
        except KeyboardInterrupt:
            say("interrupted")
        """
        self.assertIn("interrupted", self.ends(code, interrupt=True))

    def test_ctrl_c_in_asyncio(self) -> None:
        code = """
        async def main():
            say("begun")
            await el.AsyncEmotionLLaMA(%r).analyze(**LONG)
        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            say("interrupted")
        """
        self.assertIn("interrupted", self.ends(code % PACK, interrupt=True))

    def test_the_interpreter_ends_during_a_call_of_a_daemon_thread(self) -> None:
        self.ends(IN_A_THREAD + "say('end')")

    def test_the_interpreter_ends_during_a_load_with_progress(self) -> None:
        code = """
        begun = threading.Event()
        def load():
            while True:
                el.EmotionLLaMA(%r, progress=lambda done, total: begun.set())
        for _ in range(3): threading.Thread(target=load, daemon=True).start()
        begun.wait()
        """
        for _ in range(3):
            self.ends(code % SMALL_PACK)

    def test_the_interpreter_ends_with_a_log_hook(self) -> None:
        code = "el.set_log(lambda level, target, message: None, 'trace')\n" + IN_A_THREAD
        self.ends(code)

    def test_exits_during_a_call(self) -> None:
        for way, exit_code in (("sys.exit(7)", 7), ("os._exit(7)", 7)):
            with self.subTest(way):
                self.ends(IN_A_THREAD + way, exit_code=exit_code)
        returned, _, errors = self.run_program(IN_A_THREAD + "raise RuntimeError('on purpose')")
        self.assertEqual(returned, 1)
        self.assertIn("on purpose", errors)
        returned, _, errors = self.run_program(IN_A_THREAD + "os.kill(os.getpid(), signal.SIGTERM); time.sleep(9)")
        self.assertEqual((returned, errors), (-signal.SIGTERM, ""))

    def test_everything_is_forgotten_during_a_call(self) -> None:
        code = IN_A_THREAD + "del client, work\nfor _ in range(20): gc.collect(); time.sleep(0.01)\nsay('end')"
        self.assertIn("end", self.ends(code))

    def test_what_is_left_open_at_the_end(self) -> None:
        code = """
        session = client.session(data=open(LONG["video_path"], "rb").read(20000), transcript="none")
        stream = session.stream(task="reason", max_new_tokens=500)
        next(stream)
        client.self = client
        stream.self = stream
        """
        self.ends(code)

    def test_asyncio_ends_during_a_call(self) -> None:
        code = """
        async def main():
            client = await el.AsyncEmotionLLaMA(%r)
            asyncio.create_task(client.analyze(**LONG))
            await asyncio.sleep(0.2)
        asyncio.run(main())
        say("end")
        """
        self.assertIn("end", self.ends(code % PACK))

    @unittest.skipUnless(hasattr(os, "fork"), "there is no fork here")
    def test_a_forked_child(self) -> None:
        code = """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        client.analyze(**{**LONG, "max_new_tokens": 1, "transcript": "none"})
        child = os.fork()
        if child == 0:
            try:
                client.analyze(**LONG)
            except el.InvalidArgumentError as error:
                say("fork" in str(error))
            own = el.EmotionLLaMA(%r)
            say(bool(own.analyze(**{**LONG, "max_new_tokens": 1, "transcript": "none"}).emotion))
            sys.exit(3)
        say("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        """
        self.assertEqual(self.ends(code % SMALL_PACK).split(), ["True", "True", "child", "3"])


if __name__ == "__main__":
    unittest.main()
