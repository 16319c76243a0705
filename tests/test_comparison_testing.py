"""The gate as an assertion: what passes, what fails with which message, and a real run of pytest."""

import subprocess
import sys

import pytest
from comparison_files import evaluate_files, frame_update, random_items, tree_update, write_items

from bcrlib.comparison.verdict import CannotTell, assert_no_regression
from bcrlib.data.presets import PRESETS
from bcrlib.data.treebank import ConlluError


def test_bounds_for_every_level_or_for_one(tmp_path):
    gold, old, new, *seeds = tree_update(tmp_path)
    rates = evaluate_files(gold, old, new, PRESETS["clean"])
    highest = max(level["nfr"] for level in rates.values())
    assert_no_regression(gold, old, new, max_nfr=highest, old_seeds=seeds)
    assert_no_regression(gold, old, new, max_nfi={"UAS": rates["UAS"]["nfi"]})
    with pytest.raises(AssertionError, match=r"Gate failed: \d of 4 checks"):
        assert_no_regression(gold, old, new, max_nfr=highest - 1e-9)
    with pytest.raises(AssertionError, match="max_nfi  UAS"):
        assert_no_regression(gold, old, new, max_nfi={"UAS": rates["UAS"]["nfi"] - 1e-9})


def test_without_a_bound_nothing_may_break(tmp_path):
    gold, old, new = frame_update(tmp_path)
    assert_no_regression(gold, old, old)
    assert_no_regression(gold, old, gold)
    with pytest.raises(AssertionError, match=r"(?s)Gate failed: 2 of 2 checks.*Worst items.*gold \[IN:"):
        assert_no_regression(gold, old, new)


def test_listed_items_alone_are_looked_at_where_only_they_are_given(tmp_path):
    lines = [{"id": "a", "gold": 1, "old": 1, "new": 1}, {"id": "b", "gold": 1, "old": 1, "new": 2}]
    items = write_items(lines, tmp_path / "items.jsonl")
    assert_no_regression(items, must_not_break=["a"])
    with pytest.raises(AssertionError, match="FAIL  must_not_break  EM  b  broken"):
        assert_no_regression(items, must_not_break=["a", "b"])
    listed = tmp_path / "list.txt"
    listed.write_text("# demos\nb\n")
    with pytest.raises(AssertionError, match="1 of 1 check"):
        assert_no_regression(items, must_not_break=listed)
    with pytest.raises(ValueError, match=r"give a list of ids, or a pathlib\.Path"):
        assert_no_regression(items, must_not_break="b")
    with pytest.raises(ValueError, match=r"must_not_break\[1\]: gold has no item 'c'"):
        assert_no_regression(items, must_not_break=["a", "c"])


def test_bad_input_is_no_failed_assertion(tmp_path):
    gold, old, new = tree_update(tmp_path, num_models=2)
    new.write_text(new.read_text()[:-5])
    with pytest.raises(ConlluError, match=r"new.conllu:\d+: "):
        assert_no_regression(gold, old, new)
    with pytest.raises(ValueError, match="give gold, old and new"):
        assert_no_regression(gold, old)


TEST_FILE = """
from bcrlib.comparison.verdict import assert_no_regression


def test_update():
    assert_no_regression("gold.conllu", "old.conllu", "new.conllu", max_nfr=0.01)


def test_no_update():
    assert_no_regression("gold.conllu", "old.conllu", "old.conllu", max_nfr=0.01)


def test_items():
    assert_no_regression("items.jsonl", max_nfr=1.0)
"""


def test_a_run_of_pytest_shows_the_message_and_the_line(tmp_path):
    tree_update(tmp_path, num_models=2)
    write_items(random_items(30), tmp_path / "items.jsonl")
    (tmp_path / "test_ship.py").write_text(TEST_FILE)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_ship.py"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 1 and "1 failed, 2 passed" in result.stdout
    assert "E       AssertionError: Gate failed: 4 of 4 checks." in result.stdout
    assert ">       assert_no_regression(" in result.stdout or ">   " in result.stdout
    assert "comparison/verdict.py" not in result.stdout  # the traceback ends at the caller
    assert "FAIL  max_nfr  UAS" in result.stdout and "Worst items" in result.stdout


def test_too_few_items_cannot_tell(tmp_path):
    items = write_items([{"id": i, "gold": 1, "old": 1, "new": 1} for i in range(5)], tmp_path / "items.jsonl")
    assert_no_regression(items, max_nfr=0.1)
    with pytest.raises(CannotTell, match=r"(?s)Gate cannot tell: 1 of 1 check.*\[0.00, 45.07\].*sees 67.34 %"):
        assert_no_regression(items, max_nfr=0.1, confident=True)
    gold, old, new, seed = tree_update(tmp_path)
    with pytest.raises(AssertionError, match="Gate failed") as failed:
        assert_no_regression(gold, old, new, max_nfr=0.01, confident=True, new_seeds=[seed])
    assert not isinstance(failed.value, CannotTell) and "2 new runs" in str(failed.value)
