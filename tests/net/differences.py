"""How far two runs of a profile are from each other: the largest difference of a number, table by table.

    python tests/net/differences.py results/figures/demo figures/demo

For the question what another processor changes: its numbers differ by rounding alone, and by what training makes of it.
Rates are in per cent, so their differences are points. Speed is left out, for it is measured anew each time.
"""

import json
import sys
from pathlib import Path

from bcrlib.report.tables import markdown_table

KEYS = ("group", "row", "level", "metric", "num_candidates", "ensemble_size")
LEFT_OUT = ("speed", "cost_by", "time_by", "memory_by")


def differences(one: Path, other: Path) -> list[list[str]]:
    """Table, its numbers, the largest difference, and where it is; the largest first. Of tables that both runs have."""
    files = [{file.stem: json.loads(file.read_text("utf-8")) for file in path.glob("*.json")} for path in (one, other)]
    found = []
    for name in sorted(files[0].keys() & files[1].keys()):
        if name.startswith(LEFT_OUT):
            continue
        ours, theirs = (_numbers(of[name]["rows"]) for of in files)
        apart = {key: abs(ours[key] - theirs[key]) for key in ours.keys() & theirs.keys()}
        where = max(sorted(apart), key=apart.get, default="")
        largest, alone = apart.get(where, 0.0), len(ours.keys() ^ theirs.keys())
        if apart or alone:
            numbers = f"{len(apart)}, and {alone} in one run alone" if alone else str(len(apart))
            found.append((largest, [name, numbers, f"{largest:.2f}", where]))
    return [line for _, line in sorted(found, key=lambda entry: -entry[0])]


def _numbers(rows: list[dict]) -> dict[str, float]:
    """What a number is called -> the number, rates in per cent; not the ends of intervals, which chance moves more."""
    return {
        ", ".join(f"{row[key]}" for key in KEYS if row.get(key) is not None):
        row["value"] * (100 if row.get("unit") == "%" else 1)
        for row in rows if row.get("value") is not None
    }  # fmt: skip


if __name__ == "__main__":
    lines = differences(*map(Path, sys.argv[1:3]))
    print(markdown_table([["table or figure", "numbers", "largest difference", "where"], *lines], "lrrl"))
