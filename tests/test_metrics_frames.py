"""EM and span EM, span by span: worked by hand, and against frames compared as trees."""

from itertools import product

import numpy as np
import pytest
from random_frames import bank_of, random_frame, random_frame_bank

from bcrlib.data.frame_candidates import FramePool
from bcrlib.data.frames import (
    BROKEN,
    END,
    FrameBank,
    FrameError,
    Node,
    frame_of,
    frame_words,
    parse_frame,
    sequences_of,
    word_code,
)
from bcrlib.data.presets import PRESETS
from bcrlib.data.top import read_top
from bcrlib.metrics.frames import LEVELS, correctness, frame_correctness, invalid, num_invalid, scored_units

OFFICIAL, CLEAN = PRESETS["official"], PRESETS["clean"]
PRESET = pytest.mark.parametrize("preset", [OFFICIAL, CLEAN], ids=lambda preset: preset.name)


def pool_of(sequences: np.ndarray, labels: tuple[str, ...]) -> FramePool:
    """sequences: [candidate, utterance, step]."""
    return FramePool(sequences.astype(np.int16), labels, np.zeros(sequences.shape[:2], np.float32))


def judged(gold: str, predicted: str, preset) -> tuple[list[bool], bool]:
    """Which spans of a frame are right, and whether the whole is."""
    right = frame_correctness(bank_of(gold), [parse_frame(predicted)], preset)
    return right["spanEM"].tolist(), bool(right["EM"][0])


# The spans of gold are in the order of their first brackets.
HAND_WORKED = [
    # The innermost intent is another one: two sub-trees around it break, their labels do not.
    (
        "[IN:X a [SL:S b [IN:Y c ] ] d ]",
        "[IN:X a [SL:S b [IN:Z c ] ] d ]",
        ([False, False, False], False),
        ([True, True, False], False),
    ),
    # A slot too many within gold's only span.
    ("[IN:X a b ]", "[IN:X a [SL:S b ] ]", ([False], False), ([True], False)),
    # Three nodes over one span are one unit; without the innermost one neither chain nor sub-tree is the same.
    ("[IN:X [SL:S [IN:Y a ] ] ]", "[IN:X [SL:S a ] ]", ([False], False), ([False], False)),
    # The authors' code compares names behind the colon alone.
    ("[IN:X a [SL:X b ] ]", "[IN:X a [IN:X b ] ]", ([True, True], True), ([True, False], False)),
    # A word given twice, another one left out: the labels are over the same places, but not over the same words.
    ("[IN:X a [SL:S b c ] ]", "[IN:X a [SL:S b b ] ]", ([False, False], False), ([False, False], False)),
    # Without its first word the prediction has other places for all that follow it.
    (
        "[IN:X a [SL:S b ] [SL:S c ] ]",
        "[IN:X [SL:S b ] [SL:S c ] ]",
        ([False, False, False], False),
        ([False, False, False], False),
    ),
    # A boundary moved by one word: the slot is another span, the intent around it has the same labels.
    ("[IN:X a b [SL:S c ] ]", "[IN:X a [SL:S b c ] ]", ([False, False], False), ([True, False], False)),
]  # fmt: skip


@pytest.mark.parametrize(("gold", "predicted", "official", "clean"), HAND_WORKED)
def test_hand_worked(gold, predicted, official, clean):
    assert judged(gold, predicted, OFFICIAL) == official
    assert judged(gold, predicted, CLEAN) == clean


# The twin: frames as trees, from the top, with recursion.

Span = tuple[int, int]


def nodes_by_span(frame: Node, begin: int = 0) -> dict[Span, list[Node]]:
    """The nodes over each span, from the outside in; spans in the order of their first brackets."""
    found = {(begin, begin + len(frame_words(frame))): [frame]}
    for child in frame.children:
        if isinstance(child, str):
            begin += 1
        else:
            for span, nodes in nodes_by_span(child, begin).items():
                found.setdefault(span, []).extend(nodes)
            begin += len(frame_words(child))
    return found


def by_name(item: Node | str) -> tuple | str:
    """A sub-tree without the types of its nodes."""
    if isinstance(item, str):
        return item
    return (item.label.split(":")[1], [by_name(child) for child in item.children])


def twin_correctness(gold: Node, predicted: Node | None, preset) -> tuple[list[bool], bool]:
    """Which spans of the gold frame are right, and whether the whole is."""
    spans, theirs = nodes_by_span(gold), {} if predicted is None else nodes_by_span(predicted)
    if preset is OFFICIAL:
        right = [span in theirs and by_name(theirs[span][0]) == by_name(nodes[0]) for span, nodes in spans.items()]
        return right, predicted is not None and by_name(predicted) == by_name(gold)

    def chain(nodes: list[Node]) -> tuple[list[str], list[tuple[str, ...]]]:
        return [node.label for node in nodes], [*map(frame_words, nodes)]

    return [chain(nodes) == chain(theirs.get(span, [])) for span, nodes in spans.items()], predicted == gold


def random_mistakes(sequences: np.ndarray, num_labels: int, rng: np.random.Generator) -> np.ndarray:
    """The sequences with some codes changed, left out or put in, sometimes both brackets of a node; some broken."""
    changed = np.pad(sequences, ((0, 0), (0, 2)))
    for row in changed:
        for _ in range(rng.integers(3)):
            length = int((row != END).sum())
            step, last = int(rng.integers(length)), word_code(4, num_labels)
            match rng.integers(6):
                case 0:
                    row[step] = rng.integers(1, last)
                case 1:
                    row[step:-1], row[-1] = row[step + 1 :].copy(), END
                case 2 if length < len(row):
                    row[step + 1 :], row[step] = row[step:-1].copy(), rng.integers(1, last)
                case 3:
                    relabel(row, step, num_labels, int(rng.integers(num_labels)))
                case 4 if length + 2 <= len(row):  # one more node, around a single code
                    label = int(rng.integers(num_labels))
                    row[step + 3 :] = row[step + 1 : -2].copy()
                    row[step : step + 3] = 1 + label, row[step], 1 + num_labels + label
                case 5 if rng.random() < 0.2:
                    row[:] = [BROKEN] + [END] * (len(row) - 1)
                    break
    return changed


def relabel(row: np.ndarray, step: int, num_labels: int, label: int) -> None:
    """Give the node that begins at a step another label; nothing for other steps."""
    if not 0 < row[step] <= num_labels:
        return
    depth = 0
    for last in range(step, len(row)):
        depth += int(0 < row[last] <= num_labels) - int(num_labels < row[last] <= 2 * num_labels)
        if depth == 0:
            row[step], row[last] = 1 + label, 1 + num_labels + label
            return


def frames_of(pool: FramePool, bank: FrameBank) -> list[list[Node | None]]:
    """[candidate][utterance]; a word that the utterance does not have is "?"."""

    def frame(sequence: np.ndarray, words: tuple[str, ...]) -> Node | None:
        try:
            return frame_of(sequence, pool.labels, [*words, *["?"] * 8])
        except FrameError:
            return None

    return [[frame(row, words) for row, words in zip(rows, bank.utterances)] for rows in pool.sequences]


@PRESET
def test_sequences_are_judged_as_trees_are(preset):
    rng = np.random.default_rng(3)
    gold = random_frame_bank(300, rng, longest=5)
    labels = ("SL:PLACE", "IN:NEW", "IN:COMBINE", "IN:CALL", "SL:COMBINE")  # another order, and one that gold lacks
    right_codes = sequences_of(gold, labels)
    pool = pool_of(np.stack([random_mistakes(right_codes, len(labels), rng) for _ in range(6)]), labels)
    frames = frames_of(pool, gold)
    twins = [[twin_correctness(g, p, preset) for g, p in zip(gold.frames, row)] for row in frames]
    right = correctness(gold, pool, preset)
    assert {level: r.shape[0] for level, r in right.items()} == dict.fromkeys(LEVELS, 6)
    assert all(0.2 < r.mean() < 0.8 for r in right.values())
    assert right["spanEM"].tolist() == [[r for spans, _ in row for r in spans] for row in twins]
    assert right["EM"].tolist() == [[whole for _, whole in row] for row in twins]
    assert 0.05 < invalid(pool).mean() < 0.5
    assert invalid(pool).tolist() == [[frame is None for frame in row] for row in frames]
    assert num_invalid(pool) == sum(frame is None for row in frames for frame in row)


@PRESET
def test_frames_from_text_are_judged_as_trees_are(preset):
    """Predictions over other words and with other labels, and some that are none."""
    rng = np.random.default_rng(4)
    gold = random_frame_bank(300, rng, longest=3)
    kinds = rng.choice(4, len(gold), p=[0.3, 0.4, 0.2, 0.1])
    other = [
        random_frame(words if kind == 1 else (*words[1:], "?"), rng) for words, kind in zip(gold.utterances, kinds)
    ]
    predicted = [
        None if kind == 3 else frame if kind == 0 else twin for frame, twin, kind in zip(gold.frames, other, kinds)
    ]
    right = frame_correctness(gold, predicted, preset)
    twins = [twin_correctness(g, p, preset) for g, p in zip(gold.frames, predicted)]
    assert all(0.2 < r.mean() < 0.8 for r in right.values())
    assert right["spanEM"].tolist() == [r for spans, _ in twins for r in spans]
    assert right["EM"].tolist() == [whole for _, whole in twins]


def test_units_are_distinct_spans_and_utterances():
    gold = bank_of("[IN:X a [SL:S [IN:Y b ] ] ]", "[IN:X [SL:S a ] ]", "[IN:X [SL:S a ] [SL:S b ] ]")
    for preset in PRESETS.values():
        units = scored_units(gold, preset)
        assert units.num_sentences == 3
        assert units.sentence_of_unit["spanEM"].tolist() == [0, 0, 1, 2, 2, 2]
        assert units.sentence_of_unit["EM"].tolist() == [0, 1, 2]


A, B, CLOSE_A, CLOSE_B, X = 1, 2, 3, 4, 5  # codes over two labels and a word


def test_exactly_what_spells_no_tree_is_invalid_and_wrong_everywhere():
    """All sequences of up to five codes over a word, two labels and BROKEN, filled up with END."""
    gold = bank_of("[IN:A x ]")
    codes = [BROKEN, A, B, CLOSE_A, CLOSE_B, X]
    rows = [[*row, *[END] * (5 - length)] for length in range(6) for row in product(codes, repeat=length)]
    pool = pool_of(np.array(rows)[:, None], ("IN:A", "IN:B"))
    trees = [frame for (frame,) in frames_of(pool, gold)]
    no_tree = [[frame is None] for frame in trees]
    assert invalid(pool).tolist() == no_tree and num_invalid(pool) == sum(frame is None for frame in trees)
    assert any(frame is not None for frame in trees)
    for preset in PRESETS.values():
        for right in correctness(gold, pool, preset).values():
            assert not right[np.array(no_tree)].any()
        assert right[:, 0].tolist() == [frame == gold.frames[0] for frame in trees]


@PRESET
def test_the_same_text_is_the_same_word(preset):
    """The second word of "x x y" is given by the first, or by the third."""
    gold = bank_of("[IN:A x [SL:B x ] y ]")
    sequences = np.array([[[A, X, B, X + place, CLOSE_B, X + 2, CLOSE_A]] for place in (1, 0, 2)])
    right = correctness(gold, pool_of(sequences, ("IN:A", "SL:B")), preset)
    assert right["EM"].tolist() == [[True], [True], [False]]


def test_nesting_may_be_deep():
    depth = 2000  # more than Python's recursion allows
    text = "[IN:A a " * depth + "[SL:B b ]" + " ]" * depth
    gold, other = bank_of(text), parse_frame(text.replace("SL:B", "SL:C"))
    official, clean = (frame_correctness(gold, [other], preset) for preset in (OFFICIAL, CLEAN))
    assert official["spanEM"].sum() == 0 and clean["spanEM"].sum() == depth
    assert all(right.all() for right in frame_correctness(gold, gold.frames, OFFICIAL).values())


def test_misfits_are_refused():
    gold = bank_of("[IN:A x ]", "[IN:A y ]")
    with pytest.raises(ValueError, match="1 utterances, 2 gold frames"):
        correctness(gold, pool_of(np.zeros((3, 1, 4)), ("IN:A",)), CLEAN)
    with pytest.raises(ValueError, match="3 predictions, 2 gold"):
        frame_correctness(gold, [None] * 3, CLEAN)
    with pytest.raises(ValueError, match="without gold frames"):
        scored_units(FrameBank((("x",),), ()), CLEAN)
    with pytest.raises(ValueError, match="gold frame 1 has a node without words"):
        scored_units(FrameBank((("x",), ("y",)), (Node("IN:A", ("x",)), Node("IN:A", ("y", Node("SL:B", ()))))), CLEAN)


def test_no_utterances_are_no_units():
    empty = FrameBank((), ())
    right = correctness(empty, pool_of(np.zeros((2, 0, 0)), ()), CLEAN)
    assert {level: r.shape for level, r in right.items()} == {"spanEM": (2, 0), "EM": (2, 0)}
    assert frame_correctness(empty, [], OFFICIAL)["EM"].shape == (0,)


@pytest.mark.corpus
@PRESET
def test_spans_of_top_test(top, preset):
    gold = read_top(top("test"))
    assert {level: len(u) for level, u in scored_units(gold, preset).sentence_of_unit.items()} == {
        "spanEM": 27_047,
        "EM": 8_241,
    }
    some = gold.select(range(0, len(gold), 8))
    codes = random_mistakes(sequences_of(some, gold.labels), len(gold.labels), np.random.default_rng(6))
    pool = pool_of(codes[None], gold.labels)
    twins = [twin_correctness(g, p, preset) for g, p in zip(some.frames, frames_of(pool, some)[0])]
    right = correctness(some, pool, preset)
    assert right["spanEM"][0].tolist() == [r for spans, _ in twins for r in spans]
    assert right["EM"][0].tolist() == [whole for _, whole in twins]
