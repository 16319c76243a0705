"""How far two runs of a profile are from each other: the largest of each table, by ACC, NFR and NFI.

    python tests/net/differences.py results/figures/demo figures/demo

For the question what another processor changes: its numbers differ by rounding alone, and by what training makes of it.
Differences are in points; in brackets how many numbers differ.
"""

import json
import sys
from pathlib import Path

from bcrlib.report.tables import markdown_table

TABLES = [f"table{number}" for number in range(1, 10)]
KEYS = ("group", "row", "level", "metric", "num_candidates")
METRICS = ("ACC", "NFR", "NFI")
SEEN = 0.005
"""Points: less is not seen in two decimals."""


def differences(one: Path, other: Path) -> list[list[str]]:
    """Of every table in both: its name, and of each metric the largest difference and how many numbers differ."""
    found = []
    for name in TABLES:
        files = [folder / f"{name}.json" for folder in (one, other)]
        if not all(file.exists() for file in files):
            continue
        ours, theirs = (_numbers(json.loads(file.read_text("utf-8"))["rows"]) for file in files)
        if alone := len(ours.keys() ^ theirs.keys()):
            raise SystemExit(f"{name}: {alone} numbers are in one run alone")
        found.append([name])
        for metric in METRICS:
            apart = [abs(ours[key] - theirs[key]) for key in ours if key[0] == metric]
            num_seen = sum(difference >= SEEN for difference in apart)
            found[-1].append(f"{max(apart):.2f} ({num_seen} of {len(apart)})" if apart else "–")
    return found


def _numbers(rows: list[dict]) -> dict[tuple, float]:
    """What a number is called, its metric first -> the number in per cent; not the ends of intervals."""
    return {
        (row["metric"].split()[0], *(row.get(key) for key in KEYS)): 100 * row["value"]
        for row in rows if row.get("unit") == "%" and row.get("value") is not None
    }  # fmt: skip


if __name__ == "__main__":
    lines = differences(*map(Path, sys.argv[1:3]))
    print(markdown_table([["table", *METRICS], *lines], "lrrr"))
