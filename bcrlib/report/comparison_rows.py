"""What every form of the report on an update says: a verdict's numbers as titled tables of text, per cent rounded."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bcrlib.comparison.gate import Check
from bcrlib.comparison.slices import LEVEL_OF_Q
from bcrlib.comparison.update import JSON_LINES, Update
from bcrlib.comparison.verdict import CHANGE, NUM_RESAMPLES, LevelVerdict, Verdict
from bcrlib.comparison.worst import WorstItem
from bcrlib.data.formats import CONLLU, TOP
from bcrlib.metrics.uncertainty import Estimate
from bcrlib.report.definitions import describe_spans, describe_words

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
LONGEST_NAME, LONGEST_ID = 40, 56  # characters of a slice and of an id


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
    lines = [f"{_count(update.num_items, noun)}, brought together by {update.aligned_by}."]
    if verdict.num_missing:
        lines.append(f"Missing from the new predictions, and so wrong: {_count(verdict.num_missing, noun)}.")
    if update.num_invalid:
        old, new = (f"{update.num_invalid[f'num_invalid_{name}']:,}" for name in ("old", "new"))
        lines.append(f"No trees: {old} predictions of the old model, {new} of the new.")
    return [*lines, definitions(update)]


def definitions(update: Update) -> str:
    """What is right, in a line."""
    if update.format == CONLLU:
        return describe_words(update.preset)
    return describe_spans(update.preset) if update.format == TOP else "An item is right where its value is gold's."


def flip_table(verdict: Verdict) -> Table:
    """What broke, level by level."""
    heads = ("level", "units", "broken", "repaired", "p", "NFR [95 %]", "NFI [95 %]")
    rows = [
        (
            name,
            *(f"{count:,}" for count in (level.flips.num_units, level.flips.yn, level.flips.ny)),
            f"{level.p_value:.2g}",
            *(interval(level.rates[rate]) for rate in ("nfr", "nfi")),
        )
        for name, level in verdict.levels.items()
    ]
    return Table("Broken: right under the old model, wrong under the new", heads, 1, rows, flip_note(verdict))


def flip_note(verdict: Verdict) -> str:
    """What the columns and levels are."""
    levels = "; ".join(MEANINGS[level] for level in verdict.levels)
    return (
        f"{levels}. NFR: broken units in per cent of all; NFI: in per cent of the new model's errors. p: McNemar's "
        "exact test that as many break as are repaired; parts of one item depend on each other, so trust it for wholes "
        f"more than for parts. Intervals: {NUM_RESAMPLES:,} bootstrap samples of items, old and new paired; what other "
        "seeds of the models would give is not in them."
    )


def accuracy_table(verdict: Verdict) -> Table:
    """What was gained, level by level."""
    heads = ("level", "ACC old [95 %]", "ACC new [95 %]", "change [95 %]", "PFR [95 %]")
    rows = [
        (
            name,
            *(interval(level.rates[rate]) for rate in ("acc_old", "acc_new")),
            interval(level.rates[CHANGE], "+"),
            interval(level.rates["pfr"]),
        )
        for name, level in verdict.levels.items()
    ]
    note = "Per cent. PFR: repaired units in per cent of all; change = PFR - NFR."
    return Table("Accuracy", heads, 1, rows, note)


def noise_table(verdict: Verdict) -> Table | None:
    """The update beside what retraining alone flips; None without further seeds."""
    floors = {name: level.noise for name, level in verdict.levels.items() if level.noise}
    if not floors:
        return None
    heads = ("level", "above the floor?", "update NFR", "retraining NFR (least-most)", "difference [95 %]")
    rows = [
        (
            name,
            "yes" if floor.is_exceeded else "no",
            per_cent(verdict.levels[name].flips.nfr),
            f"{per_cent(floor.mean)} ({per_cent(floor.low)}-{per_cent(floor.high)})",
            interval(floor.excess, "+"),
        )
        for name, floor in floors.items()
    ]
    floor = next(iter(floors.values()))
    note = (
        f"Retraining: {floor.num_models} seeds of the old model, mean NFR of the {floor.num_pairs} ordered pairs of "
        "two. Above: the interval of the difference, over items, is above 0."
    )
    return Table("Noise floor: how much retraining alone flips", heads, 2, rows, note)


def gate_table(checks: Sequence[Check]) -> Table:
    """Checks, as they are given."""
    rows = [
        ("pass" if check.passed else "FAIL", check.rule, check.level, clip_id(check.item or ""), check.finding)
        for check in checks
    ]
    return Table("Gate", ("", "rule", "level", "item", "finding"), 5, rows, quoted=(3,))


def slice_table(name: str, level: LevelVerdict, most: int | None = None, only_harmed: bool = True) -> Table:
    """The slices of a level, the most harmed first; of those called harmed, or of all with more flips than the rest."""
    table = level.slices
    shown = table[table["is_harmed"] if only_harmed else table["extra"] > 0]
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
        for row in shown.head(len(table) if most is None else most).itertuples()
    ]
    return Table(f"{name}: {len(rows)} of {len(table)} slices", heads, 2, rows, quoted=(0, 1))


def slice_note(verdict: Verdict) -> str:
    """How slices are sorted and called."""
    return (
        "Sorted by flips beyond what a slice would have at the NFR of all other units (the rest). q: Benjamini and "
        f"Hochberg's share of false alarms over all slices of the level; called harmed at q <= {LEVEL_OF_Q:g}; '-': "
        "too small to test."
    )


def failed_first(checks: Sequence[Check]) -> list[Check]:
    """The checks with those that failed in front.  O(checks)."""
    return sorted(checks, key=lambda check: check.passed)


def what_broke(worst: WorstItem, update: Update) -> str:
    """ "4 words broken, 1 repaired; tree broken (UCM, LCM)": of the parts, then of the wholes."""
    told = []
    if worst.is_missing:
        told.append("missing from the new predictions")
    if (part := update.parts) not in update.wholes:
        repaired = f", {worst.repaired[part]:,} repaired" if worst.repaired[part] else ""
        told.append(f"{_count(worst.broken[part], PART[part])} broken{repaired}")
    wholes = [level for level in update.wholes if worst.broken[level]]
    if wholes:
        told.append(f"{WHOLE[update.format]} broken ({', '.join(wholes)})")
    return "; ".join(told)


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


def tables(verdict: Verdict) -> Iterator[Table]:
    """The tables of all levels, regressions first."""
    yield flip_table(verdict)
    yield accuracy_table(verdict)
    if (noise := noise_table(verdict)) is not None:
        yield noise
