"""`bcr train`, `candidates` and `rerank` with s2s parsers: real runs of tiny ones, and what is no input of theirs."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_runs import bcr, lines_of, possible_strategies, refused, run, spoiled
from tiny_frames import frame_bank

from bcrlib.cli.candidates import chosen_strategy, strategies_of
from bcrlib.data.candidate_files import read_candidates, write_candidates
from bcrlib.data.frame_candidates import FramePool
from bcrlib.data.frames import FrameBank, frame_text, frame_words
from bcrlib.data.top import read_predicted_top, read_top
from bcrlib.parsers.batches import Runtime
from bcrlib.parsers.s2s import Seq2SeqParser
from bcrlib.parsers.training import load_parser
from bcrlib.samplers.strategies import Beam, OneBest

SIZES = ("encoder=tiny", "encoder_layers=1", "tiny_size=16", "decoder_layers=1", "decoder_size=16", "max_steps=40")
SIZES += ("decoder_inner_size=32", "decoder_heads=2", "max_pieces=24")
RECIPE = ("num_epochs=2", "batch_tokens=100", "warmup_steps=1", "dev_every=1")
RECIPE += ("encoder_learning_rate=0.01", "learning_rate=0.01")
TINY = ["--kind=s2s", *(f"--set=semantic.base.{size}" for size in SIZES)]
TINY += [f"--set=semantic.base_training.{value}" for value in RECIPE]


SWAPPED = {"IN:GET_EVENT": "IN:GET_DIRECTIONS", "IN:GET_DIRECTIONS": "IN:GET_EVENT"}


def swapped(frame: str) -> str:
    """The frame with the two intents mistaken for each other."""
    return re.sub("|".join(SWAPPED), lambda match: SWAPPED[match[0]], frame)


def variants(words: str, frame: str) -> list[str]:
    """Wrong frames: without slots, of either intent; one too deep by one level, and by two."""
    intent = frame.split()[0]
    flat = f"{intent} {words} ]"
    return [flat, swapped(flat), f"{intent} {frame} ]", f"{intent} [SL:DESTINATION {frame} ] ]"]


def write_corpus(folder: Path, frames: dict[str, str]) -> None:
    """Frames by their words, seen many times in training."""
    folder.mkdir(exist_ok=True)
    rows = "".join(f"{words}\t{frame}\n" for words, frame in frames.items())
    for name, repeats in {"train": 40, "eval": 1, "test": 1}.items():
        (folder / f"{name}.tsv").write_text(rows * repeats)


@pytest.fixture(scope="module", name="work")
def work_folder(tmp_path_factory) -> Path:
    """A folder with a corpus, a parser new, one old that mistakes the intents, candidates, and a would-be deepbiaf."""
    folder, bank = tmp_path_factory.mktemp("frames"), frame_bank()
    frames = {" ".join(words): frame_text(frame) for words, frame in zip(bank.utterances, bank.frames)}
    write_corpus(folder, frames)
    write_corpus(folder / "swapped", {words: swapped(frame) for words, frame in frames.items()})
    for seed, (name, corpus) in enumerate({"old": folder / "swapped", "new": folder}.items()):
        run("train", "--corpus", corpus, *TINY, "--seed", seed, "-o", folder / name)
    with (folder / "pool.jsonl").open("w") as file:
        for u, (words, frame) in enumerate(frames.items(), start=1):
            candidates = [{"frame": text, "log_prob": None} for text in variants(words, frame)]
            file.write(json.dumps({"utterance": u, "words": words.split(), "candidates": candidates}) + "\n")
    pool = read_candidates(folder / "pool.jsonl", bank, FramePool)
    log_probs = load_parser(folder / "new", Runtime()).log_probs(bank, pool)
    write_candidates(bank, replace(pool, log_probs=log_probs), folder / "pool.jsonl")
    (folder / "trees").mkdir()
    (folder / "trees" / "config.json").write_text('{"kind": "deepbiaf"}')
    (folder / "trees.conllu").write_text("# one sentence\n1\tgo\t_\tVERB\t_\t_\t0\troot\t_\t_\n\n")
    return folder


def parser_in(folder: Path) -> Seq2SeqParser:
    return load_parser(folder, Runtime())


def with_preset(work: Path, model: str, preset: str, folder: Path) -> Path:
    """A copy of a model with other definitions."""
    shutil.copytree(work / model, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"preset": preset}))
    return folder


def pool_in(work: Path, path: Path) -> tuple[FrameBank, FramePool]:
    bank = read_top(work / "test.tsv")
    return bank, read_candidates(path, bank, FramePool)


def test_dev_may_be_looked_at_now_and_then(work, tmp_path):
    options = ["--set=semantic.base_training.dev_every=2", "--set=semantic.base_training.num_epochs=3"]
    options += ["--train", work / "eval.tsv", "--dev", work / "eval.tsv"]
    result = bcr("train", *TINY, *options, "-o", tmp_path / "model", "--json")
    summary = json.loads(result.stdout)
    assert [epoch["dev_score"] is None for epoch in summary["history"]] == [True, False, False]
    assert ["dev" in line for line in result.stderr.splitlines()] == [False, True, True]
    assert summary["best_epoch"] in (2, 3)


def test_a_part_model_sees_a_part_but_knows_all_labels(work, tmp_path):
    sizes = [*TINY[1:], "--kind=s2s-base-part", "--set=semantic.part=0.1"]  # one row
    run("train", "--corpus", work, *sizes, "--seed", 1, "-o", tmp_path / "part")
    assert parser_in(tmp_path / "part").labels == frame_bank().labels
    assert json.loads((tmp_path / "part" / "training.json").read_text())["kind"] == "s2s-base-part"
    weights = "model.safetensors"
    assert (tmp_path / "part" / weights).read_bytes() != (work / "new" / weights).read_bytes()


LONG = " ".join(["home"] * 25)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--kind", "s2s-huge"], "unknown kind of parser 's2s-huge'; choose one of deepbiaf-static, deepbiaf, stackp"),
        (["--set", "training.dropout=0"], "for s2s-base use semantic.base_training.dropout=0"),
        (["--set", "semantic.large_training.dropout=0"], "for s2s-base use semantic.base_training.dropout=0"),
        (["--set", "semantic.large.encoder=tiny"], "for s2s-base use semantic.base.encoder=tiny"),
        (["--set", "model.hidden_size=6"], "for s2s-base use semantic.base.hidden_size=6"),
        (["--set", "corpus=top"], "for s2s-base use semantic.corpus=top"),
        (["--kind", "deepbiaf", "--set", "semantic.corpus=top"], "for deepbiaf use corpus=top"),
        (["--kind", "s2s-large-part", "--set", "semantic.base.encoder=x"], "use semantic.large.encoder=x"),
        (["--set", "semantic.base.encoder_layers=-1"], "semantic.base.encoder_layers must be at least 0, not -1"),
        (["--set", "semantic.base.decoder_heads=3"], "semantic.base.decoder_size must be even, at least 4 and a mul"),
        (["--set", "semantic.base_training.label_smoothing=1"], "label_smoothing must be in [0, 1), not 1"),
        (["--corpus", "no such folder"], "no such folder/train.tsv: No such file"),
        (["--train", "{work}/trees.conllu", "--dev", "{work}/eval.tsv"], "trees.conllu holds CoNLL-U, but a parser of"),
        (["--train", "{work}/bare", "--dev", "{work}/eval.tsv"], "bare:1: 1 tab-separated columns"),
        (["--train", "{work}/eval.tsv", "--dev", "{work}/long"], "dev: utterance 1: 25 word pieces, the parser takes"),
        (["--kind", "stackptr", "--train", "{work}/eval.tsv", "--dev", "x"], "eval.tsv holds rows of TOP, but a stack"),
    ],
)
def test_train_refuses_what_it_cannot_do(work, tmp_path, options, message):
    (work / "bare").write_text("any concerts\n")
    (work / "long").write_text(f"{LONG}\t[IN:GET_EVENT {LONG} ]\n")
    options = [option.format(work=work) for option in options]
    sizes = TINY if "--kind" not in options else []
    assert message in refused("train", *sizes, *options, "-o", tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ([], "beam(b=10)"),
        (["--beam-width", 3], "beam(b=3)"),
        (["--strategy", "top-k", "--k", 3, "--temperature", 0.5], "top-k(k=3,t=0.5)"),
        (["--strategy", "nucleus(p=0.8)"], "nucleus(p=0.8)"),
        (["--strategy", "dropout-p", "--p", 0.3], "dropout-p(p=0.3)"),
        (["--strategy", "dropout-p", "--p", 0.3, "--constrained"], "dropout-p(p=0.3)"),
        (["--strategy", "1-best+beam+top-k(k=3)"], "1-best+beam(b=10)+top-k(k=3)"),
    ],
)
def test_every_strategy_lists_frames_under_the_parsers_own_probability(work, tmp_path, options, name):
    arguments = [work / "new", work / "test.tsv", *options, "-n", 3, "-o", tmp_path / "pool", "--json"]
    summary = json.loads(run("candidates", *arguments))
    most = 3 if "+" not in name else 7
    assert summary["strategy"] == name and summary["num_utterances"] == 8
    assert most // 2 < summary["num_candidates"] <= most and 1 <= summary["distinct_an_utterance"] <= most
    bank, pool = pool_in(work, tmp_path / "pool")
    assert pool.log_probs == pytest.approx(parser_in(work / "new").log_probs(bank, pool), abs=1e-3)
    num_null = sum(c["frame"] is None for line in lines_of(tmp_path / "pool") for c in line["candidates"])
    assert num_null == summary["num_no_frame"] and (num_null == 0 or "--constrained" not in options)


def test_what_is_no_frame_keeps_its_place_as_null(work, tmp_path):
    run("candidates", work / "new", work / "test.tsv", "--beam-width", 4, "-n", 4, "-o", tmp_path / "pool")
    bank = read_top(work / "test.tsv")
    pool = parser_in(work / "new").candidates(bank, Beam(4, 4))
    columns = [pool.frames(bank, c) for c in range(4)]
    expected = [
        None if frame is None or frame_words(frame) != words else frame_text(frame)
        for words, frames in zip(bank.utterances, zip(*columns))
        for frame in frames
    ]
    found = [candidate["frame"] for line in lines_of(tmp_path / "pool") for candidate in line["candidates"]]
    assert found == expected and None in found and any(found)


def test_the_1_best_parse_may_be_written_as_top(work, tmp_path):
    bank, parser = read_top(work / "test.tsv"), parser_in(work / "new")
    for switches, config in (([], parser.config), (["--constrained"], replace(parser.config, constrained=True))):
        output, parser.config = tmp_path / f"{len(switches)}.tsv", config
        run("candidates", work / "new", work / "test.tsv", "--strategy", "1-best", *switches, "-o", output)
        expected = parser.candidates(bank, OneBest()).frames(bank)
        assert read_predicted_top(output) == (bank.utterances, (*expected,))
        assert (None in expected) != config.constrained
    files = ["--gold", work / "test.tsv", "--old", tmp_path / "0.tsv", "--new", tmp_path / "1.tsv", "--json"]
    assert json.loads(run("evaluate", *files))["EM"]["num_invalid_new"] == 0


def test_input_needs_one_column_and_may_have_three(work, tmp_path):
    rows = [line.split("\t") for line in (work / "test.tsv").read_text().splitlines()]
    rows[0][0] = "# " + rows[0][0]  # no comment
    texts = [words for words, _ in rows], [f"{words}\t[IN:X" for words, _ in rows], [f"R\t{w}\t" for w, _ in rows]
    for columns, lines in enumerate(texts, start=1):
        (tmp_path / "text").write_text("".join(f"{line}\n" for line in lines))
        run("candidates", work / "new", tmp_path / "text", "-n", 2, "-o", tmp_path / f"pool{columns}")
    pools = [(tmp_path / f"pool{columns}").read_bytes() for columns in (1, 2, 3)]
    assert pools[0] == pools[1] == pools[2]
    (tmp_path / "text").write_text("".join(f"{line}\n" for line in texts[0]))
    run("rerank", "--old", work / "old", tmp_path / "text", tmp_path / "pool1", "-o", tmp_path / "out")
    assert read_predicted_top(tmp_path / "out")[0][0][0] == "#"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--strategy", "k-best"], "an s2s has no strategy k-best; for an s2s choose one of 1-best, beam, top-k"),
        (["--keep-duplicates"], "--keep-duplicates is for stackptr only"),
        (["-o", "pool.tsv"], "pool.tsv: a TOP file holds one parse per utterance; use --strategy 1-best"),
        (["-o", "new.conllu", "-n", 1], "new.conllu: a parser of kind s2s writes .tsv, or candidates as .jsonl"),
    ],
)
def test_candidates_refuses_what_it_cannot_do(work, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    assert message in refused("candidates", work / "new", work / "test.tsv", "-o", "pool", *options)
    assert list(tmp_path.iterdir()) == []


def test_no_strategy_that_the_command_line_offers_is_refused_by_the_parser(work):
    possible = possible_strategies(parser_in(work / "new"), frame_bank().select([2]))
    assert possible == strategies_of("s2s") and chosen_strategy(None, "s2s", 7, {}) == Beam(10, 7)
    assert chosen_strategy(None, "s2s", 7, {"beam_width": 4}) == Beam(4, 7)
    assert chosen_strategy("beam(b=4,ended)", "s2s", 7, {}) == Beam(4, 7, ended=True)


def log_probs(work: Path, model: Path, mean: bool = False) -> np.ndarray:
    """Of the pool of the fixture; a mean is over word pieces, brackets and the end, as the network writes them."""
    bank, pool = pool_in(work, work / "pool.jsonl")
    parser = parser_in(model)
    scores = parser.log_probs(bank, pool)
    if mean:
        sizes = parser.read(bank).lengths + 1
        brackets = ((pool.sequences > 0) & (pool.sequences <= 2 * len(pool.labels))).sum(axis=2)
        scores = scores / (sizes + brackets)
    return scores


def texts_of(work: Path, scores: np.ndarray) -> list[str]:
    """The candidates with the best scores [candidate, utterance]."""
    best = [max(range(len(scores)), key=lambda c: scores[c, u]) for u in range(8)]
    return [line["candidates"][c]["frame"] for line, c in zip(lines_of(work / "pool.jsonl"), best)]


def rerank(work: Path, output: Path, *options: object) -> list[str]:
    """The chosen frames."""
    run("rerank", *options, work / "test.tsv", work / "pool.jsonl", "-o", output)
    utterances, frames = read_predicted_top(output)
    assert utterances == frame_bank().utterances
    return [frame_text(frame) for frame in frames]


def test_several_files_are_joined_though_their_labels_are_others(work, tmp_path):
    run("candidates", work / "new", work / "test.tsv", "--strategy", "1-best", "-o", tmp_path / "greedy.jsonl")
    options = ["--old", work / "old", "--new-weight", 0.25, work / "test.tsv"]
    run("rerank", *options, tmp_path / "greedy.jsonl", work / "pool.jsonl", "-o", tmp_path / "out")
    old, new = (load_parser(work / name, Runtime()) for name in ("old", "new"))
    scores, texts = [], []
    for file in (tmp_path / "greedy.jsonl", work / "pool.jsonl"):
        bank, pool = pool_in(work, file)
        scores += [*(old.log_probs(bank, pool) + 0.25 * new.log_probs(bank, pool))]
        texts += [*zip(*([candidate["frame"] for candidate in line["candidates"]] for line in lines_of(file)))]
    best = [max(range(len(scores)), key=lambda c: scores[c][u]) for u in range(8)]
    expected = [texts[c][u] for u, c in enumerate(best)]
    assert [frame_text(frame) for frame in read_predicted_top(tmp_path / "out")[1]] == expected


def test_scores_are_sums_or_means_as_asked_for_or_as_the_preset_says(work, tmp_path):
    official = with_preset(work, "old", "official", tmp_path / "official")
    sums, means = (texts_of(work, log_probs(work, work / "old", mean)) for mean in (False, True))
    assert sums != means
    for model, score, expected in (
        (work / "old", None, sums), (work / "old", "mean", means), (official, None, means), (official, "sum", sums)
    ):  # fmt: skip
        options = [] if score is None else ["--score", score]
        assert rerank(work, tmp_path / "out", "--old", model, *options) == expected
    both = ["--old", work / "old", "--old", official]
    arguments = [work / "test.tsv", work / "pool.jsonl", "-o", tmp_path / "out"]
    assert "by their presets some of the models score by sum" in refused("rerank", *both, *arguments)
    assert rerank(work, tmp_path / "out", *both, "--score", "sum") == sums
    old = ["--old", work / "old", "--score", "mean"]
    assert "a candidate file is a sum" in refused("rerank", *old, "--new-weight", 1, *arguments)
    new = 0.5 * log_probs(work, work / "new", mean=True) + log_probs(work, work / "old", mean=True)
    chosen = rerank(work, tmp_path / "out", *old, "--new-weight", 0.5, "--new", work / "new")
    assert chosen == texts_of(work, new)
    assert "unknown score 'max'; choose one of sum, mean" in refused("rerank", *old[:2], "--score", "max", *arguments)


def test_candidates_of_an_official_model_come_with_sums_all_the_same(work, tmp_path):
    official = with_preset(work, "new", "official", tmp_path / "official")
    run("candidates", official, work / "test.tsv", "--constrained", "-n", 4, "-o", tmp_path / "pool")
    bank, pool = pool_in(work, tmp_path / "pool")
    assert pool.log_probs == pytest.approx(parser_in(work / "new").log_probs(bank, pool), abs=1e-3)
    means = parser_in(official).log_probs(bank, pool)
    assert (np.diff(means, axis=0) <= 1e-5).all() and (np.diff(pool.log_probs, axis=0) > 0).any()


def no_frames(candidates: list[dict]) -> None:
    candidates[:] = [{"frame": None, "log_prob": None}]


def first_no_frame(candidates: list[dict]) -> None:
    candidates[0] = {"frame": None, "log_prob": -0.001}


def test_no_tree_is_chosen_only_where_there_is_nothing_else(work, tmp_path):
    arguments = [work / "test.tsv", tmp_path / "pool", "-o", tmp_path / "out", "--json"]
    for change, weights in ((first_no_frame, []), (first_no_frame, ["--new-weight", 5]), (no_frames, [])):
        (tmp_path / "pool").write_text(spoiled(work / "pool.jsonl", change))
        summary = json.loads(run("rerank", "--old", work / "old", *weights, *arguments))
        _, frames = read_predicted_top(tmp_path / "out")
        missing = [u for u, frame in enumerate(frames) if frame is None]
        assert missing == ([2] if change is no_frames else []) and summary["num_no_frame"] == len(missing)
        assert summary["num_utterances"] == 8
    assert (tmp_path / "out").read_text().splitlines()[2] == "home\t"


def unclosed(candidates: list[dict]) -> None:
    candidates[1]["frame"] = candidates[1]["frame"][:-2]


def other_words(candidates: list[dict]) -> None:
    candidates[1]["frame"] = "[IN:GET_DIRECTIONS away ]"


def misspelt(candidates: list[dict]) -> None:
    candidates[1]["frame"] = "[IN:GET_DIRECTION home ]"


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (unclosed, ": .* is never closed"),
        (other_words, ": word 1: 'away', in the utterance 'home'"),
        (misspelt, ": label IN:GET_DIRECTION is known to none"),
    ],
)
def test_a_malformed_candidate_file_is_refused_and_nothing_written(work, tmp_path, change, fault):
    (tmp_path / "pool.jsonl").write_text(spoiled(work / "pool.jsonl", change))
    message = refused(
        "rerank", "--old", work / "old", work / "test.tsv", tmp_path / "pool.jsonl", "-o", tmp_path / "out.tsv"
    )
    assert re.search(rf"pool.jsonl:3: utterance 3: candidate 2{fault}", message)
    assert [path.name for path in tmp_path.iterdir()] == ["pool.jsonl"]


def test_the_two_tasks_do_not_mix(work, tmp_path):
    output = ["-o", tmp_path / "out"]
    trees, pool = work / "trees.conllu", work / "pool.jsonl"
    message = "trees.conllu holds CoNLL-U, but a parser of kind s2s takes rows of TOP"
    assert message in refused("candidates", work / "new", trees, *output)
    assert message in refused("rerank", "--old", work / "old", trees, pool, *output)
    message = "test.tsv holds rows of TOP, but a deepbiaf takes CoNLL-U"
    assert message in refused("candidates", work / "trees", work / "test.tsv", *output)
    assert message in refused("rerank", "--old", work / "trees", work / "test.tsv", pool, *output)
    assert "'utterance', expected 'sentence'" in refused("rerank", "--old", work / "trees", trees, pool, *output)
    for mixed in (["--old", work / "old", "--old", work / "trees"], ["--old", work / "old", "--new", work / "trees"]):
        assert "one parses trees, the other frames" in refused("rerank", *mixed, work / "test.tsv", pool, *output)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["tokenizer.json", "labels.json", "encoder.json", "model.safetensors", "config.json"])
@pytest.mark.parametrize("content", ["{", None, "[]"])
def test_a_folder_without_a_sound_model_is_named(work, tmp_path, name, content):
    model = tmp_path / "model"
    shutil.copytree(work / "new", model)
    if content is None:
        (model / name).unlink()
    else:
        (model / name).write_text(content)
    assert str(model) in refused("candidates", model, work / "test.tsv", "-o", tmp_path / "pool")
    assert not (tmp_path / "pool").exists()
