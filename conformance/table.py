#!/usr/bin/env python3
"""A table of case by language, in Markdown, from the lines of the SDKs' runners: table.py < LINES

Other lines are passed over. Exits with 1 when a case failed, or when a runner left out a case that another one has.
SPDX-License-Identifier: Apache-2.0
"""

import re
import sys
from pathlib import Path

LINE = re.compile(r"^([\w#+.-]+) (embedded|server) ([a-z][a-z0-9_]*) (ok|FAILED|n/a|-)( .*)?$")


def main():
    found = {}
    for line in sys.stdin:
        # A build tool may leave its colours on a runner's line.
        match = LINE.match(re.sub(r"\x1b\[[0-9;]*m", "", line).strip())
        if match:
            language, mode, case, outcome, _ = match.groups()
            found[(f"{language} {mode}", case)] = outcome
    cases = sorted({path.stem for path in (Path(__file__).resolve().parent / "cases").glob("*.json")})
    columns = sorted({column for column, _ in found})
    print("| case | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    wrong = not columns
    for case in cases:
        outcomes = [found.get((column, case), "missing") for column in columns]
        wrong = wrong or any(outcome in ("FAILED", "missing") for outcome in outcomes)
        print(f"| {case} | " + " | ".join(outcomes) + " |")
    totals = [[found.get((column, case)) for case in cases].count("ok") for column in columns]
    print("| **ok** | " + " | ".join(map(str, totals)) + " |")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
