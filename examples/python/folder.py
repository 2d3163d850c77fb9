"""Analyses every file of a folder, four at a time, and prints a line for each as soon as it is done.

    python folder.py FOLDER [PACK or URL]
"""

import asyncio
import os
import sys
from pathlib import Path

from emotion_llama import AsyncEmotionLLaMA, EmotionLLaMAError

AT_ONCE = 4


async def main() -> int:
    if len(sys.argv) not in (2, 3):
        print(__doc__, file=sys.stderr)
        return 2
    files = sorted(path for path in Path(sys.argv[1]).iterdir() if path.is_file())
    source = sys.argv[2] if len(sys.argv) == 3 else None
    failed = 0
    free = asyncio.Semaphore(AT_ONCE)
    # Four calls share the processors, instead of each taking all of them.
    threads = max(1, (os.cpu_count() or 1) // AT_ONCE)
    if source and source.startswith("http"):
        client = AsyncEmotionLLaMA(api_url=source)
    else:
        client = AsyncEmotionLLaMA(pack=source, threads=threads)

    async def analyze(path: Path) -> None:
        nonlocal failed
        async with free:
            try:
                result = await client.analyze(video_path=path)
            except EmotionLLaMAError as error:
                failed += 1
                print(f"{path.name}\t{error.name}: {error}")
            else:
                print(f"{path.name}\t{result.emotion}\t{result.transcript or ''}")

    try:
        async with client:
            await asyncio.gather(*map(analyze, files))
    except EmotionLLaMAError as error:
        print(f"{error.name}: {error}", file=sys.stderr)
        return 1
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
