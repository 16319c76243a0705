"""REPRODUCIBILITY.md: number by number, the paper's beside ours, written from the files of a run.

python -m bcrlib.report.reproducibility
"""

import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata

from bcrlib.pipeline.manifest import wall_time
from bcrlib.pipeline.profile import Profile, load_profile
from bcrlib.report import causes
from bcrlib.report.causes import (
    BEATS,
    HARM,
    ORACLES,
    QUANTITIES,
    Drawn,
    Found,
    estimate,
    harmed,
    power_of_errors,
    signs,
)
from bcrlib.report.departures import COUNTING, Asked, Departure, departures, differing_switches, shown
from bcrlib.report.paper_rows import DEFINITIONS, INSIDE, NOT_RUN, PLACES, Run, paper_rows, verdict
from bcrlib.report.regression import BOOTSTRAP_SEED, NUM_RESAMPLES
from bcrlib.report.row_text import Section
from bcrlib.report.tables import arrow, write_text

ROOT = Path(__file__).resolve().parents[2]
PROFILE = "small"
TASKS = {"dependency": "dependency parsing", "semantic": "semantic parsing"}
UNKNOWN = "not recorded (the manifest is older than the record)"


@dataclass(frozen=True)
class Half:
    """One task of a run: what was asked, and what its manifest tells."""

    task: str
    file: str
    """Of the manifest, from the root."""
    manifest: Mapping[str, Any]
    """Empty where the task was not run."""
    asked: Asked

    @property
    def jobs(self) -> Mapping[str, Mapping[str, Any]]:
        return self.manifest.get("jobs", {})

    def of_trainings(self, what: str) -> list[str]:
        """What the trainings tell of themselves: their "device" or their "precision"."""
        return sorted({job[what] for job in self.jobs.values() if what in job})


def reproducibility(name: str = PROFILE, root: Path = ROOT) -> str:
    """The whole file about a profile, from its figures, its manifests and the file of the paper's numbers.

    What is not there is said to be missing.  O(numbers).
    """
    halves = [_half(task, name, root) for task in TASKS]
    runs = {half.task: Run(root / "figures" / name, half.asked["preset"]) for half in halves}
    jobs = {job: record for half in halves for job, record in half.jobs.items()}
    differing = [one for half in halves for one in departures(half.task, half.asked, half.of_trainings("precision"))]
    asked = {half.task: half.asked for half in halves}
    sections = [
        Section(table, runs[place.task], load_profile(name), asked[place.task], jobs, differing).text()
        for table, place in PLACES.items()
    ]
    found = causes.kept(root)
    why = [why_ours_differs(found)] if found else []
    opening, design = [_opening(name, bool(found)), *why], [_design(differing), *map(_switches, TASKS)]
    parts = [*opening, _facts(halves), _summary(runs), *sections, *design]
    return "\n\n".join(parts) + "\n"


def _half(task: str, name: str, root: Path) -> Half:
    file = f"data/correctness/{name}/{task}/manifest.json"
    manifest = json.loads((root / file).read_text("utf-8")) if (root / file).exists() else {}
    return Half(task, file, manifest, _asked(task, load_profile(name)) | manifest.get("profile", {}))


def _asked(task: str, profile: Profile) -> dict[str, Any]:
    """As a manifest has it."""
    fields = asdict(profile) if task == "dependency" else {"preset": profile.preset, **asdict(profile.semantic)}
    return json.loads(json.dumps(fields))


def _opening(name: str, knows_causes: bool) -> str:
    rule = inspect.getdoc(verdict).split("\n\n")[0]
    cause = "which of them is the cause is not"
    cause += ", but for what [a smaller experiment](#why-ours-differs) tells" if knows_causes else ""
    return f"""# Reproducibility: the paper's numbers beside ours

Written by `python -m bcrlib.report.reproducibility` from [data/paper_numbers.csv](data/paper_numbers.csv), the tables
in [figures/{name}](figures/{name}/index.html) and the manifests in data/correctness/{name}; a test compares. Per cent;
brackets are 95 % intervals ({NUM_RESAMPLES} resamples, seed {BOOTSTRAP_SEED}), ± is a standard deviation over seeds.
BCR over lists of best structures, which the paper does not have, is in the figures alone.

**Verdict.** {rule}

**Counted.** `clean` counts by the paper's text, `official` as the authors' code does, from which the paper's numbers
come; the parses are the same. `both`: the two print the same.

**Differs in** gives the numbers of [what differs by design](#what-differs-by-design) for every row with a number
outside. That they are different is known; {cause}.

**Run** names the command under each table that makes the row again, tables and figures into the folder `again`. With
`BCRLIB_RUNS` set to the folder of an earlier run, nothing is done twice."""


def why_ours_differs(found: Mapping[str, Found]) -> str:
    """What cells of an ablation tell of causes, task by task: a pure function of their results."""
    parts = [
        """## Why ours differs

A smaller experiment, profile [`causes`](notebooks/profiles/causes.yaml), makes the same update many times, from
one recipe to another: its tables and figures are in [figures/causes](figures/causes/index.html). Brackets are 95 %
intervals of a paired bootstrap over test sentences. A cell has one pair of seeds, so that the luck of seeds is *not* in
them: a difference between two cells may be luck where it is in one pair of cells alone."""
    ]
    for task, of_task in found.items():
        profile = of_task.manifest["profile"]
        share = f"{shown(profile['ablation']['train_share'])} of its training data"
        about = f"{len(of_task.settings)} cells, {of_task.level}, {profile['corpus']}, {share}"
        parts.append(f"### {TASKS[task].capitalize()} ({about})\n\n{answers(of_task)}\n\n{causes.effect_text(of_task)}")
    return "\n\n".join(parts)


def answers(found: Found) -> str:
    """The three questions of `bcrlib.report.causes` answered for one task, as Markdown."""
    of_cell = {name: found.of_cells(quantity) for name, quantity in QUANTITIES.items()}
    return "\n\n".join([_beats(found, of_cell[BEATS]), _harmless(found, of_cell), _drives(found, of_cell)])


def _beats(found: Found, differences: Mapping[str, Drawn]) -> str:
    sign = signs(differences)
    num_lower, num_open, num_higher = ([*sign.values()].count(which) for which in (-1, 0, 1))
    lower = [f"{cell} {_points(differences[cell])}" for cell in sign if sign[cell] < 0]
    where = f"Lower, in percentage points: {'; '.join(lower)}. " if lower else ""
    oracle = {row: np.mean([found.flips[cell, found.level][row].nfi for cell in sign], axis=0) for row in ORACLES}
    left = " and ".join(f"{_rate(oracle[row])} % in {called}" for row, called in ORACLES.items())
    return (
        "**When does dropout-p beat a list?** Re-ranking its samples leaves a lower NFI than re-ranking the list in"
        f" {num_lower} of {len(sign)} cells and a higher one in {num_higher}; in {num_open} the interval of the"
        f" difference holds 0. {where}{_moves(found, differences)} The choices with the fewest"
        f" flips would leave an NFI of {left} (means over cells); the rest is the judge's."
    )


def _harmless(found: Found, of_cell: Mapping[str, Mapping[str, Drawn]]) -> str:
    harm, known = harmed(found), {cell: found.teacher(cell, found.level) for cell in found.settings}
    told = {"Where it harms": harm, "Where it does not": [cell for cell in known if cell not in harm]}
    knowing = [f"{where}, {_knowing([known[cell] for cell in cells])}. " for where, cells in told.items() if cells]
    return (
        "**What makes distillation harmless?** A student has a higher NFI than the new model, which learnt from gold,"
        f" or a lower accuracy, in {len(harm)} of {len(known)} cells. {''.join(knowing)}Rank correlation over cells"
        f" between what teachers know and how much more NFI their students have:"
        f" {_printed(_ranked(known, of_cell[HARM]))}. {_moves(found, of_cell[HARM])}"
    )


def _ranked(known: Mapping[str, float], of_cell: Mapping[str, Drawn]) -> Drawn:
    """Spearman's correlation over cells; NaN where all are alike."""
    x = rankdata([*known.values()])
    y = rankdata(np.array([of_cell[cell] for cell in known]), axis=0)
    x, y = x - x.mean(), y - y.mean(axis=0)
    with np.errstate(invalid="ignore"):
        return x @ y / np.sqrt((x**2).sum() * (y**2).sum(axis=0))


def _knowing(accuracies: Sequence[float]) -> str:
    least, most = (f"{100 * end(accuracies):.1f}" for end in (min, max))
    return f"teachers get {least} to {most} % of their training data right"


def _drives(found: Found, of_cell: Mapping[str, Mapping[str, Drawn]]) -> str:
    power = power_of_errors(found)
    reach = {name: [100 * drawn[0] for drawn in of_cell[name].values()] for name in ("NFI", "NFR", "error rate")}
    reaches = ", ".join(f"{name} {min(values):.1f} to {max(values):.1f} %" for name, values in reach.items())
    return (
        "**What drives NFI at a given NFR?** The error rate, for NFI is NFR divided by it: at the same NFR, whatever"
        f" makes the new model better makes NFI higher. Over the cells: {reaches}. NFR follows the error rate to"
        f" the power {_printed(power)}: {_meaning(power)}. {_factors(found, of_cell)}"
    )


def _meaning(power: Drawn) -> str:
    of_power = estimate(power)
    if of_power["high"] < 1:
        return "it falls more slowly than errors do, if at all, and better models have the higher NFI"
    if of_power["low"] > 1:
        return "it falls faster than errors do, and better models have the lower NFI"
    return "whether it falls more slowly than errors do cannot be told"


def _factors(found: Found, of_cell: Mapping[str, Mapping[str, Drawn]]) -> str:
    """By what each factor multiplies the rates, from its first value to its last."""
    texts = []
    for factor, values in found.factors.items():
        times = []
        for name in ("NFR", "error rate", "NFI"):
            with np.errstate(divide="ignore", invalid="ignore"):  # where a resample has no flip
                logs = {cell: np.log(drawn) for cell, drawn in of_cell[name].items()}
                times.append(f"{name} × {_printed(np.exp(found.moved(logs)[factor]))}")
        texts.append(f"{factor} from {values[0]} to {values[-1]}: {', '.join(times)}")
    return f"Factor by factor: {'; '.join(texts)}."


def _moves(found: Found, of_cell: Mapping[str, Drawn]) -> str:
    """Which factors move a difference of rates beyond the interval, the strongest first."""
    moved = found.moved(of_cell)
    told = sorted((one for one, sign in signs(moved).items() if sign), key=lambda one: -abs(moved[one][0]))
    if not told:
        return "Nothing that varies moves this difference beyond its interval."
    moves = [f"{one} from {found.factors[one][0]} to {found.factors[one][-1]} by {_points(moved[one])}" for one in told]
    return f"What moves this difference: {'; '.join(moves)}."


def _points(drawn: Drawn) -> str:
    """A difference of rates in percentage points, "−1.20 [−2.00, −0.40]"."""
    return _printed(100 * drawn, "{:+.2f}")


def _rate(drawn: Drawn) -> str:
    return _printed(100 * drawn, "{:.2f}")


def _printed(drawn: Drawn, form: str = "{:.2f}") -> str:
    value, low, high = map(form.format, estimate(drawn).values())
    return f"{value} [{low}, {high}]".replace("-", "−")


def _facts(halves: Sequence[Half]) -> str:
    facts = {half.task: dict(_facts_of(half)) for half in halves}
    names = list(dict.fromkeys(name for of_half in facts.values() for name in of_half))
    rows = [["", *(TASKS[half.task] for half in halves)], [":--"] * 3]
    rows += [[name, *(facts[half.task].get(name, "–") for half in halves)] for name in names]
    return f"## The run\n\n{_table(rows)}"


def _facts_of(half: Half) -> Iterator[tuple[str, str]]:
    manifest, asked = half.manifest, half.asked
    if not manifest:
        yield "run", f"not run: no {half.file}"
        return
    machine, time = manifest["machine"], wall_time(half.jobs)
    gpu, memory = machine["gpu"] or "no GPU", f", {machine['memory_gib']} GiB" if "memory_gib" in machine else ""
    longest = sorted(time["stages"].items(), key=lambda stage: -stage[1])
    stages = ", ".join(f"{stage} {seconds / 60:.0f}" for stage, seconds in longest)
    yield (
        "run",
        f"profile `{asked['name']}`, corpus {asked['corpus']}, preset `{asked['preset']}`: [manifest]({half.file})",
    )
    yield "hardware", f"{machine['processor']}, {machine['cores']} cores{memory}, {gpu}"
    yield "minutes of its jobs, added up", f"{time['jobs_added_up'] / 60:.0f}: {stages}"
    yield "training on, in", f"{shown(half.of_trainings('device'))}, {shown(half.of_trainings('precision'))}"
    yield "seeds", _seeds(manifest, asked)
    chosen = manifest["dropout_choice"].items()
    yield "chosen on dev", ", ".join(f"{arrow(update)} {_chosen(choice)}" for update, choice in chosen)
    yield "versions", ", ".join([f"Python {machine['python']}", *(f"{k} {v}" for k, v in machine["versions"].items())])
    yield "commit", manifest.get("commit", UNKNOWN) or "no checkout"
    yield "data, sha256", _hashes(manifest)


def _chosen(choice: Mapping[str, Any]) -> str:
    """A dropout rate, and the new model's weight in a joined pool."""
    weight = f" (joined: new model's weight {choice['joined']['new_weight']:g})" if "joined" in choice else ""
    return f"{choice['strategy']}{weight}"


def _seeds(manifest: Mapping[str, Any], asked: Asked) -> str:
    names = ("old_seeds", "new_seeds", "ensembles", "further_seeds")
    seeds = manifest.get("seeds", {name: asked[name] for name in names if asked.get(name)})
    return ", ".join(f"{name.removesuffix('_seeds')} {_seed(value)}" for name, value in seeds.items() if value != [])


def _seed(value: object) -> str:
    groups = value if isinstance(value, list) else [value]
    return " ".join(f"({shown(group)})" if isinstance(group, list) else str(group) for group in groups)


def _hashes(manifest: Mapping[str, Any]) -> str:
    if "data" not in manifest:
        return UNKNOWN
    hashes = [f"{file} {digest[:12] if digest else 'from the hub'}" for file, digest in manifest["data"].items()]
    return ", ".join(hashes) or "generated"


def _summary(runs: Mapping[str, Run]) -> str:
    """How many numbers of each table there are, and how many of ours are inside."""
    numbers = [one for table in PLACES for one in _numbers(table, runs)]
    deviations = sum(
        one.spread is not None for table in PLACES for row in paper_rows(table) for one in row.numbers.values()
    )
    rows = [["", "the paper's numbers", "ours", *(f"inside, {name}" for name in DEFINITIONS)], [":--"] + ["--:"] * 4]
    rows += [[table, *_tally([one for one in numbers if one.table == table])] for table in PLACES]
    rows += [
        [f"all {metric}", *_tally([one for one in numbers if one.metric == metric])] for metric in ("ACC", "NFR", "NFI")
    ]
    rows.append(["all", *_tally(numbers)])
    return f"""## Summary

The paper has {len(numbers) + deviations} numbers: the {len(numbers)} below and {deviations} standard deviations, which
stand behind theirs. "Ours": to how many of them this run has a number.

{_table(rows)}"""


@dataclass(frozen=True)
class _Number:
    table: str
    metric: str
    verdicts: Mapping[str, str]
    """By definition, or precision; empty where we have none."""


def _numbers(table: str, runs: Mapping[str, Run]) -> Iterator[_Number]:
    run = runs[PLACES[table].task]
    for row in paper_rows(table):
        found = run.counted(row)
        for metric, printed in row.numbers.items():
            yield _Number(table, metric, {name: verdict(printed, run.cell(row, metric, name)) for name in found})


def _tally(numbers: Sequence[_Number]) -> list[str]:
    """How many there are, how many of ours, and how many of those are inside by each definition."""
    texts = [str(len(numbers)), str(sum(bool(number.verdicts) for number in numbers))]
    for name in DEFINITIONS:
        judged = [number.verdicts[name] for number in numbers if number.verdicts.get(name, NOT_RUN) != NOT_RUN]
        texts.append(f"{judged.count(INSIDE)} of {len(judged)}" if judged else "–")
    return texts


def _design(differing: Sequence[Departure]) -> str:
    head = """## What differs by design

Ours, and in brackets the paper's or the authors' (profile [`authors`](notebooks/profiles/authors.yaml)). Names
are those of the profiles. 0 of `batch_tokens` stands for the authors' batches of 32 sentences or 512 utterances, of
`encoder_layers` for all, of `reset_after`, `patience`, `clip` and `num_steps` for none."""
    lists = []
    for task, called in TASKS.items():
        of_task = [
            f"{i}. *{one.what}*{_only(one)}: {one.text}" for i, one in enumerate(differing, 1) if one.task == task
        ]
        lists.append(f"### {called.capitalize()}\n\n" + "\n".join(of_task))
    return "\n\n".join([head, *lists])


def _only(departure: Departure) -> str:
    """Which rows it concerns, where not all."""
    only = [*departure.rows, *["part models"] * departure.part_models]
    only += [f"counted `{departure.counted}`"] if departure.counted else []
    return f" ({', '.join(only)} alone)" if only else ""


def _switches(task: str) -> str:
    rows = [["switch", "clean: the paper's text", "official: the authors' code", ""], [":--"] * 4]
    for name, (clean, official) in differing_switches(task).items():
        rows.append([f"`{name}`", shown(clean), shown(official), "counting" if name in COUNTING else "models"])
    return f"### Switches of {TASKS[task]}\n\nExplained in [bcrlib/presets.py](bcrlib/presets.py):\n\n{_table(rows)}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in rows)


if __name__ == "__main__":
    write_text(ROOT / "REPRODUCIBILITY.md", reproducibility())
