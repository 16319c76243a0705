"""What every report on an update says: numbers as titled tables of text, per cent rounded, and items in lines."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bcrlib.comparison.gate import Check
from bcrlib.comparison.update import JSON_LINES, SIDES, TextView, TreeView, Update, View
from bcrlib.comparison.verdict import CHANGE, LevelVerdict, Verdict, WorstItem
from bcrlib.data.files import CONLLU, TOP
from bcrlib.metrics.breakdowns import LEVEL_OF_Q
from bcrlib.metrics.uncertainty import Estimate
from bcrlib.report.draw_trees import NEGATIVE, POSITIVE, SAME, STILL_WRONG, changes, printable

ITEM = {CONLLU: "sentence", TOP: "utterance", JSON_LINES: "item"}
WHOLE = {CONLLU: "tree", TOP: "frame", JSON_LINES: "item"}
PART = {"LAS": "word", "spanEM": "span"}
MEANINGS = {
    "UAS": "UAS: words with the right head",
    "LAS": "LAS: words with the right head and relation",
    "UCM": "UCM: trees with all heads right",
    "LCM": "LCM: trees with all heads and relations right",
    "spanEM": "spanEM: gold's spans that are right",
    "EM": "EM: items right as a whole",
}
HARMED = "Harmed slices: more negative flips than elsewhere, beyond chance"
SLICE_NOTE = (
    "Sorted by flips beyond what a slice would have at the NFR of all other units (the rest). q: Benjamini and "
    f"Hochberg's share of false alarms over all slices of the level; called harmed at q <= {LEVEL_OF_Q:g}; '-': "
    "too small to test."
)
MARKS = {NEGATIVE.name: "-", POSITIVE.name: "+", STILL_WRONG.name: "~"}
MARKS_NOTE = "Marks: - broken, + repaired, ~ changed from wrong to wrong; words that do not count have them, too."
WIDTH, MOST_WORDS = 96, 12  # of an item: characters of a line, words of a tree
LONGEST_NAME, LONGEST_ID, LONGEST_TEXT, LONGEST_CELL = 40, 56, 400, 24  # characters


@dataclass(frozen=True)
class Table:
    """A titled table; a row is one of names first, numbers behind them."""

    title: str
    heads: tuple[str, ...]
    num_names: int
    """Columns of text, set to the left; the others are numbers."""
    rows: Sequence[tuple[str, ...]]
    note: str = ""
    quoted: tuple[int, ...] = ()
    """Columns that hold words of the files, which may be anything; all others hold our own."""


def headline(verdict: Verdict) -> str:
    """Whether it passes, in a word or two."""
    rules = _count(len(verdict.checks), "check")
    number = sum(check.outcome == verdict.outcome for check in verdict.checks)
    told = {
        "no gate": "No gate given",
        "passed": f"Gate passed: {rules}",
        "failed": f"Gate failed: {number:,} of {rules}",
    }
    return told.get(verdict.outcome, f"Gate cannot tell: {number:,} of {rules}")


def summary(verdict: Verdict) -> str:
    """The update in one sentence, by its strictest level of whole items."""
    name = verdict.update.wholes[-1]
    level, noun, (num_old, num_new) = verdict.levels[name], ITEM[verdict.update.format], verdict.num_models
    flips, units = level.flips, mean_count(level.flips.num_units, level)
    nouns = noun if units == "1" else f"{noun}s"
    told = (
        f"The update breaks {mean_count(flips.yn, level)} of {units} {nouns} as a whole ({name}: NFR "
        f"{per_cent(flips.nfr)} %, NFI {per_cent(flips.nfi)} %) and repairs {mean_count(flips.ny, level)}; accuracy "
        f"{per_cent(flips.acc_old)} → {per_cent(flips.acc_new)} %."
    )
    if num_new > 1:
        told += f" Means over all pairs of {num_old} old and {num_new} new runs."
    if not flips.yn:
        told += (
            f" No flip among {units} {nouns} shows an NFR of at most {per_cent(level.rates['nfr'].high)} %, not of 0."
        )
    return told


def caveat(verdict: Verdict) -> str:
    """Whether the luck of seeds is in the intervals, in a sentence."""
    num_old, num_new = verdict.num_models
    if num_new == 1:
        return "What other seeds of the models would give is not in the intervals."
    if num_old == 1:
        return (
            f"{num_new} runs of the new model are in the intervals; what other seeds of the old one would give is not."
        )
    return f"The intervals are over items and over seeds, {num_old} old and {num_new} new ones."


def notes(verdict: Verdict) -> list[str]:
    """What was met in the files, a line each."""
    return [f"Note: {text}." for text in verdict.update.notes]


def setting(verdict: Verdict) -> list[str]:
    """How items were brought together, what is missing, what counts: a line each."""
    update, noun = verdict.update, ITEM[verdict.update.format]
    lines = [f"{_count(len(update.ids), noun)}, brought together by {update.aligned_by}."]
    if update.clusters is not None:
        number = len(set(update.clusters.tolist()))
        lines.append(
            f"They come from {_count(number, 'document')}; what shares a document counts together in intervals."
        )
    if verdict.num_missing:
        lines.append(f"Missing from the new predictions, and so wrong: {_count(verdict.num_missing, noun)}.")
    if update.num_invalid:
        lines.append(f"{update.invalid_outputs}.")
    lines += notes(verdict)
    return [*lines, update.definitions, *(f"Warning: {text}." for text in update.warnings)]


def level_tables(verdict: Verdict) -> list[Table]:
    """The tables of all levels, regressions first: what broke, what was gained, what retraining alone flips."""
    return [flip_table(verdict), accuracy_table(verdict), *noise_tables(verdict), *run_tables(verdict)]


def flip_table(verdict: Verdict) -> Table:
    """What broke, level by level."""
    heads = ("level", "units", "broken", "repaired", "p", "NFR [95 %]", "NFI [95 %]", "told from 0")
    rows = []
    for name, level in verdict.levels.items():
        counts = (mean_count(count, level) for count in (level.flips.num_units, level.flips.yn, level.flips.ny))
        rates = (interval(level.rates[rate]) for rate in ("nfr", "nfi"))
        rows.append((name, *counts, p_text(level.p_value), *rates, per_cent(level.least_told)))
    levels = "; ".join(MEANINGS[level] for level in verdict.levels)
    groups = f"{ITEM[verdict.update.format]}s" if verdict.update.clusters is None else "documents"
    note = (
        f"{levels}. NFR: broken units in per cent of all; NFI: in per cent of the new model's errors. p: "
        f"{_test(verdict)} Intervals: exact (Clopper and Pearson), for as many independent units as the flips of whole "
        f"{groups} are worth; where none breaks, for as many as there are {groups}. Told from 0: the smallest NFR of "
        f"which so many {groups} nearly always show a flip."
    )
    return Table("Broken: right under the old model, wrong under the new", heads, 1, rows, note)


def _test(verdict: Verdict) -> str:
    if verdict.update.clusters is None and verdict.num_models == (1, 1):
        return (
            "McNemar's exact test that as many break as are repaired; parts of one item depend on each other, so trust "
            "it for wholes more than for parts."
        )
    return "Student's t test that as many break as are repaired."


def accuracy_table(verdict: Verdict) -> Table:
    """What was gained, level by level."""
    heads = ("level", "ACC old [95 %]", "ACC new [95 %]", "change [95 %]", "PFR [95 %]")
    rows = []
    for name, level in verdict.levels.items():
        old, new, change, pfr = (level.rates[rate] for rate in ("acc_old", "acc_new", CHANGE, "pfr"))
        rows.append((name, interval(old), interval(new), interval(change, "+"), interval(pfr)))
    drops = ", ".join(f"{name} {per_cent(level.least_drop)}" for name, level in verdict.levels.items())
    note = (
        "Per cent. PFR: repaired units in per cent of all; change = PFR - NFR. The smallest loss of accuracy that a "
        f"test at 5 % finds among so many items in four of five cases: {drops} points."
    )
    return Table("Accuracy", heads, 1, rows, note)


def noise_tables(verdict: Verdict) -> list[Table]:
    """The update beside what retraining alone flips, of each side that has further seeds."""
    heads = ("level", "above the floor?", "update NFR", "retraining NFR (least-most)", "difference [95 %]")
    found = []
    for side in next(iter(verdict.levels.values())).floors:
        rows = []
        for name, level in verdict.levels.items():
            floor = level.floors[side]
            retraining = f"{per_cent(floor.mean_nfr)} ({per_cent(floor.least_nfr)}-{per_cent(floor.most_nfr)})"
            exceeded = "yes" if floor.is_exceeded else "no"
            rows.append((name, exceeded, per_cent(level.flips.nfr), retraining, interval(floor.excess, "+")))
        note = (
            f"Retraining: {floor.num_models} seeds of the {side} model, mean NFR of the {floor.num_pairs} ordered "
            "pairs of two. Above: the interval of the difference is above 0."
        )
        title = "Noise floor: how much retraining alone flips" + (", new model" if side == "new" else "")
        found.append(Table(title, heads, 2, rows, note))
    return found


def run_tables(verdict: Verdict) -> list[Table]:
    """How many items break in how many of the pairs of runs; none where the new model has one run."""
    name = verdict.update.wholes[-1]
    num_pairs = verdict.levels[name].num_pairs
    if num_pairs == 1:
        return []
    counts = verdict.update.levels[name].counts
    in_pairs = np.bincount(counts[counts.any(axis=1), 1], minlength=num_pairs + 1).tolist()
    rows = [("none", "0.00", f"{in_pairs[0]:,}")]
    for number in range(1, num_pairs + 1):
        if in_pairs[number]:
            called = "all" if number == num_pairs else f"{number} of {num_pairs}"
            rows.append((called, per_cent(number / num_pairs), f"{in_pairs[number]:,}"))
    heads = ("breaks in", "flip rate", f"{ITEM[verdict.update.format]}s")
    note = f"Pairs of an old and a new run in which an item breaks as a whole ({name}); --json has the rate of each."
    return [Table("Flip rate of the items", heads, 1, rows, note)]


def gate_table(checks: Sequence[Check], most: int) -> tuple[Table, str]:
    """The first checks, those that failed in front; and how many more there are, in words."""
    marks = {"failed": "FAIL", "cannot tell": "OPEN", "passed": "pass"}
    shown = sorted(checks, key=lambda check: [*marks].index(check.outcome))[:most]
    rows = []
    for check in shown:
        sees = "" if check.fails_from is None else f"; sees {per_cent(check.fails_from)} %"
        named = marks[check.outcome], check.rule, check.level, clip_id(check.item or "")
        rows.append((*named, f"{check.finding}{sees}"))
    more = f"and {len(checks) - most:,} more checks" if len(checks) > most else ""
    note = "Sees: the true rate from which on a check fails in four of five cases, with so many items."
    if all(check.fails_from is None for check in checks):
        note = ""
    return Table("Gate", ("", "rule", "level", "item", "finding"), 5, rows, note, quoted=(3,)), more


def slice_table(name: str, level: LevelVerdict, most: int, only_harmed: bool = True) -> Table:
    """The slices of a level, the most harmed first; of those called harmed, or of all with more flips than the rest."""
    table = level.slices
    shown = table[table["is_harmed"] if only_harmed else table["extra"] > 0].head(most)
    heads = ("slice", "", "units", "broken", "NFR [95 %]", "the rest", "q")
    rows = [
        (
            clip(row.breakdown),
            clip(row.key),
            f"{row.num_units:,}",
            mean_count(row.broken, level),
            interval(Estimate(row.nfr, row.low, row.high)),
            per_cent(row.nfr - row.excess),
            p_text(row.q_value),
        )
        for row in shown.itertuples()
    ]
    return Table(f"{name}: {len(rows)} of {len(table)} slices", heads, 2, rows, quoted=(0, 1))


def harmed_slices(verdict: Verdict, most: int) -> Iterator[tuple[str, str, Table]]:
    """Of every level: its name, how many of its slices are harmed, in words, and the worst of these."""
    for name, level in verdict.levels.items():
        number, end = (level.slices["is_harmed"].sum(), ":") if level.slices["is_harmed"].any() else ("none", ".")
        yield name, f"{number} of {len(level.slices)} slices{end}", slice_table(name, level, most)


def what_broke(worst: WorstItem, update: Update) -> str:
    """ "4 words broken, 1 repaired; tree broken (UCM, LCM)": of the parts, then of the wholes."""
    told, part = ["missing from the new predictions"] if worst.is_missing else [], update.parts
    num_pairs = update.levels[part].num_pairs
    if part not in update.wholes:
        repaired = f", {worst.repaired[part]:,} repaired" if worst.repaired[part] else ""
        over = f" over {num_pairs} pairs of runs" if num_pairs > 1 else ""
        told.append(f"{_count(worst.broken[part], PART[part])} broken{repaired}{over}")
    if wholes := [level for level in update.wholes if worst.broken[level]]:
        of = f" of {num_pairs} pairs of runs"
        counts = (f"{level} in {worst.broken[level]}{of}" if num_pairs > 1 else level for level in wholes)
        told.append(f"{WHOLE[update.format]} broken ({', '.join(counts)})")
    return "; ".join(told)


def item_lines(view: View) -> list[str]:
    """What is shown of an item, in lines of at most `WIDTH` characters; control characters are replaced.

    Of trees the words whose head or relation changed, of frames and values all three sides.  O(characters).
    """
    if isinstance(view, TreeView):
        return _tree_lines(view)
    return [line for name, text in zip(SIDES, item_values(view)) for line in _wrapped(text, f"{name:<5}", " " * 5)]


def item_values(view: TextView) -> list[str]:
    """Gold, old and new as text.  O(1)."""
    shown = ["(missing)" if text is None else text for text in view.texts]
    return [f"(no tree) {t}" if f is None else t for t, f in zip(shown, view.frames)] if view.frames else shown


def tree_changes(view: TreeView) -> list[str]:
    """The kind of change of every word, by name; of heads and relations together.  O(words)."""
    kinds, _, _ = changes(view.old, view.new or [(-1, "")] * len(view.forms), view.gold)
    return [kind.name for kind in kinds]


def _tree_lines(view: TreeView) -> list[str]:
    lines = _wrapped(" ".join(view.forms), "", "")
    if view.new is None:
        return lines
    kinds = tree_changes(view)
    changed = [word for word, kind in enumerate(kinds) if kind != SAME.name]
    chosen = sorted(changed, key=lambda word: kinds[word] != NEGATIVE.name)[:MOST_WORDS]
    rows = [("", "word", "gold", "old", "new")]
    for word in sorted(chosen):
        sides = (_arc(view.forms, *tree[word]) for tree in (view.gold, view.old, view.new))
        rows.append((MARKS[kinds[word]], _cell(f"{word + 1} {view.forms[word]}"), *sides))
    lines += grid(rows, len(rows[0]))
    return lines + ([f"   and {len(changed) - MOST_WORDS} more words"] if len(changed) > MOST_WORDS else [])


def _arc(forms: Sequence[str], head: int, relation: str) -> str:
    return _cell(f"{clip(relation, 12)} ({f'{head} {forms[head - 1]}' if head else 'root'})")


def _cell(text: str) -> str:
    return printable(clip(text, LONGEST_CELL))


def _wrapped(text: str, first: str, following: str) -> list[str]:
    shown = printable(clip(text, LONGEST_TEXT))
    return textwrap.wrap(shown, WIDTH, initial_indent=first, subsequent_indent=following) or [first.rstrip()]


def grid(rows: Sequence[Sequence[str]], num_names: int) -> list[str]:
    """Rows as lines with columns below each other: names set to the left, numbers behind them to the right."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row[:num_names], widths)]
        cells += [cell.rjust(width) for cell, width in zip(row[num_names:], widths[num_names:])]
        lines.append("  ".join(cells).rstrip())
    return lines


def mean_count(count: int, level: LevelVerdict) -> str:
    """A sum over the pairs of models as the mean of one: "12", or "12.3" where there are several."""
    mean = count / level.num_pairs
    return f"{mean:,.0f}" if mean == count // level.num_pairs else f"{mean:,.1f}"


def p_text(p_value: float) -> str:
    """Two digits, "<0.001" for less than that, "-" for what was not tested."""
    if p_value != p_value:
        return "-"
    return "<0.001" if p_value < 0.001 else f"{p_value:.2g}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def per_cent(rate: float) -> str:
    """A rate in [0, 1] in per cent, two decimals."""
    return f"{100 * rate:.2f}"


def interval(estimate: Estimate, sign: str = "") -> str:
    """ "1.20 [0.90, 1.50]" in per cent."""
    value, low, high = (f"{100 * rate:{sign}.2f}" for rate in (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low}, {high}]"


def clip(text: str, longest: int = LONGEST_NAME) -> str:
    """The text, without its end if it is long."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def clip_id(text: str, longest: int = LONGEST_ID) -> str:
    """The text, without its middle if it is long: ids often differ at their ends."""
    half = (longest - 1) // 2
    return text if len(text) <= longest else f"{text[:half]}…{text[-half:]}"
