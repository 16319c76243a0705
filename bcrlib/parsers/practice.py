"""Models that learn in seconds, to look into: a seq2seq-pointer parser token by token, a language model of dates.

Of the parser one sees what it may write next, how probable that is, what dropout hides.  An *action* is the end (0), a
bracket (1 .. 2 L) or a pointer at a piece of the utterance (`bcrlib.parsers.pieces`).

The other task is for any generator: dates as people write them, written as computers do.  Most dates say which number
is the month. Those with slashes do not, so that two models that are equally good disagree.
"""

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from bcrlib.data.frame_candidates import FramePool
from bcrlib.data.frames import FrameBank
from bcrlib.data.presets import Preset
from bcrlib.parsers.batches import Runtime, one_core
from bcrlib.parsers.configuration import SMALL
from bcrlib.parsers.generator import Generator
from bcrlib.parsers.pieces import Pieces
from bcrlib.parsers.s2s import Seq2SeqParser
from bcrlib.parsers.s2s_network import make_source
from bcrlib.parsers.training import new_parser, train
from bcrlib.samplers.dropout_p import Thinning
from bcrlib.samplers.rules import END, BracketRules

MONTHS = ["january", "february", "march", "april", "may", "june", "july", "august", "september"]
MONTHS += ["october", "november", "december"]
BATCH, RATE = 64, 4e-3


def practice_parser(bank: FrameBank, num_epochs: int, seed: int = 1) -> Seq2SeqParser:
    """A small parser trained for a while, on one core: to look into, not to measure. num_epochs 0: untrained."""
    sizes, recipe = SMALL["s2s"]
    if not num_epochs:
        return new_parser(sizes, bank, seed, Runtime(one_core=True))
    return train("s2s", bank, seed=seed, recipe=replace(recipe, num_epochs=num_epochs))


def redefined(parser: Seq2SeqParser, definitions: Preset, constrained: bool = False) -> Seq2SeqParser:
    """The same networks under other definitions."""
    other = Seq2SeqParser(parser.networks, parser.labels, parser.tokenizer, parser.runtime)
    other.definitions, other.config = definitions, replace(parser.config, constrained=constrained)
    return other


def piece_texts(parser: Seq2SeqParser, words: Sequence[str]) -> list[str]:
    """The pieces of an utterance as text; a piece that continues a word begins with "##"."""
    return [parser.tokenizer.id_to_token(int(i)) for i in _pieces(parser, words).ids]


def action_names(parser: Seq2SeqParser, words: Sequence[str]) -> list[str]:
    """What each action writes: "end", "[IN:GET_EVENT", "IN:GET_EVENT]", and the pieces with their numbers from 1."""
    opening, closing = ([f"[{label}" for label in parser.labels], [f"{label}]" for label in parser.labels])
    pieces = [f"{number}:{text}" for number, text in enumerate(piece_texts(parser, words), start=1)]
    return ["end", *opening, *closing, *pieces]


@torch.inference_mode()
def next_log_probs(
    parser: Seq2SeqParser, words: Sequence[str], actions: Sequence[int]
) -> Float[np.ndarray, "step action"]:
    """log p of every action before the first of these actions, after it, ..., after the last.  O(actions^2)."""
    network = parser.network
    memory = network.memory(make_source(_pieces(parser, words), np.array([0]), parser.runtime.device))
    return network.decoder(torch.tensor([[END, *actions]]), memory)[0].numpy()


def greedy_actions(parser: Seq2SeqParser, words: Sequence[str]) -> list[int]:
    """The most probable action, again and again until the end (or the longest frame).  The end is the last one."""
    actions: list[int] = []
    while len(actions) < parser.config.max_steps:
        actions.append(int(next_log_probs(parser, words, actions)[-1].argmax()))
        if actions[-1] == END:
            break
    return actions


def step_rows(parser: Seq2SeqParser, words: Sequence[str], actions: Sequence[int]) -> pd.DataFrame:
    """Every action of a target with its probability and the most probable other one; log_prob adds up."""
    names, log_probs = action_names(parser, words), next_log_probs(parser, words, actions[:-1])
    rows, total = [], 0.0
    for step, (action, of_step) in enumerate(zip(actions, log_probs), start=1):
        total += of_step[action]
        others = of_step.copy()
        others[action] = -np.inf
        rival = int(others.argmax())
        row = {"step": step, "action": names[action], "p": np.exp(of_step[action]), "log p so far": total}
        rows.append(row | {"next best": names[rival], "its p": np.exp(of_step[rival])})
    return pd.DataFrame(rows)


def allowed_actions(
    parser: Seq2SeqParser, words: Sequence[str], actions: Sequence[int]
) -> list[Bool[np.ndarray, "action"]]:
    """Which actions the rules allow before the first of these actions, after it, ..., after the last."""
    pieces = _pieces(parser, words)
    starts = torch.from_numpy(pieces.part == 0)[None]
    rules = BracketRules(len(parser.labels), torch.from_numpy(pieces.lengths), starts, parser.config.max_steps)
    allowed = [rules.allowed(0)[0, 0].numpy()]
    for step, action in enumerate(actions, start=1):
        rules.advance(torch.zeros(1, 1, dtype=torch.int64), torch.tensor([[action]]))
        allowed.append(rules.allowed(step)[0, 0].numpy())
    return allowed


def dropped_units(
    p: float, num_steps: int, num_units: int, per_step: bool, seed: int = 0
) -> Bool[np.ndarray, "step unit"]:
    """Which units of one place in the decoder a sample of dropout-p switches off while it writes."""
    thinning = Thinning(torch.tensor([seed]), p, p, per_step)
    masks = thinning.features("decoder.0.0", torch.ones(1, num_steps, num_units), 0)[0]
    return (masks == 0).expand(num_steps, num_units).numpy()


def encoded_rows(parser: Seq2SeqParser, bank: FrameBank, pool: FramePool) -> int:
    """How many utterances pass through the encoder while a pool is scored."""
    rows: list[int] = []
    hook = parser.network.encoder.register_forward_hook(lambda module, given, output: rows.append(len(output)))
    parser.log_probs(bank, pool)
    hook.remove()
    return sum(rows)


def _pieces(parser: Seq2SeqParser, words: Sequence[str]) -> Pieces:
    return parser.read(FrameBank((tuple(words),), ()))


def dates(number: int, seed: int) -> list[tuple[str, str]]:
    """Dates and the same in the form year-month-day."""
    draw = random.Random(seed)
    return [_date(draw) for _ in range(number)]


def _date(draw: random.Random) -> tuple[str, str]:
    day, month, year = draw.randint(1, 28), draw.randint(1, 12), draw.randint(1990, 2029)
    name = draw.choice([MONTHS[month - 1], MONTHS[month - 1][:3]])
    with_name = [f"{day} {name} {year}", f"{name} {day} {year}", f"{day} {name} {year % 100:02d}"]
    text = draw.choice([*with_name, f"{day}/{month}/{year}", f"{month}/{day}/{year}"])
    return text, f"{year}-{month:02d}-{day:02d}"


def date_tokenizer() -> PreTrainedTokenizerFast:
    """Names of months are tokens, all else is read character by character."""
    names = dict.fromkeys(name for month in MONTHS for name in (month, month[:3]))
    vocabulary = {token: i for i, token in enumerate(["<pad>", "</s>", "<unk>", *"0123456789 /-", *names])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("[a-z]+|."), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


def date_prompt(text: str) -> str:
    """What the language model continues."""
    return text + "-"


@one_core()
def date_writer(seed: int, num_steps: int = 250) -> Generator:
    """A causal model of two layers that has learnt the task: a few seconds on one core of a laptop.

    The seed gives its initial weights and what it sees. Trained without dropout: it learns faster.
    """
    torch.manual_seed(seed)
    tokenizer, seen = date_tokenizer(), dates(num_steps * BATCH, seed)
    sizes = {"n_positions": 48, "n_embd": 48, "n_layer": 2, "n_head": 2, "vocab_size": len(tokenizer)}
    sizes["activation_function"] = "gelu_pytorch_tanh"  # GPT-2's own, as one operation
    model = GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=1, eos_token_id=1, pad_token_id=0)).eval()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=num_steps)
    for step in range(num_steps):
        _loss(model, tokenizer, seen[step * BATCH : (step + 1) * BATCH]).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    return Generator(model, tokenizer, max_new_tokens=12, batch_size=1000, prompt=date_prompt, one_core=True)


def _loss(model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerFast, pairs: list[tuple[str, str]]) -> torch.Tensor:
    """Mean -log p of the tokens after the prompt."""
    batch = tokenizer([date_prompt(text) + date + tokenizer.eos_token for text, date in pairs], padding=True)
    ids, mask = torch.tensor(batch["input_ids"]), torch.tensor(batch["attention_mask"])
    written = torch.tensor([len(date) + 1 for _, date in pairs])  # character by character, and the end
    is_prompt = torch.arange(ids.shape[1]) < (mask.sum(dim=1) - written)[:, None]
    labels = ids.masked_fill(is_prompt | (mask == 0), -100)
    logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1]
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten())
