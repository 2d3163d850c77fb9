#!/usr/bin/env python3
"""The documented rate limit, 10/minute for each address: rate_limit.py FASTAPI VIDEO

Of twelve calls in a row ten are answered, two get 429 with slowapi's words and the seconds to wait. Standard library only. Exit code 1 when not.
"""

import json
import sys
import urllib.error
import urllib.request

url, video = sys.argv[1].rstrip("/") + "/process_video", sys.argv[2]
statuses = []
for _ in range(12):
    body = json.dumps({"video_path": video, "question": "[emotion]"}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=300) as response:
            statuses.append(response.status)
    except urllib.error.HTTPError as error:
        statuses.append(error.code)
        text = error.read().decode()
        ok = "10 per 1 minute" in text and 0 < int(error.headers["Retry-After"]) <= 60
        if not ok:
            print(f"FAIL what the refusal says: {text} {dict(error.headers)}")
            sys.exit(1)
if statuses != [200] * 10 + [429] * 2:
    print(f"FAIL ten calls a minute: {statuses}")
    sys.exit(1)
print("PASS ten calls a minute, then 429 with the documented words and Retry-After")
