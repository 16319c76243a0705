"""Candidate files: what goes in comes out, and every malformed one is refused by sentence and fault."""

import json
import subprocess
import sys

import numpy as np
import pytest
from random_trees import RELATIONS, random_mistakes, random_treebank

from bcrlib.data.candidate_files import (
    CandidateFileError,
    check_known,
    check_single_roots,
    read_candidates,
    write_candidates,
)
from bcrlib.data.candidates import TreePool
from bcrlib.data.treebank import Treebank
from bcrlib.reranking import choose


def random_pool(treebank: Treebank, num_candidates: int, rng: np.random.Generator) -> TreePool:
    trees = [random_mistakes(treebank, rng) for _ in range(num_candidates)]
    return TreePool(
        heads=np.stack([tree.heads for tree in trees]).astype(np.int16),
        relations=np.array([[RELATIONS.index(name) for name in tree.relations] for tree in trees], dtype=np.int16),
        relation_names=tuple(RELATIONS),
        log_probs=-rng.exponential(20, (num_candidates, treebank.num_sentences)).astype(np.float32),
        offsets=treebank.offsets,
    )


def test_what_is_written_is_read(tmp_path):
    rng = np.random.default_rng(1)
    treebank = random_treebank(50, rng)
    pool = random_pool(treebank, 4, rng)
    write_candidates(treebank, pool, tmp_path / "pool.jsonl")
    again = read_candidates(tmp_path / "pool.jsonl", treebank, TreePool)
    assert np.array_equal(again.heads, pool.heads) and again.heads.dtype == np.int16
    assert [again.relation_strings(c) for c in range(4)] == [pool.relation_strings(c) for c in range(4)]
    assert np.array_equal(again.log_probs, pool.log_probs) and again.log_probs.dtype == np.float32
    assert np.array_equal(again.offsets, treebank.offsets)
    assert [path.name for path in tmp_path.iterdir()] == ["pool.jsonl"]


def test_another_tool_finds_what_the_description_promises(tmp_path):
    rng = np.random.default_rng(2)
    treebank = random_treebank(5, rng)
    pool = random_pool(treebank, 3, rng)
    write_candidates(treebank, pool, tmp_path / "pool.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "pool.jsonl").read_text("utf-8").splitlines()]
    assert [line["sentence"] for line in lines] == [1, 2, 3, 4, 5]
    assert [form for line in lines for form in line["forms"]] == treebank.forms
    start, end = treebank.offsets[3:5]
    third = lines[3]["candidates"][2]
    assert third["heads"] == pool.heads[2, start:end].tolist()
    assert third["relations"] == pool.relation_strings(2)[start:end]
    assert third["log_prob"] == pytest.approx(float(pool.log_probs[2, 3]), rel=1e-7)


def test_unknown_log_probs_survive_and_infinite_ones_are_refused(tmp_path):
    rng = np.random.default_rng(3)
    treebank = random_treebank(4, rng)
    pool = random_pool(treebank, 2, rng)
    pool.log_probs[1, 2] = np.nan
    write_candidates(treebank, pool, tmp_path / "pool.jsonl")
    assert np.argwhere(np.isnan(read_candidates(tmp_path / "pool.jsonl", treebank, TreePool).log_probs)).tolist() == [
        [1, 2]
    ]
    pool.log_probs[1, 2] = -np.inf
    with pytest.raises(ValueError):
        write_candidates(treebank, pool, tmp_path / "other.jsonl")
    assert not (tmp_path / "other.jsonl").exists()


def test_a_pool_of_other_sentences_is_not_written(tmp_path):
    rng = np.random.default_rng(4)
    pool = random_pool(random_treebank(4, rng), 2, rng)
    with pytest.raises(ValueError, match="other sentences"):
        write_candidates(random_treebank(5, rng), pool, tmp_path / "pool.jsonl")


WORDS = Treebank(["go", "home", "yes"], ["VERB", "ADV", "INTJ"], np.array([0, 1, 0]), [], np.array([0, 2, 3]))
FIRST = {"heads": [0, 1], "relations": ["root", "advmod"], "log_prob": -0.5}
SECOND = {"heads": [2, 0], "relations": ["dep", "root"], "log_prob": -1}
ONLY = {"heads": [0], "relations": ["root"], "log_prob": None}


def line(number: int, forms: list[str], *candidates: object) -> dict:
    return {"sentence": number, "forms": forms, "candidates": list(candidates)}


def write(path, *lines: object) -> None:
    texts = [text if isinstance(text, str) else json.dumps(text) for text in lines]
    path.write_text("".join(text + "\n" for text in texts), "utf-8")


def test_sentences_with_fewer_candidates_repeat_their_first(tmp_path):
    write(tmp_path / "pool", line(1, ["go", "home"], FIRST, SECOND), line(2, ["yes"], ONLY | {"mine": 3}))
    pool = read_candidates(tmp_path / "pool", WORDS, TreePool)
    assert pool.heads.tolist() == [[0, 1, 0], [2, 0, 0]]
    assert [pool.relation_strings(c) for c in (0, 1)] == [["root", "advmod", "root"], ["dep", "root", "root"]]
    assert pool.first_equal().tolist() == [[0, 0], [1, 0]]
    assert choose(np.array([[0.0, 5.0], [1.0, 5.0]])).tolist() == [1, 0]


def test_several_roots_are_allowed_and_a_last_line_may_lack_its_end(tmp_path):
    write(tmp_path / "pool", line(1, ["go", "home"], FIRST | {"heads": [0, 0]}))
    with (tmp_path / "pool").open("a") as file:
        file.write(json.dumps(line(2, ["yes"], ONLY)))
    assert read_candidates(tmp_path / "pool", WORDS, TreePool).heads.tolist() == [[0, 0, 0]]


GOOD = line(2, ["yes"], ONLY)


def first(**changes: object) -> dict:
    return line(1, ["go", "home"], SECOND, FIRST | changes)


@pytest.mark.parametrize(
    ("lines", "sentence", "fault"),
    [
        ([first(heads=[2, 1]), GOOD], 1, "candidate 2, word 1: its heads lead back to itself, a cycle"),
        ([first(heads=[0, 2]), GOOD], 1, "candidate 2, word 2: its heads lead back to itself, a cycle"),
        ([first(heads=[0]), GOOD], 1, "candidate 2: 1 heads for 2 words"),
        ([first(relations=["root"] * 3), GOOD], 1, "candidate 2: 3 relations for 2 words"),
        ([first(heads=[0, 3]), GOOD], 1, "candidate 2, word 2: head 3 is not one of 0 .. 2"),
        ([first(heads=[0, -1]), GOOD], 1, "candidate 2, word 2: head -1 is not one of 0 .. 2"),
        ([first(heads=[0, 1.0]), GOOD], 1, "candidate 2, word 2: head 1.0 is not one of 0 .. 2"),
        ([first(heads=[0, True]), GOOD], 1, "candidate 2, word 2: head True is not one of 0 .. 2"),
        ([first(heads="01"), GOOD], 1, "candidate 2: 'heads' is not a list"),
        ([first(relations=["root", ""]), GOOD], 1, "candidate 2, word 2: '' is not a relation"),
        ([first(relations=["root", "a\tb"]), GOOD], 1, "candidate 2, word 2: 'a\\tb' is not a relation"),
        ([first(relations=["root", 7]), GOOD], 1, "candidate 2, word 2: 7 is not a relation"),
        ([first(log_prob="-1"), GOOD], 1, "candidate 2: log_prob '-1' is not a finite number or null"),
        ([first(log_prob=True), GOOD], 1, "candidate 2: log_prob True is not a finite number or null"),
        ([json.dumps(first(log_prob=float("nan"))), GOOD], 1, "NaN is not a JSON value"),
        ([first(), line(2, ["yes"], {"heads": [0], "log_prob": 0})], 2, "candidate 1: no key 'relations'"),
        ([first(), line(2, ["yes"], [0])], 2, "candidate 1: not a JSON object"),
        ([first(), line(2, ["yes"])], 2, "no candidates"),
        ([first(), GOOD | {"candidates": {}}], 2, "no candidates"),
        ([first(), line(2, ["no"], ONLY)], 2, "word 1: 'no', in the CoNLL-U file 'yes'"),
        ([first(), line(2, ["yes", "!"], ONLY)], 2, "2 forms, in the CoNLL-U file 1 words"),
        ([first(), GOOD | {"forms": "yes"}], 2, "'forms' is not a list"),
        ([first(), GOOD | {"sentence": 3}], 2, "'sentence' is 3, expected 2"),
        ([first(), {"sentence": 2, "forms": ["yes"]}], 2, "no key 'candidates'"),
        ([first(), "[1, 2]"], 2, "the line is not a JSON object"),
        ([first(), '{"sentence": 2'], 2, "not JSON: "),
        ([first(), "", ""], 2, "the file has 1 lines for the 2 sentences"),
        ([first(), "[" * 100_000], 2, "not JSON: "),
        ([first()], 2, "the file has 1 lines for the 2 sentences"),
        ([first(), GOOD, GOOD], 3, "the file has 3 lines for the 2 sentences"),
        ([], 1, "not JSON: "),
    ],
)
def test_a_malformed_file_is_refused_by_sentence_and_fault(tmp_path, lines, sentence, fault):
    path = tmp_path / "pool.jsonl"
    write(path, *lines)
    with pytest.raises(CandidateFileError) as caught:
        read_candidates(path, WORDS, TreePool)
    assert str(caught.value).startswith(f"{path}:{sentence}: sentence {sentence}: {fault}")


def test_bad_utf8_is_refused_by_line(tmp_path):
    write(tmp_path / "pool", first())
    with (tmp_path / "pool").open("ab") as file:
        file.write(b'{"sentence": 2, "forms": ["\xff"]}\n')
    with pytest.raises(CandidateFileError, match="sentence 2: not UTF-8: byte 0xff"):
        read_candidates(tmp_path / "pool", WORDS, TreePool)


def test_relations_that_no_model_knows_are_refused(tmp_path):
    write(tmp_path / "pool", first(), line(2, ["yes"], ONLY, ONLY | {"relations": ["rood"]}))
    pool = read_candidates(tmp_path / "pool", WORDS, TreePool)
    check_known(pool, {"root", "dep", "advmod", "rood"}, "pool")
    with pytest.raises(
        CandidateFileError, match="pool:2: sentence 2: candidate 2, word 1: relation 'rood' is known to"
    ):
        check_known(pool, {"root", "dep", "advmod"}, "pool")


def test_several_roots_are_refused_where_one_is_wanted(tmp_path):
    write(tmp_path / "pool", line(1, ["go", "home"], FIRST, SECOND, FIRST | {"heads": [0, 0]}), line(2, ["yes"], ONLY))
    pool = read_candidates(tmp_path / "pool", WORDS, TreePool)
    with pytest.raises(CandidateFileError, match="pool:1: sentence 1: candidate 3: 2 roots, words 1, 2; the trees"):
        check_single_roots(pool, "pool")
    write(tmp_path / "pool", line(1, ["go", "home"], FIRST, SECOND), line(2, ["yes"], ONLY))
    check_single_roots(read_candidates(tmp_path / "pool", WORDS, TreePool), "pool")


def test_the_first_candidate_with_several_roots_is_named_as_counting_finds_it():
    rng = np.random.default_rng(6)
    for _ in range(20):
        pool = random_pool(random_treebank(4, rng), 3, rng)
        spans = list(zip(pool.offsets, pool.offsets[1:]))
        several = [(s, c) for s, (a, b) in enumerate(spans) for c in range(3) if list(pool.heads[c, a:b]).count(0) > 1]
        if several:
            with pytest.raises(
                CandidateFileError, match=f"sentence {several[0][0] + 1}: candidate {several[0][1] + 1}:"
            ):
                check_single_roots(pool, "pool")
        else:
            check_single_roots(pool, "pool")


def test_candidate_files_need_no_torch():
    code = "import sys, bcrlib.data.candidate_files; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
