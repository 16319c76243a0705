import ast
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bcrlib.pipeline import results
from bcrlib.pipeline.jobs import read_notebook

FINGERPRINT = "0123456789abcdef" * 4


def publish(runs, name="train", text="weights"):
    partial = results.new_partial(runs, name, FINGERPRINT)
    (partial / "deep").mkdir()
    (partial / "deep" / "model.bin").write_text(text)
    folder = runs / f"{FINGERPRINT[:16]}-{name}"
    results.publish(partial, folder, {"fingerprint": FINGERPRINT})
    return folder


def test_renamed_job_finds_its_old_result(tmp_path):
    folder = publish(tmp_path, "train")
    assert results.result_folder(tmp_path, "train-1", FINGERPRINT) == folder


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (lambda folder: (folder / "deep" / "model.bin").unlink(), "deep/model.bin is missing or cut"),
        (lambda folder: (folder / "deep" / "model.bin").write_text("w"), "deep/model.bin is missing or cut"),
        (lambda folder: (folder / "job.json").unlink(), "job.json is missing"),
        (lambda folder: (folder / "job.json").write_text("{"), "job.json is damaged"),
        (lambda folder: (folder / "job.json").write_text("[]"), "job.json is damaged"),
    ],
)
def test_damaged_result_is_no_result_and_is_replaced(tmp_path, damage, fault):
    folder = publish(tmp_path)
    damage(folder)
    assert results.fault(folder, FINGERPRINT) == fault
    publish(tmp_path)
    assert results.fault(folder, FINGERPRINT) is None
    assert list((tmp_path / ".partial").iterdir()) == []


def test_the_first_of_two_equal_works_stays(tmp_path):
    folder = publish(tmp_path, text="weights")
    publish(tmp_path, text="WEIGHTS")
    assert (folder / "deep" / "model.bin").read_text() == "weights"
    assert list((tmp_path / ".partial").iterdir()) == []


def test_later_failure_replaces_the_earlier(tmp_path):
    for text in ("one", "two"):
        partial = results.new_partial(tmp_path, "train", FINGERPRINT)
        (partial / text).touch()
        left = results.keep_failed(partial, tmp_path, "train")
    assert [file.name for file in left.iterdir()] == ["two"]
    results.forget_failed(tmp_path, "train")
    assert not left.exists()


def test_only_partial_folders_of_dead_processes_of_this_host_go(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    host = socket.gethostname()
    for owner in (f"{host}@{ended.pid}", f"{host}@{os.getpid()}", f"{host}@1", f"not-{host}@{ended.pid}"):
        (tmp_path / ".partial" / f"abc-train@{owner}@x").mkdir(parents=True)
    results.remove_abandoned(tmp_path)
    left = {folder.name for folder in (tmp_path / ".partial").iterdir()}
    assert left == {f"abc-train@{host}@{os.getpid()}@x", f"abc-train@{host}@1@x", f"abc-train@not-{host}@{ended.pid}@x"}


def test_same_digits_other_fingerprint(tmp_path):
    folder = publish(tmp_path)
    assert results.fault(folder, FINGERPRINT[:16] + "f" * 48) == "it is the result of something else"


def test_by_hand_the_newest_result_of_every_name_is_read(tmp_path):
    old, new = publish(tmp_path, "train deepbiaf 1"), tmp_path / "fedcba9876543210-train deepbiaf 1"
    new.mkdir()
    (new / "job.json").write_text("{}")
    os.utime(new / "job.json", (2**31, 2**31))
    inputs, output = results.given(str(tmp_path), str(tmp_path / "out" / "deep"), ["train deepbiaf 1"])
    assert inputs == {"train deepbiaf 1": str(new)} != {"train deepbiaf 1": str(old)} and output.is_dir()
    with pytest.raises(ValueError, match=r"reads 'train stackptr 1': .* or the folder of a run's results"):
        results.given(str(tmp_path), str(output), ["train stackptr 1"])
    with pytest.raises(ValueError, match="reads the results of other jobs: give a folder for each job"):
        results.given(str(tmp_path), str(output))
    assert results.given({"predict dev": "x"}, str(output)) == ({"predict dev": "x"}, output)


NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
NEEDY = ("breakdowns", "candidates", "causes", "choose_dropout", "collect", "predict", "speed")


@pytest.mark.parametrize("name", sorted(path.stem for path in (NOTEBOOKS / "pipeline").glob("*.ipynb")))
def test_a_pipeline_notebook_with_nothing_said_refuses_in_one_sentence(tmp_path, monkeypatch, name):
    parameters, setup, *_ = (
        c for c in read_notebook(NOTEBOOKS, f"pipeline/{name}.ipynb").cells if c.cell_type == "code"
    )
    lines = [node for node in ast.parse(setup.source).body if not isinstance(node, (ast.Import, ast.ImportFrom))]
    asks = next(number for number, node in enumerate(lines, start=1) if "given(inputs" in ast.unparse(node))
    call = "\n".join(map(ast.unparse, lines[:asks]))
    monkeypatch.chdir(tmp_path)
    said: dict = {}
    exec(compile(parameters.source, name, "exec"), said)
    said["given"] = results.given
    with pytest.raises(ValueError, match=r"^output_folder is empty: .* -p output_folder FOLDER$"):
        exec(compile(call, name, "exec"), said)
    said["output_folder"] = "out"
    if name in NEEDY:
        with pytest.raises(ValueError, match=r"^this notebook reads .*: give a folder for each job \(-y "):
            exec(compile(call, name, "exec"), said)
    else:
        exec(compile(call, name, "exec"), said)
        assert said["inputs"] == {} and Path("out").is_dir()
