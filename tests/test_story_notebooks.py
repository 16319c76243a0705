"""The notebooks: their style, what nbval compares, and whether the stored results bear out what they say."""

import ast
import html
import re
from functools import cache
from pathlib import Path

import nbformat
import numpy as np
import pytest

from bcrlib.experiments import counting, rounds
from bcrlib.experiments.store import CorrectnessStore
from bcrlib.metrics.tree_breakdowns import BREAKDOWNS_FILE, read_breakdowns
from bcrlib.metrics.uncertainty import micro_average
from bcrlib.report import breakdowns, candidate_sources, costs
from bcrlib.report.candidate_sources import SAMPLED
from bcrlib.report.publisher import ROOT, stored, tasks_measured
from bcrlib.report.tables import read_record
from bcrlib.report.updates import CHANGE, CUT, LISTED, by_gain, headline_rows

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
STORY = sorted(NOTEBOOKS.glob("*.ipynb"))
PIPELINE = sorted((NOTEBOOKS / "pipeline").glob("*.ipynb"))
IGNORED = "nbval-ignore-output"
DRIVER_PARAMETERS = {"output_folder", "inputs"}
STORY_PARAMETERS = {
    "profile", "results", "output", "sampler", "num_candidates", "new_weight", "task"
}  # fmt: skip
# Of Linux, macOS and Windows; and addresses of objects, which differ from run to run.
MACHINE = re.compile(r"(?<![\w.:/])/(home|root|work|Users|tmp|private|var|opt|usr|mnt)/|[A-Z]:\\\\|at 0x[0-9a-f]{6,}")

story = pytest.mark.parametrize("path", STORY, ids=lambda path: path.stem)
pipeline = pytest.mark.parametrize("path", PIPELINE, ids=lambda path: path.stem)
every = pytest.mark.parametrize("path", STORY + PIPELINE, ids=lambda path: path.stem)


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def tags(cell: nbformat.NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def parse(cell: nbformat.NotebookNode) -> ast.Module:
    plain = [line for line in cell.source.splitlines() if not line.lstrip().startswith("%")]
    return ast.parse("\n".join(plain))


def output_text(cell: nbformat.NotebookNode) -> str:
    """All that is shown as text: printed, results, drawings; not pixels."""
    texts = []
    for output in cell.outputs:
        shown = output.get("data", {"text/plain": output.get("text", "")})
        texts += [str(content) for kind, content in shown.items() if kind != "image/png"]
    return "\n".join(texts)


def claim_faults(first: nbformat.NotebookNode) -> list[str]:
    """What keeps a first cell from being a claim and a few sentences on it."""
    title, _, text = first.source.strip().partition("\n")
    faults = [] if first.cell_type == "markdown" else ["no prose"]
    faults += [] if title.startswith("# ") else ["no title"]
    faults += [] if len(title.split()) >= 6 else ["a topic, not a claim"]
    faults += [] if text.count(".") >= 2 else ["no sentences below the title"]
    return faults


def test_what_is_committed_of_the_demo_is_what_the_notebooks_show():
    """By the titles of tables and figures, which tell of the numbers in them."""
    shown = html.unescape("".join(output_text(cell) for path in STORY for cell in code_cells(path)))
    records = [read_record(file) for file in sorted((ROOT / "figures/demo").glob("*.json"))]
    other = {record.name for record in records if record.kind != "drawing" and record.title not in shown}
    assert len(records) > 70 and other == {"differences_labelled"}  # saved, not shown


def test_there_are_notebooks_in_the_order_of_their_numbers():
    assert len(PIPELINE) >= 6
    assert [path.name[:2] for path in STORY] == [f"{i:02d}" for i in range(len(STORY))]
    assert len(STORY) >= 5


@story
def test_the_title_is_a_claim(path):
    assert claim_faults(read(path).cells[0]) == []


@every
def test_one_parameters_cell_and_it_is_the_first_code(path):
    first, *others = code_cells(path)
    assert tags(first) == ["parameters"]
    assert not any("parameters" in tags(cell) for cell in others)
    statements = parse(first).body
    # papermill knows the type of what is annotated only.
    assert all(isinstance(statement, ast.AnnAssign) for statement in statements)


@pipeline
def test_the_driver_tells_pipeline_notebooks_where_they_read_and_write(path):
    assert {statement.target.id for statement in parse(code_cells(path)[0]).body} >= DRIVER_PARAMETERS


@story
def test_story_notebooks_run_without_being_told_anything_and_use_what_they_may_be_told(path):
    first, *others = code_cells(path)
    statements = parse(first).body
    assert {statement.target.id for statement in statements} <= STORY_PARAMETERS
    assert all(statement.value is not None for statement in statements)
    written = [statement.value.value for statement in statements if statement.target.id in ("output", "results")]
    assert not any(written), "by hand nothing is written, and what the repository keeps is read"
    # papermill lists a parameter with its help only where its line has one "=".
    assert all("  # " in line and line.count("=") == 1 for line in first.source.splitlines())
    used = {node.id for cell in others for node in ast.walk(parse(cell)) if isinstance(node, ast.Name)}
    assert {statement.target.id for statement in statements} <= used


@story
def test_notebooks_are_short_and_cells_are_small(path):
    assert len(read(path).cells) <= 34
    for cell in code_cells(path):
        imports = [node for node in parse(cell).body if isinstance(node, (ast.Import, ast.ImportFrom))]
        lines = sum(node.end_lineno - node.lineno + 1 for node in imports)
        assert len(cell.source.splitlines()) - lines <= 20


@story
def test_prose_and_code_alternate(path):
    kinds = "".join(cell.cell_type[0] for cell in read(path).cells[3:])
    assert "cccc" not in kinds  # four cells of code in a row leave the reader alone


@story
def test_machinery_is_in_the_package(path):
    of_cell = [(cell, list(ast.walk(parse(cell)))) for cell in code_cells(path)]
    nodes = [node for _, in_cell in of_cell for node in in_cell]
    story = [node for cell, in_cell in of_cell if "solution" not in tags(cell) for node in in_cell]
    assert sum(isinstance(node, (ast.FunctionDef, ast.ClassDef)) for node in story) <= 1  # what students write is extra
    names = [node.module for node in nodes if isinstance(node, ast.ImportFrom)]
    names += [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    assert not [name for name in names if name.split(".")[0] == "torch" or name.startswith("bcrlib.models")]


KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
LANGUAGE = {"codemirror_mode": {"name": "ipython", "version": 3}, "file_extension": ".py", "mimetype": "text/x-python"}
LANGUAGE |= {"name": "python", "nbconvert_exporter": "python", "pygments_lexer": "ipython3"}


@every
def test_jupyterlab_would_save_the_file_as_it_is(path):
    notebook = read(path)
    told = dict(notebook.metadata.language_info)
    assert re.fullmatch(r"3\.1[12]\.\d+", told.pop("version"))  # of whoever ran it last: the one thing that may change
    assert (notebook.metadata.kernelspec, told) == (KERNEL, LANGUAGE)
    assert set(notebook.metadata) == {"kernelspec", "language_info"} and notebook.nbformat_minor == 5
    assert all(set(cell.metadata) <= {"tags"} for cell in notebook.cells)
    assert path.read_text("utf-8") == nbformat.writes(notebook) + "\n"
    assert nbformat.validator.normalize(notebook)[0] == 0  # no id is missing or given twice


@story
def test_committed_as_executed_in_order(path):
    counts = [cell.execution_count for cell in code_cells(path)]
    assert counts == list(range(1, len(counts) + 1))


TRAINERS = {"train", "practice_parser", "date_writer"}
"""What makes a parser on the spot: its digits depend on the processor."""


def trains(node: ast.AST) -> bool:
    """Whether it calls one of these, other than for no epochs at all."""
    calls = [part for part in ast.walk(node) if isinstance(part, ast.Call)]
    named = [call for call in calls if getattr(call.func, "id", getattr(call.func, "attr", "")) in TRAINERS]
    return any("num_epochs=0" not in map(ast.unparse, call.keywords) for call in named)


def live_cells(cells: list[nbformat.NotebookNode]) -> set[str]:
    """Cells that train a parser, or use a name that was made from one (until it is given to something else)."""
    names: set[str] = set()
    found = set()
    for cell in cells:
        for statement in parse(cell).body:
            of = [node for node in ast.walk(statement) if isinstance(node, ast.Name)]
            live = trains(statement) or any(isinstance(name.ctx, ast.Load) and name.id in names for name in of)
            stored = {name.id for name in of if isinstance(name.ctx, ast.Store)}
            names = names | stored if live else names - stored
            found |= {cell.id} if live else set()
    return found


@story
def test_only_what_is_trained_or_timed_here_goes_unchecked(path):
    cells = code_cells(path)
    ignored = {cell.id for cell in cells if IGNORED in tags(cell)}
    assert ignored <= live_cells(cells)
    assert {cell.id for cell in cells if trains(parse(cell)) and cell.outputs} <= ignored
    assert {cell.id for cell in cells if cell.outputs} - ignored  # without a stored output nbval passes emptily


def test_what_is_live_is_followed_through_names():
    sources = ["old = train('s2s', some)", "pool = old(x)", "old = stored(pool)", "pool = 1", "print(old)"]
    sources += ["old = 2", "print(old, pool)", "untrained = practice_parser(bank, num_epochs=0)"]
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    assert [cell.id in live_cells(cells) for cell in cells] == [True, True, True, False, True, False, False, False]


@story
def test_tables_are_html_and_figures_have_words(path):
    """A grid of text is cut at the right edge of a page, and a picture alone says nothing to whoever cannot see it."""
    for cell in code_cells(path):
        for output in cell.outputs:
            assert "| :--" not in str(output.get("text", "")), cell.source
            assert max(map(len, str(output.get("text", "")).splitlines()), default=0) <= 140, cell.source
            if "image/png" in output.get("data", {}):
                assert len(output.metadata["image/png"]["alt"]) > 40, cell.source
            if drawing := output.get("data", {}).get("image/svg+xml"):
                assert re.search("<title>[^<]+</title>", "".join(drawing)), cell.source


@story
def test_outputs_show_nothing_of_the_machine_and_no_faults(path):
    for cell in code_cells(path):
        assert not MACHINE.search(output_text(cell)), cell.source
        assert not any(output.output_type == "error" or output.get("name") == "stderr" for output in cell.outputs)


def test_paths_of_machines_are_recognised():
    assert all(map(MACHINE.search, ["/home/ada/x", "in '/tmp/x'", "C:\\\\Users", "<Figure at 0x7f0012ab>"]))
    assert not any(map(MACHINE.search, ["figures/tmp/x", "http://www.w3.org/2000/svg", "new/old", "./var/x"]))


@pipeline
def test_pipeline_notebooks_are_committed_without_outputs(path):
    assert not any(cell.outputs or cell.execution_count for cell in code_cells(path))


# What the notebooks say, against the results that the repository keeps.

PROFILES = [p for p in ("demo", "small", "paper") if (ROOT / "data" / "correctness" / p / "semantic").is_dir()]
profiles = pytest.mark.parametrize("profile", PROFILES)
WORDS, TREES = ("UAS", "LAS"), ("UCM", "LCM")


def says(number: str, sentence: str) -> None:
    """That a notebook has this sentence: whoever changes it meets the check below it."""
    (path,) = NOTEBOOKS.glob(f"{number}_*.ipynb")
    prose = " ".join(" ".join(cell.source.split()) for cell in read(path).cells if cell.cell_type == "markdown")
    assert sentence in prose


@cache
def kept(profile: str, task: str = "dependency") -> tuple[CorrectnessStore, str]:
    store = CorrectnessStore(stored(profile, task=task))
    return store, store.load_manifest()["profile"]["preset"]


@cache
def flips_of(profile: str, task: str = "dependency") -> dict:
    """(update, level) -> row -> flips of all pairs, of BCR and of who else may pick."""
    (store, preset), found = kept(profile, task), {}
    for update in counting.updates(store):
        rows = {"Untreated": counting.untreated, **candidate_sources.rerankers(store, update)}
        rows["own choice"] = candidate_sources.pickers(store, update)["own choice"]
        for level, of_row in candidate_sources.count(store, preset, update, rows).items():
            found[str(update), level] = {row: micro_average(pairs.counts) for row, pairs in of_row.items()}
    return found


def mean_cut(profile: str, levels: tuple[str, ...], row: str = SAMPLED, task: str = "dependency") -> float:
    """Share of the negative flips that this row prevents, mean over updates and levels."""
    cells = [of_row for (_, level), of_row in flips_of(profile, task).items() if level in levels]
    return float(np.mean([1 - of_row[row].nfr / of_row["Untreated"].nfr for of_row in cells]))


@profiles
def test_what_leads_improves_and_still_breaks(profile):
    says("04", "An update can be better on average and still break words and sentences that worked")
    leading = str(by_gain(*kept(profile))[0])
    for level in (*WORDS, *TREES):
        found = flips_of(profile)[leading, level]["Untreated"]
        assert found.acc_new > found.acc_old and found.nfr > 0 and 0 < found.nfi < found.acc_old, level
    says("06", "An update does not break words evenly: some kinds break more, and they break together")
    assert breakdowns.headline_update(read_breakdowns(stored(profile) / BREAKDOWNS_FILE)) == leading


@profiles
def test_re_ranking_prevents_what_is_said(profile):
    says("00", "This prevents more than half of the broken sentences and a good part of the broken words.")
    says("05", "The new model proposes, the old model picks, and less breaks")
    assert mean_cut(profile, TREES) > 0.5 and mean_cut(profile, WORDS) > 0.2
    assert all(of_row[SAMPLED].nfr < of_row["Untreated"].nfr for of_row in flips_of(profile).values())
    says("11", "A better semantic parser still breaks frames, and the old one can prevent much of it")
    assert mean_cut(profile, ("spanEM", "EM"), task="semantic") > 0.3
    for (_, level), of_row in flips_of(profile, "semantic").items():
        assert of_row["Untreated"].nfr > 0 and (
            level != "EM" or of_row["Untreated"].acc_new > of_row["Untreated"].acc_old
        )


@profiles
def test_the_gain_is_the_old_models(profile):
    says("05", "For words most of the gain is the old model's; for whole trees practically all of it is.")
    for levels, least in ((WORDS, 0.5), (TREES, 0.9)):
        assert mean_cut(profile, levels, "own choice") < (1 - least) * mean_cut(profile, levels)


@profiles
def test_the_list_breaks_less_and_samples_are_more_accurate_on_average(profile):
    says("05", "on average, re-ranking the list breaks less, and re-ranking the samples is more accurate")
    store, preset = kept(profile)
    methods = {u: candidate_sources.methods(store, u) for u in counting.updates(store)}
    counts = {str(u): candidate_sources.count(store, preset, u, rows) for u, rows in methods.items()}
    value = headline_rows("dependency", counts).set_index(["row", "metric"])["value"]
    assert value[LISTED, CUT] > value[SAMPLED, CUT] and value[LISTED, CHANGE] < value[SAMPLED, CHANGE]


@profiles
def test_some_words_break_more_they_break_together_and_nfi_leans_to_easy_ones(profile):
    says("06", "NFI does not take the difficulty out: it leans the other way.")
    table = read_breakdowns(stored(profile) / BREAKDOWNS_FILE)
    update = breakdowns.headline_update(table)
    rates = breakdowns.slice_rates(table, update, "Untreated", kept(profile)[1], "UAS").query("q_value == q_value")
    assert (rates["q_value"] <= 0.05).sum() >= 10
    ranks = rates.assign(error=1 - rates["acc_old"])[["error", "nfr", "nfi"]].rank().corr()["error"]
    assert ranks["nfr"] > 0.5 and ranks["nfi"] < 0
    couples = breakdowns.co_occurrence_rows(table, update, "Untreated", "official", "UAS")
    near = couples.query("breakdown == 'couple tree distance' and key == '1'").iloc[0]
    assert near["share"] > 1.2 * near["chance"]


@profiles
def test_over_rounds_all_models_keep_what_the_last_one_lets_go(profile):
    says("08", "Over several updates, all earlier models together keep what the last one alone lets go")
    says(
        "08", "with a list of the best trees, the last model alone breaks nearly as many trees as no re-ranking at all."
    )
    store, preset = kept(profile)
    for update in (u for u in counting.updates(store) if u.old == u.new):
        plain = rounds.untreated(store, preset, "UCM", update)["before"]
        for strategy in (counting.listed_strategy(store, update), counting.dropout_strategy(store, update)):
            last, every = (
                rounds.bcr(store, preset, "UCM", update, strategy=strategy, **who) for who in ({"memory": 1}, {})
            )
            for against in ("before", "any"):
                assert nfr(every[against][-1]) < nfr(last[against][-1])
            first, *later = (nfr(pairs) / nfr(was) for pairs, was in zip(last["before"], plain))
            assert first < 0.5 and first < min(later)
            assert strategy == counting.dropout_strategy(store, update) or min(later) > 0.75


def nfr(pairs) -> float:
    return micro_average(pairs.counts).nfr


@profiles
@pytest.mark.parametrize("task", ["dependency", "semantic"])
def test_one_sample_is_worse_than_the_parser_and_sources_differ(profile, task):
    says("12", "One sample of dropout-p is worse than the untreated parser")
    says("12", "How the new parser makes its candidates decides how much breaks")
    (store, preset), level = kept(profile, task), {"dependency": "UAS", "semantic": "EM"}[task]
    for update in counting.updates(store):
        plain, dropout = flips_of(profile, task)[str(update), level], counting.dropout_strategy(store, update)
        one = micro_average(counting.bcr(store, preset, level, update, dropout, num_candidates=1).counts)
        assert one.acc_new < plain["Untreated"].acc_new and one.nfr > plain["Untreated"].nfr > plain[SAMPLED].nfr
    sources = candidate_sources.sources(store, update)
    broken = [nfr(source(store, preset, level, update)) for source in sources.values()]
    assert max(broken) > 1.3 * min(broken)


@profiles
def test_ten_samples_cost_one_to_nine_decodes_and_choosing_about_one_or_less(profile):
    says("13", "Ten sampled candidates cost one to nine decodes, and choosing among them about one or less")
    _, measured = costs.load_speeds(
        {name: stored(profile, task=name) / "speed.json" for name in tasks_measured(profile)}
    )
    cost = costs.cost_rows(measured).query("num_candidates == 10").groupby("step")["cost"]
    assert cost.min()["dropout-p"] > 1 and cost.max()["dropout-p"] < 9.5
    assert cost.max()["re-ranking dropout-p"] < 1.25
