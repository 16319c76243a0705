"""The README's tables, written from the files of the runs: no number there is typed by hand.

python -m bcrlib.report.readme
"""

import json
import re
from collections.abc import Callable
from pathlib import Path

from bcrlib.report.records import read_record
from bcrlib.report.table_text import compact_grid

ROOT = Path(__file__).resolve().parents[2]


def filled(readme: str, root: Path = ROOT) -> str:
    """The README with the blocks between its markers made anew from the files that the markers name."""
    readme = _replace(readme, "results", lambda file: compact_grid(read_record(root / file)))
    return _replace(readme, "speed", lambda file: speed_table(json.loads((root / file).read_text("utf-8"))))


def speed_table(bench: dict) -> str:
    """The bars of `bcr bench --json` as a Markdown table."""
    lines = ["| measured in one run | ours | bar | |", "| :-- | --: | --: | :-- |"]
    for bar in bench["bars"]:
        limit = "–" if bar["bar"] is None else f"{'≤' if bar['at_most'] else '≥'} {bar['bar']:g}"
        ours = "–" if bar["value"] is None else f"{bar['value']:.2f}"
        verdict = {True: "met", False: "**missed**", None: "" if bar["bar"] is None else "not measured"}[bar["met"]]
        lines.append(f"| {bar['what']} | {ours} | {limit} | {verdict} |")
    return "\n".join(lines)


def _replace(readme: str, name: str, make: Callable[[str], str]) -> str:
    pattern = rf"(<!-- {name}: (\S+) -->\n).*?(<!-- end of {name} -->)"
    return re.sub(pattern, lambda m: f"{m[1]}{make(m[2])}\n{m[3]}", readme, flags=re.DOTALL)


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(filled(path.read_text("utf-8")), "utf-8")
