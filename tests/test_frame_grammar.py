"""The embedded utterances: frames are frames, the dial is a dial, the long tail is long."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from random import Random

import numpy as np
import pytest

from bcrlib.data.frames import FrameBank, Node, frame_of, frame_text, frame_words, parse_frame, sequence_of
from bcrlib.data.generated import frames
from bcrlib.data.generated.frames import (
    DEMO_SIZES,
    FLOATING,
    LANGUAGE,
    NAMES,
    NEARNESS,
    RULES,
    TYPO_RATE,
    WORDS,
    WORDS_ALLOWED,
    Derivation,
    Item,
    demo_frames,
    generate_frames,
    misspellings,
)

ITEMS = [item for rules in RULES.values() for rule in rules.bodies for item in rule.items]
TERMINALS = {item.name for item in ITEMS if item.name not in RULES}


def nodes(frame: Node) -> Iterator[Node]:
    """A node and all below it, parents first."""
    yield frame
    for child in frame.children:
        if isinstance(child, Node):
            yield from nodes(child)


def num_nested_intents(frame: Node) -> int:
    below = [num_nested_intents(child) for child in frame.children if isinstance(child, Node)]
    return frame.label.startswith("IN:") + max(below, default=0)


def rows(bank: FrameBank) -> list[tuple[tuple[str, ...], str]]:
    return list(zip(bank.utterances, map(frame_text, bank.frames)))


def num_contradictions(bank: FrameBank) -> int:
    """Utterances that stood earlier in the bank with another frame."""
    known: dict[tuple[str, ...], str] = {}
    return sum(known.setdefault(words, frame) != frame for words, frame in rows(bank))


@pytest.fixture(scope="module")
def demo() -> dict[str, FrameBank]:
    return demo_frames()


def test_every_frame_is_a_tree_over_the_words_of_its_utterance(demo: dict[str, FrameBank]) -> None:
    bank = demo["train"]
    index = {label: i for i, label in enumerate(bank.labels)}
    for words, frame in zip(bank.utterances, bank.frames):
        assert frame_words(frame) == words
        assert parse_frame(frame_text(frame)) == frame  # refuses what is not a tree
        assert frame_of(sequence_of(frame, index), bank.labels, words) == frame


def test_intents_hold_slots_and_slots_hold_intents() -> None:
    for frame in generate_frames(1500, seed=12, ambiguity=0.7).frames:
        assert frame.label.startswith("IN:")
        for node in nodes(frame):
            kinds = {child.label[:3] for child in node.children if isinstance(child, Node)}
            assert kinds <= ({"SL:"} if node.label.startswith("IN:") else {"IN:"})


def test_train_has_every_label_of_test(demo: dict[str, FrameBank]) -> None:
    assert Counter(label[:2] for label in demo["train"].labels) == {"IN": 9, "SL": 14}
    assert {*demo["test"].labels, *demo["dev"].labels} <= {*demo["train"].labels}
    counts = Counter(node.label for frame in demo["train"].frames for node in nodes(frame))
    assert min(counts.values()) >= 50


def test_frames_nest(demo: dict[str, FrameBank]) -> None:
    depths = Counter(map(num_nested_intents, demo["train"].frames))
    shares = {depth: count / DEMO_SIZES["train"] for depth, count in depths.items()}
    assert 0.3 < shares[1] < 0.5 < shares[2] < 0.65
    assert 0.02 < shares[3] < 0.1


def test_utterances_are_as_long_as_questions(demo: dict[str, FrameBank]) -> None:
    lengths = np.array([len(words) for words in demo["train"].utterances])
    assert {*lengths.tolist()} == {*WORDS_ALLOWED} == {*range(4, 17)}
    assert np.mean((lengths >= 6) & (lengths <= 12)) > 0.7


def test_test_is_new_but_not_foreign(demo: dict[str, FrameBank]) -> None:
    seen = {*demo["train"].utterances}
    known_words = {word for words in seen for word in words}
    test = demo["test"].utterances
    assert 0 < np.mean([words in seen for words in test]) < 0.08
    assert 0.08 < np.mean([not {*words} <= known_words for words in test]) < 0.25
    unseen_names = {word for words in test for word in words} & TERMINALS - known_words
    assert len(unseen_names) > 10


def few_words(monkeypatch: pytest.MonkeyPatch, typo_rate: float) -> None:
    """A language of one or two words a symbol: utterances repeat often enough to meet every open place again."""
    frames._typos()  # is cached: of all words, not of the few
    small = {symbol: frames._word_rules(entries[:2]) for symbol, entries in WORDS.items()}
    names = {symbol: frames._word_rules([symbol.title()]) for symbol in NAMES}
    monkeypatch.setattr(frames, "RULES", RULES | small | names)
    monkeypatch.setattr(frames, "TYPO_RATE", typo_rate)


@pytest.mark.parametrize("typo_rate", [0.0, 0.1])
def test_at_zero_equal_utterances_have_equal_frames_and_at_one_they_have_not(
    typo_rate: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    few_words(monkeypatch, typo_rate)
    assert num_contradictions(generate_frames(2500, seed=9, ambiguity=1.0)) > 20
    assert num_contradictions(generate_frames(2500, seed=9, ambiguity=0.0)) == 0


def derivations(symbol: str, words: tuple[str, ...], start: int) -> list[tuple[Derivation, int]]:
    """All derivations of the words from `start` on, and where each ends; no clever parsing."""
    found = []
    for rule in RULES[symbol].bodies:
        partial = [((), start)]
        for item in rule.items:
            partial = [((*parts, part), after) for parts, at in partial for part, after in fillings(item, words, at)]
        found += [(Derivation(rule, parts), end) for parts, end in partial]
    return found


def fillings(item: Item, words: tuple[str, ...], at: int) -> list[tuple[Derivation | str | None, int]]:
    skipped = [(None, at)] if item.chance < 1 else []
    if item.name in RULES:
        return skipped + derivations(item.name, words, at)
    return skipped + [(item.name, at + 1)] * (words[at : at + 1] == (item.name,))


def test_no_other_derivation_gives_the_same_words_another_frame() -> None:
    """With all words of the language: what two derivations could say differently, the dial would not govern."""
    num_derivations = []
    for i in range(150):
        words = tuple(frames._derive_utterance(Random(i)).words())
        complete = [derivation for derivation, end in derivations("UTTERANCE", words, 0) if end == len(words)]
        roots = [frames._Annotation(derivation, Random(0), 0.0).root for derivation in complete]
        assert len({frames._freeze(root, words) for root in roots}) == 1
        num_derivations.append(len(complete))
    assert max(num_derivations) > 1  # a phrase that floats may come from an inner rule or an outer one


def times_of_nested_events(bank: FrameBank) -> list[tuple[str, bool]]:
    """(first word of the time, it is the event's) for times behind the event that somebody wants to go to."""
    found = []
    for frame in bank.frames:
        for here, after in zip(frame.children, [*frame.children[1:], None]):
            if not isinstance(here, Node) or not frame_text(here).startswith("[SL:DESTINATION [IN:GET_EVENT "):
                continue
            last = here.children[0].children[-1]
            if isinstance(last, Node) and last.label == "SL:DATE_TIME":
                found.append((frame_words(last)[0], True))
            elif isinstance(after, Node) and "DATE_TIME" in after.label:
                found.append((frame_words(after)[0], False))
    return found


def test_a_time_behind_an_event_goes_in_or_out_by_the_words_or_by_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    blind = times_of_nested_events(generate_frames(2500, seed=6, ambiguity=1.0))
    assert len(blind) > 100
    assert 0.4 < np.mean([inside for _, inside in blind]) < 0.65
    for nearness, share in ((10.0, 1.0), (-10.0, 0.0)):
        monkeypatch.setattr(frames, "NEARNESS", nearness)
        decided = times_of_nested_events(generate_frames(600, seed=6, ambiguity=0.0))
        assert np.mean([inside for _, inside in decided]) == share
    assert NEARNESS < 1  # what the words like counts more


def agreement_with_first_words(ambiguity: float) -> float:
    """Accuracy of each time's most frequent attachment by its first word, over other utterances."""
    by_word = defaultdict(Counter)
    for word, inside in times_of_nested_events(generate_frames(2500, seed=21, ambiguity=ambiguity)):
        by_word[word][inside] += 1
    test = times_of_nested_events(generate_frames(1500, seed=22, ambiguity=ambiguity))
    return float(np.mean([by_word[word].most_common(1)[0][0] == inside for word, inside in test if word in by_word]))


def test_words_predict_attachment_the_better_the_lower_the_dial() -> None:
    accuracies = [agreement_with_first_words(ambiguity) for ambiguity in (0.0, 0.5, 1.0)]
    assert accuracies == sorted(accuracies, reverse=True)
    assert accuracies[0] > 0.8 and accuracies[2] < 0.65


def test_some_words_are_mistyped_and_one_can_tell_which() -> None:
    typed = [word for words in generate_frames(1500, seed=2).utterances for word in words[1:]]
    assert 0.005 < np.mean([word not in TERMINALS for word in typed]) < TYPO_RATE  # not all are long enough
    sources = defaultdict(set)
    for word, typos in frames._typos().items():
        for typo in typos:
            sources[typo.lower()].add(word.lower())
    assert all(len(words) == 1 for words in sources.values())
    assert not {*sources} & {word.lower() for word in TERMINALS}


def test_misspellings() -> None:
    assert misspellings("bus") == misspellings("1234") == set()
    assert misspellings("road") == {"rad", "rod", "roa", "rooad", "roaad", "roadd", "raod", "roda"}
    assert all(typo[0] == "O" for typo in misspellings("Oakdale"))


def test_every_symbol_word_and_liking_has_a_meaning() -> None:
    assert {item.name for item in ITEMS if item.floats} == {*FLOATING}
    assert {*FLOATING} <= {*RULES}
    used = {item.name for item in ITEMS}
    assert {*RULES} - used == {"UTTERANCE"}
    assert [word for word in TERMINALS if word.isupper()] == ["I"]  # a symbol without a rule would stand here
    assert {*LANGUAGE["shared_likings"]} <= TERMINALS
    labels = {piece[1:] for rules in RULES.values() for rule in rules.bodies for r in rule.readings for piece in r}
    assert {intent for slots in FLOATING.values() for intent in slots} <= labels
    assert {intent for intents in LANGUAGE["shared_likings"].values() for intent in intents} <= labels
