"""In what a run differs from the paper's by design: what was asked for against the profile `authors`."""

import ast
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bcrlib.data.presets import PRESETS
from bcrlib.experiments.paper_numbers import paper_numbers
from bcrlib.pipeline.profile import load_profile
from bcrlib.report.candidate_sources import SAMPLED
from bcrlib.report.paper import PLACES, PaperRow

Asked = Mapping[str, Any]
"""What was asked of a half of a run, as JSON values: the profile in a manifest."""

COUNTING = ("punct_exclude", "tree_level_punct", "lcm_root_label", "span_em")
"""Switches that say what counts as right; all others change models, or what they write down."""
SAMPLES = (SAMPLED, "oracle NFR", "oracle ACC")
"""Rows that choose from samples of dropout-p whose rate was chosen before."""
_SECTIONS = {
    "dependency": ({"": "model"}, {"deepbiaf": "training", "stackptr": "stackptr_training"}),
    "semantic": ({"base": "base", "large": "large"}, {"base": "base_training", "large": "large_training"}),
}
"""Networks and recipes of a task: what they are called here -> their section of a profile."""
_ENCODER = ("encoder", "encoder_layers")
_NOT_SIZES = ("kind", "preset", "vectors", "tiny_size", *_ENCODER)


@dataclass(frozen=True)
class Departure:
    """One thing that is not as in the paper, and the rows that it concerns: all of its task, unless it says which."""

    task: str
    what: str
    text: str
    """Our value, and behind it in brackets the paper's or the authors'."""
    rows: tuple[str, ...] = ()
    """Only these, as our tables call them."""
    part_models: bool = False
    """Only rows with models of a part of the data."""
    counted: str = ""
    """Only numbers counted by this definition."""

    def concerns(self, row: PaperRow, counted: str) -> bool:
        """Whether a row, counted by one of the definitions, differs in it."""
        if PLACES[row.table].task != self.task:
            return False
        in_rows = not self.rows or row.name in self.rows
        in_models = not self.part_models or "-part" in row.update
        return in_rows and in_models and self.counted in ("", counted)

    @property
    def only(self) -> str:
        """Which rows it concerns, where not all, in brackets."""
        only = [*self.rows, *["part models"] * self.part_models]
        only += [f"counted `{self.counted}`"] if self.counted else []
        return f" ({', '.join(only)} alone)" if only else ""


def departures(task: str, asked: Asked, precisions: Iterable[str] = ()) -> list[Departure]:
    """What a half of a run has otherwise than the paper.

    precisions: of the matrix products in its trainings.
    """
    profile = load_profile("authors")
    theirs = asdict(profile) if task == "dependency" else asdict(profile.semantic)
    networks, recipes = _SECTIONS[task]
    found = [Departure(task, "Network", _changed(networks, asked, theirs))]
    if task == "dependency":
        vectors = asked["model"]["vectors"]
        told = "" if "sskip" in vectors else f"{vectors} (sskip, which cannot be had by checksum)"
        found.append(Departure(task, "Word vectors", told))
    else:
        found.append(Departure(task, "Encoder", _changed(networks, asked, theirs, _ENCODER)))
    others = sorted(set(precisions) - {"float32"})
    precision = f"matrix products of training in {shown(others)} (float32)" if others else ""
    found += [
        Departure(task, "Recipe", _changed(recipes, asked, theirs)),
        Departure(task, "Seeds", _seeds(asked, theirs)),
        Departure(task, "Precision", precision),
        Departure(task, "Switches of models", _switches(task, asked["preset"], counting=False)),
        Departure(task, "Switches of counting", _switches(task, asked["preset"], True), counted=asked["preset"]),
        Departure(task, "Ensembles", _ensembles(asked, theirs), rows=("Ensemble",)),
        Departure(task, "Students", _students(asked, theirs), rows=("Distillation",)),
        Departure(task, "Dropout rate", _rates(task, asked), rows=SAMPLES),
    ]
    if task == "semantic":
        part = f"a random share of {shown(asked['part'])}, another for each model (four fifths, it is not said which)"
        found.append(Departure(task, "Part of the data", part, part_models=True))
    return [departure for departure in found if departure.text]


def differing_switches(task: str) -> dict[str, tuple[object, object]]:
    """Every switch of a task in which the presets differ: (clean, official)."""
    clean, official = (asdict(PRESETS[name]) for name in ("clean", "official"))
    semantic = {name for name in clean if name.startswith("s2s_") or name == "span_em"}
    names = [name for name in clean if name != "name" and (name in semantic) == (task == "semantic")]
    return {name: (clean[name], official[name]) for name in names if clean[name] != official[name]}


def shown(value: object) -> str:
    """A value of a profile or a preset as text."""
    if isinstance(value, (list, tuple, frozenset)):
        return ", ".join(map(shown, sorted(value) if isinstance(value, frozenset) else value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def differences(ours: Asked, theirs: Asked, names: Iterable[str]) -> str:
    """`name` ours (theirs), for every one of these values that both have and that is not the same."""
    both = [name for name in names if name in ours and name in theirs and ours[name] != theirs[name]]
    return ", ".join(f"`{name}` {shown(ours[name])} ({shown(theirs[name])})" for name in both)


def _changed(sections: Mapping[str, str], asked: Asked, theirs: Asked, names: Sequence[str] = ()) -> str:
    """Of each section of a profile, under its name here; all that says how large or how trained, or these names."""
    texts = {}
    for called, section in sections.items():
        chosen = names or [name for name in theirs[section] if name not in _NOT_SIZES]
        texts[called] = differences(asked[section], theirs[section], chosen)
    return "; ".join(f"{called}: {text}" if called else text for called, text in texts.items() if text)


def _seeds(asked: Asked, theirs: Asked) -> str:
    (ours, our_new), (paper, paper_new) = ((len(one["old_seeds"]), len(one["new_seeds"])) for one in (asked, theirs))
    same = (ours, our_new) == (paper, paper_new)
    return "" if same else f"{ours} old and {our_new} new models of a kind ({paper} and {paper_new})"


def _switches(task: str, preset: str, counting: bool) -> str:
    names = [f"`{name}`" for name in differing_switches(task) if (name in COUNTING) == counting]
    return "" if preset == "official" else f"`{preset}` (`official`): {', '.join(names)}"


def _ensembles(asked: Asked, theirs: Asked) -> str:
    def sizes(groups: Sequence[Any]) -> str:  # in old manifests a group is text
        members = {len(ast.literal_eval(group) if isinstance(group, str) else group) for group in groups}
        return f"{len(groups)} of {'/'.join(map(str, sorted(members)))}"

    ours, paper = (sizes(one["ensembles"]) for one in (asked, theirs))
    disjoint = "no member is an old model (the authors' first ensemble is their old models of the kind)"
    return disjoint if ours == paper else f"{ours} ({paper}), and {disjoint}"


def _students(asked: Asked, theirs: Asked) -> str:
    def numbers(one: Asked) -> dict[str, int]:
        num_old = len(one["old_seeds"])
        if "students" in one:
            return {"": one["students"] or num_old}
        return {" into deepbiaf": num_old, " into stackptr": one["stackptr_students"] or num_old}

    ours, paper = numbers(asked), numbers(theirs)
    differ = [kind for kind in ours if ours[kind] != paper[kind]]
    return ", ".join(f"{ours[kind]}{kind} for each update ({paper[kind]})" for kind in differ)


def _rates(task: str, asked: Asked) -> str:
    share = asked.get("dev_share", 1.0)
    dev = "dev" if share == 1 else f"{shown(share)} of dev"
    tables = [table for table, place in PLACES.items() if place.task == task and table != "Table 5"]
    numbers = paper_numbers().query("source == 'paper' and method == 'BCR'")
    params = numbers.loc[numbers["table"].isin(tables), "params"]
    rates = sorted({of_row.get("p", of_row.get("p_in_official_code")) for of_row in params})
    return f"chosen on {dev} for each update, of {shown(asked['dropout_grid'])} ({shown(rates)}, chosen on test)"
