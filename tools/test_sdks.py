"""Runs tools/test_sdk_<language>.sh for each language named, and prints a table of the conformance cases.

A script that prints SKIPPED has no toolchain here; its column says so. Exits with 1 if a script failed or a case did.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINE = re.compile(r"^(\w[\w#+]*) (embedded|server) (\w+) (ok|FAILED|n/a|-)(?:\s|$)")


def run(language: str) -> tuple[int, bool, dict[tuple[str, str], str]]:
    """The script's exit code, whether it was skipped, and what each (case, mode) came to."""
    script = ROOT / "tools" / f"test_sdk_{language}.sh"
    if not script.exists():
        print(f"SKIPPED {language}: there is no {script.name}", flush=True)
        return 0, True, {}
    process = subprocess.Popen(["bash", str(script)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    skipped, cases = False, {}
    for line in process.stdout:
        print(line, end="", flush=True)
        skipped = skipped or line.startswith("SKIPPED")
        if found := LINE.match(line):
            cases[found[3], found[2]] = found[4]
    return process.wait(), skipped and not cases, cases


def table(results: dict[str, dict[tuple[str, str], str]]) -> str:
    """One row for each case, one column for each language: embedded / server."""
    names = sorted(path.stem for path in (ROOT / "conformance" / "cases").glob("*.json"))
    width = max(map(len, names))
    rows = ["case".ljust(width) + "".join(f"  {language:>13}" for language in results)]
    for name in names:
        cells = (
            " / ".join(cases.get((name, mode), "?") for mode in ("embedded", "server")) if cases else "skipped"
            for cases in results.values()
        )
        rows.append(name.ljust(width) + "".join(f"  {cell:>13}" for cell in cells))
    return "\n".join(rows)


def main(languages: list[str]) -> int:
    failed, results = [], {}
    for language in languages:
        code, skipped, cases = run(language)
        results[language] = cases
        names = [path.stem for path in (ROOT / "conformance" / "cases").glob("*.json")]
        complete = all((name, mode) in cases for name in names for mode in ("embedded", "server"))
        if code != 0 or "FAILED" in cases.values() or not (complete or skipped):
            failed.append(language)
    print("\nConformance, embedded / server ('-': not for this mode, n/a: the language's types do not let it be written)\n")
    print(table(results))
    if failed:
        print(f"\nfailed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
