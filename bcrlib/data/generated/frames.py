"""The embedded utterances: what people ask about ways and events, with its frames, from our own grammar, for demos.

How an utterance comes about: the rules of frames.yaml are expanded from left to right into words. Then the words are
annotated. In some places they leave the annotation open: in "directions to the concert tonight" the concert or the
journey may be tonight's; "Blue Lantern" may be a place or an event; "how far" may ask for miles or minutes. There the
words next to the place decide, by their hidden likings (`liking`), except that with probability `ambiguity` a blind
draw overrules them. Last, a few words are mistyped. Hence

* the words of a corpus do not depend on `ambiguity`, only its frames do;
* at 0 the words determine the frame, though a parser has to learn the likings of the words to know it: no two equal
  utterances differ in their frames, mistyped or not;
* at 1 the words of an open place say nothing about its annotation.
"""

import re
from bisect import bisect
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate
from pathlib import Path
from random import Random

import yaml

from bcrlib.data.frames import FrameBank, Node
from bcrlib.data.generated.language import inflect
from bcrlib.data.randomness import key

LANGUAGE = yaml.safe_load(Path(__file__).with_name("frames.yaml").read_text(encoding="utf-8"))

# The dials of the corpus, all of them.
DEFAULT_AMBIGUITY = 0.2
DEMO_SIZES = {"train": 1500, "dev": 300, "test": 500}
WORDS_ALLOWED = range(4, 17)
TYPO_RATE = 0.02  # of the words that can be mistyped
SHORTEST_MISTYPED = 4  # letters
NEARNESS = 0.2  # liking won by each frame further inside, or later reading

# The dials of the language, which is one and the same for every corpus.
LANGUAGE_SEED = 2022
ZIPF_EXPONENT = 1.1  # of the frequencies of a symbol's words
ZIPF_SHIFT = 2.0  # Mandelbrot's: flattens the head of the curve


@dataclass(frozen=True)
class Item:
    """One item of a rule, see frames.yaml: a symbol or, where no symbol has that name, a word."""

    name: str
    floats: bool = False
    chance: float = 1.0


@dataclass(frozen=True)
class Rule:
    """The items of a rule and its readings: the pieces "[IN:X", "]" and, where the next item stands, ""."""

    items: tuple[Item, ...]
    readings: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Rules:
    """The rules of one symbol and the running sum of their probabilities."""

    bodies: list[Rule]
    cumulative: list[float]


@dataclass(frozen=True)
class Derivation:
    """A rule with what became of each of its items: a word, a derivation, or None where it was left out."""

    rule: Rule
    parts: tuple["Derivation | str | None", ...]

    def words(self) -> list[str]:
        """The words from left to right.  O(words)."""
        parts = [part for part in self.parts if part is not None]
        return [word for part in parts for word in ([part] if isinstance(part, str) else part.words())]


def generate_frames(num_utterances: int, seed: int, ambiguity: float = DEFAULT_AMBIGUITY) -> FrameBank:
    """Utterances of the embedded grammar with their frames; utterance i is the same whatever `num_utterances` is.

    `ambiguity` in [0, 1] is the share of open places where chance, not the words, decides the annotation: at 0 the
    words determine every frame, at 1 they say nothing. The words themselves do not depend on it. Raises ValueError
    for an ambiguity outside [0, 1]. O(words); thousands of utterances a second.
    """
    if not 0 <= ambiguity <= 1:
        raise ValueError(f"ambiguity must lie in [0, 1], not {ambiguity}")
    utterances, frames = [], []
    for i in range(num_utterances):
        draw, noise = Random(key(seed, "words", i)), Random(key(seed, "annotation", i))
        derivation = _derive_utterance(draw)
        utterances.append(_spell(derivation.words(), draw))
        frames.append(_freeze(_Annotation(derivation, noise, ambiguity).root, utterances[-1]))
    return FrameBank(tuple(utterances), tuple(frames))


def demo_frames(
    ambiguity: float = DEFAULT_AMBIGUITY,
    seed: int = 0,
    sizes: Mapping[str, int] = DEMO_SIZES,
) -> dict[str, FrameBank]:
    """Independent corpora of `sizes[split]` utterances by split name; see `generate_frames`.  O(words).

    A split depends on the seed and its name, not on how many utterances the others have.
    """
    return {split: generate_frames(size, key(seed, split), ambiguity) for split, size in sizes.items()}


def parse_rules(grammar: str) -> dict[str, Rules]:
    """The rules of each symbol from the notation of frames.yaml; ValueError if unreadable.  O(text)."""
    rules = {}
    for block in grammar.strip().split("\n\n"):
        name, *lines = block.splitlines()
        weights, bodies = zip(*(line.split(maxsplit=1) for line in lines))
        rules[name] = _weighted([_parse_rule(body) for body in bodies], list(map(float, weights)))
    return rules


def _parse_rule(body: str) -> Rule:
    readings = [reading.split() for reading in body.split(" | ")]
    yields = [[piece for piece in reading if not _is_bracket(piece)] for reading in readings]
    if any(other != yields[0] for other in yields):
        raise ValueError(f"the readings of {body!r} have not the same words")
    pieces = [tuple(piece if _is_bracket(piece) else "" for piece in reading) for reading in readings]
    return Rule(tuple(map(_parse_item, yields[0])), tuple(pieces))


def _is_bracket(piece: str) -> bool:
    return piece[0] in "[]"


def _parse_item(text: str) -> Item:
    match = re.fullmatch(r"(~?)([\w']+)(?:\?(0\.\d+))?", text)
    if match is None:
        raise ValueError(f"cannot read the item {text!r}")
    return Item(match[2], match[1] == "~", float(match[3] or 1))


def _weighted(bodies: list[Rule], weights: list[float]) -> Rules:
    return Rules(bodies, [total / sum(weights) for total in accumulate(weights)])


def _word_rules(entries: list[str]) -> Rules:
    """Zipf-Mandelbrot: p(rank) ~ (rank + shift) ** -exponent, rank from 1 in list order."""
    bodies = [Rule(tuple(map(Item, entry.split())), (("",) * len(entry.split()),)) for entry in entries]
    return _weighted(bodies, [(rank + ZIPF_SHIFT) ** -ZIPF_EXPONENT for rank in range(1, len(entries) + 1)])


def _names(beginnings: str, endings: str) -> list[str]:
    names = [begin + end for begin in beginnings.split() for end in endings.split()]
    return sorted(names, key=lambda name: key(LANGUAGE_SEED, name))


WORDS = {symbol: entries.split(", ") for symbol, entries in LANGUAGE["words"].items()}
WORDS["OCCASIONS"] = [inflect(occasion, "NOUN")["pl"] for occasion in WORDS["OCCASION"]]
NAMES = {symbol: _names(**parts) for symbol, parts in LANGUAGE["names"].items()}
RULES = parse_rules(LANGUAGE["grammar"]) | {symbol: _word_rules(entries) for symbol, entries in (WORDS | NAMES).items()}
FLOATING = {  # symbol -> intent -> its slot
    symbol: {intent: slot for slot, intents in slots.items() for intent in intents}
    for symbol, slots in LANGUAGE["floating"].items()
}


def _derive_utterance(draw: Random) -> Derivation:
    while True:
        derivation = _derive("UTTERANCE", draw)
        if len(derivation.words()) in WORDS_ALLOWED:
            return derivation


def _derive(symbol: str, draw: Random) -> Derivation:
    rules = RULES[symbol]
    rule = rules.bodies[bisect(rules.cumulative, draw.random())]
    return Derivation(rule, tuple(_derive_item(item, draw) for item in rule.items))


def _derive_item(item: Item, draw: Random) -> Derivation | str | None:
    if item.chance < 1 and draw.random() >= item.chance:
        return None
    return _derive(item.name, draw) if item.name in RULES else item.name


@cache
def liking(word: str, option: str) -> float:
    """How much a word likes a frame (an intent) or a reading (its brackets), in [0, 1] and a shared bonus.  O(1)."""
    return key(LANGUAGE_SEED, word, option) / 2**63 + LANGUAGE["shared_likings"].get(word, {}).get(option, 0.0)


@dataclass
class _Growing:
    """A node that may still get children; words by their place in the utterance."""

    label: str
    children: list["_Growing | int"] = field(default_factory=list)


class _Annotation:
    """The frame of one derivation as it grows, under a nameless root."""

    def __init__(self, derivation: Derivation, noise: Random, ambiguity: float) -> None:
        self.noise, self.ambiguity = noise, ambiguity
        self.words: list[str] = []
        self.root = _Growing("")
        self.open = [self.root]  # from the outside in
        self.grow(derivation)

    def grow(self, derivation: Derivation, slot: str = "") -> None:
        """Add a derivation at the end; `slot` stands for the label "*"."""
        parts = zip(derivation.rule.items, derivation.parts)
        for piece in self.choose_reading(derivation):
            if piece == "]":
                self.open.pop()
            elif piece:
                self.begin(slot if piece == "[*" else piece[1:])
            else:
                self.add(*next(parts))

    def choose_reading(self, derivation: Derivation) -> tuple[str, ...]:
        """The pieces of one reading of the rule; its last word, then its first, say which."""
        readings = derivation.rule.readings
        if len(readings) == 1:
            return readings[0]
        words = derivation.words()
        return readings[self.decide([" ".join(reading) for reading in readings], words[-1], words[0])]

    def begin(self, label: str) -> None:
        node = _Growing(label)
        self.open[-1].children.append(node)
        self.open.append(node)

    def add(self, item: Item, part: Derivation | str | None) -> None:
        if isinstance(part, str):
            self.open[-1].children.append(len(self.words))
            self.words.append(part)
        elif part and item.floats:
            self.attach(part, FLOATING[item.name])
        elif part:
            self.grow(part)

    def attach(self, phrase: Derivation, slots: Mapping[str, str]) -> None:
        """Add a floating phrase to one of the frames that the last word belongs to."""
        hosts = [node for node in self.frontier() if node.label in slots]
        words = phrase.words()
        host = hosts[self.decide([node.label for node in hosts], words[0], words[-1], self.words[-1])]
        self.open.append(host)
        self.grow(phrase, slots[host.label])
        self.open.pop()

    def frontier(self) -> Iterator[_Growing]:
        """The nodes that end with the last word, from the outside in."""
        node = self.root
        while isinstance(node, _Growing):
            yield node
            node = node.children[-1] if node.children else None

    def decide(self, options: list[str], *words: str) -> int:
        """Number of the option, of those given from the outside in, that the words like best or chance draws.

        Each word counts half as much as the one before.
        """
        blind, which = self.noise.random() < self.ambiguity, self.noise.random()
        if blind:
            return int(which * len(options))
        likings = [sum(liking(word, option) / 2**i for i, word in enumerate(words)) for option in options]
        return max(range(len(options)), key=lambda i: likings[i] + NEARNESS * i)


def _freeze(root: _Growing, words: tuple[str, ...]) -> Node:
    """The only node below the root, with these words."""

    def frozen(node: _Growing | int) -> Node | str:
        return words[node] if isinstance(node, int) else Node(node.label, tuple(map(frozen, node.children)))

    (frame,) = root.children
    return frozen(frame)


def _spell(words: list[str], draw: Random) -> tuple[str, ...]:
    """The words as they are typed: some mistyped, the first with a capital."""
    typed = [_mistype(word, draw) for word in words]
    return (typed[0][0].upper() + typed[0][1:], *typed[1:])


def _mistype(word: str, draw: Random) -> str:
    typos = _typos().get(word, ())
    return draw.choice(typos) if typos and draw.random() < TYPO_RATE else word


@cache
def _typos() -> dict[str, list[str]]:
    """The typos of each word that are no typo of another word and no word, so that they say which word was meant."""
    items = [item for rules in RULES.values() for rule in rules.bodies for item in rule.items]
    words = sorted({item.name for item in items if item.name not in RULES})
    sources = Counter(typo.lower() for word in words for typo in misspellings(word))
    taken = {word.lower() for word in words} | {typo for typo, count in sources.items() if count > 1}
    return {word: sorted(typo for typo in misspellings(word) if typo.lower() not in taken) for word in words}


def misspellings(word: str) -> set[str]:
    """What a hasty typist makes of a word: a letter dropped, doubled or swapped with the next; never the first.

    Empty for short words and numbers.  O(letters ** 2).

    >>> sorted(misspellings("road"))
    ['rad', 'raod', 'roa', 'roaad', 'roadd', 'rod', 'roda', 'rooad']
    """
    if len(word) < SHORTEST_MISTYPED or not word.isalpha():
        return set()
    places = range(1, len(word))
    dropped = {word[:i] + word[i + 1 :] for i in places}
    doubled = {word[:i] + word[i] + word[i:] for i in places}
    swapped = {word[: i - 1] + word[i] + word[i - 1] + word[i + 1 :] for i in places[1:]}
    return dropped | doubled | swapped
