"""Hashes of all that the parsers compute, to be the same before and after a change that means to change nothing.

    python tests/net/hashes.py > before.json
    python tests/net/hashes.py --against before.json > after.json   # exit status 1; differing names on stderr

Of each kind (deepbiaf, stackptr, s2s, text generators), of both presets and precisions: weights after some twenty
steps of training, candidates of every strategy, joined ones and ensembles too, scores by another model, choices of the
re-ranker, what counts as right, the bytes of every file that is written, and checkpoints loaded again; and the
generated corpora. Everything comes from seeds, on one thread; a minute of CPU time. Bits depend on the processor and
on torch's version, so both runs have to be on one machine. With --minilm also parsers with the vectors of MiniLM-L6,
static and contextual, whose weights have to be in the cache folder.
"""

import argparse
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from tiny_encoders import bpe_folder
from tiny_frames import TINY_SEQ2SEQ, frame_bank, tiny_seq2seq
from tiny_generators import tiny_generator
from tiny_parsers import TINY, tiny_parser, tiny_pointer_parser

from bcrlib.data.candidate_files import read_candidates, write_candidates
from bcrlib.data.candidates import TreePool
from bcrlib.data.frame_candidates import FramePool
from bcrlib.data.frames import FrameBank, frame_text
from bcrlib.data.generated.frames import generate_frames
from bcrlib.data.generated.trees import generate_treebank
from bcrlib.data.presets import PRESETS
from bcrlib.data.top import read_top, write_top
from bcrlib.data.treebank import Treebank, format_conllu, read_conllu
from bcrlib.metrics.attachment import correctness as trees_right
from bcrlib.metrics.frames import correctness as frames_right
from bcrlib.parsers.batches import Runtime
from bcrlib.parsers.configuration import NetworkConfig, Seq2SeqConfig, Seq2SeqTraining, TrainingConfig
from bcrlib.parsers.generator import TextPool
from bcrlib.parsers.parser import Parser
from bcrlib.parsers.s2s import Seq2SeqParser
from bcrlib.parsers.training import fit, load_parser, load_parsers, new_parser, save_parser
from bcrlib.reranking import bcr_scores, choose
from bcrlib.samplers.strategies import Beam, DropoutP, Strategy, parse_strategy
from bcrlib.tasks import dependency, semantic
from bcrlib.tasks.dependency import load_treebank
from bcrlib.tasks.semantic import load_frames

SEEDS = (0, 1)
NUMBER = 4
"""Candidates of a strategy's pool."""
TREES = ("1-best", "dropout-p(p=0.3)")
STRATEGIES = {
    "deepbiaf": (*TREES, "k-best", "k-best(labelled)", "k-best+dropout-p(p=0.3)", "k-best(labelled)+dropout-p(p=0.1)"),
    "stackptr": (
        *TREES, "beam(b=1)", "beam(b=5)", "top-k(k=3)", "top-k(k=5,t=0.7)", "nucleus(p=0.9)", "nucleus(p=1,t=1.5)",
        "beam(b=5)+dropout-p(p=0.3)", "1-best+beam(b=3)+top-k(k=3)+nucleus(p=0.9)",
    ),
    "s2s": (
        *TREES, "beam(b=1)", "beam(b=5)", "beam(b=5,ended)", "top-k(k=3)", "top-k(k=5,t=0.7)", "nucleus(p=0.9)",
        "nucleus(p=1,t=1.5)", "1-best+beam(b=5)+dropout-p(p=0.3)", "1-best+top-k(k=3)+nucleus(p=0.9)",
    ),
    "by rules": ("1-best", "beam(b=5)", "top-k(k=3)", "dropout-p(p=0.3)"),
    "generator": (
        *TREES, "beam(b=3)", "top-k(k=3)", "nucleus(p=0.9,t=0.7)", "1-best+beam(b=3)+dropout-p(p=0.3)",
    ),
}  # fmt: skip
TRAINING = TrainingConfig(num_epochs=3, batch_tokens=60, learning_rate=5e-3, warmup_steps=4)
AUTHORS = replace(TRAINING, num_epochs=8, batch_tokens=0, schedule="exponential", epsilon=1e-4, reset_after=1)
FRAME_TRAINING = Seq2SeqTraining(
    num_epochs=4, batch_tokens=150, learning_rate=1e-2, encoder_learning_rate=5e-3, warmup_steps=4, dev_every=2
)
FRAME_AUTHORS = replace(FRAME_TRAINING, num_epochs=20, batch_tokens=0, schedule="inverse_sqrt", train_embeddings=False)
FRAMES = replace(TINY_SEQ2SEQ, max_pieces=36, max_steps=28)

Pool = TreePool | FramePool | TextPool
Hashes = dict[str, str]


def main() -> int:
    """0 unless hashes differ from those of the file that --against names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="JSON that an earlier run printed")
    parser.add_argument("--minilm", action="store_true", help="also parsers with vectors of MiniLM-L6")
    asked = parser.parse_args()
    before = json.loads(asked.against.read_text("utf-8")) if asked.against else None
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)  # paths end up in checkpoints: they are relative
        found = all_hashes(["minilm", "minilm-context"] if asked.minilm else [])
        os.chdir("/")
    print(json.dumps(found, indent=1))
    if before is None:
        return 0
    changed = [name for name in {**before, **found} if before.get(name) != found.get(name)]
    print(
        *(f"differs: {name}" for name in changed), f"{len(changed)} differ of {len(found)}", sep="\n", file=sys.stderr
    )
    return 1 if changed else 0


def all_hashes(vectors: Sequence[str]) -> Hashes:
    """Name -> hash; files are written into the current folder.  vectors: names of more vectors to train with."""
    found: Hashes = {}
    hash_corpora(found)
    Path("vectors.txt").write_text(vectors_text(generate_treebank(20, seed=1)), "utf-8")
    hash_trainings_on_trees(found, vectors)
    hash_trainings_on_frames(found)
    hash_untrained(found)
    hash_generators(found)
    return found


def digest(*parts: object) -> str:
    """Of arrays and tensors: shape, type and bytes; of all else what prints."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            total.update(f"{part.shape}{part.dtype}".encode() + np.ascontiguousarray(part).tobytes())
        else:
            total.update(part if isinstance(part, bytes) else repr(part).encode())
    return total.hexdigest()[:16]


def weights(network: torch.nn.Module) -> str:
    """Hash of all parameters and buffers with their names."""
    state = network.state_dict()
    return digest(*(part for name in sorted(state) for part in (name, state[name].numpy())))


def structures(pool: Pool) -> str:
    """Hash of a pool's structures, whatever their scores."""
    if isinstance(pool, TreePool):
        return digest(pool.heads, pool.relations, pool.relation_names, pool.offsets)
    return digest(pool.texts) if isinstance(pool, TextPool) else digest(pool.sequences, pool.labels)


def hash_pool(found: Hashes, name: str, pool: Pool) -> None:
    """Of structures and scores apart, to tell which of them changed."""
    found[f"{name}: structures"], found[f"{name}: scores"] = structures(pool), digest(pool.log_probs)


def hash_files(found: Hashes, name: str, path: Path) -> None:
    """Of the file, or of every file in the folder."""
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        found[f"{name}: {file.name}"] = digest(file.read_bytes())


def hash_corpora(found: Hashes) -> None:
    """The generated corpora as text."""
    for split in ("train", "dev", "test"):
        found[f"trees {split}"] = digest(format_conllu(load_treebank("demo", split)))
        found[f"frames {split}"] = digest(frames_text(load_frames("demo", split)))
    for dial in (0.0, 0.5, 1.0):
        found[f"trees, ambiguity {dial}"] = digest(format_conllu(generate_treebank(200, 3, dial)))
        found[f"frames, ambiguity {dial}"] = digest(frames_text(generate_frames(200, 3, dial)))
    found["part of trees"] = digest(format_conllu(generate_treebank(200, 3).part(0.3, 5)))
    found["part of frames"] = digest(frames_text(generate_frames(200, 3).part(0.3, 5)))


def frames_text(bank: FrameBank) -> str:
    """As a file of two columns; it is written, read and written again."""
    path = Path("frames.tsv")
    write_top(bank.utterances, [frame_text(frame) for frame in bank.frames], path)
    again = read_top(path)
    assert (again.utterances, again.frames) == (bank.utterances, bank.frames)
    return path.read_text("utf-8")


def vectors_text(treebank: Treebank) -> str:
    """Random vectors of some forms in the text format."""
    rng = np.random.default_rng(0)
    forms = sorted(set(treebank.forms))[::2]
    return "".join(f"{form} {' '.join(map(str, rng.standard_normal(5).round(3)))}\n" for form in forms)


def hash_trainings_on_trees(found: Hashes, vectors: Sequence[str]) -> None:
    """Parsers of both kinds, trained; and all that those of float32 say."""
    for kind in ("deepbiaf", "stackptr"):
        for preset in PRESETS:
            config = replace(TINY, kind=kind, preset=preset)
            trained = [trained_on_trees(found, f"{kind} {preset}", config, seed, TRAINING) for seed in SEEDS]
            trained_on_trees(found, f"{kind} {preset} bfloat16", config, 0, TRAINING, "bfloat16")
            hash_parsers_of_trees(found, f"{kind} {preset}", kind, trained)
        trained_on_trees(found, f"{kind} authors", replace(TINY, kind=kind, preset="official"), 0, AUTHORS)
        for name in ("vectors.txt", *vectors):
            label = f"{kind} {name}"
            parser = trained_on_trees(found, label, replace(TINY, kind=kind, vectors=name), 0, TRAINING)
            hash_tree_checkpoint(found, label, parser, generate_treebank(8, seed=2))


def trained_on_trees(
    found: Hashes, name: str, config: NetworkConfig, seed: int, recipe: TrainingConfig, precision: str = "float32"
) -> Parser:
    """A parser trained on twenty generated sentences; its weights and what the training told are hashed."""
    treebank, dev = generate_treebank(20, seed=1), generate_treebank(8, seed=4)
    parser = new_parser(config, treebank, seed, Runtime())
    found[f"{name} seed {seed}: initial weights"] = weights(parser.network)
    history = fit(parser, treebank, dev, recipe, seed, precision)
    found[f"{name} seed {seed}: weights"] = weights(parser.network)
    found[f"{name} seed {seed}: history"] = digest([(r.epoch, r.loss, r.dev_score, r.is_best) for r in history])
    return parser


def hash_parsers_of_trees(found: Hashes, name: str, kind: str, parsers: Sequence[Parser]) -> None:
    """Candidates and scores of two parsers and their ensemble; files, checkpoints, choices, what is right."""
    treebank = generate_treebank(8, seed=2)
    first, second = parsers
    folders = [Path(f"{name} {seed}") for seed in SEEDS]
    for parser, folder in zip(parsers, folders):
        save_parser(parser, folder)
    hash_tree_checkpoint(found, name, first, treebank)
    ensemble = load_parsers(folders, Runtime())
    for text, strategy in strategies(kind).items():
        label = f"{name}, {text}"
        pool = hash_proposals(found, label, [first, ensemble], treebank, strategy)
        hash_scores(found, label, pool, second.log_probs(treebank, pool), ensemble.log_probs(treebank, pool))
        for preset in PRESETS.values():
            right = trees_right(treebank, pool.heads, pool.relations, pool.relation_names, preset)
            found[f"{label}: right by {preset.name}"] = digest(*(part for item in right.items() for part in item))
        hash_tree_files(found, label, treebank, pool)
    for runtime in (Runtime(precision="bfloat16"), Runtime(max_tokens=40, max_arcs=300), Runtime(batch_size=3)):
        other = load_parser(folders[1], runtime)
        pool = other.candidates(treebank, parse_strategy("dropout-p(p=0.3)", NUMBER), seed=5)
        hash_pool(found, f"{name}, {runtime}", pool)


def hash_tree_checkpoint(found: Hashes, name: str, parser: Parser, treebank: Treebank) -> None:
    """Every file of it; loaded again, the parser says the same."""
    folder = Path("checkpoint of trees", name)
    save_parser(parser, folder)
    hash_files(found, f"{name}: checkpoint", folder)
    loaded = load_parser(folder, Runtime())
    found[f"{name}: loaded weights"] = weights(loaded.network)
    hash_pool(found, f"{name}: loaded", loaded.candidates(treebank, parse_strategy("1-best")))


def hash_tree_files(found: Hashes, name: str, treebank: Treebank, pool: TreePool) -> None:
    """CoNLL-U and candidate file of a pool, and what is read from them."""
    dependency.TASK.write(treebank, pool, Path("trees.conllu"))
    write_candidates(treebank, pool, Path("trees.jsonl"))
    for path in (Path("trees.conllu"), Path("trees.jsonl")):
        hash_files(found, name, path)
    found[f"{name}: CoNLL-U again"] = digest(format_conllu(read_conllu(Path("trees.conllu"))))
    hash_pool(found, f"{name}: candidate file", read_candidates(Path("trees.jsonl"), treebank, TreePool))


def strategies(kind: str) -> dict[str, Strategy]:
    """All that the kind supports, by name."""
    named = {text: parse_strategy(text, NUMBER) for text in STRATEGIES[kind]}
    return named | ({"duplicates": Beam(5, NUMBER, keep_duplicates=True)} if kind == "stackptr" else {})


def hash_proposals(
    found: Hashes, name: str, parsers: Sequence, items: Treebank | FrameBank, strategy: Strategy
) -> Pool:
    """Pools of a parser and of the ensemble; the parser's."""
    pool, of_ensemble = (parser.candidates(items, strategy, seed=7) for parser in parsers)
    hash_pool(found, name, pool)
    hash_pool(found, f"{name}, ensemble", of_ensemble)
    if isinstance(strategy, DropoutP):
        hash_pool(found, f"{name}, as decoded", parsers[0].decoded(items, strategy, seed=3))
    return pool


def hash_scores(found: Hashes, name: str, pool: Pool, *scores: np.ndarray) -> None:
    """Scores of a pool by others, and which candidates they choose."""
    for number, score in enumerate(scores):
        found[f"{name}: scored by other {number}"] = digest(score)
        chosen = [choose(bcr_scores(pool.log_probs, [score], weight)) for weight in (0.0, 0.5)]
        found[f"{name}: chosen by other {number}"] = digest(*chosen)
    found[f"{name}: distinct"] = digest(pool.first_equal())


def short_frames(num_utterances: int, seed: int) -> FrameBank:
    """Those of so many generated utterances that a tiny tokenizer cuts into few pieces, whatever words it knows."""
    bank = generate_frames(num_utterances, seed)
    return bank.select([i for i, words in enumerate(bank.utterances) if len("".join(words)) <= 22])


def hash_trainings_on_frames(found: Hashes) -> None:
    """s2s parsers with a tiny encoder and with one from a folder, trained; and all that those of float32 say."""
    bank = short_frames(90, seed=2)
    for name, preset, kind in (
        ("clean", "clean", "s2s"),
        ("official", "official", "s2s"),
        ("rules", "clean", "by rules"),
    ):
        config = replace(FRAMES, preset=preset, constrained=name == "rules")
        trained = [trained_on_frames(found, f"s2s {name}", config, seed, FRAME_TRAINING) for seed in SEEDS]
        trained_on_frames(found, f"s2s {name} bfloat16", config, 0, FRAME_TRAINING, "bfloat16")
        hash_parsers_of_frames(found, f"s2s {name}", kind, trained, bank)
    bpe_folder(Path("encoder"))
    for name, config, recipe in (
        ("s2s authors", replace(FRAMES, preset="official"), FRAME_AUTHORS),
        ("s2s of a folder", replace(FRAMES, encoder="encoder", encoder_layers=2), FRAME_TRAINING),
    ):
        parser = trained_on_frames(found, name, config, 0, recipe)
        hash_frame_checkpoint(found, name, parser, bank)


def trained_on_frames(
    found: Hashes, name: str, config: Seq2SeqConfig, seed: int, recipe: Seq2SeqTraining, precision: str = "float32"
) -> Seq2SeqParser:
    """A parser trained on short generated utterances, as `trained_on_trees`."""
    bank, dev = short_frames(400, seed=1), short_frames(60, seed=4)
    parser = new_parser(config, bank, seed, Runtime())
    found[f"{name} seed {seed}: initial weights"] = weights(parser.network)
    history = fit(parser, bank, dev, recipe, seed, precision)
    found[f"{name} seed {seed}: weights"] = weights(parser.network)
    found[f"{name} seed {seed}: history"] = digest([(r.epoch, r.loss, r.dev_score, r.is_best) for r in history])
    return parser


def hash_parsers_of_frames(
    found: Hashes, name: str, kind: str, parsers: Sequence[Seq2SeqParser], bank: FrameBank
) -> None:
    """As of trees."""
    first, second = parsers
    folders = [Path(f"{name} {seed}") for seed in SEEDS]
    for parser, folder in zip(parsers, folders):
        save_parser(parser, folder)
    hash_frame_checkpoint(found, name, first, bank)
    ensemble = load_parsers(folders, Runtime())
    for text, strategy in strategies(kind).items():
        label = f"{name}, {text}"
        pool = hash_proposals(found, label, [first, ensemble], bank, strategy)
        hash_scores(found, label, pool, second.log_probs(bank, pool), ensemble.log_probs(bank, pool))
        found[f"{label}: sums by other"] = digest(*second.sums(bank, pool))
        for preset in PRESETS.values():
            right = frames_right(bank, pool, preset)
            found[f"{label}: right by {preset.name}"] = digest(*(part for item in right.items() for part in item))
        hash_frame_files(found, label, bank, pool)
    for runtime in (Runtime(precision="bfloat16"), Runtime(max_tokens=40), Runtime(batch_size=3)):
        other = load_parser(folders[1], runtime)
        pool = other.candidates(bank, parse_strategy("dropout-p(p=0.3)", NUMBER), seed=5)
        hash_pool(found, f"{name}, {runtime}", pool)


def hash_frame_checkpoint(found: Hashes, name: str, parser: Seq2SeqParser, bank: FrameBank) -> None:
    """As of trees."""
    folder = Path("checkpoint of frames", name)
    save_parser(parser, folder)
    hash_files(found, f"{name}: checkpoint", folder)
    loaded = load_parser(folder, Runtime())
    found[f"{name}: loaded weights"] = weights(loaded.network)
    hash_pool(found, f"{name}: loaded", loaded.candidates(bank, parse_strategy("dropout-p(p=0.2)", NUMBER)))


def hash_frame_files(found: Hashes, name: str, bank: FrameBank, pool: FramePool) -> None:
    """TOP and candidate file of a pool, what is read from it, and what a student would learn."""
    semantic.TASK.write(bank, pool, Path("frames.tsv"))
    write_candidates(bank, pool, Path("frames.jsonl"))
    for path in (Path("frames.tsv"), Path("frames.jsonl")):
        hash_files(found, name, path)
    hash_pool(found, f"{name}: candidate file", read_candidates(Path("frames.jsonl"), bank, FramePool))
    found[f"{name}: taught"] = digest([frame_text(frame) for frame in pool.taught(bank).frames])


def hash_untrained(found: Hashes) -> None:
    """Parsers with strewn weights, whose scores are nowhere flat: their pools differ most."""
    treebank = generate_treebank(20, seed=1)
    for preset in PRESETS:
        for kind, make in (("deepbiaf", tiny_parser), ("stackptr", tiny_pointer_parser)):
            parsers = [make(treebank, seed, preset) for seed in SEEDS]
            hash_parsers_of_trees(found, f"strewn {kind} {preset}", kind, parsers)
        parsers = [tiny_seq2seq(seed, preset=preset) for seed in SEEDS]
        hash_parsers_of_frames(found, f"strewn s2s {preset}", "s2s", parsers, frame_bank())


def hash_generators(found: Hashes) -> None:
    """Text generators of three architectures."""
    inputs = ["abca", "dd", "b a c"]
    for kind in ("t5", "bart", "gpt2"):
        first, second = (tiny_generator(kind, seed) for seed in SEEDS)
        for text, strategy in strategies("generator").items():
            label = f"{kind}, {text}"
            pool = first.candidates(inputs, strategy, seed=3)
            hash_pool(found, label, pool)
            hash_scores(found, label, pool, second.log_probs(inputs, pool))


if __name__ == "__main__":
    sys.exit(main())
