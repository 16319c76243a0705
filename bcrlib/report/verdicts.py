"""Whether a number of ours agrees with the paper's: one rule for all tables."""

from collections.abc import Mapping

from bcrlib.report.paper_rows import Printed

INSIDE, NOT_RUN, NO_SPREAD = "inside", "not run", "–"
_ROUNDING = 1e-9  # of a difference of two floats


def verdict(printed: Printed, cell: Mapping[str, float | None] | None) -> str:
    """A number is *inside* where it differs from the paper's by no more than the standard deviation that the paper
    prints beside its own. Where the paper prints none, as for all flips, it is inside where the paper's number lies in
    our 95 % interval (of a bootstrap over sentences and our seeds). Else the verdict is the difference, ours minus the
    paper's, in points of per cent. Where neither has a spread there is no verdict (–).

    cell: our number as a row of a record, rates in [0, 1], with its interval; None where we have none.
    """
    if cell is None:
        return NOT_RUN
    difference = cell["value"] - printed.value
    if printed.spread is not None:
        inside = abs(difference) <= printed.spread + _ROUNDING
    elif cell["low"] is not None and cell["high"] is not None:
        inside = cell["low"] - _ROUNDING <= printed.value <= cell["high"] + _ROUNDING
    else:
        return NO_SPREAD
    return INSIDE if inside else f"{100 * difference:+.2f}".replace("-", "−")
