"""The embedded treebank: English-like sentences and their trees from our own grammar, for demos and courses.

How a sentence comes about: the rules of language.yaml are expanded from left to right. Whatever floats
("with the telescope", "and cats", "old" in "old car dealer") is hung, as soon as its own head word stands, on
one of the words still open to it: for a phrase to the right those of the *right frontier*, the words that it
reaches without crossing an arc. Which one is a matter of taste, the hidden likings of the words (language.py),
except that with probability `ambiguity` a blind draw overrules the taste. Hence

* the words of a treebank do not depend on `ambiguity`, only its arcs do;
* at 0 the words determine the tree, though a parser has to learn the tastes of the words to know it;
* at 1 the words of an ambiguous place say nothing about its arc.
"""

from bisect import bisect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bcrlib.data.generated.language import CLOSED_WORDS, LANGUAGE, RULES, Item, Lexicon, build_lexicon
from bcrlib.data.treebank import Treebank

# The dials of a treebank, all of them. Those of the language (Zipf, tastes) stand in language.py.
DEFAULT_AMBIGUITY = 0.2
NEARNESS = 0.7  # taste lost for each open word that lies nearer
DEMO_SIZES = {"train": 1200, "dev": 250, "test": 500}


@dataclass(frozen=True)
class Choice:
    """A floating phrase on its way: it hangs on an open word from `barrier` on, or on one of `hidden`."""

    attachment: Mapping[str, Any]  # of language.yaml
    barrier: int  # position in the frontier
    first_word: int
    home: int  # the head of the rule it stands in
    hidden: tuple[int, ...] = ()


@dataclass(frozen=True)
class Waiting:
    """A phrase that waits for its head further right."""

    item: Item
    token: int
    first_word: int


def generate_treebank(num_sentences: int, seed: int, ambiguity: float = DEFAULT_AMBIGUITY) -> Treebank:
    """Sentences of the embedded grammar; sentence i is the same whatever `num_sentences` is.

    `ambiguity` in [0, 1] is the share of ambiguous places where chance, not the words, decides the arc: at 0
    the words determine every tree, at 1 they say nothing. The words themselves do not depend on it. Every
    tree has one root. Raises ValueError for an ambiguity outside [0, 1]. O(tokens); thousands of sentences a
    second.
    """
    if not 0 <= ambiguity <= 1:
        raise ValueError(f"ambiguity must lie in [0, 1], not {ambiguity}")
    word_seed, noise_seed = np.random.SeedSequence(seed).spawn(2)
    draw, noise = _uniforms(word_seed), _uniforms(noise_seed)
    lexicon = build_lexicon()
    return _to_treebank([_Sentence(lexicon, draw, noise, ambiguity) for _ in range(num_sentences)])


def demo_splits(
    seed: int = 0,
    ambiguity: float = DEFAULT_AMBIGUITY,
    sizes: Mapping[str, int] = DEMO_SIZES,
) -> dict[str, Treebank]:
    """Independent treebanks of `sizes[split]` sentences by split name; see `generate_treebank`. O(tokens).

    A split depends on the seed and its place in `sizes`, not on how many sentences the others have.
    """
    split_seeds = np.random.SeedSequence(seed).generate_state(len(sizes))
    return {
        split: generate_treebank(size, int(split_seed), ambiguity)
        for (split, size), split_seed in zip(sizes.items(), split_seeds)
    }


class _Sentence:
    """One sentence as it grows; tokens count from 0 here, -1 is the root."""

    def __init__(self, lexicon: Lexicon, draw: Iterator[float], noise: Iterator[float], ambiguity: float) -> None:
        self.lexicon, self.draw, self.noise, self.ambiguity = lexicon, draw, noise, ambiguity
        self.forms: list[str] = []
        self.upos: list[str] = []
        self.entries: list[int] = []  # of the lexicon; -1 for words without taste
        self.heads: list[int] = []
        self.relations: list[str] = []
        self.frontier: list[int] = []  # the open words, the nearest last
        self.hang(self.expand("SENTENCE"), -1, "root")

    def hang(self, token: int, head: int, relation: str) -> None:
        self.heads[token], self.relations[token] = head, relation

    def expand(
        self,
        name: str,
        form: str | None = None,
        role: str | None = None,
        barrier: int = 0,
        choice: Choice | None = None,
    ) -> int:
        """Grow the symbol at the end of the sentence; its head word, hung already if there is a choice."""
        if name not in RULES:
            return self.add_word(name, form, role, choice)
        rules, start = RULES[name], len(self.frontier)
        head, before = None, []
        for item in rules.bodies[bisect(rules.cumulative, next(self.draw))]:
            if item.chance < 1 and next(self.draw) >= item.chance:
                continue
            item_form = form if item.form == "=" else item.form
            if item.how == "^":
                head = self.expand(item.name, item_form or form, item.role or role, barrier, choice)
                self.hang_left(before, head)
            elif head is None:
                first_word = len(self.forms)
                token = self.expand(item.name, item_form, item.role, start)
                before.append(Waiting(item, token, first_word))
                del self.frontier[start:]
            else:
                self.expand_right(item, item_form, head, barrier, before)
        self.hang_fronted(before, head)
        return head

    def expand_right(self, item: Item, form: str | None, head: int, barrier: int, before: list[Waiting]) -> None:
        """Grow an item that follows its head, and hang it."""
        if item.how in "~%":
            hidden = [phrase.token for phrase in before] if item.how == "%" else []
            choice = Choice(LANGUAGE["attachments"][item.name], barrier, len(self.forms), head, tuple(hidden))
            self.expand(item.name, form, item.role, barrier, choice)
        else:
            del self.frontier[self.frontier.index(head) + 1 :]
            token = self.expand(item.name, form, item.role, len(self.frontier) if item.island else barrier)
            self.hang(token, head, item.how)

    def add_word(self, name: str, form: str | None, role: str | None, choice: Choice | None) -> int:
        token = len(self.forms)
        spelling, upos, entry = self.draw_word(name, form, role)
        self.forms.append(spelling)
        self.upos.append(upos)
        self.entries.append(entry)
        self.heads.append(-1)
        self.relations.append("")
        if choice:
            self.settle(choice, token)
        self.frontier.append(token)
        return token

    def draw_word(self, name: str, form: str | None, role: str | None) -> tuple[str, str, int]:
        """Spelling, UPOS and lexicon entry (-1 for a closed class) of a word for this slot."""
        if name in LANGUAGE["open"]:
            shelf = self.lexicon.shelves[role]
            entry = shelf.words[bisect(shelf.cumulative, next(self.draw))]
            forms = self.lexicon.words[entry].forms
            return forms.get(form, forms[""]), LANGUAGE["open"][name], entry
        slot = name + (f".{form}" if form else "") + (f"/{role}" if role else "")
        upos, words, cumulative = CLOSED_WORDS[slot]
        return words[bisect(cumulative, next(self.draw))], upos, -1

    def settle(self, choice: Choice, token: int) -> None:
        """Hang the head word of a phrase to the right; the arc closes the words beneath it."""
        relations = choice.attachment["relations"]
        open_words = [word for word in self.frontier[choice.barrier :] if self.upos[word] in relations]
        hidden = [word for word in choice.hidden if self.upos[word] in relations]
        # Rarely all are closed: "saw a man [who sang] today and a dog", where "today" went to "saw".
        words = hidden + open_words or [choice.home]
        head = self.prefer(words, self.link(choice.attachment, choice.first_word), token)
        self.hang(token, head, relations[self.upos[head]])
        if head in open_words:
            del self.frontier[self.frontier.index(head) + 1 :]
        elif open_words:  # the crossing arc passes over these
            del self.frontier[self.frontier.index(open_words[0]) :]

    def hang_left(self, before: list[Waiting], head: int) -> None:
        """Hang what precedes the head, the nearest first, on the head or (~) on a word hung before."""
        open_words = [head]
        for phrase in reversed(before):
            if phrase.item.how == "~":
                chosen = self.hang_floating(phrase, open_words)
                open_words = [*open_words[: open_words.index(chosen) + 1], phrase.token]
            elif phrase.item.how != "%":
                self.hang(phrase.token, head, phrase.item.how)

    def hang_fronted(self, before: list[Waiting], head: int) -> None:
        """Hang what was fronted, on the head or on a complement clause of it further right."""
        for phrase in before:
            if phrase.item.how == "%":
                clauses = [head]
                for word in range(head + 1, len(self.forms)):
                    if self.relations[word] in ("ccomp", "xcomp") and self.heads[word] in clauses:
                        clauses.insert(0, word)
                self.hang_floating(phrase, clauses)

    def hang_floating(self, phrase: Waiting, open_words: list[int]) -> int:
        attachment = LANGUAGE["attachments"][phrase.item.name]
        words = [word for word in open_words if self.upos[word] in attachment["relations"]]
        head = self.prefer(words, self.link(attachment, phrase.first_word), phrase.token)
        self.hang(phrase.token, head, attachment["relations"][self.upos[head]])
        return head

    def link(self, attachment: Mapping[str, Any], first_word: int) -> str:
        return attachment.get("link") or self.forms[first_word]

    def prefer(self, words: list[int], link: str, dependent: int) -> int:
        """The word, of those given from far to near, that the dependent hangs on."""
        # Both draws are made always, so that the dial moves no other decision.
        blind, which = next(self.noise) < self.ambiguity, next(self.noise)
        if len(words) == 1:
            return words[0]
        if blind:
            return words[int(which * len(words))]
        tastes = self.lexicon.tastes([self.entries[word] for word in words], link, self.entries[dependent])
        return words[int(np.argmax(tastes + NEARNESS * np.arange(len(words))))]


def _uniforms(seed: np.random.SeedSequence) -> Iterator[float]:
    rng = np.random.default_rng(seed)
    while True:  # in blocks, since a single number costs numpy as much as a thousand
        yield from rng.random(1024).tolist()


def _to_treebank(sentences: list[_Sentence]) -> Treebank:
    return Treebank(
        forms=[form for sentence in sentences for form in _spell(sentence.forms)],
        upos=[upos for sentence in sentences for upos in sentence.upos],
        heads=np.array([head + 1 for sentence in sentences for head in sentence.heads], dtype=np.int32),
        relations=[relation for sentence in sentences for relation in sentence.relations],
        offsets=np.cumsum([0] + [len(sentence.forms) for sentence in sentences], dtype=np.int64),
        source=None,
    )


def _spell(forms: list[str]) -> list[str]:
    """ "an" before a vowel, and a capital at the beginning."""
    pairs = zip(forms, [*forms[1:], ""])
    spelled = ["an" if form == "a" and after[:1] in tuple("aeiou") else form for form, after in pairs]
    return [spelled[0][0].upper() + spelled[0][1:], *spelled[1:]]
