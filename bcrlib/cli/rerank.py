"""`bcr rerank`: the old model picks among the new model's candidates."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from bcrlib.cli.options import Json, check_output_file, print_json

if TYPE_CHECKING:  # at run time these would bring torch
    from bcrlib.candidates import CandidatePool
    from bcrlib.data.treebank import Treebank


def rerank(
    text: Annotated[Path, typer.Argument(metavar="INPUT", help="CoNLL-U file that the candidates are parses of.")],
    pool_file: Annotated[
        Path, typer.Argument(metavar="CANDIDATES", help="Candidate file, from bcr candidates or from your own tool.")
    ],
    old: Annotated[
        list[Path], typer.Option(metavar="MODEL", help="Folder of an old model, of either kind. Repeatable.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="CoNLL-U file to write.")],
    old_weight: Annotated[
        list[float], typer.Option(metavar="W", help="Weight of each --old, in the same order.", show_default="1 each")
    ] = [],  # noqa: B006  typer copies it
    new: Annotated[
        Path | None,
        typer.Option(metavar="MODEL", help="Folder of the new model.", show_default="the file's log_prob"),
    ] = None,
    new_weight: Annotated[
        float, typer.Option(metavar="W", help="Weight of the new model's own opinion; 0 is the paper's method.")
    ] = 0.0,
    as_json: Json = False,
) -> None:
    """Of each sentence's candidates, keep the one that the old model likes best (BCR).

    score = new_weight * log p_new(tree)
    + sum over old models of old_weight * log p_old(tree); of equal ones the
    first. Columns other than HEAD and DEPREL stay as in INPUT. Models and
    candidates may be of any kind: a deepbiaf judges what a stackptr proposed,
    and either judges what your own parser did. A malformed candidate file is
    refused and nothing is written: heads that make no tree, a relation that
    none of the models knows, several roots where a model's trees have one.

    Example: [green]bcr rerank --old old test.conllu pool.jsonl -o reranked.conllu[/green]
    """
    if old_weight and len(old_weight) != len(old):
        raise ValueError(f"{len(old_weight)} times --old-weight for {len(old)} times --old: give one each, or none")
    check_output_file(output)
    from bcrlib.candidate_files import read_candidates
    from bcrlib.data.conllu import read_conllu

    treebank = read_conllu(text, trees=False)
    pool = read_candidates(pool_file, treebank)
    new_log_probs, old_log_probs = _log_probs(treebank, pool, str(pool_file), old, new, new_weight)
    choice = _pick(pool, new_log_probs, old_log_probs, new_weight, old_weight or [1.0] * len(old))
    _write(treebank, pool, choice, output)
    _tell(pool, choice, output, as_json)


def _log_probs(
    treebank: "Treebank", pool: "CandidatePool", name: str, old: list[Path], new: Path | None, new_weight: float
) -> tuple[np.ndarray, list[np.ndarray]]:
    """log p [candidate, sentence] of every candidate under the new model, and under each of the old ones."""
    if new is None and new_weight:
        _check_known(pool, name)
    from bcrlib.candidate_files import check_relations, check_single_roots
    from bcrlib.cli.models import load_model

    old_models = [load_model(folder) for folder in old]
    models = old_models if new is None else [*old_models, load_model(new)]
    check_relations(pool, {relation for model in models for relation in model.vocabulary.relations}, name)
    if any(model.single_root for model in models):
        check_single_roots(pool, name)
    old_log_probs = [model.log_probs(treebank, pool) for model in old_models]
    if new is None or not new_weight:
        return pool.log_probs, old_log_probs
    return models[-1].log_probs(treebank, pool), old_log_probs


def _check_known(pool: "CandidatePool", name: str) -> None:
    from bcrlib.candidate_files import CandidateFileError

    unknown = np.isnan(pool.log_probs).any(axis=0)
    if unknown.any():
        fault = "a candidate without log_prob, which --new-weight needs; name the new model with --new"
        raise CandidateFileError(name, int(unknown.argmax()) + 1, fault)


def _pick(
    pool: "CandidatePool",
    new_log_probs: np.ndarray,
    old_log_probs: list[np.ndarray],
    new_weight: float,
    old_weights: list[float],
) -> np.ndarray:
    from bcrlib.reranking import bcr_scores, choose

    return choose(bcr_scores(new_log_probs, old_log_probs, new_weight, old_weights))


def _write(treebank: "Treebank", pool: "CandidatePool", choice: np.ndarray, output: Path) -> None:
    from bcrlib.candidates import single
    from bcrlib.data.conllu import write_conllu

    chosen = single(pool, choice)
    write_conllu(treebank.with_trees(chosen.heads[0].astype("int32"), chosen.relation_strings()), output)


def _tell(pool: "CandidatePool", choice: np.ndarray, output: Path, as_json: bool) -> None:
    num_changed = int((pool.first_equal()[choice, np.arange(pool.num_sentences)] != 0).sum())
    summary = {"output": str(output), "num_sentences": pool.num_sentences, "num_changed": num_changed}
    if as_json:
        print_json(summary)
    else:
        typer.echo(f"{output}: {pool.num_sentences} sentences, {num_changed} not the first candidate's tree")
