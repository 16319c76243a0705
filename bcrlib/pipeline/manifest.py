"""What produced a result: hardware, versions, wall times, fingerprints."""

import json
import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("bcrlib", "numba", "numpy", "torch")


def machine() -> dict[str, Any]:
    """Processor, cores, GPU if there is one, and the versions that decide numbers."""
    import torch  # only here: everything right of the correctness tables does without

    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "versions": {package: version(package) for package in PACKAGES},
    }


def job_records(folders: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
    """Fingerprint and wall time in seconds of every job, and what training jobs tell of themselves."""
    records = {}
    for name, folder in folders.items():
        job = json.loads((folder / "job.json").read_text("utf-8"))
        records[name] = {"fingerprint": job["fingerprint"], "seconds": job["seconds"]}
        training = folder / "training.json"
        if training.exists():
            content = json.loads(training.read_text("utf-8"))
            told = {key: content[key] for key in ("precision", "device", "num_rows", "num_dropped") if key in content}
            scores = [epoch["dev_score"] for epoch in content["history"]]
            records[name] |= {**told, "dev_score": max(score for score in scores if score is not None)}
    return records


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
