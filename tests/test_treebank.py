"""Columns, selection and replacement of trees."""

import numpy as np
import pytest

from bcrlib.data.treebank import Treebank, format_conllu, parse_conllu

SENTENCES = [
    "# one\n1-2\tab\t_\t_\t_\t_\t_\t_\t_\t_\n1\ta\t_\tX\t_\t_\t2\tx\t_\t_\n2\tb\t_\tY\t_\t_\t0\troot\t_\t_\n",
    "1\tc\t_\tZ\t_\t_\t0\troot\t_\t_\n",
    "# 3\n1\td\t_\tX\t_\t_\t0\troot\t_\t_\n1.1\te\t_\t_\t_\t_\t_\t_\t_\t_\n2\tf\t_\tX\t_\t_\t1\ty\t_\t_\n",
]


def joined(numbers):
    """The file of these sentences."""
    return "".join(SENTENCES[number] + "\n" for number in numbers)


@pytest.fixture
def treebank() -> Treebank:
    return parse_conllu(joined([0, 1, 2]).encode(), "f")


def test_sizes_and_sentence_numbers(treebank):
    assert (treebank.num_sentences, treebank.num_tokens) == (3, 5)
    np.testing.assert_array_equal(treebank.lengths, np.array([2, 1, 2], np.int64), strict=True)
    np.testing.assert_array_equal(treebank.sentence_of_token, np.array([0, 0, 1, 2, 2], np.int64), strict=True)


@pytest.mark.parametrize("numbers", [[0, 1, 2], [2, 0], [1], [1, 1, 0, 1], []])
def test_a_selection_equals_the_file_of_these_sentences(treebank, numbers):
    chosen = treebank.select(np.array(numbers, dtype=np.int64))
    assert format_conllu(chosen) == joined(numbers)
    if numbers:
        expected = parse_conllu(joined(numbers).encode(), "f")
        assert (chosen.forms, chosen.upos, chosen.relations) == (
            expected.forms,
            expected.upos,
            expected.relations,
        )
        np.testing.assert_array_equal(chosen.heads, expected.heads, strict=True)
        np.testing.assert_array_equal(chosen.offsets, expected.offsets, strict=True)
        np.testing.assert_array_equal(chosen.source.line_of_token, expected.source.line_of_token, strict=True)


@pytest.mark.parametrize("numbers", [[3], [-1], [0, 3]])
def test_a_sentence_that_is_not_there_cannot_be_selected(treebank, numbers):
    with pytest.raises(IndexError, match=r"0\.\.2"):
        treebank.select(np.array(numbers))


def test_other_trees_leave_the_first_treebank_alone(treebank):
    relations = ["a", "b", "c", "d", "e"]
    new = treebank.with_trees(np.array([0, 1, 0, 2, 0]), relations)
    relations.clear()
    assert new.heads.tolist() == [0, 1, 0, 2, 0]
    assert new.heads.dtype == np.int32
    assert new.relations == ["a", "b", "c", "d", "e"]
    assert treebank.heads.tolist() == [2, 0, 0, 0, 1]


@pytest.mark.parametrize("num_heads, num_relations", [(4, 5), (5, 4), (6, 6)])
def test_a_tree_needs_a_head_and_a_relation_a_token(treebank, num_heads, num_relations):
    with pytest.raises(ValueError, match="for 5 tokens"):
        treebank.with_trees(np.zeros(num_heads, np.int32), ["x"] * num_relations)
