"""What produced a result: hardware, versions, seeds, switches, wall times, fingerprints, hashes of the data, commit."""

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from bcrlib.data.download import SPLITS, minilm_folder, mpnet_folder
from bcrlib.data.files import ROOT
from bcrlib.data.presets import preset
from bcrlib.data.vectors import CONTEXTUAL
from bcrlib.tasks import TASKS, task_named

PACKAGES = ("bcrlib", "numba", "numpy", "torch")
PACKAGES_OF_TASK = {"dependency": ("tokenizers",), "semantic": ("tokenizers", "transformers")}
"""What decides numbers besides: pretrained parts."""
SEEDS_OF_MODELS = ("old_seeds", "new_seeds", "ensembles", "further_seeds")
TOLD_BY_TRAINING = ("precision", "device", "num_rows", "num_dropped", "teacher_accuracy")
"""The last by level, counted by `clean`: what a student's teacher gets right of the data that it teaches from."""
COMPUTING = ("bcrlib", "notebooks", "constraints.txt")
"""Parts of the checkout whose changes may change numbers."""


def data_files(task: str, profile: Mapping[str, Any]) -> tuple[list[Path], list[str]]:
    """The files that a half of a run reads, downloaded where they must be; and names of encoders that the hub gives.

    profile: what was asked for, as JSON values. None are read of a generated corpus.  Raises DataError as
    `bcrlib.data.download`.
    """
    paths = (task_named(task).corpus_file(profile["corpus"], split) for split in SPLITS)
    files, from_hub = [path for path in paths if path is not None], []
    if task == "dependency":
        has_static = any("-static" in update for update in profile["updates"])
        pretrained = [profile["model"]["vectors"], *([profile["static_vectors"]] if has_static else [])]
    else:
        pretrained = [profile[size]["encoder"] for size in ("base", "large")]
    for name in dict.fromkeys(pretrained):
        name = CONTEXTUAL[name].encoder if name in CONTEXTUAL else name
        if name in ("minilm", "mpnet"):
            name = str({"minilm": minilm_folder, "mpnet": mpnet_folder}[name]())
        path = Path(name)
        if path.is_dir():
            files += sorted(file for file in path.iterdir() if file.is_file())
        elif path.is_file():
            files.append(path)
        elif name not in ("none", "tiny"):
            from_hub.append(name)
    return files, from_hub


def data_hashes(task: str, profile: Mapping[str, Any]) -> dict[str, str | None]:
    """FOLDER/FILE -> sha256 of `data_files`; None for an encoder of the hub.

    Errors: as there, and OSError for a file that is not there.  O(bytes).
    """
    files, from_hub = data_files(task, profile)
    hashes: dict[str, str | None] = dict.fromkeys(from_hub)
    for file in files:
        with file.open("rb") as content:
            hashes[f"{file.parent.name}/{file.name}"] = hashlib.file_digest(content, "sha256").hexdigest()
    return dict(sorted(hashes.items()))


def provenance(
    task: str, profile: Mapping[str, Any], fixed_seeds: Mapping[str, int], folders: Mapping[str, Path]
) -> dict[str, Any]:
    """All of a manifest that does not depend on what came out.

    profile: what was asked for, as JSON values.  fixed_seeds: those that no profile sets.  folders: the result folder
    of every job, by name.  Errors: those of `data_hashes`.  O(bytes of data).
    """
    jobs = job_records(folders)
    return {
        "task": task,
        "profile": dict(profile),
        "switches": switches(profile["preset"]),
        "seeds": {name: profile[name] for name in SEEDS_OF_MODELS if name in profile} | dict(fixed_seeds),
        "machine": machine(PACKAGES_OF_TASK[task]),
        "commit": commit(),
        "data": data_hashes(task, profile),
        "jobs": jobs,
        "wall_time": wall_time(jobs),
    }


def machine(further_packages: Iterable[str] = ()) -> dict[str, Any]:
    """Processor, cores, memory in GiB, GPU if there is one, and the versions that decide numbers."""
    import torch  # only here: everything right of the correctness tables does without

    has_gpu = torch.cuda.is_available()
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpu": torch.cuda.get_device_name() if has_gpu else None,
        "cuda": torch.version.cuda if has_gpu else None,
        "python": platform.python_version(),
        "versions": {package: version(package) for package in (*PACKAGES, *further_packages)},
    }


def switches(name: str) -> dict[str, Any]:
    """Every field of a preset as a JSON value. ValueError for an unknown preset."""
    fields = asdict(preset(name))
    return {field: sorted(value) if isinstance(value, frozenset) else value for field, value in fields.items()}


def commit(root: Path = ROOT) -> str | None:
    """The commit of the checkout, with "+" behind it where files that compute differ; None where there is none.

    It is that of the counting: a job that was fresh may be older, its fingerprint says of what code it is.
    """
    top = _git(root, "rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != root.resolve():  # an installed package may lie in another's checkout
        return None
    head = _git(root, "rev-parse", "HEAD")
    return f"{head}+" if head and _git(root, "status", "--porcelain", "--", *COMPUTING) else head


def job_records(folders: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
    """Fingerprint and wall time in seconds of every job, and what training jobs tell of themselves."""
    records = {}
    for name, folder in folders.items():
        job = json.loads((folder / "job.json").read_text("utf-8"))
        records[name] = {"fingerprint": job["fingerprint"], "seconds": job["seconds"]}
        training = folder / "training.json"
        if training.exists():
            content = json.loads(training.read_text("utf-8"))
            told = {key: content[key] for key in TOLD_BY_TRAINING if key in content}
            scores = [epoch["dev_score"] for epoch in content["history"]]
            records[name] |= {**told, "dev_score": max(score for score in scores if score is not None)}
    return records


def wall_time(jobs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Seconds of all jobs added up, and of each stage; a run takes less where several go side by side.

    jobs: `job_records`, or the "jobs" of a manifest.
    """
    stages: dict[str, float] = {}
    for name, record in jobs.items():
        stages[stage(name)] = round(stages.get(stage(name), 0.0) + record["seconds"], 3)
    return {"jobs_added_up": round(sum(stages.values()), 3), "stages": stages}


def stage(job: str) -> str:
    """What a job does, without the model: "candidates frames test s2s-base 1" -> "candidates frames test"."""
    words = job.split(" ")
    kinds = {kind for names in TASKS.values() for kind in names.kinds}
    end = next((place for place, word in enumerate(words) if word in kinds), len(words))
    return " ".join(words[:end])


def _git(root: Path, *command: str) -> str | None:
    """What git says, stripped; None where there is no git or it refuses."""
    try:
        done = subprocess.run(["git", "-C", str(root), *command], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
