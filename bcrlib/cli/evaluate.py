"""`bcr evaluate`: what an update breaks and repairs, from prediction files of any parser."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bcrlib.cli.options import Json, print_json

if TYPE_CHECKING:
    from bcrlib.evaluation import Evaluation
    from bcrlib.metrics.flips import Flips
    from bcrlib.presets import Preset

HEADINGS = ("level", "units", "ACC old", "ACC new", "NFR", "PFR", "NFI", "broken", "repaired", "p")
TREE_LEVELS = """\
UAS, LAS: words with the right head, with the right head and relation. UCM, LCM: the same of whole trees."""
FRAME_LEVELS = """\
spanEM: gold's spans of words that the prediction gets right, as defined above. EM: whole frames.
A prediction that is no tree is wrong everywhere."""
LEGEND = """\
ACC, NFR, PFR in per cent of the units; NFI: broken units in per cent of the new model's errors.
broken: right before, wrong after (negative flips); repaired: the reverse.
p: McNemar's exact test that the update breaks as much as it repairs; {units} depend on each other,
so trust it for {wholes} more than for {parts}."""


def evaluate(
    gold: Annotated[
        Path, typer.Option(metavar="FILE", help="CoNLL-U with the right trees, or TOP rows with the right frames.")
    ],
    old: Annotated[
        Path, typer.Option(metavar="FILE", help="The same sentences with what the old parser made of them.")
    ],
    new: Annotated[
        Path, typer.Option(metavar="FILE", help="The same sentences with what the new parser made of them.")
    ],
    preset: Annotated[
        str,
        typer.Option(
            help="What counts: [bold]clean[/bold] as the paper says, [bold]official[/bold] as the authors' code does."
        ),
    ] = "clean",
    as_json: Json = False,
) -> None:
    """Count negative flips: what the old parser got right and the new one gets wrong.

    Works on the output of any two parsers. What is counted depends on what
    the gold file holds, whatever its name:

    [bold]CoNLL-U[/bold], dependency trees: the levels are UAS, UCM, LAS, LCM.

    [bold]TOP[/bold], semantic frames, a row an utterance with two tab-separated columns,
    tokenized utterance and parse such as \\[IN:CALL call \\[SL:WHO mum ] ]
    (or the release's three): the levels are spanEM and EM. A prediction that
    is no tree, an empty one too, counts as wrong.

    With --json: one object with the levels, each with acc_old, acc_new, nfr,
    pfr, nfi (rates in \\[0, 1]) and num_units; of frames also num_invalid_old
    and num_invalid_new, the predictions that are no tree.

    Examples:

    [green]bcr evaluate --gold test.conllu --old old.conllu --new new.conllu[/green]

    [green]bcr evaluate --gold test.tsv --old old.tsv --new new.tsv[/green]
    """
    from bcrlib.evaluation import count_files
    from bcrlib.presets import preset as preset_named

    definitions = preset_named(preset)
    counted = count_files(gold, old, new, definitions)
    if as_json:
        print_json(counted.rates())
    else:
        typer.echo(_text(counted, definitions))


def _text(counted: "Evaluation", definitions: "Preset") -> str:
    from bcrlib.data.formats import TOP
    from bcrlib.report.definitions import describe_spans, describe_words

    table = _table(counted.flips)
    if counted.format == TOP:
        legend = LEGEND.format(units="spans of one utterance", wholes="EM", parts="spanEM")
        lines = [describe_spans(definitions), "", *table, "", _invalid(counted), "", FRAME_LEVELS, legend]
    else:
        legend = LEGEND.format(units="words of one sentence", wholes="whole trees", parts="words")
        lines = [describe_words(definitions), "", *table, "", TREE_LEVELS, legend]
    return "\n".join(lines)


def _invalid(counted: "Evaluation") -> str:
    num_utterances = counted.flips["EM"].num_units
    old, new = (f"{counted.num_invalid[f'num_invalid_{name}']:,}" for name in ("old", "new"))
    return f"No trees: {old} predictions of the old model, {new} of the new, out of {num_utterances:,}."


def _table(counted: dict[str, "Flips"]) -> list[str]:
    rows = [HEADINGS, *(_row(level, update) for level, update in counted.items())]
    widths = [max(map(len, column)) for column in zip(*rows)]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths)) for row in rows]


def _row(level: str, update: "Flips") -> tuple[str, ...]:
    from bcrlib.metrics.uncertainty import mcnemar

    rates = (update.acc_old, update.acc_new, update.nfr, update.pfr, update.nfi)
    per_cent = [f"{100 * rate:.2f}" for rate in rates]
    counts = [f"{count:,}" for count in (update.yn, update.ny)]
    return (level, f"{update.num_units:,}", *per_cent, *counts, f"{mcnemar(update):.2g}")
