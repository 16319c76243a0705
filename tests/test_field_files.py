"""Files as other tools write them: what is read, what is said, and what is refused with a way out."""

import gzip
import json
import os
import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from bcrlib.cli import app


def tree(*rows: tuple[str, str, int, str], name: str = "") -> str:
    lines = [f"{i}\t{w}\t_\t{tag}\t_\t_\t{head}\t{rel}\t_\t_" for i, (w, tag, head, rel) in enumerate(rows, 1)]
    return "\n".join([*([f"# sent_id = {name}"] if name else []), *lines]) + "\n\n"


BIRDS = (("Birds", "NOUN", 2, "nsubj"), ("sing", "VERB", 0, "root"), (".", "PUNCT", 2, "punct"))
CAFE = (("caf\u00e9", "NOUN", 0, "root"), ("!", "PUNCT", 1, "punct"))
GOLD = tree(*BIRDS, name="a") + tree(*CAFE, name="b")
BARE = tree(*BIRDS) + tree(*CAFE)
TOP = "play jazz\t[IN:PLAY play [SL:GENRE jazz ] ]\n"
TOPV2 = f"domain\tutterance\tsemantic_parse\nmusic\t{TOP}"


def run(folder, command, gold, new, *options):
    for name, text in (("gold", gold), ("new", new)):
        (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    files = [str(folder / name) for name in ("gold", "gold", "new")]
    return CliRunner().invoke(app, [command, "--gold", files[0], "--old", files[1], "--new", files[2], *options])


COMMANDS = pytest.mark.parametrize("command", ["evaluate", "compare"])


@COMMANDS
@pytest.mark.parametrize(
    "gold, new, nfr, said",
    [
        (GOLD, BARE, 0, "all words agree"),
        (BARE, GOLD, 0, "all words agree"),
        (GOLD, GOLD.replace("= ", "= x"), 0, "all words agree"),
        (GOLD, GOLD.replace("= b", "= a"), 0, "a second time"),
        (GOLD, tree(*CAFE, name="b") + tree(*BIRDS, name="a"), 0, ""),
        (GOLD, tree(*BIRDS, name="a"), 1 / 3, "Missing from the new predictions, and so wrong: 1"),
        (GOLD, GOLD.replace("\troot", "\tROOT"), 2 / 3, "2 words have the relation 'ROOT', which gold never has"),
        (GOLD, GOLD.replace("\troot", "\tROOT"), 2 / 3, "(it has 'root')"),
        (GOLD.replace("nsubj", "nsubj:outer"), GOLD, 1 / 3, "relations with sub-types"),
        (re.sub("NOUN|VERB|PUNCT", "_", GOLD), GOLD, 0, "no punctuation is left out: every word counts"),
        (GOLD.replace("PUNCT", "_"), GOLD, 0, "2 of 5 words of"),
        (GOLD.replace("PUNCT", "."), GOLD, 0, "2 words of"),
        (GOLD.replace("PUNCT", "NOUN").replace("!", "x").replace("\t.", "\tx"),) * 2 + (0, ""),
        (GOLD, GOLD.replace("\n", "\r\n"), 0, ""),
        (GOLD.replace("\n", "\r\n", 3), GOLD[:-2], 0, ""),
        ("\ufeff" + GOLD, "\ufeff" + GOLD + "\n\n", 0, ""),
        (GOLD, gzip.compress(GOLD.encode()), 0, ""),
        (TOP, TOP.replace("[IN:PLAY play", "[IN:PLAY"), 1, "most frames leave out words of the utterance"),
        (TOP, TOP.replace(" ] ]", "]]"), 0, "No trees: 0 predictions of the old model, 0 of the new"),
        (TOP, TOP.replace("\n", " \n"), 0, ""),
        (TOP, TOP.replace(" ] ]", " ]"), 1, "new:1: the one malformed prediction: "),
        (TOP, TOP.replace(" ] ]", "]]]"), 1, "No trees: 0 predictions of the old model, 1 of the new"),
        (TOP, "play jazz\t\n", 1, "new:1: the one malformed prediction: it is empty"),
        (TOPV2, TOPV2.replace(" ]", "", 1), 1, "new:2: the one malformed prediction: "),
        (TOPV2, TOP, 0, ""),
        (TOP, TOPV2, 0, ""),
        (TOP.replace("play", "{"), TOP.replace("play", "{"), 0, ""),  # no JSON Lines
    ],
)
def test_both_commands_count_alike(tmp_path, command, gold, new, nfr, said):
    rates = json.loads(run(tmp_path, command, gold, new, "--json").stdout)
    level = next(name for name in ("LAS", "EM") if name in rates)
    assert rates[level]["nfr"] == pytest.approx(nfr) and rates[level]["acc_old"] == 1
    output = " ".join(run(tmp_path, command, gold, new).output.split())
    assert said in output
    assert said or "Note: " not in output


@COMMANDS
@pytest.mark.parametrize(
    "gold, new, said",
    [
        (GOLD, GOLD.replace("= b", "= c"), "--align order"),
        (GOLD, tree(*CAFE) + tree(*BIRDS), "--align order"),
        (BARE, tree(*BIRDS), "the file has 1 sentences, the gold file 2"),
        (GOLD, GOLD.replace("\n\n", "\n \n", 1), "new:5: white space where an empty line should be"),
        (GOLD, GOLD.replace("caf\u00e9", "cafe\u0301"), "(U+0065 U+0301 and U+00E9: the same after NFC)"),
        (GOLD, GOLD.encode("utf-16"), "UTF-16"),
        (GOLD, GOLD.encode("utf-16-le"), "new:1: UTF-16"),
        (GOLD, GOLD.encode("utf-16-be"), "new:1: UTF-16"),
        (GOLD, GOLD.replace("caf\u00e9", "c\u0430f\u00e9"), "(U+0430 and U+0061)"),
        (GOLD, GOLD.replace("caf\u00e9", "caf\u00e9\u200b"), "(U+200B and nothing)"),
        (GOLD, GOLD.replace("caf\u00e9", "\uff43af\u00e9"), "(U+FF43 and U+0063: the same after NFKC)"),
        (GOLD.replace("= b", "= \u00e9"), GOLD.replace("= b", "= E\u0301"), "(U+0045 U+0301 and U+00E9"),
        (GOLD, GOLD.replace("= b", "= B "), "no sent_id 'B', in the gold file 'b'; --align order"),
        (GOLD, GOLD.replace("= a", "= x").replace("= b", "= a").replace("= x", "= b"), "'caf\u00e9'; --align order"),
        (GOLD, tree(*BIRDS, name="b") + tree(*BIRDS, name="a"), "in the gold file 'caf\u00e9'"),
        (json.dumps([{"id": 1, "gold": 1, "old": 1, "new": 1}]), GOLD, "bcr compare ITEMS.jsonl"),
        ('{"id": 1}\n', GOLD, "bcr compare ITEMS.jsonl"),
        (TOP.replace("\t", "  "), TOP, "gold:1: 1 tab-separated columns, expected 2 or 3; a tab stands between"),
        (TOP, TOP.replace("\t", "  "), "new:1: 1 tab-separated columns, expected 2 or 3; a tab stands between"),
        (TOP, "1\tIN:PLAY\t\tplay jazz\tmusic\ten\t[IN:PLAY ]\t{}\n", "new:1: 8 tab-separated columns, as MTOP"),
        (TOP.replace("PLAY play", "PLAY pl\u0430y"), TOP, "in the utterance 'play' (U+0430 and U+0061)"),
        (GOLD, GOLD.encode("latin-1"), "new:7: not UTF-8: byte 0xe9"),
        (GOLD, GOLD.replace("\t", " "), "spaces stand where tabs should"),
        (GOLD, GOLD.replace("\t0\troot", "\t_\troot"), "no HEAD ('_')"),
        (GOLD, GOLD.replace("\n", "\r"), "carriage return"),
        (GOLD, "# only\n# comments\n", "a sentence without words"),
        ("# only\n# comments\n", GOLD, "a sentence without words"),
        (GOLD, "", "the file is empty"),
        ("", "", "the file is empty"),
        (TOP, "", "the file is empty"),
        (TOP, TOPV2.splitlines()[0], "the file is empty"),
        ("\n" + TOPV2, TOPV2, "gold:1: empty row"),
        (GOLD, b"\x1f\x8b", "damaged or cut off"),
        (TOP.replace("play [", "["), TOP, "Decoupled frames leave words out"),
    ],
)
def test_both_commands_refuse_alike(tmp_path, command, gold, new, said):
    result = run(tmp_path, command, gold, new)
    assert result.exit_code == 2 and result.stderr.count("\n") == 1 and said in result.stderr, result.output


@COMMANDS
def test_order_and_subtypes_on_request(tmp_path, command):
    renumbered = GOLD.replace("= a", "= x").replace("nsubj", "nsubj:outer")
    for options, nfr in ((["--align", "order"], 1 / 3), (["--align", "order", "--ignore-subtypes"], 0)):
        result = run(tmp_path, command, GOLD, renumbered, *options, "--json")
        assert json.loads(result.stdout)["LAS"]["nfr"] == nfr
    assert "relations without sub-types" in run(tmp_path, command, GOLD, GOLD, "--ignore-subtypes").stdout
    assert "unknown alignment 'place'" in run(tmp_path, command, GOLD, GOLD, "--align", "place").stderr


@pytest.mark.parametrize(
    "text, said",
    [
        ('[{"id": 1}]', "items:1: the line is not a JSON object; jq -c '.[]' makes lines of a list"),
        ('\n{"id": 1, "gold": 1, "old": 1, "new": 1}', "items:1: not JSON: an empty line"),
        (
            "\n".join(json.dumps({"id": 1, "cluster": i, "gold": 1, "old": 1, "new": 1}) for i in range(2)),
            "items:2: another cluster than the same id has in line 1",
        ),
    ],
)
def test_items_that_are_refused(tmp_path, text, said):
    (tmp_path / "items").write_text(text)
    assert said in CliRunner().invoke(app, ["compare", str(tmp_path / "items")]).stderr


def test_samples_with_other_targets_are_not_the_same(tmp_path):
    """Right in both logs, and yet unequal: the update must not break it in silence."""
    for name in ("old", "new"):
        (tmp_path / name).write_text(json.dumps({"doc_id": 0, "target": name, "acc": 1.0}) + "\n  \n")
    logs = ["--old", str(tmp_path / "old"), "--new", str(tmp_path / "new")]
    said = CliRunner().invoke(app, ["compare", "--from", "lm-eval", *logs]).stderr
    assert f"new:1: doc_id '0' has another target than in {tmp_path}/old" in said


def test_notes_on_any_terminal_and_of_any_file(tmp_path):
    """Of a relation that the terminal has no letters for, in a file whose name is not UTF-8."""
    folder = tmp_path / "f\udce9"
    folder.mkdir()
    (folder / "gold").write_text(GOLD)
    (folder / "new").write_text(GOLD.replace("nsubj", "\u2603"))
    files = ["--gold", folder / "gold", "--old", folder / "gold", "--new", folder / "new"]
    for command in (
        ["evaluate"],
        ["evaluate", "--json"],
        ["compare", "--html", folder / "r", "--markdown", folder / "m"],
    ):
        code = [sys.executable, "-c", "from bcrlib.cli import app; app()", *command, *files]
        result = subprocess.run(code, capture_output=True, env=os.environ | {"PYTHONIOENCODING": "ascii"})
        assert result.returncode == 0 and b"2603" in result.stdout + result.stderr, result.stderr


def test_a_note_quotes_a_relation_without_its_markup(tmp_path):
    evil = GOLD.replace("nsubj", "<b>x|`a`")
    files = ["--html", str(tmp_path / "r.html"), "--markdown", str(tmp_path / "r.md")]
    assert run(tmp_path, "compare", GOLD, evil, *files).exit_code == 0
    for name in ("r.html", "r.md"):
        told = [line for line in (tmp_path / name).read_text().splitlines() if "which gold never has" in line]
        assert told and not any("<b>x" in line for line in told)
