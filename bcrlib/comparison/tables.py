"""What every report on an update says: numbers as titled tables of text, per cent rounded, and items in lines."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bcrlib.comparison.verdict import (
    CHANGE,
    JSON_LINES,
    LEVEL_OF_Q,
    NUM_RESAMPLES,
    SIDES,
    Check,
    LevelVerdict,
    TextView,
    TreeView,
    Update,
    Verdict,
    View,
    WorstItem,
)
from bcrlib.data.files import CONLLU, TOP
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
    if not verdict.checks:
        return "No gate given"
    num_failed = sum(not check.passed for check in verdict.checks)
    rules = _count(len(verdict.checks), "check")
    return f"Gate failed: {num_failed:,} of {rules}" if num_failed else f"Gate passed: {rules}"


def summary(verdict: Verdict) -> str:
    """The update in one sentence, by its strictest level of whole items."""
    level = verdict.update.wholes[-1]
    flips, noun = verdict.levels[level].flips, ITEM[verdict.update.format]
    return (
        f"The update breaks {flips.yn:,} of {flips.num_units:,} {noun}s as a whole ({level}: NFR "
        f"{per_cent(flips.nfr)} %, NFI {per_cent(flips.nfi)} %) and repairs {flips.ny:,}; accuracy "
        f"{per_cent(flips.acc_old)} → {per_cent(flips.acc_new)} %."
    )


def setting(verdict: Verdict) -> list[str]:
    """How items were brought together, what is missing, what counts: a line each."""
    update, noun = verdict.update, ITEM[verdict.update.format]
    lines = [f"{_count(len(update.ids), noun)}, brought together by {update.aligned_by}."]
    if verdict.num_missing:
        lines.append(f"Missing from the new predictions, and so wrong: {_count(verdict.num_missing, noun)}.")
    if update.num_invalid:
        lines.append(f"{update.invalid_outputs}.")
    return [*lines, update.definitions]


def level_tables(verdict: Verdict) -> list[Table]:
    """The tables of all levels, regressions first: what broke, what was gained, what retraining alone flips."""
    found = [flip_table(verdict), accuracy_table(verdict), noise_table(verdict)]
    return [table for table in found if table is not None]


def flip_table(verdict: Verdict) -> Table:
    """What broke, level by level."""
    heads = ("level", "units", "broken", "repaired", "p", "NFR [95 %]", "NFI [95 %]")
    rows = []
    for name, level in verdict.levels.items():
        counts = (f"{count:,}" for count in (level.flips.num_units, level.flips.yn, level.flips.ny))
        rates = (interval(level.rates[rate]) for rate in ("nfr", "nfi"))
        rows.append((name, *counts, f"{level.p_value:.2g}", *rates))
    levels = "; ".join(MEANINGS[level] for level in verdict.levels)
    note = (
        f"{levels}. NFR: broken units in per cent of all; NFI: in per cent of the new model's errors. p: McNemar's "
        "exact test that as many break as are repaired; parts of one item depend on each other, so trust it for wholes "
        f"more than for parts. Intervals: {NUM_RESAMPLES:,} bootstrap samples of items, old and new paired; what other "
        "seeds of the models would give is not in them."
    )
    return Table("Broken: right under the old model, wrong under the new", heads, 1, rows, note)


def accuracy_table(verdict: Verdict) -> Table:
    """What was gained, level by level."""
    heads = ("level", "ACC old [95 %]", "ACC new [95 %]", "change [95 %]", "PFR [95 %]")
    rows = []
    for name, level in verdict.levels.items():
        old, new, change, pfr = (level.rates[rate] for rate in ("acc_old", "acc_new", CHANGE, "pfr"))
        rows.append((name, interval(old), interval(new), interval(change, "+"), interval(pfr)))
    return Table("Accuracy", heads, 1, rows, "Per cent. PFR: repaired units in per cent of all; change = PFR - NFR.")


def noise_table(verdict: Verdict) -> Table | None:
    """The update beside what retraining alone flips; None without further seeds."""
    heads = ("level", "above the floor?", "update NFR", "retraining NFR (least-most)", "difference [95 %]")
    rows = []
    for name, level in verdict.levels.items():
        if (floor := level.noise) is None:
            return None
        retraining = f"{per_cent(floor.mean_nfr)} ({per_cent(floor.least_nfr)}-{per_cent(floor.most_nfr)})"
        exceeded = "yes" if floor.is_exceeded else "no"
        rows.append((name, exceeded, per_cent(level.flips.nfr), retraining, interval(floor.excess, "+")))
    note = (
        f"Retraining: {floor.num_models} seeds of the old model, mean NFR of the {floor.num_pairs} ordered pairs of "
        "two. Above: the interval of the difference, over items, is above 0."
    )
    return Table("Noise floor: how much retraining alone flips", heads, 2, rows, note)


def gate_table(checks: Sequence[Check], most: int) -> tuple[Table, str]:
    """The first checks, those that failed in front; and how many more there are, in words."""
    shown = sorted(checks, key=lambda check: check.passed)[:most]
    rows = [
        ("pass" if check.passed else "FAIL", check.rule, check.level, clip_id(check.item or ""), check.finding)
        for check in shown
    ]
    more = f"and {len(checks) - most:,} more checks" if len(checks) > most else ""
    return Table("Gate", ("", "rule", "level", "item", "finding"), 5, rows, quoted=(3,)), more


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
            f"{row.broken:,}",
            interval(Estimate(row.nfr, row.low, row.high)),
            per_cent(row.nfr - row.excess),
            "-" if row.q_value != row.q_value else f"{row.q_value:.2g}",
        )
        for row in shown.itertuples()
    ]
    return Table(f"{name}: {len(rows)} of {len(table)} slices", heads, 2, rows, quoted=(0, 1))


def harmed_slices(verdict: Verdict, most: int) -> Iterator[tuple[str, str, Table]]:
    """Of every level: its name, how many of its slices are harmed, in words, and the worst of these."""
    for name, level in verdict.levels.items():
        table = slice_table(name, level, most)
        if table.rows:
            yield name, f"{level.slices['is_harmed'].sum()} of {len(level.slices)} slices:", table
        else:
            yield name, f"none of {len(level.slices)} slices.", table


def what_broke(worst: WorstItem, update: Update) -> str:
    """ "4 words broken, 1 repaired; tree broken (UCM, LCM)": of the parts, then of the wholes."""
    told = ["missing from the new predictions"] if worst.is_missing else []
    if (part := update.parts) not in update.wholes:
        repaired = f", {worst.repaired[part]:,} repaired" if worst.repaired[part] else ""
        told.append(f"{_count(worst.broken[part], PART[part])} broken{repaired}")
    if wholes := [level for level in update.wholes if worst.broken[level]]:
        told.append(f"{WHOLE[update.format]} broken ({', '.join(wholes)})")
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
