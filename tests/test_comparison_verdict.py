"""What is concluded: noise floor by loops over pairs, intervals, harmed slices, the gate, the worst items."""

import math
from itertools import permutations

import numpy as np
import pytest
from comparison_files import evaluate_files, random_items, tree_update, write_items

from bcrlib.comparison.read import read_items, read_must_not_break, read_update
from bcrlib.comparison.verdict import CHANGE, EVERY_LEVEL, Gate, ItemsError, Update, judge
from bcrlib.data.presets import PRESETS
from bcrlib.data.treebank import read_conllu
from bcrlib.metrics.flips import flips
from bcrlib.metrics.uncertainty import mcnemar

CLEAN = PRESETS["clean"]


@pytest.fixture
def trees(tmp_path) -> Update:
    gold, old, new, *seeds = tree_update(tmp_path, num_models=5)
    return read_update(gold, old, new, seeds, CLEAN)


@pytest.fixture
def items(tmp_path) -> Update:
    return read_items(write_items(random_items(300), tmp_path / "items.jsonl"), CLEAN)


def test_the_noise_floor_is_the_mean_over_ordered_pairs_of_old_models(tmp_path):
    gold, old, new, *seeds = tree_update(tmp_path, num_models=4)
    verdict = judge(read_update(gold, old, new, seeds, CLEAN), Gate())
    pairs = list(permutations([old, *seeds], 2))
    for name, level in verdict.levels.items():
        nfr = [evaluate_files(gold, before, after, CLEAN)[name]["nfr"] for before, after in pairs]
        floor = level.noise
        assert (floor.num_models, floor.num_pairs) == (3, 6)
        assert (floor.mean_nfr, floor.least_nfr, floor.most_nfr) == pytest.approx(
            (np.mean(nfr), min(nfr), max(nfr)), abs=1e-12
        )
        assert floor.excess.value == pytest.approx(level.flips.nfr - floor.mean_nfr)
        assert floor.excess.low <= floor.excess.value <= floor.excess.high


def test_an_update_that_is_one_more_seed_is_not_above_the_floor_and_a_bad_one_is(tmp_path):
    def said(quality: float, seed: int) -> list[str]:
        return np.where(np.random.default_rng(seed).random(2000) < quality, "right", "wrong").tolist()

    def verdict(quality: float):
        columns = [said(0.9, 1), said(quality, 2), said(0.9, 3), said(0.9, 4)]
        lines = [
            {"id": i, "gold": "right", "old": old, "new": new, "old_seeds": seeds}
            for i, (old, new, *seeds) in enumerate(zip(*columns))
        ]
        return judge(read_items(write_items(lines, tmp_path / "items.jsonl"), CLEAN), Gate()).levels["EM"].noise

    assert not verdict(0.9).is_exceeded
    assert verdict(0.8).is_exceeded


def test_rates_have_their_intervals_and_p_values(trees):
    for name, level in judge(trees, Gate()).levels.items():
        units = trees.levels[name]
        assert level.flips == flips(units.old_right, units.new_right)
        assert level.p_value == mcnemar(level.flips)
        for rate, each in level.rates.items():
            value = level.flips.acc_new - level.flips.acc_old if rate == CHANGE else getattr(level.flips, rate)
            assert each.value == pytest.approx(value) and each.low < each.value < each.high, rate


def test_a_harmed_slice_is_called_and_sorted_first(tmp_path):
    rng = np.random.default_rng(0)
    lines = []
    for i in range(2000):
        language = str(rng.choice(["en", "de", "fr"]))
        new = "wrong" if rng.random() < (0.3 if language == "fr" else 0.05) else "right"
        slices = {"language": language, "half": int(rng.integers(2))}
        lines.append({"id": i, "gold": "right", "old": "right", "new": new, "slices": slices})
    table = judge(read_items(write_items(lines, tmp_path / "items.jsonl"), CLEAN), Gate()).levels["EM"].slices
    assert table[["breakdown", "key"]].iloc[0].tolist() == ["language", "fr"]
    assert table[table["is_harmed"]]["key"].tolist() == ["fr"]
    inside = [line["new"] == "wrong" for line in lines if line["slices"]["language"] == "fr"]
    outside = [line["new"] == "wrong" for line in lines if line["slices"]["language"] != "fr"]
    first = table.iloc[0]
    assert (first["num_units"], first["broken"], first["nfr"]) == (len(inside), sum(inside), np.mean(inside))
    assert first["extra"] == pytest.approx(len(inside) * (np.mean(inside) - np.mean(outside)))
    assert (np.diff(table["extra"]) <= 0).all() and len(table) == 5


def test_as_many_slices_as_items_are_no_trouble(tmp_path):
    lines = [{"id": i, "gold": 1, "old": 1, "new": i % 2, "slices": {"own": f"v{i}"}} for i in range(3000)]
    table = judge(read_items(write_items(lines, tmp_path / "items.jsonl"), CLEAN), Gate()).levels["EM"].slices
    assert table["key"].tolist() == ["other"] and math.isnan(table["q_value"][0])


def test_bounds_hold_at_every_level_or_at_one(trees):
    rates = {name: level.flips.nfr for name, level in judge(trees, Gate()).levels.items()}
    limit = (rates["UAS"] + max(rates.values())) / 2
    checks = judge(trees, Gate({EVERY_LEVEL: limit, "UCM": 1.0}, {"LAS": 0.0})).checks
    assert [(check.rule, check.level, check.passed) for check in checks] == [
        *(("max_nfr", name, name == "UCM" or rate <= limit) for name, rate in rates.items()),
        ("max_nfi", "LAS", False),
    ]
    assert {check.passed for check in checks[:4]} == {True, False}
    exact = judge(trees, Gate({"UAS": rates["UAS"]}))
    assert exact.passed and exact.checks[0].value == rates["UAS"] and judge(trees, Gate()).passed


def test_items_must_not_break_as_a_whole(trees):
    gate = Gate(must_not_break=dict.fromkeys(trees.ids, "list:1"))
    for name in trees.ids:  # sentences of nothing but punctuation cannot be listed
        if all(int(name[1:]) not in trees.levels[level].item_of_unit for level in trees.wholes):
            del gate.must_not_break[name]
    found = {(check.item, check.level): check for check in judge(trees, gate).checks}
    outcomes = set()
    for level in ("UCM", "LCM"):
        units = trees.levels[level]
        for at, item in enumerate(units.item_of_unit):
            was_right, is_right = units.old_right[at], units.new_right[at]
            check = found.pop((trees.ids[item], level))
            assert check.passed == (is_right or not was_right)
            finding = "right" if is_right else "broken" if was_right else "not broken, for it was wrong before"
            assert check.finding == finding
            outcomes.add(finding)
    assert not found and len(outcomes) == 3


def test_a_listed_item_that_is_missing_is_broken(items):
    units = items.levels["EM"]
    lost = int(np.flatnonzero(items.missing & units.old_right)[0])
    (check,) = judge(items, Gate(must_not_break={items.ids[lost]: "list:1"})).checks
    assert (check.passed, check.finding) == (False, "broken: missing from the new predictions")


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        (Gate({"UAS": 0.1}), "max_nfr: no level 'UAS' here; choose one of EM"),
        (Gate({}, {EVERY_LEVEL: 1.5}), "max_nfi: 1.5 is no rate"),
        (Gate({EVERY_LEVEL: float("nan")}), "max_nfr: nan is no rate"),
        (Gate({EVERY_LEVEL: -0.1}), "max_nfr: -0.1 is no rate"),
        (Gate(must_not_break={"q999": "list.txt:7"}), "list.txt:7: gold has no item 'q999'"),
    ],
)
def test_a_gate_that_does_not_fit_is_refused(items, gate, message):
    with pytest.raises(ValueError, match=message):
        judge(items, gate)


def test_an_item_in_which_nothing_counts_cannot_be_listed(tmp_path):
    path = tmp_path / "gold.conllu"
    rows = ["# sent_id = a", "1\tgo\t_\tVERB\t_\t_\t0\troot\t_\t_", "", "# sent_id = b"]
    path.write_text("\n".join([*rows, "1\t!\t_\tPUNCT\t_\t_\t0\troot\t_\t_", "", ""]))
    update = read_update(path, path, path, [], CLEAN)
    assert judge(update, Gate(must_not_break={"a": "l"})).passed
    with pytest.raises(ValueError, match="l: nothing in item 'b' counts under preset 'clean'"):
        judge(update, Gate(must_not_break={"b": "l"}))
    assert judge(read_update(path, path, path, [], PRESETS["official"]), Gate(must_not_break={"b": "l"})).passed


def test_a_list_of_ids(tmp_path):
    path, content = tmp_path / "l", b"# demos\na\n\n  b c \r\n"
    path.write_bytes(content)
    assert read_must_not_break(path) == {"a": f"{path}:2", "b c": f"{path}:4"}
    twice = f"l:5: the id 'a' a second time; the first is {path}:2"
    for bad, fault in ((content + b"a", twice), (b"\xff", "l:1: not UTF-8: byte 0xff")):
        path.write_bytes(bad)
        with pytest.raises(ItemsError, match=fault):
            read_must_not_break(path)


def test_the_worst_items_lose_the_most_parts(trees):
    broken = trees.levels["LAS"].counts[:, 1]
    worst = judge(trees, Gate(), 100).worst
    assert len(worst) == (trees.levels["LAS"].counts[:, 1] + trees.levels["LCM"].counts[:, 1] > 0).sum()
    keys = [(-item.broken["LAS"], -item.broken["LCM"], trees.ids.index(item.id)) for item in worst]
    assert keys == sorted(keys) and worst[0].broken["LAS"] == broken.max()
    assert [item.broken["LAS"] for item in worst] == [broken[trees.ids.index(item.id)] for item in worst]
    assert judge(trees, Gate(), 2).worst[1].id == worst[1].id and judge(trees, Gate(), 0).worst == []
    with pytest.raises(ValueError, match="-1 worst items"):
        judge(trees, Gate(), -1)


def test_views_are_the_sentences_of_the_files(tmp_path):
    paths = tree_update(tmp_path, num_models=2)
    update, banks = read_update(*paths, [], CLEAN), [read_conllu(path) for path in paths]
    words = slice(*banks[0].offsets[7:9])
    view = update.view(7)
    assert list(view.forms) == banks[0].forms[words]
    for tree, bank in zip((view.gold, view.old, view.new), banks):
        assert list(tree) == list(zip(bank.heads[words].tolist(), bank.relations[words]))
