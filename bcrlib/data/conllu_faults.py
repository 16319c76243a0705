"""The first fault of a CoNLL-U file, found line by line.

The reader accepts a file by a few array operations; this slower twin says what is wrong with one refused.
"""

import re
from collections.abc import Iterator, Sequence

NUM_COLUMNS = 10
COLUMN_NAMES = ("ID", "FORM", "LEMMA", "UPOS", "XPOS", "FEATS", "HEAD", "DEPREL", "DEPS", "MISC")
PLAIN_NUMBER = re.compile(r"0|[1-9][0-9]*")
RANGE_ID = re.compile(r"([1-9][0-9]*)-([1-9][0-9]*)")
HUGE_NUMBER, HUGE = re.compile(r"[0-9]{4000}"), "a number of thousands of digits"  # which int() refuses
EMPTY_NODE_ID = re.compile(r"(0|[1-9][0-9]*)\.([1-9][0-9]*)")

Fault = tuple[int, str]  # number of the line, from 1; what is wrong with it


def find_fault(lines: Sequence[str], trees: bool = True) -> Fault | None:
    """First faulty line (from 1) of a file and its fault, None for a valid file.

    lines: [line] without line ends.  The rules are those of CoNLL-U (Universal Dependencies, version 2), with
    several roots in a sentence allowed; without `trees`, HEAD and DEPREL are not looked at.  O(characters).
    """
    if not lines:
        return 1, "the file is empty; it must hold at least one sentence"
    first = 1
    for sentence in split_sentences(lines):
        if fault := sentence_fault(sentence, first, trees):
            return fault
        first += len(sentence) + 1
    if lines[-1]:
        return len(lines), "the file ends without the blank line that closes a sentence"
    return None


def split_sentences(lines: Sequence[str]) -> Iterator[Sequence[str]]:
    """Runs of lines between blank lines, the blank lines left out.  O(lines)."""
    start = 0
    for i, line in enumerate(lines):
        if not line:
            yield lines[start:i]
            start = i + 1
    if start < len(lines):
        yield lines[start:]


def sentence_fault(lines: Sequence[str], first: int, trees: bool = True) -> Fault | None:
    """First fault of one sentence, whose lines are numbered from `first`; or None.  O(characters)."""
    if not lines:
        return first, "blank line where a sentence should begin"
    rows = [(first + i, line) for i, line in enumerate(lines) if not line.startswith("#")]
    if comment := _misplaced_comment(lines, first, rows):
        return comment
    words = []
    expected = ExpectedIds()
    for number, line in rows:
        cells = line.split("\t")
        if fault := _columns_fault(cells) or expected.fault(cells[0]):
            return number, fault
        if PLAIN_NUMBER.fullmatch(cells[0]):
            if trees and (fault := _word_fault(cells)):
                return number, fault
            words.append((number, int(cells[6]) if trees else 0))
    if not words:
        return first, "a sentence without words"
    if expected.range_end > len(words):
        return rows[-1][0], f"a range ends at {expected.range_end}, the sentence at word {len(words)}"
    return _tree_fault([number for number, _ in words], [head for _, head in words])


def _misplaced_comment(lines: Sequence[str], first: int, rows: list[tuple[int, str]]) -> Fault | None:
    if not rows:
        return None
    for i in range(rows[0][0] - first, len(lines)):
        if lines[i].startswith("#"):
            return first + i, "comment inside a sentence; comments stand before its first word"
    return None


def _columns_fault(cells: list[str]) -> str | None:
    if len(cells) != NUM_COLUMNS:
        return f"{len(cells)} tab-separated columns, expected {NUM_COLUMNS}"
    if "" in cells:
        return f"empty {COLUMN_NAMES[cells.index('')]} column"
    return None


def _word_fault(cells: list[str]) -> str | None:
    if cells[7] == "_":
        return "no DEPREL ('_')"
    if cells[6].startswith("-") and PLAIN_NUMBER.fullmatch(cells[6][1:]):
        return f"HEAD {cells[6]} is out of range"
    if not PLAIN_NUMBER.fullmatch(cells[6]):
        return f"HEAD {cells[6]!r} is not an integer"
    return HUGE if HUGE_NUMBER.match(cells[6]) else None


class ExpectedIds:
    """What the ID column may hold next within one sentence."""

    def __init__(self) -> None:
        """Before the first line of a sentence."""
        self.word = 0  # number of the last word
        self.empty_node = 0  # number of the last empty node behind that word
        self.range_start = 0  # first and last word of the last range
        self.range_end = 0

    def fault(self, identifier: str) -> str | None:
        """The fault of the next ID, None after moving on past a right one.  O(1)."""
        if PLAIN_NUMBER.fullmatch(identifier):
            return self._word_fault(identifier)
        if HUGE_NUMBER.search(identifier):
            return HUGE
        if bounds := RANGE_ID.fullmatch(identifier):
            return self._range_fault(identifier, int(bounds[1]), int(bounds[2]))
        if parts := EMPTY_NODE_ID.fullmatch(identifier):
            return self._empty_node_fault(identifier, int(parts[1]), int(parts[2]))
        return f"ID {identifier!r} is neither a word number nor a range nor an empty node"

    def _word_fault(self, identifier: str) -> str | None:
        if identifier != str(self.word + 1):
            return f"word number {identifier}, expected {self.word + 1}"
        self.word += 1
        self.empty_node = 0
        return None

    def _range_fault(self, identifier: str, start: int, end: int) -> str | None:
        if end <= start:
            return f"range {identifier} does not ascend"
        if start != self.word + 1:
            return f"range {identifier} must stand directly before word {start}"
        if start <= self.range_end or start == self.range_start:
            return f"range {identifier} overlaps the range before it"
        self.range_start, self.range_end = start, end
        return None

    def _empty_node_fault(self, identifier: str, word: int, node: int) -> str | None:
        if word != self.word or node != self.empty_node + 1:
            return f"empty node {identifier}, expected {self.word}.{self.empty_node + 1}"
        if self.range_start > self.word:
            return f"empty node {identifier} stands between a range and its first word"
        self.empty_node = node
        return None


def _tree_fault(numbers: list[int], heads: list[int]) -> Fault | None:
    """Head out of range, or the first cycle; numbers are those of the words' lines."""
    for number, head in zip(numbers, heads):
        if head > len(heads):
            return number, f"HEAD {head} is out of range 0..{len(heads)}"
    if cycle := find_cycle(heads):
        return numbers[cycle[0] - 1], f"cycle of heads: {' -> '.join(map(str, [*cycle, cycle[0]]))}"
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
