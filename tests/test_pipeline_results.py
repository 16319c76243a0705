import os
import socket
import subprocess
import sys

import pytest

from bcrlib.pipeline import results

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
    assert left == {
        f"abc-train@{host}@{os.getpid()}@x",
        f"abc-train@{host}@1@x",
        f"abc-train@not-{host}@{ended.pid}@x",
    }


def test_same_digits_other_fingerprint(tmp_path):
    folder = publish(tmp_path)
    assert results.fault(folder, FINGERPRINT[:16] + "f" * 48) == "it is the result of something else"
