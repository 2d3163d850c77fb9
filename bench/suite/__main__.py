"""The benchmark suite: ours and the peer's alternately in one run, medians, as JSON and as a table.

    python bench/suite [llm|encoders|speech|media|pipeline|sdks|cuda|all] [--json FILE] [--markdown FILE] [--rounds 9]

The peers come from the registries: tools/bench.sh installs them. SPDX-License-Identifier: Apache-2.0
"""

import argparse
import importlib
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from measure import Machine, Ours, table  # noqa: E402

# A suite's modules with `rows(ours, machine, rounds)`; they are imported only when they are wanted, with their peers.
SUITES = {"llm": ["llm"], "encoders": ["encoders", "speech"], "speech": ["speech"], "media": ["media"], "pipeline": ["pipeline"], "sdks": ["sdks"], "cuda": ["cuda"]}
# What `all` leaves out: it needs a GPU.
ALONE = {"cuda"}


def main():
    parser = argparse.ArgumentParser(prog="bench", description=__doc__.splitlines()[0])
    parser.add_argument("suite", nargs="?", choices=[*SUITES, "all"], default="all")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    with Ours() as ours:
        machine = Machine(ours)
        print(machine)
        rows = []
        for name in dict.fromkeys(name for suite, names in SUITES.items() if options.suite == suite or options.suite == "all" and suite not in ALONE for name in names):
            for row in importlib.import_module(name).rows(ours, machine, options.rounds):
                print(row, flush=True)
                rows.append(row)
    if options.json:
        options.json.write_text(json.dumps({"machine": machine.json(), "rows": [row.json() for row in rows]}, indent=1) + "\n", encoding="utf-8")
    if options.markdown:
        options.markdown.write_text(table(machine, rows), encoding="utf-8")


if __name__ == "__main__":
    main()
