"""The sha256 of every file of data that a half of a run reads: corpus, word vectors, pretrained encoders."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bcrlib.data.download import EWT_SPLITS, TOP_FILES, ewt_path, minilm_folder, mpnet_folder, top_path
from bcrlib.data.vectors import CONTEXTUAL


def data_hashes(task: str, profile: Mapping[str, Any]) -> dict[str, str | None]:
    """FOLDER/FILE -> sha256 of what is read; nothing of a generated corpus, None for an encoder that the hub gives.

    profile: what was asked for, as JSON values.  Raises DataError as `bcrlib.data.download`, OSError for a file that is
    not there.  O(bytes).
    """
    files, from_hub = _files_of(task, profile)
    hashes: dict[str, str | None] = {f"{file.parent.name}/{file.name}": _sha256(file) for file in files}
    return dict(sorted((hashes | dict.fromkeys(from_hub)).items()))


def _files_of(task: str, profile: Mapping[str, Any]) -> tuple[list[Path], list[str]]:
    """The files, and the names on the hub."""
    if task == "dependency":
        corpus, pretrained = _treebank_files(profile["corpus"]), _vectors(profile)
    else:
        corpus, pretrained = _frame_files(profile["corpus"]), [profile[size]["encoder"] for size in ("base", "large")]
    files, from_hub = [*corpus], []
    for name in dict.fromkeys(pretrained):
        found = _pretrained_files(name)
        files, from_hub = (files, [*from_hub, name]) if found is None else ([*files, *found], from_hub)
    return files, from_hub


def _vectors(profile: Mapping[str, Any]) -> list[str]:
    """Of all parsers; static ones beside them only where an update has such a kind."""
    has_static = any("-static" in update for update in profile["updates"])
    return [profile["model"]["vectors"], *([profile["static_vectors"]] if has_static else [])]


def _treebank_files(corpus: str) -> list[Path]:
    if corpus == "demo":
        return []
    return [ewt_path(split) if corpus == "ewt" else Path(corpus) / f"{split}.conllu" for split in EWT_SPLITS]


def _frame_files(corpus: str) -> list[Path]:
    if corpus == "demo":
        return []
    return [top_path(split) if corpus == "top" else Path(corpus) / file for split, file in TOP_FILES.items()]


def _pretrained_files(name: str) -> Iterable[Path] | None:
    """Of vectors or of an encoder; None where they come from elsewhere."""
    if name in ("none", "tiny"):
        return []
    name = CONTEXTUAL[name].encoder if name in CONTEXTUAL else name
    if name in ("minilm", "mpnet"):
        name = str({"minilm": minilm_folder, "mpnet": mpnet_folder}[name]())
    path = Path(name)
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.is_file())
    return [path] if path.is_file() else None


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
