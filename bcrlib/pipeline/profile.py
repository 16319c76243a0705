"""The semantic half of a profile: what is asked for of conversational semantic parsing.

Profiles: how large a run is, as one commented YAML file; any value can be overridden by name.

The fields of a profile are of dependency parsing, its section `semantic` is of semantic parsing; either half is left
out where it has no updates.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml

from bcrlib.bench.grid import SpeedGrid
from bcrlib.experiments.counting import Update, parse_update
from bcrlib.parsers.configuration import NetworkConfig, Seq2SeqConfig, Seq2SeqTraining, TrainingConfig
from bcrlib.pipeline.causes import Ablation, is_ablation, with_values
from bcrlib.samplers.strategies import Joined, KBest, OneBest, parse_strategy
from bcrlib.tasks.names import TASKS, network_of


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


STATIC = "deepbiaf-static"
PROFILE_FOLDER = Path(__file__).resolve().parents[2] / "notebooks" / "profiles"


@dataclass(frozen=True)
class Profile:
    """All that a run of the pipeline is asked for."""

    name: str
    corpus: str
    old_seeds: tuple[int, ...]
    new_seeds: tuple[int, ...]
    ensembles: tuple[tuple[int, ...], ...]
    """Seeds of the members of each ensemble, disjoint from the old models."""
    dropout_grid: tuple[float, ...]
    """Rates among which dropout-p's is chosen on dev."""
    dev_share: float = 1.0
    """The choice is made on this share of dev."""
    updates: tuple[str, ...] = ("deepbiaf=>deepbiaf", "stackptr=>stackptr", "deepbiaf=>stackptr")
    """Which kind of parser is replaced by which; none: this half of the run is left out."""
    sampling_grid: tuple[str, ...] = ()
    """Further strategies of stackptr, compared on test."""
    ambiguity: float = 0.2
    """Dial of the generated corpus."""
    num_candidates: int = 10
    preset: str = "clean"
    """Definitions by which models are trained and decoded; correctness is counted under both presets."""
    precision: str = "auto"
    """Of matrix products: float32, bfloat16, or auto, i.e. bfloat16 where the hardware has it. Trees are decoded
    and scored in float32 whatever this says."""
    speed: SpeedGrid = field(default_factory=SpeedGrid)
    """Where speed is measured, of both halves."""
    workers: int = 0
    """How many jobs run at a time on one machine; 0: one a core."""
    model: NetworkConfig = field(default_factory=NetworkConfig)
    """Sizes of all kinds of parsers; `kind` and `preset` are filled in by `network`."""
    training: TrainingConfig = field(default_factory=TrainingConfig)
    """Recipe of deepbiaf."""
    static_vectors: str = "minilm"
    """Word vectors of the kind deepbiaf-static; those of all others are `model.vectors`."""
    static_training: TrainingConfig = field(default_factory=TrainingConfig)
    """Recipe of deepbiaf-static; in a file what it does not say is as in `training`."""
    stackptr_training: TrainingConfig = field(default_factory=TrainingConfig)
    stackptr_students: int = 0
    """How many of the old models teach a stackptr student, for each update into stackptr; 0: all of them."""
    ablation: Ablation = field(default_factory=Ablation)
    """What varies in this half, if it is no whole run but a search for causes."""
    semantic: SemanticProfile = field(default_factory=SemanticProfile)

    def network(self, kind: str) -> NetworkConfig:
        """Of the parsers of this kind."""
        vectors = self.static_vectors if kind == STATIC else self.model.vectors
        return replace(self.model, kind=network_of(kind), vectors=vectors, preset=self.preset)

    def recipe(self, kind: str) -> TrainingConfig:
        """For the parsers of this kind."""
        recipes = {STATIC: self.static_training, "deepbiaf": self.training, "stackptr": self.stackptr_training}
        return recipes[kind]

    def parsed_updates(self) -> list[Update]:
        """`updates` as objects, each once."""
        return [parse_update(text) for text in dict.fromkeys(self.updates)]


def load_profile(name: str, overrides: tuple[str, ...] = ()) -> Profile:
    """The profile of this name, or of this YAML file, with overrides such as "training.num_epochs=3".

    ValueError: unknown profile, unknown or misspelt field (the nearest one is named), a value of the wrong type,
    an update or a strategy that does not exist, a model that were both old and new.
    """
    path = Path(name) if name.endswith(".yaml") else PROFILE_FOLDER / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in PROFILE_FOLDER.glob("*.yaml")))
        raise ValueError(f"unknown profile {name!r}; choose one of {known}, or give the path of a YAML file")
    content = _read(path) | {"name": path.stem}
    for override in overrides:
        _override(content, override)
    content["static_training"] = _laid_over(content.get("training", {}), content.get("static_training", {}))
    profile = _build(Profile, content, "")
    _check(profile)
    return profile


def _read(path: Path) -> dict[str, Any]:
    """The file's values, laid over those of the profile that its `like` names."""
    content = _read_yaml(path)
    return _laid_over(_read(path.with_name(f"{like}.yaml")), content) if (like := content.pop("like", "")) else content


def _laid_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = {k: _laid_over(below[k], v) for k, v in above.items() if isinstance(v, dict) and k in below}
    return below | above | merged


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold NAME: VALUE lines")
    return content


def _override(content: dict[str, Any], override: str) -> None:
    place, equals, value = override.partition("=")
    if not equals:
        raise ValueError(f"an override has the form NAME=VALUE, not {override!r}")
    *path, last = place.split(".")
    for part in path:
        content = content.setdefault(part, {})
        if not isinstance(content, dict):
            raise ValueError(f"{place}: {part} has no fields of its own")
    content[last] = yaml.safe_load(value)


def _build(kind: type, content: dict[str, Any], place: str) -> Any:
    known = {f.name: f for f in fields(kind)}
    for name in content:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {place}{near[0]}?" if near else f"; known: {', '.join(known)}"
            raise ValueError(f"unknown field {place}{name}{hint}")
    try:
        instance = kind(**content)
    except TypeError as error:
        raise ValueError(f"profile: {error}") from None
    return replace(instance, **{n: _value(v, known[n].type, place + n) for n, v in content.items()})


def _value(value: Any, kind: Any, place: str) -> Any:
    if is_dataclass(kind):
        return _build(kind, value, f"{place}.")
    if get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise ValueError(f"{place} must be a list, not {value!r}")
        return tuple(tuple(v) if isinstance(v, list) else v for v in value)
    if kind is float and isinstance(value, int | str):
        value = float(value)
    if get_origin(kind) is Literal and value not in get_args(kind):
        raise ValueError(f"{place} must be one of {', '.join(get_args(kind))}, not {value!r}")
    if kind in (int, float, str, bool) and type(value) is not kind:
        raise ValueError(f"{place} must be {kind.__name__}, not {value!r}")
    return value


def _check(profile: Profile) -> None:
    """What types do not tell."""
    if not profile.updates and not profile.semantic.updates:
        raise ValueError("updates or semantic.updates must name at least one update")
    _check_kinds(profile.parsed_updates(), "dependency", "updates")
    for text in profile.sampling_grid:
        if isinstance(parse_strategy(text), OneBest | KBest | Joined):
            raise ValueError(f"sampling_grid holds strategies of stackptr, and {text} is none")
    unset = NetworkConfig()
    if (profile.model.kind, profile.model.preset) != (unset.kind, unset.preset):
        raise ValueError("model.kind follows from `updates`, and model.preset from the profile's `preset`: set those")
    new = [*profile.new_seeds, *(seed for group in profile.ensembles for seed in group)]
    _check_disjoint(profile.old_seeds, new, "")
    _check_static(profile)
    _check_share(profile.dev_share, "dev_share")
    _check_semantic(profile.semantic)
    if is_ablation(profile):
        _check_ablation(profile, "")
        _check_ablation(profile.semantic, "semantic.")


def _check_ablation(half: Profile | SemanticProfile, place: str) -> None:
    """A run of cells has one update a half, and nothing but cells."""
    within = [update for update in half.parsed_updates() if update.old == update.new]
    if half.updates and not (half.ablation.vary and len(within) == len(half.updates) == 1):
        raise ValueError(f"{place}ablation varies fields of one update of a kind to itself, not {[*half.updates]}")
    for name in ("train_share", "test_share"):
        _check_share(getattr(half.ablation, name), f"{place}ablation.{name}")
    for values in half.ablation.cells().values():
        with_values(half, values)


def _check_static(profile: Profile) -> None:
    kinds = {kind for update in profile.parsed_updates() for kind in (update.old, update.new)}
    same = profile.network(STATIC) == profile.network("deepbiaf") and profile.static_training == profile.training
    if STATIC in kinds and same:
        raise ValueError(f"{STATIC} is a deepbiaf in all but its name: set static_vectors, or static_training")


def _check_semantic(half: SemanticProfile) -> None:
    _check_kinds(half.parsed_updates(), "semantic", "semantic.updates")
    for name in ("old_seeds", "new_seeds", "dropout_grid") if half.updates else ():
        if not getattr(half, name):
            raise ValueError(f"semantic.{name} is empty, and semantic.updates need it")
    for text in half.sampling_grid:
        if isinstance(parse_strategy(text), OneBest | KBest | Joined):
            raise ValueError(f"semantic.sampling_grid holds strategies of s2s parsers, and {text} is none")
    if {half.base.preset, half.large.preset} != {Seq2SeqConfig().preset}:
        raise ValueError("the preset of both sizes follows from the profile's `preset`: set that")
    _check_disjoint(half.old_seeds, half.growing_seeds, "semantic.")
    most = len(half.growing_seeds)
    if any(not 1 <= size <= most for size in half.ensemble_sizes):
        raise ValueError(
            f"semantic.ensemble_sizes must be in 1..{most}: no more new, ensemble and further seeds are given"
        )
    _check_share(half.part, "semantic.part")
    _check_share(half.dev_share, "semantic.dev_share")


def _check_share(share: float, place: str) -> None:
    if not 0 < share <= 1:
        raise ValueError(f"{place} is a share in (0, 1], not {share}")


def _check_kinds(updates: list[Update], task: str, place: str) -> None:
    for update in updates:
        if update.task is not TASKS[task]:
            raise ValueError(f"{place} names {update}; its kinds are {', '.join(TASKS[task].kinds)}")


def _check_disjoint(old: tuple[int, ...], new: Sequence[int], place: str) -> None:
    if both := sorted(set(old) & set(new)):
        raise ValueError(f"{place}old_seeds, and new_seeds with ensembles, must be disjoint; both have {both}")
