"""A treebank in columns: one entry a token, sentences as offsets into them."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int32, Int64


@dataclass(frozen=True, eq=False)
class SourceLines:
    """The lines a treebank was read from, without line ends: what a writer needs to give the file back.

    They hold all that no parser looks at (comments, lemmas, XPOS, features, ranges, empty nodes); the blank
    line that closes each sentence is left out.
    """

    lines: list[str]  # [line]
    line_offsets: Int64[np.ndarray, "sentence_plus_one"]
    line_of_token: Int64[np.ndarray, "token"]


@dataclass(frozen=True, eq=False)
class Treebank:
    """Sentences with one dependency tree each; token t (from 1) of sentence s is entry offsets[s] + t - 1.

    Heads are 0 for a root and 1..length within the sentence otherwise.  The trees are those of whoever made
    the treebank: gold, or the predictions of one parser.  Treat it as immutable, arrays included.
    """

    forms: list[str]  # [token]
    upos: list[str]  # [token]
    heads: Int32[np.ndarray, "token"]
    relations: list[str]  # [token], with sub-types: "nsubj:pass"
    offsets: Int64[np.ndarray, "sentence_plus_one"]
    source: SourceLines | None = None

    @property
    def num_sentences(self) -> int:
        """Number of sentences.  O(1)."""
        return len(self.offsets) - 1

    @property
    def num_tokens(self) -> int:
        """Number of words over all sentences (roots, ranges and empty nodes are no words).  O(1)."""
        return int(self.offsets[-1])

    @property
    def lengths(self) -> Int64[np.ndarray, "sentence"]:
        """Words in each sentence.  O(sentences)."""
        return np.diff(self.offsets)

    @property
    def sentence_of_token(self) -> Int64[np.ndarray, "token"]:
        """Number (from 0) of the sentence each token stands in.  O(tokens)."""
        return np.repeat(np.arange(self.num_sentences, dtype=np.int64), self.lengths)

    def select(self, sentences: Int64[np.ndarray, "chosen"]) -> "Treebank":
        """The treebank of these sentences, in this order; repeats are allowed.

        Raises IndexError for a number outside 0..num_sentences-1.  O(tokens chosen).
        """
        sentences = np.asarray(sentences, dtype=np.int64)
        if sentences.size and not 0 <= sentences.min() <= sentences.max() < self.num_sentences:
            raise IndexError(f"sentence numbers must lie in 0..{self.num_sentences - 1}")
        tokens, offsets = _members(self.offsets, sentences)
        return Treebank(
            forms=[self.forms[i] for i in tokens],
            upos=[self.upos[i] for i in tokens],
            heads=self.heads[tokens],
            relations=[self.relations[i] for i in tokens],
            offsets=offsets,
            source=self.source and _select_lines(self.source, sentences, tokens, offsets),
        )

    def with_trees(self, heads: Int32[np.ndarray, "token"], relations: list[str]) -> "Treebank":
        """The same words under other trees, for example a parser's; every other column survives.

        Raises ValueError when there is not exactly one head and one relation a token.  O(tokens).
        """
        if len(heads) != self.num_tokens or len(relations) != self.num_tokens:
            raise ValueError(f"{len(heads)} heads and {len(relations)} relations for {self.num_tokens} tokens")
        return replace(self, heads=np.asarray(heads, dtype=np.int32), relations=list(relations))


def _members(
    offsets: Int64[np.ndarray, "group_plus_one"], chosen: Int64[np.ndarray, "chosen"]
) -> tuple[Int64[np.ndarray, "member"], Int64[np.ndarray, "chosen_plus_one"]]:
    """Indices of all members of the chosen groups, and the offsets of those groups in the result."""
    lengths = np.diff(offsets)[chosen]
    new_offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    shift = np.repeat(offsets[:-1][chosen] - new_offsets[:-1], lengths)
    return np.arange(new_offsets[-1], dtype=np.int64) + shift, new_offsets


def _select_lines(
    source: SourceLines,
    sentences: Int64[np.ndarray, "chosen"],
    tokens: Int64[np.ndarray, "token"],
    offsets: Int64[np.ndarray, "chosen_plus_one"],
) -> SourceLines:
    lines, line_offsets = _members(source.line_offsets, sentences)
    shift = np.repeat(line_offsets[:-1] - source.line_offsets[:-1][sentences], np.diff(offsets))
    return SourceLines([source.lines[i] for i in lines], line_offsets, source.line_of_token[tokens] + shift)
