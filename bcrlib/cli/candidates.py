"""`bcr candidates`: a model's parses of every item, several each; `bcr rerank`: the old model picks among them."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bcrlib.cli.options import Json, check_output_file, common_kind, counting, load_model, print_json, task_of
from bcrlib.parsers.configuration import kind_of
from bcrlib.samplers.strategies import JOINT, STRATEGIES, Joined, Strategy, parse_strategy

if TYPE_CHECKING:  # at run time these take a while
    from bcrlib.data.candidates import Pool

MODEL = typer.Argument(metavar="MODEL", help="Folder of a trained parser (see bcr train): the new model.")
TEXT = typer.Argument(
    metavar="INPUT",
    help="File to parse. For deepbiaf and stackptr CoNLL-U, of which words and UPOS are read. For s2s rows of TOP, "
    "or tokenized utterances, one per line.",
)
OUTPUT = typer.Option(
    "--output", "-o", metavar="FILE", help="Candidate file to write. With 1-best also NAME.conllu or NAME.tsv (s2s)."
)
STRATEGY_NAME = typer.Option(
    help="[bold]k-best[/bold]: the k most probable trees (deepbiaf), each with its best relations; with "
    "--labelled the k most probable labelled trees. [bold]beam[/bold]: the best hypotheses of a beam search "
    "(stackptr, s2s); 'beam(b=10,ended)' takes those that end first (s2s). "
    "[bold]top-k[/bold], [bold]nucleus[/bold]: parses sampled action by action "
    "(stackptr, s2s). [bold]dropout-p[/bold]: best parses of randomly thinned networks, the paper's choice. "
    "[bold]1-best[/bold]: plain parsing. + joins pools without duplicates: 'k-best(labelled)+dropout-p(p=0.05)', "
    "'1-best+beam(b=10)+dropout-p(p=0.1)'.",
    show_default="k-best --labelled for deepbiaf, else beam",
)
BEAM_WIDTH = typer.Option(min=1, metavar="B", help="Width of the beam.", show_default="10")
KEEP_DUPLICATES = typer.Option("--keep-duplicates", help="With beam of stackptr: keep duplicate trees.")
LABELLED = typer.Option(
    "--labelled", help="With k-best: vary heads and relations together, not heads alone as in the paper."
)
TOP_ACTIONS = typer.Option(min=1, metavar="K", help="For top-k: sample among the K best actions.")
PROBABILITY = typer.Option(
    metavar="P",
    help="For dropout-p the dropout rate, e.g. 0.15. For nucleus the probability mass to keep, e.g. 0.9. Same "
    "as --strategy 'dropout-p(p=0.15)'.",
)
TEMPERATURE = typer.Option(
    metavar="T", help="For top-k and nucleus: below 1, likely actions get likelier.", show_default="1"
)
CONSTRAINED = typer.Option("--constrained", help="For s2s: propose only well-formed frames over all words.")
NUM_CANDIDATES = typer.Option(
    "--num-candidates", "-n", min=1, help="Candidates per sentence, from each of joined strategies."
)
ONE_BEST = {
    ".conllu": "a CoNLL-U file holds one parse per sentence",
    ".tsv": "a TOP file holds one parse per utterance",
}


def candidates(
    model: Annotated[Path, MODEL],
    text: Annotated[Path, TEXT],
    output: Annotated[Path, OUTPUT],
    strategy: Annotated[str | None, STRATEGY_NAME] = None,
    beam_width: Annotated[int | None, BEAM_WIDTH] = None,
    keep_duplicates: Annotated[bool, KEEP_DUPLICATES] = False,
    labelled: Annotated[bool, LABELLED] = False,
    k: Annotated[int | None, TOP_ACTIONS] = None,
    p: Annotated[float | None, PROBABILITY] = None,
    temperature: Annotated[float | None, TEMPERATURE] = None,
    constrained: Annotated[bool, CONSTRAINED] = False,
    num_candidates: Annotated[int, NUM_CANDIDATES] = 10,
    seed: Annotated[int, typer.Option(help="Seed for the samples of dropout-p, top-k and nucleus.")] = 1,
    as_json: Json = False,
) -> None:
    """Let a model propose several parses of every sentence, for bcr rerank to choose from.

    Parses in INPUT are ignored. The candidate file has one line per sentence, a
    JSON object. The first line below has a tree, the second a frame (null if
    malformed). Other tools can write such files too:

    [cyan]{"sentence": 1, "forms": \\["She", "ran"], "candidates": \\[{"heads": \\[2, 0],
    "relations": \\["nsubj", "root"], "log_prob": -0.105}, ...]}[/cyan]

    [cyan]{"utterance": 1, "words": \\["call", "mum"], "candidates":
    \\[{"frame": "\\[IN:CALL call \\[SL:WHO mum ] ]", "log_prob": -0.105}, ...]}[/cyan]

    Examples: for a model of any kind, for a stackptr, and for an s2s:

    [green]bcr candidates new test.conllu --strategy dropout-p --p 0.15 -o pool.jsonl[/green]

    [green]bcr candidates new test.conllu --strategy beam --beam-width 10 -o pool.jsonl[/green]

    [green]bcr candidates new test.tsv --strategy 1-best --constrained -o parsed.tsv[/green]
    """
    several = num_candidates != 1 or JOINT in (strategy or "")
    if output.suffix in ONE_BEST and strategy != "1-best" and several:
        raise ValueError(f"{output}: {ONE_BEST[output.suffix]}; use --strategy 1-best, or name a .jsonl")
    check_output_file(output)
    kind = kind_of(model)
    task = task_of(kind)
    suffix = task.names.suffix
    if output.suffix in ONE_BEST and output.suffix != suffix:
        raise ValueError(f"{output}: a parser of kind {kind} writes {suffix}, or candidates as .jsonl")
    options = {"beam_width": beam_width, "k": k, "p": p, "temperature": temperature}
    options |= {"keep_duplicates": keep_duplicates or None, "labelled": labelled or None}
    given = {name: value for name, value in options.items() if value is not None}
    chosen = chosen_strategy(strategy, kind, num_candidates, given)
    words, parser = task.read(text, kind), load_model(model)
    parser.watch = counting(f"{task.pool.ITEM}s parsed or scored", len(words))
    pool = task.propose(task.constrained(parser) if constrained else parser, words, chosen, seed)
    if output.suffix == suffix:
        task.write(words, pool, output)
    else:
        from bcrlib.data.candidate_files import write_candidates

        write_candidates(words, pool, output)
    failures, distinct = task.failures(words, pool), float(pool.num_distinct().mean())
    article = "an" if pool.ITEM[0] in "aeiou" else "a"
    summary = {"strategy": str(chosen), f"num_{pool.ITEM}s": pool.num_items}
    summary |= {"num_candidates": pool.num_candidates, f"distinct_{article}_{pool.ITEM}": distinct}
    told = f"{pool.num_items} {pool.ITEM}s by {chosen}, candidates of each: {pool.num_candidates}"
    _tell(output, as_json, summary, f"{told}, distinct on average: {distinct:.1f}", failures)


def _tell(output: Path, as_json: bool, summary: dict[str, object], text: str, failures: Mapping[str, int]) -> None:
    """What was written; on stderr where the file itself is standard output."""
    is_taken = str(output) == "-"
    if as_json:
        print_json({"output": str(output)} | summary | failures, err=is_taken)
    else:
        malformed = "".join(f", malformed: {number}" for number in failures.values())
        typer.echo(f"{output}: {text}{malformed}", err=is_taken)


FLAGS = {"keep_duplicates", "labelled"}
OPTIONS = {
    "k-best": {"labelled"},
    "beam": {"beam_width", "keep_duplicates"},
    "top-k": {"k", "temperature"},
    "nucleus": {"p", "temperature"},
    "dropout-p": {"p"},
}
"""Of each strategy that options tell more of."""
NEEDED = {
    "top-k": ("k", "the number of actions to choose among, e.g. --k 5"),
    "nucleus": ("p", "the probability that is kept, e.g. --p 0.9"),
    "dropout-p": ("p", "its rate, e.g. --p 0.15"),
}


def strategies_of(kind: str) -> tuple[str, ...]:
    """What this kind of parser can do, by the first part of a strategy's name."""
    return tuple(name for name, strategy in STRATEGIES.items() if kind in strategy.kinds)


def chosen_strategy(
    name: str | None, kind: str, num_candidates: int, given: Mapping[str, int | float | bool]
) -> Strategy:
    """The strategy of this name for a parser of this kind; without a name the kind's own.

    A name is short, e.g. "beam", its numbers then come from the options that were `given`; or it is a strategy as
    tables print it, e.g. "beam(b=10)", or several joined, "1-best+beam(b=10)+dropout-p(p=0.1)", each with
    `num_candidates`.  ValueError: no such strategy, or it is of another kind, an option of another strategy, one that
    is missing, a number out of range.
    """
    possible = strategies_of(kind)
    if name is None:
        name = "k-best(labelled)" if "k-best" in possible else "beam"
    if JOINT in name:
        if given:
            raise ValueError(f"--strategy {name!r} joins several: put {_flags(given)} into the name, a rate as (p=0.1)")
        return Joined(tuple(chosen_strategy(part, kind, num_candidates, given) for part in name.split(JOINT)))
    short, parenthesis, _ = name.partition("(")
    if short not in possible:
        a_parser = f"{'an' if kind == 's2s' else 'a'} {kind}"
        fault = f"{a_parser} has no strategy {short}" if short in STRATEGIES else f"unknown strategy {name!r}"
        raise ValueError(f"{fault}; for {a_parser} choose one of {', '.join(possible)}")
    if foreign := given.keys() - OPTIONS.get(short, set()):
        raise ValueError(f"{_flags(foreign)} is not an option of --strategy {short}")
    if kind == "s2s" and "keep_duplicates" in given:
        raise ValueError("--keep-duplicates is for stackptr only: a frame has only one derivation")
    if parenthesis or short not in OPTIONS:
        if twice := given.keys() - FLAGS:
            raise ValueError(f"--strategy {name!r} already sets what {_flags(twice)} sets; give only one of them")
        return replace(parse_strategy(name, num_candidates), **given)
    needed, what = NEEDED.get(short, (None, ""))
    if needed and needed not in given:
        raise ValueError(f"--strategy {short} needs {what}")
    values = {"width": 10} if short == "beam" else {}
    values |= {"width" if option == "beam_width" else option: value for option, value in given.items()}
    return STRATEGIES[short](num_candidates=num_candidates, **values)


def _flags(options: Iterable[str]) -> str:
    return ", ".join(f"--{option.replace('_', '-')}" for option in sorted(options))


ROUNDING = 0.05
"""How far two log-probabilities of one model may lie apart, in nats and as a share: bfloat16 is that coarse."""

POOL_FILES = typer.Argument(
    metavar="CANDIDATES...", help="Candidate files, from bcr candidates or your own tool. Several are joined."
)
NEW = typer.Option(metavar="MODEL", help="Folder of the new model.", show_default="the file's log_prob")
SCORE = typer.Option(
    metavar="sum|mean",
    help="For s2s: a frame's log p, or its mean over the frame's symbols.",
    show_default="the models' preset: clean sum, official mean",
)


def rerank(
    text: Annotated[Path, typer.Argument(metavar="INPUT", help="The file that was parsed: CoNLL-U, or TOP for s2s.")],
    pool_files: Annotated[list[Path], POOL_FILES],
    old: Annotated[list[Path], typer.Option(metavar="MODEL", help="Folder of an old model. Repeatable.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="File to write: CoNLL-U, or TOP.")],
    old_weight: Annotated[
        list[float], typer.Option(metavar="W", help="Weight of each --old, in the same order.", show_default="1 each")
    ] = [],  # noqa: B006  typer copies it
    new: Annotated[Path | None, NEW] = None,
    new_weight: Annotated[
        float, typer.Option(metavar="W", help="Weight of the new model's own opinion; 0 is the paper's method.")
    ] = 0.0,
    score: Annotated[str | None, SCORE] = None,
    as_json: Json = False,
) -> None:
    """Of each sentence's candidates, keep the one that the old model likes best (BCR).

    score = new_weight * log p_new(parse)
    + sum over old models of old_weight * log p_old(parse)

    The first of equal ones wins. In CoNLL-U, all columns but HEAD and DEPREL stay
    as in INPUT. TOP gets two columns, utterance and parse. Old and new model may
    be of different kinds, as long as both parse trees or both parse frames. The
    candidates may come from your own parser.

    A malformed candidate file is refused, and nothing is written. Faults are:
    heads or brackets that do not form a tree, relations or labels unknown to all
    models, several roots where the models allow one, and words that differ from
    INPUT. All candidate files must come from one new model; if log_prob matters,
    equal parses must have equal ones.

    Examples:

    [green]bcr rerank --old old test.conllu pool.jsonl -o reranked.conllu[/green]

    [green]bcr rerank --old old test.tsv pool.jsonl -o reranked.tsv[/green]

    [green]bcr rerank --old old --new-weight 0.25 test.tsv beam.jsonl sampled.jsonl -o reranked.tsv[/green]
    """
    if old_weight and len(old_weight) != len(old):
        raise ValueError(f"{len(old_weight)} times --old-weight for {len(old)} times --old: give one for each, or none")
    check_output_file(output)
    from bcrlib.data.candidate_files import check_known, check_single_roots, read_candidates
    from bcrlib.data.candidates import TreePool, joined
    from bcrlib.reranking import bcr_scores, choose

    folders, from_file = old if new is None else [*old, new], new is None and new_weight != 0
    kind = common_kind(folders)
    task = task_of(kind)
    words = task.read(text, kind)
    pools = {str(file): read_candidates(file, words, task.pool) for file in pool_files}
    if from_file:
        _check_log_probs(pools)
    models = task.scorers([load_model(folder) for folder in folders], score, from_file)
    known = {name for model in models for name in task.known(model)}
    for name, pool in pools.items():
        check_known(pool, known, name)
        if isinstance(pool, TreePool) and any(model.single_root for model in models):
            check_single_roots(pool, name)
    pool = joined([*pools.values()]) if len(pools) > 1 else pools[str(pool_files[0])]
    for number, model in enumerate(models, start=1):
        model.watch = counting(f"{pool.ITEM}s scored by model {number} of {len(models)}", pool.num_items)
    old_log_probs = [model.log_probs(words, pool) for model in models[: len(old)]]
    new_log_probs = models[-1].log_probs(words, pool) if new is not None and new_weight else pool.log_probs
    choice = choose(bcr_scores(new_log_probs, old_log_probs, new_weight, old_weight or [1.0] * len(old)))
    chosen = pool.single(choice)
    task.write(words, chosen, output)
    failures = task.failures(words, chosen)
    num_changed = int((pool.first_equal()[choice, range(len(choice))] != 0).sum())
    summary = {f"num_{pool.ITEM}s": len(choice), "num_changed": num_changed}
    told = f"{len(choice)} {pool.ITEM}s, {num_changed} not the first candidate's {pool.STRUCTURE}"
    _tell(output, as_json, summary, told, failures)


def _check_log_probs(pools: Mapping[str, "Pool"]) -> None:
    """CandidateFileError for a candidate without one, and where files give equal parses different ones.

    Such files are not one model's.
    """
    import numpy as np  # only here: `bcr --help` is there at once

    from bcrlib.data.candidate_files import fault_in
    from bcrlib.data.candidates import together

    for name, pool in pools.items():
        unknown = np.isnan(pool.log_probs).any(axis=0)
        if unknown.any():
            fault = "a candidate without log_prob, which --new-weight needs; name the new model with --new"
            raise fault_in(type(pool), name, int(unknown.argmax()) + 1, fault)
    pool = together([*pools.values()])
    first = pool.first_equal().astype(np.int64)
    of_first = np.take_along_axis(pool.log_probs, first, axis=0)
    differ = ~np.isclose(pool.log_probs, of_first, ROUNDING, ROUNDING)
    if differ.any():
        item = int(differ.any(axis=0).argmax())
        candidate = int(differ[:, item].argmax())
        places = [(name, place) for name, one in pools.items() for place in range(1, one.num_candidates + 1)]
        (name, place), (other, first_place) = places[candidate], places[first[candidate, item]]
        fault = (
            f"candidate {place} has log_prob {pool.log_probs[candidate, item]:g}, the same {pool.STRUCTURE} in "
            f"{other}, candidate {first_place}, {of_first[candidate, item]:g}: name the new model with --new"
        )
        raise fault_in(type(pool), name, item + 1, fault)
