"""Seconds that an analysis with its text takes through the Python SDK: sdk.py PACK CLIP THREADS, one for each line that comes in."""

import sys
import time

from emotion_llama import EmotionLLaMA

pack, clip, threads = sys.argv[1:]
with EmotionLLaMA(pack=pack, threads=int(threads), verify=False) as client:
    for _ in sys.stdin:
        began = time.perf_counter()
        with client.stream(video_path=clip, task="reason", greedy=True) as events:
            for _ in events:
                pass
        print(time.perf_counter() - began, flush=True)
