"""The pages that are written from the files of runs, none of their numbers by hand: python -m bcrlib.report.pages.

REPRODUCIBILITY.md: the paper's numbers beside ours, and how to make each row again; the words between the numbers are
in `templates/reproducibility.md`.  The README and pages of docs: blocks between markers.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Any

import numpy as np
import pandas as pd

from bcrlib.comparison.read import update_of
from bcrlib.comparison.reports import to_text
from bcrlib.comparison.verdict import Gate, judge
from bcrlib.data.files import ROOT, InputFile, read_input
from bcrlib.data.presets import preset
from bcrlib.data.treebank import format_conllu
from bcrlib.experiments.counting import Update
from bcrlib.experiments.paper_numbers import paper_numbers
from bcrlib.pipeline.manifest import wall_time
from bcrlib.pipeline.plan import COLLECTED, STORY, plan
from bcrlib.pipeline.profile import Profile, load_profile
from bcrlib.report import paper
from bcrlib.report.causes import kept, why_ours_differs
from bcrlib.report.costs import speed_table
from bcrlib.report.paper import PLACES, Asked, Departure, Line, PaperRow, Run, paper_rows, shown
from bcrlib.report.regression import BOOTSTRAP_SEED, NUM_RESAMPLES
from bcrlib.report.tables import TEMPLATES, arrow, compact_grid, markdown_table, read_record, render, write_text
from bcrlib.report.updates import changes_table, headline_table
from bcrlib.samplers.strategies import DropoutP, parse_strategy
from bcrlib.tasks import TASKS
from bcrlib.tasks.dependency import load_treebank

PROFILE = "small"
FOLDER = "again"
"""Where the command of a row puts its tables: what is committed stays."""
CALLED = {"dependency": "dependency parsing", "semantic": "semantic parsing"}
UNKNOWN = "not recorded (the manifest is too old)"
PAGES = ("README.md", "docs/results.md", "docs/speed.md")
_LATER = {job for jobs in COLLECTED.values() for job in jobs} | {name.removesuffix(".ipynb") for name in STORY}

Jobs = Mapping[str, Mapping[str, Any]]
"""Name of a job -> what a manifest tells of it."""
MEASURED = ("ACC", "NFR", "NFI")


@dataclass(frozen=True)
class Half:
    """One task of a run: what was asked, what its manifest tells, and its tables and figures."""

    task: str
    file: str
    """Of the manifest, from the root."""
    manifest: Mapping[str, Any]
    """Empty where the task was not run."""
    asked: Asked
    run: Run

    @property
    def jobs(self) -> Jobs:
        return self.manifest.get("jobs", {})

    def of_trainings(self, what: str) -> list[str]:
        """What the trainings tell of themselves: their "device" or their "precision"."""
        return sorted({job[what] for job in self.jobs.values() if what in job})


def reproducibility(name: str = PROFILE, root: Path = ROOT) -> str:
    """The whole file about a profile, from its figures, its manifests and the file of the paper's numbers.

    What is not there is said to be missing.  O(numbers).
    """
    profile = load_profile(name)
    halves = {task: _half(task, profile, root) for task in CALLED}
    jobs = {job: record for half in halves.values() for job, record in half.jobs.items()}
    differing = [
        one
        for task, half in halves.items()
        for one in paper.departures(task, half.asked, half.of_trainings("precision"))
    ]
    found = kept(root)
    numbers = _judged(halves)
    values = {
        "name": name,
        "num_resamples": NUM_RESAMPLES,
        "seed": BOOTSTRAP_SEED,
        "why": why_ours_differs(found) if found else "",
        "facts": _facts(halves.values()),
        "num_numbers": len(numbers),
        "num_deviations": numbers["spread"].notna().sum(),
        "summary": _summary(numbers),
        "by_table": markdown_table(_counted(numbers.groupby("table", sort=False)), "lrrrr"),
        "by_method": {task: _by_method(numbers[numbers["task"] == task]) for task in CALLED},
        "not_run": list(_not_run(numbers, halves)),
        "sections": [_section(table, halves[p.task], profile, jobs, differing) for table, p in PLACES.items()],
        "tasks": CALLED,
        "departures": differing,
        "switches": {task: _switches(task) for task in CALLED},
    }
    return render(TEMPLATES / "reproducibility.md", values)


def _judged(halves: Mapping[str, Half]) -> pd.DataFrame:
    """Every number of the paper, and what a run says to it: the verdict by each definition, or precision.

    `first` is the verdict by the run's preset, and `difference` is ours minus the paper's; NaN where we have none.
    """
    found = []
    for row in (row for table in PLACES for row in paper_rows(table)):
        task = PLACES[row.table].task
        run = halves[task].run
        for metric, printed in row.numbers.items():
            cells = {name: run.cell(row, metric, name) for name in run.counted(row)}
            verdicts = {name: paper.verdict(printed, cell) for name, cell in cells.items()}
            ours = next((cell["value"] for cell in cells.values() if cell), np.nan)
            about = {"row": row, "table": row.table, "task": task, "metric": metric, "spread": printed["paper_spread"]}
            about |= {"first": next(iter(verdicts.values()), None), "difference": ours - printed["paper"]}
            found.append(dict.fromkeys(paper.DEFINITIONS) | about | verdicts)
    return pd.DataFrame(found)


def _half(task: str, profile: Profile, root: Path) -> Half:
    file = f"data/correctness/{profile.name}/{task}/manifest.json"
    manifest = json.loads((root / file).read_text("utf-8")) if (root / file).exists() else {}
    asked = paper.asked_of(profile, task) | manifest.get("profile", {})
    return Half(task, file, manifest, asked, Run(root / "figures" / profile.name, asked["preset"]))


def _facts(halves: Iterable[Half]) -> str:
    facts = {half.task: dict(_facts_of(half)) for half in halves}
    names = dict.fromkeys(name for of_half in facts.values() for name in of_half)
    rows = [[name, *(facts[task].get(name, "–") for task in CALLED)] for name in names]
    return markdown_table([["", *CALLED.values()], *rows], "lll")


def _facts_of(half: Half) -> Iterator[tuple[str, str]]:
    manifest, asked = half.manifest, half.asked
    if not manifest:
        yield "run", f"not run: no {half.file}"
        return
    machine, time = manifest["machine"], wall_time(half.jobs)
    gpu, memory = machine["gpu"] or "no GPU", f", {machine['memory_gib']} GiB" if "memory_gib" in machine else ""
    longest = sorted(time["stages"].items(), key=lambda stage: -stage[1])
    stages = ", ".join(f"{stage} {seconds / 60:.0f}" for stage, seconds in longest[:5])
    about = f"profile `{asked['name']}`, corpus {asked['corpus']}, preset `{asked['preset']}`"
    yield "run", f"{about}: [manifest]({half.file})"
    yield "hardware", f"{machine['processor']}, {machine['cores']} cores{memory}, {gpu}"
    yield "minutes of its jobs, added up", f"{time['jobs_added_up'] / 60:.0f} (longest: {stages})"
    yield "training on, in", f"{shown(half.of_trainings('device'))}, {shown(half.of_trainings('precision'))}"
    names = ("old_seeds", "new_seeds", "ensembles", "further_seeds")
    seeds = manifest.get("seeds", {name: asked[name] for name in names if asked.get(name)})
    told = [f"{name.removesuffix('_seeds')} {_seeds(value)}" for name, value in seeds.items() if value != []]
    yield "seeds", ", ".join(told)
    chosen = []
    for update, choice in manifest["dropout_choice"].items():
        joined = f" (joined: new model's weight {choice['joined']['new_weight']:g})" if "joined" in choice else ""
        chosen.append(f"{arrow(update)} {choice['strategy']}{joined}")
    yield "chosen on dev", ", ".join(chosen)
    yield "versions", ", ".join([f"Python {machine['python']}", *(f"{k} {v}" for k, v in machine["versions"].items())])
    yield "commit", manifest.get("commit", UNKNOWN) or "no checkout"
    hashes = [f"{file} {hash[:12] if hash else 'from the hub'}" for file, hash in manifest.get("data", {}).items()]
    yield "data, sha256", ", ".join(hashes) or ("generated" if "data" in manifest else UNKNOWN)


def _seeds(value: object) -> str:
    groups = value if isinstance(value, list) else [value]
    return " ".join(f"({shown(group)})" if isinstance(group, list) else str(group) for group in groups)


def _summary(numbers: pd.DataFrame) -> str:
    """Of each task's ACC, NFR and NFI how many are inside, and the mean difference; of all numbers how many."""
    groups = {
        f"{called}, {metric}": numbers[(numbers["task"] == task) & (numbers["metric"] == metric)]
        for task, called in CALLED.items()
        for metric in MEASURED
    }
    counted = _counted([*groups.items(), ("all, speed too", numbers)])
    means = ["ours − paper", *map(_mean_difference, groups.values()), "–"]
    return markdown_table([[*row, mean] for row, mean in zip(counted, means)], "lrrrrr")


def _counted(groups: Iterable[tuple[str, pd.DataFrame]]) -> list[list[str]]:
    """Heads, and of every group how many numbers the paper has, how many the run, and how many of those are inside."""
    rows = [["", "the paper's numbers", "ours", *(f"inside, {name}" for name in paper.DEFINITIONS)]]
    for called, group in groups:
        inside = [_inside(group[name]) for name in paper.DEFINITIONS]
        rows.append([called, str(len(group)), str(group["first"].notna().sum()), *inside])
    return rows


def _mean_difference(group: pd.DataFrame) -> str:
    """Of ours minus the paper's, in points."""
    mean = 100 * group["difference"].mean()
    return "–" if np.isnan(mean) else f"{mean:+.2f}".replace("-", "−")


def _inside(verdicts: pd.Series) -> str:
    known = verdicts[verdicts.notna() & (verdicts != paper.NOT_RUN)]
    return f"{(known == paper.INSIDE).sum()} of {len(known)}" if len(known) else "–"


def _by_method(numbers: pd.DataFrame) -> str:
    """Of every method how many numbers are inside, and the mean of ours minus the paper's, a column pair a metric."""
    called = ["single models" if row.is_single else row.name for row in numbers["row"]]
    known = numbers.assign(called=called)[numbers["difference"].notna() & numbers["metric"].isin(MEASURED)]
    rows = [["", *(head for metric in MEASURED for head in (f"{metric}: inside", "ours − paper"))]]
    for name, of_method in known.groupby("called", sort=False):
        rows.append([name])
        for metric in MEASURED:
            found = of_method[of_method["metric"] == metric]
            rows[-1] += [_inside(found["first"]), _mean_difference(found)]
    return markdown_table(rows, "lrrrrrr")


def _not_run(numbers: pd.DataFrame, halves: Mapping[str, Half]) -> Iterator[str]:
    """Of every table how many numbers a run lacks, and why."""
    for table, missing in numbers[numbers["first"].isna()].groupby("table", sort=False)["row"]:
        half = halves[PLACES[table].task]
        reasons = dict.fromkeys(not_asked(row, half.asked) or _no_record(row, half.run) for row in missing)
        yield f"{table}, {len(missing)} numbers: {'; '.join(reasons)}"


def _no_record(row: PaperRow, run: Run) -> str:
    record = PLACES[row.table].record
    return f"{'not in' if record in run.records else 'no'} {record}.json"


def _section(table: str, half: Half, profile: Profile, jobs: Jobs, differing: Sequence[Departure]) -> dict[str, object]:
    """One table of the paper: blocks, level by level; the commands that make its rows again; what is to be noted."""
    by_level: dict[str, list[tuple[Line, str, str]]] = {level: [] for level in (*TASKS[half.task].levels, "speed")}
    letters: dict[str, str] = {}
    commands = []
    for row in paper_rows(table):
        refused = not_asked(row, half.asked)
        overrides = None if refused else row_overrides(profile, row)
        command = "" if overrides is None else row_command(profile, overrides)
        if command and command not in letters:
            letters[command] = ascii_uppercase[len(letters)]
            seconds = row_seconds(profile, overrides, jobs)
            minutes = "" if seconds is None else f" (its jobs: {seconds / 60:.0f} minutes, added up)"
            commands.append(f"{letters[command]}: `{command}`{minutes}")
        for line in paper.lines(row, half.run):
            by_level[row.level].append((line, _why(line, refused, half.run, differing), letters.get(command, "")))
    names = ["precision"] if table == paper.SPEEDS else ["counted"]
    blocks = {}
    for level, found in filter(lambda of: of[1], by_level.items()):
        updates = list(dict.fromkeys(line.row.of_update for line, *_ in found))
        found.sort(key=lambda of: updates.index(of[0].row.of_update))
        metrics = list(dict.fromkeys(metric for line, *_ in found for metric in line.row.numbers))
        called = ["sentences a second" if metric == "SENTENCES_PER_SECOND" else metric for metric in metrics]
        rows = [["method", *names, *called, "differs in", "run"]]
        for line, why, letter in found:
            if line.row.of_update in updates:
                updates.remove(line.row.of_update)
                rows += [[f"**{arrow(line.row.of_update)}**", *[""] * (len(rows[0]) - 1)]] if line.row.of_update else []
            rows.append([line.row.name, line.counted or "–", *map(line.text, metrics), why, letter])
        blocks[level] = markdown_table(rows, "ll" + "r" * len(called) + "ll")
    return {"table": table, "blocks": blocks, "commands": commands, "notes": _notes(table)}


def _why(line: Line, refused: str, run: Run, differing: Sequence[Departure]) -> str:
    """The numbers of the departures that concern a line outside; why there is nothing."""
    if not line.counted:
        return refused or _no_record(line.row, run)
    if {*line.verdicts.values()} <= {paper.INSIDE, paper.NO_SPREAD, paper.NOT_RUN}:
        return ""
    counted = "official" if line.counted == paper.BOTH else line.counted  # the same numbers are the paper's way too
    return " ".join(str(i) for i, one in enumerate(differing, 1) if one.concerns(line.row, counted))


def _notes(table: str) -> list[str]:
    """What is to be said of the paper's numbers."""
    noted = paper_numbers().query("source == 'paper' and table == @table")
    notes = [f"{arrow(row.update)}, {row.method}: {row.note}" for row in noted.itertuples() if row.note]
    for params in (row.params for row in paper_rows(table) if "gpu" in row.params):
        theirs = f"measured on a {params['gpu']}, {params['batch_size']} sentences a batch"
        notes.append(f"{theirs}; ours on the hardware of the run, with networks of its sizes")
    notes += ["\\* is not printed, but follows"] if (noted["derived"] == "yes").any() else []
    return list(dict.fromkeys(notes))


def _switches(task: str) -> str:
    rows = [["switch", "clean: the paper's text", "official: the authors' code", ""]]
    for name, (clean, official) in paper.differing_switches(task).items():
        concerns = "counting" if name in paper.COUNTING else "models"
        rows.append([f"`{name}`", shown(clean), shown(official), concerns])
    return markdown_table(rows, "llll")


def not_asked(row: PaperRow, asked: Asked) -> str:
    """What of the profile keeps a run from having a row; empty where nothing does."""
    kinds = {kind for update in asked["updates"] for kind in update.split("=>")}
    if row.is_single:
        return "" if row.update in kinds else f"no update of the run has {row.update}"
    if row.update not in asked["updates"]:
        return "not among the updates of the run"
    if row.table == "Figure 3" and row.params["ensemble_size"] not in asked["ensemble_sizes"]:
        return f"{row.params['ensemble_size']} is not among the ensemble sizes {shown(asked['ensemble_sizes'])}"
    if row.table in ("Table 5", "Figure 2") and row.method == "BCR":
        sampled = [*map(DropoutP, asked["dropout_grid"]), *map(parse_strategy, asked["sampling_grid"])]
        listed = TASKS[PLACES[row.table].task].listed[row.update.split("=>")[1]]
        return "" if row.name in {listed, *map(str, sampled)} else f"{row.name} is in no grid of the run"
    return ""


def row_overrides(profile: Profile, row: PaperRow) -> list[str] | None:
    """What a run of the profile is told to do no more than the row needs; None where the profile has no such update.

    Of the other task nothing is run, or where the notebook of the table tells of both tasks, one update.
    """
    place = PLACES[row.table]
    asked = {"dependency": profile.parsed_updates(), "semantic": profile.semantic.parsed_updates()}
    needed = _needed(row, asked[place.task])
    if not needed:
        return None
    of_other = {task: updates[: task in STORY[place.notebook]] for task, updates in asked.items()}
    kept = of_other | {place.task: needed}
    fields = {"dependency": "updates", "semantic": "semantic.updates"}
    return [f"{fields[task]}=[{', '.join(map(str, kept[task]))}]" for task in kept if kept[task] != asked[task]]


def _needed(row: PaperRow, updates: list[Update]) -> list[Update]:
    """The updates whose models are in a row."""
    if row.is_single:  # counted where it is replaced first, or else where it replaces another
        of_model = [u for u in updates if u.old == row.update] or [u for u in updates if u.new == row.update]
        return of_model[:1]
    own = [update for update in updates if str(update) == row.update]
    if row.table not in paper.RETRAINED or not own or own[0].old == own[0].new:
        return own
    # Old models of the new kind are there only where it is replaced too.
    replaced = [update for update in updates if update.old == own[0].new][:1]
    return [update for update in updates if update in [*own, *replaced]]


def row_command(profile: Profile, overrides: Sequence[str]) -> str:
    """The shell command that makes a row, of `row_overrides`."""
    told = [f"--set '{override}'" for override in overrides]
    return " ".join(["bcr reproduce", f"--profile {profile.name}", *told, f"-o {FOLDER}"])


def row_seconds(profile: Profile, overrides: Sequence[str], jobs: Jobs) -> float | None:
    """What the jobs of that command took in a run of the whole profile, added up; None where they are not all known.

    jobs: those of its manifests; speed and story, of which manifests do not tell, are not counted.
    """
    planned = [job.name for job in plan(load_profile(profile.name, tuple(overrides))) if job.name not in _LATER]
    return sum(jobs[name]["seconds"] for name in planned) if jobs.keys() >= set(planned) else None


def filled(page: str, root: Path = ROOT) -> str:
    """A page with the blocks between its markers made anew from the files that the markers name, from the root."""
    blocks = {
        "headline": lambda file: headline_table(read_record(file)),
        "intervals": lambda file: headline_table(read_record(file), intervals=True),
        "results": lambda file: compact_grid(read_record(file)),
        "changes": lambda file: changes_table(read_record(file)),
        "compare": comparison_excerpt,
        "speed": lambda file: speed_table(json.loads(file.read_text("utf-8"))),
    }
    marked = rf"(<!-- ({'|'.join(blocks)}): (\S+) -->\n).*?(<!-- end of \2 -->)"
    return re.sub(marked, lambda m: f"{m[1]}{blocks[m[2]](root / m[3])}\n{m[4]}", page, flags=re.DOTALL)


def comparison_excerpt(folder: Path) -> str:
    """What `bcr compare` prints first, and of the noise floor, of a kept run's update on the embedded sentences.

    `folder`: the run's predictions.  A deepbiaf gives way to a stackptr; another deepbiaf is the further seed.
    """
    gold = InputFile("gold", format_conllu(load_treebank("demo", "test")).encode())
    places = ("deepbiaf-to-stackptr/old", "deepbiaf-to-stackptr/new", "deepbiaf-to-deepbiaf/new")
    old, new, seed = (read_input(folder / f"{place}.conllu") for place in places)
    verdict = judge(update_of([gold, old, new, seed], preset("clean")), Gate())
    blocks = to_text(verdict).split("\n\n")
    (noise,) = (block.splitlines() for block in blocks if block.startswith("Noise floor"))
    return "\n".join(["```text", blocks[0], *noise[1 : 2 + len(verdict.levels)], "```"])


if __name__ == "__main__":
    write_text(ROOT / "REPRODUCIBILITY.md", reproducibility())
    for path in [ROOT / page for page in PAGES]:
        path.write_text(filled(path.read_text("utf-8")), "utf-8")
