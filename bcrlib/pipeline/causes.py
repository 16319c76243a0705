"""Ablations: halves of a profile whose fields vary, cell by cell, and from them to the jobs that look for causes.

cell (one a combination of values: trains an old model, a new one and a student, and measures) ──> causes (one a task)

A cell is one job, which keeps a store of dev and one of test like those of `collect`; `causes` counts their flips.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any, TypeVar

from bcrlib.data.randomness import PART_SEED
from bcrlib.experiments.counting import ONE_BEST
from bcrlib.pipeline.half import SAMPLING_SEED, parser_modules, plain
from bcrlib.pipeline.jobs import Job
from bcrlib.tasks.names import TASKS

if TYPE_CHECKING:  # a profile has ablations among its fields
    from bcrlib.pipeline.profile import Profile, SemanticProfile

CAUSES = {"dependency": "causes", "semantic": "causes frames"}
"""The job of each task that counts the flips of all cells, and publishes them."""

NOT_OF_HALF = ("semantic", "speed", "workers")
"""Fields of a profile that are not of its dependency half."""

Values = Mapping[str, Any]
"""What a cell has otherwise than its half of the profile: {"training.num_epochs": 4}."""
HalfOfProfile = TypeVar("HalfOfProfile", "Profile", "SemanticProfile")


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
        combinations = (dict(zip(self.vary, values)) for values in product(*self.vary.values()))
        return {cell_name(_settings(one)): _fields_of(one) for one in combinations} if self.vary else {}

    def factors(self) -> dict[str, list[str]]:
        """What varies -> its values, by the names in those of cells: {"epochs": ["4", "10"], ...}."""
        return {_called(key): [_shown(value) for value in values] for key, values in self.vary.items()}


def cell_name(of_factor: Mapping[str, str]) -> str:
    """{"epochs": "4", "vectors": "minilm"} -> "epochs 4, vectors minilm" """
    return ", ".join(f"{factor} {value}" for factor, value in of_factor.items())


def with_values(half: HalfOfProfile, values: Values) -> HalfOfProfile:
    """The half of a profile as one cell has it. ValueError for an unknown field, or a value of another type."""
    for place, value in values.items():
        half = _replaced(half, place.split("."), value, place)
    return half


def is_ablation(profile: "Profile") -> bool:
    """Whether a profile asks for cells instead of a whole run."""
    return bool(profile.ablation.vary or profile.semantic.ablation.vary)


def plan_causes(profile: "Profile") -> list[Job]:
    """All jobs of a profile whose halves are ablations. O(cells)."""
    halves = {"dependency": profile, "semantic": profile.semantic}
    return [job for task, half in halves.items() if half.updates for job in _jobs(task, profile, half)]


def _jobs(task: str, profile: "Profile", half: "Profile | SemanticProfile") -> list[Job]:
    """Every cell, and the one that counts and publishes."""
    (update,) = half.parsed_updates()
    cells = {f"cell {update.new} {name}".replace("/", "-"): name for name in half.ablation.cells()}
    params = [
        _common(task, profile, half) | _parser(task, profile, with_values(half, values))
        for values in half.ablation.cells().values()
    ]
    modules = (f"bcrlib.tasks.{task}", *parser_modules([update.new]))
    jobs = [Job(job, "pipeline/cell.ipynb", of_cell, modules=modules) for job, of_cell in zip(cells, params)]
    asked_for = {"name": profile.name, "preset": profile.preset, "precision": profile.precision} | asdict(half)
    counting = {
        "task": task,
        "profile": plain({name: asked_for[name] for name in asked_for if name not in NOT_OF_HALF}),
        "fixed_seeds": {"sampling": SAMPLING_SEED, "shares of train and dev": PART_SEED},
        "cells": cells,
    }
    return [*jobs, Job(CAUSES[task], "pipeline/causes.ipynb", counting, tuple(cells))]


def _common(task: str, profile: "Profile", half: "Profile | SemanticProfile") -> dict[str, Any]:
    """Parameters of all cells of a half."""
    (update,) = half.parsed_updates()
    return {
        "task": task,
        "corpus": half.corpus,
        "ambiguity": half.ambiguity,
        "precision": profile.precision,
        "decoding_precision": profile.precision if task == "semantic" else "float32",  # as in whole runs
        "preset": profile.preset,
        "train_share": half.ablation.train_share,
        "dev_share": half.dev_share,
        "test_share": half.ablation.test_share,
        "kind": update.new,
        "old_seeds": [*half.old_seeds],
        "new_seeds": [*half.new_seeds],
        "strategies": [ONE_BEST, TASKS[task].listed[update.new]],
        "dropout_grid": [*half.dropout_grid],
        "num_candidates": half.num_candidates,
        "sampling_seed": SAMPLING_SEED,
    }


def _parser(task: str, profile: "Profile", cell: "Profile | SemanticProfile") -> dict[str, Any]:
    """Sizes and recipe of the parsers of one cell."""
    (update,) = cell.parsed_updates()
    of_whole_run = () if task == "dependency" else (profile.preset,)
    return {"model": asdict(cell.network(update.new, *of_whole_run)), "training": asdict(cell.recipe(update.new))}


def _settings(combination: Values) -> dict[str, str]:
    """Factor -> value, as a cell is named after them; of fields that go together the first."""
    return {_called(key): _shown(value) for key, value in combination.items()}


def _fields_of(combination: Values) -> dict[str, Any]:
    """One value a field, where several go together too."""
    values: dict[str, Any] = {}
    for key, value in combination.items():
        names = [name.strip() for name in key.split(",")]
        values |= dict(zip(names, value if len(names) > 1 else [value], strict=True))
    return values


def _replaced(part: Any, path: Sequence[str], value: Any, place: str) -> Any:
    name, *rest = path
    if not is_dataclass(part) or name not in {each.name for each in fields(part)}:
        raise ValueError(f"ablation.vary names {place}, and there is no such field")
    before = getattr(part, name)
    if rest:
        return replace(part, **{name: _replaced(before, rest, value, place)})
    value = float(value) if type(before) is float and type(value) is int else value
    if type(value) is not type(before):
        raise ValueError(f"ablation.vary: {place} must be {type(before).__name__}, not {value!r}")
    return replace(part, **{name: value})


def _called(key: str) -> str:
    """ "training.num_epochs" -> "epochs" """
    return key.split(",")[0].rsplit(".", 1)[-1].removeprefix("num_").replace("_", " ")


def _shown(value: Any) -> str:
    first = value[0] if isinstance(value, (list, tuple)) else value
    return f"{first:g}" if isinstance(first, float) else str(first)
