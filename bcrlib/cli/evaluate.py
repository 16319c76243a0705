"""`bcr evaluate`: what an update breaks and repairs, from prediction files of any parser."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bcrlib.cli.compare import Definitions
from bcrlib.cli.options import Json, print_json

if TYPE_CHECKING:
    from bcrlib.comparison.update import Update

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
    preset: Definitions = "clean",
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
    from bcrlib.comparison.read import read_update
    from bcrlib.data.presets import preset as preset_named

    update = read_update(gold, old, new, [], preset_named(preset), by_id=False)
    if as_json:
        print_json(update.rates())
    else:
        typer.echo(_text(update))


def _text(update: "Update") -> str:
    from bcrlib.data.files import TOP
    from bcrlib.metrics.uncertainty import mcnemar

    rows = [HEADINGS]
    for name, flips in ((name, level.flips) for name, level in update.levels.items()):
        rates = (flips.acc_old, flips.acc_new, flips.nfr, flips.pfr, flips.nfi)
        counts = (f"{count:,}" for count in (flips.yn, flips.ny))
        per_cent = (f"{100 * rate:.2f}" for rate in rates)
        rows.append((name, f"{flips.num_units:,}", *per_cent, *counts, f"{mcnemar(flips):.2g}"))
    widths = [max(map(len, column)) for column in zip(*rows)]
    table = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths)) for row in rows]
    if update.format == TOP:
        invalid = f"{update.invalid_outputs}, out of {len(update.ids):,}."
        legend = LEGEND.format(units="spans of one utterance", wholes="EM", parts="spanEM")
        return "\n".join([update.definitions, "", *table, "", invalid, "", FRAME_LEVELS, legend])
    legend = LEGEND.format(units="words of one sentence", wholes="whole trees", parts="words")
    return "\n".join([update.definitions, "", *table, "", TREE_LEVELS, legend])
