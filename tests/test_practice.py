"""The parser watched token by token: against its own decoding and scoring, and against rules worked by hand."""

import numpy as np
import pytest
import torch

from bcrlib.data.generated.frames import demo_frames
from bcrlib.data.presets import PRESETS
from bcrlib.metrics.frames import invalid
from bcrlib.parsers.targets import sequences_of_targets
from bcrlib.parsers.practice import (
    action_names,
    allowed_actions,
    dropped_units,
    encoded_rows,
    greedy_actions,
    next_log_probs,
    piece_texts,
    practice_parser,
    redefined,
    step_rows,
)
from bcrlib.samplers.rules import END
from bcrlib.samplers.strategies import Beam, OneBest

BANKS = demo_frames(sizes={"train": 120, "dev": 12})
WORDS = BANKS["dev"].utterances[0]


@pytest.fixture(scope="module")
def parser():
    return practice_parser(BANKS["train"], num_epochs=1)


def test_training_changes_the_parser_and_none_does_not(parser):
    untrained, again = (practice_parser(BANKS["train"], num_epochs=0) for _ in range(2))
    before, same, after = (next_log_probs(each, WORDS, []) for each in (untrained, again, parser))
    np.testing.assert_array_equal(before, same)
    assert np.abs(before - after).max() > 0.1


def test_the_parser_is_the_same_whatever_the_number_of_threads(parser):
    before = torch.get_num_threads()
    torch.set_num_threads(before % 2 + 1)
    try:
        again = practice_parser(BANKS["train"], num_epochs=1)
        assert torch.get_num_threads() == before % 2 + 1
        used = []
        handle = again.network.encoder.register_forward_pre_hook(lambda *_: used.append(torch.get_num_threads()))
        again.candidates(BANKS["dev"].select(range(2)), OneBest())
        handle.remove()
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(next_log_probs(again, WORDS, []), next_log_probs(parser, WORDS, []))
    assert set(used) == {1}, "nor does what it decodes"


def test_every_action_has_a_name_and_a_probability(parser):
    names = action_names(parser, WORDS)
    pieces = piece_texts(parser, WORDS)
    assert "".join(pieces).replace("##", "") == "".join(WORDS)
    assert (names[0], len(names)) == ("end", 1 + 2 * len(parser.labels) + len(pieces))
    log_probs = next_log_probs(parser, WORDS, [1, len(names) - 1])
    assert log_probs.shape == (3, len(names))
    np.testing.assert_allclose(np.exp(log_probs).sum(axis=1), 1, rtol=1e-5)


def test_greedy_is_the_parser_s_own_greedy(parser):
    bank = BANKS["dev"]
    pool, pieces = parser.candidates(bank, OneBest()), parser.read(bank)
    for row in range(len(bank)):
        actions = greedy_actions(parser, bank.utterances[row])
        sequence = sequences_of_targets(np.array([actions]), np.array([row]), pieces, len(parser.labels))[0]
        np.testing.assert_array_equal(np.trim_zeros(sequence), np.trim_zeros(pool.sequences[0, row]))
        if actions[-1] == END:
            total = step_rows(parser, bank.utterances[row], actions)["log p so far"].iloc[-1]
            assert total == pytest.approx(pool.log_probs[0, row], abs=1e-3)


def test_a_step_is_shown_beside_its_best_rival(parser):
    rows = step_rows(parser, WORDS, [1, END])
    log_probs = next_log_probs(parser, WORDS, [1])
    np.testing.assert_allclose(rows["p"], np.exp(log_probs[[0, 1], [1, END]]), rtol=1e-5)
    others = np.delete(log_probs[0], 1)
    assert rows["its p"][0] == pytest.approx(np.exp(others.max()))


def test_rules_worked_by_hand(parser):
    words = ("traffic", "tonight")
    names = action_names(parser, words)
    first_piece = 1 + 2 * len(parser.labels)
    start, after_open, after_word = allowed_actions(parser, words, [1, first_piece])
    assert np.flatnonzero(start).tolist() == [*range(1, 1 + len(parser.labels))]
    assert np.flatnonzero(after_open).tolist() == [*range(1, 1 + len(parser.labels)), first_piece]
    assert names[first_piece] == "1:" + piece_texts(parser, words)[0]
    assert not after_word[END] and not after_word[first_piece] and after_word[first_piece + 1]


def test_other_definitions_leave_the_parser_as_it_is(parser):
    free, bound = (redefined(parser, PRESETS["official"], constrained) for constrained in (False, True))
    assert (parser.definitions, parser.config.constrained) == (PRESETS["clean"], False)
    assert free.definitions is PRESETS["official"] and not free.config.constrained
    assert not invalid(bound.candidates(BANKS["dev"], OneBest())).any()


def test_masks_stay_or_are_drawn_at_every_step():
    fixed, drawn = (dropped_units(0.3, 50, 40, per_step) for per_step in (False, True))
    assert (fixed == fixed[0]).all() and fixed[0].any() and not fixed[0].all()
    assert drawn.std(axis=0).all() and drawn.mean() == pytest.approx(0.3, abs=0.05)


def test_candidates_of_an_utterance_share_one_pass_of_the_encoder(parser):
    pool = parser.candidates(BANKS["dev"], Beam(4, 4))
    assert encoded_rows(parser, BANKS["dev"], pool) == len(BANKS["dev"])
