"""The command `bcr` in-process, and tiny parsers made with it."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from bcrlib.cli import app
from bcrlib.data.generated.trees import generate_treebank
from bcrlib.data.treebank import write_conllu

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
