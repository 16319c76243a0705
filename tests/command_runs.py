"""The command `bcr` in-process, and tiny parsers made with it."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bcrlib.cli import app
from bcrlib.data.generated.trees import generate_treebank
from bcrlib.data.treebank import write_conllu
from bcrlib.samplers.strategies import Beam, DropoutP, KBest, Nucleus, OneBest, TopK

SIZES = ("hidden_size=6", "num_layers=1", "word_size=6", "char_size=4", "upos_size=4", "arc_size=6", "label_size=6")
DECODER = ("decoder_input_size=6", "decoder_size=6")
TINY = [f"--set=model.{size}" for size in SIZES] + ["--set=training.num_epochs=2", "--set=training.batch_tokens=100"]
TINY_STACKPTR = ["--kind=stackptr", *(f"--set=model.{size}" for size in (*SIZES, *DECODER))]
TINY_STACKPTR += ["--set=stackptr_training.num_epochs=2", "--set=stackptr_training.batch_tokens=100"]


def bcr(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def run(*arguments: object) -> str:
    """stdout of a command that must succeed."""
    result = bcr(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*arguments: object) -> str:
    """The one line that a command refuses its input with."""
    result = bcr(*arguments)
    assert result.exit_code == 2 and result.stdout == "", result.output
    assert result.stderr.count("\n") == 1 and result.stderr.startswith("error: ")
    return result.stderr


def options(paths: list[object]) -> list[object]:
    """Of compare and evaluate, for gold, old, new and further seeds of old."""
    named = [item for name, path in zip(("--gold", "--old", "--new"), paths) for item in (name, path)]
    return named + [item for path in paths[3:] for item in ("--old-seed", path)]


def lines_of(path: Path) -> list[dict]:
    """The objects in a file of JSON Lines."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def spoiled(pool: Path, change: Callable[[list[dict]], object]) -> str:
    """A candidate file with the candidates of its third item changed."""
    lines = lines_of(pool)
    change(lines[2]["candidates"])
    return "".join(json.dumps(line) + "\n" for line in lines)


def possible_strategies(parser, items) -> tuple[str, ...]:
    """Those that a parser does not refuse, by the first part of their names."""
    possible = []
    for strategy in (OneBest(), KBest(2), Beam(2, 2), TopK(2, 2), Nucleus(0.9, 2), DropoutP(0.1, 2)):
        with suppress(ValueError):
            parser.candidates(items, strategy)
            possible.append(str(strategy).partition("(")[0])
    return tuple(possible)


@pytest.fixture(scope="module", name="work")
def work_folder(tmp_path_factory) -> Path:
    """A folder with a corpus, two trained deepbiaf, old and new, candidates of new, and a trained stackptr."""
    folder = tmp_path_factory.mktemp("work")
    for seed, (split, size) in enumerate({"train": 30, "dev": 8, "test": 12}.items()):
        write_conllu(generate_treebank(size, seed), folder / f"{split}.conllu")
    for seed, name in enumerate(("old", "new")):
        run("train", "--corpus", folder, *TINY, "--seed", seed, "-o", folder / name)
    run("train", "--corpus", folder, *TINY_STACKPTR, "-o", folder / "stackptr")
    run("candidates", folder / "new", folder / "test.conllu", "-n", 4, "-o", folder / "pool.jsonl")
    return folder
