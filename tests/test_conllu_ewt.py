"""The reader on the real treebank: sizes, columns, round trip, speed."""

import time

import conllu
import pytest

from bcrlib.data.treebank import find_fault, format_conllu, parse_conllu, read_conllu


@pytest.mark.corpus
@pytest.mark.parametrize(
    "split, sentences, words", [("train", 12543, 204585), ("dev", 2002, 25148), ("test", 2077, 25096)]
)
def test_ewt_has_its_size_and_comes_back_byte_for_byte(ewt, split, sentences, words):
    content = ewt(split).read_bytes()
    treebank = parse_conllu(content, split)
    assert (treebank.num_sentences, treebank.num_tokens) == (sentences, words)
    if split == "train":
        assert (len(set(treebank.upos)), len(set(treebank.relations))) == (17, 49)
    assert format_conllu(treebank).encode() == content
    assert find_fault(content.decode().split("\n")[:-1]) is None


@pytest.mark.corpus
def test_ewt_test_column_by_column_against_the_conllu_package(ewt):
    treebank = read_conllu(ewt("test"))
    sentences = conllu.parse(ewt("test").read_text(encoding="utf-8"))
    tokens = [[token for token in sentence if isinstance(token["id"], int)] for sentence in sentences]
    assert treebank.lengths.tolist() == [len(sentence) for sentence in tokens]
    flat = [token for sentence in tokens for token in sentence]
    assert treebank.forms == [token["form"] for token in flat]
    assert treebank.upos == [token["upos"] for token in flat]
    assert treebank.heads.tolist() == [token["head"] for token in flat]
    assert treebank.relations == [token["deprel"] for token in flat]


@pytest.mark.corpus
def test_the_training_file_is_read_within_a_second(ewt):
    """On a core of one's own (0.5 s, measured); a core that is shared gives half of itself."""
    content = ewt("train").read_bytes()
    seconds = []
    for _ in range(3):
        start = time.process_time()
        parse_conllu(content, "train")
        seconds.append(time.process_time() - start)
    assert min(seconds) <= 2.0
