"""Slices against loops and recursion; standard errors against the jack-knife; the authors' counts of EWT test."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from random_frames import random_frame_bank
from random_trees import treebank_of
from scipy.stats import binomtest, false_discovery_control

from bcrlib.data.frames import Node, frame_words
from bcrlib.data.generated.trees import generate_treebank
from bcrlib.data.presets import PRESETS
from bcrlib.data.treebank import read_conllu
from bcrlib.metrics.attachment import scored_words
from bcrlib.metrics.breakdowns import (
    ALL,
    OTHER,
    Slices,
    benjamini_hochberg,
    by_range,
    by_tag,
    flips_by_slice,
    frame_slices,
    merge_rare,
    rates_of_slices,
    slice_interval,
    tree_keys,
    tree_slices,
    unit_counts,
    word_depths,
    word_keys,
)
from bcrlib.report.breakdowns import authors_breakdowns

OFFICIAL, CLEAN = PRESETS["official"], PRESETS["clean"]


def names(slices: Slices) -> list[str | None]:
    return [slices.names[i] if i >= 0 else None for i in slices.of_unit]


def random_flips(seed: int = 0, num_pairs: int = 6, num_units: int = 300) -> tuple[np.ndarray, ...]:
    """Old and new correctness by pair, the sentence of each unit, and three slices of different difficulty."""
    rng = np.random.default_rng(seed)
    sentences = np.sort(rng.integers(60, size=num_units)) * 2  # every other sentence has no unit
    of_unit = rng.integers(3, size=num_units)
    easy = 0.95 - 0.2 * of_unit - 0.3 * (rng.random(121) < 0.3)[sentences]
    old, new = (rng.random((num_pairs, num_units)) < easy for _ in range(2))
    return old, new, sentences, Slices(of_unit, ("a", "b", "c"))


def test_keys_of_a_sentence_by_hand():
    gold = treebank_of(
        [
            ("She", "PRON", 2, "nsubj"),
            ("ran", "VERB", 0, "root"),
            ("home", "ADV", 2, "advmod"),
            ("!", "PUNCT", 2, "punct"),
        ]
    )
    words = word_keys(gold, CLEAN)
    assert [list(words[key]) for key in ("upos", "relation")] == [["PRON", "VERB", "ADV"], ["nsubj", "root", "advmod"]]
    assert words["distance"].tolist() == [1, 2, 1]  # the root word is the second of the sentence
    assert words["head upos"].tolist() == ["VERB", "ROOT", "VERB"]
    assert words["depth"].tolist() == [2, 1, 2] and words["length"].tolist() == [4, 4, 4]
    assert [values.tolist() for values in tree_keys(gold, OFFICIAL).values()] == [[4], [2]]


def test_only_trees_that_count_have_a_length():
    gold = treebank_of([("!", "PUNCT", 0, "r")], [("a", "X", 0, "r"), ("!", "PUNCT", 1, "r")])
    assert tree_keys(gold, OFFICIAL)["length"].tolist() == [1, 2]
    assert tree_keys(gold, CLEAN)["length"].tolist() == [2]


def test_ranges_and_tags():
    assert names(by_range(np.array([0, 1, 2, 3, 4, 9]), (1, 2, 4))) == [None, "1", "2-3", "2-3", "4+", "4+"]
    assert by_tag(["b", "", "a", "b"]).names == ("a", "b")
    assert names(by_tag(["b", "", "a", "b"])) == ["b", None, "a", "b"]


def test_rare_slices_are_counted_together():
    tags = ["b"] * 3 + ["a"] + ["c"] * 2 + [""] + ["d"]
    merged = merge_rare(by_tag(tags), fewest_units=2)
    assert merged.names == ("b", "c", OTHER)
    assert names(merged) == ["b"] * 3 + [OTHER] + ["c"] * 2 + [None, OTHER]
    assert merge_rare(by_range(np.array([1, 1, 9]), (1, 2, 4)), 1).names == ("1", "4+")


def test_counts_are_those_of_a_loop():
    old, new, sentences, slices = random_flips()
    table = flips_by_slice(unit_counts(old, new), sentences, slices)
    outcome = {(True, True): "yy", (True, False): "yn", (False, True): "ny", (False, False): "nn"}
    expected = Counter()
    for pair in range(len(old)):
        for unit, name in enumerate(names(slices)):
            expected[name, outcome[bool(old[pair, unit]), bool(new[pair, unit])]] += 1
    for row in table.itertuples():
        assert [row.yy, row.yn, row.ny, row.nn] == [expected[row.key, o] for o in ("yy", "yn", "ny", "nn")]
        of_slice = [i for i, name in enumerate(names(slices)) if name == row.key]
        assert (row.num_units, row.num_sentences) == (len(of_slice), len({sentences[i] for i in of_slice}))
    with pytest.raises(ValueError, match="units"):
        unit_counts(old, new[:, 1:])


def test_units_in_no_slice_are_left_out():
    old, new, sentences, slices = random_flips()
    some = Slices(np.where(slices.of_unit == 2, -1, slices.of_unit), ("a", "b"))
    kept = some.of_unit >= 0
    table = flips_by_slice(unit_counts(old, new), sentences, some)
    alone = flips_by_slice(unit_counts(old, new)[kept], sentences[kept], Slices(some.of_unit[kept], ("a", "b")))
    assert table.equals(alone)


def dense_errors(broken: np.ndarray, counted: np.ndarray) -> list[np.ndarray]:
    """The errors as `flips_by_slice` describes them, from the whole tables [sentence, slice]."""

    def influence(broken: np.ndarray, counted: np.ndarray) -> np.ndarray:
        total = counted.sum(axis=0)
        return (broken - counted * (broken.sum(axis=0) / total)) / total

    shares = influence(broken, counted)
    rest = influence(*(table.sum(axis=1, keepdims=True) - table for table in (broken, counted)))
    scale = len(counted) / (len(counted) - 1)
    return [np.sqrt(scale * (part**2).sum(axis=0)) for part in (shares, shares - rest)]


def test_standard_errors_are_those_of_the_whole_table():
    for seed in range(5):
        old, new, sentences, slices = random_flips(seed, num_pairs=1 + seed)
        counts = unit_counts(old, new)
        _, row = np.unique(sentences, return_inverse=True)
        broken, counted = np.zeros((2, row.max() + 1, 3))
        np.add.at(broken, (row, slices.of_unit), counts[:, 1])
        np.add.at(counted, (row, slices.of_unit), counts.sum(axis=1))
        table = flips_by_slice(counts, sentences, slices)
        for name, expected in zip(("nfr_error", "excess_error"), dense_errors(broken, counted)):
            np.testing.assert_allclose(table[name], expected, rtol=1e-12)
        assert table["num_sentences"].tolist() == (counted > 0).sum(axis=0).tolist()


def test_one_slice_of_everything_has_no_rest():
    old, new, sentences, _ = random_flips()
    table = flips_by_slice(unit_counts(old, new), sentences, Slices(np.zeros(300, dtype=np.int64), ("all",)))
    assert np.isnan(table["excess_error"][0]) and table["nfr_error"][0] > 0
    assert table.loc[0, ["yy", "yn", "ny", "nn"]].sum() == old.size


def authors_units(breakdown: str, level: str = "") -> dict[str, int]:
    """Units of EWT test by slice in the authors' notebook, which sums over 25 pairs of models."""
    rows = authors_breakdowns().query("update == 'stackptr=>deepbiaf' and breakdown == @breakdown")
    rows = rows[rows["level"] == level] if level else rows
    assert len(rows) and (rows["num_pairs"] == 25).all()
    return dict(zip(rows["key"], rows["num_units"]))


@pytest.mark.corpus
def test_slices_of_ewt_are_those_of_the_authors(ewt):
    gold = read_conllu(ewt("test"))
    for breakdown in ("upos", "relation", "distance", "head upos"):
        counted = {str(key): n for key, n in Counter(word_keys(gold, OFFICIAL)[breakdown].tolist()).items()}
        assert counted == authors_units(breakdown), breakdown
    assert len(word_keys(gold, OFFICIAL)["upos"]) == 21898 and len(word_keys(gold, CLEAN)["upos"]) == 21990


def test_interval_of_independent_units_is_wilsons():
    for flips, units in ((0, 40), (3, 40), (40, 40), (250, 10_000)):
        rate = np.array([flips / units])
        error = np.sqrt(rate * (1 - rate) / units)
        low, high = slice_interval(rate, error, np.array([units]))
        expected = binomtest(flips, units).proportion_ci(method="wilson")
        assert (low[0], high[0]) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_q_values_are_those_of_scipy_and_of_the_definition():
    p_values = np.array([0.01, 0.9, 0.03, 0.03, 0.2, 1.0, 0.0])
    np.testing.assert_allclose(benjamini_hochberg(p_values), false_discovery_control(p_values))
    called = benjamini_hochberg(p_values) <= 0.06
    steps = [i for i, p in enumerate(sorted(p_values), start=1) if p <= 0.06 * i / len(p_values)]
    assert called.sum() == max(steps) == 4
    assert benjamini_hochberg(np.array([np.nan, 0.04, np.nan, 0.02]))[[1, 3]].tolist() == [0.04, 0.04]


def rates(counts: np.ndarray, sentences: np.ndarray, slices: Slices) -> pd.DataFrame:
    everything = Slices(np.zeros(len(counts), dtype=np.int64), (ALL,))
    rows = [flips_by_slice(counts, sentences, cut).assign(breakdown=cut.names[0]) for cut in (everything, slices)]
    return rates_of_slices(pd.concat(rows, ignore_index=True))


def simulated(rng: np.random.Generator, factor: float) -> dict[str, np.ndarray]:
    """p-values and intervals of five slices; whole sentences are hit together, and the last slice by `factor` more."""
    num_sentences, num_units = 300, 3000
    sentences = np.sort(rng.integers(num_sentences, size=num_units))
    of_unit = rng.integers(5, size=num_units)
    rate = np.where(rng.random(num_sentences) < 0.2, 0.1, 0.01)[sentences] * np.where(of_unit == 4, factor, 1)
    broken = rng.random((1, num_units)) < rate
    broken = np.repeat(broken, 9, axis=0) & (rng.random((9, num_units)) < 0.6)  # pairs of models share their flips
    found = rates(unit_counts(np.ones_like(broken), ~broken), sentences, Slices(of_unit, tuple("abcde")))[1:]
    return {
        "p": found["p_value"].to_numpy(),
        "covered": ((found["low"] < 0.028 * 0.6) & (found["high"] > 0.028 * 0.6)).to_numpy(),
    }


def test_false_alarms_are_as_rare_as_promised_and_harm_is_found():
    rng = np.random.default_rng(0)
    alike = [simulated(rng, 1) for _ in range(60)]
    false_alarms = np.mean([run["p"] < 0.05 for run in alike])
    assert 0.005 < false_alarms < 0.06
    assert np.mean([run["covered"] for run in alike]) > 0.93
    harmed = [simulated(rng, 4)["p"] < 0.05 for _ in range(30)]
    assert np.mean(harmed, axis=0)[4] > 0.9


def test_a_slice_without_flips_is_not_certain_and_a_small_one_not_tested():
    """40 units without a flip where 2 % flip otherwise say nothing; a slice of everything has no rest."""
    columns = ["breakdown", "key", "num_units", "num_sentences", "yy", "yn", "ny", "nn", "nfr_error", "excess_error"]
    rows = [(ALL, ALL, 1000, 99, 980, 20, 0, 0, 0.01, np.nan), ("upos", "X", 40, 20, 40, 0, 0, 0, 0.001, 0.001)]
    rows += [("upos", "Y", 29, 25, 0, 29, 0, 0, 0.001, 0.001), ("upos", "Z", 30, 19, 0, 30, 0, 0, 0.001, 0.001)]
    found = rates_of_slices(pd.DataFrame(rows, columns=columns))
    assert found["p_value"][1] == found["q_value"][1] > 0.3
    assert found.loc[[0, 2, 3], ["p_value", "q_value"]].isna().all(axis=None)


def with_rare_as_other(tags: list[str]) -> list[str | None]:
    counts = Counter(tags)
    return [(tag if counts[tag] >= 10 else OTHER) if tag else None for tag in tags]


def test_slices_of_words_and_trees_against_loops():
    gold = generate_treebank(40, 3)
    found = tree_slices(gold, CLEAN)
    depths = []
    for t in range(gold.num_tokens):
        start, depth, word = gold.offsets[gold.sentence_of_token[t]], 1, t
        while gold.heads[word]:
            word, depth = start + gold.heads[word] - 1, depth + 1
        depths.append(depth)
    assert word_depths(gold).tolist() == depths
    words = np.flatnonzero(scored_words(gold, CLEAN))
    capped = ["9+" if depths[t] >= 9 else str(depths[t]) for t in words]
    assert names(found["LAS"]["depth"]) == with_rare_as_other(capped)
    assert set(found["LAS"]) == {"upos", "relation", "distance", "depth", "length"}
    assert set(found["LCM"]) == {"length", "depth"}
    assert {len(slices.of_unit) for slices in found["UAS"].values()} == {len(words)}
    upos = found["UAS"]["upos"]
    assert all(upos.names[i] in (gold.upos[t], "other") for i, t in zip(upos.of_unit, words))


def spans(frame: Node) -> list[dict]:
    """The distinct spans of a frame from the left, outer first, with what slices are made of, by recursion."""
    found: dict[tuple[int, int], dict] = {}

    def walk(node: Node, begin: int, depth: int) -> int:
        end = begin + len(frame_words(node))
        span = found.setdefault((begin, end), {"depth": depth, "length": end - begin, "IN": "", "SL": ""})
        kind, name = node.label.split(":")
        span[kind] = span[kind] or name
        for child in node.children:
            begin = walk(child, begin, depth + 1) if isinstance(child, Node) else begin + 1
        return end

    walk(frame, 0, 1)
    return list(found.values())


def deepest(node: Node) -> int:
    return 1 + max((deepest(child) for child in node.children if isinstance(child, Node)), default=0)


def test_slices_of_spans_and_frames_against_recursion():
    bank = random_frame_bank(150, np.random.default_rng(2))
    found, expected = frame_slices(bank), [span for frame in bank.frames for span in spans(frame)]
    assert names(found["spanEM"]["intent"]) == with_rare_as_other([span["IN"] for span in expected])
    assert names(found["spanEM"]["slot"]) == with_rare_as_other([span["SL"] for span in expected])
    capped = ["9+" if span["depth"] >= 9 else str(span["depth"]) for span in expected]
    assert names(found["spanEM"]["depth"]) == with_rare_as_other(capped)
    lengths = ["1" if span["length"] == 1 else "2-5" if span["length"] < 6 else "6-10" for span in expected]
    assert names(found["spanEM"]["length"]) == with_rare_as_other(lengths)
    roots = [frame.label.split(":")[1] for frame in bank.frames]
    assert names(found["EM"]["intent"]) == with_rare_as_other(roots)
    depths = [min(deepest(frame), 9) for frame in bank.frames]
    assert names(found["EM"]["depth"]) == with_rare_as_other(["9+" if d == 9 else str(d) for d in depths])
