"""Candidate pools of frames: duplicates, the single candidate a re-ranker chose, and their files."""

import json
import math
import time

import numpy as np
import pytest
from random_frames import random_frame, random_frame_bank

from bcrlib.data.candidate_files import CandidateFileError, check_known, read_candidates, write_candidates
from bcrlib.data.candidates import TreePool, joined, together
from bcrlib.data.frame_candidates import FramePool
from bcrlib.data.frames import BROKEN, END, FrameBank, frame_of, frame_text, sequences_of
from bcrlib.data.treebank import Treebank

LABELS = ("IN:A", "SL:B")


@pytest.fixture
def pool() -> FramePool:
    """Two utterances of three candidates."""
    return FramePool(
        sequences=np.array(
            [
                [[1, 5, 3, END, END], [BROKEN, END, END, END, END]],
                [[1, 2, 5, 4, 3], [1, 5, 6, 3, END]],
                [[1, 5, 3, END, END], [BROKEN, END, END, END, END]],
            ],
            dtype=np.int16,
        ),
        labels=LABELS,
        log_probs=np.array([[-1.0, -0.1], [-2.0, -0.2], [-1.0, -0.3]], dtype=np.float32),
    )


def test_sizes(pool):
    assert (pool.num_candidates, pool.num_items) == (3, 2)


def test_equal_candidates_are_known(pool):
    np.testing.assert_array_equal(pool.first_equal(), np.array([[0, 0], [1, 1], [0, 0]], np.int16), strict=True)
    assert pool.num_distinct().tolist() == [2, 2]


def test_pools_of_other_lengths_come_together_in_their_order(pool):
    short = FramePool(pool.sequences[1:2, :, :4], LABELS, pool.log_probs[1:2])
    both = together([short, pool])
    np.testing.assert_array_equal(both.sequences[1:], pool.sequences, strict=True)
    assert both.sequences[0].tolist() == [[1, 2, 5, 4, END], [1, 5, 6, 3, END]]
    assert both.log_probs[:, 0].tolist() == [-2.0, -1.0, -2.0, -1.0]
    with pytest.raises(ValueError, match="same utterances"):
        together([pool, FramePool(pool.sequences[:, :1], LABELS, pool.log_probs[:, :1])])


def test_pools_that_number_labels_otherwise_come_together_by_name(pool):
    sequences = np.array([[[1, 3, 2, END, END], [BROKEN, 0, 0, 0, 0]]], dtype=np.int16)
    other = FramePool(sequences, ("IN:A",), np.zeros((1, 2), dtype=np.float32))
    both = together([FramePool(pool.sequences, ("SL:B", "IN:A"), pool.log_probs), other, pool])
    assert both.labels == ("SL:B", "IN:A")
    assert both.sequences[:3].tolist() == pool.sequences.tolist()
    assert both.sequences[3].tolist() == [[2, 5, 4, END, END], [BROKEN, END, END, END, END]]  # IN:A around word 0
    assert both.sequences[5].tolist() == [[2, 1, 5, 3, 4], [2, 5, 6, 4, END]]
    assert both.first_equal()[:, 1].tolist() == [0, 1, 0, 0, 0, 5, 0]


def test_joined_pools_have_equal_frames_once_and_are_filled_up_with_the_first():
    rng = np.random.default_rng(4)
    pools = [
        FramePool(
            rng.integers(1, 3, (number, 5, steps)).astype(np.int16),
            LABELS,
            rng.normal(size=(number, 5)).astype(np.float32),
        )
        for number, steps in ((1, 3), (8, 2), (6, 3))
    ]
    both, widths = joined(pools), []
    for u in range(5):
        distinct: dict[tuple, float] = {}
        for pool in pools:
            for sequence, log_prob in zip(pool.sequences[:, u].tolist(), pool.log_probs[:, u].tolist()):
                distinct.setdefault(tuple(code for code in sequence if code != END), log_prob)
        kept = [tuple(code for code in sequence if code != END) for sequence in both.sequences[:, u].tolist()]
        widths.append(len(distinct))
        assert kept[: widths[-1]] == list(distinct)
        assert both.log_probs[: widths[-1], u].tolist() == list(distinct.values())
        assert set(kept[widths[-1] :]) <= {kept[0]}
    assert both.num_candidates == max(widths) < 15 and min(widths) < max(widths)


def random_pool(rng: np.random.Generator, candidates: int, utterances: int, steps: int) -> FramePool:
    """A pool of few distinct sequences each, which differ in one step, the last or the first among others."""
    base = rng.integers(1, 9, (utterances, steps))
    sequences = np.repeat(base[None], candidates, axis=0)
    where = rng.integers(0, 2, (candidates, utterances)) * (steps - 1)
    np.put_along_axis(sequences, where[..., None], rng.integers(1, 3, (candidates, utterances, 1)), axis=2)
    return FramePool(sequences.astype(np.int16), LABELS, rng.normal(size=(candidates, utterances)).astype(np.float32))


def test_equal_candidates_as_a_dictionary_finds_them():
    pool = random_pool(np.random.default_rng(1), candidates=7, utterances=40, steps=5)
    for u in range(40):
        seen: dict[tuple[int, ...], int] = {}
        expected = [seen.setdefault(tuple(pool.sequences[c, u].tolist()), c) for c in range(7)]
        assert pool.first_equal()[:, u].tolist() == expected
        assert pool.num_distinct()[u] == len(seen)
    assert len(set(pool.num_distinct().tolist())) > 1


def test_a_pool_of_the_size_of_top_test_is_compared_within_half_a_second():
    pool = random_pool(np.random.default_rng(2), candidates=10, utterances=8241, steps=100)
    start = time.process_time()
    pool.first_equal()
    assert time.process_time() - start <= 0.5


def test_single_takes_another_candidate_for_each_utterance(pool):
    chosen = pool.single(np.array([1, 2]))
    assert chosen.sequences.tolist() == [[[1, 2, 5, 4, 3], [BROKEN, END, END, END, END]]]
    assert chosen.sequences.dtype == np.int16
    assert chosen.log_probs.tolist() == [[-2.0, np.float32(-0.3)]]
    assert chosen.labels == LABELS
    assert chosen.num_candidates == 1


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


def pool_over(bank: FrameBank, num_candidates: int, rng: np.random.Generator) -> FramePool:
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
    pool = pool_over(bank, 4, rng)
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
    pool = pool_over(bank, 2, rng)
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
        ([first(frame="[CALL call mum ]"), GOOD], 1, "candidate 2: '[CALL' is not an opening bracket"),
        ([first(frame="call mum"), GOOD], 1, "candidate 2: the word 'call' stands outside"),
        ([first(frame=""), GOOD], 1, "candidate 2: tokens must be"),
        ([first(frame=["IN:CALL"]), GOOD], 1, "candidate 2: 'frame' is ['IN:CALL'], neither a text nor null"),
        ([first(frame="[IN:CALL call ]"), GOOD], 1, "candidate 2: 1 words, in the utterance 2 words"),
        ([first(frame="[IN:CALL call dad ]"), GOOD], 1, "candidate 2: word 2: 'dad', in the utterance 'mum'"),
        ([first(frame="[IN:CALL mum call ]"), GOOD], 1, "candidate 2: word 1: 'mum', in the utterance 'call'"),
        ([first(log_prob=-(10**400)), GOOD], 1, "candidate 2: log_prob -1000"),
        ([first(frame=None, log_prob="-1"), GOOD], 1, "candidate 2: log_prob '-1' is not"),
        ([first(), line(2, ["go"], ONLY)], 2, "word 1: 'go', in the TOP file 'stop'"),
        ([{"sentence": 1, "forms": ["call", "mum"], "candidates": []}, GOOD], 1, "candidates of an item called 'sen"),
        ([first(), {"utterance": 2, "candidates": []}], 2, "no key 'words'"),
        ([first()], 2, "the file has 1 lines for the 2 utterances of the TOP file"),
    ],
)
def test_a_malformed_file_is_refused_by_utterance_and_fault(tmp_path, lines, utterance, fault):
    path = tmp_path / "pool.jsonl"
    write(path, *lines)
    with pytest.raises(CandidateFileError) as caught:
        read_candidates(path, BANK, FramePool)
    assert str(caught.value).startswith(f"{path}:{utterance}: utterance {utterance}: {fault}")


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
