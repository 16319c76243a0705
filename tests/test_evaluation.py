"""What `bcr evaluate` computes, from files."""

import json
import subprocess
import sys

import numpy as np
import pytest
from comparison_files import evaluate_files
from random_trees import random_mistakes, random_treebank
from udtools.udeval import evaluate, load_conllu_file

from bcrlib.data.conllu import ConlluError, read_conllu, write_conllu
from bcrlib.data.treebank import Treebank
from bcrlib.metrics.attachment import LEVELS
from bcrlib.presets import PRESETS, Preset

CLEAN = PRESETS["clean"]


def write(rows: list[list[tuple[str, str, int, str]]], path) -> None:
    """CoNLL-U of sentences of (form, upos, head, relation)."""
    lines = []
    for sentence in rows:
        lines.append("# a comment")
        for i, (form, upos, head, relation) in enumerate(sentence, start=1):
            lines.append(f"{i}\t{form}\t_\t{upos}\t_\t_\t{head}\t{relation}\t_\t_")
        lines.append("")
    path.write_text("\n".join(lines) + "\n")


GOLD = [
    [("she", "PRON", 2, "nsubj"), ("ran", "VERB", 0, "root"), (".", "PUNCT", 2, "punct")],
    [("go", "VERB", 0, "root"), ("home", "ADV", 1, "advmod"), ("$", "SYM", 2, "dep")],
]
OLD = [  # wrong: head of the full stop; relation of "home"
    [("she", "PRON", 2, "nsubj"), ("ran", "VERB", 0, "root"), (".", "PUNCT", 1, "punct")],
    [("go", "VERB", 0, "root"), ("home", "ADV", 1, "obl"), ("$", "SYM", 2, "dep")],
]
NEW = [  # wrong: "she" and "ran" the other way round; head of "$"
    [("she", "PRON", 0, "root"), ("ran", "VERB", 1, "nsubj"), (".", "PUNCT", 2, "punct")],
    [("go", "VERB", 0, "root"), ("home", "ADV", 1, "advmod"), ("$", "SYM", 1, "dep")],
]


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / name for name in ("gold.conllu", "old.conllu", "new.conllu")]
    for rows, path in zip((GOLD, OLD, NEW), paths):
        write(rows, path)
    return paths


def counts(result: dict[str, float]) -> list[int]:
    """Units, old right, new right, negative flips, positive flips: by hand they are whole numbers."""
    n = result["num_units"]
    return [n] + [round(result[rate] * n) for rate in ("acc_old", "acc_new", "nfr", "pfr")]


def test_hand_worked_official(files):
    result = evaluate_files(*files, PRESETS["official"])
    # words: she ran go home
    assert counts(result["UAS"]) == [4, 4, 2, 2, 0]
    assert counts(result["LAS"]) == [4, 3, 2, 2, 1]
    # trees: old has 1 wrong by punctuation, 2 right but for a relation; new has both wrong
    assert counts(result["UCM"]) == [2, 1, 0, 1, 0]
    assert counts(result["LCM"]) == [2, 0, 0, 0, 0]
    assert result["LAS"]["nfi"] == 1.0 and result["LCM"]["nfi"] == 0.0


def test_hand_worked_clean(files):
    result = evaluate_files(*files, CLEAN)
    # words: she ran go home $
    assert counts(result["UAS"]) == [5, 5, 2, 3, 0]
    assert counts(result["LAS"]) == [5, 4, 2, 3, 1]
    assert counts(result["UCM"]) == [2, 2, 0, 2, 0]
    assert counts(result["LCM"]) == [2, 1, 0, 1, 0]


def test_the_result_is_json_keyed_by_level(files):
    result = json.loads(json.dumps(evaluate_files(*files, CLEAN)))
    assert tuple(result) == LEVELS
    assert all(set(r) == {"acc_old", "acc_new", "nfr", "pfr", "nfi", "num_units"} for r in result.values())
    assert all(isinstance(r["num_units"], int) for r in result.values())


def changed(place: tuple[int, int], row: tuple | None) -> list[list[tuple]]:
    sentences = [list(sentence) for sentence in GOLD]
    sentences[place[0]][place[1] : place[1] + 1] = [] if row is None else [row]
    return sentences


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (changed((1, 1), ("Home", "ADV", 1, "advmod")), "new.conllu:8: sentence 2, word 2: 'Home'.*'home'"),
        (changed((1, 2), None), "new.conllu:8: sentence 2 has 2 words.*3"),
        ([GOLD[0], [*GOLD[1], ("!", "PUNCT", 1, "punct")]], "new.conllu:10: sentence 2 has 4 words.*3"),
        (GOLD[:1], "new.conllu:4: the file has 1 sentences, the gold file 2"),
        ([*GOLD, GOLD[0]], "new.conllu:14: the file has 3 sentences, the gold file 2"),
    ],
)
def test_other_words_are_refused_by_file_line_and_fault(files, rows, message):
    write(rows, files[2])
    with pytest.raises(ConlluError, match=message):
        evaluate_files(*files, CLEAN)


def test_a_gold_file_without_scored_words_is_refused(files):
    for file in files:
        write([[(".", "PUNCT", 0, "root")]], file)
    with pytest.raises(ConlluError, match=r"gold.conllu:1: no word that counts"):
        evaluate_files(*files, CLEAN)


def test_a_malformed_file_is_refused_by_line(files):
    files[1].write_text(files[1].read_text().replace("\t2\tnsubj", "\t9\tnsubj"))
    with pytest.raises(ConlluError, match=r"old.conllu:2:"):
        evaluate_files(*files, CLEAN)


def without_subtypes(treebank: Treebank) -> Treebank:
    return treebank.with_trees(treebank.heads, [relation.split(":")[0] for relation in treebank.relations])


def conll18_preset() -> Preset:
    """Every word counts."""
    return Preset(**(vars(CLEAN) | {"name": "conll18", "punct_exclude": frozenset()}))


def check_conll18_parity(gold: Treebank, predicted: Treebank, folder) -> None:
    """CoNLL-18 counts punctuation and ignores sub-types."""
    paths = [folder / "gold.conllu", folder / "predicted.conllu"]
    for treebank, path in zip((gold, predicted), paths):
        write_conllu(treebank, path)
    expected = evaluate(*(load_conllu_file(str(path)) for path in paths))
    for treebank, path in zip((gold, predicted), paths):
        write_conllu(without_subtypes(treebank), path)
    result = evaluate_files(paths[0], paths[1], paths[0], conll18_preset())
    for level in ("UAS", "LAS"):
        assert 0 < result[level]["acc_old"] < 1
        assert result[level]["acc_old"] == pytest.approx(expected[level].aligned_accuracy, abs=1e-12)


def with_root_relations(treebank: Treebank) -> Treebank:
    """The relation "root" on roots and nowhere else: the evaluator insists."""
    pairs = zip(treebank.heads, treebank.relations)
    relations = ["root" if head == 0 else name.replace("root", "dep") for head, name in pairs]
    return treebank.with_trees(treebank.heads, relations)


def mistakes_with_one_root(gold: Treebank, rng: np.random.Generator) -> Treebank:
    predicted = random_mistakes(gold, rng)
    num_roots = np.add.reduceat(predicted.heads == 0, gold.offsets[:-1])
    heads = np.where(np.repeat(num_roots == 1, gold.lengths), predicted.heads, gold.heads)
    return with_root_relations(gold.with_trees(heads, predicted.relations))


def test_parity_with_the_conll18_evaluator(tmp_path):
    rng = np.random.default_rng(7)
    gold = with_root_relations(random_treebank(200, rng))
    check_conll18_parity(gold, mistakes_with_one_root(gold, rng), tmp_path)


@pytest.mark.corpus
def test_parity_with_the_conll18_evaluator_on_ewt(ewt, tmp_path):
    gold = read_conllu(ewt("test"))
    check_conll18_parity(gold, mistakes_with_one_root(gold, np.random.default_rng(8)), tmp_path)


@pytest.mark.corpus
def test_units_of_ewt_test(ewt):
    result = evaluate_files(*[ewt("test")] * 3, PRESETS["official"])
    assert {level: r["num_units"] for level, r in result.items()} == {
        "UAS": 21_898,
        "UCM": 2_077,
        "LAS": 21_898,
        "LCM": 2_077,
    }
    assert all(r["acc_new"] == 1 and r["nfr"] == r["nfi"] == 0 for r in result.values())


def test_measuring_needs_no_torch():
    modules = "comparison.read", "comparison.reports", "reranking", "correctness", "metrics.uncertainty"
    imported = ", ".join(f"bcrlib.{module}" for module in modules)
    code = f"import sys, {imported}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
