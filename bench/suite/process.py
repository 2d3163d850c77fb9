"""Runs a program and prints, as JSON, the seconds until its first line, the bytes that it had in memory at most, and that line.

A process of its own, because the system counts what the parent held when the child was made: the suite has whole models of peers in memory.
"""

import json
import os
import subprocess
import sys
import time

began = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, text=True)
answer = process.stdout.readline()
took = time.perf_counter() - began
process.stdout.read()
_, status, used = os.wait4(process.pid, 0)
if os.waitstatus_to_exitcode(status) != 0:
    sys.exit(f"{sys.argv[1]} says {answer!r}")
print(json.dumps([took, used.ru_maxrss * 1024, answer]))
