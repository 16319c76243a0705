"""Fixtures shared by all tests."""

import os
import warnings
from pathlib import Path

import pytest

EWT_FILE = "ud-english-ewt-2.2/en_ewt-ud-{split}.conllu"
TOP_FILES = {
    split: f"top-supported/{name}.tsv" for split, name in [("train", "train"), ("dev", "eval"), ("test", "test")]
}


def real_file(name: str) -> Path:
    """A file of the real corpora; skips loudly where it is not found."""
    file = Path(os.environ.get("BCRLIB_DATA", "")) / name
    if not file.is_file():
        warnings.warn(f"REAL CORPUS NOT FOUND: set BCRLIB_DATA to a folder with {name}", stacklevel=2)
        pytest.skip(f"real corpus not found ({name}); set BCRLIB_DATA")
    return file


@pytest.fixture(scope="session")
def ewt():
    """ewt(split) -> the real CoNLL-U file of UD English EWT 2.2; skips loudly where it is not found."""
    return lambda split: real_file(EWT_FILE.format(split=split))


@pytest.fixture(scope="session")
def top():
    """top(split) -> the real two-column file of TOP 1.1, supported rows; skips loudly where it is not found."""
    return lambda split: real_file(TOP_FILES[split])
