"""Why ours differs from the paper's: by design, against the profile `authors`; and what an ablation tells of causes."""

import ast
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import rankdata

from bcrlib.data.presets import PRESETS
from bcrlib.experiments.paper_numbers import paper_numbers
from bcrlib.pipeline.profile import load_profile
from bcrlib.report.candidate_sources import SAMPLED
from bcrlib.report.causes import (
    BEATS,
    HARM,
    ORACLES,
    Drawn,
    Found,
    effect_text,
    estimate,
    harmed,
    power_of_errors,
    signs,
)
from bcrlib.report.paper import PLACES, PaperRow
from bcrlib.tasks.names import TASKS

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


def why_ours_differs(found: Mapping[str, Found]) -> str:
    """The three questions answered task by task, as Markdown: a pure function of what the cells found."""
    parts = []
    for task, of_task in found.items():
        profile = of_task.manifest["profile"]
        share = f"{profile['ablation']['train_share']:g} of its training data"
        about = f"{len(of_task.settings)} cells, {of_task.level}, {profile['corpus']}, {share}"
        title = f"### {TASKS[task].in_paper.replace('-', ' ').capitalize()} ({about})"
        parts += [title, _beats(of_task), _harmless(of_task), _drives(of_task), effect_text(of_task)]
    return "\n\n".join(parts)


def _beats(found: Found) -> str:
    differences = found.numbers[BEATS]
    sign = signs(differences)
    num_lower, num_open, num_higher = ([*sign.values()].count(which) for which in (-1, 0, 1))
    lower = [f"{cell} {_printed(100 * differences[cell], '+.2f')}" for cell in sign if sign[cell] < 0]
    where = f"Lower, in percentage points: {'; '.join(lower)}. " if lower else ""
    oracle = {row: np.mean([found.flips[cell, found.level][row].nfi for cell in sign], axis=0) for row in ORACLES}
    left = " and ".join(f"{_printed(100 * oracle[row])} % in {called}" for row, called in ORACLES.items())
    return (
        "**When does dropout-p beat a list?** Re-ranking its samples leaves a lower NFI than re-ranking the list in"
        f" {num_lower} of {len(sign)} cells and a higher one in {num_higher}; in {num_open} the interval of the"
        f" difference holds 0. {where}{_moves(found, differences)} The choices with the fewest"
        f" flips would leave an NFI of {left} (means over cells); the rest is the judge's."
    )


def _harmless(found: Found) -> str:
    harm, known = harmed(found), {cell: found.teacher(cell, found.level) for cell in found.settings}
    knowing = ""
    for where, is_harmed in {"Where it harms": True, "Where it does not": False}.items():
        if of := [100 * known[cell] for cell in known if (cell in harm) == is_harmed]:
            knowing += f"{where}, teachers get {min(of):.1f} to {max(of):.1f} % of their training data right. "
    # Spearman's correlation over cells; NaN where all are alike.
    x, y = rankdata([*known.values()]), rankdata([found.numbers[HARM][cell] for cell in known], axis=0)
    x, y = x - x.mean(), y - y.mean(axis=0)
    with np.errstate(invalid="ignore"):
        correlation = x @ y / np.sqrt((x**2).sum() * (y**2).sum(axis=0))
    return (
        "**What makes distillation harmless?** A student has a higher NFI than the new model, which learnt from gold,"
        f" or a lower accuracy, in {len(harm)} of {len(known)} cells. {knowing}Rank correlation over cells"
        f" between what teachers know and how much more NFI their students have:"
        f" {_printed(correlation)}. {_moves(found, found.numbers[HARM])}"
    )


def _drives(found: Found) -> str:
    reach = {name: [100 * drawn[0] for drawn in found.numbers[name].values()] for name in ("NFI", "NFR", "error rate")}
    reaches = ", ".join(f"{name} {min(values):.1f} to {max(values):.1f} %" for name, values in reach.items())
    power = power_of_errors(found)
    meaning = "whether it falls more slowly than errors do cannot be told"
    if estimate(power)["high"] < 1:
        meaning = "it falls more slowly than errors do, if at all, and better models have the higher NFI"
    elif estimate(power)["low"] > 1:
        meaning = "it falls faster than errors do, and better models have the lower NFI"
    factors = []
    for factor, values in found.factors.items():
        times = []
        for name in ("NFR", "error rate", "NFI"):  # by what the factor multiplies it, from its first value to its last
            with np.errstate(divide="ignore", invalid="ignore"):  # where a resample has no flip
                logs = {cell: np.log(drawn) for cell, drawn in found.numbers[name].items()}
                times.append(f"{name} × {_printed(np.exp(found.moved(logs)[factor]))}")
        factors.append(f"{factor} from {values[0]} to {values[-1]}: {', '.join(times)}")
    return (
        "**What drives NFI at a given NFR?** The error rate, for NFI is NFR divided by it: at the same NFR, whatever"
        f" makes the new model better makes NFI higher. Over the cells: {reaches}. NFR follows the error rate to"
        f" the power {_printed(power)}: {meaning}. Factor by factor: {'; '.join(factors)}."
    )


def _moves(found: Found, of_cell: Mapping[str, Drawn]) -> str:
    """Which factors move a difference of rates beyond the interval, in percentage points, the strongest first."""
    moved = found.moved(of_cell)
    told = sorted((one for one, sign in signs(moved).items() if sign), key=lambda one: -abs(moved[one][0]))
    if not told:
        return "Nothing that varies moves this difference beyond its interval."
    ends = {one: f"{one} from {found.factors[one][0]} to {found.factors[one][-1]}" for one in told}
    moves = [f"{called} by {_printed(100 * moved[one], '+.2f')}" for one, called in ends.items()]
    return f"What moves this difference: {'; '.join(moves)}."


def _printed(drawn: Drawn, form: str = ".2f") -> str:
    """ "−1.20 [−2.00, −0.40]" """
    value, low, high = (format(number, form) for number in estimate(drawn).values())
    return f"{value} [{low}, {high}]".replace("-", "−")
