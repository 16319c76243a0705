"""From strings to numbers: the alphabets of a parser and a treebank in its numbers."""

from collections import Counter
from dataclasses import asdict, dataclass
from functools import cached_property

from bcrlib.data.treebank import Treebank

UNKNOWN, ROOT = 0, 1
NUM_SPECIAL = 2
MAX_CHARS = 45
_DIGITS = str.maketrans("0123456789", "0" * 10)


@dataclass(frozen=True)
class Vocabulary:
    """Alphabets learned from training data; each starts with the unknown symbol and that of the artificial root.

    Words are forms with digits written as 0. Word types seen once (`singletons`) keep an identity of their own;
    whether they are used as such is decided where a parser meets them (Preset.unk_policy).
    """

    words: tuple[str, ...]
    singletons: tuple[str, ...]
    chars: tuple[str, ...]
    upos: tuple[str, ...]
    relations: tuple[str, ...]

    @cached_property
    def word_ids(self) -> dict[str, int]:
        return {word: i for i, word in enumerate(self.words, start=NUM_SPECIAL)}

    @cached_property
    def char_ids(self) -> dict[str, int]:
        return {char: i for i, char in enumerate(self.chars, start=NUM_SPECIAL)}

    @cached_property
    def upos_ids(self) -> dict[str, int]:
        return {tag: i for i, tag in enumerate(self.upos, start=NUM_SPECIAL)}

    @cached_property
    def relation_ids(self) -> dict[str, int]:
        """Relations have no special symbols: a parser predicts only what it has seen."""
        return {relation: i for i, relation in enumerate(self.relations)}

    def to_json(self) -> dict:
        return {name: list(symbols) for name, symbols in asdict(self).items()}

    @classmethod
    def from_json(cls, content: dict) -> "Vocabulary":
        return cls(**{name: tuple(symbols) for name, symbols in content.items()})


def normalise(form: str) -> str:
    """The form as a word of the vocabulary: every digit becomes 0."""
    return form.translate(_DIGITS)


def build_vocabulary(train: Treebank) -> Vocabulary:
    """Alphabets of a training treebank: words by decreasing count, all else in order of first sight. O(tokens)."""
    counts = Counter(map(normalise, train.forms))
    chars = dict.fromkeys(char for form in dict.fromkeys(train.forms) for char in form)
    return Vocabulary(
        words=tuple(word for word, _ in counts.most_common()),
        singletons=tuple(word for word, count in counts.items() if count == 1),
        chars=tuple(chars),
        upos=tuple(dict.fromkeys(train.upos)),
        relations=tuple(dict.fromkeys(train.relations)),
    )
