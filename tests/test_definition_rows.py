"""What the definitions change: trees and frames small enough to count by hand, and `bcr evaluate` as twin."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from comparison_files import write_rows

from bcrlib.comparison.read import read_update
from bcrlib.data.presets import PRESETS
from bcrlib.data.top import read_predicted_top, read_top
from bcrlib.data.treebank import read_conllu
from bcrlib.experiments import counting
from bcrlib.experiments.counting import Update
from bcrlib.experiments.store import CorrectnessStore, Pool, System
from bcrlib.metrics import attachment
from bcrlib.metrics import frames as exact_match
from bcrlib.report.candidate_sources import count
from bcrlib.report.regression import definition_rows

UPDATE, FRAMES = Update("deepbiaf", "deepbiaf"), Update("s2s-base", "s2s-large")
GOLD = [
    [("we", "PRON", 2, "nsubj"), ("go", "VERB", 0, "root"), ("!", "PUNCT", 2, "punct")],
    [("pay", "VERB", 0, "root"), ("me", "PRON", 1, "iobj"), ("$", "SYM", 1, "obj")],
    [("yes", "INTJ", 0, "root")],
    [("...", "PUNCT", 0, "root")],
]
NEW = [  # wrong: the head of "!"; that of "$"; the relation of "yes"
    [*GOLD[0][:2], ("!", "PUNCT", 1, "punct")],
    [*GOLD[1][:2], ("$", "SYM", 2, "obj")],
    [("yes", "INTJ", 0, "discourse")],
    GOLD[3],
]
# Right under the new model, of all: a word is left out as PUNCT (clean), or as PUNCT or SYM (official); a tree counts
# if it has a word that is compared (clean) or any (official), and is wrong by "!" under official alone, by the root's
# relation under clean alone.
BY_HAND = {
    ("UAS", "clean"): (5, 6),
    ("UAS", "official"): (5, 5),
    ("UCM", "clean"): (2, 3),
    ("UCM", "official"): (2, 4),
    ("LAS", "clean"): (4, 6),
    ("LAS", "official"): (4, 5),
    ("LCM", "clean"): (1, 3),
    ("LCM", "official"): (2, 4),
}
UTTERANCES = ["call mum", "play some jazz"]
GOLD_FRAMES = ["[IN:CALL call [SL:COMBINE mum ] ]", "[IN:PLAY play [SL:WHAT [IN:FIND some [SL:GENRE jazz ] ] ] ]"]
NEW_FRAMES = ["[IN:CALL call [IN:COMBINE mum ] ]", "[IN:PLAY play [SL:WHAT [IN:FIND some [SL:NAME jazz ] ] ] ]"]
# An intent for a slot of the same name is wrong under clean alone; a wrong label below spoils the spans above it under
# official alone.
FRAMES_BY_HAND = {
    ("spanEM", "clean"): (3, 5),
    ("spanEM", "official"): (2, 5),
    ("EM", "clean"): (0, 2),
    ("EM", "official"): (1, 2),
}


@pytest.fixture
def trees(tmp_path) -> CorrectnessStore:
    """The old model is right everywhere, the new one as above; of its two candidates the old one picks the second."""
    for name, rows in {"gold": GOLD, "old": GOLD, "new": NEW}.items():
        write_rows(rows, tmp_path / name)
    gold, old, new = (read_conllu(tmp_path / name) for name in ("gold", "old", "new"))
    store = CorrectnessStore(tmp_path / "store")
    for definitions in PRESETS.values():
        store.save_units(attachment.scored_units(gold, definitions), definitions.name)
        right = [attachment.treebank_correctness(gold, bank, definitions) for bank in (old, new)]
        store.save_system(System("old", UPDATE.old, 11), right[0], definitions.name)
        store.save_system(System("new", UPDATE.new, 1), right[1], definitions.name)
        both = {level: np.stack([right[1][level], right[0][level]]) for level in attachment.LEVELS}
        store.save_pool(Pool("deepbiaf/1", "k-best"), both, definitions.name)
    scores = np.array([[-2.0] * 4, [-1.0] * 4], dtype=np.float32)
    for scorer in ("deepbiaf/1", "deepbiaf/11"):
        store.save_scores(Pool("deepbiaf/1", "k-best"), scorer, scores)
    return store


@pytest.fixture
def frames(tmp_path) -> CorrectnessStore:
    for name, parses in {"gold": GOLD_FRAMES, "old": GOLD_FRAMES, "new": NEW_FRAMES}.items():
        rows = (f"{utterance}\t{parse}\n" for utterance, parse in zip(UTTERANCES, parses))
        (tmp_path / name).write_text("".join(rows))
    gold, store = read_top(tmp_path / "gold"), CorrectnessStore(tmp_path / "store")
    for definitions in PRESETS.values():
        store.save_units(exact_match.scored_units(gold, definitions), definitions.name)
        for side, kind in (("old", FRAMES.old), ("new", FRAMES.new)):
            right = exact_match.frame_correctness(gold, read_predicted_top(tmp_path / side)[1], definitions)
            store.save_system(System(side, kind, 1), right, definitions.name)
    return store


def rows_of(store: CorrectnessStore, update: Update, methods: dict) -> pd.DataFrame:
    counts = {name: {str(update): count(store, name, update, methods)} for name in PRESETS}
    return definition_rows(counts).set_index(["row", "level", "metric"])["value"]


@pytest.mark.parametrize("task", ["trees", "frames"])
def test_by_hand_and_different_at_every_level(task, request):
    store = request.getfixturevalue(task)
    update, by_hand = (UPDATE, BY_HAND) if task == "trees" else (FRAMES, FRAMES_BY_HAND)
    values = rows_of(store, update, {"Untreated": counting.untreated})
    for (level, definitions), (right, units) in by_hand.items():
        found = [values["Untreated", level, f"{metric} {definitions}"] for metric in ("ACC", "NFR", "PFR", "NFI")]
        assert found == pytest.approx([right / units, 1 - right / units, 0, float(right < units)])
        assert values["Old", level, f"ACC {definitions}"] == 1
    for level in update.task.levels:
        assert len({right / units for (at, _), (right, units) in by_hand.items() if at == level}) == 2


@pytest.mark.parametrize("task", ["trees", "frames"])
@pytest.mark.parametrize("definitions", PRESETS.values(), ids=lambda preset: preset.name)
def test_it_is_what_evaluate_counts(task, definitions, request, tmp_path):
    store = request.getfixturevalue(task)
    update = UPDATE if task == "trees" else FRAMES
    gold, old, new = (Path(tmp_path, name) for name in ("gold", "old", "new"))
    levels = read_update(gold, old, new, [], definitions).levels
    values = rows_of(store, update, {"Untreated": counting.untreated})
    for level, flips in ((name, level.flips) for name, level in levels.items()):
        of = {metric: values["Untreated", level, f"{metric} {definitions.name}"] for metric in ("ACC", "NFR", "PFR")}
        assert of == pytest.approx({"ACC": flips.acc_new, "NFR": flips.nfr, "PFR": flips.pfr})


def test_re_ranking_picks_the_same_trees_whatever_counts(trees):
    """The old model's scores decide, and they prefer the trees that are right everywhere."""
    methods = {"Untreated": counting.untreated, "BCR": lambda *where: counting.bcr(*where, strategy="k-best")}
    values = rows_of(trees, UPDATE, methods)
    for level, definitions in BY_HAND:
        assert values["BCR", level, f"ACC {definitions}"] == 1
        assert values["BCR", level, f"NFR {definitions}"] == 0


def test_the_definitions_of_a_metric_stand_side_by_side(trees):
    counts = {
        name: {str(UPDATE): count(trees, name, UPDATE, {"Untreated": counting.untreated})}
        for name in ("clean", "official")
    }
    frame = definition_rows(counts)
    expected = [f"{metric} {name}" for metric in ("ACC", "NFR", "PFR", "NFI") for name in ("clean", "official")]
    assert list(dict.fromkeys(frame["metric"])) == expected
    assert list(dict.fromkeys(frame["row"])) == ["Old", "Untreated"]
    assert set(frame["group"]) == {str(UPDATE)}
