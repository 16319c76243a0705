"""`bcr evaluate`: what an update breaks and repairs, from prediction files of any parser."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bcrlib.cli.options import Json, print_json

if TYPE_CHECKING:
    from bcrlib.metrics.flips import Flips
    from bcrlib.presets import Preset

HEADINGS = ("level", "units", "ACC old", "ACC new", "NFR", "PFR", "NFI", "broken", "repaired", "p")
LEGEND = """\
UAS, LAS: words with the right head, with the right head and relation. UCM, LCM: the same of whole trees.
ACC, NFR, PFR in per cent of the units; NFI: broken units in per cent of the new model's errors.
broken: right before, wrong after (negative flips); repaired: the reverse.
p: McNemar's exact test that the update breaks as much as it repairs; words of one sentence depend on each other,
so trust it for whole trees more than for words."""


def evaluate(
    gold: Annotated[Path, typer.Option(metavar="FILE", help="CoNLL-U file with the right trees.")],
    old: Annotated[Path, typer.Option(metavar="FILE", help="The same sentences with the old parser's trees.")],
    new: Annotated[Path, typer.Option(metavar="FILE", help="The same sentences with the new parser's trees.")],
    preset: Annotated[
        str,
        typer.Option(
            help="What counts: [bold]clean[/bold] as the paper says, [bold]official[/bold] as the authors' code does."
        ),
    ] = "clean",
    as_json: Json = False,
) -> None:
    """Count negative flips: what the old parser got right and the new one gets wrong.

    Works on the output of any two parsers. With --json: one object with the
    levels UAS, UCM, LAS, LCM, each with acc_old, acc_new, nfr, pfr, nfi
    (rates in \\[0, 1]) and num_units.

    Example:

    [green]bcr evaluate --gold test.conllu --old old.conllu --new new.conllu[/green]
    """
    from bcrlib.evaluation import count_flips, rates_of, read_update
    from bcrlib.presets import preset as preset_named

    definitions = preset_named(preset)
    counted = count_flips(*read_update(gold, old, new, definitions), definitions)
    if as_json:
        print_json({level: rates_of(update) for level, update in counted.items()})
    else:
        typer.echo("\n".join([_describe(definitions), "", *_table(counted), "", LEGEND]))


def _describe(definitions: "Preset") -> str:
    left_out = ", ".join(sorted(definitions.punct_exclude))
    trees = "all words" if definitions.tree_level_punct else "these words"
    root = "" if definitions.lcm_root_label else ", without the relation of the word at the root"
    return f"Definitions: {definitions.name}; words except {left_out}; whole trees over {trees}{root}."


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
