"""`bcr compare`: may this update ship?  Two prediction files, what flips, and a gate.  `bcr evaluate`: what flips."""

import gc
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bcrlib.cli.options import Json, check_output_file, print_json

if TYPE_CHECKING:
    from bcrlib.comparison.update import Update

LARGE = 16_000_000  # bytes: a second or two

ITEMS = typer.Argument(metavar="ITEMS.jsonl", help="Gold, old and new in one file of JSON Lines.")
GOLD = typer.Option(metavar="FILE", help="CoNLL-U with the right trees, or TOP rows with the right frames.")
OLD = typer.Option(metavar="FILE", help="The same sentences with the predictions of the old model.")
NEW = typer.Option(metavar="FILE", help="The same sentences with the predictions of the new model.")
OLD_SEEDS = typer.Option(
    "--old-seed", metavar="FILE", help="The same of a further seed of the old model: the noise floor. Repeatable."
)
NEW_SEEDS = typer.Option(
    "--new-seed",
    metavar="FILE",
    help="The same of a further run of the new model: rates are then over all pairs of an old and a new run, and "
    "intervals over seeds too. Repeatable.",
)
PRESET = typer.Option(
    help="Definitions: [bold]clean[/bold] by the paper's text, [bold]official[/bold] by the authors' code."
)
MAX_NFR = typer.Option(
    metavar="[LEVEL=]RATE", help="Gate: the highest NFR, in \\[0, 1], at every level or at one. Repeatable."
)
MAX_NFI = typer.Option(metavar="[LEVEL=]RATE", help="Gate: the highest NFI, likewise. Repeatable.")
MUST_NOT_BREAK = typer.Option(
    metavar="FILE",
    help="Gate: ids, one a line, of items that must not break, be right as a whole (UCM, LCM; EM) under the old model "
    "and wrong under the new. '#' begins a comment.",
)
CONFIDENT = typer.Option(
    "--confident",
    help="Gate: a highest rate is kept only where the whole 95 % interval keeps to it. Exit code 3 where the limit "
    "lies within the interval: so few items cannot tell.",
)
ALIGN = typer.Option(
    metavar="id|order",
    help="Of CoNLL-U: bring sentences together by # sent_id, or by their place. Not given: by id where files have ids, "
    "by place where those of one file are of no use and all words agree.",
    show_default=False,
)
IGNORE_SUBTYPES = typer.Option("--ignore-subtypes", help="Of CoNLL-U: nsubj:pass is nsubj, as for the CoNLL-18 scorer.")
FROM = typer.Option(
    "--from",
    metavar="lm-eval",
    help="--old and --new are logs of this tool: the samples of lm-eval (--log_samples).",
    show_default=False,
)
WORST = typer.Option(metavar="N", min=0, help="How many of the worst items to show.")
MARKDOWN = typer.Option(metavar="FILE", help="Also write the report in Markdown.")
JUNIT = typer.Option(metavar="FILE", help="Also write the gate's checks as JUnit XML.")
HTML = typer.Option(metavar="FILE", help="Also write the report as one HTML page.")


def compare(
    items: Annotated[Path | None, ITEMS] = None,
    gold: Annotated[Path | None, GOLD] = None,
    old: Annotated[Path | None, OLD] = None,
    new: Annotated[Path | None, NEW] = None,
    old_seeds: Annotated[list[Path], OLD_SEEDS] = [],  # noqa: B006  typer copies it
    new_seeds: Annotated[list[Path], NEW_SEEDS] = [],  # noqa: B006
    preset: Annotated[str, PRESET] = "clean",
    max_nfr: Annotated[list[str], MAX_NFR] = [],  # noqa: B006
    max_nfi: Annotated[list[str], MAX_NFI] = [],  # noqa: B006
    must_not_break: Annotated[Path | None, MUST_NOT_BREAK] = None,
    confident: Annotated[bool, CONFIDENT] = False,
    align: Annotated[str | None, ALIGN] = None,
    ignore_subtypes: Annotated[bool, IGNORE_SUBTYPES] = False,
    from_tool: Annotated[str | None, FROM] = None,
    worst: Annotated[int, WORST] = 5,
    as_json: Json = False,
    markdown: Annotated[Path | None, MARKDOWN] = None,
    junit: Annotated[Path | None, JUNIT] = None,
    html: Annotated[Path | None, HTML] = None,
) -> None:
    """May this update ship? What it breaks, where, whether more than retraining would, and a gate.

    Works on the output of any two models. The gold file says what is compared:

    [bold]CoNLL-U[/bold], dependency trees, aligned by # sent_id (see --align): levels UAS, UCM,
    LAS, LCM. Sentences of one document (# newdoc) count together in intervals.
    [bold]TOP[/bold], semantic frames, aligned by row, as many in each file, with row numbers
    as ids: levels spanEM, EM. [bold]JSON Lines[/bold], any task,
    given alone, an item a line: {"id": .., "gold": .., "old": .., "new": ..},
    right is what equals gold: level EM. It may also have "slices":
    {"language": "en"}, "cluster": "document 7", "old_seeds": \\[.., ..] and
    "new_seeds". An id on several lines is an item with several runs, as many for
    every id. "-" as a file is standard input.

    An id that gold does not have, and a gold item that the old file or an
    --old-seed lacks are errors. A gold item that the new file lacks
    is wrong under the new model.

    Exit code: 0 passed or no gate given, 1 gate failed, 2 bad input, 3 too few
    items to tell (--confident). --json: one object with the levels, each with what
    [bold]evaluate[/bold] gives, and intervals, p_value, noise_floor, slices, worst and
    gate; behind them "verdict", the outcome as a whole.

    Examples:

    [green]bcr compare --gold test.conllu --old old.conllu --new new.conllu --html report.html[/green]

    [green]bcr compare items.jsonl --max-nfr 0.01 --must-not-break demos.txt --junit gate.xml[/green]
    """
    reports = (markdown, junit, html)
    for output in filter(None, reports):
        check_output_file(output)
    from bcrlib.comparison.gate import EXIT_CODES, Gate, read_must_not_break
    from bcrlib.comparison.items import LM_EVAL, read_items, read_logs
    from bcrlib.comparison.page import to_html
    from bcrlib.comparison.read import read_update
    from bcrlib.comparison.reports import to_json, to_junit, to_markdown, to_text
    from bcrlib.comparison.verdict import judge
    from bcrlib.data.presets import preset as preset_named
    from bcrlib.report.tables import write_text

    files = [path for path in (items, gold, old, new, *old_seeds, *new_seeds) if path is not None]
    if [str(path) for path in (*files, must_not_break)].count("-") > 1:
        raise ValueError("standard input (-) can be only one of the files")
    listed = read_must_not_break(must_not_break) if must_not_break else {}
    gate = Gate(_limits("--max-nfr", max_nfr), _limits("--max-nfi", max_nfi), listed, confident)
    size = sum(path.stat().st_size for path in files if path.is_file())
    say = partial(typer.echo, err=True) if size >= LARGE else lambda text: None
    gc.set_threshold(50_000)  # files become many texts and no cycles: looking for those took a tenth of the time
    say(f"reading {len(files)} file{'s' * (len(files) > 1)}, {size / 1e6:.0f} MB")
    definitions = preset_named(preset)
    if from_tool not in (None, LM_EVAL):
        raise ValueError(f"--from {from_tool!r}: only {LM_EVAL} can be read; docs/compare.md converts others")
    if from_tool:
        if old is None or new is None or len(files) > 2:
            raise ValueError(f"--from {LM_EVAL} takes --old and --new alone")
        update = read_logs(old, new, definitions)
    elif items is None and gold and old and new:
        update = read_update(gold, old, new, old_seeds, definitions, align, new_seeds, not ignore_subtypes)
    elif items is None or gold or old or new:
        raise ValueError("give --gold, --old and --new, or one file of JSON Lines alone")
    else:
        for side, seeds in (("old", old_seeds), ("new", new_seeds)):
            if seeds:
                raise ValueError(f'--{side}-seed does not go with JSON Lines: put "{side}_seeds" into the items')
        update = read_items(items, definitions)
    for warning in update.warnings:
        typer.echo(f"warning: {warning}", err=True)
    say(f"comparing {len(update.ids):,} items")
    verdict = judge(update, gate, worst)
    for path, make in zip(reports, (to_markdown, to_junit, to_html)):
        if path is not None:
            write_text(path, make(verdict))
    if as_json:
        print_json(to_json(verdict))
    else:
        typer.echo(_encodable(to_text(verdict)), nl=False)
    raise typer.Exit(EXIT_CODES[verdict.outcome])


def _limits(option: str, given: list[str]) -> dict[str, float]:
    """Level -> rate, from "0.01" (every level, "") and "UCM=0.02"."""
    limits: dict[str, float] = {}
    for text in given:
        level, _, rate = text.rpartition("=")
        if level in limits:
            raise ValueError(f"{option}: {text!r} is the second limit for {level or 'every level'}")
        try:
            limits[level] = float(rate)
        except ValueError:
            raise ValueError(f"{option}: {text!r} is neither RATE nor LEVEL=RATE") from None
    return limits


def _encodable(text: str) -> str:
    """The text with what a terminal's encoding does not have as escapes: words may be of any script."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


HEADINGS = ("level", "units", "ACC old", "ACC new", "NFR", "PFR", "NFI", "broken", "repaired", "p")
TREE_LEVELS = """\
UAS, LAS: words with the right head, with the right head and relation. UCM, LCM: the same of whole trees."""
FRAME_LEVELS = """\
spanEM: gold's spans of words that the prediction gets right, as defined above. EM: whole frames.
A malformed prediction is wrong everywhere."""
LEGEND = """\
ACC, NFR, PFR in per cent of the units; NFI: broken units in per cent of the new model's errors.
broken: right before, wrong after (negative flips); repaired: the reverse.
p: McNemar's exact test that the update breaks as much as it repairs; {units} depend on each other,
so trust it for {wholes} more than for {parts}."""


def evaluate(
    gold: Annotated[Path, GOLD],
    old: Annotated[Path, OLD],
    new: Annotated[Path, NEW],
    preset: Annotated[str, PRESET] = "clean",
    align: Annotated[str | None, ALIGN] = None,
    ignore_subtypes: Annotated[bool, IGNORE_SUBTYPES] = False,
    as_json: Json = False,
) -> None:
    """Count negative flips: what the old parser got right and the new one gets wrong.

    Works with the output of any two parsers. The content of the gold file
    decides what is counted, whatever its name:

    [bold]CoNLL-U[/bold], dependency trees: the levels are UAS, UCM, LAS, LCM.

    [bold]TOP[/bold], semantic frames: the levels are spanEM and EM. Each row has two
    tab-separated columns, tokenized utterance and parse such as
    \\[IN:CALL call \\[SL:WHO mum ] ], or the three of the release. Malformed and
    empty predictions count as wrong.

    With --json: one object with the levels, each with acc_old, acc_new, nfr,
    pfr, nfi (rates in \\[0, 1]) and num_units; for frames also num_invalid_old
    and num_invalid_new, the numbers of malformed predictions.

    Examples:

    [green]bcr evaluate --gold test.conllu --old old.conllu --new new.conllu[/green]

    [green]bcr evaluate --gold test.tsv --old old.tsv --new new.tsv[/green]
    """
    from bcrlib.comparison.read import read_update
    from bcrlib.data.presets import preset as preset_named

    update = read_update(gold, old, new, [], preset_named(preset), align, subtypes=not ignore_subtypes)
    if as_json:
        for note in _notes(update):
            typer.echo(_encodable(note), err=True)
        print_json(update.rates())
    else:
        typer.echo(_encodable(_rates_text(update)))


def _notes(update: "Update") -> list[str]:
    missing = int(update.missing.sum())
    lacking = [f"Missing from the new predictions, and so wrong: {missing:,}."] if missing else []
    return [*lacking, *(f"Note: {note}." for note in update.notes)]


def _rates_text(update: "Update") -> str:
    from bcrlib.comparison.tables import grid, p_text, per_cent
    from bcrlib.data.files import TOP
    from bcrlib.metrics.uncertainty import mcnemar

    rows = [HEADINGS]
    for name, flips in ((name, level.flips) for name, level in update.levels.items()):
        rates = map(per_cent, (flips.acc_old, flips.acc_new, flips.nfr, flips.pfr, flips.nfi))
        rows.append((name, f"{flips.num_units:,}", *rates, f"{flips.yn:,}", f"{flips.ny:,}", p_text(mcnemar(flips))))
    if update.format == TOP:
        legend = LEGEND.format(units="spans of one utterance", wholes="EM", parts="spanEM")
        last = [f"{update.invalid_outputs}, out of {len(update.ids):,}.", "", FRAME_LEVELS, legend]
    else:
        last = [TREE_LEVELS, LEGEND.format(units="words of one sentence", wholes="whole trees", parts="words")]
    return "\n".join([update.definitions, *_notes(update), "", *grid(rows, num_names=0), "", *last])
