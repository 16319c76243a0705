"""The report in every form: what it says, that words of the files stay words, that equal input gives equal bytes."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from comparison_files import frame_update, random_items, tree_update, write_items
from html_page import Page

from bcrlib.comparison.gate import EVERY_LEVEL, Gate
from bcrlib.comparison.items import read_items
from bcrlib.comparison.page import nfr_chart, to_html
from bcrlib.comparison.read import read_update
from bcrlib.comparison.reports import failure_text, to_json, to_junit, to_markdown, to_text
from bcrlib.comparison.tables import clip_id, headline, p_text
from bcrlib.comparison.verdict import Verdict, judge
from bcrlib.data.presets import PRESETS

CLEAN = PRESETS["clean"]
FORMS = {"text": to_text, "json": lambda v: json.dumps(to_json(v), allow_nan=False), "junit": to_junit}
FORMS |= {"markdown": to_markdown, "html": to_html}


def tree_verdict(folder: Path) -> Verdict:
    gold, old, new, *seeds = tree_update(folder, 80, 4)
    gate = Gate({EVERY_LEVEL: 0.01}, {"UAS": 1.0}, {"s1": "l", "s5": "l"})
    return judge(read_update(gold, old, new, seeds, CLEAN), gate)


def frame_verdict(folder: Path) -> Verdict:
    return judge(read_update(*frame_update(folder), [], CLEAN), Gate({"EM": 0.5}))


def item_verdict(folder: Path) -> Verdict:
    return judge(read_items(write_items(random_items(200), folder / "items.jsonl"), CLEAN), Gate())


VERDICTS = {"trees": tree_verdict, "frames": frame_verdict, "items": item_verdict}


@pytest.fixture(params=VERDICTS)
def verdict(request, tmp_path) -> Verdict:
    return VERDICTS[request.param](tmp_path)


@pytest.mark.parametrize("form", FORMS)
def test_equal_verdicts_give_equal_bytes(tmp_path, form):
    for make in VERDICTS.values():
        assert FORMS[form](make(tmp_path)) == FORMS[form](make(tmp_path))


def test_text_fits_a_terminal_and_says_broken_before_accuracy_and_the_gate_last(verdict):
    lines = to_text(verdict).splitlines()
    assert max(map(len, lines)) <= 100
    titles = [line.split(":")[0] for line in lines]
    assert titles.index("Broken") < titles.index("Accuracy") < titles.index("Harmed slices")
    assert not verdict.checks or lines[-1] == f"{headline(verdict)}."
    for name, level in verdict.levels.items():
        rows = [line.split() for line in lines if line.startswith(f"{name} ")]
        flips = level.flips
        assert rows[0][1:4] == [f"{count:,}" for count in (flips.num_units, flips.yn, flips.ny)]
        assert rows[0][5] == f"{100 * flips.nfr:.2f}" and rows[1][1] == f"{100 * flips.acc_old:.2f}"


def test_worst_items_show_gold_old_and_new(tmp_path):
    text = to_text(tree_verdict(tmp_path))
    rows = re.findall(r"^   - +(\d+) (\S+) +(\S+) \(.*?\) +(\S+) \(.*?\) +(\S+) \(.*?\)$", text, re.MULTILINE)
    assert rows and all(gold == old for _, _, gold, old, _ in rows)
    frames = to_text(frame_verdict(tmp_path))
    assert "   gold [IN:" in frames and "(no tree)" in frames
    assert '   gold "right"\n   old  "right"\n   new  "wrong"' in to_text(item_verdict(tmp_path))


def test_json_is_keyed_by_level_and_each_level_is_complete(verdict):
    found = json.loads(FORMS["json"](verdict))
    whole = found.pop("verdict")
    assert list(found) == list(verdict.levels) and whole["summary"] in to_text(verdict).replace("\n", " ")
    assert (whole["outcome"], whole["exit_code"]) == (verdict.outcome, {"failed": 1}.get(verdict.outcome, 0))
    for name, level in found.items():
        flips = verdict.levels[name].flips
        assert (level["num_units"], level["num_broken"], level["num_repaired"]) == (flips.num_units, flips.yn, flips.ny)
        for rate in ("acc_old", "acc_new", "nfr", "pfr", "nfi", "acc_change"):
            low, high = level["intervals"][rate]
            assert low <= level[rate] <= high
        assert level["gate"]["passed"] == verdict.passed
        assert [check["level"] for check in level["gate"]["checks"]] == [name] * len(level["gate"]["checks"])
        assert {"slice", "num_items", "q_value", "is_harmed", "extra"} <= set(level["slices"][0])
        assert [item["id"] for item in level["worst"]] == [item.id for item in verdict.worst]
    assert sum(len(level["gate"]["checks"]) for level in found.values()) == len(verdict.checks)


def test_the_noise_floor_stands_in_all_reports_if_there_is_one(tmp_path):
    for make, expected in ((tree_verdict, True), (item_verdict, True), (frame_verdict, False)):
        verdict = make(tmp_path)
        found = to_json(verdict)
        assert all((found[name]["noise_floor"] is not None) == expected for name in verdict.levels)
        for form in (to_text, to_markdown, to_html):
            assert ("how much retraining alone flips" in form(verdict)) == expected


def test_junit_has_a_case_for_every_check(verdict):
    root = ElementTree.fromstring(to_junit(verdict))
    cases = root.findall("testsuite/testcase")
    if not verdict.checks:
        assert len(cases) == 1 and cases[0].find("skipped") is not None
        return
    assert len(cases) == len({case.get("name") for case in cases}) == len(verdict.checks) == int(root.get("tests"))
    for case, check in zip(cases, verdict.checks):
        assert case.get("name").startswith(f"{check.rule} {check.level}")
        assert (case.find("failure") is None) == check.passed
    num_failed = sum(not check.passed for check in verdict.checks)
    assert int(root.get("failures")) == num_failed == len(root.findall(".//failure"))


def test_html_is_one_file_without_scripts(verdict):
    content = to_html(verdict)
    page = Page(content)
    assert not page.open and page.tags.isdisjoint({"script", "link", "img", "iframe", "object", "base", "form"})
    assert not page.values("src", "href", "xlink:href", "action", "data") and not [
        name for name, _ in page.attributes if name.startswith("on")
    ]
    assert "url(" not in content and "@import" not in content
    assert {*page.values("xmlns")} == {"http://www.w3.org/2000/svg"}
    assert "prefers-color-scheme: dark" in content and 'name="viewport"' in content
    for svg in re.findall(r"<svg.*?</svg>", content, re.DOTALL):
        ElementTree.fromstring(svg)
    assert headline(verdict) in page.text and all(item.id in page.text for item in verdict.worst)


def test_html_draws_gold_and_the_update(tmp_path):
    verdict = tree_verdict(tmp_path)
    short = [item for item in verdict.worst if len(item.view.forms) <= 60]
    assert to_html(verdict).count('<div class="drawing">') == 2 * len(short) > 0
    frames = to_html(frame_verdict(tmp_path))
    assert '<div class="drawing">' in frames and "(no tree)" in frames


def test_the_chart_has_a_dot_a_level_a_floor_and_the_limits(tmp_path):
    levels = tree_verdict(tmp_path).levels
    chart = ElementTree.fromstring(nfr_chart(levels, {"UAS": 0.02}))
    classes = [element.get("class") for element in chart.iter()]
    assert [classes.count(name) for name in ("dot", "floor", "limit")] == [4, 4, 1]
    width = float(chart.get("viewBox").split()[2])
    assert all(0 < float(dot.get("cx")) < width for dot in chart.iter() if dot.get("class") == "dot")


EVIL = "</pre><script>alert('1')</script>| `@all` ``` \x1b[31m\x00\x85 ]]> & \ud800 \u202e"


@pytest.fixture
def evil(tmp_path) -> Verdict:
    """The worst words in every place that a file can put them in."""
    item = {"id": EVIL, "gold": EVIL, "old": EVIL, "new": EVIL * 2, "slices": {EVIL: EVIL}}
    lines = [item | {"id": f"{i}{EVIL}", "new": EVIL if i % 2 else "other"} for i in range(60)]
    update = read_items(write_items([item, *lines], tmp_path / "items.jsonl"), CLEAN)
    return judge(update, Gate({EVERY_LEVEL: 0.0}, {}, {update.ids[0]: "list"}))


def evil_files(folder: Path, kind: str) -> list[Path]:
    """Three files of one sentence that the update breaks, with hostile words, tags, relations and labels."""
    word = EVIL.replace(" ", "_").replace("\ud800", "").replace("\x85", "")
    gold, new = folder / "gold", folder / "new"
    if kind == "trees":
        rows = [f"{i}\t{word}\t_\t<i>{word}\t_\t_\t{i - 1}\t{word}\t_\t_\n" for i in (1, 2, 3)]
        gold.write_text(f"# sent_id = {word}\n{''.join(rows)}\n")
        new.write_text(gold.read_text().replace(f"\t2\t{word}", "\t1\tdep"))
    else:
        gold.write_text(f"{word} b\t[IN:A {word} [SL:B b ] ]\n")
        new.write_text(f"{word} b\t[IN:A {word} [SL:C b ] ]\n")
    return [gold, gold, new]


def check_nothing_escapes(verdict: Verdict) -> None:
    page = Page(to_html(verdict))
    assert not page.open and "script" not in page.tags and "</pre><script>alert(" in page.text
    for form in (to_text, to_markdown, to_html, to_junit):
        content = form(verdict)
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\ud800-\udfff]", content), form
        content.encode("utf-8")
    json.dumps(to_json(verdict), allow_nan=False).encode("ascii")
    outside = re.sub(r"(`{3,})text\n.*?\n\1(\n|$)|<code>.*?</code>", "", to_markdown(verdict), flags=re.DOTALL)
    assert "script" not in outside and "@all" not in outside and "```" not in outside
    ElementTree.fromstring(to_junit(verdict))


def test_hostile_items_stay_words(evil):
    check_nothing_escapes(evil)
    page = Page(to_html(evil))
    assert page.text.count("<script>alert('1')</script>") >= 10
    root = ElementTree.fromstring(to_junit(evil))
    assert "</pre><script>alert('1')</script>|" in root.findall(".//testcase")[-1].get("name")


@pytest.mark.parametrize("kind", ["trees", "frames"])
def test_hostile_words_and_labels_stay_words(tmp_path, kind):
    verdict = judge(read_update(*evil_files(tmp_path, kind), [], CLEAN), Gate({EVERY_LEVEL: 0.0}))
    assert len(verdict.worst) == 1
    check_nothing_escapes(verdict)


def test_tables_in_markdown_keep_their_columns(evil):
    for block in re.findall(r"(?:^\|.*\n)+", to_markdown(evil), re.MULTILINE):
        assert len({row.count("|") for row in block.splitlines()}) == 1


def test_what_is_long_is_cut(tmp_path):
    long = "x" * 10**6
    update = read_items(write_items([{"id": long, "gold": long, "old": long, "new": "y"}], tmp_path / "i.jsonl"), CLEAN)
    verdict = judge(update, Gate({}, {}, {long: "l"}))
    for name, form in FORMS.items():
        assert len(form(verdict)) < 50_000 or name in ("json", "junit"), name
    assert max(map(len, to_text(verdict).splitlines())) < 130
    assert clip_id("a" * 50 + "b" * 50, 11) == "aaaaa…bbbbb"


def test_a_long_sentence_is_shown_by_its_words(tmp_path):
    rows = [f"{i}\tw\t_\tNOUN\t_\t_\t{i - 1}\tdep\t_\t_\n" for i in range(1, 5001)]
    gold, new = tmp_path / "gold", tmp_path / "new"
    gold.write_text("".join(rows) + "\n")
    new.write_text(gold.read_text().replace("dep", "dip"))
    verdict = judge(read_update(gold, gold, new, [], CLEAN), Gate())
    content = to_html(verdict)
    assert "and 4988 more words" in content and '<div class="drawing">' not in content and len(content) < 50_000


def test_the_message_of_a_failed_test(tmp_path):
    verdict = tree_verdict(tmp_path)
    text = failure_text(verdict)
    assert text.startswith(f"{headline(verdict)}.\nFAIL  max_nfr") and "pass" not in text
    assert "Worst items" in text and np.all([len(line) <= 100 for line in text.splitlines()])


def test_several_runs_stand_in_all_reports(tmp_path):
    rng, lines = np.random.default_rng(0), []
    for i in np.tile(np.arange(60), 3):
        new = "right" if rng.random() < 0.7 else "wrong"
        lines.append({"id": f"q{i}", "gold": "right", "old": "right", "new": new})
    verdict = judge(read_items(write_items(lines, tmp_path / "items.jsonl"), CLEAN), Gate({"EM": 0.3}, confident=True))
    assert verdict.num_models == (1, 3) and verdict.outcome == "cannot tell"
    counted = [sum(line["new"] == "wrong" for line in lines if line["id"] == f"q{i}") / 3 for i in range(60)]
    found = to_json(verdict)
    assert list(found["EM"]["flip_rates"].values()) == pytest.approx(counted)
    assert found["EM"]["nfr"] == pytest.approx(np.mean(counted)) and found["EM"]["num_units"] == 60
    assert found["EM"]["num_broken"] == pytest.approx(sum(counted)) and found["EM"]["noise_floor"] is None
    assert found["EM"]["noise_floor_new"]["num_models"] == 3 and found["verdict"]["exit_code"] == 3
    always = counted.count(1)
    for form in (to_text, to_markdown, to_html, to_junit):
        text = re.sub(r"(\s|\||</?[a-z][^>]*>)+", " ", form(verdict))
        for told in ("cannot tell", "Flip rate of the items", f"all 100.00 {always}", "alone flips, new model"):
            assert told in text, (form, told)
        assert "what other seeds of the old one would give is not" in text
    root = ElementTree.fromstring(to_junit(verdict))
    assert root.get("errors") == "1" and root.get("failures") == "0" and root.find(".//error") is not None


def test_what_few_items_leave_open_stands_in_all_reports(tmp_path):
    lines = [{"id": i, "gold": 1, "old": 1, "new": 1} for i in range(5)]
    verdict = judge(read_items(write_items(lines, tmp_path / "items.jsonl"), CLEAN), Gate({"EM": 0.1}))
    for form in (to_text, to_markdown, to_html, to_junit):
        text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", form(verdict)))
        assert "No flip among 5 items shows an NFR of at most 45.07 %" in text and "[0.00, 45.07]" in text
        assert "What other seeds of the models would give is not in the intervals." in text
        assert "at most 10 %; sees 27.52 %" in text
    found = to_json(verdict)
    assert (
        found["EM"]["intervals"]["nfr"] == [0.0, found["EM"]["least_told"]] and "45.07" in found["verdict"]["summary"]
    )
    assert found["EM"]["gate"]["checks"][0]["fails_from"] == pytest.approx(0.2752, abs=1e-4)


def test_small_p_values_are_not_nothing():
    p_values = (0.0, 1e-9, 0.00099, 0.001, 0.0123, 1.0, float("nan"))
    assert " ".join(map(p_text, p_values)) == "<0.001 <0.001 <0.001 0.001 0.012 1 -"


def test_a_run_given_twice_is_warned_about(tmp_path):
    gold, old, new, seed = tree_update(tmp_path, 40, 3)
    twice = read_update(gold, old, new, [seed, old], CLEAN, new_seeds=[new])
    (first, second) = twice.warnings
    assert first.startswith("runs 1 and 3 of the old model") and second.startswith("runs 1 and 2 of the new model")
    verdict = judge(twice, Gate())
    for form in (to_text, to_markdown, to_html):
        assert "Warning: runs 1 and 3 of the old" in re.sub(r"\s+", " ", form(verdict))
    assert to_json(verdict)["verdict"]["warnings"] == [first, second]
    assert read_update(gold, old, new, [seed], CLEAN).warnings == []
    assert read_update(gold, gold, new, [gold], CLEAN).warnings == []  # all right: no reason to think so
