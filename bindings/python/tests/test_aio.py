"""The client for asyncio: the loop goes on, tasks can be cancelled, contexts are kept."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
import unittest

import emotion_llama as el
from support import CLIP, LONG, PACK, SMALL_PACK, tone


class Asyncio(unittest.IsolatedAsyncioTestCase):
    async def test_the_loop_goes_on_during_a_call(self) -> None:
        delays: list[float] = []

        async def tick() -> None:
            while True:
                began = time.monotonic()
                await asyncio.sleep(0.01)
                delays.append(time.monotonic() - began - 0.01)

        async with el.AsyncEmotionLLaMA(PACK) as client:
            ticking = asyncio.create_task(tick())
            await client.analyze(CLIP, transcript="none")
            ticking.cancel()
        print(f"{len(delays)} rounds of 10 ms during an analysis, the latest {1e3 * max(delays):.1f} ms late")
        self.assertGreater(len(delays), 5)

    async def test_a_cancelled_task_stops_its_call(self) -> None:
        async with el.AsyncEmotionLLaMA(PACK) as client:
            task = asyncio.create_task(client.analyze(**LONG))
            await asyncio.sleep(0.3)
            began = time.monotonic()
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
            print(f"the task ended {1e3 * (time.monotonic() - began):.0f} ms after it was cancelled")
            running = [thread for thread in threading.enumerate() if thread.name == "emotion-llama-call"]
            self.assertLessEqual(len(running), 1)
            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(client.analyze(**LONG), 0.2)
            self.assertTrue((await client.analyze(data=tone(), transcript="none")).emotion)

    async def test_a_token_stops_a_call(self) -> None:
        async with el.AsyncEmotionLLaMA(PACK) as client:
            token = el.CancelToken()
            asyncio.get_running_loop().call_later(0.2, token.cancel)
            with self.assertRaises(el.CancelledError):
                await client.analyze(cancel=token, **LONG)

    async def test_events_and_their_end(self) -> None:
        async with el.AsyncEmotionLLaMA(SMALL_PACK) as client:
            events = [event async for event in client.stream(data=tone(), transcript="none", max_new_tokens=3)]
            self.assertEqual([event.type for event in events[:3]], ["stage"] * 3)
            self.assertEqual(events[-1].type, "result")
            stream = client.stream(data=tone(), transcript="none", max_new_tokens=3)
            self.assertTrue((await stream.result()).emotion)
            self.assertEqual([event async for event in stream], [])
            async with client.stream(**LONG) as stopped:
                async for _ in stopped:
                    break
            with self.assertRaises(el.NotFoundError):
                async for _ in client.stream("/no/such/clip.mp4"):
                    pass

    async def test_a_session(self) -> None:
        async with el.AsyncEmotionLLaMA(PACK) as client:
            async with await client.session(data=tone(), transcript="none") as session:
                first = await session.ask(task="emotion")
                again = await session.stream(prompt="[reason] Why?", max_new_tokens=3).result()
                self.assertGreater(again.usage.cached_tokens, 0)
                # One that is cancelled is over when its task is, so the next one is not refused.
                asking = asyncio.create_task(session.ask(task="reason", max_new_tokens=500))
                await asyncio.sleep(0.05)
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
                await session.reset()
                self.assertEqual((await session.ask(task="emotion")).probabilities, first.probabilities)

    async def test_opened_once_by_many_calls(self) -> None:
        loads: list[int] = []
        name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="")
        seen: set[str] = set()

        def progress(done: int, total: int) -> None:
            seen.add(name.get())
            if done == total:
                loads.append(total)

        name.set("of the task")
        client = el.AsyncEmotionLLaMA(SMALL_PACK, progress=progress)
        answers = await asyncio.gather(*(client.analyze(data=tone(), transcript="none") for _ in range(8)))
        self.assertEqual(len(answers), 8)
        self.assertEqual(len(loads), 1)
        self.assertEqual(seen, {"of the task"})
        await client.close()
        await client.close()
        with self.assertRaisesRegex(el.InvalidArgumentError, "closed"):
            await client.analyze(data=tone())

    async def test_awaiting_a_client_loads_it_and_tells_what_fails(self) -> None:
        client = await el.AsyncEmotionLLaMA(SMALL_PACK)
        self.assertTrue((await client.info()).labels)
        await client.close()
        with self.assertRaises(el.NotFoundError):
            await el.AsyncEmotionLLaMA("/no/such/pack")


class OutsideOfALoop(unittest.TestCase):
    def test_a_client_made_before_the_loop_serves_one_loop_after_the_other(self) -> None:
        client = el.AsyncEmotionLLaMA(SMALL_PACK)

        async def ask() -> str:
            calls = (client.analyze(data=tone(), transcript="none") for _ in range(3))
            return {answer.emotion for answer in await asyncio.gather(*calls)}.pop()

        self.assertEqual(asyncio.run(ask()), asyncio.run(ask()))
        asyncio.run(client.close())


if __name__ == "__main__":
    unittest.main()
