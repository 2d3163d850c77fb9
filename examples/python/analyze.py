"""Analyses a file: shows how the model loads, what is being done, and the answer as it is written.

    python analyze.py clip.mp4 [PACK or URL]
"""

import sys

from emotion_llama import EmotionLLaMA, EmotionLLaMAError, StageEvent, TextEvent


def progress(done: int, total: int) -> None:
    print(f"\rloading {100 * done // total} %", end="\n" if done == total else "", file=sys.stderr, flush=True)


def main() -> int:
    if len(sys.argv) not in (2, 3):
        print(__doc__, file=sys.stderr)
        return 2
    clip, source = sys.argv[1], sys.argv[2] if len(sys.argv) == 3 else None
    try:
        if source and source.startswith("http"):
            client = EmotionLLaMA(api_url=source)
        else:
            client = EmotionLLaMA(pack=source, progress=progress)
        with client, client.stream(video_path=clip, task="reason") as events:
            for event in events:
                if isinstance(event, StageEvent):
                    print(f"[{event.stage}]", file=sys.stderr)
                elif isinstance(event, TextEvent):
                    print(event.text, end="", flush=True)
            result = events.result()
    except EmotionLLaMAError as error:
        print(f"{error.name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    confidence = "" if result.confidence is None else f" ({result.confidence:.0%})"
    print(f"\n{result.emotion}{confidence}")
    for note in result.notes:
        print(f"note: {note.message}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
