"""Where results live: one folder a job, complete or absent.

<runs>/<first 16 digits of the fingerprint>-<job name>/    finished: files, executed notebook, job.json
<runs>/.partial/...@<host>@<process>@...                   being made; put in place by one rename at the end
<runs>/failed/<job name>/                                  what a failed job left, to look at
"""

import json
import os
import shutil
import socket
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

RECORD = "job.json"
COLLECTED = {"dependency": ("collect", "speed"), "semantic": ("collect frames", "speed frames")}
"""The jobs of each task whose results are kept, and told in the story: what was counted, and the speed."""


def result_folder(runs_folder: Path, name: str, fingerprint: str) -> Path:
    """The folder of a finished result with this fingerprint, whatever its name; else where to make it."""
    named = runs_folder / f"{fingerprint[:16]}-{name}"
    others = sorted(runs_folder.glob(f"{fingerprint[:16]}-*"))
    return next((folder for folder in [named, *others] if fault(folder, fingerprint) is None), named)


def fault(folder: Path, fingerprint: str) -> str | None:
    """Why the folder does not hold this result, in a few words; None where it does.

    Every file that was there when the job finished must be there with its size.  O(files), no file is read.
    """
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        recorded, sizes = record["fingerprint"], dict(record["files"])
    except FileNotFoundError:
        return f"{RECORD} is missing" if folder.exists() else "not yet made"
    except (ValueError, KeyError, TypeError):
        return f"{RECORD} is damaged"
    if recorded != fingerprint:
        return "it is the result of something else"
    there = _file_sizes(folder)
    return next((f"{file} is missing or cut" for file, size in sizes.items() if there.get(file) != size), None)


def latest(runs_folder: Path, name: str) -> dict[str, Any] | None:
    """The record of the job's last finished result, whatever it was made from; None where there is none."""
    records = [folder / RECORD for folder in runs_folder.glob("*-*") if folder.name.partition("-")[2] == name]
    records = sorted((record for record in records if record.is_file()), key=lambda record: record.stat().st_mtime)
    with suppress(IndexError, ValueError):
        return json.loads(records[-1].read_text(encoding="utf-8"))
    return None


def given(
    inputs: Mapping[str, str] | str, output_folder: str, needs: Sequence[str] | None = None
) -> tuple[dict[str, str], Path]:
    """What a pipeline notebook reads, by the names of jobs, and where it writes; the driver says it, or a person.

    inputs: {job name: folder}, or the folder of a run's results, of which the newest of every name is taken.
    needs: the names that it reads; None: whatever it is given folder by folder.  The output folder is made.
    ValueError says in one sentence what to give.
    """
    if not output_folder:
        raise ValueError("output_folder is empty: say where to write, with papermill by -p output_folder FOLDER")
    if isinstance(inputs, str):
        records = sorted(Path(inputs).glob(f"*-*/{RECORD}"), key=lambda file: file.stat().st_mtime)
        inputs = {file.parent.name.partition("-")[2]: str(file.parent) for file in records if needs is not None}
    missing = ["the results of other jobs"] if needs is None and not inputs else []
    missing += [f"{name!r}" for name in dict.fromkeys(needs or ()) if name not in inputs]
    if missing:
        folders = "a folder for each job (-y 'inputs: {JOB: FOLDER}')"
        folders += "" if needs is None else " or the folder of a run's results (-p inputs RUNS)"
        raise ValueError(f"this notebook reads {', '.join(missing)}: give {folders}")
    Path(output_folder).mkdir(parents=True, exist_ok=True)
    return dict(inputs), Path(output_folder)


def lay_out(folder: Path, collected: Path, *measured: Path) -> None:
    """Copy what jobs of a task left, as data/correctness/PROFILE/TASK keeps it: the correctness, and speed.json."""
    shutil.copytree(collected / "correctness", folder)
    for place in measured:
        shutil.copy(place / "speed.json", folder)


def new_partial(runs_folder: Path, name: str, fingerprint: str) -> Path:
    """A fresh empty folder to work in, on the file system of the results; its name tells who works there."""
    parent = runs_folder / ".partial"
    parent.mkdir(parents=True, exist_ok=True)
    owner = f"{fingerprint[:16]}-{name}@{socket.gethostname()}@{os.getpid()}@"
    folder = parent / (owner + uuid.uuid4().hex[:8])
    folder.mkdir()  # with the mode that the umask gives: others may read what becomes of it
    return folder


def publish(partial: Path, folder: Path, record: dict[str, Any]) -> None:
    """Write the record (with the sizes of all files) and put the folder in place by one rename.

    A damaged folder in that place is replaced.  Where another process was faster its result stays and ours
    goes: equal fingerprints, equal work.
    """
    record = {**record, "files": _file_sizes(partial)}
    (partial / RECORD).write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    partial.chmod(0o755)  # mkdtemp makes it private; a cluster's other users may read results
    if folder.exists() and fault(folder, record["fingerprint"]) is not None:
        shutil.rmtree(folder)
    try:
        os.replace(partial, folder)
    except OSError:
        if fault(folder, record["fingerprint"]) is not None:
            raise
        shutil.rmtree(partial)


def keep_failed(partial: Path, runs_folder: Path, name: str) -> Path:
    """Move what a failed job left to <runs>/failed/<name>, in place of an earlier failure; that folder."""
    folder = runs_folder / "failed" / name
    folder.parent.mkdir(exist_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial, folder)
    return folder


def forget_failed(runs_folder: Path, name: str) -> None:
    """Delete what an earlier failure of the job left: it has a result now."""
    shutil.rmtree(runs_folder / "failed" / name, ignore_errors=True)


def remove_abandoned(runs_folder: Path) -> None:
    """Delete the partial folders of processes of this host that are gone (kill -9, power cut)."""
    for partial in (runs_folder / ".partial").glob("*@*@*"):
        _, host, process, _ = partial.name.rsplit("@", 3)
        if host == socket.gethostname():
            with suppress(psutil.NoSuchProcess):
                if psutil.Process(int(process)).status() != psutil.STATUS_ZOMBIE:  # dead, but its parent has not asked
                    continue
            shutil.rmtree(partial, ignore_errors=True)


def _file_sizes(folder: Path) -> dict[str, int]:
    files = (file for file in sorted(folder.rglob("*")) if file.is_file() and file.name != RECORD)
    return {file.relative_to(folder).as_posix(): file.stat().st_size for file in files}
