"""From the table of breakdowns to rates: NFR by slice with intervals, slices sorted by harm, common flips and chance.

Everything is computed from the counts that a run commits (`breakdown_tables`), without corpus or predictions.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from bcrlib.breakdown_tables import HISTOGRAM
from bcrlib.metrics.breakdowns import rates_of_slices
from bcrlib.report.authors_breakdowns import AUTHORS_PRESET, AUTHORS_UPDATE, authors_slices
from bcrlib.tasks.names import network_of

AUTHORS_LEVELS = ("UAS", "unlabelled sub-tree", "UCM")


def headline_update(table: pd.DataFrame) -> str:
    """The update that a story is told about: one between kinds of networks that BCR was tried on, else any such."""
    treated = table.loc[table["method"] == "BCR", "update"].unique().tolist()
    across = [update for update in treated if len(set(map(network_of, update.split("=>")))) == 2]
    return (across or treated)[0]


def slice_rates(table: pd.DataFrame, update: str, method: str, preset: str, level: str) -> pd.DataFrame:
    """How each slice of one level fares under one method of an update, "all" first: `rates_of_slices`.

    KeyError for what the table does not hold.
    """
    rows = _chosen(table, update, method, preset, level)
    return rates_of_slices(rows[rows["yy"].notna()].reset_index(drop=True))


def most_harmed(rates: pd.DataFrame, breakdowns: Sequence[str], number: int, level_of_q: float = 0.05) -> pd.DataFrame:
    """The slices whose NFR exceeds that of the rest most, among those called at this q-value: `slice_rates` rows.

    May be fewer than `number`, or none.
    """
    called = rates["breakdown"].isin(breakdowns) & (rates["q_value"] <= level_of_q) & (rates["excess"] > 0)
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
        for breakdown in breakdowns:
            for cell in rates[rates["breakdown"].isin([breakdown, "all"])].itertuples():
                names = {"group": group, "row": method, "level": breakdown, "metric": "NFR", "slice": cell.key}
                rows.append(names | {"value": cell.nfr, "low": cell.low, "high": cell.high})
    frame = pd.DataFrame(rows)
    theirs = authors_nfr() if authors else {}
    beside = zip(frame["row"], frame["level"], frame["slice"])
    frame["paper"] = [theirs.get((of, key), np.nan) if row == "Untreated" else np.nan for row, of, key in beside]
    return frame


def authors_nfr() -> dict[tuple[str, str], float]:
    """The authors' NFR by breakdown and slice, in our slices: their one update, untreated, heads only."""
    rows = authors_slices()
    rows = rows[(rows["update"] == AUTHORS_UPDATE) & rows["level"].isin(AUTHORS_LEVELS) & rows["nfr"].notna()]
    return {(row.breakdown, row.key): row.nfr for row in rows.itertuples() if row.breakdown != "all"}


def co_occurrence_rows(
    table: pd.DataFrame, update: str, method: str, preset: str, level: str, authors: bool = False
) -> pd.DataFrame:
    """Of the couples of which at least one unit flips, the share of which both do, a row a slice.

    Columns: level, breakdown, key, num_units (couples, in both orders), both, only_one, share, chance, paper.  `chance`
    is what `share` would be if the two flipped independently, each as often as units of such couples do: f / (2 - f).
    Both are nan where nothing flips.  `paper`: the authors' share, if asked for.  KeyError as in `slice_rates`.
    """
    rows = _chosen(table, update, method, preset, level)
    rows = rows[rows["both"].notna()]
    both, only_one, neither = (rows[name].to_numpy(np.float64) for name in ("both", "only_one", "neither"))
    flips = (both + only_one / 2) / (both + only_one + neither)
    rates = {"share": _share(both, only_one), "chance": np.where(flips > 0, flips / (2 - flips), np.nan)}
    frame = rows[["level", "breakdown", "key", "num_units", "both", "only_one"]].assign(**rates)
    theirs = (
        authors_slices().query("update == @AUTHORS_UPDATE and level == @level") if authors else authors_slices()[:0]
    )
    papers = dict(zip(zip(theirs["breakdown"], theirs["key"]), _share(theirs["both"], theirs["only_one"])))
    places = zip(frame["breakdown"], frame["key"])
    return frame.assign(paper=[papers.get(place, np.nan) for place in places]).reset_index(drop=True)


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
    wanted = {"update": update, "method": method, "preset": preset, "level": level}
    found = table[np.logical_and.reduce([table[column] == value for column, value in wanted.items()])]
    if found.empty:
        raise KeyError(f"no breakdown of {', '.join(wanted.values())}")
    return found


def _share(both: Sequence[float], only_one: Sequence[float]) -> np.ndarray:
    both, only_one = np.asarray(both, np.float64), np.asarray(only_one, np.float64)
    with np.errstate(invalid="ignore"):
        return both / (both + only_one)
