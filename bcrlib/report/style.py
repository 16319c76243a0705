"""How every figure looks and is saved: theme, colours, wording of axes, panels and legends; as a PNG file."""

import io
import textwrap
from collections.abc import Hashable, Mapping, Sequence
from itertools import product
from typing import Literal

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from PIL import Image

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
METHOD_COLOURS |= {"dropout-p": METHOD_COLOURS["BCR"], "top-k": _PALETTE[5], "nucleus": _PALETTE[2]}
METHOD_COLOURS |= {source: METHOD_COLOURS[f"BCR ({source})"] for source in ("beam", "k-best")}
"""Methods, and sources of candidates in the colour of BCR that picks from them."""
# Without the palette's yellow and pink, too light for lines on white.
_OTHER_COLOURS = [_PALETTE[i] for i in (0, 3, 2, 4, 1, 5)]
INK = "#374151"
Look = Mapping[str, object]
"""What matplotlib calls properties of a line, or of an area (which has a facecolor)."""
PAPER_MARK = {"linestyle": "none", "marker": "D", "markersize": 6.5, "markerfacecolor": "white"}
PAPER_MARK |= {"markeredgecolor": "black"}
CHOSEN_MARK = {"linestyle": "none", "marker": "o", "markersize": 11, "markerfacecolor": "none", "markeredgecolor": INK}
INTERVAL = "95 % interval"
INTERVALS: dict[str, Look] = {INTERVAL: {"color": "black", "linewidth": 1.4}}
"""What a legend says of intervals drawn in black; and of those in the colours of their methods."""
VERTICAL_INTERVALS: dict[str, Look] = {f"vertical: {INTERVAL}": {"color": INK, "linewidth": 1.2}}
LEVEL_NAMES = {
    "UAS": "words, head right (UAS)",
    "LAS": "words, head and relation right (LAS)",
    "UCM": "whole sentences, all heads right (UCM)",
    "LCM": "whole sentences, heads and relations right (LCM)",
    "spanEM": "spans of words, labels right (span EM)",
    "EM": "whole frames right (EM)",
}
LEVEL_UNITS = {"UAS": "words", "LAS": "words", "UCM": "sentences", "LCM": "sentences"}
LEVEL_UNITS |= {"spanEM": "spans", "EM": "utterances"}
_AXES = {
    "ACC": "accuracy\n(% of {units})",
    "ER": "error rate\n(% of {units})",
    "NFR": "negative flip rate NFR\n(% of {units})",
    "PFR": "positive flip rate PFR\n(% of {units})",
    "NFI": "negative flip impact NFI\n(% of errors)",
    "ACC random": "accuracy of a random candidate\n(% of {units})",
    "ACC oracle": "accuracy of the best candidate\n(% of {units})",
    "NFR oracle": "NFR of the safest candidate\n(% of {units})",
    "NFR BCR": "NFR of the old model's pick\n(% of {units})",
}


def use_house_theme() -> None:
    """seaborn's white grid with our sizes and one font that comes with matplotlib (same on any machine)."""
    sns.set_theme(style="whitegrid", context="notebook", palette="colorblind", font="DejaVu Sans")
    mpl.rcParams.update(
        {
            "axes.titlesize": 10.5,
            "axes.titlelocation": "left",
            "axes.labelsize": 10,
            "xtick.labelsize": 9.5,
            "ytick.labelsize": 9.5,
            "legend.fontsize": 9.5,
            "legend.title_fontsize": 9.5,
            "figure.titlesize": 13,
            "figure.titleweight": "bold",
            "axes.edgecolor": "#9CA3AF",
            "grid.color": "#E5E7EB",
            "svg.hashsalt": "bcrlib",
            "svg.fonttype": "none",  # text stays text: smaller, and found by a search
            "figure.dpi": 80,
            "savefig.dpi": 150,
        }
    )


def method_colours(methods: Sequence[str]) -> dict[str, str]:
    """A colour-blind safe colour a method; "BCR (3 old)" has BCR's colour if no other BCR row came before."""
    colours: dict[str, str] = {}
    for method in methods:
        name = method.split(",")[0]
        known = METHOD_COLOURS.get(name, METHOD_COLOURS.get(name.split("(")[0].strip()))
        if known and known not in colours.values():
            colours[method] = known
    spare = [colour for colour in _OTHER_COLOURS if colour not in colours.values()]
    rest = [method for method in methods if method not in colours]
    colours |= {method: spare[i % len(spare)] for i, method in enumerate(rest)}
    return {method: colours[method] for method in methods}


def paper_mark(colour: str) -> Look:
    """A number of the paper, in the colour of the method whose number it is."""
    return PAPER_MARK | {"markeredgecolor": colour, "markeredgewidth": 1.8}


def in_paper(rows: pd.DataFrame, label: str = "the paper's number") -> dict[str, Look]:
    """What a legend says of the diamonds, where tidy rows have any."""
    return {label: PAPER_MARK} if rows["paper"].notna().any() else {}


def axis_label(metric: str, level: str, on_one_line: bool = False) -> str:
    """What an axis of this metric shows, its unit on a second line if not told otherwise."""
    label = _AXES.get(metric, f"{metric}\n(%)").format(units=LEVEL_UNITS.get(level, "units"))
    return label.replace("\n", " ") if on_one_line else label


def one_input(levels: Sequence[str]) -> str:
    """What a parser judged at these levels takes at a time: "sentence" or "utterance"."""
    return "utterance" if set(levels) <= {"spanEM", "EM"} else "sentence"


def new_figure(width: float, height: float, title: str) -> Figure:
    """An empty figure in the house style whose title, the claim, stands at its upper left."""
    use_house_theme()
    figure = Figure(figsize=(width, height), layout="constrained")
    wrapped = "\n".join(textwrap.wrap(title, width=int(width * 9.2)))
    figure.suptitle(wrapped, x=0.01, ha="left")
    return figure


def panels(
    size: tuple[float, float],
    title: str,
    lines: Sequence[Hashable],
    columns: Sequence[Hashable],
    *,
    sharex: bool | Literal["row"] = False,
    sharey: bool | Literal["row"] = False,
    heights: Sequence[float] | None = None,
) -> tuple[Figure, dict[tuple, Axes]]:
    """A new figure, and its drawing areas by what their line and their column show, line by line."""
    figure = new_figure(*size, title)
    sharing = {"sharex": sharex, "sharey": sharey, "height_ratios": heights}
    areas = figure.subplots(len(lines), len(columns), squeeze=False, **sharing)
    return figure, dict(zip(product(lines, columns), areas.ravel()))


def legend(figure: Figure, looks: Mapping[str, Look], num_columns: int = 6) -> None:
    """Below the figure, what its lines, marks and areas stand for: {label: look}."""
    handles = [
        Patch(label=label, **look) if "facecolor" in look else Line2D([], [], label=label, **look)
        for label, look in looks.items()
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=num_columns, frameon=False)


def picture(figure: Figure, dpi: int = 80) -> bytes:
    """The figure as a PNG file, by default as large as notebooks keep it."""
    drawn, small = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=dpi)
    # 256 colours, which our figures hardly exceed: a third of the bytes.
    few = Image.open(drawn).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    few.save(small, format="PNG", optimize=True)
    return small.getvalue()
