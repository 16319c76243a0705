"""Profiles: how large a run is, as one commented YAML file; any value can be overridden by name.

The fields of a profile are of dependency parsing, its section `semantic` is of semantic parsing; either half is left
out where it has no updates.
"""

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

from bcrlib.data.files import ROOT
from bcrlib.experiments.counting import Update, parse_update
from bcrlib.experiments.speed_grid import SpeedGrid
from bcrlib.parsers.configuration import NetworkConfig, Seq2SeqConfig, Seq2SeqTraining, TrainingConfig
from bcrlib.samplers.strategies import Joined, KBest, OneBest, parse_strategy
from bcrlib.tasks import TASKS, network_of

STATIC = "deepbiaf-static"
PROFILE_FOLDER = ROOT / "notebooks" / "profiles"
OF_WHOLE = ("name", "preset", "precision")
"""Fields that the semantic half has from the profile that it is in."""
Values = Mapping[str, Any]
"""What a cell has otherwise than its half of the profile: {"training.num_epochs": 4}."""


def cell_name(of_factor: Mapping[str, str]) -> str:
    """{"epochs": "4", "vectors": "minilm"} -> "epochs 4, vectors minilm" """
    return ", ".join(f"{factor} {value}" for factor, value in of_factor.items())


@dataclass(frozen=True)
class Ablation:
    """What varies in one half of a profile; where nothing does, that is an ordinary run."""

    vary: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """Field of the half -> the values that it takes; each combination is a cell.

    Fields with a comma between them go together: "a.dropout, a.attention_dropout" -> [[0.1, 0.0], [0.3, 0.1]].
    """
    train_share: float = 1.0
    """All models of all cells learn from this share of train, the same one."""
    test_share: float = 1.0
    """And are measured on this share of test."""

    def cells(self) -> dict[str, Values]:
        """Every combination under its name, "epochs 4, vectors minilm"; the last field varies fastest."""
        found: dict[str, Values] = {}
        for combination in product(*self.vary.values()) if self.vary else ():
            values: dict[str, Any] = {}
            for key, value in zip(self.vary, combination):
                names = [name.strip() for name in key.split(",")]
                values |= dict(zip(names, value if len(names) > 1 else [value], strict=True))
            found[cell_name(dict(zip(self.factors(), map(_shown, combination))))] = values
        return found

    def factors(self) -> dict[str, list[str]]:
        """What varies -> its values, by the names in those of cells: {"epochs": ["4", "10"], ...}."""
        return {
            key.split(",")[0].rsplit(".", 1)[-1].removeprefix("num_").replace("_", " "): [*map(_shown, values)]
            for key, values in self.vary.items()
        }


def _shown(value: Any) -> str:
    """A value as a cell is named after it; of values that go together the first."""
    first = value[0] if isinstance(value, list | tuple) else value
    return f"{first:g}" if isinstance(first, float) else str(first)


@dataclass(frozen=True)
class HalfProfile:
    """What is asked for of one task; `Profile` and `SemanticProfile` add the sizes and recipes of its parsers."""

    __pydantic_config__ = ConfigDict(extra="forbid")
    task = ""
    ensemble_sizes, further_seeds, more_candidates = (), (), 0  # of the semantic half alone

    name: str = ""
    corpus: str = "demo"
    """"demo"; "ewt" of trees, "top" of frames; or a folder of files like theirs."""
    ambiguity: float = 0.2
    """Dial of the generated corpus."""
    updates: tuple[str, ...] = ()
    """Which kind of parser is replaced by which; none: this half of the run is left out."""
    old_seeds: tuple[int, ...] = ()
    new_seeds: tuple[int, ...] = ()
    ensembles: tuple[tuple[int, ...], ...] = ()
    """Seeds of the members of each ensemble, disjoint from the old models."""
    num_candidates: int = 10
    dropout_grid: tuple[float, ...] = ()
    """Rates among which dropout-p's is chosen on dev."""
    dev_share: float = 1.0
    """The choice is made on this share of dev."""
    sampling_grid: tuple[str, ...] = ()
    """Further strategies, compared on test: of stackptr, or of the semantic half's last update."""
    preset: str = "clean"
    """Definitions by which models are trained and decoded; correctness is counted under both presets."""
    precision: str = "auto"
    """Of matrix products: float32, bfloat16, or auto, i.e. bfloat16 where the hardware has it. Trees are decoded
    and scored in float32 whatever this says."""
    ablation: Ablation = field(default_factory=Ablation)
    """What varies in this half, if it is no whole run but a search for causes."""

    def parsed_updates(self) -> list[Update]:
        """`updates` as objects, each once."""
        return [parse_update(text) for text in dict.fromkeys(self.updates)]

    @property
    def growing_seeds(self) -> tuple[int, ...]:
        """Of all models that may join a growing ensemble, in this order: new ones, members, further ones."""
        in_groups = (seed for group in self.ensembles for seed in group)
        return tuple(dict.fromkeys([*self.new_seeds, *in_groups, *self.further_seeds]))

    @property
    def decoding_precision(self) -> str:
        """Of decoding and scoring; trees are decoded exactly."""
        return "float32" if self.task == "dependency" else self.precision


@dataclass(frozen=True)
class SemanticProfile(HalfProfile):
    """Updates of s2s parsers. The last one is that of Tables 5 and 6 and of Figures 2 and 3."""

    task = "semantic"
    ensemble_sizes: tuple[int, ...] = ()
    """How many members the growing ensembles of Figure 3 have: the first ones of `growing_seeds`."""
    further_seeds: tuple[int, ...] = ()
    """Of members of growing ensembles alone."""
    students: int = 0
    """How many of the old models teach a student, for each update; 0: all of them."""
    more_candidates: int = 0
    """By dropout-p of the chosen rate, for the end of Figure 2's curve; 0: no more than for the tables."""
    part: float = 0.8
    """Share of the training data that part models see; which one, their seed says."""
    base: Seq2SeqConfig = field(default_factory=Seq2SeqConfig)
    """Of s2s-base and s2s-base-part; `preset` is filled in by `network`."""
    large: Seq2SeqConfig = field(default_factory=lambda: Seq2SeqConfig(encoder="roberta-large"))
    base_training: Seq2SeqTraining = field(default_factory=Seq2SeqTraining)
    large_training: Seq2SeqTraining = field(default_factory=Seq2SeqTraining)

    def network(self, kind: str) -> Seq2SeqConfig:
        """Of the parsers of this kind."""
        return replace(self.large if kind.startswith("s2s-large") else self.base, preset=self.preset)

    def recipe(self, kind: str) -> Seq2SeqTraining:
        """For the parsers of this kind."""
        return self.large_training if kind.startswith("s2s-large") else self.base_training

    def num_students(self, kind: str) -> int:
        """Of this kind, for each update; 0: as many as old models."""
        return self.students


def is_part(kind: str) -> bool:
    """Whether parsers of this kind see a part of the training data only."""
    return kind.endswith("-part")


@dataclass(frozen=True)
class Profile(HalfProfile):
    """All that a run of the pipeline is asked for: of dependency parsing, and in `semantic` of semantic parsing."""

    task = "dependency"
    updates: tuple[str, ...] = ("deepbiaf=>deepbiaf", "stackptr=>stackptr", "deepbiaf=>stackptr")
    speed: SpeedGrid = field(default_factory=SpeedGrid)
    """Where speed is measured, of both halves."""
    workers: int = 0
    """How many jobs run at a time on one machine; 0: one a core."""
    threads: int = 0
    """Of a job, which adds up in another order with more of them; 0: the cores divided among the jobs."""
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
    semantic: SemanticProfile = field(default_factory=SemanticProfile)

    def __post_init__(self) -> None:
        of_whole = {name: getattr(self, name) for name in OF_WHOLE}
        object.__setattr__(self, "semantic", replace(self.semantic, **of_whole))

    def network(self, kind: str) -> NetworkConfig:
        """Of the parsers of this kind."""
        vectors = self.static_vectors if kind == STATIC else self.model.vectors
        return replace(self.model, kind=network_of(kind), vectors=vectors, preset=self.preset)

    def recipe(self, kind: str) -> TrainingConfig:
        """For the parsers of this kind."""
        recipes = {STATIC: self.static_training, "deepbiaf": self.training, "stackptr": self.stackptr_training}
        return recipes[kind]

    def num_students(self, kind: str) -> int:
        """Of this kind, for each update; 0: as many as old models."""
        return self.stackptr_students if kind == "stackptr" else 0

    def halves(self) -> dict[str, "Profile | SemanticProfile"]:
        """By task, those with updates."""
        return {half.task: half for half in (self, self.semantic) if half.updates}

    @property
    def is_ablation(self) -> bool:
        """Whether cells are asked for instead of a whole run."""
        return bool(self.ablation.vary or self.semantic.ablation.vary)


Half = TypeVar("Half", Profile, SemanticProfile)


def json_values(settings: Any) -> dict[str, Any]:
    """The fields of a dataclass as JSON values, for parameters and manifests."""
    return json.loads(json.dumps(asdict(settings)))


def with_values(half: Half, values: Values) -> Half:
    """The half of a profile as one cell has it. ValueError for an unknown field, or a value of another type."""
    content = json_values(half)
    for place, value in values.items():
        _set(content, place, value)
    return _validated(type(half), content)


def load_profile(name: str, overrides: Sequence[str] = ()) -> Profile:
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
        place, equals, value = override.partition("=")
        if not equals:
            raise ValueError(f"an override has the form NAME=VALUE, not {override!r}")
        _set(content, place, yaml.load(value, _Loader))
    content["static_training"] = _laid_over(content.get("training", {}), content.get("static_training", {}))
    for field_name in OF_WHOLE:
        if field_name in content.get("semantic", {}):
            raise ValueError(f"semantic.{field_name} follows from the profile's `{field_name}`: set that")
    profile = _validated(Profile, content)
    _check(profile)
    return profile


class _Loader(yaml.SafeLoader):
    """YAML in which 1e-3 is a number, as in YAML 1.2 and everywhere else."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), [*"+-0123456789"]
)


def _read(path: Path) -> dict[str, Any]:
    """The file's values, laid over those of the profile that its `like` names."""
    try:
        content = yaml.load(path.read_text("utf-8"), _Loader)
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold NAME: VALUE lines")
    return _laid_over(_read(path.with_name(f"{like}.yaml")), content) if (like := content.pop("like", "")) else content


def _laid_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = {k: _laid_over(below[k], v) for k, v in above.items() if isinstance(v, dict) and k in below}
    return below | above | merged


def _set(content: dict[str, Any], place: str, value: Any) -> None:
    *path, last = place.split(".")
    for part in path:
        content = content.setdefault(part, {})
        if not isinstance(content, dict):
            raise ValueError(f"{place}: {part} has no fields of its own")
    content[last] = value


def _validated(kind: type[Half], content: dict[str, Any]) -> Half:
    """As JSON: there lists may become tuples, and nothing else is converted."""
    try:
        return _adapter(kind).validate_json(json.dumps(content, default=str), strict=True)
    except ValidationError as error:
        raise ValueError(_complaint(kind, error.errors()[0])) from None


_adapter = cache(TypeAdapter)  # one takes longer to make than ten profiles to read


def _complaint(kind: type, error: Mapping[str, Any]) -> str:
    *parents, name = map(str, error["loc"])
    place = ".".join([*parents, name])
    if error["type"] == "unexpected_keyword_argument":
        for parent in parents:
            kind = next(one.type for one in fields(kind) if one.name == parent)
        known = [one.name for one in fields(kind)]
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {'.'.join([*parents, near[0]])}?" if near else f"known: {', '.join(known)}"
        return f"unknown field {place}; {hint}"
    given = "" if isinstance(error["input"], dict) else f", not {error['input']!r}"
    return f"{place}: {error['msg'].removeprefix('Value error, ')}{given}"


def _check(profile: Profile) -> None:
    """What types do not tell."""
    if not profile.halves():
        raise ValueError("updates or semantic.updates must name at least one update")
    unset, semantic = NetworkConfig(), profile.semantic
    if (profile.model.kind, profile.model.preset) != (unset.kind, unset.preset):
        raise ValueError("model.kind follows from `updates`, and model.preset from the profile's `preset`: set those")
    if {semantic.base.preset, semantic.large.preset} != {Seq2SeqConfig().preset}:
        raise ValueError("the preset of both sizes follows from the profile's `preset`: set that")
    for half, place in ((profile, ""), (semantic, "semantic.")):
        _check_half(half, place)
        if profile.is_ablation:
            _check_ablation(half, place)
    kinds = {kind for update in profile.parsed_updates() for kind in (update.old, update.new)}
    same = profile.network(STATIC) == profile.network("deepbiaf") and profile.static_training == profile.training
    if STATIC in kinds and same:
        raise ValueError(f"{STATIC} is a deepbiaf in all but its name: set static_vectors, or static_training")


def _check_half(half: HalfProfile, place: str) -> None:
    for update in half.parsed_updates():
        if update.task is not TASKS[half.task]:
            raise ValueError(f"{place}updates names {update}; its kinds are {', '.join(TASKS[half.task].kinds)}")
    for name in ("old_seeds", "new_seeds", "dropout_grid") if half.updates else ():
        if not getattr(half, name):
            raise ValueError(f"{place}{name} is empty, and {place}updates need it")
    for text in half.sampling_grid:
        if isinstance(parse_strategy(text), OneBest | KBest | Joined):
            raise ValueError(f"{place}sampling_grid compares further strategies, and {text} is none")
    if both := sorted({*half.old_seeds} & {*half.growing_seeds}):
        raise ValueError(f"{place}old_seeds, and new_seeds with ensembles, must be disjoint; both have {both}")
    most = len(half.growing_seeds)
    if any(not 1 <= size <= most for size in half.ensemble_sizes):
        raise ValueError(
            f"{place}ensemble_sizes must be in 1..{most}: no more new, ensemble and further seeds are given"
        )
    shares = {"dev_share": half.dev_share, "part": getattr(half, "part", 1.0)}
    shares |= {f"ablation.{name}": getattr(half.ablation, name) for name in ("train_share", "test_share")}
    for name, share in shares.items():
        if not 0 < share <= 1:
            raise ValueError(f"{place}{name} is a share in (0, 1], not {share}")


def _check_ablation(half: Profile | SemanticProfile, place: str) -> None:
    """A run of cells has one update a half, and nothing but cells."""
    within = [update for update in half.parsed_updates() if update.old == update.new]
    if half.updates and not (half.ablation.vary and len(within) == len(half.updates) == 1):
        raise ValueError(f"{place}ablation varies fields of one update of a kind to itself, not {[*half.updates]}")
    for values in half.ablation.cells().values():
        try:
            with_values(half, values)
        except ValueError as error:
            raise ValueError(f"{place}ablation.vary: {error}") from None
