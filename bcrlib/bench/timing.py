"""How speed and memory are measured, and how fast is fast enough: ratios and speeds beside the project's own bars.

The contestants take turns, so that what else the machine does hits all alike.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64

from bcrlib.experiments.speed_grid import MEMORY, NUM_CANDIDATES, PAPER_BATCH, SPEED, STEPS
from bcrlib.parsers.pieces import forget


@dataclass(frozen=True, eq=False)
class Contestant:
    """A step of a parser, or a yardstick, to be timed beside others."""

    step: str
    run: Callable[[], object]
    num_items: int
    """How many sentences it works through."""
    batch_size: int = PAPER_BATCH
    num_candidates: int = NUM_CANDIDATES
    """Of a sentence; 0: it has none."""
    words: float | None = None
    """Mean length of its sentences, where that is what is varied."""


Seconds = Mapping[Contestant, Float64[np.ndarray, "turn"]]
Row = dict[str, str | int | float | None]
"""A measurement: "step", "batch_size", "num_candidates", "words", "metric" and "value"."""
DIGITS = 6
"""That a measured value keeps: a file of many of them stays small."""


def timed(contestants: Iterable[Contestant], num_turns: int, clock: Callable[[], float]) -> Seconds:
    """Seconds of each contestant in each turn, after one to warm up; without those too large for a GPU's memory.

    `time.process_time` counts what else runs on the machine least, and is of no use where a GPU does the work.
    Contextual vectors are computed in every run, once.
    """
    seconds: dict[Contestant, list[float]] = {one: [] for one in contestants if _fits(one.run)}
    for _ in range(num_turns):
        for one, turns in seconds.items():
            forget()
            start = clock()
            one.run()
            turns.append(clock() - start)
    return {one: np.array(turns) for one, turns in seconds.items()}


def per_second(one: Contestant, turns: Float64[np.ndarray, "turn"]) -> float:
    """Sentences a second: the median over turns."""
    return one.num_items / float(np.median(turns))


def throughput(contestants: Sequence[Contestant], device: str, num_turns: int) -> list[Row]:
    """Sentences a second by the clock, a row a contestant in their order (paper, section 6.4).

    None where the memory of the GPU does not do.
    """

    def clock() -> float:
        if device == "cuda":
            torch.cuda.synchronize()  # it has then finished what it was given
        return time.perf_counter()

    seconds = timed(contestants, num_turns, clock)
    return [_row(one, SPEED, per_second(one, seconds[one]) if one in seconds else None) for one in contestants]


def memory(contestants: Iterable[Contestant]) -> list[Row]:
    """The most bytes of tensors at once beyond those before, a row a contestant in their order; None: too many.

    On CUDA alone, whose allocator counts them. What a process takes of a CPU's memory tells little of one step: what an
    earlier one has used is kept for the next.
    """
    rows = []
    for one in contestants:
        fits = _fits(one.run)
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        if fits:
            one.run()
            torch.cuda.synchronize()
        rows.append(_row(one, MEMORY, torch.cuda.max_memory_allocated() - before if fits else None))
    return rows


def _row(one: Contestant, metric: str, value: float | None) -> Row:
    about = {name: getattr(one, name) for name in ("step", "batch_size", "num_candidates", "words")}
    return about | {"metric": metric, "value": None if value is None else float(f"{value:.{DIGITS}g}")}


def _fits(run: Callable[[], object]) -> bool:
    """Whether a run ends before the memory of the GPU does; what it took is free again."""
    try:
        run()
        return True
    except torch.OutOfMemoryError:
        pass  # the frames it has gone through still hold their tensors here
    torch.cuda.empty_cache()
    return False


LSTM, LSTM_TRAINING = "bare LSTM", "training of bare LSTM"
OF_LSTM = "fraction of a bare LSTM"
"""Of the speed of torch.nn.LSTM in float32, forward or, for training, forward and backward, on the same batches."""
OF_DECODING = "speed against decoding them"
ONE_GREEDY = "speed against one greedy decode"
_RANKED = "re-ranking 10 candidates of dropout-p"


@dataclass(frozen=True)
class Bar:
    """One measured quantity beside what it should reach."""

    name: str
    what: str
    """For people."""
    value: float | None
    """None: not measured."""
    bar: float | None
    """None: there is none, the value is for information."""
    at_most: bool = False
    """Whether the bar is an upper limit."""

    @property
    def met(self) -> bool | None:
        """None where nothing was measured, or there is no bar."""
        if self.value is None or self.bar is None:
            return None
        return self.value <= self.bar if self.at_most else self.value >= self.bar

    def to_json(self) -> dict[str, Any]:
        """The fields, and whether the bar is met."""
        return asdict(self) | {"met": self.met}


@dataclass(frozen=True)
class Ratio:
    """An entry of a record: the speed of a step against another one's on the same items; alone, its items a second."""

    key: str
    step: str
    against: str | None = None
    """The step that is the yardstick."""
    what: str = ""
    """For people; without it there is no bar, and none for information."""
    unit: str = OF_LSTM
    bar: float | None = None
    times: float = 1.0
    """A factor."""


RATIOS = {
    "deepbiaf": (
        Ratio("lstm_sentences_per_second", LSTM),
        Ratio("lstm_training_tokens_per_second", LSTM_TRAINING),
        Ratio("decoding", "1-best", LSTM, "1-best decoding", bar=0.65),
        Ratio("k_best", "k-best", LSTM),
        Ratio("reranking", "re-ranking", LSTM, "re-ranking 10 candidates", bar=0.65),
        Ratio("dropout_p", "dropout-p", LSTM),
        # Their cost in ten 1-best decodes: 1 is as dear as the paper's way.
        Ratio("dropout_p_against_ten_decodes", "1-best", "dropout-p", times=0.1),
        Ratio("training", "training", LSTM_TRAINING, "training step", bar=0.5),
    ),
    "stackptr": (
        Ratio("lstm_sentences_per_second", LSTM),
        Ratio("lstm_training_tokens_per_second", LSTM_TRAINING),
        Ratio("greedy", "greedy", LSTM, "greedy decoding", bar=0.45),
        Ratio("beam", "beam", LSTM, "10 candidates by a beam of 10", bar=0.25),
        Ratio(
            "reranking_beam", "re-ranking", "beam", "re-ranking 10 candidates of a beam",
            "speed against that beam search", 1.0,
        ),
        Ratio("reranking_dropout_p", "re-ranking dropout-p", "dropout-p", _RANKED, OF_DECODING, 5.0),
        Ratio("training", "training", LSTM_TRAINING, "training step", bar=0.35),
    ),
    "s2s": (
        Ratio("greedy_utterances_per_second", "1-best"),
        Ratio("generate_utterances_per_second", "generate"),
        Ratio("greedy", "1-best", "generate", "greedy decoding", "speed against generate of transformers", 1.0),
        Ratio(
            "reranking_dropout_p", "re-ranking agreeing dropout-p", "dropout-p", f"{_RANKED}, 3 different",
            OF_DECODING, 5.0,
        ),
        Ratio("reranking_different", "re-ranking dropout-p", "dropout-p", f"{_RANKED}, all different", OF_DECODING),
        Ratio("dropout_p", "dropout-p", "1-best of few", "10 candidates by dropout-p", ONE_GREEDY),
        Ratio("beam", "beam", "1-best of few", "10 candidates by a beam of 10", ONE_GREEDY),
    ),
    "trees": (
        *(Ratio(name, name) for name in ("one_best_single_root", "one_best_unconstrained", "ten_best_single_root")),
        Ratio("ufal_single_root", "ufal_single_root"),
        Ratio("ratio_one_best_to_ufal", "one_best_single_root", "ufal_single_root"),
        Ratio("ratio_ten_best_to_one_best", "ten_best_single_root", "one_best_single_root"),
    ),
}  # fmt: skip
"""What is made of the seconds of each kind of parser and of the tree searches; steps that stand nowhere are not timed.

With random weights the candidates of a beam are different trees wherever a sentence has as many, and agree less than a
trained parser's do: re-ranking has more to read.
"""
LEAST = {
    ("deepbiaf", "1-best"): 10_000,
    ("deepbiaf", "re-ranking"): 10_000,
    ("stackptr", "beam"): 3_000,
    ("stackptr", "re-ranking"): 10_000,
}
"""Sentences a second, at whatever batch size is best, of networks of the paper's sizes on a GPU like an H200."""
MOST_DECODES = 4.0
"""That ten candidates by dropout-p may cost there; in as many passes they cost ten."""


def ratios(kind: str, seconds: Seconds) -> dict[str, float]:
    """The record of a kind, from the seconds of its steps; without entries about steps that took no turns.

    A ratio is the median over turns of the ratio within a turn: what slows a whole turn down does not count.
    """
    turns = {one.step: of_step for one, of_step in seconds.items()}
    speeds = {one.step: per_second(one, of_step) for one, of_step in seconds.items()}
    return {
        r.key: r.times * float(np.median(turns[r.against] / turns[r.step])) if r.against else speeds[r.step]
        for r in RATIOS[kind]
        if {r.step, r.against or r.step} <= turns.keys()
    }


def ratio_bars(kind: str, records: Mapping[str, Mapping[str, Any]]) -> list[Bar]:
    """Bars of a kind of parser; `records`: precision -> what `ratios` made of its seconds."""
    prefix = "" if kind == "deepbiaf" else f"{kind}_"
    return [
        Bar(f"{prefix}{r.key} ({name})", f"{kind}: {r.what}, {name}: {r.unit}", float(record[r.key]), r.bar)
        for name, record in records.items()
        for r in RATIOS[kind]
        if r.what
    ]


def tree_bars(record: Mapping[str, float]) -> list[Bar]:
    """Bars of the tree searches. The peer of the first may not be installed."""
    ufal, ten = (record.get(f"ratio_{name}") for name in ("one_best_to_ufal", "ten_best_to_one_best"))
    return [
        Bar("one_best_trees", "single-root 1-best trees: speed against ufal.chu_liu_edmonds", ufal, 1.0),
        Bar("ten_best_trees", "10-best single-root trees: speed against our 1-best", ten, 0.25),
    ]


def accuracy_bars(record: Mapping[str, float]) -> list[Bar]:
    """Bars of a training with a profile's deepbiaf on EWT: "uas", "las", "cpu_minutes"."""
    network = "2 x 200 network, one core"
    return [
        Bar("accuracy_uas", f"{network}: test UAS without PUNCT", record["uas"], 0.874),
        Bar("accuracy_las", f"{network}: test LAS without PUNCT", record["las"], 0.849),
        Bar("accuracy_minutes", f"{network}: CPU minutes", record["cpu_minutes"], 6.0, at_most=True),
    ]


def throughput_bars(kind: str, rows: Mapping[str, Sequence[Row]], is_judged: bool) -> list[Bar]:
    """Speeds on a device, each in the batches that are best for it, and the cost of dropout-p in 1-best decodes.

    The cost is that in the paper's batches and that of each at its best; in ten passes for comparison.
    `rows`: by precision.  `is_judged`: whether the bars apply; elsewhere the values are for information.
    """
    bars, most, of_paper = [], MOST_DECODES if is_judged else None, f"batches of {PAPER_BATCH}"
    for precision, some in rows.items():
        known = [row for row in some if row["value"] is not None]
        best, in_paper = _best(known), _best([row for row in known if row["batch_size"] == PAPER_BATCH])
        for step, row in best.items():
            what = f"{kind}: {STEPS[step].name}, {precision}, batches of {row['batch_size']}: sentences a second"
            least = LEAST.get((kind, step)) if is_judged else None
            bars.append(Bar(f"{kind} {step} per second ({precision})", what, row["value"], least))
        cases = [("dropout-p", in_paper, of_paper, most), ("dropout-p", best, "best batches", most)]
        for step, found, where, bar in [*cases, ("dropout-p, one by one", in_paper, of_paper, None)]:
            if {step, "1-best"} <= found.keys():
                cost = found["1-best"]["value"] / found[step]["value"]
                what = f"{kind}: {STEPS[step].name}, {precision}, {where}: cost in 1-best decodes"
                bars.append(Bar(f"{kind} {step} cost, {where} ({precision})", what, cost, bar, at_most=True))
    return bars


def _best(rows: Sequence[Row]) -> dict[str, Row]:
    """The fastest row of each step, steps in their order."""
    return {
        step: max((row for row in rows if row["step"] == step), key=lambda row: row["value"])
        for step in dict.fromkeys(row["step"] for row in rows)
    }
