"""Any Hugging Face generator as a model that proposes and judges: sequence-to-sequence or causal, text in, text out.

What passes between an old and a new model is text, for their tokenizers may differ: each scores its own canonical
tokens of a text, the end of the sequence included. Strategies and re-ranking are those of the parsers.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Int16
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList, PreTrainedModel, PreTrainedTokenizerBase

from bcrlib.data.candidates import distinct_first
from bcrlib.data.randomness import key
from bcrlib.samplers.dropout_p import thinned_calls, uniform
from bcrlib.samplers.search import draw, kept_probs
from bcrlib.samplers.strategies import Beam, Drawn, DropoutP, Joined, KBest, OneBest, Strategy


@dataclass(frozen=True, eq=False)
class TextPool:
    """The same number of candidate texts for every input, duplicates kept."""

    texts: tuple[tuple[str, ...], ...]
    """[candidate][input]"""
    log_probs: Float32[np.ndarray, "candidate input"]
    """log p(text | input) under the model that proposed it."""

    @property
    def num_candidates(self) -> int:
        return len(self.texts)

    def first_equal(self) -> Int16[np.ndarray, "candidate input"]:
        """Index of the first candidate of the input that is the same text. O(candidates inputs)."""
        of_inputs = [[column.index(text) for text in column] for column in zip(*self.texts)]
        return np.array(of_inputs, dtype=np.int16).reshape(-1, self.num_candidates).T

    def chosen(self, choice: Sequence[int]) -> list[str]:
        """The candidate of each input that a re-ranker chose."""
        return [self.texts[candidate][number] for number, candidate in enumerate(choice)]


class Generator:
    """A model of `AutoModelForSeq2SeqLM` or `AutoModelForCausalLM` with its tokenizer, on the device where it is.

    prompt: what a causal model continues, made of an input; a sequence-to-sequence model reads it. mean: whether a text
    is scored by the mean log-probability of its tokens, not by the sum.
    ValueError: a tokenizer without an end of sequence.
    """

    selection_strategy = OneBest()

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        max_new_tokens: int = 64,
        batch_size: int = 16,
        prompt: Callable[[str], str] = str,
        mean: bool = False,
    ) -> None:
        if tokenizer.eos_token_id is None:
            raise ValueError("the tokenizer has no end of sequence, so that no text would end")
        self.model, self.tokenizer, self.prompt, self.mean = model.eval(), tokenizer, prompt, mean
        self.max_new_tokens, self.batch_size = max_new_tokens, batch_size
        self.is_seq2seq = model.config.is_encoder_decoder
        self.end = tokenizer.eos_token_id
        self.pad = self.end if tokenizer.pad_token_id is None else tokenizer.pad_token_id

    @torch.inference_mode()
    def candidates(self, inputs: Sequence[str], strategy: Strategy, seed: int = 0) -> TextPool:
        """Candidate texts of every input.

        A sample depends on the seed, its number and its input alone (but for rounding). Beams rank by the sum of
        log-probabilities. ValueError: a strategy that it does not have; an input that is empty or too long; dropout-p
        of a model that has no dropout.
        """
        if isinstance(strategy, Joined):
            return _joined([self.candidates(inputs, part, seed) for part in strategy.parts])
        if isinstance(strategy, KBest):
            raise ValueError("k-best is for graph-based parsers; a generator has beam(b=WIDTH)")
        if isinstance(strategy, Beam) and strategy.ended:
            raise ValueError(f"{strategy} is of an s2s: what a generator's beam lists is the library's choice")
        number = strategy.num_candidates
        found = [
            self._generate(some, strategy, seed) for some in _chunks(list(inputs), max(1, self.batch_size // number))
        ]
        texts = tuple(zip(*(candidates for chunk in found for candidates in chunk)))
        pool = TextPool(texts, np.zeros((number, len(inputs)), dtype=np.float32))
        return TextPool(texts, self.log_probs(inputs, pool))

    @torch.inference_mode()
    def log_probs(self, inputs: Sequence[str], pool: TextPool) -> Float32[np.ndarray, "candidate input"]:
        """log p(text | input) of every candidate, whoever proposed it; equal ones are scored once.

        ValueError for candidates of other inputs. O(inputs + different candidates) passes over one text each.
        """
        if pool.texts and len(pool.texts[0]) != len(inputs):
            raise ValueError(f"candidates of {len(pool.texts[0])} inputs for {len(inputs)}")
        first = pool.first_equal()
        number, candidate = np.nonzero((first == np.arange(pool.num_candidates)[:, None]).T)
        scores = np.zeros(first.shape, dtype=np.float32)
        for some in _chunks(list(zip(number, candidate)), self.batch_size):
            pairs = [(inputs[n], pool.texts[c][n]) for n, c in some]
            scores[[c for _, c in some], [n for n, _ in some]] = self._scores(pairs)
        return np.take_along_axis(scores, first.astype(np.int64), axis=0)

    def _generate(self, inputs: list[str], strategy: Strategy, seed: int) -> list[list[str]]:
        """[input][candidate]"""
        number = strategy.num_candidates
        beam = isinstance(strategy, Beam)
        rows = [text for text in inputs for _ in range(1 if beam else number)]
        sample = torch.arange(len(rows), device=self.model.device) % number
        keys = torch.tensor([key(text) for text in rows], device=self.model.device)
        of_sample = torch.tensor([key(seed, "sample", i) for i in range(number)], device=self.model.device)
        keys = keys ^ of_sample[sample]
        beams = {}
        if beam:
            beams = {"num_beams": strategy.width, "num_return_sequences": min(strategy.width, number)}
            beams["length_penalty"] = 0.0  # they rank by sums
        chooser = [Chooser(strategy, keys)] if isinstance(strategy, Drawn) else []
        ids, mask = self._read(rows)
        with thinned_calls(self.model, keys, strategy.p if isinstance(strategy, DropoutP) else None):
            written = self.model.generate(
                input_ids=ids,
                attention_mask=mask,
                logits_processor=LogitsProcessorList(chooser),
                do_sample=False,
                max_new_tokens=self.max_new_tokens,
                pad_token_id=self.pad,
                eos_token_id=self.end,
                **beams,
            )
        texts = self.tokenizer.batch_decode(written if self.is_seq2seq else written[:, ids.shape[1] :], True)
        found = list(_chunks([text.strip() for text in texts], len(texts) // len(inputs)))
        return [candidates + candidates[:1] * (number - len(candidates)) for candidates in found]

    def _read(self, rows: list[str]) -> tuple[Tensor, Tensor]:
        """Ids and mask [row, position], padded on the left for a causal model: it goes on where the prompt ends."""
        prompts = [self._prompt_ids(text) for text in rows]
        return self._padded(prompts, self.pad, left=not self.is_seq2seq)

    def _prompt_ids(self, text: str) -> list[int]:
        ids = self.tokenizer(self.prompt(text), add_special_tokens=self.is_seq2seq)["input_ids"]
        longest = getattr(self.model.config, "max_position_embeddings", None) or 2**31
        if not ids or len(ids) + (0 if self.is_seq2seq else self.max_new_tokens) > longest:
            raise ValueError(f"an input has {len(ids)} tokens, which the model cannot read: {text[:60]!r}")
        return ids

    def _scores(self, pairs: list[tuple[str, str]]) -> Float32[np.ndarray, "pair"]:
        targets = [[*self._target_ids(text), self.end] for _, text in pairs]
        logits = (self._seq2seq_logits if self.is_seq2seq else self._causal_logits)(
            [text for text, _ in pairs], targets
        )
        expected, is_token = self._padded(targets, 0, left=False)
        log_probs = logits.float().log_softmax(dim=-1).gather(2, expected[:, :, None])[:, :, 0]
        total = (log_probs * is_token).sum(dim=1)
        return (total / is_token.sum(dim=1) if self.mean else total).cpu().numpy()

    def _target_ids(self, text: str) -> list[int]:
        return self.tokenizer(text_target=text, add_special_tokens=False)["input_ids"]

    def _seq2seq_logits(self, inputs: list[str], targets: list[list[int]]) -> Tensor:
        """[pair, position, token]; the encoder reads every input once."""
        different = list(dict.fromkeys(inputs))
        ids, mask = self._read(different)
        row = torch.tensor([different.index(text) for text in inputs], device=ids.device)
        encoded = self.model.get_encoder()(input_ids=ids, attention_mask=mask)
        encoded.last_hidden_state = encoded.last_hidden_state[row]
        start = self.model.generation_config.decoder_start_token_id or self.model.config.decoder_start_token_id or 0
        before, _ = self._padded([[start, *target[:-1]] for target in targets], self.pad, left=False)
        return self.model(encoder_outputs=encoded, attention_mask=mask[row], decoder_input_ids=before).logits

    def _causal_logits(self, inputs: list[str], targets: list[list[int]]) -> Tensor:
        """[pair, position, token], of the continuation alone."""
        prompts = [self._prompt_ids(text) for text in inputs]
        whole = [prompt + target[:-1] for prompt, target in zip(prompts, targets)]
        ids, mask = self._padded(whole, self.pad, left=False)
        logits = self.model(input_ids=ids, attention_mask=mask).logits
        first = torch.tensor([len(prompt) - 1 for prompt in prompts], device=ids.device)
        position = first[:, None] + torch.arange(max(map(len, targets)), device=ids.device)
        position = position.clamp(max=ids.shape[1] - 1)
        return logits.gather(1, position[:, :, None].expand(-1, -1, logits.shape[2]))

    def _padded(self, rows: list[list[int]], filler: int, left: bool) -> tuple[Tensor, Tensor]:
        longest = max(map(len, rows))
        gaps = [longest - len(row) for row in rows]
        filled = [[filler] * gap + row if left else row + [filler] * gap for row, gap in zip(rows, gaps)]
        place = torch.arange(longest)
        gap = torch.tensor(gaps)[:, None]
        mask = place >= gap if left else place < longest - gap
        return torch.tensor(filled).to(self.model.device), mask.long().to(self.model.device)


class Chooser(LogitsProcessor):
    """Samples by our own rules inside `generate`: the token that is drawn is the only one left to choose."""

    def __init__(self, strategy: Drawn, keys: Tensor) -> None:
        self.strategy, self.keys, self.step = strategy, keys, 0

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        probs = kept_probs(scores.float().log_softmax(dim=-1), self.strategy)
        token = draw(probs, uniform(self.keys, self.step))
        self.step += 1
        return torch.full_like(scores, float("-inf")).scatter(1, token[:, None], 0.0)


def _joined(pools: Sequence[TextPool]) -> TextPool:
    """Their texts as one pool, equal ones of an input once."""
    texts = tuple(column for pool in pools for column in pool.texts)
    together = TextPool(texts, np.concatenate([pool.log_probs for pool in pools]))
    order = distinct_first(together.first_equal())
    arranged = tuple(tuple(together.chosen(choice)) for choice in order)
    return TextPool(arranged, np.take_along_axis(together.log_probs, order, axis=0))


def _chunks(items: list, size: int) -> Iterator[list]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
