"""The language of the embedded treebank: its rules, its words with their frequencies, and the hidden tastes of words.

The rules and the words themselves stand in language.yaml, with the notation explained. Every open-class word has a
hidden vector z: the centre of its meaning class plus something of its own, so that words of a class behave alike, but
not quite. How gladly head h takes dependent d through link l ("with", "because", the relation of a compound, ...) is
bilinear,

    taste(h, l, d) = z_h . (b_l + W_l z_d) + shared_tastes[l][h],

a preference of the head and one of the pair; a parser sees only the words and has to learn it from arcs.
The language is one and the same for every treebank: it hangs on LANGUAGE_SEED, never on a sample's seed.
"""

import re
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from pathlib import Path

import numpy as np
import yaml
from jaxtyping import Float64

LANGUAGE = yaml.safe_load(Path(__file__).with_name("language.yaml").read_text(encoding="utf-8"))

# The dials of the language, all of them. The dial of a treebank is `ambiguity` (trees.py).
LANGUAGE_SEED = 2022
ZIPF_EXPONENT = 1.6  # of the frequencies within a meaning class
ZIPF_SHIFT = 2.0  # Mandelbrot's: flattens the head of the curve
TAIL_PER_STEM = 1.5  # rare prefixed words for each common one
HIDDEN_SIZE = 3  # of the vectors z; larger is harder to learn
CLASS_SPREAD = 0.6  # of the classes about the middle of their part of speech
WORD_SPREAD = 0.2  # of a word about the centre of its class; larger makes rare words harder
PREFIX_SPREAD = 0.2  # of a prefixed word about its stem
HEAD_TASTE = 2.0  # size of b: what a head likes whatever the dependent
PAIR_TASTE = 0.5  # size of W: what only the pair of words decides


@dataclass(frozen=True)
class Item:
    """One item of a rule: how it hangs ("^", "~", "%" or a relation) and the symbol, see language.yaml."""

    how: str
    name: str
    form: str | None
    role: str | None
    island: bool
    chance: float


@dataclass(frozen=True)
class Rules:
    """The rules of one symbol and the running sum of their probabilities."""

    bodies: list[tuple[Item, ...]]
    cumulative: list[float]


def parse_rules(grammar: str) -> dict[str, Rules]:
    """The rules of each symbol from the notation of language.yaml; ValueError if unreadable. O(text)."""
    rules = {}
    for block in grammar.strip().split("\n\n"):
        name, *lines = block.splitlines()
        weights = [float(line.split()[0]) for line in lines]
        bodies = [tuple(_parse_item(text) for text in line.split()[1:]) for line in lines]
        if any([item.how for item in body].count("^") != 1 for body in bodies):
            raise ValueError(f"a rule of {name} has not exactly one head")
        rules[name] = Rules(bodies, [total / sum(weights) for total in accumulate(weights)])
    return rules


def _parse_item(text: str) -> Item:
    match = re.fullmatch(r"(\^|~|%|[a-z:]+:)([A-Z_]+)(?:\.([a-z]+|=))?(?:/(\w+))?(!)?(?:\?([\d.]+))?", text)
    if match is None:
        raise ValueError(f"cannot read the item {text!r}")
    how, name, form, role, island, chance = match.groups()
    return Item(how.rstrip(":"), name, form, role, island is not None, float(chance or 1))


def _closed_words(entries: str) -> tuple[list[str], list[float]]:
    words, weights = zip(*(entry.split(":") for entry in entries.split()))
    total = sum(map(int, weights))
    return list(words), [running / total for running in accumulate(map(int, weights))]


RULES = parse_rules(LANGUAGE["grammar"])
CLOSED_WORDS = {name: (upos, *_closed_words(entries)) for name, (upos, entries) in LANGUAGE["closed"].items()}


@dataclass(frozen=True)
class Word:
    """One entry: its forms ("" is the citation form), UPOS, class, and stem if it has a prefix."""

    forms: dict[str, str]
    upos: str
    meaning: str
    stem: int | None = None


@dataclass(frozen=True)
class Shelf:
    """Words one may draw from: entry numbers and the running sum of their probabilities."""

    words: list[int]
    cumulative: list[float]


@dataclass(frozen=True, eq=False)
class Lexicon:
    """All words, their hidden vectors (row -1: zeros, for words without taste) and the tastes of links."""

    words: list[Word]
    shelves: dict[str, Shelf]  # by meaning class and by role
    vectors: Float64[np.ndarray, "word hidden"]
    link_bias: dict[str, Float64[np.ndarray, "hidden"]]
    link_pair: dict[str, Float64[np.ndarray, "hidden hidden"]]

    def tastes(self, heads: list[int], link: str, dependent: int) -> Float64[np.ndarray, "head"]:
        """taste(h, link, dependent) for each of the heads (entry numbers; -1 = without taste).  O(heads)."""
        wish = self.link_bias[link] + self.link_pair[link] @ self.vectors[dependent]
        return self.vectors[heads] @ wish + [self._shared_taste(link, head) for head in heads]

    def _shared_taste(self, link: str, head: int) -> float:
        if head < 0:
            return 0.0
        word = self.words[head]
        shared = LANGUAGE["shared_tastes"].get(link, {})
        return shared.get(word.upos, 0.0) + shared.get(word.meaning, 0.0)


@cache
def build_lexicon() -> Lexicon:
    """The lexicon of the embedded treebank, the same at every call.  Milliseconds; cached."""
    rng = np.random.default_rng(LANGUAGE_SEED)
    words = _all_words(rng)
    closed = {word for _, forms, _ in CLOSED_WORDS.values() for word in forms}
    links = sorted({entry["link"] for entry in LANGUAGE["attachments"].values() if "link" in entry} | closed)
    return Lexicon(
        words=words,
        shelves=_shelves(words),
        vectors=_hidden_vectors(words, rng),
        link_bias={link: HEAD_TASTE * rng.standard_normal(HIDDEN_SIZE) for link in links},
        link_pair={link: PAIR_TASTE * rng.standard_normal((HIDDEN_SIZE,) * 2) / HIDDEN_SIZE**0.5 for link in links},
    )


def inflect(entry: str, upos: str) -> dict[str, str]:
    """The forms of a word-list entry by the grammar's names for them; the entry itself gives exceptions.

    >>> inflect("party", "NOUN")
    {'': 'party', 'sg': 'party', 'pl': 'parties'}
    >>> inflect("see/saw/seen", "VERB")
    {'': 'see', 'base': 'see', 'past': 'saw', 'participle': 'seen'}
    """
    base, *exceptions = entry.split("/")
    if upos == "NOUN":
        return {"": base, "sg": base, "pl": exceptions[0] if exceptions else _plural(base)}
    if upos == "VERB":
        past, participle = exceptions or [_past(base)] * 2
        return {"": base, "base": base, "past": past, "participle": participle}
    return {"": base}


def _plural(noun: str) -> str:
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun + "es"
    return noun[:-1] + "ies" if _ends_in_consonant_y(noun) else noun + "s"


def _past(verb: str) -> str:
    if verb.endswith("e"):
        return verb + "d"
    return verb[:-1] + "ied" if _ends_in_consonant_y(verb) else verb + "ed"


def _ends_in_consonant_y(word: str) -> bool:
    return word.endswith("y") and word[-2] not in "aeiou"


def _all_words(rng: np.random.Generator) -> list[Word]:
    words: list[Word] = []
    for upos, classes in LANGUAGE["words"].items():
        for meaning, entries in classes.items():
            first = len(words)
            words += [Word(inflect(entry, upos), upos, meaning) for entry in entries.split()]
            if upos != "ADV" or meaning == "how":  # other adverbs have no long tail
                words += _prefixed(words, range(first, len(words)), rng)
    return words + _names(rng)


def _prefixed(words: list[Word], stems: range, rng: np.random.Generator) -> list[Word]:
    prefixes = LANGUAGE["prefixes"][words[stems[0]].upos].split()
    pairs = [(prefix, stem) for prefix in prefixes for stem in stems]
    found = []
    for i in rng.permutation(len(pairs))[: round(TAIL_PER_STEM * len(stems))]:
        prefix, stem = pairs[i]
        forms = {name: prefix + form for name, form in words[stem].forms.items()}
        found.append(Word(forms, words[stem].upos, words[stem].meaning, stem))
    return found


def _names(rng: np.random.Generator) -> list[Word]:
    names = [begin + end for begin in LANGUAGE["name_beginnings"].split() for end in LANGUAGE["name_endings"].split()]
    return [Word({"": names[i]}, "PROPN", "name") for i in rng.permutation(len(names))]


def _shelves(words: list[Word]) -> dict[str, Shelf]:
    members: dict[str, list[int]] = {}
    for number, word in enumerate(words):
        members.setdefault(word.meaning, []).append(number)
    mixtures = {meaning: {meaning: 1} for meaning in members} | LANGUAGE["roles"]
    return {name: _shelf(mixture, members) for name, mixture in mixtures.items()}


def _shelf(mixture: dict[str, int], members: dict[str, list[int]]) -> Shelf:
    """Zipf-Mandelbrot within each class: p(rank) ~ (rank + shift) ** -exponent, rank from 1 in list order."""
    numbers, probabilities = [], []
    for meaning, weight in mixture.items():
        ranks = range(1, len(members[meaning]) + 1)
        shares = [(rank + ZIPF_SHIFT) ** -ZIPF_EXPONENT for rank in ranks]
        numbers += members[meaning]
        probabilities += [weight * share / sum(shares) for share in shares]
    total = sum(probabilities)
    return Shelf(numbers, list(accumulate(probability / total for probability in probabilities)))


def _hidden_vectors(words: list[Word], rng: np.random.Generator) -> Float64[np.ndarray, "word hidden"]:
    centres: dict[str, np.ndarray] = {}
    for upos in sorted({word.upos for word in words}):
        middle = rng.standard_normal(HIDDEN_SIZE)
        for meaning in sorted({word.meaning for word in words if word.upos == upos}):
            centres[meaning] = middle + CLASS_SPREAD * rng.standard_normal(HIDDEN_SIZE)
    vectors = np.zeros((len(words) + 1, HIDDEN_SIZE))
    for number, word in enumerate(words):
        own = rng.standard_normal(HIDDEN_SIZE)
        if word.stem is None:
            vectors[number] = centres[word.meaning] + WORD_SPREAD * own
        else:
            vectors[number] = vectors[word.stem] + PREFIX_SPREAD * own
    return vectors
