"""In what a run differs from the paper's by design: what was asked for against the profile `authors`."""

import ast
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bcrlib.data.presets import PRESETS
from bcrlib.experiments.paper_numbers import paper_numbers
from bcrlib.pipeline.profile import load_profile
from bcrlib.report.candidate_sources import SAMPLED
from bcrlib.report.paper_rows import PLACES, PaperRow

Asked = Mapping[str, Any]
"""What was asked of a half of a run, as JSON values: the profile in a manifest."""

COUNTING = ("punct_exclude", "tree_level_punct", "lcm_root_label", "span_em")
"""Switches that say what counts as right; all others change models, or what they write down."""
SAMPLES = (SAMPLED, "oracle NFR", "oracle ACC")
"""Rows that choose from samples of dropout-p whose rate was chosen before."""
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


def departures(task: str, asked: Asked, precisions: Iterable[str] = ()) -> list[Departure]:
    """What a half of a run has otherwise than the paper.

    precisions: of the matrix products in its trainings.
    """
    profile = load_profile("authors")
    theirs = asdict(profile) if task == "dependency" else asdict(profile.semantic)
    of_models = _of_parsers if task == "dependency" else _of_seq2seq
    everywhere = {
        **of_models(asked, theirs),
        "Seeds": _seeds(asked, theirs),
        "Precision": _precision(precisions),
        "Switches of models": _switches(task, asked["preset"], counting=False),
    }
    found = [Departure(task, what, text) for what, text in everywhere.items()]
    counting = _switches(task, asked["preset"], counting=True)
    found += [
        Departure(task, "Switches of counting", counting, counted=asked["preset"]),
        Departure(task, "Ensembles", _ensembles(asked, theirs), rows=("Ensemble",)),
        Departure(task, "Students", _students(asked, theirs), rows=("Distillation",)),
        Departure(task, "Dropout rate", _rates(task, asked), rows=SAMPLES),
        Departure(task, "Part of the data", _part(task, asked), part_models=True),
    ]
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


def _of_parsers(asked: Asked, theirs: Asked) -> dict[str, str]:
    vectors, recipes = asked["model"]["vectors"], {"deepbiaf": "training", "stackptr": "stackptr_training"}
    return {
        "Network": _changed({"": "model"}, asked, theirs),
        "Word vectors": "" if "sskip" in vectors else f"{vectors} (sskip, which cannot be had by checksum)",
        "Recipe": _changed(recipes, asked, theirs),
    }


def _of_seq2seq(asked: Asked, theirs: Asked) -> dict[str, str]:
    sizes, recipes = {"base": "base", "large": "large"}, {"base": "base_training", "large": "large_training"}
    return {
        "Network": _changed(sizes, asked, theirs),
        "Encoder": _changed(sizes, asked, theirs, _ENCODER),
        "Recipe": _changed(recipes, asked, theirs),
    }


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


def _precision(precisions: Iterable[str]) -> str:
    others = sorted(set(precisions) - {"float32"})
    return f"matrix products of training in {shown(others)} (float32)" if others else ""


def _switches(task: str, preset: str, counting: bool) -> str:
    names = [f"`{name}`" for name in differing_switches(task) if (name in COUNTING) == counting]
    return "" if preset == "official" else f"`{preset}` (`official`): {', '.join(names)}"


def _ensembles(asked: Asked, theirs: Asked) -> str:
    ours, paper = (_sizes(one["ensembles"]) for one in (asked, theirs))
    disjoint = "no member is an old model (the authors' first ensemble is their old models of the kind)"
    return disjoint if ours == paper else f"{ours} ({paper}), and {disjoint}"


def _sizes(groups: Sequence[Any]) -> str:
    """How many ensembles of how many members; in old manifests a group is text."""
    members = {len(ast.literal_eval(group) if isinstance(group, str) else group) for group in groups}
    return f"{len(groups)} of {'/'.join(map(str, sorted(members)))}"


def _students(asked: Asked, theirs: Asked) -> str:
    ours, paper = map(_num_students, (asked, theirs))
    differ = [kind for kind in ours if ours[kind] != paper[kind]]
    return ", ".join(f"{ours[kind]}{kind} for each update ({paper[kind]})" for kind in differ)


def _num_students(asked: Asked) -> dict[str, int]:
    num_old = len(asked["old_seeds"])
    if "students" in asked:
        return {"": asked["students"] or num_old}
    return {" into deepbiaf": num_old, " into stackptr": asked["stackptr_students"] or num_old}


def _rates(task: str, asked: Asked) -> str:
    share = asked.get("dev_share", 1.0)
    dev = "dev" if share == 1 else f"{shown(share)} of dev"
    tables = [table for table, place in PLACES.items() if place.task == task and table != "Table 5"]
    numbers = paper_numbers().query("source == 'paper' and method == 'BCR'")
    params = numbers.loc[numbers["table"].isin(tables), "params"]
    rates = sorted({of_row.get("p", of_row.get("p_in_official_code")) for of_row in params})
    return f"chosen on {dev} for each update, of {shown(asked['dropout_grid'])} ({shown(rates)}, chosen on test)"


def _part(task: str, asked: Asked) -> str:
    if task == "dependency":
        return ""
    return f"a random share of {shown(asked['part'])}, another for each model (four fifths, it is not said which)"
