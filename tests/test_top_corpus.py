"""The reader on the real corpus: the counts of protocol.md, section 0, round trips, speed."""

import time

import pytest

from bcrlib.data.frames import (
    Node,
    frame_of,
    frame_text,
    frame_words,
    parse_frame,
    read_predicted_top,
    read_top,
    sequences_of,
    write_top,
)

NUM_ROWS = {"train": 28_414, "dev": 4_032, "test": 8_241}


@pytest.fixture(scope="module")
def banks(top):
    return {split: read_top(top(split)) for split in NUM_ROWS}


def spans(node: Node, start: int, found: list[tuple[int, int]]) -> int:
    """Append the word span of every labelled node; the end of this one."""
    end = start
    for child in node.children:
        end = end + 1 if isinstance(child, str) else spans(child, end, found)
    found.append((start, end))
    return end


@pytest.mark.corpus
def test_top_has_its_size(banks):
    assert {split: len(bank) for split, bank in banks.items()} == NUM_ROWS
    labels = banks["train"].labels
    assert [sum(label.startswith(kind) for label in labels) for kind in ("IN:", "SL:")] == [22, 36]
    assert set(banks["dev"].labels) | set(banks["test"].labels) <= set(labels)
    assert {"IN:COMBINE", "SL:COMBINE"} <= set(labels)
    assert not [label for bank in banks.values() for label in bank.labels if label.startswith("IN:UNSUPPORTED")]


@pytest.mark.corpus
def test_top_test_has_its_spans(banks):
    num_spans = num_nodes = 0
    for frame in banks["test"].frames:
        found: list[tuple[int, int]] = []
        assert spans(frame, 0, found) == len(frame_words(frame))
        num_spans += len(set(found))
        num_nodes += len(found)
    assert (num_spans, num_nodes) == (27_047, 32_631)


@pytest.mark.corpus
@pytest.mark.parametrize("split", NUM_ROWS)
def test_every_frame_comes_back_from_text_and_from_its_sequence(banks, split):
    bank, labels = banks[split], banks["train"].labels
    assert all(parse_frame(frame_text(frame)) == frame for frame in bank.frames)
    rows = zip(sequences_of(bank, labels), bank.utterances, bank.frames)
    assert all(frame_of(sequence, labels, words) == frame for sequence, words, frame in rows)


@pytest.mark.corpus
@pytest.mark.parametrize("split", NUM_ROWS)
def test_top_comes_back_byte_for_byte(banks, top, tmp_path, split):
    bank = banks[split]
    write_top(bank.utterances, [frame_text(frame) for frame in bank.frames], tmp_path / "f.tsv")
    assert (tmp_path / "f.tsv").read_bytes() == top(split).read_bytes()
    if split == "dev":
        assert read_predicted_top(tmp_path / "f.tsv") == (bank.utterances, bank.frames)
        assert read_top(top(split), frames=False).utterances == bank.utterances


@pytest.mark.corpus
def test_the_training_file_is_read_within_a_second(top):
    """On a core of one's own (0.7 s, measured); a core that is shared gives half of itself."""
    seconds = []
    for _ in range(3):
        start = time.process_time()
        read_top(top("train"))
        seconds.append(time.process_time() - start)
    assert min(seconds) <= 2.0
