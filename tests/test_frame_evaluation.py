"""What `bcr evaluate` computes from files of semantic frames, and how it tells them from dependency trees."""

import json
import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from command_runs import refused, run
from comparison_files import evaluate_files
from random_frames import random_frame, random_frame_bank

from bcrlib.comparison.read import read_update
from bcrlib.data.formats import CONLLU, TOP, InputFile
from bcrlib.data.frames import frame_text
from bcrlib.data.top import TopError, write_top
from bcrlib.metrics.exact_match import LEVELS
from bcrlib.presets import PRESETS

OFFICIAL, CLEAN = PRESETS["official"], PRESETS["clean"]
RATES = {"acc_old", "acc_new", "nfr", "pfr", "nfi", "num_units"}

UTTERANCES = ["call my mum now", "where is it", "stop"]
GOLD = ["[IN:CALL call [SL:WHO my mum ] [SL:WHEN now ] ]", "[IN:WHERE where is it ]", "[IN:STOP stop ]"]
OLD = [GOLD[0], "[IN:WHERE where is it", GOLD[2]]  # the second is never closed
NEW = ["[IN:CALL call [SL:WHAT my mum ] [SL:WHEN now ] ]", GOLD[1], ""]  # a label that gold does not have; nothing
CONLLU_ROW = "1\tgo\t_\tVERB\t_\t_\t0\troot\t_\t_"


def rows(parses: list[str]) -> str:
    return "".join(f"{utterance}\t{parse}\n" for utterance, parse in zip(UTTERANCES, parses))


@pytest.fixture
def files(tmp_path) -> list[Path]:
    """Gold, old, new: no suffix says what is in them."""
    paths = [tmp_path / name for name in ("gold", "old", "new")]
    for path, parses in zip(paths, (GOLD, OLD, NEW)):
        path.write_text(rows(parses))
    return paths


def options(files: list[Path]) -> list[object]:
    return [item for name, file in zip(("--gold", "--old", "--new"), files) for item in (name, file)]


def counts(result: dict[str, float]) -> list[int]:
    """Units, old right, new right, negative flips, positive flips: by hand they are whole numbers."""
    n = result["num_units"]
    return [n] + [round(result[rate] * n) for rate in ("acc_old", "acc_new", "nfr", "pfr")]


def test_hand_worked_clean(files):
    result = evaluate_files(*files, CLEAN)
    # spans: call .. now, my mum, now; where is it; stop. Old: all but the fourth. New: my mum and stop are wrong.
    assert counts(result["spanEM"]) == [5, 4, 3, 2, 1]
    assert counts(result["EM"]) == [3, 2, 1, 2, 1]
    assert result["EM"]["nfi"] == 1.0


def test_hand_worked_official(files):
    result = evaluate_files(*files, OFFICIAL)
    assert counts(result["spanEM"]) == [5, 4, 2, 3, 1]  # the new slot breaks the sub-tree of the whole as well
    assert counts(result["EM"]) == [3, 2, 1, 2, 1]


def test_json_is_keyed_by_level_with_the_fields_of_the_other_task_and_invalid_outputs(files):
    result = json.loads(run("evaluate", *options(files), "--json"))
    assert tuple(result) == LEVELS
    assert all(set(fields) == RATES | {"num_invalid_old", "num_invalid_new"} for fields in result.values())
    assert [result["EM"][f"num_invalid_{name}"] for name in ("old", "new")] == [1, 1]
    assert result == evaluate_files(*files, CLEAN)


def test_the_table_says_the_same_and_counts_what_is_no_tree(files):
    files[1].write_text(rows(["", "]", "[IN:STOP ]"]))
    text = run("evaluate", *options(files), "--preset", "official")
    assert text.startswith("Definitions: official; a span is right with gold's complete sub-tree")
    row = next(line for line in text.splitlines() if line.split()[:1] == ["EM"]).split()
    assert row[:9] == ["EM", "3", "0.00", "33.33", "0.00", "33.33", "0.00", "0", "1"]
    assert "No trees: 3 predictions of the old model, 1 of the new, out of 3." in text
    assert "gold's labels" in run("evaluate", *options(files))


def test_the_release_s_three_columns_will_do(files):
    for file, parses in zip(files[:2], (GOLD, OLD)):
        file.write_text("".join(f"raw text\t{line}\n" for line in rows(parses).splitlines()))
    assert counts(evaluate_files(*files, CLEAN)["EM"]) == [3, 2, 1, 2, 1]


def test_a_prediction_over_other_words_is_wrong_where_it_differs(files):
    """ "now" is left out and "mum" is another word: no span around or over them is right."""
    files[2].write_text(rows(["[IN:CALL call [SL:WHO my dad ] ]", GOLD[1], GOLD[2]]))
    for preset in (CLEAN, OFFICIAL):
        counted = read_update(*files, [], preset)
        assert counts(counted.rates()["spanEM"]) == [5, 4, 2, 3, 1]  # where is it; stop
        assert counted.num_invalid == {"num_invalid_old": 1, "num_invalid_new": 0}


def test_deep_nesting_is_no_trouble(tmp_path):
    file, depth = tmp_path / "f", 1500
    file.write_text("x\t" + "[IN:A " * depth + "x" + " ]" * depth + "\n")
    assert counts(evaluate_files(file, file, file, OFFICIAL)["spanEM"]) == [1, 1, 1, 0, 0]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("new", rows(NEW).replace("where is it\t", "where was it\t"), "new:2: word 2 of the utterance: 'was'.*'is'"),
        ("new", rows(NEW).replace("stop\t", "stop it\t"), "new:3: the utterance has 2 words, in the gold file 1"),
        ("old", rows(OLD[:2]), "old:2: the file has 2 rows, the gold file 3"),
        ("old", rows(OLD) + "go\t[IN:GO go ]\n", "old:4: the file has 4 rows, the gold file 3"),
        ("old", rows(OLD).replace("\n", "\r\n"), "old:1: carriage return"),
        ("old", "\ufeff" + rows(OLD), "old:1: byte order mark"),
        ("old", "", "old:1: the file is empty"),
        ("old", rows(OLD) + "\n", "old:4: empty row"),
        ("old", rows(OLD) + "only words\n", "old:4: 1 tab-separated columns, expected 2 or 3"),
        ("gold", rows([GOLD[0], OLD[1], GOLD[2]]), r"gold:2: \[IN:WHERE is never closed"),
        ("gold", rows([GOLD[0], "", GOLD[2]]), "gold:2: empty parse column"),
        ("gold", rows(GOLD).replace("[IN:STOP stop", "[IN:STOP go"), "gold:3: word 1 of the parse is 'go'"),
        ("gold", rows(GOLD).replace("\n", "\r\n"), "gold:1: carriage return"),
        ("gold", "\ufeff" + rows(GOLD), "gold:1: byte order mark"),
        ("gold", "\n" + rows(GOLD), "gold:1: empty row"),
    ],
)
def test_malformed_files_are_refused_by_file_line_and_fault(files, name, content, message):
    next(file for file in files if file.name == name).write_text(content)
    with pytest.raises(TopError, match=message):
        evaluate_files(*files, CLEAN)


def test_refusals_are_one_line(files):
    files[2].write_text(rows(NEW)[:-6])
    assert f"{files[2]}:2: the file has 2 rows" in refused("evaluate", *options(files))


def test_the_two_tasks_do_not_mix(files):
    trees = files[0].with_name("trees")
    trees.write_text(f"# a comment\n{CONLLU_ROW}\n\n")
    assert f"{trees}:1: a row of CoNLL-U, but the gold file is TOP" in refused(
        "evaluate", *options([*files[:2], trees])
    )
    assert f"{files[1]}:1: a row of TOP, but the gold file is CoNLL-U" in refused(
        "evaluate", *options([trees, files[1], trees])
    )
    files[0].write_text(rows(["IN:CALL", *GOLD[1:]]))
    assert f"{files[0]}:1: 2 tab-separated columns, the last not beginning" in refused("evaluate", *options(files))


@pytest.mark.parametrize(
    ("first_row", "expected"),
    [
        ("a b\t[IN:A a b ]", TOP),
        ("A b\ta b\t[IN:A a b ]", TOP),
        ("# 1\t[IN:A # 1 ]", TOP),  # no comment
        ("# a comment", CONLLU),
        (CONLLU_ROW, CONLLU),
        (CONLLU_ROW.replace("go", "["), CONLLU),
        ("# 1\t", None),  # a prediction that is no tree
        ("a b\tIN:A", None),
        ("[IN:A a ]", None),
        ("", None),
    ],
)
def test_the_first_row_says_what_a_file_holds(first_row, expected):
    for before, after in product(("", "\ufeff", "\n\n", "\r\n"), ("", "\n", "\r\n", "\nx")):
        assert InputFile("f", (before + first_row + after * bool(first_row)).encode()).format == expected


def piped(content: bytes) -> str:
    """Where a pipe with this content in it can be read, once."""
    reader, writer = os.pipe()
    os.write(writer, content)
    os.close(writer)
    return f"/dev/fd/{reader}"


def test_files_are_read_once_so_that_pipes_will_do(files):
    pipes = [piped(file.read_bytes()) for file in files]
    assert evaluate_files(*pipes, CLEAN) == evaluate_files(*files, CLEAN)
    for pipe in pipes:
        os.close(int(pipe.split("/")[-1]))


def test_frames_are_counted_without_torch(files):
    arguments = ["evaluate", *map(str, options(files))]
    run_it = f"import sys; from bcrlib.cli import app; app({arguments}, standalone_mode=False)"
    code = f"{run_it}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL).returncode == 0


def test_rates_are_those_of_row_by_row_comparison(tmp_path):
    """EM of files is equality of texts, of valid predictions under `clean`."""
    rng = np.random.default_rng(1)
    gold = random_frame_bank(200, rng, longest=3)
    parses = [[frame_text(frame) for frame in gold.frames]]
    for _ in range(2):
        other = [frame_text(random_frame(words, rng)) for words in gold.utterances]
        kind = rng.choice(3, gold.num_utterances, p=[0.6, 0.3, 0.1])
        parses.append([("[IN:A" if k == 2 else b if k == 1 else a) for a, b, k in zip(parses[0], other, kind)])
    paths = [tmp_path / name for name in "gon"]
    for path, column in zip(paths, parses):
        write_top(gold.utterances, column, path)
    result = read_update(*paths, [], CLEAN)
    old, new = ([a == b for a, b in zip(parses[0], column)] for column in parses[1:])
    em = result.levels["EM"].flips
    assert (em.yn, em.ny) == (sum(o and not n for o, n in zip(old, new)), sum(n and not o for o, n in zip(old, new)))
    assert em.yy + em.yn == sum(old) and em.num_units == 200
    assert list(result.num_invalid.values()) == [column.count("[IN:A") for column in parses[1:]]


@pytest.mark.corpus
def test_units_of_top_test(top):
    result = evaluate_files(*[top("test")] * 3, OFFICIAL)
    assert {level: r["num_units"] for level, r in result.items()} == {"spanEM": 27_047, "EM": 8_241}
    assert all(r["acc_new"] == 1 and r["nfr"] == r["nfi"] == r["num_invalid_new"] == 0 for r in result.values())
