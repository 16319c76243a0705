"""The semantic half of a profile: what is asked for of conversational semantic parsing."""

from dataclasses import dataclass, field, replace

from bcrlib.configuration import Seq2SeqConfig, Seq2SeqTraining
from bcrlib.experiments import Update, parse_update
from bcrlib.pipeline.causes import Ablation


@dataclass(frozen=True)
class SemanticProfile:
    """Updates of s2s parsers; without any, this half of a run is left out."""

    updates: tuple[str, ...] = ()
    """Which kind of parser is replaced by which. The last one is that of Tables 5 and 6 and of Figures 2 and 3."""
    corpus: str = "demo"
    """"demo", "top", or a folder with train.tsv, eval.tsv and test.tsv."""
    ambiguity: float = 0.2
    """Dial of the generated corpus."""
    old_seeds: tuple[int, ...] = ()
    new_seeds: tuple[int, ...] = ()
    ensembles: tuple[tuple[int, ...], ...] = ()
    """Seeds of the members of each ensemble, disjoint from the old models."""
    ensemble_sizes: tuple[int, ...] = ()
    """How many members the growing ensembles of Figure 3 have: the first ones of `growing_seeds`."""
    further_seeds: tuple[int, ...] = ()
    """Of members of growing ensembles alone."""
    students: int = 0
    """How many of the old models teach a student, for each update; 0: all of them."""
    num_candidates: int = 10
    more_candidates: int = 0
    """By dropout-p of the chosen rate, for the end of Figure 2's curve; 0: no more than for the tables."""
    dropout_grid: tuple[float, ...] = ()
    """Rates among which dropout-p's is chosen on dev."""
    dev_share: float = 1.0
    """The choice is made on this share of dev."""
    sampling_grid: tuple[str, ...] = ()
    """Further strategies, compared on test (Table 5)."""
    part: float = 0.8
    """Share of the training data that part models see; which one, their seed says."""
    base: Seq2SeqConfig = field(default_factory=Seq2SeqConfig)
    """Of s2s-base and s2s-base-part; `preset` is filled in by `network`."""
    large: Seq2SeqConfig = field(default_factory=lambda: Seq2SeqConfig(encoder="roberta-large"))
    base_training: Seq2SeqTraining = field(default_factory=Seq2SeqTraining)
    large_training: Seq2SeqTraining = field(default_factory=Seq2SeqTraining)
    ablation: Ablation = field(default_factory=Ablation)
    """What varies in this half, if it is no whole run but a search for causes."""

    def network(self, kind: str, preset: str) -> Seq2SeqConfig:
        """Of the parsers of this kind."""
        return replace(self.large if is_large(kind) else self.base, preset=preset)

    def recipe(self, kind: str) -> Seq2SeqTraining:
        """For the parsers of this kind."""
        return self.large_training if is_large(kind) else self.base_training

    def parsed_updates(self) -> list[Update]:
        """`updates` as objects, each once."""
        return [parse_update(text) for text in dict.fromkeys(self.updates)]

    @property
    def growing_seeds(self) -> tuple[int, ...]:
        """Of all models that may join a growing ensemble, in this order."""
        in_groups = (seed for group in self.ensembles for seed in group)
        return tuple(dict.fromkeys([*self.new_seeds, *in_groups, *self.further_seeds]))


def is_part(kind: str) -> bool:
    """Whether parsers of this kind see a part of the training data only."""
    return kind.endswith("-part")


def is_large(kind: str) -> bool:
    """Whether parsers of this kind have the larger of the two sizes."""
    return kind.startswith("s2s-large")
