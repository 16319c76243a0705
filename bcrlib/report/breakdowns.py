"""Where updates break: NFR slice by slice, slices sorted by harm, common flips and chance; rows and figures.

Everything is computed from the counts that a run commits (`metrics.tree_breakdowns`), without corpus or predictions.
The authors' breakdowns, stored in their notebook, stand beside them: data/authors_breakdowns.csv is the only place
where they live.
"""

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bcrlib.data.files import ROOT
from bcrlib.metrics.breakdowns import FEWEST_UNITS, OTHER, RANGES, by_range, rates_of_slices
from bcrlib.metrics.tree_breakdowns import HISTOGRAM
from bcrlib.report.figures import INTERVALS, PAPER_MARK, in_paper, legend, method_colours, panels
from bcrlib.report.tables import tidy

AUTHORS_UPDATE, AUTHORS_PRESET = "stackptr=>deepbiaf", "official"
"""The update that the authors break down, and the definitions that they count by."""

_FILE = ROOT / "data" / "authors_breakdowns.csv"
_SLICE = ["update", "level", "breakdown", "key"]
_RATES = ["nfr", "pfr", "acc_old", "acc_new", "nfi"]


@cache
def authors_breakdowns() -> pd.DataFrame:
    """Every breakdown of the authors' dependency notebook (protocol 5.5, 7), a slice a row, keys as printed.

    The update is stackptr=>deepbiaf, untreated, among the old seeds, heads only; histograms ("sentence NFR") are there
    for all updates.  Columns: update, level, breakdown, key, num_pairs, num_units (as in `tree_breakdowns`), nfr, pfr,
    acc_old, acc_new, nfi (rates in [0, 1] of four digits), both, only_one (sums over pairs), derived ("yes" where
    what is printed also holds earlier outputs, which were taken off).  Read once; treat as read-only.
    """
    rows = pd.read_csv(_FILE, dtype={"key": str, "derived": str}, keep_default_na=False, na_values=[""])
    # Printed values have two decimals per cent; rounding takes the binary noise of the division away.
    rows[_RATES] = (rows[_RATES] / 100).round(6)
    of_gold = rows["breakdown"] != HISTOGRAM
    rows["num_units"] = np.where(of_gold, rows["count"] // rows["num_pairs"], rows["count"])
    return rows.astype({"both": "Int64", "only_one": "Int64"}).drop(columns="count")


@cache
def authors_slices() -> pd.DataFrame:
    """`authors_breakdowns` in our slices: numbers in our ranges, and what has too few units as "other".

    A merged slice has the mean of the printed rates, weighted by units: right to the two decimals they are printed
    with.  NFI, a ratio of rates, is left out.  Read-only too.
    """
    rows, rates = authors_breakdowns(), _RATES[:-1]
    keys = rows["key"].copy()
    for breakdown, starts in RANGES.items():
        numbers = rows["breakdown"] == breakdown
        slices = by_range(keys[numbers].astype(int).to_numpy(), starts)
        keys[numbers] = [slices.names[i] for i in slices.of_unit]
    num_units = rows.assign(key=keys).groupby(_SLICE)["num_units"].transform("sum")
    num_units = num_units.where(~rows["breakdown"].str.startswith("couple"), num_units // 2)  # both orders are counted
    keys = keys.where((num_units >= FEWEST_UNITS) | (rows["breakdown"] == HISTOGRAM), OTHER)
    rows = rows.assign(key=keys, **{rate: rows[rate] * rows["num_units"] for rate in rates})
    sums = rows.groupby(_SLICE, sort=False)[["num_units", "both", "only_one", *rates]].sum(min_count=1).reset_index()
    return sums.assign(**{rate: sums[rate] / sums["num_units"] for rate in rates})


def headline_update(table: pd.DataFrame) -> str:
    """The update that a story is told about: of those that BCR was tried on, the one that gets most words right."""
    words = table.query("method == 'Untreated' and level == 'UAS' and breakdown == 'all'")
    words = words[words["update"].isin(table.loc[table["method"] == "BCR", "update"])]
    gain = (words["ny"] - words["yn"]) / words["num_units"] / words["num_pairs"]
    return words.loc[gain.idxmax(), "update"]


def slice_rates(table: pd.DataFrame, update: str, method: str, preset: str, level: str) -> pd.DataFrame:
    """How each slice of one level fares under one method of an update, "all" first: `rates_of_slices`.

    KeyError for what the table does not hold.
    """
    rows = _chosen(table, update, method, preset, level)
    return rates_of_slices(rows[rows["yy"].notna()].reset_index(drop=True))


def most_harmed(rates: pd.DataFrame, breakdowns: Sequence[str], number: int) -> pd.DataFrame:
    """The slices whose NFR exceeds that of the rest most, among those called at q = 0.05: `slice_rates` rows.

    May be fewer than `number`, or none.
    """
    called = rates["breakdown"].isin(breakdowns) & (rates["q_value"] <= 0.05) & (rates["excess"] > 0)
    return rates[called].sort_values("excess", ascending=False, kind="stable").head(number)


def most_flips(rates: pd.DataFrame, breakdown: str, number: int) -> list[str]:
    """The slices of a breakdown that hold the most negative flips, in the order of the table."""
    slices = rates[rates["breakdown"] == breakdown]
    return slices["key"][slices["share"].rank(method="first", ascending=False) <= number].tolist()


def nfr_rows(
    rates_of_method: Mapping[str, pd.DataFrame], breakdowns: Sequence[str], group: str = "", authors: bool = False
) -> pd.DataFrame:
    """NFR of every slice as rows of tables and figures: level = breakdown, row = method, and the column slice.

    Each breakdown begins with the slice "all": the NFR of all units of its level.  With `authors`, their NFR stands
    beside the method "Untreated" (the authors' notebook, other models).
    """
    rows = []
    for method, rates in rates_of_method.items():
        theirs = authors_nfr() if authors and method == "Untreated" else {}
        for breakdown in breakdowns:
            for cell in rates[rates["breakdown"].isin([breakdown, "all"])].itertuples():
                names = {"group": group, "row": method, "level": breakdown, "metric": "NFR", "slice": cell.key}
                numbers = {"value": cell.nfr, "low": cell.low, "high": cell.high}
                rows.append(names | numbers | {"paper": theirs.get((breakdown, cell.key), np.nan)})
    return pd.DataFrame(rows)


def authors_nfr() -> dict[tuple[str, str], float]:
    """The authors' NFR by breakdown and slice, in our slices: their one update, untreated, heads only."""
    heads_only = "level in ('UAS', 'unlabelled sub-tree', 'UCM') and breakdown != 'all' and nfr == nfr"
    rows = authors_slices().query(f"update == @AUTHORS_UPDATE and {heads_only}")
    return {(row.breakdown, row.key): row.nfr for row in rows.itertuples()}


def co_occurrence_rows(table: pd.DataFrame, update: str, method: str, preset: str, level: str) -> pd.DataFrame:
    """Of the couples of which at least one unit flips, the share of which both do, a row a slice.

    Columns: level, breakdown, key, num_units (couples, in both orders), both, only_one, share, chance, paper.  `chance`
    is what `share` would be if the two flipped independently, each as often as units of such couples do: f / (2 - f).
    Both are nan where nothing flips.  `paper`: the authors' share.  KeyError as in `slice_rates`.
    """
    rows = _chosen(table, update, method, preset, level)
    rows = rows[rows["both"].notna()]
    both, only_one, neither = (rows[name].astype(float) for name in ("both", "only_one", "neither"))
    flips = (both + only_one / 2) / (both + only_one + neither)
    rates = {"share": both / (both + only_one), "chance": (flips / (2 - flips)).where(flips > 0)}
    frame = rows[["level", "breakdown", "key", "num_units", "both", "only_one"]].assign(**rates)
    theirs = authors_slices().query("update == @AUTHORS_UPDATE and level == @level")
    share = theirs["both"].astype(float) / (theirs["both"] + theirs["only_one"]).astype(float)
    return frame.merge(theirs[["breakdown", "key"]].assign(paper=share), how="left")


def histogram_rows(table: pd.DataFrame, update: str, preset: str, level: str) -> pd.DataFrame:
    """Which share of sentences loses which share of its words, a row a bin, a metric a method: rows of `tables.tidy`.

    The authors' shares stand beside Untreated under the official definitions.
    """
    rows = []
    for method in table.loc[table["update"] == update, "method"].unique():
        bins = _chosen(table, update, method, preset, level)
        bins = bins[bins["breakdown"] == HISTOGRAM]
        papers = authors_histogram(update, level) if (method, preset) == ("Untreated", AUTHORS_PRESET) else {}
        for key, number in zip(bins["key"], bins["num_units"]):
            cell = {"group": update, "row": key, "level": level, "metric": method}
            rows.append(cell | {"value": number / bins["num_units"].sum(), "paper": papers.get(key, np.nan)})
    return pd.DataFrame(rows)


def authors_histogram(update: str, level: str) -> dict[str, float]:
    """The authors' shares of sentences by bin, among their old models; empty for an update they do not have."""
    rows = authors_slices().query("update == @update and level == @level and breakdown == @HISTOGRAM")
    return dict(zip(rows["key"], rows["num_units"] / rows["num_units"].sum()))


def _chosen(table: pd.DataFrame, update: str, method: str, preset: str, level: str) -> pd.DataFrame:
    found = table.query("update == @update and method == @method and preset == @preset and level == @level")
    if found.empty:
        raise KeyError(f"no breakdown of {update}, {method}, {preset}, {level}")
    return found


BREAKDOWN_NAMES = {
    "upos": "tag of the word (UPOS)",
    "relation": "relation of the word",
    "distance": "distance to the head (words)",
    "head upos": "tag of the head (UPOS)",
    "size": "size of the sub-tree (words)",
    "depth": "depth of the sub-tree (words)",
    "root upos": "tag of the sub-tree's root (UPOS)",
    "length": "length of the sentence (words)",
    "couple distance": "words apart",
    "couple tree distance": "arcs apart in the gold tree",
    "couple relation": "relation between the two",
}
AUTHORS = "the authors' notebook"


def nfr_by_slice(rows: pd.DataFrame, title: str) -> Figure:
    """NFR of every slice with its interval, a panel a breakdown, a colour a method, the authors' numbers as diamonds.

    `rows`: of `nfr_rows`.  Slices named by numbers stay in their order, others are sorted by the NFR of the first
    method, "other" last.  The slice "all" of a breakdown becomes a dashed line.  O(rows).
    """
    frame = tidy(rows, extra=("slice",))
    of_breakdown = dict(list(frame.groupby("level", sort=False)))
    breakdowns, colours = list(of_breakdown), method_colours(frame["row"].unique())
    slices = {}
    for name, cells in of_breakdown.items():
        of_first = cells[(cells["row"] == next(iter(colours))) & (cells["slice"] != "all")]
        if not of_first["slice"].str.fullmatch(r"\d+(-\d+|\+)?").any():
            of_first = of_first.sort_values("value", ascending=False, kind="stable")
        slices[name] = sorted(of_first["slice"], key=lambda name: name == OTHER)
    num_columns = min(3, len(breakdowns))
    lines = [breakdowns[start : start + num_columns] for start in range(0, len(breakdowns), num_columns)]
    heights = [0.9 + 0.14 * (1 + len(colours)) * max(len(slices[name]) for name in line) for line in lines]
    size = 0.6 + 4.2 * num_columns, 1.2 + sum(heights)
    figure, areas = panels(size, title, range(len(lines)), range(num_columns), heights=heights)
    for axes in list(areas.values())[len(breakdowns) :]:
        axes.set_axis_off()
    for axes, (name, cells) in zip(areas.values(), of_breakdown.items()):
        _slice_panel(axes, cells, slices[name], colours)
        axes.set(title=BREAKDOWN_NAMES.get(name, name), xlabel="negative flip rate NFR (%)")
    looks = {method: {"color": colour, "marker": "o"} for method, colour in colours.items()}
    looks |= INTERVALS | {"all units": {"color": "black", "linewidth": 1.2, "linestyle": "--"}}
    legend(figure, looks | in_paper(frame, AUTHORS), 5)
    return figure


def _slice_panel(axes: Axes, cells: pd.DataFrame, slices: Sequence[str], colours: Mapping[str, str]) -> None:
    for i, (method, colour) in enumerate(colours.items()):
        of_method = cells[cells["row"] == method].set_index("slice")[["value", "low", "high", "paper"]]
        axes.axvline(100 * of_method["value"].get("all", np.nan), color=colour, linestyle="--", linewidth=1.2)
        points = 100 * of_method.reindex(slices)
        places = np.arange(len(slices)) + (i - (len(colours) - 1) / 2) * 0.7 / len(colours)
        axes.hlines(places, points["low"], points["high"], color=colour, linewidth=1.4)
        axes.plot(points["paper"], places, **PAPER_MARK)
        axes.plot(points["value"], places, "o", color=colour, markersize=4.5)  # over the diamonds
    axes.set_yticks(range(len(slices)), slices)
    axes.set(xlim=(0, None), ylim=(len(slices) - 0.45, -0.55))
    axes.grid(False, axis="y")


def co_occurrence_by_distance(rows: pd.DataFrame, title: str) -> Figure:
    """How often both of two units flip if one does, against their distance, and what chance alone would give.

    `rows`: of `co_occurrence_rows`, of one or more levels; a panel for each level and breakdown, slices in the order of
    the rows.  The authors' shares are diamonds.  O(rows).
    """
    found, chance = {"color": "#0173B2", "marker": "o", "linewidth": 2}, {"color": "#7A7A7A", "linestyle": "--"}
    of_panel = dict(list(rows.groupby(["level", "breakdown"], sort=False)))
    figure, areas = panels((0.8 + 4.3 * len(of_panel), 4.2), title, [""], list(of_panel))
    for axes, ((level, breakdown), cells) in zip(areas.values(), of_panel.items()):
        places = np.arange(len(cells))
        axes.plot(places, 100 * cells["share"], markersize=4, **found)
        axes.plot(places, 100 * cells["chance"], linewidth=1.6, **chance)
        axes.plot(places, 100 * cells["paper"], **PAPER_MARK)
        axes.set_xticks(places, cells["key"], rotation=45)
        axes.set(xlabel=BREAKDOWN_NAMES.get(breakdown, breakdown), ylim=(0, None))
        axes.set(ylabel="both flip\n(% of couples in which one does)")
        axes.set_title("two sub-trees" if "sub-tree" in level else "two words")
    looks = {"found": found, "if flips were independent": chance}
    legend(figure, looks | in_paper(rows, AUTHORS), 5)
    return figure
