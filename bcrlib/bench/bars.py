"""How fast is fast enough: the bars that the project set itself, and what of them a machine reaches."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Bar:
    """One measured quantity beside what it should reach."""

    name: str
    what: str
    """For people."""
    value: float | None
    """None: not measured."""
    bar: float
    at_most: bool = False
    """Whether the bar is an upper limit."""

    @property
    def met(self) -> bool | None:
        """None where nothing was measured."""
        if self.value is None:
            return None
        return self.value <= self.bar if self.at_most else self.value >= self.bar

    def to_json(self) -> dict[str, Any]:
        """The fields, and whether the bar is met."""
        return asdict(self) | {"met": self.met}


def parser_bars(speed: Mapping[str, float | str]) -> list[Bar]:
    """Bars of what `bench_parser` measured: fractions of the speed of a bare float32 nn.LSTM on the same batches."""
    precision = speed["precision"]

    def bar(key: str, what: str, bar: float) -> Bar:
        return Bar(f"{key} ({precision})", f"{what}, {precision}: fraction of a bare LSTM", float(speed[key]), bar)

    return [
        bar("decoding", "1-best decoding", 0.65),
        bar("reranking", "re-ranking 10 candidates", 0.65),
        bar("training", "training step", 0.5),
    ]


def tree_bars(speed: Mapping[str, float]) -> list[Bar]:
    """Bars of what `bench_trees` measured. The peer of the first may not be installed."""
    return [
        Bar(
            "one_best_trees",
            "single-root 1-best trees: speed against ufal.chu_liu_edmonds",
            speed.get("ratio_one_best_to_ufal"),
            1.0,
        ),
        Bar(
            "ten_best_trees",
            "10-best single-root trees: speed against our 1-best",
            speed["ratio_ten_best_to_one_best"],
            0.25,
        ),
    ]


def accuracy_bars(result: Mapping[str, float]) -> list[Bar]:
    """Bars of what `bench_accuracy` measured on EWT."""
    return [
        Bar("accuracy_uas", "2 x 200 network, one core: test UAS without PUNCT", result["uas"], 0.874),
        Bar("accuracy_las", "2 x 200 network, one core: test LAS without PUNCT", result["las"], 0.849),
        Bar("accuracy_minutes", "2 x 200 network, one core: CPU minutes", result["cpu_minutes"], 6.0, at_most=True),
    ]
