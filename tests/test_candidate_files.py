"""Candidate files of trees and frames: what goes in comes out, and malformed ones are refused by item and fault."""

import json
import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from pools import pool_of, structures
from random_frames import random_frame, random_frame_bank
from random_trees import random_mistakes, random_treebank

from bcrlib.data.candidate_files import (
    CandidateFileError,
    check_known,
    check_single_roots,
    read_candidates,
    write_candidates,
)
from bcrlib.data.candidates import Pool, TreePool
from bcrlib.data.frame_candidates import FramePool
from bcrlib.data.frames import BROKEN, FrameBank, frame_of, frame_text, sequences_of
from bcrlib.data.treebank import Treebank
from bcrlib.reranking import choose


def random_pool(treebank: Treebank, num_candidates: int, rng: np.random.Generator) -> TreePool:
    log_probs = -rng.exponential(20, (num_candidates, treebank.num_sentences)).astype(np.float32)
    return replace(pool_of(*(random_mistakes(treebank, rng) for _ in range(num_candidates))), log_probs=log_probs)


@pytest.mark.parametrize("kind", [TreePool, FramePool])
def test_what_is_written_is_read(tmp_path, kind):
    rng = np.random.default_rng(1)
    if kind is FramePool:
        bank = random_frame_bank(60, rng)
        pool = random_frame_pool(bank, 4, rng)
        pool.sequences[1, 3] = [BROKEN, *[0] * (pool.sequences.shape[2] - 1)]
        pool.log_probs[1, 3] = -np.inf
    else:
        bank = random_treebank(50, rng)
        pool = random_pool(bank, 4, rng)
    pool.log_probs[2, 5] = np.nan
    write_candidates(bank, pool, tmp_path / "pool.jsonl")
    again = read_candidates(tmp_path / "pool.jsonl", bank, kind)
    assert structures(again) == structures(pool) and np.array_equal(again.first_equal(), pool.first_equal())
    assert np.array_equal(again.log_probs, pool.log_probs, equal_nan=True)
    dtypes = {name: getattr(pool, name).dtype for name in pool.BY_CANDIDATE}
    assert {name: getattr(again, name).dtype for name in pool.BY_CANDIDATE} == dtypes
    assert kind is TreePool or again.labels == pool.labels
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


@pytest.mark.parametrize("kind", [TreePool, FramePool])
def test_infinite_log_probs_and_pools_of_other_items_are_not_written(tmp_path, kind):
    rng = np.random.default_rng(2)
    bank = random_treebank(4, rng) if kind is TreePool else random_frame_bank(4, rng)
    pool = (random_pool if kind is TreePool else random_frame_pool)(bank, 2, rng)
    with pytest.raises(ValueError, match=r"other sentences|candidates of 4 utterances for 3"):
        write_candidates(bank.select(np.arange(3)), pool, tmp_path / "pool")
    pool.log_probs[1, 2] = -np.inf
    with pytest.raises(ValueError):
        write_candidates(bank, pool, tmp_path / "pool")
    assert list(tmp_path.iterdir()) == []


WORDS = Treebank(["go", "home", "yes"], ["VERB", "ADV", "INTJ"], np.array([0, 1, 0]), [], np.array([0, 2, 3]))
FIRST = {"heads": [0, 1], "relations": ["root", "advmod"], "log_prob": -0.5}
SECOND = {"heads": [2, 0], "relations": ["dep", "root"], "log_prob": -1}
ONLY = {"heads": [0], "relations": ["root"], "log_prob": None}


def line(kind: type[Pool], number: int, words: list[str], *candidates: object) -> dict:
    return {kind.ITEM: number, kind.WORDS: words, "candidates": list(candidates)}


def write(path, *lines: object) -> None:
    texts = [text if isinstance(text, str) else json.dumps(text) for text in lines]
    path.write_text("".join(text + "\n" for text in texts), "utf-8")


def test_sentences_with_fewer_candidates_repeat_their_first(tmp_path):
    write(
        tmp_path / "pool",
        line(TreePool, 1, ["go", "home"], FIRST, SECOND),
        line(TreePool, 2, ["yes"], ONLY | {"mine": 3}),
    )
    pool = read_candidates(tmp_path / "pool", WORDS, TreePool)
    assert pool.heads.tolist() == [[0, 1, 0], [2, 0, 0]]
    assert [pool.relation_strings(c) for c in (0, 1)] == [["root", "advmod", "root"], ["dep", "root", "root"]]
    assert pool.first_equal().tolist() == [[0, 0], [1, 0]]
    assert choose(np.array([[0.0, 5.0], [1.0, 5.0]])).tolist() == [1, 0]


def test_several_roots_are_allowed_and_a_last_line_may_lack_its_end(tmp_path):
    write(tmp_path / "pool", line(TreePool, 1, ["go", "home"], FIRST | {"heads": [0, 0]}))
    with (tmp_path / "pool").open("a") as file:
        file.write(json.dumps(line(TreePool, 2, ["yes"], ONLY)))
    assert read_candidates(tmp_path / "pool", WORDS, TreePool).heads.tolist() == [[0, 0, 0]]


GOOD = line(TreePool, 2, ["yes"], ONLY)


def first(**changes: object) -> dict:
    return line(TreePool, 1, ["go", "home"], SECOND, FIRST | changes)


TREE_FAULTS = [
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
    ([first(), line(TreePool, 2, ["yes"], {"heads": [0], "log_prob": 0})], 2, "candidate 1: no key 'relations'"),
    ([first(), line(TreePool, 2, ["yes"], [0])], 2, "candidate 1: not a JSON object"),
    ([first(), line(TreePool, 2, ["yes"])], 2, "no candidates"),
    ([first(), GOOD | {"candidates": {}}], 2, "no candidates"),
    ([first(), line(TreePool, 2, ["no"], ONLY)], 2, "word 1: 'no', in the CoNLL-U file 'yes'"),
    ([first(), line(TreePool, 2, ["yes", "!"], ONLY)], 2, "2 forms, in the CoNLL-U file 1 words"),
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
]


def test_bad_utf8_is_refused_by_line(tmp_path):
    write(tmp_path / "pool", first())
    with (tmp_path / "pool").open("ab") as file:
        file.write(b'{"sentence": 2, "forms": ["\xff"]}\n')
    with pytest.raises(CandidateFileError, match="sentence 2: not UTF-8: byte 0xff"):
        read_candidates(tmp_path / "pool", WORDS, TreePool)


def test_relations_that_no_model_knows_are_refused(tmp_path):
    write(tmp_path / "pool", first(), line(TreePool, 2, ["yes"], ONLY, ONLY | {"relations": ["rood"]}))
    pool = read_candidates(tmp_path / "pool", WORDS, TreePool)
    check_known(pool, {"root", "dep", "advmod", "rood"}, "pool")
    with pytest.raises(
        CandidateFileError, match="pool:2: sentence 2: candidate 2, word 1: relation 'rood' is known to"
    ):
        check_known(pool, {"root", "dep", "advmod"}, "pool")


def test_several_roots_are_refused_where_one_is_wanted(tmp_path):
    write(
        tmp_path / "pool",
        line(TreePool, 1, ["go", "home"], FIRST, SECOND, FIRST | {"heads": [0, 0]}),
        line(TreePool, 2, ["yes"], ONLY),
    )
    pool = read_candidates(tmp_path / "pool", WORDS, TreePool)
    with pytest.raises(CandidateFileError, match="pool:1: sentence 1: candidate 3: 2 roots, words 1, 2; the trees"):
        check_single_roots(pool, "pool")
    write(tmp_path / "pool", line(TreePool, 1, ["go", "home"], FIRST, SECOND), line(TreePool, 2, ["yes"], ONLY))
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


UTTERANCES = (("call", "mum"), ("stop",))
BANK = FrameBank(UTTERANCES, ())
CALL = {"frame": "[IN:CALL call [SL:WHO mum ] ]", "log_prob": -0.5}
FIND = {"frame": "[IN:FIND call mum ]", "log_prob": -1}
STOP = {"frame": "[IN:STOP stop ]", "log_prob": None}
NO_TREE = {"frame": None, "log_prob": None}
STOPPED = line(FramePool, 2, ["stop"], STOP)


def called(**changes: object) -> dict:
    return line(FramePool, 1, ["call", "mum"], FIND, CALL | changes)


def random_frame_pool(bank: FrameBank, num_candidates: int, rng: np.random.Generator) -> FramePool:
    """Frames over the words of each utterance."""
    banks = [bank.with_frames([random_frame(words, rng) for words in bank.utterances]) for _ in range(num_candidates)]
    labels = tuple(sorted({label for other in banks for label in other.labels}))
    sequences = [sequences_of(other, labels) for other in banks]
    longest = max(array.shape[1] for array in sequences)
    padded = [np.pad(array, ((0, 0), (0, longest - array.shape[1]))) for array in sequences]
    log_probs = -rng.exponential(20, (num_candidates, len(bank))).astype(np.float32)
    return FramePool(np.stack(padded), labels, log_probs)


def texts(bank: FrameBank, pool: FramePool) -> list[list[str | None]]:
    """The frames of every candidate, [candidate][utterance]; None for one that is broken."""
    return [
        [
            None if row[0] == BROKEN else frame_text(frame_of(row, pool.labels, words))
            for row, words in zip(rows, bank.utterances)
        ]
        for rows in pool.sequences
    ]


def test_another_tool_finds_of_frames_what_the_description_promises(tmp_path):
    labels = ("IN:CALL", "SL:WHO")
    call, mum, stop = 5, 6, 5
    sequences = [[[1, call, 2, mum, 4, 3], [1, stop, 3, 0, 0, 0]], [[BROKEN, 0, 0, 0, 0, 0], [1, stop, 4, 0, 0, 0]]]
    pool = FramePool(np.array(sequences, dtype=np.int16), labels, np.array([[-0.1, -1], [-2, -3]], dtype=np.float32))
    write_candidates(BANK, pool, tmp_path / "pool")
    lines = [json.loads(text) for text in (tmp_path / "pool").read_text("utf-8").splitlines()]
    assert lines == [
        line(FramePool, 1, ["call", "mum"], {"frame": CALL["frame"], "log_prob": pytest.approx(-0.1)}, NO_TREE),
        line(
            FramePool, 2, ["stop"], {"frame": "[IN:CALL stop ]", "log_prob": -1}, NO_TREE
        ),  # its bracket is closed by another
    ]


@pytest.mark.parametrize("codes", [[1, 4, 2], [1, 4, 3, 5, 2], [1, 3, 3, 4, 2], [1, 4, 3, 2]])
def test_a_tree_over_other_words_is_none_of_this_utterance(tmp_path, codes):
    """One word of two, three, one twice, the two in the wrong order."""
    sequences = np.array([[codes + [0] * (5 - len(codes))]], dtype=np.int16)
    pool = FramePool(sequences, ("IN:CALL",), np.zeros((1, 1), dtype=np.float32))
    write_candidates(BANK.select([0]), pool, tmp_path / "pool")
    assert json.loads((tmp_path / "pool").read_text())["candidates"] == [NO_TREE]


def test_null_is_broken_whatever_its_log_prob_and_the_first_fills_up(tmp_path):
    write(
        tmp_path / "pool", line(FramePool, 1, ["call", "mum"], {"frame": None, "log_prob": -0.1}, CALL, FIND), STOPPED
    )
    pool = read_candidates(tmp_path / "pool", BANK, FramePool)
    assert texts(BANK, pool) == [[text, STOP["frame"]] for text in (None, CALL["frame"], FIND["frame"])]
    assert pool.log_probs[:, 0].tolist() == [-math.inf, -0.5, -1] and np.isnan(pool.log_probs[:, 1]).all()
    assert pool.labels == ("IN:CALL", "IN:FIND", "IN:STOP", "SL:WHO")


def test_a_file_without_a_single_frame_is_one_all_the_same(tmp_path):
    write(
        tmp_path / "pool", line(FramePool, 1, ["call", "mum"], NO_TREE), line(FramePool, 2, ["stop"], NO_TREE, NO_TREE)
    )
    pool = read_candidates(tmp_path / "pool", BANK, FramePool)
    assert pool.labels == () and (pool.sequences == BROKEN).all() and pool.sequences.shape == (2, 2, 1)
    check_known(pool, set(), "pool")


def test_deep_nesting_is_no_trouble(tmp_path):
    depth, bank = 3000, BANK.select([1])
    deep = {"frame": "[IN:A " * depth + "stop" + " ]" * depth, "log_prob": -1}
    write(tmp_path / "pool", line(FramePool, 1, ["stop"], deep))
    pool = read_candidates(tmp_path / "pool", bank, FramePool)
    write_candidates(bank, pool, tmp_path / "again")
    assert json.loads((tmp_path / "again").read_text()) == line(FramePool, 1, ["stop"], deep)


FRAME_FAULTS = [
    ([called(frame="[IN:CALL call mum"), STOPPED], 1, "candidate 2: [IN:CALL is never closed"),
    ([called(frame="[IN:CALL call ] mum"), STOPPED], 1, "candidate 2: the word 'mum' stands outside the brackets"),
    ([called(frame=""), STOPPED], 1, "candidate 2: tokens must be"),
    ([called(frame=["IN:CALL"]), STOPPED], 1, "candidate 2: 'frame' is ['IN:CALL'], neither a text nor null"),
    ([called(frame="[IN:CALL call ]"), STOPPED], 1, "candidate 2: 1 words, in the utterance 2 words"),
    ([called(frame="[IN:CALL call dad ]"), STOPPED], 1, "candidate 2: word 2: 'dad', in the utterance 'mum'"),
    ([called(frame="[IN:CALL mum call ]"), STOPPED], 1, "candidate 2: word 1: 'mum', in the utterance 'call'"),
    ([called(log_prob=-(10**400)), STOPPED], 1, "candidate 2: log_prob -1000"),
    ([called(frame=None, log_prob="-1"), STOPPED], 1, "candidate 2: log_prob '-1' is not"),
    ([called(), line(FramePool, 2, ["go"], STOP)], 2, "word 1: 'go', in the TOP file 'stop'"),
    ([{"sentence": 1, "forms": ["call", "mum"], "candidates": []}, STOPPED], 1, "candidates of an item called 'sen"),
    ([called(), {"utterance": 2, "candidates": []}], 2, "no key 'words'"),
    ([called()], 2, "the file has 1 lines for the 2 utterances of the TOP file"),
]


@pytest.mark.parametrize(
    ("kind", "lines", "number", "fault"),
    [(TreePool, *row) for row in TREE_FAULTS] + [(FramePool, *row) for row in FRAME_FAULTS],
)
def test_a_malformed_file_is_refused_by_item_and_fault(tmp_path, kind, lines, number, fault):
    path = tmp_path / "pool.jsonl"
    write(path, *lines)
    with pytest.raises(CandidateFileError) as caught:
        read_candidates(path, WORDS if kind is TreePool else BANK, kind)
    assert str(caught.value).startswith(f"{path}:{number}: {kind.ITEM} {number}: {fault}")


def test_labels_that_no_model_knows_are_refused_at_the_first_candidate_with_one(tmp_path):
    other = {"frame": "[IN:HALT stop ]", "log_prob": -1}
    write(tmp_path / "pool", called(), line(FramePool, 2, ["stop"], STOP, NO_TREE, other, other))
    pool = read_candidates(tmp_path / "pool", BANK, FramePool)
    known = {"IN:CALL", "IN:FIND", "SL:WHO", "IN:STOP"}
    check_known(pool, known | {"IN:HALT"}, "pool")
    with pytest.raises(CandidateFileError, match="candidate 3: label IN:HALT") as caught:
        check_known(pool, known, "pool")
    assert str(caught.value) == "pool:2: utterance 2: candidate 3: label IN:HALT is known to none of the models"
    with pytest.raises(CandidateFileError, match="pool:1: utterance 1: candidate 2: label SL:WHO is known"):
        check_known(pool, known - {"SL:WHO", "IN:STOP"}, "pool")


def test_frames_are_no_candidates_of_sentences(tmp_path):
    write(tmp_path / "pool", called(), STOPPED)
    words = Treebank(["call", "mum", "stop"], ["_"] * 3, np.zeros(3), [], np.array([0, 2, 3]))
    with pytest.raises(CandidateFileError, match="candidates of an item called 'utterance', expected 'sentence'"):
        read_candidates(tmp_path / "pool", words, TreePool)
