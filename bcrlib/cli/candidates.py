"""`bcr candidates`: a model's parses of every sentence, several each."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bcrlib.cli.options import Json, check_output_file, print_json

if TYPE_CHECKING:  # at run time these would bring numba
    from bcrlib.candidates import CandidatePool
    from bcrlib.data.treebank import Treebank
    from bcrlib.decoding.strategies import Strategy


def candidates(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="Folder of a trained parser (see bcr train): the new model.")
    ],
    text: Annotated[Path, typer.Argument(metavar="INPUT", help="CoNLL-U file; its words and UPOS are looked at.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FILE", help="Candidate file to write; with 1-best also NAME.conllu."),
    ],
    strategy: Annotated[
        str,
        typer.Option(
            help="[bold]k-best[/bold]: the k most probable trees. [bold]dropout-p[/bold]: best trees of randomly "
            "thinned networks, the paper's choice. [bold]1-best[/bold]: plain parsing."
        ),
    ] = "k-best",
    p: Annotated[
        float | None, typer.Option(help="Rate of dropout-p, e.g. 0.15. --strategy 'dropout-p(p=0.15)' says the same.")
    ] = None,
    num_candidates: Annotated[int, typer.Option("--num-candidates", "-n", min=1, help="Per sentence.")] = 10,
    seed: Annotated[int, typer.Option(help="Of the samples that dropout-p draws.")] = 1,
    as_json: Json = False,
) -> None:
    """Let a model propose several parses of every sentence, for bcr rerank to choose from.

    The candidate file has one JSON object a line and sentence; other tools
    can write it too:

    [cyan]{"sentence": 1, "forms": \\["She", "ran"], "candidates": \\[{"heads": \\[2, 0],
    "relations": \\["nsubj", "root"], "log_prob": -0.105}, ...]}[/cyan]

    Example:

    [green]bcr candidates new test.conllu --strategy dropout-p --p 0.15 -o pool.jsonl[/green]
    """
    chosen = _strategy(strategy, p, num_candidates)
    check_output_file(output)
    if output.suffix == ".conllu" and chosen.num_candidates != 1:
        raise ValueError(
            f"{output}: a CoNLL-U file holds one parse a sentence; use --strategy 1-best, or name a .jsonl"
        )
    from bcrlib.data.conllu import read_conllu

    treebank = read_conllu(text)
    pool = _propose(model, treebank, chosen, seed)
    _write(treebank, pool, output)
    _tell(pool, str(chosen), output, as_json)


def _strategy(name: str, p: float | None, num_candidates: int) -> "Strategy":
    from bcrlib.decoding.strategies import DropoutP, parse_strategy

    if name == "dropout-p":
        if p is None:
            raise ValueError("--strategy dropout-p needs its rate, e.g. --p 0.15")
        return DropoutP(p, num_candidates)
    if p is not None:
        raise ValueError("--p is the rate of --strategy dropout-p")
    return parse_strategy(name, num_candidates)


def _propose(model: Path, treebank: "Treebank", strategy: "Strategy", seed: int) -> "CandidatePool":
    from bcrlib.cli.models import load_model
    from bcrlib.decoding.strategies import DropoutP

    parser = load_model(model)
    pool = parser.candidates(treebank, strategy, seed)
    if isinstance(strategy, DropoutP):
        # A sample comes with its probability in the thinned network; re-ranking wants that of the model itself.
        pool = replace(pool, log_probs=parser.log_probs(treebank, pool))
    return pool


def _write(treebank: "Treebank", pool: "CandidatePool", output: Path) -> None:
    from bcrlib.candidate_files import write_candidates
    from bcrlib.data.conllu import write_conllu

    if output.suffix == ".conllu":
        write_conllu(treebank.with_trees(pool.heads[0].astype("int32"), pool.relation_strings()), output)
    else:
        write_candidates(treebank, pool, output)


def _tell(pool: "CandidatePool", strategy: str, output: Path, as_json: bool) -> None:
    distinct = float(pool.num_distinct().mean())
    if as_json:
        summary = {"output": str(output), "strategy": strategy, "num_sentences": pool.num_sentences}
        print_json(summary | {"num_candidates": pool.num_candidates, "distinct_a_sentence": distinct})
    else:
        typer.echo(
            f"{output}: {pool.num_sentences} sentences by {strategy}, candidates of each: {pool.num_candidates},"
            f" distinct on average: {distinct:.1f}"
        )
