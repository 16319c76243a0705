"""The tables of the README and of the pages beside it, written from the files of the runs: none is typed by hand.

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
from bcrlib.report.updates import CHANGE, CUT, UNTREATED, short_name
from bcrlib.tasks.dependency import load_treebank

PAGES = ("README.md", "docs/results.md", "docs/speed.md")


def filled(page: str, root: Path = ROOT) -> str:
    """A page with the blocks between its markers made anew from the files that the markers name, from the root."""
    blocks = {
        "headline": lambda file: headline_table(read_record(file)),
        "intervals": lambda file: headline_table(read_record(file), intervals=True),
        "results": lambda file: compact_grid(read_record(file)),
        "changes": lambda file: changes_table(read_record(file)),
        "compare": comparison_excerpt,
        "speed": lambda file: speed_table(json.loads(file.read_text("utf-8"))),
    }
    marked = rf"(<!-- ({'|'.join(blocks)}): (\S+) -->\n).*?(<!-- end of \2 -->)"
    return re.sub(marked, lambda m: f"{m[1]}{blocks[m[2]](root / m[3])}\n{m[4]}", page, flags=re.DOTALL)


def headline_table(record: Record, intervals: bool = False) -> str:
    """The cut of NFI of every method as a Markdown table, the paper's in brackets or ours with its interval; ΔACC.

    `record`: of `bcrlib.report.updates.headline_rows`, of one task or both.
    """
    cells = {(cell["row"], cell["level"], cell["metric"]): cell for cell in record.rows}
    levels, methods = (list(dict.fromkeys(cell[key] for cell in record.rows)) for key in ("level", "row"))
    columns = ("ours [95 %]", "ΔACC [95 %]") if intervals else ("ours (the paper)", "ΔACC")
    heads = [f"{level}: {column}" for level in levels for column in columns]
    rows = [["NFI taken away, %", *heads]]
    for method in methods:
        rows.append([method])
        for level in levels:
            cut, change = (cells.get((method, level, metric)) for metric in (CUT, CHANGE))
            if cut is None or change is None:
                rows[-1] += [MISSING] * 2
                continue
            behind = "" if cut["paper"] is None else f" ({100 * cut['paper']:.1f})"
            numbers = [f"**{100 * cut['value']:.1f}**{behind}", f"{100 * change['value']:+.2f}"]
            if intervals:
                numbers[0] = f"{100 * cut['value']:.1f} [{100 * cut['low']:.1f}, {100 * cut['high']:.1f}]"
                numbers[1] += f" [{100 * change['low']:+.2f}, {100 * change['high']:+.2f}]"
            rows[-1] += numbers
    return markdown_table(rows, "l" + "r" * len(heads))


def changes_table(record: Record) -> str:
    """What every method changes against Untreated, over the updates and levels of Table 3 or 4: least and most."""
    cells = {(cell["row"], cell["metric"], cell["group"], cell["level"]): cell["value"] for cell in record.rows}
    places = list(dict.fromkeys((cell["group"], cell["level"]) for cell in record.rows))
    found: dict[str, list[tuple[float, float]]] = {}
    for row in dict.fromkeys(cell["row"] for cell in record.rows):
        for place in places if row != UNTREATED else []:
            pairs = [(cells.get((UNTREATED, of, *place)), cells.get((row, of, *place))) for of in ("NFR", "ACC")]
            if None not in (*pairs[0], *pairs[1]):
                (broken, left), (before, after) = pairs
                found.setdefault(short_name(row), []).append((left / broken, after - before))
    rows = [["method", "fewer items break in", "share of broken items left, %", "change of accuracy, points"]]
    for method, changes in found.items():
        left, gained = zip(*changes)
        fewer = f"{sum(share < 1 for share in left)} of {len(left)} cells"
        span = f"{100 * min(left):.0f} to {100 * max(left):.0f}"
        rows.append([method, fewer, span, f"{100 * min(gained):+.2f} to {100 * max(gained):+.2f}"])
    return markdown_table(rows, "lrrr")


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
    for path in [ROOT / page for page in PAGES]:
        path.write_text(filled(path.read_text("utf-8")), "utf-8")
