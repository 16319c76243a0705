"""The README's tables, written from the files of the runs: no number there is typed by hand.

python -m bcrlib.report.readme
"""

import json
import re
from pathlib import Path

from bcrlib.comparison.read import update_of
from bcrlib.comparison.reports import to_text
from bcrlib.comparison.verdict import Gate, judge
from bcrlib.data.files import InputFile, read_input
from bcrlib.data.presets import preset
from bcrlib.data.treebank import format_conllu
from bcrlib.report.publisher import ROOT
from bcrlib.report.tables import MISSING, Record, compact_grid, markdown_table, read_record
from bcrlib.report.updates import CHANGE, CUT
from bcrlib.tasks.dependency import load_treebank


def filled(readme: str, root: Path = ROOT) -> str:
    """The README with the blocks between its markers made anew from the files that the markers name."""
    blocks = {
        "headline": lambda file: headline_table(read_record(file)),
        "results": lambda file: compact_grid(read_record(file)),
        "compare": comparison_excerpt,
        "speed": lambda file: speed_table(json.loads(file.read_text("utf-8"))),
    }
    marked = rf"(<!-- ({'|'.join(blocks)}): (\S+) -->\n).*?(<!-- end of \2 -->)"
    return re.sub(marked, lambda m: f"{m[1]}{blocks[m[2]](root / m[3])}\n{m[4]}", readme, flags=re.DOTALL)


def headline_table(record: Record) -> str:
    """The cut of NFI of every method as a Markdown table, the paper's before ours with its interval; ΔACC behind it.

    `record`: of `bcrlib.report.updates.headline_rows`, of one task or both.
    """
    cells = {(cell["row"], cell["level"], cell["metric"]): cell for cell in record.rows}
    levels, methods = (list(dict.fromkeys(cell[key] for cell in record.rows)) for key in ("level", "row"))
    heads = [f"{level}: {column}" for level in levels for column in ("the paper", "ours [95 %]", "ΔACC")]
    rows = [["taken away from NFI, %", *heads]]
    for method in methods:
        rows.append([method])
        for level in levels:
            cut, change = (cells.get((method, level, metric)) for metric in (CUT, CHANGE))
            if cut is None or change is None:
                rows[-1] += [MISSING] * 3
                continue
            of_paper = MISSING if cut["paper"] is None else f"{100 * cut['paper']:.1f}"
            interval = f"[{100 * cut['low']:.1f}, {100 * cut['high']:.1f}]"
            rows[-1] += [of_paper, f"**{100 * cut['value']:.1f}** {interval}", f"{100 * change['value']:+.2f}"]
    return markdown_table(rows, "l" + "r" * len(heads))


def comparison_excerpt(folder: Path) -> str:
    """What `bcr compare` prints first, and of the noise floor, of a kept run's update on the embedded sentences.

    `folder`: the run's predictions.  A deepbiaf gives way to a stackptr; another deepbiaf is the further seed.
    """
    gold = InputFile("gold", format_conllu(load_treebank("demo", "test")).encode())
    places = ("deepbiaf-to-stackptr/old", "deepbiaf-to-stackptr/new", "deepbiaf-to-deepbiaf/new")
    old, new, seed = (read_input(folder / f"{place}.conllu") for place in places)
    verdict = judge(update_of([gold, old, new, seed], preset("clean")), Gate())
    blocks = to_text(verdict).split("\n\n")
    (noise,) = (block.splitlines() for block in blocks if block.startswith("Noise floor"))
    return "\n".join(["```text", blocks[0], *noise[1 : 2 + len(verdict.levels)], "```"])


def speed_table(bench: dict) -> str:
    """The bars of `bcr bench --json` as a Markdown table."""
    lines = ["| measured in one run | ours | bar | |", "| :-- | --: | --: | :-- |"]
    for bar in bench["bars"]:
        limit = MISSING if bar["bar"] is None else f"{'≤' if bar['at_most'] else '≥'} {bar['bar']:g}"
        ours = MISSING if bar["value"] is None else f"{bar['value']:.2f}"
        verdict = {True: "met", False: "**missed**", None: "" if bar["bar"] is None else "not measured"}[bar["met"]]
        lines.append(f"| {bar['what']} | {ours} | {limit} | {verdict} |")
    return "\n".join(lines)


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(filled(path.read_text("utf-8")), "utf-8")
