"""Conversational semantic parsing: frames of utterances, from s2s parsers.

A "part" kind is trained on a part of the data, with the sizes of the kind that it is named after.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bcrlib.data.download import SPLITS, TOP_FILES, top_path
from bcrlib.data.files import CONLLU, read_input
from bcrlib.data.frame_candidates import FramePool
from bcrlib.data.frames import FrameBank, frame_text
from bcrlib.data.generated.frames import DEFAULT_AMBIGUITY, demo_frames
from bcrlib.data.top import parse_top, read_top, write_top
from bcrlib.data.treebank import NUM_COLUMNS
from bcrlib.metrics.frames import correctness, num_invalid, scored_units
from bcrlib.tasks import TASKS, Task

if TYPE_CHECKING:  # at run time these would bring torch
    from bcrlib.parsers.s2s import Seq2SeqParser
    from bcrlib.samplers.strategies import Strategy

SCORES = {"sum": False, "mean": True}
"""Name of a score -> whether it is normalised by the frame's length."""


def load_frames(corpus: str, split: str, ambiguity: float = DEFAULT_AMBIGUITY) -> FrameBank:
    """One split ("train", "dev", "test") of a corpus of frames.

    "top" is TOP 1.1 without its unsupported rows, "demo" is generated, all else is a folder with train.tsv, eval.tsv
    (dev) and test.tsv, of which every row counts. `ambiguity` is the dial of the generated corpus and has no effect
    on others. ValueError for an unknown split.
    """
    path = corpus_file(corpus, split)
    return demo_frames(ambiguity)[split] if path is None else read_top(path)


def corpus_file(corpus: str, split: str) -> Path | None:
    """Where the split of a corpus lies, downloaded where it must be; None where it is generated."""
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}; choose one of {', '.join(SPLITS)}")
    if corpus == "demo":
        return None
    return top_path(split) if corpus == "top" else Path(corpus) / TOP_FILES[split]


def _read(path: Path, kind: str, gold: bool = False) -> FrameBank:
    """What begins with "#" may be an utterance as well as a comment of CoNLL-U: words decide."""
    file = read_input(path)
    if file.format == CONLLU and any(row.count(b"\t") == NUM_COLUMNS - 1 for row in file.content.split(b"\n")):
        raise ValueError(f"{path} holds CoNLL-U, but a parser of kind {kind} takes rows of TOP")
    return parse_top(file.content, file.name, gold)


def _write(bank: FrameBank, pool: FramePool, path: Path) -> None:
    """As two columns of TOP; an empty parse where the candidate is not a tree."""
    parses = ["" if frame is None else frame_text(frame) for frame in pool.frames(bank)]
    write_top(bank.utterances, parses, path)


def _failures(bank: FrameBank, pool: FramePool) -> dict[str, int]:
    columns = (pool.frames_over_words(bank, candidate) for candidate in range(pool.num_candidates))
    return {"num_no_frame": sum(column.count(None) for column in columns)}


def _propose(parser: "Seq2SeqParser", bank: FrameBank, strategy: "Strategy", seed: int) -> FramePool:
    """Log-probabilities are sums over symbols, whatever the parser ranks by."""
    if not parser.definitions.s2s_length_normalised:
        return parser.candidates(bank, strategy, seed)
    pool = parser.decoded(bank, strategy, seed)
    return replace(pool, log_probs=parser.sums(bank, pool)[0])


def _constrained(parser: "Seq2SeqParser") -> "Seq2SeqParser":
    bound = copy(parser)
    bound.config = replace(parser.config, constrained=True)
    return bound


def _scorers(models: Sequence["Seq2SeqParser"], score: str | None, from_file: bool) -> list["Seq2SeqParser"]:
    if score not in (None, *SCORES):
        raise ValueError(f"unknown score {score!r}; choose one of {', '.join(SCORES)}")
    defaults = {model.definitions.s2s_length_normalised for model in models}
    if score is None and len(defaults) > 1:
        raise ValueError("by their presets some of the models score by sum, others by mean: give --score")
    mean = any(defaults) if score is None else SCORES[score]
    if mean and from_file:
        raise ValueError("the log_prob of a candidate file is a sum, the models score by mean: name the new with --new")
    scorers = [copy(model) for model in models]
    for scorer in scorers:
        scorer.definitions = replace(scorer.definitions, s2s_length_normalised=mean)
    return scorers


TASK = Task(
    names=TASKS["semantic"],
    pool=FramePool,
    load=load_frames,
    corpus_file=corpus_file,
    read=_read,
    write=_write,
    scored_units=scored_units,
    correctness=correctness,
    num_invalid=num_invalid,
    failures=_failures,
    scored=lambda parser, bank, pool: parser.sums(bank, pool),
    propose=_propose,
    constrained=_constrained,
    scorers=_scorers,
    known=lambda parser: parser.labels,
)
