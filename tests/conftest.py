"""Fixtures shared by all tests."""

import os
import warnings
from pathlib import Path

import pytest

EWT_FILE = "ud-english-ewt-2.2/en_ewt-ud-{split}.conllu"


@pytest.fixture(scope="session")
def ewt():
    """ewt(split) -> the real CoNLL-U file of UD English EWT 2.2; skips loudly where it is not found."""

    def path(split: str) -> Path:
        file = Path(os.environ.get("BCRLIB_DATA", "")) / EWT_FILE.format(split=split)
        if not file.is_file():
            warnings.warn(f"REAL CORPUS NOT FOUND: set BCRLIB_DATA to a folder with {file.name}", stacklevel=2)
            pytest.skip(f"real corpus not found ({file.name}); set BCRLIB_DATA")
        return file

    return path
