"""What both embedded corpora promise: fixed for good, every item by itself, and a dial that moves structures alone."""

import hashlib

import numpy as np
import pytest
from test_grammar import sentences_of

from bcrlib.data.frames import FrameBank, frame_text
from bcrlib.data.generated import frames, language, trees
from bcrlib.data.treebank import Treebank, format_conllu

SHA256 = {
    "trees": "3530cdc9c7598c0444bc0e57669939458838c819a0310fc1badf14af6a985201",
    "frames": "dacef557aba389f6c5e789fac5de61af82bbd78dc36862379365cf2007a25aa2",
}
GENERATE = {"trees": trees.generate_treebank, "frames": frames.generate_frames}
DEMO = {"trees": trees.demo_splits, "frames": frames.demo_frames}
EACH = pytest.mark.parametrize("corpus", SHA256)


def rows(bank: Treebank | FrameBank) -> list[tuple]:
    """Words and structure of every item."""
    return [*zip(bank.utterances, map(frame_text, bank.frames))] if isinstance(bank, FrameBank) else sentences_of(bank)


@EACH
def test_the_same_seed_gives_the_same_corpus_everywhere(corpus):
    """Fixed value: changes when a rule, a word or a dial does, and then the demo's numbers change too."""
    bank = GENERATE[corpus](200, seed=7)
    content = format_conllu(bank) if corpus == "trees" else "\n".join(frame for _, frame in rows(bank))
    assert hashlib.sha256(content.encode()).hexdigest() == SHA256[corpus]


@EACH
def test_an_item_does_not_depend_on_how_many_there_are(corpus):
    assert rows(GENERATE[corpus](50, seed=3))[:20] == rows(GENERATE[corpus](20, seed=3))


@EACH
def test_seeds_and_splits_differ_and_a_split_depends_on_no_other(corpus):
    splits = DEMO[corpus](seed=1, sizes={"train": 60, "dev": 40, "test": 50})
    assert [len(bank) for bank in splits.values()] == [60, 40, 50]
    assert rows(splits["dev"]) != rows(splits["train"])[:40]
    again, other = (DEMO[corpus](seed=seed, sizes={"train": 9, "dev": 30})["dev"] for seed in (1, 2))
    assert rows(again) == rows(splits["dev"])[:30] != rows(other)


@EACH
def test_the_dial_moves_structures_but_no_word(corpus):
    banks = [rows(GENERATE[corpus](500, seed=4, ambiguity=ambiguity)) for ambiguity in (0.0, 0.2, 0.6, 1.0)]
    words = [[item[0] for item in bank] for bank in banks]
    assert words.count(words[0]) == 4
    moved = [np.mean([a != b for a, b in zip(bank, banks[0])]) for bank in banks]
    assert 0 == moved[0] < moved[1] < moved[2] < moved[3]
    assert corpus == "trees" or 0.15 < moved[3] < 0.35  # a blind draw moves half of the open ones


@EACH
@pytest.mark.parametrize("ambiguity", [-0.1, 1.1, float("nan")])
def test_an_impossible_ambiguity_is_refused(corpus, ambiguity):
    with pytest.raises(ValueError, match="ambiguity"):
        GENERATE[corpus](1, seed=0, ambiguity=ambiguity)


@pytest.mark.parametrize(
    ("parse", "rule"),
    [(language.parse_rules, f"S\n  1 {body}") for body in ("nsubj:NP obj:NP", "^A ^B", "^A obj=NP")]
    + [
        (frames.parse_rules, f"S\n  {rule}") for rule in ("1 [IN:A to X ] | [IN:B X to ]", "1 ~X?1.5", "1 to~X", "x to")
    ],
)
def test_a_faulty_rule_is_refused(parse, rule):
    with pytest.raises(ValueError):
        parse(rule)
