"""The embedded treebank: trees are trees, the dial is a dial, the statistics look like a language's."""

from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest

from bcrlib.data.generated.language import LANGUAGE, RULES, Shelf, build_lexicon, inflect
from bcrlib.data.generated.trees import generate_treebank
from bcrlib.data.treebank import Treebank, format_conllu, parse_conllu


def sentences_of(treebank: Treebank) -> list[tuple[tuple, tuple]]:
    """(words with tags, arcs with relations) of each sentence."""
    spans = zip(treebank.offsets, treebank.offsets[1:])
    return [
        (
            tuple(zip(treebank.forms[a:b], treebank.upos[a:b])),
            tuple(zip(treebank.heads[a:b].tolist(), treebank.relations[a:b])),
        )
        for a, b in spans
    ]


def ancestors(heads: list[int], word: int) -> list[int]:
    """Words (from 1) from this one up to the root 0; a cycle raises."""
    path = [word]
    while path[-1] != 0:
        path.append(heads[path[-1] - 1])
        assert len(path) <= len(heads) + 1, "cycle"
    return path


def num_crossing_arcs(heads: list[int]) -> int:
    """Arcs with a word between head and dependent that the head does not dominate (brute force)."""
    arcs = [(head, dependent) for dependent, head in enumerate(heads, 1) if head]
    return sum(
        any(head not in ancestors(heads, word) for word in range(min(head, dep) + 1, max(head, dep)))
        for head, dep in arcs
    )


def test_every_tree_has_one_root_and_no_cycle_and_no_word_is_left_out() -> None:
    for words, arcs in sentences_of(generate_treebank(2000, seed=11, ambiguity=0.6)):
        heads = [head for head, _ in arcs]
        assert heads.count(0) == 1
        assert all(relation and (relation == "root") == (head == 0) for head, relation in arcs)
        assert all(ancestors(heads, word)[-1] == 0 for word in range(1, len(words) + 1))


def test_the_treebank_is_valid_conllu() -> None:
    treebank = generate_treebank(300, seed=5)
    again = parse_conllu(format_conllu(treebank).encode(), "generated")
    assert sentences_of(again) == sentences_of(treebank)


def test_without_ambiguity_the_words_determine_the_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one word a role, sentences repeat often enough to meet every ambiguity again."""
    lexicon = build_lexicon()
    shelves = {name: Shelf(shelf.words[:1], [1.0]) for name, shelf in lexicon.shelves.items()}
    monkeypatch.setattr("bcrlib.data.generated.trees.build_lexicon", lambda: replace(lexicon, shelves=shelves))
    assert num_contradictions(1.0) > 20
    assert num_contradictions(0.0) == 0


def num_contradictions(ambiguity: float) -> int:
    """Sentences that stood earlier in the treebank with another tree."""
    trees: dict[tuple, tuple] = {}
    sentences = sentences_of(generate_treebank(12000, seed=9, ambiguity=ambiguity))
    return sum(trees.setdefault(words, arcs) != arcs for words, arcs in sentences)


def prepositional_phrases(treebank: Treebank) -> list[tuple[str, bool]]:
    """(preposition, hangs on a verb) of the phrases right behind an object: "saw a man | with a hat"."""
    found = []
    for words, arcs in sentences_of(treebank):
        for case, (head, relation) in enumerate(arcs):
            phrase, before = head - 1, arcs[case - 1]
            if relation == "case" and before[1] in ("obj", "iobj") and words[case - 1][1] == "NOUN":
                found.append((words[case][0], words[arcs[phrase][0] - 1][1] == "VERB"))
    return found


def lexical_gain(ambiguity: float) -> float:
    """Accuracy of the most frequent attachment by preposition, less that of the most frequent one of all."""
    training = prepositional_phrases(generate_treebank(5000, seed=21, ambiguity=ambiguity))
    test = prepositional_phrases(generate_treebank(5000, seed=22, ambiguity=ambiguity))
    by_preposition = defaultdict(Counter)
    for preposition, on_verb in training:
        by_preposition[preposition][on_verb] += 1
    majority = sum(by_preposition.values(), Counter()).most_common(1)[0][0]
    guesses = [by_preposition[preposition].most_common(1)[0][0] for preposition, _ in test]
    gold = np.array([on_verb for _, on_verb in test])
    return float(np.mean(guesses == gold) - np.mean(majority == gold))


def test_words_predict_attachment_the_better_the_lower_the_dial() -> None:
    gains = [lexical_gain(ambiguity) for ambiguity in (0.0, 0.3, 0.6, 1.0)]
    assert gains == sorted(gains, reverse=True)
    assert gains[1] > 0.05
    assert abs(gains[3]) < 0.03


def test_some_arcs_cross() -> None:
    counts = [
        num_crossing_arcs([head for head, _ in arcs]) for _, arcs in sentences_of(generate_treebank(3000, seed=2))
    ]
    assert 0.04 < np.mean(np.array(counts) > 0) < 0.12


def test_lengths_are_those_of_real_sentences() -> None:
    lengths = generate_treebank(3000, seed=8).lengths
    assert 12 < lengths.mean() < 15
    assert np.quantile(lengths, 0.05) <= 4
    assert np.quantile(lengths, 0.99) > 40


def test_frequencies_follow_zipf() -> None:
    counts = Counter(form.lower() for form in generate_treebank(2000, seed=6).forms)
    frequencies = np.array(sorted(counts.values(), reverse=True))
    ranks = np.arange(1, len(frequencies) + 1)
    slope = np.polyfit(np.log(ranks[4:400]), np.log(frequencies[4:400]), 1)[0]
    assert -1.3 < slope < -0.8
    assert 500 < len(frequencies) < 2500
    assert np.mean(frequencies == 1) > 0.15


def test_no_spelling_belongs_to_two_words_of_one_part_of_speech() -> None:
    owners = defaultdict(set)
    for number, word in enumerate(build_lexicon().words):
        for form in word.forms.values():
            owners[word.upos, form].add(number)
    assert [form for form, numbers in owners.items() if len(numbers) > 1] == []


def test_every_symbol_and_taste_of_the_grammar_has_a_meaning() -> None:
    lexicon = build_lexicon()
    closed = {name.split("/")[0].split(".")[0] for name in LANGUAGE["closed"]}
    items = [item for rules in RULES.values() for body in rules.bodies for item in body]
    assert {item.name for item in items} <= {*RULES, *LANGUAGE["open"], *closed}
    assert {item.name for item in items if item.how in "~%"} <= {*LANGUAGE["attachments"]}
    assert {item.role for item in items if item.name in LANGUAGE["open"]} - {None} <= {*lexicon.shelves}
    meanings = {word.meaning for word in lexicon.words}
    assert {name for mixture in LANGUAGE["roles"].values() for name in mixture} <= meanings
    assert {*LANGUAGE["shared_tastes"]} <= {*lexicon.link_bias}
    assert {head for heads in LANGUAGE["shared_tastes"].values() for head in heads} <= meanings | {"NOUN", "VERB"}


def test_inflection() -> None:
    assert inflect("bus", "NOUN")["pl"] == "buses"
    assert inflect("day", "NOUN")["pl"] == "days"
    assert inflect("mouse/mice", "NOUN")["pl"] == "mice"
    assert inflect("hurry", "VERB")["past"] == "hurried"
    assert inflect("play", "VERB")["participle"] == "played"
    assert inflect("see/saw/seen", "VERB") == {"": "see", "base": "see", "past": "saw", "participle": "seen"}
