"""`bcr compare` from the command line: exit codes, files, hostile input, no torch, speed, the example of a workflow."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from command_runs import bcr, options, refused, run
from comparison_files import frame_update, random_items, tree_update, write_items, write_trees
from random_trees import random_mistakes
from typer.testing import CliRunner

from bcrlib.cli import app
from bcrlib.comparison.items import read_items
from bcrlib.comparison.read import read_update
from bcrlib.data.generated.trees import generate_treebank
from bcrlib.data.presets import PRESETS
from bcrlib.data.treebank import read_conllu

ROOT = Path(__file__).resolve().parents[1]
PASSED, GATE_FAILED, BAD_INPUT, CANNOT_TELL = 0, 1, 2, 3


@pytest.fixture
def trees(tmp_path) -> list[Path]:
    return tree_update(tmp_path)


def test_json_has_what_evaluate_has(trees, tmp_path):
    for paths in (trees[:3], frame_update(tmp_path)):
        for preset in ("clean", "official"):
            arguments = [*options(paths), "--preset", preset, "--json"]
            expected, found = json.loads(run("evaluate", *arguments)), json.loads(run("compare", *arguments))
            assert list(found) == [*expected, "verdict"]
            assert all(rates.items() <= found[level].items() for level, rates in expected.items())


def test_exit_codes_and_the_verdict(trees):
    nfr = json.loads(run("compare", *options(trees), "--json"))["UCM"]["nfr"]
    for limit, code, said in (
        (nfr, PASSED, "Gate passed: 1 check."),
        (nfr / 2, GATE_FAILED, "Gate failed: 1 of 1 check."),
    ):
        result = bcr("compare", *options(trees), "--max-nfr", f"UCM={limit!r}")
        assert (result.exit_code, result.stdout.splitlines()[-1], result.stderr) == (code, said, "")
        as_json = bcr("compare", *options(trees), "--max-nfr", f"UCM={limit!r}", "--json")
        assert as_json.exit_code == code
        assert json.loads(as_json.stdout)["UCM"]["gate"]["passed"] == (code == PASSED)
    assert bcr("compare", *options(trees)).exit_code == PASSED
    assert "Gate" not in run("compare", *options(trees))
    assert bcr("compare", *options(trees), "--max-nfi", 0).exit_code == GATE_FAILED
    assert bcr("compare", *options([trees[0]] * 3), "--max-nfr", 0, "--max-nfi", 0).exit_code == PASSED


def test_a_confident_gate_cannot_tell_of_few_items(tmp_path):
    items = write_items([{"id": i, "gold": 1, "old": 1, "new": 1} for i in range(5)], tmp_path / "items.jsonl")
    for switches, code, told in (([], PASSED, "passed"), (["--confident"], CANNOT_TELL, "cannot tell")):
        result = bcr("compare", items, "--max-nfr", 0.1, *switches, "--json")
        whole = json.loads(result.stdout)["verdict"]
        assert (result.exit_code, whole["exit_code"], whole["outcome"]) == (code, code, told)
    assert bcr("compare", items, "--confident").exit_code == PASSED  # no bound, no doubt


def test_further_runs_of_the_new_model(tmp_path):
    """Of trees (one of whose files lacks a sentence) and of frames; a run given twice is said to be one."""
    gold, old, new, second, third = tree_update(tmp_path, num_models=4)
    third.write_text(third.read_text().partition("\n\n")[2])
    found = json.loads(run("compare", *options([gold, old, new]), "--new-seed", second, "--new-seed", third, "--json"))
    each = [json.loads(bcr("compare", *options([gold, old, file]), "--json").stdout) for file in (new, second, third)]
    for name in ("UAS", "UCM", "LAS", "LCM"):
        for rate in ("acc_old", "acc_new", "nfr", "pfr"):
            assert found[name][rate] == pytest.approx(np.mean([one[name][rate] for one in each])), (name, rate)
        assert found[name]["num_units"] == each[0][name]["num_units"] and found[name]["num_pairs"] == 3
    assert found["verdict"]["num_new_models"] == 3
    twice = bcr("compare", *options([gold, old, new, old]), "--new-seed", new)
    assert "warning: runs 1 and 2 of the old model are right in the very same places" in twice.stderr
    assert "warning: runs 1 and 2 of the new model" in twice.stderr
    files = frame_update(tmp_path)
    assert "Means over all pairs of 1 old and 2 new runs" in run("compare", *options(files), "--new-seed", files[0])
    items = write_items(random_items(9), tmp_path / "items.jsonl")
    assert 'put "new_seeds" into the items' in refused("compare", items, "--new-seed", items)


def test_all_reports_are_written_also_where_the_gate_failed(trees, tmp_path):
    markdown, junit, html = (tmp_path / name for name in ("report.md", "gate.xml", "report.html"))
    arguments = ["--max-nfr", 0, "--markdown", markdown, "--junit", junit, "--html", html, "--worst", 2]
    assert bcr("compare", *options(trees), *arguments).exit_code == GATE_FAILED
    assert markdown.read_text("utf-8").startswith("## Gate failed: 4 of 4 checks")
    assert len(ElementTree.parse(junit).findall(".//failure")) == 4
    assert html.read_text("utf-8").startswith("<!doctype html>")


def test_what_is_asked_wrongly_is_refused_in_one_line(trees, tmp_path):
    items = write_items(random_items(30), tmp_path / "items.jsonl")
    for arguments, message in (
        ([], "give --gold, --old and --new, or one file of JSON Lines alone"),
        (options(trees)[:4], "give --gold, --old and --new"),
        ([items, "--gold", trees[0]], "give --gold, --old and --new"),
        ([items, "--old-seed", items], '--old-seed does not go with JSON Lines: put "old_seeds" into the items'),
        (
            options([items] * 3),
            f"{items} holds JSON Lines; gold, old and new stand in one such file: bcr compare ITEMS.jsonl",
        ),
        ([trees[0]], f"{trees[0]} holds CoNLL-U; give it with --gold, --old and --new"),
        (options([trees[0], trees[1], *frame_update(tmp_path)[2:]]), "a row of TOP, but the gold file is CoNLL-U"),
        ([items, "--max-nfr", "much"], "--max-nfr: 'much' is neither RATE nor LEVEL=RATE"),
        ([items, "--max-nfr", "0.1", "--max-nfr", "0.2"], "'0.2' is the second limit for every level"),
        ([items, "--max-nfi", "EM=2"], "max_nfi: 2.0 is not a rate in [0, 1]"),
        ([items, "--max-nfr", "nan"], "max_nfr: nan is not a rate"),
        ([items, "--max-nfr", "UAS=0.1"], "no level 'UAS' here; choose one of EM"),
        ([items, "--preset", "dirty"], "unknown preset 'dirty'"),
        ([tmp_path], f"{tmp_path}: Is a directory"),
        ([tmp_path / "no"], f"{tmp_path}/no: No such file"),
        ([items, "--html", tmp_path / "no" / "x.html"], "no such folder"),
    ):
        assert message in refused("compare", *arguments), arguments


def test_logs_of_lm_eval(tmp_path):
    """Two filters, of which the first counts; a sample that the new log lacks; a metric that is no yes or no."""
    olds = [("strict", 1), ("loose", 0), ("strict", 1), ("strict", 0)]
    ids, old, new = [0, 0, 1, 2], tmp_path / "old", tmp_path / "new"

    def write(path: Path, metrics: list, last: int = 4) -> None:
        samples = [
            {"doc_id": i, "target": "a", "filtered_resps": ["a"], "filter": name, "exact_match": metric}
            for i, (name, metric) in list(zip(ids, metrics))[:last]
        ]
        write_items(samples, path)

    arguments = ["compare", "--from", "lm-eval", "--old", old, "--new", new]
    write(old, olds)
    write(new, [("strict", 0), ("loose", 1), ("strict", 1)], 3)
    rates = json.loads(bcr(*arguments, "--json").stdout)["EM"]
    assert [rates[name] for name in ("num_units", "acc_old", "acc_new", "nfr", "pfr")] == [3, 2 / 3, 1 / 3, 1 / 3, 0]
    assert "the filter 'strict' counts, not 'loose'" in " ".join(run(*arguments).split())
    write(new, [("strict", 0.5)])
    assert f"{new}:1: exact_match is 0.5, neither 0 nor 1" in refused(*arguments)
    new.write_text("")
    assert f"{new}:1: the file is empty" in refused(*arguments)
    assert "--from lm-eval --old FILE --new FILE" in refused("compare", old)
    assert "takes --old and --new alone" in refused(*arguments, "--gold", old)


def test_documents_and_clusters_are_drawn_together(tmp_path):
    """What stands before the first `# newdoc` is a document of its own."""
    rows = "1\tgo\t_\tVERB\t_\t_\t0\troot\t_\t_\n\n"
    for marks, expected in (("d.d.", [0, 0, 1, 1]), (".d.d", [0, 1, 1, 2]), ("..d.", [0, 0, 1, 1]), ("d...", None)):
        (tmp_path / "gold").write_text("".join("# newdoc id = x\n" * (mark == "d") + rows for mark in marks))
        clusters = read_update(*[tmp_path / "gold"] * 3, [], PRESETS["clean"]).clusters
        assert (clusters if clusters is None else clusters.tolist()) == expected
    lines = [{"id": i, "gold": 1, "old": 1, "new": 1, "cluster": name} for i, name in enumerate(("b", 1, "b"))]
    assert read_items(write_items(lines, tmp_path / "i"), PRESETS["clean"]).clusters.tolist() == [0, 1, 0]
    del lines[1]["cluster"]
    assert "'cluster' on some lines only" in refused("compare", write_items(lines, tmp_path / "i"))


def test_standard_input_is_a_file_once_and_lists_are_read_as_files(trees, tmp_path):
    items = write_items([{"id": "a", "gold": 1, "old": 1, "new": 2}], tmp_path / "i.jsonl")
    items.write_bytes(items.read_bytes() + b"\r\n\n")
    listed = tmp_path / "list"
    listed.write_bytes(b"\xef\xbb\xbfa\r\n\r\n")
    assert bcr("compare", items, "--must-not-break", listed).exit_code == GATE_FAILED
    found = CliRunner().invoke(app, ["compare", "-", "--json"], input=items.read_bytes())
    assert found.stdout == run("compare", items, "--json")
    assert "standard input (-) can be only one of the files" in refused("compare", "-", "--must-not-break", "-")
    for command in ("compare", "evaluate"):
        given = [command, *map(str, options(["-", *trees[1:3]])), "--json"]
        found = CliRunner().invoke(app, given, input=trees[0].read_bytes())
        assert found.stdout == run(command, *options(trees[:3]), "--json")
        assert "can be only one of the files" in refused(command, *options(["-", "-", trees[2]]))


def test_a_huge_word_is_quoted_in_part(tmp_path):
    paths = [tmp_path / name for name in ("gold", "old", "new")]
    for path, letter in zip(paths, "aab"):
        path.write_text(f"# sent_id = s\n1\t{letter * 10**6}\t_\tNOUN\t_\t_\t0\troot\t_\t_\n\n")
    said = refused("compare", *options(paths))
    assert said.startswith(f"error: {paths[2]}:2: sentence 's', word 1: 'bbb") and len(said) < 1200
    assert bcr("compare", *options([paths[0]] * 3)).exit_code == PASSED


def test_many_tags_and_long_ones_take_no_memory(tmp_path):
    """As numpy's own texts a tag of 100,000 characters would make 3,000 tags a gigabyte."""
    path = tmp_path / "gold"
    rows = [f"1\tw\t_\tT{i}\t_\t_\t0\tr{i}\t_\t_\n" for i in range(3000)]
    rows.append(f"1\tw\t_\t{'T' * 100_000}\t_\t_\t0\t{'r' * 100_000}\t_\t_\n")
    path.write_text("\n".join(rows) + "\n")
    code = (
        "from bcrlib.cli import app; "
        f"app(['compare', {', '.join(repr(str(option)) for option in options([path] * 3))}], standalone_mode=False); "
        # Not getrusage: a process begins with the peak of the one that started it.
        "print([line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')][0])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(result.stdout.splitlines()[-1]) < 700_000  # kB


def test_a_terminal_without_the_letters_gets_escapes(tmp_path):
    items = write_items([{"id": "ü☃", "gold": 1, "old": 1, "new": 2}], tmp_path / "items.jsonl")
    command = [sys.executable, "-c", "from bcrlib.cli import app; app()", "compare", str(items)]
    result = subprocess.run(command, capture_output=True, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert result.returncode == PASSED and rb"\xfc\u2603: item broken (EM)" in result.stdout


def seconds(command: list[object]) -> float:
    """Processor time of a command that ends well, start included."""
    before = os.times()
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


BCR = [sys.executable, "-c", "from bcrlib.cli import app; app()", "compare"]


def test_a_hundred_thousand_items_take_seconds(tmp_path):
    items = write_items(random_items(100_000), tmp_path / "items.jsonl")
    assert seconds([*BCR, items, "--html", tmp_path / "x.html"]) < 20  # measured: 3


def test_trees_take_little_longer_than_reading_them(tmp_path):
    rng, sentences = np.random.default_rng(0), np.arange(20_000) % 500
    gold = generate_treebank(500, 0)
    banks = [
        bank.select(sentences) for bank in (gold, random_mistakes(gold, rng, 0.2), random_mistakes(gold, rng, 0.2))
    ]
    orders = [None, None, rng.permutation(20_000)]
    paths = [write_trees(bank, tmp_path / name, order) for bank, name, order in zip(banks, ("g", "o", "n"), orders)]
    start = time.process_time()
    for path in paths:
        read_conllu(path)
    reading = time.process_time() - start
    assert seconds([*BCR, *options(paths)]) < 4 * reading + 4  # measured: 3 * reading + 1.3


def test_the_example_of_a_workflow_does_what_it_says(tmp_path):
    """Its command, run where the files have the names that it gives them, fails the job on a regression."""
    workflow = yaml.safe_load((ROOT / ".github" / "examples" / "compare.yml").read_text())
    steps = workflow["jobs"]["compare"]["steps"]
    assert workflow[True] == "pull_request"  # YAML 1.1 reads the key "on" so
    (command,) = [step["run"] for step in steps if "bcr compare" in step.get("run", "")]
    (upload,) = [step for step in steps if "upload-artifact" in step.get("uses", "")]
    assert upload["if"] == "always()"
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "bcr"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "from bcrlib.cli import app; app()" "$@"\n')
    program.chmod(0o755)
    tree_update(tmp_path, num_models=2)
    (tmp_path / "must-not-break.txt").write_text("s1\n")
    summary = tmp_path / "summary.md"
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "GITHUB_STEP_SUMMARY": str(summary)}
    for new, code in (("new", GATE_FAILED), ("old", PASSED)):
        text = command.replace("--new new.conllu", f"--new {new}.conllu")
        result = subprocess.run(["bash", "-e", "-c", text], cwd=tmp_path, env=environment, capture_output=True)
        assert result.returncode == code, result.stderr
        assert all((tmp_path / file).is_file() for file in upload["with"]["path"].split())
        assert summary.read_text().startswith("## Gate failed" if code else "## Gate passed")


def test_the_readme_s_command_is_one(trees):
    """What the README prints below it is made by the package (tests/test_environment.py)."""
    (command,) = re.findall(r"^bcr compare (.*)$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    names = dict(zip(("gold.conllu", "old.conllu", "new.conllu", "old2.conllu"), trees))
    arguments = [str(names.get(word, word)) for word in command.split() if word not in ("--html", "report.html")]
    assert bcr("compare", *arguments).exit_code == GATE_FAILED
