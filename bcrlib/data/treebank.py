"""A treebank in columns, one entry a token, sentences as offsets into them; CoNLL-U in and out.

A valid file read and written again is the same, byte for byte.  The reader accepts one by a few array operations; a
slower twin, line by line, says what is wrong with one refused.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise

import numpy as np
from jaxtyping import Int32, Int64

from bcrlib.data.files import (
    CELL_MARGIN,
    FileError,
    FilePath,
    can_stand,
    cell_numbers,
    cells,
    decoded_rows,
    distinct_cells,
    find_rows,
    plain,
    read_input,
    write_whole,
)
from bcrlib.data.randomness import rows_of_part


@dataclass(frozen=True, eq=False)
class Source:
    """The bytes a treebank was read from, with a blank line behind every sentence: what gives the file back.

    They hold all that no parser looks at: comments, lemmas, XPOS, features, ranges, empty nodes.
    """

    content: bytes
    byte_offsets: Int64[np.ndarray, "sentence_plus_one"]
    line_offsets: Int64[np.ndarray, "sentence_plus_one"]
    """Where sentences begin; lines are counted from 0, with blank ones."""
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
    source: Source | None = None

    def __len__(self) -> int:
        """Number of sentences."""
        return len(self.offsets) - 1

    @property
    def num_sentences(self) -> int:
        return len(self)

    @property
    def num_tokens(self) -> int:
        """Number of words over all sentences (roots, ranges and empty nodes are no words).  O(1)."""
        return int(self.offsets[-1])

    @property
    def words(self) -> list[list[str]]:
        """The words of each sentence."""
        return [self.forms[start:end] for start, end in pairwise(self.offsets.tolist())]

    @property
    def lengths(self) -> Int64[np.ndarray, "sentence"]:
        """Words in each sentence.  O(sentences)."""
        return np.diff(self.offsets)

    @property
    def sentence_of_token(self) -> Int64[np.ndarray, "token"]:
        """Number (from 0) of the sentence each token stands in.  O(tokens)."""
        return np.repeat(np.arange(self.num_sentences, dtype=np.int64), self.lengths)

    def select(self, sentences: Int64[np.ndarray, "chosen"]) -> "Treebank":
        """The treebank of these sentences, in this order; repeats are allowed.  IndexError.  O(tokens chosen)."""
        sentences = np.asarray(sentences, dtype=np.int64)
        if sentences.size and not 0 <= sentences.min() <= sentences.max() < self.num_sentences:
            raise IndexError(f"sentence numbers must lie in 0..{self.num_sentences - 1}")
        tokens, offsets = _members(self.offsets, sentences)
        if source := self.source:
            _, line_offsets = _members(source.line_offsets, sentences)
            shift = np.repeat(line_offsets[:-1] - source.line_offsets[:-1][sentences], np.diff(offsets))
            begins, ends = source.byte_offsets[sentences].tolist(), source.byte_offsets[sentences + 1].tolist()
            texts = [source.content[begin:end] for begin, end in zip(begins, ends)]
            byte_offsets = np.concatenate([[0], np.cumsum([len(text) for text in texts], dtype=np.int64)])
            source = Source(b"".join(texts), byte_offsets, line_offsets, source.line_of_token[tokens] + shift)
        return Treebank(
            forms=[self.forms[i] for i in tokens],
            upos=[self.upos[i] for i in tokens],
            heads=self.heads[tokens],
            relations=[self.relations[i] for i in tokens],
            offsets=offsets,
            source=source,
        )

    def part(self, share: float, seed: int) -> "Treebank":
        """A share of the sentences, in their order (`rows_of_part`)."""
        return self.select(rows_of_part(len(self), share, seed))

    def with_trees(self, heads: Int32[np.ndarray, "token"], relations: list[str]) -> "Treebank":
        """The same words under other trees, one head and one relation a token (else ValueError).  O(tokens)."""
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


NUM_COLUMNS = 10
FORM, UPOS, HEAD, DEPREL = 1, 3, 6, 7  # columns
COLUMN_NAMES = ("ID", "FORM", "LEMMA", "UPOS", "XPOS", "FEATS", "HEAD", "DEPREL", "DEPS", "MISC")
PLAIN_NUMBER = re.compile(r"0|[1-9][0-9]*")
RANGE_ID = re.compile(r"([1-9][0-9]*)-([1-9][0-9]*)")
HUGE_NUMBER, HUGE = re.compile(r"[0-9]{4000}"), "a number of thousands of digits"  # which int() refuses
EMPTY_NODE_ID = re.compile(r"(0|[1-9][0-9]*)\.([1-9][0-9]*)")
PART = 2_000_000  # bytes of a file that are looked at together

Fault = tuple[int, str]  # number of the line, from 1; what is wrong with it


def find_fault(lines: Sequence[str], trees: bool = True) -> Fault | None:
    """First faulty line (from 1) of a file and its fault, None for a valid file; its last sentence needs no blank line.

    lines: [line] without line ends.  The rules are those of CoNLL-U (Universal Dependencies, version 2), with
    several roots in a sentence allowed; without `trees`, HEAD and DEPREL are not looked at.  O(characters).
    """
    if not lines:
        return 1, "the file is empty; it must hold at least one sentence"
    first = 1
    for number, line in enumerate(lines, 1):
        if not line:
            if fault := sentence_fault(lines[first - 1 : number - 1], first, trees):
                return fault
            first = number + 1
    return sentence_fault(lines[first - 1 :], first, trees) if first <= len(lines) else None


def sentence_fault(lines: Sequence[str], first: int, trees: bool = True) -> Fault | None:
    """First fault of one sentence, whose lines are numbered from `first`; or None.  O(characters)."""
    if not lines:
        return first, "blank line where a sentence should begin"
    if spaces := [number for number, line in enumerate(lines, first) if line.isspace()]:
        return spaces[0], "white space where an empty line should be"
    rows = [(number, line) for number, line in enumerate(lines, first) if not line.startswith("#")]
    for number, line in enumerate(lines, first):
        if rows and number > rows[0][0] and line.startswith("#"):
            return number, "comment inside a sentence; comments stand before its first word"
    numbers, heads, expected = [], [], ExpectedIds()
    for number, line in rows:
        cells = line.split("\t")
        if fault := _columns_fault(cells) or expected.fault(cells[0]):
            return number, fault
        if PLAIN_NUMBER.fullmatch(cells[0]):
            if trees and (fault := _word_fault(cells)):
                return number, fault
            numbers.append(number)
            heads.append(int(cells[HEAD]) if trees else 0)
    if not numbers:
        return first, "a sentence without words"
    if expected.range_end > len(numbers):
        return rows[-1][0], f"a range ends at {expected.range_end}, the sentence at word {len(numbers)}"
    for number, head in zip(numbers, heads):
        if head > len(heads):
            return number, f"HEAD {head} is out of range 0..{len(heads)}"
    if cycle := find_cycle(heads):
        return numbers[cycle[0] - 1], f"cycle of heads: {' -> '.join(map(str, [*cycle, cycle[0]]))}"
    return None


def _columns_fault(cells: list[str]) -> str | None:
    if len(cells) == 1 and len(cells[0].split()) == NUM_COLUMNS:
        return "spaces stand where tabs should"
    if len(cells) != NUM_COLUMNS:
        return f"{len(cells)} tab-separated columns, expected {NUM_COLUMNS}"
    if "" in cells:
        return f"empty {COLUMN_NAMES[cells.index('')]} column"
    return None


def _word_fault(cells: list[str]) -> str | None:
    head = cells[HEAD]
    if cells[DEPREL] == "_":
        return "no DEPREL ('_')"
    if head.startswith("-") and PLAIN_NUMBER.fullmatch(head[1:]):
        return f"HEAD {head} is out of range"
    if not PLAIN_NUMBER.fullmatch(head):
        return "no HEAD ('_')" if head == "_" else f"HEAD {head!r} is not an integer"
    return HUGE if HUGE_NUMBER.match(head) else None


@dataclass
class ExpectedIds:
    """What the ID column may hold next within one sentence."""

    word: int = 0  # number of the last word
    empty_node: int = 0  # number of the last empty node behind that word
    range_start: int = 0  # first and last word of the last range
    range_end: int = 0

    def fault(self, identifier: str) -> str | None:
        """The fault of the next ID, None after moving on past a right one.  O(1)."""
        if PLAIN_NUMBER.fullmatch(identifier):
            if identifier != str(self.word + 1):
                return f"word number {identifier}, expected {self.word + 1}"
            self.word, self.empty_node = self.word + 1, 0
        elif HUGE_NUMBER.search(identifier):
            return HUGE
        elif bounds := RANGE_ID.fullmatch(identifier):
            start, end = map(int, bounds.groups())
            if end <= start:
                return f"range {identifier} does not ascend"
            if start != self.word + 1:
                return f"range {identifier} must stand directly before word {start}"
            if start <= self.range_end or start == self.range_start:
                return f"range {identifier} overlaps the range before it"
            self.range_start, self.range_end = start, end
        elif parts := EMPTY_NODE_ID.fullmatch(identifier):
            word, node = map(int, parts.groups())
            if word != self.word or node != self.empty_node + 1:
                return f"empty node {identifier}, expected {self.word}.{self.empty_node + 1}"
            if self.range_start > self.word:
                return f"empty node {identifier} stands between a range and its first word"
            self.empty_node = node
        else:
            return f"ID {identifier!r} is neither a word number nor a range nor an empty node"
        return None


def find_cycle(heads: Sequence[int]) -> list[int] | None:
    """The words (from 1) of a cycle in the order dependent, head, head's head, ..., from its lowest; or None.

    heads: [word], 0 = root.  Of several cycles, the one first reached from the left.  O(words).
    """
    seen = [0] * (len(heads) + 1)  # the walk that came through the word
    for start in range(1, len(heads) + 1):
        word = start
        while word and not seen[word]:
            seen[word] = start
            word = heads[word - 1]
        if word and seen[word] == start:
            cycle = [word]
            while (word := heads[word - 1]) != cycle[0]:
                cycle.append(word)
            lowest = cycle.index(min(cycle))
            return cycle[lowest:] + cycle[:lowest]
    return None


class ConlluError(FileError):
    """A file that is not CoNLL-U."""


def read_conllu(path: FilePath, trees: bool = True) -> Treebank:
    """Read one CoNLL-U file, see parse_conllu.  ConlluError, OSError.  O(bytes), 100 MB a second."""
    return parse_conllu((file := read_input(path)).content, file.name, trees)


def parse_conllu(content: bytes, name: str, trees: bool = True) -> Treebank:
    """The treebank in the bytes of a CoNLL-U file; `name` stands for the file in errors.

    Accepted are several roots in a sentence, since parsers without the single-root constraint write them, an
    unspecified UPOS ("_"), CRLF, a byte order mark and any number of blank lines at the end.  Raises ConlluError naming
    the first faulty line otherwise: bad UTF-8, no sentence, a missing blank line between sentences, a missing column or
    value, wrong numbering, a head out of range, a cycle.  Without `trees` the file is text to be parsed: HEAD and
    DEPREL may hold anything, and heads are 0 and relations "_" until `with_trees` gives it some.  O(bytes).
    """
    content = plain(content)
    if not content.endswith(b"\n\n") or content.endswith(b"\n\n\n"):  # else it need not be copied
        content = content.rstrip(b"\n") + b"\n\n"
    parts: list[Treebank] = []
    start = 0
    while start < len(content):  # for arrays that the processor's cache holds
        end = content.find(b"\n\n", start + PART) + 2
        end = end if end > 1 else len(content)
        if (part := _parse_valid(content[start:end], trees)) is None:
            break
        parts.append(part)
        start = end
    else:
        return _joined(parts, content)
    text = decoded_rows(content if content.strip(b"\n") else b"", name, ConlluError, "line")
    fault = find_fault(text.split("\n")[:-1], trees)  # without what stands behind the last line end
    assert fault, "refused by the fast reader, yet without a fault"
    raise ConlluError(name, *fault)


def _joined(parts: Sequence[Treebank], content: bytes) -> Treebank:
    """The treebank whose parts these are; content: all bytes of its file."""
    names, sources = ("forms", "upos", "relations"), [part.source for part in parts]
    columns = {name: list(chain.from_iterable(getattr(part, name) for part in parts)) for name in names}
    heads = np.concatenate([part.heads for part in parts])
    begins = np.cumsum([0, *(source.line_offsets[-1] for source in sources)])
    line_of_token = np.concatenate([source.line_of_token + begin for source, begin in zip(sources, begins)])
    of_parts = zip(*((part.offsets, part.source.byte_offsets, part.source.line_offsets) for part in parts))
    offsets, *of_source = (np.cumsum(np.concatenate([[0], *map(np.diff, each)])) for each in of_parts)
    return Treebank(heads=heads, offsets=offsets, source=Source(content, *of_source, line_of_token), **columns)


def _parse_valid(content: bytes, trees: bool) -> Treebank | None:
    """The treebank in a part of a file, or None where anything is wrong."""
    if b"\r" in content or b"\0" in content[:4]:
        return None
    try:
        content.isascii() or content.decode()
    except UnicodeDecodeError:
        return None
    padded = content + bytes(CELL_MARGIN)
    buffer = np.frombuffer(padded, np.uint8, len(content))
    layout = find_rows(buffer, NUM_COLUMNS)
    if layout is None:
        return None
    rows, starts, tabs, sentence_of_row, line_offsets, byte_offsets = layout
    numbers = cell_numbers(buffer, starts, tabs[:, 0])
    words = numbers > 0
    if not words.all():
        for sentence in np.unique(sentence_of_row[~words]):  # those with ranges or empty nodes: few
            lines = content[byte_offsets[sentence] : byte_offsets[sentence + 1] - 2].decode().split("\n")
            if sentence_fault(lines, 1, trees):
                return None
        rows, tabs, numbers, sentence_of_row = rows[words], tabs[words], numbers[words], sentence_of_row[words]
    offsets = np.cumsum(np.bincount(sentence_of_row + 1, minlength=len(line_offsets)))
    if not np.array_equal(numbers, _numbers_in_sentence(offsets)):
        return None
    bounds = {column: (tabs[:, column - 1] + 1, tabs[:, column]) for column in (FORM, UPOS, HEAD, DEPREL)}
    strings = cells if len(content) < PART else distinct_cells  # for a short file pandas would take longer to load
    heads, relations = np.zeros(len(rows), np.int32), ["_"] * len(rows)
    if trees:
        heads, relations = cell_numbers(buffer, *bounds[HEAD]), strings(padded, *bounds[DEPREL])
        if "_" in relations or not _are_trees(heads, offsets):
            return None
    forms, upos = (strings(padded, *bounds[column]) for column in (FORM, UPOS))
    return Treebank(forms, upos, heads, relations, offsets, Source(b"", byte_offsets, line_offsets, rows))


def _numbers_in_sentence(offsets: Int64[np.ndarray, "sentence_plus_one"]) -> Int64[np.ndarray, "token"]:
    return np.arange(offsets[-1]) - np.repeat(offsets[:-1], np.diff(offsets)) + 1


def _are_trees(heads: Int32[np.ndarray, "token"], offsets: Int64[np.ndarray, "sentence_plus_one"]) -> bool:
    """Whether all heads are within their sentence and lead to a root.  O(tokens log(longest sentence))."""
    lengths = np.diff(offsets)
    if (heads < 0).any() or (heads > np.repeat(lengths, lengths)).any():
        return False
    top = len(heads)  # stands for every root's head and is its own head
    ancestor = np.append(np.where(heads > 0, heads + np.repeat(offsets[:-1], lengths) - 1, top), top)
    for _ in range(int(lengths.max()).bit_length()):  # doubles the height climbed: 2, 4, ... > longest
        ancestor = ancestor[ancestor]
    return bool((ancestor == top).all())


def write_conllu(treebank: Treebank, path: FilePath) -> None:
    """Write a CoNLL-U file at once or not at all.  ValueError as format_conllu, OSError.  O(bytes)."""
    write_whole(path, format_conllu(treebank))


def format_conllu(treebank: Treebank) -> str:
    """The text of a treebank's CoNLL-U file.

    Forms, UPOS, heads and relations are the treebank's; all else is as it was read, or "_" for a treebank not
    read from a file.  Raises ValueError for a cell that would break the format.  O(bytes).
    """
    for column in (treebank.forms, treebank.upos, treebank.relations):
        for cell in set(column):
            if not can_stand(cell):
                raise ValueError(f"{cell!r} cannot stand in a column of CoNLL-U")
    if source := treebank.source:
        lines, line_of_token = source.content.decode().split("\n"), source.line_of_token
    else:
        blank = "\t_" * (NUM_COLUMNS - 1)
        lines = [f"{i}{blank}" if i else "" for length in treebank.lengths for i in (*range(1, length + 1), 0)] + [""]
        line_of_token = np.arange(treebank.num_tokens) + treebank.sentence_of_token
    for token, line in enumerate(line_of_token.tolist()):
        cells = lines[line].split("\t")
        cells[FORM], cells[UPOS] = treebank.forms[token], treebank.upos[token]
        cells[HEAD], cells[DEPREL] = str(treebank.heads[token]), treebank.relations[token]
        lines[line] = "\t".join(cells)
    return "\n".join(lines)
