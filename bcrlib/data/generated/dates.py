"""A task for any generator, small enough for a notebook: dates as people write them, written as computers do.

Most dates say which number is the month. Those with slashes do not, so that two models that are equally good disagree.
"""

import random

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from bcrlib.parsers.batches import one_core
from bcrlib.parsers.generator import Generator

MONTHS = ["january", "february", "march", "april", "may", "june", "july", "august", "september"]
MONTHS += ["october", "november", "december"]
BATCH, RATE = 64, 4e-3


def examples(number: int, seed: int) -> list[tuple[str, str]]:
    """Dates and the same in the form year-month-day."""
    draw = random.Random(seed)
    return [_example(draw) for _ in range(number)]


def _example(draw: random.Random) -> tuple[str, str]:
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


def prompt(text: str) -> str:
    """What the language model continues."""
    return text + "-"


@one_core()
def date_writer(seed: int, num_steps: int = 250) -> Generator:
    """A causal model of two layers that has learnt the task: a few seconds on one core of a laptop.

    The seed gives its initial weights and what it sees. Trained without dropout: it learns faster.
    """
    torch.manual_seed(seed)
    tokenizer, seen = date_tokenizer(), examples(num_steps * BATCH, seed)
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
    return Generator(model, tokenizer, max_new_tokens=12, batch_size=1000, prompt=prompt, one_core=True)


def _loss(model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerFast, pairs: list[tuple[str, str]]) -> torch.Tensor:
    """Mean -log p of the tokens after the prompt."""
    batch = tokenizer([prompt(text) + date + tokenizer.eos_token for text, date in pairs], padding=True)
    ids, mask = torch.tensor(batch["input_ids"]), torch.tensor(batch["attention_mask"])
    written = torch.tensor([len(date) + 1 for _, date in pairs])  # character by character, and the end
    is_prompt = torch.arange(ids.shape[1]) < (mask.sum(dim=1) - written)[:, None]
    labels = ids.masked_fill(is_prompt | (mask == 0), -100)
    logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1]
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten())
