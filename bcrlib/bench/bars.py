"""How fast is fast enough: the bars that the project set itself, and what of them a machine reaches."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

OF_LSTM = "fraction of a bare LSTM"
"""Of the speed of torch.nn.LSTM in float32, forward or, for training, forward and backward, on the same batches."""


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


def parser_bars(speed: Mapping[str, float | str]) -> list[Bar]:
    """Bars of what `bench_parser` measured of a dependency parser of either kind."""
    return _stackptr_bars(speed) if speed["kind"] == "stackptr" else _deepbiaf_bars(speed)


def seq2seq_bars(speed: Mapping[str, Any]) -> list[Bar]:
    """Bars of what `bench_seq2seq` measured."""
    precision = speed["precision"]

    def bar(key: str, what: str, against: str, bar: float | None) -> Bar:
        return Bar(f"s2s_{key} ({precision})", f"s2s: {what}, {precision}: {against}", float(speed[key]), bar)

    ranked = "re-ranking 10 candidates of dropout-p"
    return [
        bar("greedy", "greedy decoding", "speed against generate of transformers", 1.0),
        bar("reranking_dropout_p", f"{ranked}, 3 different", "speed against decoding them", 5.0),
        bar("reranking_different", f"{ranked}, all different", "speed against decoding them", None),
        bar("dropout_p", "10 candidates by dropout-p", "speed against one greedy decode", None),
        bar("beam", "10 candidates by a beam of 10", "speed against one greedy decode", None),
    ]


def _deepbiaf_bars(speed: Mapping[str, float | str]) -> list[Bar]:
    precision = speed["precision"]

    def bar(key: str, what: str, bar: float) -> Bar:
        return Bar(f"{key} ({precision})", f"deepbiaf: {what}, {precision}: {OF_LSTM}", float(speed[key]), bar)

    return [
        bar("decoding", "1-best decoding", 0.65),
        bar("reranking", "re-ranking 10 candidates", 0.65),
        bar("training", "training step", 0.5),
    ]


def _stackptr_bars(speed: Mapping[str, float | str]) -> list[Bar]:
    precision = speed["precision"]

    def bar(key: str, what: str, against: str, bar: float) -> Bar:
        name = f"stackptr_{key} ({precision})"
        return Bar(name, f"stackptr: {what}, {precision}: {against}", float(speed[key]), bar)

    return [
        bar("greedy", "greedy decoding", OF_LSTM, 0.45),
        bar("beam", "10 candidates by a beam of 10", OF_LSTM, 0.25),
        bar("reranking_beam", "re-ranking 10 candidates of a beam", "speed against that beam search", 1.0),
        bar("reranking_dropout_p", "re-ranking 10 candidates of dropout-p", "speed against decoding them", 5.0),
        bar("training", "training step", OF_LSTM, 0.35),
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
