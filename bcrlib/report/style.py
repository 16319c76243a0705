"""How every figure looks, and how it is saved: theme, colours, axis wording, SVG + PNG + numbers."""

import io
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from PIL import Image

from bcrlib.report.tables import Record, check_name, format_signature, plain_rows, write_record

_PALETTE = sns.color_palette("colorblind").as_hex()
METHOD_COLOURS = {
    "Old": "#BDBDBD",
    "Untreated": "#7A7A7A",
    "Distillation": _PALETTE[1],
    "Ensemble": _PALETTE[2],
    "BCR": _PALETTE[0],
    "BCR (beam)": _PALETTE[3],
    "BCR (k-best)": _PALETTE[4],
    "BCR (listed)": _PALETTE[3],
    "BCR (joined)": _PALETTE[9],
}
# Without the palette's yellow and pink, too light for lines on white.
_OTHER_COLOURS = [_PALETTE[i] for i in (0, 3, 2, 4, 1, 5)]
INTERVAL = "95 % interval"
LEVEL_NAMES = {
    "UAS": "words, head right (UAS)",
    "LAS": "words, head and relation right (LAS)",
    "UCM": "whole sentences, all heads right (UCM)",
    "LCM": "whole sentences, heads and relations right (LCM)",
    "spanEM": "spans of words, labels right (span EM)",
    "EM": "whole frames right (EM)",
}
_LEVEL_UNITS = {"UAS": "words", "LAS": "words", "UCM": "sentences", "LCM": "sentences"}
_LEVEL_UNITS |= {"spanEM": "spans", "EM": "utterances"}
_AXES = {
    "ACC": "accuracy\n(% of {units})",
    "ER": "error rate\n(% of {units})",
    "NFR": "negative flip rate NFR\n(% of {units})",
    "PFR": "positive flip rate PFR\n(% of {units})",
    "NFI": "negative flip impact NFI\n(% of errors)",
}


def use_house_theme() -> None:
    """seaborn's white grid with our sizes and one font that comes with matplotlib (same on any machine)."""
    sns.set_theme(style="whitegrid", context="notebook", palette="colorblind", font="DejaVu Sans")
    mpl.rcParams.update(
        {
            "axes.titlesize": 10.5,
            "axes.labelsize": 10,
            "xtick.labelsize": 9.5,
            "ytick.labelsize": 9.5,
            "legend.fontsize": 9.5,
            "figure.titlesize": 13,
            "figure.titleweight": "bold",
            "axes.edgecolor": "#9CA3AF",
            "grid.color": "#E5E7EB",
            "svg.hashsalt": "bcrlib",
            "svg.fonttype": "none",  # text stays text: smaller, and found by a search
            "figure.dpi": 80,  # as notebooks show and keep it; files have more
            "savefig.dpi": 150,
        }
    )


def method_colours(methods: Sequence[str]) -> dict[str, str]:
    """A colour-blind safe colour a method; "BCR (3 old)" has BCR's colour if no other BCR row came before."""
    colours: dict[str, str] = {}
    for method in methods:
        name = method.split(",")[0]
        known = METHOD_COLOURS.get(name, METHOD_COLOURS.get(name.split(" (")[0]))
        if known and known not in colours.values():
            colours[method] = known
    spare = [colour for colour in _OTHER_COLOURS if colour not in colours.values()]
    rest = [method for method in methods if method not in colours]
    return colours | {method: spare[i % len(spare)] for i, method in enumerate(rest)}


def axis_label(metric: str, level: str) -> str:
    """What an axis of this metric shows, its unit on a second line."""
    return _AXES.get(metric, f"{metric}\n(%)").format(units=_LEVEL_UNITS.get(level, "units"))


def one_input(levels: Sequence[str]) -> str:
    """What a parser judged at these levels takes at a time: "a sentence" or "an utterance"."""
    return "an utterance" if set(levels) <= {"spanEM", "EM"} else "a sentence"


def new_figure(width: float, height: float, title: str) -> Figure:
    """An empty figure in the house style whose title, the claim, stands at its upper left."""
    use_house_theme()
    figure = Figure(figsize=(width, height), layout="constrained")
    wrapped = "\n".join(textwrap.wrap(title, width=int(width * 9.2)))
    figure.suptitle(wrapped, x=0.01, ha="left")
    return figure


def save_figure(
    figure: Figure,
    folder: Path,
    name: str,
    data: pd.DataFrame,
    *,
    caption: str,
    signature: Mapping[str, object],
    command: str,
) -> None:
    """Writes NAME.svg, NAME.png and NAME.json (the plotted numbers, rates in [0, 1]) into `folder`.

    The figure's suptitle is its claim. Equal figures give equal bytes. ValueError for a figure without
    a title or a drawing area without axis labels: each must be readable alone.
    """
    check_name(name)
    title = " ".join(figure.get_suptitle().split())
    if not title:
        raise ValueError(f"{name}: a figure needs its claim as suptitle")
    for axes in figure.axes:
        if axes.axison and not (axes.get_xlabel() or axes.get_ylabel()):
            raise ValueError(f"{name}: an axis has no label")
    folder = Path(folder)
    record = Record("figure", name, title, caption, format_signature(signature), command, plain_rows(data))
    write_record(record, folder)
    with mpl.rc_context({"svg.hashsalt": "bcrlib"}):
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        _save_png(figure, folder / f"{name}.png")


def _save_png(figure: Figure, file: Path) -> None:
    """With 256 colours, which our figures hardly exceed: a third of the bytes."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=150)
    Image.open(drawn).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(file, optimize=True)
