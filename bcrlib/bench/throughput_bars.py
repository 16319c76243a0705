"""The bars that the project set itself for a GPU of the class of an H200, and what of them one reaches.

They are of networks of the paper's sizes; elsewhere the same quantities are for information.
"""

from collections.abc import Sequence

from bcrlib.bench.bars import Bar
from bcrlib.bench.grid import PAPER_BATCH
from bcrlib.bench.throughput import Row

LEAST = {
    ("deepbiaf", "1-best"): 10_000,
    ("deepbiaf", "re-ranking"): 10_000,
    ("stackptr", "beam"): 3_000,
    ("stackptr", "re-ranking"): 10_000,
}
"""Sentences a second, at whatever batch size is best."""
MOST_DECODES = 4.0
"""That ten candidates by dropout-p may cost; in as many passes they cost ten."""
_WHAT = {
    "encoder": "its encoder alone",
    "bare LSTM": "torch.nn.LSTM of its size",
    "1-best": "1-best decoding",
    "greedy": "greedy decoding",
    "k-best": "the 10 best trees",
    "beam": "10 candidates by a beam of 10",
    "dropout-p": "10 candidates by dropout-p",
    "dropout-p, one by one": "10 candidates by dropout-p in ten passes",
    "re-ranking": "re-ranking 10 listed candidates",
    "re-ranking dropout-p": "re-ranking 10 candidates of dropout-p",
}


def throughput_bars(kind: str, precision: str, rows: Sequence[Row], is_judged: bool) -> list[Bar]:
    """What `bench_on_device` measured of a parser: its speeds, and what ten candidates by dropout-p cost.

    `is_judged`: whether it ran where the bars apply.
    """
    known = [row for row in rows if row["value"] is not None]
    steps = dict.fromkeys(row["step"] for row in known)
    bars = [_speed_bar(kind, precision, _best(known, step), is_judged) for step in steps]
    return bars + _cost_bars(kind, precision, known, is_judged)


def _best(rows: Sequence[Row], step: str) -> Row:
    return max((row for row in rows if row["step"] == step), key=lambda row: row["value"])


def _speed_bar(kind: str, precision: str, best: Row, is_judged: bool) -> Bar:
    step, size = best["step"], best["batch_size"]
    what = f"{kind}: {_WHAT[step]}, {precision}, batches of {size}: sentences a second"
    least = LEAST.get((kind, step)) if is_judged else None
    return Bar(f"{kind} {step} per second ({precision})", what, best["value"], least)


def _cost_bars(kind: str, precision: str, rows: Sequence[Row], is_judged: bool) -> list[Bar]:
    """Costs in 1-best decodes: in the paper's batches, and each at its best size; in ten passes for comparison."""
    in_paper = [row for row in rows if row["batch_size"] == PAPER_BATCH]
    most = MOST_DECODES if is_judged else None
    cases = [("dropout-p", in_paper, f"batches of {PAPER_BATCH}", most), ("dropout-p", rows, "best batches", most)]
    cases += [("dropout-p, one by one", in_paper, f"batches of {PAPER_BATCH}", None)]
    bars = []
    for step, some, batches, bar in cases:
        if {step, "1-best"} <= {row["step"] for row in some}:
            cost = _best(some, "1-best")["value"] / _best(some, step)["value"]
            what = f"{kind}: {_WHAT[step]}, {precision}, {batches}: cost in 1-best decodes"
            bars.append(Bar(f"{kind} {step} cost, {batches} ({precision})", what, cost, bar, at_most=True))
    return bars
