#!/usr/bin/env python3
"""Our Python SDK at a server, as the published documentation announced it: sdk.py URL VIDEO"""

import sys

from emotion_llama import EmotionLLaMA

url, video = sys.argv[1:3]
client = EmotionLLaMA(api_url=url)
result = client.analyze(video_path=video, task="emotion")
assert result.emotion and 0 < result.confidence <= 1, result
reasons = client.analyze(video_path=video, task="reason")
assert reasons.explanation, reasons
print(f"PASS the Python SDK with api_url: {result.emotion} {result.confidence:.2f}")
