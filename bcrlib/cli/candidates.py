"""`bcr candidates`: a model's parses of every sentence, several each."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bcrlib.cli.options import Json, check_output_file, print_json

if TYPE_CHECKING:  # at run time these would bring torch
    from bcrlib.candidates import CandidatePool
    from bcrlib.data.treebank import Treebank
    from bcrlib.decoding.strategies import Strategy
    from bcrlib.models.parser import Parser

StrategyName = Annotated[
    str | None,
    typer.Option(
        help="[bold]k-best[/bold]: the k most probable trees (deepbiaf). [bold]beam[/bold]: the best that a beam "
        "search ends with (stackptr). [bold]top-k[/bold], [bold]nucleus[/bold]: trees sampled action by action "
        "(stackptr). [bold]dropout-p[/bold]: best trees of randomly thinned networks, the paper's choice. "
        "[bold]1-best[/bold]: plain parsing.",
        show_default="k-best for deepbiaf, beam for stackptr",
    ),
]
BeamWidth = Annotated[int | None, typer.Option(min=1, metavar="B", help="Hypotheses of beam.", show_default="10")]
KeepDuplicates = Annotated[
    bool, typer.Option("--keep-duplicates", help="With beam: list a tree as often as the beam holds it.")
]
TopActions = Annotated[int | None, typer.Option(min=1, metavar="K", help="Of top-k: choose among K actions.")]
Probability = Annotated[
    float | None,
    typer.Option(
        metavar="P",
        help="Rate of dropout-p, e.g. 0.15; probability that nucleus keeps, e.g. 0.9. --strategy "
        "'dropout-p(p=0.15)' says the same.",
    ),
]
Temperature = Annotated[
    float | None,
    typer.Option(metavar="T", help="Of top-k and nucleus: below 1, likely actions get likelier.", show_default="1"),
]


def candidates(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="Folder of a trained parser (see bcr train): the new model.")
    ],
    text: Annotated[Path, typer.Argument(metavar="INPUT", help="CoNLL-U file; its words and UPOS are looked at.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FILE", help="Candidate file to write; with 1-best also NAME.conllu."),
    ],
    strategy: StrategyName = None,
    beam_width: BeamWidth = None,
    keep_duplicates: KeepDuplicates = False,
    k: TopActions = None,
    p: Probability = None,
    temperature: Temperature = None,
    num_candidates: Annotated[int, typer.Option("--num-candidates", "-n", min=1, help="Per sentence.")] = 10,
    seed: Annotated[int, typer.Option(help="Of the samples that dropout-p, top-k and nucleus draw.")] = 1,
    as_json: Json = False,
) -> None:
    """Let a model propose several parses of every sentence, for bcr rerank to choose from.

    INPUT need not hold trees: HEAD and DEPREL are not looked at. The candidate
    file has one JSON object a line and sentence; other tools can write it too:

    [cyan]{"sentence": 1, "forms": \\["She", "ran"], "candidates": \\[{"heads": \\[2, 0],
    "relations": \\["nsubj", "root"], "log_prob": -0.105}, ...]}[/cyan]

    Examples, for a model of any kind and for a stackptr:

    [green]bcr candidates new test.conllu --strategy dropout-p --p 0.15 -o pool.jsonl[/green]

    [green]bcr candidates new test.conllu --strategy beam --beam-width 10 -o pool.jsonl[/green]
    """
    if output.suffix == ".conllu" and strategy != "1-best" and num_candidates != 1:
        raise ValueError(
            f"{output}: a CoNLL-U file holds one parse a sentence; use --strategy 1-best, or name a .jsonl"
        )
    check_output_file(output)
    from bcrlib.cli.models import load_model
    from bcrlib.cli.strategies import StrategyOptions, chosen_strategy
    from bcrlib.data.conllu import read_conllu

    treebank = read_conllu(text, trees=False)
    parser = load_model(model)
    options = StrategyOptions(beam_width, k, p, temperature, keep_duplicates)
    chosen = chosen_strategy(strategy, parser.network.config.kind, num_candidates, options)
    pool = _propose(parser, treebank, chosen, seed)
    _write(treebank, pool, output)
    _tell(pool, str(chosen), output, as_json)


def _propose(parser: "Parser", treebank: "Treebank", strategy: "Strategy", seed: int) -> "CandidatePool":
    from bcrlib.decoding.strategies import DropoutP

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
