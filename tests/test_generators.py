"""Any generator as proposer and judge: scores one token at a time, exhaustive search, batches, masks put in by hand."""

import itertools

import numpy as np
import pytest
import torch
from tiny_generators import LETTERS, tiny_generator
from torch import nn

from bcrlib.parsers.generator import Generator, TextPool
from bcrlib.reranking import bcr_scores, choose
from bcrlib.samplers.dropout_p import thinned_calls
from bcrlib.samplers.strategies import Beam, DropoutP, KBest, Nucleus, OneBest, TopK

KINDS = ["t5", "bart", "gpt2"]
INPUTS = ["abca", "dd", "b a c"]
every_kind = pytest.mark.parametrize("kind", KINDS)


def pool_of(*texts: list[str]) -> TextPool:
    return TextPool(tuple(map(tuple, texts)), np.zeros((len(texts), len(texts[0])), dtype=np.float32))


@torch.inference_mode()
def log_prob_token_by_token(generator: Generator, source: str, text: str) -> float:
    """The twin: one sequence, no padding, every token by itself."""
    tokenizer, model = generator.tokenizer, generator.model
    ids = tokenizer(source)["input_ids"]
    total, written = 0.0, []
    for token in [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]:
        if generator.is_seq2seq:
            before = torch.tensor([[0, *written]])
            logits = model(input_ids=torch.tensor([ids]), decoder_input_ids=before).logits
        else:
            logits = model(input_ids=torch.tensor([ids + written])).logits
        total += logits[0, -1].log_softmax(dim=0)[token].item()
        written.append(token)
    return total / len(written) if generator.mean else total


@every_kind
@pytest.mark.parametrize("mean", [False, True])
def test_scores_are_those_of_one_token_after_the_other(kind, mean):
    generator = tiny_generator(kind, mean=mean)
    pool = pool_of(["ab", "d", ""], ["", "abcda", "c c"], ["ab", "a", "b"])
    scores = generator.log_probs(INPUTS, pool)
    for candidate, number in itertools.product(range(3), range(3)):
        expected = log_prob_token_by_token(generator, INPUTS[number], pool.texts[candidate][number])
        assert scores[candidate, number] == pytest.approx(expected, abs=2e-4)


@every_kind
def test_batches_do_not_matter(kind):
    for strategy in (OneBest(), Beam(3, 3), TopK(3, 4), Nucleus(0.8, 4), DropoutP(0.3, 4)):
        together = tiny_generator(kind, batch_size=64).candidates(INPUTS, strategy, seed=7)
        alone = [tiny_generator(kind, batch_size=1).candidates([text], strategy, seed=7) for text in INPUTS]
        for number, one in enumerate(alone):
            assert [row[number] for row in together.texts] == [row[0] for row in one.texts], strategy
        np.testing.assert_allclose(together.log_probs, np.hstack([one.log_probs for one in alone]), atol=2e-4)


@every_kind
def test_the_same_seed_gives_the_same_texts_and_another_others(kind):
    generator = tiny_generator(kind)
    strategy = Nucleus(0.95, 8)
    first = generator.candidates(INPUTS, strategy, seed=1)
    torch.rand(3)
    assert generator.candidates(INPUTS, strategy, seed=1).texts == first.texts
    assert generator.candidates(INPUTS, strategy, seed=2).texts != first.texts


@torch.inference_mode()
def best_by_enumeration(generator: Generator, source: str) -> str:
    """The most probable of all texts that end, or are cut off at the longest length."""
    ids, end, found = torch.tensor([generator.tokenizer(source)["input_ids"]]), generator.end, []
    unended = [(0.0, [])]
    for _ in range(generator.max_new_tokens):
        longer = []
        for score, written in unended:
            if generator.is_seq2seq:
                logits = generator.model(input_ids=ids, decoder_input_ids=torch.tensor([[0, *written]])).logits
            else:
                logits = generator.model(input_ids=torch.cat([ids, torch.tensor([written]).long()], dim=1)).logits
            steps = enumerate((score + logits[0, -1].log_softmax(dim=0)).tolist())
            longer += [(total, [*written, token]) for token, total in steps]
        found += [one for one in longer if one[1][-1] == end]
        unended = [one for one in longer if one[1][-1] != end]
    return generator.tokenizer.decode(max(found + unended)[1], skip_special_tokens=True)


@every_kind
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_wide_beam_finds_the_best_text(kind, seed):
    generator = tiny_generator(kind, seed, letters="ab")
    generator.max_new_tokens = 3
    found = generator.candidates(["ab"], Beam(64, 1))
    assert found.texts == ((best_by_enumeration(generator, "ab"),),)


def test_top_1_is_greedy():
    generator = tiny_generator("t5")
    greedy, sampled = generator.candidates(INPUTS, OneBest()), generator.candidates(INPUTS, TopK(1, 3))
    assert all(row == greedy.texts[0] for row in sampled.texts)


class FixedDropout(nn.Module):
    """In place of a network's dropout: one mask, whatever comes in."""

    def __init__(self, mask: torch.Tensor) -> None:
        super().__init__()
        self.mask = mask

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.mask


def test_a_sample_of_dropout_p_is_one_thinned_network():
    generator = tiny_generator("gpt2")
    ids, seen = torch.tensor([[3, 4, 5, 6]]), []
    keys = torch.tensor([12345])
    dropouts = {name: module for name, module in generator.model.named_modules() if isinstance(module, nn.Dropout)}
    hooks = [
        module.register_forward_hook(lambda _, args, out, name=name: seen.append((name, out / args[0])))
        for name, module in dropouts.items()
    ]
    with thinned_calls(generator.model, keys, 0.4), torch.inference_mode():
        thinned = generator.model(input_ids=ids).logits
    for hook in hooks:
        hook.remove()
    assert len({name for name, _ in seen}) == len(seen) >= 5
    for name, ratio in seen:
        mask = ratio[0, 0] if ratio.dim() == 3 else ratio[0, :, :1]
        assert torch.allclose(ratio, mask.expand_as(ratio)), "the same at all positions"
        assert ((mask == 0) | ((mask - 1 / 0.6).abs() < 1e-3)).all()
        parent, _, last = name.rpartition(".")
        setattr(generator.model.get_submodule(parent), last, FixedDropout(mask))
    with torch.inference_mode():
        torch.testing.assert_close(generator.model(input_ids=ids).logits, thinned)


@every_kind
def test_rate_0_drops_nothing(kind):
    generator = tiny_generator(kind)
    assert all(
        row == generator.candidates(INPUTS, OneBest()).texts[0]
        for row in generator.candidates(INPUTS, DropoutP(0.0, 3)).texts
    )


@every_kind
def test_dropout_p_makes_different_texts_and_leaves_the_model_as_it_was(kind):
    generator = tiny_generator(kind)
    before = generator.candidates(INPUTS, OneBest())
    pool = generator.candidates(INPUTS, DropoutP(0.4, 8), seed=3)
    assert any(len({row[number] for row in pool.texts}) > 1 for number in range(3))
    assert generator.candidates(INPUTS, OneBest()).texts == before.texts


def test_a_model_without_dropout_is_named():
    with pytest.raises(ValueError, match="no dropout"):
        tiny_generator("llama").candidates(INPUTS, DropoutP(0.2, 3))
    assert len(tiny_generator("llama").candidates(INPUTS, TopK(4, 3)).texts) == 3


def test_an_old_model_of_another_kind_and_alphabet_picks():
    new, old = tiny_generator("t5", seed=1), tiny_generator("gpt2", seed=2, letters=LETTERS[::-1])
    pool = new.candidates(INPUTS, TopK(5, 6), seed=1)
    old_scores = old.log_probs(INPUTS, pool)
    choice = choose(bcr_scores(pool.log_probs, [old_scores]))
    texts = pool.chosen(choice)
    for number, text in enumerate(texts):
        scores = [log_prob_token_by_token(old, INPUTS[number], row[number]) for row in pool.texts]
        assert log_prob_token_by_token(old, INPUTS[number], text) == pytest.approx(max(scores), abs=1e-4)


def test_equal_texts_are_known_and_have_one_score():
    pool = pool_of(["a", "b"], ["b", "b"], ["a", "c"])
    assert pool.first_equal().tolist() == [[0, 0], [1, 0], [0, 2]]
    generator = tiny_generator("bart")
    scores = generator.log_probs(["abca", "dd"], pool)
    assert scores[0, 0] == scores[2, 0] and scores[0, 1] == scores[1, 1] != scores[2, 1]


def test_what_cannot_be_is_refused():
    generator = tiny_generator("gpt2")
    with pytest.raises(ValueError, match="graph-based"):
        generator.candidates(INPUTS, KBest(3))
    with pytest.raises(ValueError, match="40 tokens, which the model cannot read"):
        generator.candidates(["a" * 40], OneBest())
    with pytest.raises(ValueError, match="0 tokens"):
        generator.candidates([""], OneBest())
    with pytest.raises(ValueError, match="2 inputs for 3"):
        generator.log_probs(INPUTS, pool_of(["a", "b"]))
    generator.tokenizer.eos_token = None
    with pytest.raises(ValueError, match="no end of sequence"):
        Generator(generator.model, generator.tokenizer)


def test_a_prompt_is_made_of_the_input():
    plain, asked = tiny_generator("gpt2"), tiny_generator("gpt2", prompt=lambda text: f"{text} d ")
    pool = pool_of(["ab", "c", "d"])
    expected = plain.log_probs([f"{text} d " for text in INPUTS], pool)
    np.testing.assert_allclose(asked.log_probs(INPUTS, pool), expected, atol=1e-5)


def test_the_date_task_is_what_it_says():
    from bcrlib.data.generated import dates

    months = {name: i for i, month in enumerate(dates.MONTHS, start=1) for name in (month, month[:3])}
    for text, date in dates.examples(300, seed=4):
        year, month, day = map(int, date.split("-"))
        words = text.replace("/", " ").split()
        numbers = [months.get(word) or int(word) for word in words]
        assert sorted(numbers[:2]) == sorted((day, month)) and numbers[2] in (year, year % 100)
    assert dates.examples(5, seed=1) == dates.examples(9, seed=1)[:5] != dates.examples(5, seed=2)
    tokenizer = dates.date_tokenizer()
    assert tokenizer.decode(tokenizer("2021-03-04")["input_ids"]) == "2021-03-04"
