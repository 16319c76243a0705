"""Files of an update made from our own grammars by random mistakes, for tests of `bcr compare`."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from random_trees import random_mistakes

from bcrlib.comparison.read import read_update
from bcrlib.data.frames import frame_text
from bcrlib.data.generated.frames import generate_frames
from bcrlib.data.generated.trees import generate_treebank
from bcrlib.data.presets import Preset
from bcrlib.data.treebank import Treebank, format_conllu


def evaluate_files(gold: Path, old: Path, new: Path, preset: Preset) -> dict[str, dict[str, float]]:
    """What `bcr evaluate --json` prints."""
    return read_update(gold, old, new, [], preset).rates()


def write_trees(treebank: Treebank, path: Path, order: Sequence[int] | None = None, ids: str | None = "s{}") -> Path:
    """CoNLL-U of these sentences in this order, with `ids` filled in by their number, or without."""
    blocks = format_conllu(treebank).split("\n\n")[:-1]
    order = range(len(blocks)) if order is None else order
    comment = "" if ids is None else f"# sent_id = {ids}\n"
    path.write_text("".join(f"{comment.format(i)}{blocks[i]}\n\n" for i in order), "utf-8")
    return path


def tree_update(folder: Path, num_sentences: int = 60, num_models: int = 3, seed: int = 0) -> list[Path]:
    """Gold and predictions of so many models: gold.conllu, old.conllu, new.conllu, seed1.conllu, ..."""
    rng = np.random.default_rng(seed)
    gold = generate_treebank(num_sentences, seed)
    names = ["gold", "old", "new", *(f"seed{i}" for i in range(1, num_models - 1))]
    banks = [gold, *(random_mistakes(gold, rng, 0.3) for _ in range(num_models))]
    return [write_trees(bank, folder / f"{name}.conllu") for name, bank in zip(names, banks)]


def write_rows(sentences: Sequence[Sequence[tuple[str, str, int, str]]], path: Path) -> Path:
    """CoNLL-U of sentences of (form, upos, head, relation)."""
    lines = []
    for sentence in sentences:
        rows = [f"{i}\t{f}\t_\t{u}\t_\t_\t{h}\t{r}\t_\t_" for i, (f, u, h, r) in enumerate(sentence, start=1)]
        lines += ["# a comment", *rows, ""]
    path.write_text("\n".join(lines) + "\n")
    return path


GOLD_TREES = [
    [("she", "PRON", 2, "nsubj"), ("ran", "VERB", 0, "root"), (".", "PUNCT", 2, "punct")],
    [("go", "VERB", 0, "root"), ("home", "ADV", 1, "advmod"), ("$", "SYM", 2, "dep")],
]
UTTERANCES = ["call my mum now", "where is it", "stop"]
GOLD_FRAMES = ["[IN:CALL call [SL:WHO my mum ] [SL:WHEN now ] ]", "[IN:WHERE where is it ]", "[IN:STOP stop ]"]
OLD_FRAMES = [GOLD_FRAMES[0], "[IN:WHERE where is it", GOLD_FRAMES[2]]  # the second is never closed
NEW_FRAMES = [
    "[IN:CALL call [SL:WHAT my mum ] [SL:WHEN now ] ]",
    GOLD_FRAMES[1],
    "",
]  # another label; nothing


def frame_rows(parses: Sequence[str]) -> str:
    """Rows of TOP of the three utterances."""
    return "".join(f"{utterance}\t{parse}\n" for utterance, parse in zip(UTTERANCES, parses))


def frame_files(folder: Path) -> list[Path]:
    """Gold, old, new: no suffix says what is in them."""
    for name, parses in (("gold", GOLD_FRAMES), ("old", OLD_FRAMES), ("new", NEW_FRAMES)):
        (folder / name).write_text(frame_rows(parses))
    return [folder / name for name in ("gold", "old", "new")]


def frame_update(folder: Path, num_utterances: int = 80, seed: int = 0) -> list[Path]:
    """gold.tsv, old.tsv and new.tsv: some labels differ, some predictions are no tree."""
    rng = np.random.default_rng(seed)
    bank = generate_frames(num_utterances, seed)
    gold = [frame_text(frame) for frame in bank.frames]
    paths = []
    for name, rate in (("gold", 0), ("old", 0.4), ("new", 0.35)):
        parses = [_mistaken(parse, rng) if rng.random() < rate else parse for parse in gold]
        paths.append(folder / f"{name}.tsv")
        rows = [f"{' '.join(words)}\t{parse}\n" for words, parse in zip(bank.utterances, parses)]
        paths[-1].write_text("".join(rows), "utf-8")
    return paths


def _mistaken(parse: str, rng: np.random.Generator) -> str:
    kind = rng.integers(3)
    if kind == 0:
        return parse[:-2]
    return parse.replace("SL:DATE_TIME", "SL:LOCATION") if kind == 1 else parse.replace("[IN:GET_", "[IN:SET_", 1)


def write_items(items: Sequence[dict], path: Path) -> Path:
    """JSON Lines."""
    path.write_text("".join(json.dumps(item) + "\n" for item in items), "utf-8")
    return path


def random_items(num_items: int, seed: int = 0) -> list[dict]:
    """Items of three languages, two further seeds, some missing."""
    rng = np.random.default_rng(seed)
    items = []
    for i in range(num_items):
        said = ["right" if rng.random() < 0.8 else "wrong" for _ in range(4)]
        item = {"id": f"q{i}", "gold": "right", "old": said[0], "new": said[1], "old_seeds": said[2:]}
        item["slices"] = {"language": str(rng.choice(["en", "de", "fr"]))}
        if rng.random() < 0.05:
            del item["new"]
        items.append(item)
    return items
