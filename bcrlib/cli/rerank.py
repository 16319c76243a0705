"""`bcr rerank`: the old model picks among the new model's candidates."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from bcrlib.cli.options import Json, check_output_file, print_json

if TYPE_CHECKING:  # at run time these would bring torch
    from bcrlib.cli.models import Model
    from bcrlib.data.candidates import TreePool
    from bcrlib.data.frame_candidates import FramePool
    from bcrlib.data.frames import FrameBank
    from bcrlib.data.treebank import Treebank

    Text = Treebank | FrameBank
    Pool = TreePool | FramePool

ROUNDING = 0.05
"""How far two log-probabilities of one model may lie apart, in nats and as a share: bfloat16 is that coarse."""

PoolFiles = Annotated[
    list[Path],
    typer.Argument(
        metavar="CANDIDATES...",
        help="Candidate files, from bcr candidates or from your own tool; the candidates of several are joined.",
    ),
]
New = Annotated[
    Path | None, typer.Option(metavar="MODEL", help="Folder of the new model.", show_default="the file's log_prob")
]
Score = Annotated[
    str | None,
    typer.Option(
        metavar="sum|mean",
        help="Of s2s: a frame's log p, or its mean over the frame's symbols.",
        show_default="the models' preset: clean sum, official mean",
    ),
]


def rerank(
    text: Annotated[
        Path, typer.Argument(metavar="INPUT", help="File that the candidates are parses of: CoNLL-U, or TOP for s2s.")
    ],
    pool_files: PoolFiles,
    old: Annotated[list[Path], typer.Option(metavar="MODEL", help="Folder of an old model. Repeatable.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="File to write: CoNLL-U, or TOP.")],
    old_weight: Annotated[
        list[float], typer.Option(metavar="W", help="Weight of each --old, in the same order.", show_default="1 each")
    ] = [],  # noqa: B006  typer copies it
    new: New = None,
    new_weight: Annotated[
        float, typer.Option(metavar="W", help="Weight of the new model's own opinion; 0 is the paper's method.")
    ] = 0.0,
    score: Score = None,
    as_json: Json = False,
) -> None:
    """Of each sentence's candidates, keep the one that the old model likes best (BCR).

    score = new_weight * log p_new(parse)
    + sum over old models of old_weight * log p_old(parse); of equal ones the
    first. In CoNLL-U, columns other than HEAD and DEPREL stay as in INPUT; TOP
    gets two columns, utterance and parse. A deepbiaf judges what a stackptr
    proposed, an s2s any other s2s's frames, and each what your own parser did.
    A malformed candidate file is refused and nothing is written: heads or
    brackets that make no tree, a relation or label that none of the models
    knows, several roots where a model's trees have one, other words. Several
    files must be the new model's: where their log_prob counts, equal parses with
    different ones are refused.

    Examples:

    [green]bcr rerank --old old test.conllu pool.jsonl -o reranked.conllu[/green]

    [green]bcr rerank --old old test.tsv pool.jsonl -o reranked.tsv[/green]

    [green]bcr rerank --old old --new-weight 0.25 test.tsv beam.jsonl sampled.jsonl -o reranked.tsv[/green]
    """
    if old_weight and len(old_weight) != len(old):
        raise ValueError(f"{len(old_weight)} times --old-weight for {len(old)} times --old: give one each, or none")
    check_output_file(output)
    from bcrlib.cli.models import common_kind, load_model, task_of

    folders, from_file = old if new is None else [*old, new], new is None and new_weight != 0
    kind = common_kind(folders)
    task = task_of(kind)
    words = task.read_text(text, kind)
    pools = {str(file): task.read_pool(file, words) for file in pool_files}
    if from_file:
        _check_log_probs(pools, task)
    models = task.scorers([load_model(folder) for folder in folders], score, from_file)
    for name, pool in pools.items():
        task.check(pool, models, name)
    pool = task.joined([*pools.values()]) if len(pools) > 1 else pools[str(pool_files[0])]
    new_model = None if new is None else models[-1]
    choice = _pick(words, pool, models[: len(old)], old_weight or [1.0] * len(old), new_model, new_weight)
    chosen = pool.single(choice)
    task.write_best(words, chosen, output)
    _tell(pool, choice, task, task.failures(words, chosen), output, as_json)


def _check_log_probs(pools: Mapping[str, "Pool"], task: ModuleType) -> None:
    for name, pool in pools.items():
        _check_known(pool, name, task.ITEM)
    if len(pools) > 1:
        _check_one_model(pools, task)


def _check_known(pool: "Pool", name: str, item: str) -> None:
    from bcrlib.data.candidate_lines import CandidateFileError

    unknown = np.isnan(pool.log_probs).any(axis=0)
    if unknown.any():
        fault = "a candidate without log_prob, which --new-weight needs; name the new model with --new"
        raise CandidateFileError(name, int(unknown.argmax()) + 1, fault, item)


def _check_one_model(pools: Mapping[str, "Pool"], task: ModuleType) -> None:
    """CandidateFileError where files give equal parses other log-probabilities: they are not one model's."""
    from bcrlib.data.candidate_lines import CandidateFileError

    together = task.together([*pools.values()])
    first = together.first_equal().astype(np.int64)
    of_first = np.take_along_axis(together.log_probs, first, axis=0)
    differ = ~np.isclose(together.log_probs, of_first, ROUNDING, ROUNDING)
    if differ.any():
        item = int(differ.any(axis=0).argmax())
        candidate = int(differ[:, item].argmax())
        places = [(name, place) for name, pool in pools.items() for place in range(1, pool.num_candidates + 1)]
        (name, place), (other, first_place) = places[candidate], places[first[candidate, item]]
        fault = (
            f"candidate {place} has log_prob {together.log_probs[candidate, item]:g}, the same {task.STRUCTURE} in "
            f"{other}, candidate {first_place}, {of_first[candidate, item]:g}: name the new model with --new"
        )
        raise CandidateFileError(name, item + 1, fault, task.ITEM)


def _pick(
    words: "Text",
    pool: "Pool",
    old: Sequence["Model"],
    old_weights: Sequence[float],
    new: "Model | None",
    new_weight: float,
) -> np.ndarray:
    """The number of the chosen candidate, [sentence]."""
    from bcrlib.reranking import bcr_scores, choose

    old_log_probs = [model.log_probs(words, pool) for model in old]
    new_log_probs = pool.log_probs if new is None or not new_weight else new.log_probs(words, pool)
    return choose(bcr_scores(new_log_probs, old_log_probs, new_weight, old_weights))


def _tell(
    pool: "Pool", choice: np.ndarray, task: ModuleType, failures: dict[str, int], output: Path, as_json: bool
) -> None:
    num_changed = int((pool.first_equal()[choice, np.arange(len(choice))] != 0).sum())
    if as_json:
        print_json({"output": str(output), f"num_{task.ITEM}s": len(choice), "num_changed": num_changed} | failures)
    else:
        no_frames = "".join(f", no frames: {number}" for number in failures.values())
        typer.echo(
            f"{output}: {len(choice)} {task.ITEM}s, {num_changed} not the first candidate's {task.STRUCTURE}{no_frames}"
        )
