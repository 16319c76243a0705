"""Causes: what cells record, and what is said of results made up by hand."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_runs import run as command
from made_up_cells import FACTORS, KINDS, made_up, rates

from bcrlib.data.download import TOP_FILES
from bcrlib.data.frames import frame_text
from bcrlib.data.presets import PRESETS
from bcrlib.data.top import write_top
from bcrlib.data.treebank import write_conllu
from bcrlib.experiments.store import CorrectnessStore, Pool
from bcrlib.metrics.flips import flips
from bcrlib.metrics.uncertainty import micro_average
from bcrlib.parsers.batches import best_runtime
from bcrlib.parsers.training import load_parser
from bcrlib.pipeline.profile import cell_name
from bcrlib.report import causes
from bcrlib.report.candidate_sources import SAMPLED
from bcrlib.report.causes import DISTILLED, LISTED, UNTREATED, why_ours_differs
from bcrlib.report.figures import METHOD_COLOURS
from bcrlib.report.pages import reproducibility
from bcrlib.samplers.strategies import OneBest
from bcrlib.tasks import dependency, semantic
from bcrlib.tasks.dependency import load_treebank
from bcrlib.tasks.semantic import load_frames

TASKS = {"dependency": dependency.TASK, "semantic": semantic.TASK}
SHARES = {"dependency": {"train": 0.5, "test": 1.0}, "semantic": {"train": 1.0, "test": 0.75}}
BOTH = "base_training.dropout, base_training.attention_dropout"


# What is recorded: two cells of trees and two of frames, from training to tables


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A folder of results: very small parsers of a few generated sentences."""
    folder = tmp_path_factory.mktemp("cells")
    for split, number in (("train", 60), ("dev", 20), ("test", 40)):
        trees, frames = load_treebank("demo", split), load_frames("demo", split)
        (folder / "corpus").mkdir(exist_ok=True)
        write_conllu(trees.select(np.arange(number)), folder / "corpus" / f"{split}.conllu")
        some = frames.select(range(number))
        write_top(some.utterances, [frame_text(frame) for frame in some.frames], folder / "corpus" / TOP_FILES[split])
    of_half = f"corpus={folder}/corpus old_seeds=[1] new_seeds=[2] ensembles=[] num_candidates=3 dropout_grid=[0.1,0.3]"
    overrides = [half + one for half in ("", "semantic.") for one in (*of_half.split(), "dev_share=0.5")]
    overrides += ["updates=[deepbiaf=>deepbiaf]", "semantic.updates=[s2s-base=>s2s-base]", "semantic.ensemble_sizes=[]"]
    overrides += ["model={hidden_size: 16, word_size: 16, arc_size: 16, label_size: 16, vectors: none}"]
    overrides += ["training.batch_tokens=100", "semantic.base_training.batch_tokens=100"]
    overrides += ["semantic.base.constrained=true", "semantic.base_training.num_epochs=2"]
    overrides += ["ablation={train_share: 0.5, vary: {training.num_epochs: [1, 3]}}"]
    overrides += [f"semantic.ablation={{test_share: 0.75, vary: {{'{BOTH}': [[0.1, 0.0], [0.3, 0.1]]}}}}"]
    command("reproduce", "-o", folder, *(f"--set={override}" for override in overrides))
    return folder


def folder_of(run: Path, cell: str) -> Path:
    (found,) = (folder for folder in (run / "runs").glob("*-cell *") if folder.name.endswith(f" {cell}"))
    return found


def found_in(run: Path, task: str) -> causes.Found:
    return causes.load(run / "data" / "correctness" / "demo" / task)


@pytest.mark.parametrize("task", TASKS)
def test_what_is_recorded_is_what_the_metrics_give_for_the_same_predictions(run, task):
    parsing, found = TASKS[task], found_in(run, task)
    corpus = str(run / "corpus")
    train, test = (parsing.load(corpus, split, 0.2).part(share, 0) for split, share in SHARES[task].items())
    kind = KINDS[task]
    assert set(found.counts) == set(found.settings) and len(found.counts) == 2
    broken = 0
    for cell, of_level in found.counts.items():
        place = folder_of(run, cell)
        names = {"old": f"{kind}-1", "new": f"{kind}-2", "student": f"{kind}-distillation({kind}-1)-2"}
        parsers = {who: load_parser(place / name, best_runtime()) for who, name in names.items()}
        right = {
            who: parsing.correctness(test, parser.candidates(test, OneBest()), PRESETS["clean"])
            for who, parser in parsers.items()
        }
        for level, of_row in of_level.items():
            for row, who in {UNTREATED: "new", DISTILLED: "student"}.items():
                expected = flips(right["old"][level][0], right[who][level][0])
                assert micro_average(of_row[row].counts) == expected
                broken += expected.yn
        known = parsing.correctness(train, parsers["old"].candidates(train, OneBest()), PRESETS["clean"])
        for level in of_level:
            assert found.teacher(cell, level) == pytest.approx(known[level][0].mean())
    assert broken


@pytest.mark.parametrize("task", TASKS)
def test_re_ranking_is_counted_as_by_hand(run, task):
    for cell, of_level in found_in(run, task).counts.items():
        store = CorrectnessStore(folder_of(run, cell) / "test")
        ((_, choice),) = store.load_manifest()["dropout_choice"].items()
        (new,) = (system for system in store.systems() if system.method == "new")
        (old,) = (system for system in store.systems() if system.method == "old")
        pool = Pool(new.name, choice["strategy"])
        scores = store.load_scores(pool, old.name, choice["score"])
        for level, of_row in of_level.items():
            right, before = store.load_pool(pool, "clean", level), store.load_system(old, "clean", level)
            num_broken = num_wrong = 0
            for unit, sentence in enumerate(store.load_units("clean").sentence_of_unit[level]):
                best = max(range(3), key=lambda candidate: scores[candidate, sentence])
                num_wrong += not right[best, unit]
                num_broken += bool(before[unit] and not right[best, unit])
            counted = micro_average(of_row[SAMPLED].counts)
            assert (counted.yn, counted.yn + counted.nn) == (num_broken, num_wrong)


def test_the_student_learns_what_its_teacher_says_and_all_learn_from_one_share(run):
    for cell in found_in(run, "dependency").settings:
        systems = {system.method: system for system in CorrectnessStore(folder_of(run, cell) / "test").systems()}
        assert systems["distillation"].teacher == systems["old"].name == "deepbiaf/1"
        assert systems["distillation"].seed == systems["new"].seed == 2
        history = CorrectnessStore(folder_of(run, cell) / "test").load_manifest()["histories"]
        assert {len(of_model) for of_model in history.values()} == {int(cell.removeprefix("epochs "))}


def test_tables_have_a_row_a_cell_and_figures_are_drawn(run):
    figures = run / "figures" / "demo"
    for suffix, task in {"": "dependency", "_frames": "semantic"}.items():
        found = found_in(run, task)
        rows = json.loads((figures / f"cells{suffix}.json").read_text())["rows"]
        assert list(dict.fromkeys(row["row"] for row in rows)) == list(found.settings)
        of_nfi = {(row["row"], row["level"]): row["value"] for row in rows if row["metric"] == "NFI"}
        for (cell, level), value in of_nfi.items():
            assert value == pytest.approx(micro_average(found.counts[cell][level][UNTREATED].counts).nfi)
        assert (figures / f"causes_figure{suffix}.svg").is_file() and (figures / f"causes{suffix}.md").is_file()
        assert "| cell |" in (figures / f"cells{suffix}.md").read_text()
        manifest = found.manifest
        assert set(manifest["jobs"]) == {f"cell {KINDS[task]} {cell}" for cell in found.settings}
        assert set(manifest["wall_time"]["stages"]) == {"cell"}
    assert "Causes" in (figures / "index.html").read_text()


@pytest.mark.parametrize("task", TASKS)
def test_kept_flips_are_read_back(tmp_path, task):
    made = made_up(task)
    for folder in (tmp_path / "a", tmp_path / "b"):
        causes.save_flips(folder, made.counts)
        CorrectnessStore(folder).save_manifest(made.manifest)
    assert (tmp_path / "a" / causes.FLIPS_FILE).read_bytes() == (tmp_path / "b" / causes.FLIPS_FILE).read_bytes()
    back = causes.load(tmp_path / "a")
    assert back.settings == made.settings and list(back.factors) == list(FACTORS[task])
    for cell, of_level in made.counts.items():
        for level, of_row in of_level.items():
            for row, pairs in of_row.items():
                np.testing.assert_array_equal(back.counts[cell][level][row].counts, pairs.counts)


@pytest.mark.parametrize("task", TASKS)
def test_means_are_over_the_cells_with_a_value(task):
    found = made_up(task)
    rows = causes.effect_rows(found).set_index(["row", "metric"])
    for factor, values in FACTORS[task].items():
        for value in values:
            cells = [rates(FACTORS[task]["epochs"].index(one["epochs"]), one)
                     for one in found.settings.values() if one[factor] == value]  # fmt: skip
            for metric, row, minus in (
                ("NFI, dropout-p − list", SAMPLED, LISTED),
                ("NFI, student − new", DISTILLED, UNTREATED),
            ):
                expected = [cell[row][0] / cell[row][1] - cell[minus][0] / cell[minus][1] for cell in cells]
                of_row = rows.loc[f"{factor} {value}", metric]
                assert of_row["value"] == pytest.approx(np.mean(expected), abs=4e-3)  # rates are of whole units
                assert of_row["low"] < of_row["value"] < of_row["high"]


def test_resamples_are_the_same_in_all_cells():
    found = made_up("dependency")
    static, context = (found.flips[cell_name({"epochs": "4", "vectors": v}), "LAS"] for v in ("static", "context"))
    np.testing.assert_array_equal(static[UNTREATED].yn, context[UNTREATED].yn)
    moved = found.moved(found.numbers["NFI"])
    assert not moved["vectors"].any() and moved["epochs"][1:].std() > 0


def test_the_power_of_errors_is_the_slope_of_logarithms():
    found = made_up("semantic")  # NFR is a fifth of the errors in every cell
    assert causes.power_of_errors(found)[0] == pytest.approx(1.0, abs=0.02)


def paragraph(text: str, task: str, question: str) -> str:
    of_task = re.search(rf"^### {task}(.*?)(?=^### |\Z)", text, re.DOTALL | re.MULTILINE)[1]
    return re.search(rf"^\*\*{re.escape(question)}\*\*(.*?)$", of_task, re.MULTILINE)[1]


def test_it_says_where_dropout_p_beats_the_list_and_what_moves_it():
    text = why_ours_differs({"dependency": made_up("dependency"), "semantic": made_up("semantic")})
    trees = paragraph(text, "Dependency parsing", "When does dropout-p beat a list?")
    assert "a lower NFI than re-ranking the list in 2 of 6 cells and a higher one in 4;" in trees
    lower = trees.split("Lower, in percentage points: ")[1].split(". ")[0]
    assert "epochs 25, vectors static −" in lower and "epochs 25, vectors context −" in lower
    assert "epochs 4" not in lower and "epochs 10" not in lower
    assert re.search(r"What moves this difference: epochs from 4 to 25 by −1[12]\.\d\d \[−[\d.]+, −[\d.]+\]\.", trees)
    assert "vectors from" not in trees
    frames = paragraph(text, "Semantic parsing", "When does dropout-p beat a list?")
    assert "in 2 of 4 cells and a higher one in 2;" in frames and "epochs 40, dropout 0.1 −" in frames


def test_it_says_where_distillation_harms_and_what_its_teachers_know():
    text = why_ours_differs({"dependency": made_up("dependency")})
    told = paragraph(text, "Dependency parsing", "What makes distillation harmless?")
    assert "in 2 of 6 cells." in told
    assert "Where it harms, teachers get 80.0 to 80.0 % of their training data right." in told
    assert "Where it does not, teachers get 85.0 to 90.0 %" in told
    assert "epochs from 4 to 25 by −" in told and "Semantic" not in text


@pytest.mark.parametrize(
    ("share", "meaning"),
    [(lambda number: 0.2 / 3 ** (2 - number), "better models have the higher NFI"),
     (lambda number: 0.2 / 3**number, "better models have the lower NFI"),
     (lambda number: 0.2, "cannot be told")],
)  # fmt: skip
def test_it_says_whether_better_models_have_the_higher_nfi(share, meaning):
    found = made_up("dependency", share)
    told = paragraph(why_ours_differs({"dependency": found}), "Dependency parsing", "What drives NFI at a given NFR?")
    assert meaning in told
    of_cells = found.numbers["NFI"]
    ends = [found.mean(of_cells, "epochs", value)[0] for value in ("4", "25")]
    (times,) = re.findall(r"epochs from 4 to 25: .*?NFI × ([\d.]+)", told)
    assert float(times) == pytest.approx(ends[1] / ends[0], abs=0.01)


def test_where_nothing_moves_a_difference_it_says_so():
    found = made_up("dependency")
    same = found.counts["epochs 4, vectors static"]
    alike = replace(found, counts=dict.fromkeys(found.counts, same))
    told = paragraph(why_ours_differs({"dependency": alike}), "Dependency parsing", "When does dropout-p beat a list?")
    assert "in 0 of 6 cells and a higher one in 6; in 0 the" in told
    assert "Nothing that varies moves this difference beyond its interval." in told and "Lower" not in told


def test_reproducibility_tells_causes_where_they_are_kept(tmp_path):
    before = reproducibility("small", tmp_path)
    assert "## Why ours differs" not in before and "smaller experiment" not in before
    folder = tmp_path / "data" / "correctness" / "causes" / "semantic"
    causes.save_flips(folder, made_up("semantic").counts)
    CorrectnessStore(folder).save_manifest(made_up("semantic").manifest)
    told = reproducibility("small", tmp_path)
    assert "[a smaller experiment](#why-ours-differs)" in told
    assert told.index("## Why ours differs") < told.index("## The run")
    assert "### Semantic parsing (4 cells, spanEM, demo, 0.25 of its training data)" in told
    assert "### Dependency parsing (" not in told


def test_the_figure_has_a_line_of_panels_a_question_in_the_methods_colours():
    found = made_up("dependency")
    axes = causes.question_panels(found).axes
    assert len(axes) == 3 * 2
    assert [one.get_title(loc="left").split("\n")[1] for one in axes[:2]] == ["vectors static", "vectors context"]
    drawn = {line.get_color(): line.get_ydata() for line in axes[0].get_lines()}
    colours = {row: METHOD_COLOURS[row] for row in (UNTREATED, LISTED)} | {SAMPLED: METHOD_COLOURS["BCR"]}
    cells = [found.counts[cell_name({"epochs": epochs, "vectors": "static"})] for epochs in ("4", "10", "25")]
    for row, colour in colours.items():
        expected = [100 * micro_average(cell["LAS"][row].counts).nfi for cell in cells]
        assert drawn[colour].tolist() == pytest.approx(expected)
