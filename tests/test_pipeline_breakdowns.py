"""The notebook of breakdowns, run as a job: from predicted files to one table of counts."""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from random_trees import random_mistakes, random_treebank

from bcrlib.data.presets import PRESETS
from bcrlib.data.treebank import read_conllu, write_conllu
from bcrlib.metrics.tree_breakdowns import gold_slices, read_breakdowns, right_units, update_breakdowns
from bcrlib.pipeline.execute import execute_notebook
from bcrlib.pipeline.jobs import read_notebook

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
WITHIN, ACROSS, REVERSE = "deepbiaf=>deepbiaf", "deepbiaf=>stackptr", "stackptr=>deepbiaf"
OLD, NEW = [123, 456], [1, 2]
CHOSEN = {WITHIN: "dropout-p(p=0.1)", ACROSS: "dropout-p(p=0.2)"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A corpus of random trees, predictions of both kinds of parsers, and the folder of the executed notebook."""
    folder, rng = tmp_path_factory.mktemp("breakdowns"), np.random.default_rng(0)
    gold = random_treebank(60, rng, longest=8)
    jobs = [
        "predict test",
        "choose dropout",
        *(f"candidates test {kind} {n}" for kind in ("deepbiaf", "stackptr") for n in NEW),
    ]
    inputs = {job: str(folder / job) for job in jobs}
    for place in (*inputs.values(), folder / "out", folder / "corpus"):
        Path(place).mkdir()
    write_conllu(gold, folder / "corpus" / "test.conllu")
    files = [
        Path(inputs["predict test"], f"{kind}-{seed}.conllu") for kind in ("deepbiaf", "stackptr") for seed in OLD + NEW
    ]
    for update, o, n in product(CHOSEN, OLD, NEW):
        candidates = Path(inputs[f"candidates test {update.split('=>')[1]} {n}"])
        files += [candidates / f"bcr-by-deepbiaf-{o}-{strategy}.conllu" for strategy in CHOSEN.values()]
    for file in files:
        write_conllu(random_mistakes(gold, rng, 0.4), file)
    choices = {update: {"strategy": strategy, "grid": []} for update, strategy in CHOSEN.items()}
    Path(inputs["choose dropout"], "dropout.json").write_text(json.dumps(choices))
    values = {"inputs": inputs, "output_folder": str(folder / "out"), "corpus": str(folder / "corpus")}
    values |= {"updates": [WITHIN, ACROSS], "old_seeds": OLD, "new_seeds": NEW}
    notebook = read_notebook(NOTEBOOKS, "pipeline/breakdowns.ipynb")
    execute_notebook(notebook, "breakdowns.ipynb", folder / "executed.ipynb", values, folder / "out", 1)
    return folder


def test_every_update_is_there_untreated_and_re_ranked_and_the_reverse_untreated(run):
    rows = read_breakdowns(run / "out" / "breakdowns.parquet")
    found = set(zip(rows["update"], rows["method"], rows["preset"]))
    methods = [(WITHIN, "Untreated"), (WITHIN, "BCR"), (ACROSS, "Untreated"), (ACROSS, "BCR"), (REVERSE, "Untreated")]
    assert found == {(*method, preset) for method in methods for preset in PRESETS}
    assert set(rows["num_pairs"]) == {4}


@pytest.mark.parametrize(
    ("update", "method", "old_name", "new_name"),
    [
        (ACROSS, "Untreated", "predict test/deepbiaf-{o}", "predict test/stackptr-{n}"),
        (REVERSE, "Untreated", "predict test/stackptr-{o}", "predict test/deepbiaf-{n}"),
        (
            ACROSS,
            "BCR",
            "predict test/deepbiaf-{o}",
            "candidates test stackptr {n}/bcr-by-deepbiaf-{o}-dropout-p(p=0.2)",
        ),
        (
            WITHIN,
            "BCR",
            "predict test/deepbiaf-{o}",
            "candidates test deepbiaf {n}/bcr-by-deepbiaf-{o}-dropout-p(p=0.1)",
        ),
    ],
)
def test_counts_are_those_of_the_right_files(run, update, method, old_name, new_name):
    corpus = gold_slices(read_conllu(run / "corpus" / "test.conllu"), PRESETS["clean"])
    old, new = [], []
    for o, n in product(OLD, NEW):
        for side, name in ((old, old_name), (new, new_name)):
            side.append(right_units(corpus, read_conllu(run / f"{name.format(o=o, n=n)}.conllu")))
    expected = update_breakdowns(corpus, old, new, update, method)
    rows = read_breakdowns(run / "out" / "breakdowns.parquet")
    found = rows.query("update == @update and method == @method and preset == 'clean'").reset_index(drop=True)
    assert found.equals(expected)
