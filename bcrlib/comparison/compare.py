"""From files to an update: dependency trees in CoNLL-U, semantic frames in rows of TOP, anything in JSON Lines."""

import os
from collections.abc import Sequence

from bcrlib.comparison.json_items import read_json_items
from bcrlib.comparison.trees import read_trees
from bcrlib.comparison.update import Update
from bcrlib.data.formats import TOP, InputFile, read_input
from bcrlib.evaluation import common_format
from bcrlib.presets import Preset

Path = str | os.PathLike[str]


def read_update(gold: Path, old: Path, new: Path, old_seeds: Sequence[Path], preset: Preset) -> Update:
    """The update in files of the predictions of an old and a new model, and of further seeds of the old one.

    The gold file says which task it is.  CoNLL-U is aligned by `# sent_id` (by order where no file has one), TOP by
    row.  A sentence of gold that the new file lacks is wrong under the new model.  Raises ConlluError or TopError, with
    file, line and fault, as `trees.read_trees` and `frames.read_frames` say; ValueError for predictions of another task
    than gold's and for JSON Lines; OSError.  O(bytes).
    """
    files = [read_input(path) for path in (gold, old, new, *old_seeds)]
    for file in files:
        if is_json_lines(file):
            raise ValueError(f"{file.name} holds JSON Lines; gold, old and new stand in one such file, given alone")
    if common_format(files) == TOP:
        from bcrlib.comparison.frames import read_frames  # numba, which the others do without

        return read_frames(*files[:3], files[3:], preset)
    return read_trees(*files[:3], files[3:], preset)


def read_items(items: Path, preset: Preset) -> Update:
    """The update in one file of JSON Lines; see `json_items`.  Raises ItemsError, OSError.  O(bytes)."""
    file = read_input(items)
    if not is_json_lines(file) and file.format is not None:
        raise ValueError(f"{file.name} holds {file.format}; give it with --gold, --old and --new")
    return read_json_items(file, preset)


def is_json_lines(file: InputFile) -> bool:
    """Whether a file begins as an object of JSON does.  O(1)."""
    return file.content[:1] == b"{"
