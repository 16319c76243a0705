"""What differs by design, and the command of each row: derived from profiles, not written down."""

from dataclasses import asdict

import pytest

from bcrlib.data.presets import PRESETS
from bcrlib.pipeline.plan import plan
from bcrlib.pipeline.profile import load_profile
from bcrlib.report.paper import (
    COUNTING,
    PLACES,
    RETRAINED,
    PaperRow,
    asked_of,
    departures,
    differing_switches,
    paper_rows,
)
from bcrlib.report.reproducibility import row_command, row_overrides, row_seconds

ROWS = [row for table in PLACES for row in paper_rows(table)]
SMALL = load_profile("small")
DD, DS = "deepbiaf=>deepbiaf", "deepbiaf=>stackptr"


def texts(name: str, task: str, precisions: tuple = ()) -> dict[str, str]:
    return {one.what: one.text for one in departures(task, asked_of(load_profile(name), task), precisions)}


@pytest.mark.parametrize("task", ["dependency", "semantic"])
def test_the_authors_profile_differs_in_what_no_profile_can_have(task):
    always = {"dependency": {"Word vectors", "Ensembles", "Dropout rate"}}
    always["semantic"] = {"Ensembles", "Dropout rate", "Part of the data"}
    assert set(texts("authors", task)) == always[task]


def test_a_smaller_network_is_told_value_by_value():
    network = texts("small", "dependency")["Network"]
    assert "`hidden_size` 200 (512)" in network and "`num_layers` 2 (3)" in network
    assert "`word_size` 300 (100)" in network and "decoder_input_size" not in network  # the same
    assert texts("small", "semantic")["Encoder"].startswith("base: `encoder` minilm (roberta-base), `encoder_layers` 3")


def test_precision_and_seeds():
    assert "Precision" not in texts("small", "dependency", ("float32",))
    assert texts("small", "dependency", ("bfloat16", "float32"))["Precision"].endswith("in bfloat16 (float32)")
    num = len(SMALL.old_seeds)
    assert texts("small", "dependency")["Seeds"].startswith(f"{num} old and {len(SMALL.new_seeds)} new models")
    old_manifest = asked_of(SMALL, "dependency") | {"ensembles": ["(1, 2, 3)"]}  # a group was text there
    (ensembles,) = [one.text for one in departures("dependency", old_manifest) if one.what == "Ensembles"]
    assert ensembles.startswith("1 of 3 (5 of 5)")


def test_every_switch_belongs_to_one_task():
    clean, official = (asdict(PRESETS[name]) for name in ("clean", "official"))
    of_tasks = [differing_switches(task) for task in ("dependency", "semantic")]
    assert not set(of_tasks[0]) & set(of_tasks[1])
    assert set().union(*of_tasks) == {name for name in clean if clean[name] != official[name]} - {"name"}
    assert set(COUNTING) < set().union(*of_tasks)


def test_a_departure_concerns_its_own_rows():
    found = {one.what: one for one in departures("dependency", asked_of(SMALL, "dependency"))}
    names = {
        what: {row.name for row in ROWS if one.concerns(row, "clean") and not row.is_single}
        for what, one in found.items()
    }
    assert names["Ensembles"] == {"Ensemble"} and names["Students"] == {"Distillation"}
    assert names["Dropout rate"] == {"BCR (dropout-p)", "oracle NFR", "oracle ACC"}
    assert names["Network"] >= {"Old", "Untreated", "Ensemble"}
    counting, (row, *_) = found["Switches of counting"], paper_rows("Table 3")
    assert counting.concerns(row, "clean") and not counting.concerns(row, "official")
    assert not any(one.concerns(row, "clean") for one in departures("semantic", asked_of(SMALL, "semantic")))


@pytest.mark.parametrize("name", ["demo", "small", "paper"])
def test_every_command_plans_the_models_and_the_notebook_of_its_row(name):
    profile = load_profile(name)
    for row in {(row.table, row.update, row.method): row for row in ROWS}.values():
        overrides = row_overrides(profile, row)
        if overrides is None:
            assert row_command(profile, row) is None
            continue
        jobs = {job.name for job in plan(load_profile(name, tuple(overrides)))}
        assert PLACES[row.table].notebook.removesuffix(".ipynb") in jobs
        half = profile if PLACES[row.table].task == "dependency" else profile.semantic
        old, new = half.old_seeds[0], half.new_seeds[0]
        if row.is_single:
            assert {f"train {row.update} {old}", f"train {row.update} {new}"} & jobs
        elif row.table in RETRAINED and any(
            update.old == row.update.split("=>")[1] for update in half.parsed_updates()
        ):
            assert {f"train {kind} {old}" for kind in row.update.split("=>")} <= jobs
        else:
            replaced, by = row.update.split("=>")
            assert {f"train {replaced} {old}", f"train {by} {new}"} <= jobs


def row_of(table: str, update: str) -> PaperRow:
    return next(row for row in paper_rows(table) if row.update == update)


def test_a_command_leaves_out_what_the_row_does_not_need():
    command = row_command(SMALL, row_of("Table 3", DD))
    expected = f"--set 'updates=[{DD}]' --set 'semantic.updates=[]' -o again"
    assert command == f"bcr reproduce --profile small {expected}"
    overrides = row_overrides(SMALL, row_of("Table 3", DD))
    jobs = {job.name for job in plan(load_profile("small", tuple(overrides)))}
    assert not any("stackptr" in job or "frames" in job for job in jobs if not job[0].isdigit())
    assert row_overrides(load_profile("demo"), row_of("Table 4", "s2s-large-part=>s2s-large")) is None


def test_the_notebook_of_both_tasks_gets_one_update_of_the_other():
    overrides = row_overrides(SMALL, row_of("Table 4", "s2s-base=>s2s-large"))
    assert overrides == ["updates=[deepbiaf-static=>deepbiaf]", "semantic.updates=[s2s-base=>s2s-large]"]
    assert row_overrides(SMALL, row_of("Table 5", "s2s-base=>s2s-large"))[0] == "updates=[]"


def test_seconds_are_those_of_the_jobs_that_the_command_plans():
    row = row_of("Table 3", DD)
    later = ("collect", "speed")
    planned = [job.name for job in plan(load_profile("small", tuple(row_overrides(SMALL, row))))]
    working = [name for name in planned if name not in later and not name[:2].isdigit()]
    jobs = {name: {"seconds": 2.0} for name in [*working, "train stackptr 1"]}
    assert row_seconds(SMALL, row, jobs) == 2.0 * len(working)
    assert row_seconds(SMALL, row, dict(list(jobs.items())[1:])) is None
