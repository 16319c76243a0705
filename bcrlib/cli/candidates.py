"""`bcr candidates`: a model's parses of every sentence or utterance, several each."""

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated

import typer

from bcrlib.cli.options import Json, check_output_file, print_json

if TYPE_CHECKING:  # at run time these would bring numpy
    from bcrlib.data.candidates import TreePool
    from bcrlib.data.frame_candidates import FramePool

Model = Annotated[
    Path, typer.Argument(metavar="MODEL", help="Folder of a trained parser (see bcr train): the new model.")
]
Text = Annotated[
    Path,
    typer.Argument(
        metavar="INPUT",
        help="What to parse. For deepbiaf and stackptr a CoNLL-U file; its words and UPOS are looked at. For s2s rows "
        "of TOP, or bare tokenized utterances, one a line.",
    ),
]
Output = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Candidate file to write; with 1-best also NAME.conllu or NAME.tsv (s2s).",
    ),
]
StrategyName = Annotated[
    str | None,
    typer.Option(
        help="[bold]k-best[/bold]: the k most probable trees (deepbiaf), each with its best relations; with "
        "--labelled the k most probable labelled trees. [bold]beam[/bold]: the best that a beam search ends with "
        "(stackptr, s2s); as 'beam(b=10,ended)' those that end first (s2s). "
        "[bold]top-k[/bold], [bold]nucleus[/bold]: parses sampled action by action "
        "(stackptr, s2s). [bold]dropout-p[/bold]: best parses of randomly thinned networks, the paper's choice. "
        "[bold]1-best[/bold]: plain parsing. A + joins pools, equal parses once: 'k-best(labelled)+dropout-p(p=0.05)', "
        "'1-best+beam(b=10)+dropout-p(p=0.1)'.",
        show_default="k-best --labelled for deepbiaf, else beam",
    ),
]
BeamWidth = Annotated[int | None, typer.Option(min=1, metavar="B", help="Hypotheses of beam.", show_default="10")]
KeepDuplicates = Annotated[
    bool, typer.Option("--keep-duplicates", help="With beam of stackptr: list a tree as often as the beam holds it.")
]
Labelled = Annotated[
    bool,
    typer.Option("--labelled", help="With k-best: vary heads and relations together, not heads alone as in the paper."),
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
Constrained = Annotated[
    bool, typer.Option("--constrained", help="Of s2s: propose well-formed frames over all words, and nothing else.")
]
NumCandidates = Annotated[
    int, typer.Option("--num-candidates", "-n", min=1, help="Of each sentence; by each of joined strategies.")
]
ONE_BEST = {".conllu": "a CoNLL-U file holds one parse a sentence", ".tsv": "a TOP file holds one parse an utterance"}


def candidates(
    model: Model,
    text: Text,
    output: Output,
    strategy: StrategyName = None,
    beam_width: BeamWidth = None,
    keep_duplicates: KeepDuplicates = False,
    labelled: Labelled = False,
    k: TopActions = None,
    p: Probability = None,
    temperature: Temperature = None,
    constrained: Constrained = False,
    num_candidates: NumCandidates = 10,
    seed: Annotated[int, typer.Option(help="Of the samples that dropout-p, top-k and nucleus draw.")] = 1,
    as_json: Json = False,
) -> None:
    """Let a model propose several parses of every sentence, for bcr rerank to choose from.

    What INPUT holds of parses is not looked at. The candidate file has one JSON
    object a line and sentence, here first one with a tree, then one with a
    frame (null: it is no tree over the words); other tools can write it too:

    [cyan]{"sentence": 1, "forms": \\["She", "ran"], "candidates": \\[{"heads": \\[2, 0],
    "relations": \\["nsubj", "root"], "log_prob": -0.105}, ...]}[/cyan]

    [cyan]{"utterance": 1, "words": \\["call", "mum"], "candidates":
    \\[{"frame": "\\[IN:CALL call \\[SL:WHO mum ] ]", "log_prob": -0.105}, ...]}[/cyan]

    Examples, for a model of any kind, for a stackptr, and for an s2s:

    [green]bcr candidates new test.conllu --strategy dropout-p --p 0.15 -o pool.jsonl[/green]

    [green]bcr candidates new test.conllu --strategy beam --beam-width 10 -o pool.jsonl[/green]

    [green]bcr candidates new test.tsv --strategy 1-best --constrained -o parsed.tsv[/green]
    """
    _check_one_best(output, strategy, num_candidates)
    check_output_file(output)
    from bcrlib.cli.models import kind_of, load_model, task_of
    from bcrlib.cli.options import StrategyOptions, chosen_strategy

    kind = kind_of(model)
    task, options = task_of(kind), StrategyOptions(beam_width, k, p, temperature, keep_duplicates, labelled)
    _check_suffix(output, task, kind)
    chosen = chosen_strategy(strategy, kind, num_candidates, options)
    words, parser = task.read_text(text, kind), load_model(model)
    if constrained:
        parser = task.constrained(parser)
    pool = task.propose(parser, words, chosen, seed)
    write = task.write_best if output.suffix == task.SUFFIX else task.write_pool
    write(words, pool, output)
    _tell(pool, task, task.failures(words, pool), str(chosen), output, as_json)


def _check_one_best(output: Path, strategy: str | None, num_candidates: int) -> None:
    several = num_candidates != 1 or "+" in (strategy or "")
    if output.suffix in ONE_BEST and strategy != "1-best" and several:
        raise ValueError(f"{output}: {ONE_BEST[output.suffix]}; use --strategy 1-best, or name a .jsonl")


def _check_suffix(output: Path, task: ModuleType, kind: str) -> None:
    if output.suffix in ONE_BEST and output.suffix != task.SUFFIX:
        raise ValueError(f"{output}: a parser of kind {kind} writes {task.SUFFIX}, or candidates as .jsonl")


def _tell(
    pool: "TreePool | FramePool",
    task: ModuleType,
    failures: dict[str, int],
    strategy: str,
    output: Path,
    as_json: bool,
) -> None:
    num_items, distinct = pool.log_probs.shape[1], float(pool.num_distinct().mean())
    if as_json:
        summary = {"output": str(output), "strategy": strategy, f"num_{task.ITEM}s": num_items}
        print_json(summary | {"num_candidates": pool.num_candidates, task.DISTINCT: distinct} | failures)
    else:
        no_frames = "".join(f", no frames: {number}" for number in failures.values())
        typer.echo(
            f"{output}: {num_items} {task.ITEM}s by {strategy}, candidates of each: {pool.num_candidates},"
            f" distinct on average: {distinct:.1f}{no_frames}"
        )
