"""The report on an update as text for a terminal, Markdown for a pull request, JSON and JUnit XML."""

import math
import re
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any
from xml.etree import ElementTree

from bcrlib.comparison import tables
from bcrlib.comparison.gate import EXIT_CODES, Check
from bcrlib.comparison.update import rates_of
from bcrlib.comparison.verdict import CHANGE, LevelVerdict, NoiseFloor, Verdict
from bcrlib.metrics.uncertainty import Estimate
from bcrlib.report.draw_trees import printable
from bcrlib.report.tables import markdown_table

WIDTH, TEXT_SLICES, TEXT_CHECKS = 98, 5, 20
MARKDOWN_SLICES, MARKDOWN_CHECKS = 10, 50
SUITE = "bcr compare"


def to_text(verdict: Verdict) -> str:
    """Lines of some 100 characters: regressions first, the gate's verdict last; control characters of the files are
    replaced.  O(report).
    """
    blocks = [_wrapped(f"{tables.summary(verdict)} {tables.caveat(verdict)}")]
    blocks.append([line for text in tables.setting(verdict) for line in _wrapped(text)])
    blocks += [[table.title, *_grid(table), *_wrapped(table.note)] for table in tables.level_tables(verdict)]
    if any(not level.slices.empty for level in verdict.levels.values()):
        slices = [tables.HARMED]
        for name, told, table in tables.harmed_slices(verdict, TEXT_SLICES):
            slices += [f"{name}, {told}", *_grid(table)] if table.rows else [f"{name}: {told}"]
        blocks.append(slices + _wrapped(tables.SLICE_NOTE))
    blocks.append(_worst(verdict))
    if verdict.checks:
        last = [*_wrapped(tables.caveat(verdict)), f"{tables.headline(verdict)}."]
        blocks.append(["Gate", *_checks(verdict.checks), *last])
    return _joined(blocks) + "\n"


def failure_text(verdict: Verdict) -> str:
    """Why the gate failed, for the message of a failed test: the verdict, the failed checks, the worst items."""
    first = [f"{tables.headline(verdict)}.", *_checks([check for check in verdict.checks if not check.passed])]
    return _joined([first, _wrapped(tables.summary(verdict)), _worst(verdict)])


def _joined(blocks: Sequence[Sequence[str]]) -> str:
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _checks(checks: Sequence[Check]) -> list[str]:
    """No more than a screen of them."""
    table, more = tables.gate_table(checks, TEXT_CHECKS)
    return [*tables.grid(table.rows, table.num_names), *([f"... {more}"] if more else []), *_wrapped(table.note)]


def _grid(table: tables.Table) -> list[str]:
    return tables.grid([table.heads, *table.rows], table.num_names)


def _worst(verdict: Verdict) -> list[str]:
    lines = [f"Worst items, by broken parts ({verdict.update.parts})"] if verdict.worst else []
    for number, worst in enumerate(verdict.worst, 1):
        lines.append(f"{number}. {printable(tables.clip_id(worst.id))}: {tables.what_broke(worst, verdict.update)}")
        lines += [f"   {line}" for line in tables.item_lines(worst.view)]
    return [*lines, tables.MARKS_NOTE] if lines and verdict.update.parts == "LAS" else lines


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(printable(text), WIDTH)


def to_markdown(verdict: Verdict) -> str:
    """The verdict first, words of the files as code: nothing in these can end a table cell or a code block, mention
    anybody, or become HTML.  O(report).
    """
    blocks = [f"## {tables.headline(verdict)}", f"{tables.summary(verdict)} {tables.caveat(verdict)}"]
    notes = tables.notes(verdict)  # which quote what stands in files
    blocks.append("  \n".join([code(line) if line in notes else line for line in tables.setting(verdict)]))
    if verdict.checks:
        table, more = tables.gate_table(verdict.checks, MARKDOWN_CHECKS)
        blocks += filter(None, ["### Gate", _pipes(table), more and f"... {more}.", table.note])
    for table in tables.level_tables(verdict):
        blocks += [f"### {table.title}", _pipes(table), table.note]
    slices = []
    for name, told, table in tables.harmed_slices(verdict, MARKDOWN_SLICES):
        if table.rows:
            slices += [f"**{name}**, {told}", _pipes(table)]
        elif not verdict.levels[name].slices.empty:
            slices.append(f"**{name}**: {told}")
    if slices:
        blocks += [f"### {tables.HARMED}", *slices, tables.SLICE_NOTE]
    for place, worst in enumerate(verdict.worst):
        told = f"{code(tables.clip_id(worst.id))}: {tables.what_broke(worst, verdict.update)}"
        blocks += [*(["### Worst items"] if place == 0 else []), told, code_block(tables.item_lines(worst.view))]
    if verdict.worst and verdict.update.parts == "LAS":
        blocks.append(tables.MARKS_NOTE)
    return "\n\n".join(blocks) + "\n"


def code(text: str) -> str:
    """Any text as inline code: what is no letter or digit is an entity, which is never read as Markdown or HTML."""
    shown = re.sub(r"[^\w :-]|_", lambda match: f"&#{ord(match[0])};", printable(text))
    return f"<code>{shown}</code>" if text else ""


def code_block(lines: Sequence[str]) -> str:
    """The lines as a block of code that none of them can end."""
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}text", *map(printable, lines), fence])


def _pipes(table: tables.Table) -> str:
    rows = [[code(cell) if place in table.quoted else cell for place, cell in enumerate(row)] for row in table.rows]
    alignment = "l" * table.num_names + "r" * (len(table.heads) - table.num_names)
    return markdown_table([table.heads, *rows], alignment)


def to_json(verdict: Verdict) -> dict[str, dict[str, Any]]:
    """Level -> what `bcr evaluate --json` has, and what is known beyond it; rates in [0, 1], null for what is not.

    acc_change; intervals: [low, high] at 95 % of every rate; num_broken, num_repaired (means over num_pairs pairs of
    models, as num_units); p_value; least_told, least_drop: the smallest NFR and loss of accuracy that so many items
    show; num_missing_new; noise_floor and noise_floor_new, or null; slices, the most harmed first; worst: items with
    the units that broke at this level, summed over pairs; flip_rates, where the new model has several runs: id -> share
    of its units and pairs that break; gate: whether it passed as a whole, and the checks of this level.

    Behind the levels stands "verdict": outcome (passed, failed, cannot tell, no gate), exit_code, summary, seeds
    (whether they are in the intervals, in words), warnings, notes, num_items, num_documents (or null), num_old_models,
    num_new_models.  O(report).
    """
    found = {name: _level(name, level, verdict) for name, level in verdict.levels.items()}
    clusters, (num_old, num_new) = verdict.update.clusters, verdict.num_models
    found["verdict"] = {
        "outcome": verdict.outcome,
        "exit_code": EXIT_CODES[verdict.outcome],
        "summary": tables.summary(verdict),
        "seeds": tables.caveat(verdict),
        "warnings": verdict.update.warnings,
        "notes": [*verdict.update.notes],
        "num_items": len(verdict.update.ids),
        "num_documents": None if clusters is None else len(set(clusters.tolist())),
        "num_old_models": num_old,
        "num_new_models": num_new,
    }
    return found


def _level(name: str, level: LevelVerdict, verdict: Verdict) -> dict[str, Any]:
    def number(value: Any) -> Any:  # what is not known, nan, as null
        return None if isinstance(value, float) and not math.isfinite(value) else value

    def interval(estimate: Estimate) -> list[float | None]:
        return [number(estimate.low), number(estimate.high)]

    def noise(floor: NoiseFloor | None) -> dict[str, Any] | None:
        if floor is None:
            return None
        found = asdict(floor) | {"excess": floor.excess.value, "excess_interval": interval(floor.excess)}
        return found | {"is_exceeded": floor.is_exceeded}

    def mean(count: int) -> float:
        return count // level.num_pairs if count % level.num_pairs == 0 else count / level.num_pairs

    renamed = level.slices.rename(columns={"key": "slice", "num_sentences": "num_items", "broken": "num_broken"})
    slices = renamed.drop(columns=["share"]).to_dict(orient="records")
    worst = [
        {"id": one.id, "num_broken": one.broken[name], "num_repaired": one.repaired[name], "missing": one.is_missing}
        for one in verdict.worst
    ]
    checks = [asdict(check) for check in verdict.checks if check.level == name]
    return {
        **rates_of(level.flips),
        "num_units": mean(level.flips.num_units),
        **verdict.update.num_invalid,
        CHANGE: level.rates[CHANGE].value,
        "intervals": {rate: interval(estimate) for rate, estimate in level.rates.items()},
        "num_pairs": level.num_pairs,
        "num_broken": mean(level.flips.yn),
        "num_repaired": mean(level.flips.ny),
        "p_value": level.p_value,
        "least_told": level.least_told,
        "least_drop": level.least_drop,
        "num_missing_new": verdict.num_missing,
        "noise_floor": noise(level.floors.get("old")),
        "noise_floor_new": noise(level.floors.get("new")),
        "slices": [{str(key): number(value) for key, value in row.items()} for row in slices],
        "worst": worst,
        **({"flip_rates": verdict.update.flip_rates(name)} if verdict.num_models[1] > 1 else {}),
        "gate": {"passed": verdict.passed, "checks": checks},
    }


def to_junit(verdict: Verdict) -> str:
    """One suite with a test case for every check of the gate, so that CI shows those that failed.

    Cases are named by rule, level and item, and so the same from one run to the next.  Without a gate there is one
    case, skipped.  What the items cannot tell is an error, not a failure.  The suite's output is the report as text.
    Control characters, which XML does not allow, are replaced.  O(report).
    """
    outcomes = [check.outcome for check in verdict.checks]
    totals = {"tests": len(outcomes) or 1, "failures": outcomes.count("failed")}
    totals |= {"errors": outcomes.count("cannot tell"), "skipped": int(not outcomes)}
    named = {"name": SUITE} | {name: str(number) for name, number in totals.items()}
    root = ElementTree.Element("testsuites", named)
    suite = ElementTree.SubElement(root, "testsuite", named)
    for check in verdict.checks:
        name = printable(" ".join(filter(None, [check.rule, check.level, check.item])))
        case = ElementTree.SubElement(suite, "testcase", {"classname": f"{SUITE}.{check.rule}", "name": name})
        if not check.passed:
            told = printable(f"{name}: {check.finding}")
            kind = "failure" if check.outcome == "failed" else "error"
            ElementTree.SubElement(case, kind, {"message": told, "type": check.rule}).text = told
    if not verdict.checks:
        case = ElementTree.SubElement(suite, "testcase", {"classname": f"{SUITE}.gate", "name": "gate"})
        ElementTree.SubElement(case, "skipped", {"message": "no gate given"})
    ElementTree.indent(root)
    ElementTree.SubElement(suite, "system-out").text = to_text(verdict)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"
