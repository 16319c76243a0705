"""Any Hugging Face generator as a model that proposes and judges: sequence-to-sequence or causal, text in, text out.

Proposing and scoring follow one distribution: the model's own, without the processors, temperatures and beams that its
`generation_config` may ask for. A candidate keeps the tokens that were generated, so that a model scores exactly what
it wrote, the end included. A judge with another vocabulary encodes the text anew, behind its own prompt. Strategies
and re-ranking are those of the parsers.
"""

import inspect
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int16
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.generation import LogitsProcessor, LogitsProcessorList

from bcrlib.data.candidates import distinct_first
from bcrlib.data.files import num_shared
from bcrlib.data.randomness import key
from bcrlib.parsers.batches import Runtime
from bcrlib.samplers.dropout_p import thinned_calls, uniform
from bcrlib.samplers.search import draw, kept_probs
from bcrlib.samplers.strategies import Beam, Drawn, DropoutP, Joined, KBest, OneBest, Strategy

Ids = tuple[int, ...]
_PROCESSORS = (
    "bad_words_ids", "forced_eos_token_id", "exponential_decay_length_penalty", "suppress_tokens",
    "begin_suppress_tokens", "sequence_bias", "stop_strings", "watermarking_config",
)  # fmt: skip
LEFT_OUT = dict.fromkeys(_PROCESSORS) | {
    "repetition_penalty": 1.0, "encoder_repetition_penalty": 1.0, "guidance_scale": 1.0, "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0, "min_length": 0, "min_new_tokens": 0,
}  # fmt: skip
"""Settings of a generation_config that change what a model may write, beside the value that, as None, asks for nothing.

Nothing could score what is written under them.
"""


@dataclass(frozen=True, eq=False)
class TextPool:
    """The same number of candidate texts for every input, duplicates kept."""

    texts: tuple[tuple[str, ...], ...]
    """[candidate][input], with the white space that was written: a causal model often begins with a space."""
    log_probs: Float32[np.ndarray, "candidate input"]
    """log p(text | input) under the model that proposed it."""
    tokens: tuple[tuple[Ids, ...], ...] | None = None
    """[candidate][input], the ids that were generated, the end included where it was written; None: texts only."""
    tokenizer: PreTrainedTokenizerBase | None = None
    """Whose ids they are."""
    ended: Bool[np.ndarray, "candidate input"] | None = None
    """Which texts came to an end; the others were cut off at max_new_tokens. None: all."""

    @property
    def num_candidates(self) -> int:
        return len(self.texts)

    def first_equal(self) -> Int16[np.ndarray, "candidate input"]:
        """Index of the first candidate of the input that is the same text. O(candidates inputs)."""
        of_inputs = [[column.index(text) for text in column] for column in zip(*self.texts)]
        return np.array(of_inputs, dtype=np.int16).reshape(-1, self.num_candidates).T

    def chosen(self, choice: Sequence[int]) -> list[str]:
        """The candidate of each input that a re-ranker chose, without white space around it."""
        return [self.texts[candidate][number].strip() for number, candidate in enumerate(choice)]


class Generator:
    """A model of `AutoModelForSeq2SeqLM` or `AutoModelForCausalLM` with its tokenizer, on the device where it is.

    prompt: what a causal model continues, made of an input; a sequence-to-sequence model reads it. It should end in a
    space where a causal model scores texts that begin without one. mean: whether a text is scored by the mean
    log-probability of its tokens, not by the sum. thin_blocks: dropout-p masks what every block
    adds, in place of the model's dropouts; for models without any, such as Llama. one_core: whether it decodes and
    scores in one thread, as small models should, for which several threads only wait for each other.
    ValueError: neither model nor tokenizer has an end of sequence. UserWarning: names the settings of the model's
    generation_config that are left out (`LEFT_OUT`).
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
        thin_blocks: bool = False,
        one_core: bool = False,
    ) -> None:
        self.model, self.tokenizer, self.prompt, self.mean = model.eval(), tokenizer, prompt, mean
        self.runtime = Runtime(one_core=one_core)
        self.max_new_tokens, self.batch_size, self.thin_blocks = max_new_tokens, batch_size, thin_blocks
        self.is_seq2seq = model.config.is_encoder_decoder
        if not self.ends:
            raise ValueError("neither model nor tokenizer knows an end of sequence, so that no text would end")
        asked = {name: getattr(model.generation_config, name, None) for name in LEFT_OUT}
        if left_out := [f"{name}={value}" for name, value in asked.items() if value not in (None, LEFT_OUT[name])]:
            warnings.warn(
                f"left out of the model's generation_config: {', '.join(left_out)}. Texts are proposed and scored by "
                "the model's own distribution",
                stacklevel=2,
            )

    @property
    def ends(self) -> list[int]:
        """Tokens that end a text: the tokenizer's, which is scored where a text of others ends, and the model's."""
        of_model = self.model.generation_config.eos_token_id
        of_model = [of_model] if isinstance(of_model, int) else of_model or []
        return list(dict.fromkeys(end for end in (self.tokenizer.eos_token_id, *of_model) if end is not None))

    @property
    def start(self) -> Ids:
        """What a decoder reads before it writes: its start, and the first token that the model's settings force."""
        settings = (self.model.generation_config, self.model.config)
        names = ("decoder_start_token_id", "bos_token_id")
        starts = [getattr(where, name, None) for name in names for where in settings]
        start = next((token for token in starts if token is not None), 0)
        forced = self.model.generation_config.forced_bos_token_id
        return (start,) if forced is None else (start, forced)

    @torch.inference_mode()
    def candidates(self, inputs: Sequence[str], strategy: Strategy, seed: int = 0) -> TextPool:
        """Candidate texts of every input.

        A sample depends on the seed, its number and its input alone (but for rounding). Beams rank by the sum of
        log-probabilities. Candidates of one text may be spelt with different tokens, each with its own probability.
        ValueError: a strategy that it does not have; an input that is empty or too long; dropout-p of a model that has
        no dropout, without `thin_blocks`.
        """
        if isinstance(strategy, Joined):
            return _joined([self.candidates(inputs, part, seed) for part in strategy.parts])
        if isinstance(strategy, KBest):
            raise ValueError("k-best is for graph-based parsers; a generator has beam(b=WIDTH)")
        if isinstance(strategy, Beam) and strategy.ended:
            raise ValueError(f"{strategy} is of an s2s: what a generator's beam lists is the library's choice")
        number = strategy.num_candidates
        rows = strategy.width if isinstance(strategy, Beam) else number  # of one input
        batches = _chunks(list(inputs), max(1, self.batch_size // rows))
        found = [candidates for some in batches for candidates in self._generate(some, strategy, seed)]
        tokens = tuple(tuple(candidates[c] for candidates in found) for c in range(number))
        by_input = [self._texts(text, candidates) for text, candidates in zip(inputs, found)]
        texts = tuple(tuple(candidates[c] for candidates in by_input) for c in range(number))
        ended = np.array([[ids[-1:] != () and ids[-1] in self.ends for ids in row] for row in tokens], dtype=bool)
        pool = TextPool(texts, np.zeros((number, len(inputs)), np.float32), tokens, self.tokenizer, ended)
        return TextPool(texts, self.log_probs(inputs, pool), tokens, self.tokenizer, ended)

    @torch.inference_mode()
    def log_probs(self, inputs: Sequence[str], pool: TextPool) -> Float32[np.ndarray, "candidate input"]:
        """log p(text | input) of every candidate, whoever proposed it; equal ones are scored once.

        A text that was cut off is scored without an end. ValueError for candidates of other inputs, and for those that
        are longer than the model can read. UserWarning: texts of another vocabulary that do not survive encoding, so
        that something else is scored. O(inputs + different candidates) passes over one text each.
        """
        if pool.texts and len(pool.texts[0]) != len(inputs):
            raise ValueError(f"candidates of {len(pool.texts[0])} inputs for {len(inputs)}")
        scores = np.zeros((pool.num_candidates, len(inputs)), dtype=np.float32)
        pairs: dict[tuple[int, Ids, Ids], list[int]] = {}  # input, what is read, what is scored -> candidates
        lossy, reads_ids = [], self._reads_ids_of(pool)
        for number, text in enumerate(inputs):
            targets = (self._written if reads_ids else self._encoded)(text, number, pool)
            for candidate, (context, target) in enumerate(targets):
                self._check_length(len(context), len(target), text)
                pairs.setdefault((number, context, target), []).append(candidate)
                if not reads_ids and not self._says(target, pool.texts[candidate][number]):
                    lossy.append(pool.texts[candidate][number])
        if lossy:
            warnings.warn(
                f"{len(lossy)} of {scores.size} texts are not what this tokenizer makes of them, so that something "
                f"else is scored; the first: {lossy[0][:60]!r}",
                stacklevel=3,
            )
        for some in _chunks(list(pairs.items()), self.batch_size):
            with self.runtime.threads():
                found = self._scores([(inputs[number], context, target) for (number, context, target), _ in some])
            for ((number, *_), candidates), score in zip(some, found):
                scores[candidates, number] = score
        return scores

    def _generate(self, inputs: list[str], strategy: Strategy, seed: int) -> list[list[Ids]]:
        """[input][candidate], ids up to the end and with it."""
        number = strategy.num_candidates
        beam = isinstance(strategy, Beam)
        rows = [text for text in inputs for _ in range(1 if beam else number)]
        sample = torch.arange(len(rows), device=self.model.device) % number
        keys = torch.tensor([key(text) for text in rows], device=self.model.device)
        of_sample = torch.tensor([key(seed, "sample", i) for i in range(number)], device=self.model.device)
        keys = keys ^ of_sample[sample]
        settings = {"max_new_tokens": self.max_new_tokens, "do_sample": False, "num_beams": 1}
        if beam:
            settings |= {"num_beams": strategy.width, "num_return_sequences": min(strategy.width, number)}
            settings["length_penalty"] = 0.0  # they rank by sums
        chooser = [Chooser(strategy, keys)] if isinstance(strategy, Drawn) else []
        prompts = [self._prompt_ids(text) for text in rows]
        for prompt, text in zip(prompts, rows):
            self._check_length(len(prompt), self.max_new_tokens, text)
        ids, mask = self._padded(prompts, left=not self.is_seq2seq)
        start = torch.tensor([self.start] * len(rows), device=ids.device)
        own = self.model.generation_config
        self.model.generation_config = GenerationConfig(  # in place of the model's: no setting of its comes through
            eos_token_id=self.ends, pad_token_id=self._pad, decoder_start_token_id=self.start[0], **settings
        )
        try:
            p = strategy.p if isinstance(strategy, DropoutP) else None
            with self.runtime.threads(), thinned_calls(self.model, keys, p, self.thin_blocks):
                written = self.model.generate(
                    input_ids=ids,
                    attention_mask=mask,
                    logits_processor=LogitsProcessorList(chooser),
                    **({"decoder_input_ids": start} if self.is_seq2seq else {}),
                )
        finally:
            self.model.generation_config = own
        before = len(self.start) if self.is_seq2seq else ids.shape[1]
        cut = [self._cut(row) for row in written[:, before:].tolist()]
        found = list(_chunks(cut, len(cut) // len(inputs)))
        return [candidates + candidates[:1] * (number - len(candidates)) for candidates in found]

    def _cut(self, ids: list[int]) -> Ids:
        """Without what fills it up behind the first end."""
        length = next((place + 1 for place, token in enumerate(ids) if token in self.ends), len(ids))
        return tuple(ids[:length])

    def _texts(self, text: str, candidates: Sequence[Ids]) -> list[str]:
        """As they stand behind their prompt, where pieces may begin with a space; brackets stay if they are special."""
        tokenizer = self.tokenizer
        unseen = {tokenizer.bos_token_id, tokenizer.pad_token_id, tokenizer.cls_token_id, tokenizer.sep_token_id}
        unseen.update(self.ends)
        prompt = () if self.is_seq2seq else self._prompt_ids(text)
        before, found = self._decoded(prompt), {}
        for ids in dict.fromkeys(candidates):
            kept = [token for token in ids if token not in unseen]
            whole = self._decoded([*prompt, *kept])
            found[ids] = whole[len(before) :] if whole.startswith(before) else self._decoded(kept)
        return [found[ids] for ids in candidates]

    def _decoded(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)

    def _reads_ids_of(self, pool: TextPool) -> bool:
        """Whether the ids of a pool mean to this model's tokenizer what they mean to the proposer's."""
        if pool.tokens is None or pool.tokenizer is self.tokenizer:
            return pool.tokens is not None
        return pool.tokenizer.get_vocab() == self.tokenizer.get_vocab()

    def _says(self, target: Ids, text: str) -> bool:
        """Whether tokens are the whole text, but for white space. Half a character, cut off, is U+FFFD in a text."""
        kept = [token for token in target if token not in self.ends]
        is_known = self.tokenizer.unk_token_id not in kept and "\ufffd" not in text
        return is_known and "".join(self._decoded(kept).split()).endswith("".join(text.split()))

    def _written(self, text: str, number: int, pool: TextPool) -> list[tuple[Ids, Ids]]:
        """What is read and what is scored, of every candidate of an input: the tokens that the proposer wrote."""
        prompt, written = self._prompt_ids(text), [row[number] for row in pool.tokens]
        if pool.ended is not None:  # an end that is none to this model stands for its own
            is_own = [not ended or ids[-1] in self.ends for ids, ended in zip(written, pool.ended[:, number])]
            written = [ids if own else (*ids[:-1], self.ends[0]) for ids, own in zip(written, is_own)]
        return [(prompt, ids) for ids in written]

    def _encoded(self, text: str, number: int, pool: TextPool) -> list[tuple[Ids, Ids]]:
        """The same for texts, encoded anew."""
        prompt = self._prompt_ids(text)
        ended = [True] * pool.num_candidates if pool.ended is None else pool.ended[:, number]
        last = [(self.ends[0],) if end else () for end in ended]
        texts = [row[number] for row in pool.texts]
        if self.is_seq2seq:  # nothing stands before a text that a space could part it from
            texts = [one.lstrip() for one in texts]
            ids = self.tokenizer(text_target=texts, add_special_tokens=False)["input_ids"]
            return [(prompt, (*some, *end)) for some, end in zip(ids, last)]
        # A piece may reach across the border. What all share of the prompt's pieces is read, the rest is scored.
        whole = [self._behind_prefix(self.prompt(text) + one) for one in texts]
        kept = min(num_shared(prompt, ids) for ids in whole)
        if not kept:  # something must be read: then the text is encoded by itself
            alone = self.tokenizer(texts, add_special_tokens=False)["input_ids"]
            kept, whole = len(prompt), [(*prompt, *ids) for ids in alone]
        return [(prompt[:kept], (*ids[kept:], *end)) for ids, end in zip(whole, last)]

    def _prompt_ids(self, text: str) -> Ids:
        asked = self.prompt(text)
        return tuple(self.tokenizer(asked)["input_ids"]) if self.is_seq2seq else self._behind_prefix(asked)

    def _check_length(self, num_read: int, num_written: int, text: str) -> None:
        """The last token that is written is never read."""
        positions = getattr(self.model.config, "max_position_embeddings", None) or 2**31
        longest = max(num_read, len(self.start) + num_written - 1) if self.is_seq2seq else num_read + num_written - 1
        if not num_read or longest > positions:
            raise ValueError(
                f"the model cannot read {num_read} tokens of an input and write {num_written}; it has {positions} "
                f"positions: {text[:60]!r}"
            )

    def _behind_prefix(self, text: str) -> Ids:
        """What a causal model reads: the tokenizer's own prefix, once, and no end."""
        plain, whole = (
            tuple(self.tokenizer(text, add_special_tokens=special)["input_ids"]) for special in (False, True)
        )
        place = next((k for k in range(len(whole)) if whole[k : k + len(plain)] == plain), 0)
        prefix = whole[:place] if plain else tuple(token for token in whole[:1] if token == self.tokenizer.bos_token_id)
        return plain if plain[: len(prefix)] == prefix else prefix + plain

    def _scores(self, rows: list[tuple[str, Ids, Ids]]) -> Float32[np.ndarray, "row"]:
        """Of input, what is read and what is scored. Row by row: log-probabilities of a vocabulary fill a memory."""
        logits, first = self._seq2seq_logits(rows) if self.is_seq2seq else self._causal_logits(rows)
        scores = []
        for row, start, (_, _, target) in zip(logits, first, rows):
            log_probs = row[start : start + len(target)].float().log_softmax(dim=-1)
            expected = torch.tensor(target, device=row.device, dtype=torch.long)
            total = log_probs.gather(1, expected[:, None]).sum()
            scores.append(total / max(1, len(target)) if self.mean else total)
        return torch.stack(scores).cpu().numpy()

    def _seq2seq_logits(self, rows: list[tuple[str, Ids, Ids]]) -> tuple[Tensor, list[int]]:
        """[row, position, token], and where the first token is foretold; the encoder reads every input once."""
        different = list(dict.fromkeys(context for _, context, _ in rows))
        ids, mask = self._padded(different, left=False)
        row = torch.tensor([different.index(context) for _, context, _ in rows], device=ids.device)
        encoded = self.model.get_encoder()(input_ids=ids, attention_mask=mask)
        encoded.last_hidden_state = encoded.last_hidden_state[row]
        before, _ = self._padded([(*self.start, *target)[:-1] or self.start for _, _, target in rows], left=False)
        logits = self.model(encoder_outputs=encoded, attention_mask=mask[row], decoder_input_ids=before).logits
        return logits, [len(self.start) - 1] * len(rows)

    def _causal_logits(self, rows: list[tuple[str, Ids, Ids]]) -> tuple[Tensor, list[int]]:
        """[row, position, token], and where the first token of the continuation is foretold.

        What several rows read before they write is read once, where that saves more tokens than are scored.
        """
        before = [context[:-1] for _, context, _ in rows]
        written = [(*context[-1:], *target)[:-1] or context[-1:] for _, context, target in rows]
        different, can = list(dict.fromkeys(before)), inspect.signature(self.model.forward).parameters
        num_saved = sum(map(len, before)) - sum(map(len, different))
        if num_saved > sum(map(len, written)) and {"position_ids", "past_key_values", "logits_to_keep"} <= can.keys():
            ids, mask = self._padded(different, left=True)
            settings = {"position_ids": (mask.cumsum(1) - 1).clamp(min=0), "use_cache": True, "logits_to_keep": 1}
            cache = self.model(input_ids=ids, attention_mask=mask, **settings).past_key_values
            row = torch.tensor([different.index(context) for context in before], device=ids.device)
            cache.reorder_cache(row)
            ids, behind = self._padded(written, left=False)
            mask = torch.cat([mask[row], behind], dim=1)
            settings = {"position_ids": (mask.cumsum(1) - 1)[:, -ids.shape[1] :], "past_key_values": cache}
            return self.model(input_ids=ids, attention_mask=mask, **settings).logits, [0] * len(rows)
        ids, mask = self._padded([context + last for context, last in zip(before, written)], left=False)
        # Of a prompt's tokens, a vocabulary each: much memory.
        skipped = min(map(len, before)) if "logits_to_keep" in can else 0
        settings = {"logits_to_keep": ids.shape[1] - skipped} if skipped else {}
        logits = self.model(input_ids=ids, attention_mask=mask, **settings).logits
        return logits, [len(context) - skipped for context in before]

    def _padded(self, rows: Sequence[Ids], left: bool) -> tuple[Tensor, Tensor]:
        """Ids and mask [row, position]. A causal model goes on where its prompt ends: that is padded on the left."""
        longest = max(map(len, rows))
        gaps = [longest - len(row) for row in rows]
        filled = [[self._pad] * gap + [*row] if left else [*row] + [self._pad] * gap for row, gap in zip(rows, gaps)]
        place = torch.arange(longest)
        gap = torch.tensor(gaps)[:, None]
        mask = place >= gap if left else place < longest - gap
        return torch.tensor(filled).to(self.model.device).long(), mask.long().to(self.model.device)

    @property
    def _pad(self) -> int:
        return self.ends[0] if self.tokenizer.pad_token_id is None else self.tokenizer.pad_token_id


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
    """Candidates of one generator as one pool, equal texts of an input first and once each."""
    texts, tokens = (tuple(row for pool in pools for row in getattr(pool, name)) for name in ("texts", "tokens"))
    log_probs, ended = (np.concatenate([getattr(pool, name) for pool in pools]) for name in ("log_probs", "ended"))
    order = distinct_first(TextPool(texts, log_probs).first_equal())
    texts, tokens = (
        tuple(tuple(rows[c][n] for n, c in enumerate(choice)) for choice in order) for rows in (texts, tokens)
    )
    log_probs, ended = (np.take_along_axis(values, order, axis=0) for values in (log_probs, ended))
    return TextPool(texts, log_probs, tokens, pools[0].tokenizer, ended)


def _chunks(items: list, size: int) -> Iterator[list]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
