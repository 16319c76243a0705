"""What a manifest says of a run: against git, hashlib, and records written by hand."""

import hashlib
import json
import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest

from bcrlib.data.download import RECORDS, data_folder
from bcrlib.data.presets import PRESETS
from bcrlib.pipeline.manifest import commit, data_hashes, machine, provenance, stage, switches, wall_time
from bcrlib.pipeline.profile import json_values, load_profile

DEMO = json_values(load_profile("demo"))
FRAMES = json_values(load_profile("demo").semantic)
KNOWN = json.loads((RECORDS / "checksums.json").read_text())


def git(folder: Path, *command: str) -> str:
    names = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.org")
    done = subprocess.run(["git", "-C", str(folder), *names, *command], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path) -> Path:
    (tmp_path / "bcrlib").mkdir()
    (tmp_path / "bcrlib" / "module.py").write_text("1\n")
    (tmp_path / "README.md").write_text("1\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "All")
    return tmp_path


def test_the_commit_is_that_of_the_checkout(checkout):
    assert commit(checkout) == git(checkout, "rev-parse", "HEAD")
    assert len(commit(checkout)) == 40


def test_a_plus_tells_of_code_that_is_not_committed(checkout):
    head = commit(checkout)
    (checkout / "README.md").write_text("2\n")  # computes nothing
    assert commit(checkout) == head
    (checkout / "bcrlib" / "module.py").write_text("2\n")
    assert commit(checkout) == f"{head}+"
    git(checkout, "checkout", "--", ".")
    (checkout / "bcrlib" / "new.py").write_text("1\n")
    assert commit(checkout) == f"{head}+"


def test_no_checkout_no_commit(checkout, tmp_path_factory, monkeypatch):
    assert commit(checkout / "bcrlib") is None  # that of another project, in which the package lies
    assert commit(tmp_path_factory.mktemp("bare")) is None
    monkeypatch.setenv("PATH", "")
    assert commit(checkout) is None


def test_every_switch_of_the_preset_is_named():
    for name, preset in PRESETS.items():
        written = json.loads(json.dumps(switches(name)))
        assert set(written) == set(asdict(preset)) and written["name"] == name
    assert switches("official")["punct_exclude"] == ["PUNCT", "SYM"]
    assert switches("clean")["span_em"] == "labelled"


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        ("train stackptr 123", "train"),
        ("train deepbiaf-static 123", "train"),
        ("distil s2s-large by s2s-base 1", "distil"),
        ("candidates frames test s2s-base 2", "candidates frames test"),
        ("choose dropout", "choose dropout"),
        ("predict frames dev", "predict frames dev"),
    ],
)
def test_stages_are_jobs_without_their_models(job, expected):
    assert stage(job) == expected


def test_wall_time_is_added_up_by_stage():
    seconds = {"train deepbiaf 1": 2.5, "train stackptr 1": 4.0, "predict test": 1.0}
    expected = {"jobs_added_up": 7.5, "stages": {"train": 6.5, "predict test": 1.0}}
    assert wall_time({name: {"seconds": value} for name, value in seconds.items()}) == expected


def test_a_folder_s_files_are_hashed_under_names_that_tell_no_place(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    for split in ("train", "dev", "test"):
        (folder / f"{split}.conllu").write_text(split)
    vectors = tmp_path / "vectors.txt"
    vectors.write_text("a 1 2\n")
    asked = DEMO | {"corpus": str(folder), "model": DEMO["model"] | {"vectors": str(vectors)}}
    found = data_hashes("dependency", asked)
    assert set(found) == {"mine/train.conllu", "mine/dev.conllu", "mine/test.conllu", f"{tmp_path.name}/vectors.txt"}
    assert found["mine/dev.conllu"] == hashlib.sha256(b"dev").hexdigest()


def test_static_vectors_are_hashed_where_an_update_has_parsers_with_them(tmp_path):
    vectors = tmp_path / "few.txt"
    vectors.write_text("a 1 2\n")
    asked = DEMO | {"static_vectors": str(vectors)}
    assert data_hashes("dependency", asked) == {}
    found = data_hashes("dependency", asked | {"updates": ["deepbiaf-static=>deepbiaf"]})
    assert list(found) == [f"{tmp_path.name}/few.txt"]


def test_an_encoder_of_the_hub_has_a_name_and_no_hash(tmp_path):
    for name in ("train.tsv", "eval.tsv", "test.tsv"):
        (tmp_path / name).write_text(name)
    large = FRAMES["large"] | {"encoder": "roberta-large"}
    found = data_hashes("semantic", FRAMES | {"corpus": str(tmp_path), "large": large})
    assert found.pop("roberta-large") is None
    assert sorted(found) == [f"{tmp_path.name}/{name}" for name in ("eval.tsv", "test.tsv", "train.tsv")]


@pytest.mark.skipif(not (data_folder() / "ud-english-ewt-2.2").is_dir(), reason="needs the treebank")
def test_the_hashes_of_the_treebank_are_those_of_the_list():
    found = data_hashes("dependency", DEMO | {"corpus": "ewt"})
    assert found == {name: KNOWN[name] for name in KNOWN if name.startswith("ud-english-ewt-2.2/")}


def test_all_together(tmp_path):
    for name, seconds in {"train deepbiaf 1": 2.0, "predict test": 1.0}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "job.json").write_text(json.dumps({"fingerprint": "f", "seconds": seconds}))
    history = [{"dev_score": None}, {"dev_score": 0.5}]
    training = {"precision": "x", "history": history, "teacher_accuracy": {"UAS": 0.9}}
    (tmp_path / "train deepbiaf 1" / "training.json").write_text(json.dumps(training))
    manifest = provenance("semantic", FRAMES | {"preset": "clean"}, {"students": 1}, dict(folders(tmp_path)))
    assert manifest == json.loads(json.dumps(manifest))
    assert manifest["seeds"]["ensembles"] == [[1, 2]] and manifest["seeds"]["students"] == 1
    assert manifest["jobs"]["train deepbiaf 1"]["dev_score"] == 0.5
    assert manifest["jobs"]["train deepbiaf 1"]["teacher_accuracy"] == {"UAS": 0.9}
    assert manifest["wall_time"]["jobs_added_up"] == 3.0
    assert {"transformers", "torch"} <= set(manifest["machine"]["versions"])
    assert "transformers" not in machine()["versions"]
    assert manifest["machine"]["memory_gib"] > 0.5


def folders(place: Path) -> list[tuple[str, Path]]:
    return [(folder.name, folder) for folder in sorted(place.iterdir())]
