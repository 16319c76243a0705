"""Candidate files of frames: what goes in comes out, and every malformed one is refused by utterance and fault."""

import json
import math

import numpy as np
import pytest
from random_frames import random_frame, random_frame_bank

from bcrlib.data.candidate_files import CandidateFileError, check_known, read_candidates, write_candidates
from bcrlib.data.candidates import TreePool
from bcrlib.data.frame_candidates import FramePool
from bcrlib.data.frames import BROKEN, FrameBank, frame_of, frame_text, sequences_of
from bcrlib.data.treebank import Treebank

UTTERANCES = (("call", "mum"), ("stop",))
BANK = FrameBank(UTTERANCES, ())
FIRST = {"frame": "[IN:CALL call [SL:WHO mum ] ]", "log_prob": -0.5}
SECOND = {"frame": "[IN:FIND call mum ]", "log_prob": -1}
ONLY = {"frame": "[IN:STOP stop ]", "log_prob": None}
NO_TREE = {"frame": None, "log_prob": None}


def line(number: int, words: list[str], *candidates: object) -> dict:
    return {"utterance": number, "words": words, "candidates": list(candidates)}


def first(**changes: object) -> dict:
    return line(1, ["call", "mum"], SECOND, FIRST | changes)


GOOD = line(2, ["stop"], ONLY)


def write(path, *lines: object) -> None:
    texts = [text if isinstance(text, str) else json.dumps(text) for text in lines]
    path.write_text("".join(text + "\n" for text in texts), "utf-8")


def random_pool(bank: FrameBank, num_candidates: int, rng: np.random.Generator) -> FramePool:
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


def test_what_is_written_is_read(tmp_path):
    rng = np.random.default_rng(1)
    bank = random_frame_bank(60, rng)
    pool = random_pool(bank, 4, rng)
    pool.sequences[1, 3] = [BROKEN, *[0] * (pool.sequences.shape[2] - 1)]
    pool.log_probs[1, 3], pool.log_probs[2, 5] = -np.inf, np.nan
    write_candidates(bank, pool, tmp_path / "pool.jsonl")
    again = read_candidates(tmp_path / "pool.jsonl", bank, FramePool)
    assert texts(bank, again) == texts(bank, pool) and again.labels == pool.labels
    assert again.sequences.dtype == np.int16 and again.log_probs.dtype == np.float32
    assert np.array_equal(again.log_probs, pool.log_probs, equal_nan=True)
    assert np.array_equal(again.first_equal(), pool.first_equal())
    assert [path.name for path in tmp_path.iterdir()] == ["pool.jsonl"]


def test_another_tool_finds_what_the_description_promises(tmp_path):
    labels = ("IN:CALL", "SL:WHO")
    call, mum, stop = 5, 6, 5
    sequences = [[[1, call, 2, mum, 4, 3], [1, stop, 3, 0, 0, 0]], [[BROKEN, 0, 0, 0, 0, 0], [1, stop, 4, 0, 0, 0]]]
    pool = FramePool(np.array(sequences, dtype=np.int16), labels, np.array([[-0.1, -1], [-2, -3]], dtype=np.float32))
    write_candidates(BANK, pool, tmp_path / "pool")
    lines = [json.loads(text) for text in (tmp_path / "pool").read_text("utf-8").splitlines()]
    assert lines == [
        line(1, ["call", "mum"], {"frame": FIRST["frame"], "log_prob": pytest.approx(-0.1)}, NO_TREE),
        line(2, ["stop"], {"frame": "[IN:CALL stop ]", "log_prob": -1}, NO_TREE),  # its bracket is closed by another
    ]


@pytest.mark.parametrize("codes", [[1, 4, 2], [1, 4, 3, 5, 2], [1, 3, 3, 4, 2], [1, 4, 3, 2]])
def test_a_tree_over_other_words_is_none_of_this_utterance(tmp_path, codes):
    """One word of two, three, one twice, the two in the wrong order."""
    sequences = np.array([[codes + [0] * (5 - len(codes))]], dtype=np.int16)
    pool = FramePool(sequences, ("IN:CALL",), np.zeros((1, 1), dtype=np.float32))
    write_candidates(BANK.select([0]), pool, tmp_path / "pool")
    assert json.loads((tmp_path / "pool").read_text())["candidates"] == [NO_TREE]


def test_infinite_log_probs_of_frames_and_pools_of_other_utterances_are_not_written(tmp_path):
    rng = np.random.default_rng(2)
    bank = random_frame_bank(4, rng)
    pool = random_pool(bank, 2, rng)
    with pytest.raises(ValueError, match="candidates of 4 utterances for 3"):
        write_candidates(bank.select([0, 1, 2]), pool, tmp_path / "pool")
    pool.log_probs[1, 2] = -np.inf
    with pytest.raises(ValueError):
        write_candidates(bank, pool, tmp_path / "pool")
    assert list(tmp_path.iterdir()) == []


def test_null_is_broken_whatever_its_log_prob_and_the_first_fills_up(tmp_path):
    write(tmp_path / "pool", line(1, ["call", "mum"], {"frame": None, "log_prob": -0.1}, FIRST, SECOND), GOOD)
    pool = read_candidates(tmp_path / "pool", BANK, FramePool)
    assert texts(BANK, pool) == [[text, ONLY["frame"]] for text in (None, FIRST["frame"], SECOND["frame"])]
    assert pool.log_probs[:, 0].tolist() == [-math.inf, -0.5, -1] and np.isnan(pool.log_probs[:, 1]).all()
    assert pool.labels == ("IN:CALL", "IN:FIND", "IN:STOP", "SL:WHO")


def test_a_file_without_a_single_frame_is_one_all_the_same(tmp_path):
    write(tmp_path / "pool", line(1, ["call", "mum"], NO_TREE), line(2, ["stop"], NO_TREE, NO_TREE))
    pool = read_candidates(tmp_path / "pool", BANK, FramePool)
    assert pool.labels == () and (pool.sequences == BROKEN).all() and pool.sequences.shape == (2, 2, 1)
    check_known(pool, set(), "pool")


def test_deep_nesting_is_no_trouble(tmp_path):
    depth, bank = 3000, BANK.select([1])
    deep = {"frame": "[IN:A " * depth + "stop" + " ]" * depth, "log_prob": -1}
    write(tmp_path / "pool", line(1, ["stop"], deep))
    pool = read_candidates(tmp_path / "pool", bank, FramePool)
    write_candidates(bank, pool, tmp_path / "again")
    assert json.loads((tmp_path / "again").read_text()) == line(1, ["stop"], deep)


@pytest.mark.parametrize(
    ("lines", "utterance", "fault"),
    [
        ([first(frame="[IN:CALL call mum"), GOOD], 1, "candidate 2: [IN:CALL is never closed"),
        ([first(frame="[IN:CALL call ] mum"), GOOD], 1, "candidate 2: the word 'mum' stands outside the brackets"),
        ([first(frame="[IN:A call ] [IN:A mum ]"), GOOD], 1, "candidate 2: several roots"),
        ([first(frame="[IN:CALL call [SL:WHO ] mum ]"), GOOD], 1, "candidate 2: empty bracket [SL:WHO ]"),
        ([first(frame="[IN:CALL call  mum ]"), GOOD], 1, "candidate 2: tokens must be separated by single spaces"),
        ([first(frame="[CALL call mum ]"), GOOD], 1, "candidate 2: '[CALL' is no opening bracket"),
        ([first(frame="call mum"), GOOD], 1, "candidate 2: the word 'call' stands outside"),
        ([first(frame=""), GOOD], 1, "candidate 2: tokens must be"),
        ([first(frame=["IN:CALL"]), GOOD], 1, "candidate 2: 'frame' is ['IN:CALL'], neither a text nor null"),
        ([first(frame="[IN:CALL call ]"), GOOD], 1, "candidate 2: 1 words, in the utterance 2 words"),
        ([first(frame="[IN:CALL call dad ]"), GOOD], 1, "candidate 2: word 2: 'dad', in the utterance 'mum'"),
        ([first(frame="[IN:CALL mum call ]"), GOOD], 1, "candidate 2: word 1: 'mum', in the utterance 'call'"),
        ([first(log_prob="-1"), GOOD], 1, "candidate 2: log_prob '-1' is not a finite number or null"),
        ([first(log_prob=-(10**400)), GOOD], 1, "candidate 2: log_prob -1000"),
        ([first(frame=None, log_prob="-1"), GOOD], 1, "candidate 2: log_prob '-1' is not"),
        ([json.dumps(first(log_prob=math.nan)), GOOD], 1, "NaN is not a JSON value"),
        ([json.dumps(first(log_prob=-math.inf)), GOOD], 1, "-Infinity is not a JSON value"),
        ([first(), line(2, ["stop"], {"frame": "[IN:STOP stop ]"})], 2, "candidate 1: no key 'log_prob'"),
        ([first(), line(2, ["stop"], "[IN:STOP stop ]")], 2, "candidate 1: not a JSON object"),
        ([first(), line(2, ["stop"])], 2, "no candidates"),
        ([first(), line(2, ["go"], ONLY)], 2, "word 1: 'go', in the TOP file 'stop'"),
        ([first(), line(2, ["stop", "it"], ONLY)], 2, "2 words, in the TOP file 1 words"),
        ([first(), GOOD | {"utterance": 3}], 2, "'utterance' is 3, expected 2"),
        ([{"sentence": 1, "forms": ["call", "mum"], "candidates": []}, GOOD], 1, "candidates of an item called 'sen"),
        ([first(), {"utterance": 2, "candidates": []}], 2, "no key 'words'"),
        ([first(), "[1, 2]"], 2, "the line is not a JSON object"),
        ([first(), '{"utterance": 2'], 2, "not JSON: "),
        ([first()], 2, "the file has 1 lines for the 2 utterances of the TOP file"),
        ([first(), GOOD, GOOD], 3, "the file has 3 lines for the 2 utterances"),
    ],
)
def test_a_malformed_file_is_refused_by_utterance_and_fault(tmp_path, lines, utterance, fault):
    path = tmp_path / "pool.jsonl"
    write(path, *lines)
    with pytest.raises(CandidateFileError) as caught:
        read_candidates(path, BANK, FramePool)
    assert str(caught.value).startswith(f"{path}:{utterance}: utterance {utterance}: {fault}")


def test_bad_utf8_is_refused_by_line(tmp_path):
    write(tmp_path / "pool", first())
    with (tmp_path / "pool").open("ab") as file:
        file.write(b'{"utterance": 2, "words": ["\xff"]}\n')
    with pytest.raises(CandidateFileError, match="pool:2: utterance 2: not UTF-8: byte 0xff"):
        read_candidates(tmp_path / "pool", BANK, FramePool)


def test_labels_that_no_model_knows_are_refused_at_the_first_candidate_with_one(tmp_path):
    other = {"frame": "[IN:HALT stop ]", "log_prob": -1}
    write(tmp_path / "pool", first(), line(2, ["stop"], ONLY, NO_TREE, other, other))
    pool = read_candidates(tmp_path / "pool", BANK, FramePool)
    known = {"IN:CALL", "IN:FIND", "SL:WHO", "IN:STOP"}
    check_known(pool, known | {"IN:HALT"}, "pool")
    with pytest.raises(CandidateFileError, match="candidate 3: label IN:HALT") as caught:
        check_known(pool, known, "pool")
    assert str(caught.value) == "pool:2: utterance 2: candidate 3: label IN:HALT is known to none of the models"
    with pytest.raises(CandidateFileError, match="pool:1: utterance 1: candidate 2: label SL:WHO is known"):
        check_known(pool, known - {"SL:WHO", "IN:STOP"}, "pool")


def test_frames_are_no_candidates_of_sentences(tmp_path):
    write(tmp_path / "pool", first(), GOOD)
    words = Treebank(["call", "mum", "stop"], ["_"] * 3, np.zeros(3), [], np.array([0, 2, 3]))
    with pytest.raises(CandidateFileError, match="candidates of an item called 'utterance', expected 'sentence'"):
        read_candidates(tmp_path / "pool", words, TreePool)
