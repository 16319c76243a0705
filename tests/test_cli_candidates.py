"""`bcr train`, `candidates` and `rerank`: real runs of tiny parsers, and what happens to malformed input."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_runs import (  # noqa: F401  work_folder is a fixture
    SIZES,
    TINY,
    bcr,
    lines_of,
    possible_strategies,
    refused,
    run,
    spoiled,
    work_folder,
)

from bcrlib.cli.candidates import chosen_strategy, strategies_of
from bcrlib.data.candidate_files import read_candidates
from bcrlib.data.candidates import TreePool
from bcrlib.data.treebank import read_conllu
from bcrlib.parsers.batches import Runtime
from bcrlib.parsers.training import load_parser
from bcrlib.samplers.strategies import Beam, KBest, Nucleus, OneBest, TopK


def test_train_writes_a_parser_and_tells_of_it(work, tmp_path):
    files = ["--train", work / "train.conllu", "--dev", work / "dev.conllu"]
    result = bcr("train", *files, *TINY, "--seed", 1, "-o", tmp_path / "deep" / "model", "--json")
    summary = json.loads(result.stdout)
    assert summary["output"] == str(tmp_path / "deep" / "model") and summary["seed"] == 1
    assert [epoch["epoch"] for epoch in summary["history"]] == [1, 2]
    assert summary["dev_score"] == max(epoch["dev_score"] for epoch in summary["history"])
    assert summary["dev_score"] == summary["history"][summary["best_epoch"] - 1]["dev_score"]
    assert [line.split()[0] for line in result.stderr.splitlines()] == ["1/2", "2/2"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["model"]
    same = "model.safetensors"  # as the fixture's, which has the same seed and data
    assert (tmp_path / "deep" / "model" / same).read_bytes() == (work / "new" / same).read_bytes()
    assert (tmp_path / "deep" / "model" / same).read_bytes() != (work / "old" / same).read_bytes()
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "deep" / "model").iterdir()}
    assert {*modes.values()} == {0o666 & (tmp_path / "deep").stat().st_mode}, modes  # whoever may read one may read all


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--set", "training.num_epoch=3"], "did you mean training.num_epochs?"),
        (["--set", "training.num_epochs=0"], "training.num_epochs must be at least 1"),
        (["--set", "training.learning_rate=-0.1"], "training.learning_rate must be greater than 0, not -0.1"),
        (["--set", "training.learning_rate=.nan"], "training.learning_rate must be greater than 0, not nan"),
        (["--set", "training.beta2=1"], "training.beta2 must be in [0, 1), not 1"),
        (["--set", "training.clip=-1"], "training.clip must be at least 0, not -1"),
        (["--set", "model.hidden_size=many"], "model.hidden_size: Input should be a valid integer"),
        (["--set", "old_seeds=[1"], "profile 'demo'"),
        (["--set", "corpus.name=x"], "no fields of its own"),
        (["--profile", "huge"], "unknown profile 'huge'; choose one of authors, causes, demo"),
        (["--train", "x.conllu"], "--train and --dev go together"),
        (["--corpus", "no such folder"], "no such folder/train.conllu: No such file"),
        (["--set", "model.vectors=no-such-vectors.txt"], "no-such-vectors.txt"),
        (["--set", "preset=unofficial"], "unknown preset 'unofficial'"),
        (["--kind", "stack"], "unknown kind of parser 'stack'; choose one of deepbiaf-static, deepbiaf, stackptr"),
        (["--kind", "deepbiaf-static", "--set", "training.dropout=0"], "use static_training.dropout=0"),
        (["--kind", "deepbiaf-static", "--set", "model.vectors=x"], "for deepbiaf-static use static_vectors=x"),
        (["--set", "static_vectors=x"], "for deepbiaf use model.vectors=x"),
        (["--kind", "stackptr", "--set", "training.dropout=0"], "for stackptr use stackptr_training.dropout=0"),
        (["--set", "stackptr_training.dropout=0"], "for deepbiaf use training.dropout=0"),
        (["--kind", "stackptr", "--set", "stackptr_training.dropout=1"], "stackptr_training.dropout must be in [0, 1)"),
        (["--kind", "stackptr", "--set", "model.decoder_size=0"], "model.decoder_size must be at least 1"),
    ],
)
def test_train_refuses_what_it_cannot_do(tmp_path, options, message):
    assert message in refused("train", *options, "-o", tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_train_tells_how_to_get_a_corpus_that_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("BCRLIB_DATA", str(tmp_path))
    assert "set BCRLIB_DATA to a folder" in refused("train", "--corpus", "ewt", "-o", tmp_path / "model")


def test_train_overwrites_nothing(work):
    before = (work / "old" / "model.safetensors").read_bytes()
    assert "exists already" in refused("train", "--corpus", work, *TINY, "-o", work / "old")
    assert (work / "old" / "model.safetensors").read_bytes() == before


def test_k_best_candidates_are_the_models_own(work):
    treebank = read_conllu(work / "test.conllu")
    pool = read_candidates(work / "pool.jsonl", treebank, TreePool)
    parser = load_parser(work / "new", Runtime())
    new_tree = pool.first_equal() == np.arange(4)[:, None]  # two words have fewer than four trees
    assert (np.diff(pool.log_probs, axis=0)[new_tree[1:]] <= 1e-6).all() and new_tree.mean() > 0.9
    assert pool.log_probs == pytest.approx(parser.log_probs(treebank, pool), abs=1e-4)


def test_dropout_candidates_follow_the_seed_and_score_as_the_whole_network(work, tmp_path):
    treebank = read_conllu(work / "test.conllu")
    for name, options in {
        "a": ["--strategy", "dropout-p", "--p", 0.4],
        "b": ["--strategy", "dropout-p(p=0.4)"],
        "c": ["--strategy", "dropout-p", "--p", 0.4, "--seed", 2],
    }.items():
        out = run("candidates", work / "new", work / "test.conllu", *options, "-n", 3, "-o", tmp_path / name, "--json")
        summary = json.loads(out)
        assert summary["strategy"] == "dropout-p(p=0.4)" and summary["num_sentences"] == 12
        assert summary["num_candidates"] == 3 and 1 < summary["distinct_a_sentence"] <= 3
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() != (tmp_path / "c").read_bytes()
    pool = read_candidates(tmp_path / "a", treebank, TreePool)
    expected = load_parser(work / "new", Runtime()).log_probs(treebank, pool)
    assert pool.log_probs == pytest.approx(expected, abs=1e-4)


def test_whoever_waits_is_told_how_far_it_is(work, tmp_path, monkeypatch):
    monkeypatch.setattr("bcrlib.cli.options.SECONDS_OF_SILENCE", 0)
    dropout = ["--strategy", "dropout-p", "--p", 0.2, "-o", tmp_path / "pool.jsonl"]
    told = bcr("candidates", work / "new", work / "test.conllu", *dropout).stderr.splitlines()
    assert told == ["12 of 12 sentences parsed or scored"] * 2  # made, then scored by the whole network
    asked = ["--old", work / "old", "--old", work / "stackptr"]
    told = bcr("rerank", *asked, work / "test.conllu", tmp_path / "pool.jsonl", "-o", tmp_path / "out.conllu").stderr
    assert [line for line in told.splitlines() if line.startswith("12 of 12")] == [
        f"12 of 12 sentences scored by model {number} of 2" for number in (1, 2)
    ]


def test_the_1_best_parse_may_be_written_as_conllu(work, tmp_path):
    run("candidates", work / "new", work / "test.conllu", "--strategy", "1-best", "-o", tmp_path / "new.conllu")
    parsed = read_conllu(tmp_path / "new.conllu")
    pool = read_candidates(work / "pool.jsonl", parsed, TreePool)
    assert parsed.heads.tolist() == pool.heads[0].tolist() and parsed.relations == pool.relation_strings(0)


STACKPTR = object()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--strategy", "beams"], "unknown strategy 'beams'; for a deepbiaf choose one of 1-best, k-best, dropout-p"),
        (["--strategy", "beam"], "a deepbiaf has no strategy beam; for a deepbiaf choose one of 1-best, k-best"),
        (["--strategy", "nucleus(p=0.9)"], "a deepbiaf has no strategy nucleus"),
        (["--strategy", "dropout-p"], "needs its rate"),
        (["--strategy", "dropout-p", "--p", 1.5], "a dropout rate is in [0, 1)"),
        (["--strategy", "dropout-p(p=0.1)", "--p", 0.1], "already sets what --p sets"),
        (["--strategy", "dropout-p", "--p", 0.1, "--temperature", 2], "--temperature is not an option of"),
        (["--p", 0.1], "--p is not an option of --strategy k-best"),
        (["--strategy", "k-best+beam"], "a deepbiaf has no strategy beam"),
        (["--strategy", "k-best+"], "unknown strategy ''"),
        (["--strategy", "k-best+dropout-p", "--p", 0.1], "joins several: put --p into the name"),
        (["--strategy", "k-best+1-best", "-n", 1, "-o", "pool.conllu"], "a CoNLL-U file holds one parse per sentence"),
        (["-o", "pool.conllu"], "a CoNLL-U file holds one parse per sentence"),
        (["-o", "no such folder/pool"], "no such folder: no such folder"),
        (["-o", "/"], "is a folder"),
        (
            [STACKPTR, "--strategy", "k-best"],
            "a stackptr has no strategy k-best; for a stackptr choose one of 1-best, beam",
        ),
        ([STACKPTR, "--strategy", "top-k"], "needs the number of actions to choose among"),
        ([STACKPTR, "--strategy", "nucleus"], "needs the probability that is kept"),
        ([STACKPTR, "--strategy", "nucleus", "--p", 1.2], "a nucleus has a probability in (0, 1]"),
        ([STACKPTR, "--strategy", "nucleus", "--p", 0.9, "--temperature", 0], "a temperature is positive"),
        (
            [STACKPTR, "--strategy", "top-k", "--k", 2, "--keep-duplicates"],
            "--keep-duplicates is not an option of --str",
        ),
        ([STACKPTR, "--k", 2], "--k is not an option of --strategy beam"),
        ([STACKPTR, "--labelled"], "--labelled is not an option of --strategy beam"),
        ([STACKPTR, "--strategy", "beam(b=0)"], "a beam has at least one hypothesis"),
    ],
)
def test_candidates_refuses_what_it_cannot_do(work, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    model, options = ("stackptr", options[1:]) if options[0] is STACKPTR else ("new", options)
    assert message in refused("candidates", work / model, work / "test.conllu", "-o", "pool", *options)
    assert list(tmp_path.iterdir()) == []


def with_field(model: Path, **field: int) -> None:
    """Change the parser's configuration."""
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | field))


@pytest.mark.parametrize(
    "spoil",
    [
        shutil.rmtree,
        lambda model: (model / "model.safetensors").write_bytes(b"not weights"),
        lambda model: with_field(model, hidden_size=7),
        lambda model: with_field(model, width=7),
        lambda model: (model / "vocabulary.json").write_text("{"),
    ],
)
def test_a_folder_without_a_sound_model_is_named(work, tmp_path, spoil):
    model = tmp_path / "model"
    shutil.copytree(work / "new", model)
    spoil(model)
    assert str(model) in refused("candidates", model, work / "test.conllu", "-o", tmp_path / "pool")
    assert not (tmp_path / "pool").exists()


def log_probs(work: Path, model: str) -> np.ndarray:
    treebank = read_conllu(work / "test.conllu")
    pool = read_candidates(work / "pool.jsonl", treebank, TreePool)
    return load_parser(work / model, Runtime()).log_probs(treebank, pool)


def rerank(work: Path, output: Path, *options: object) -> np.ndarray:
    """Heads of the chosen trees."""
    run("rerank", "--old", work / "old", *options, work / "test.conllu", work / "pool.jsonl", "-o", output)
    return read_conllu(output).heads


def heads_of(work: Path, scores: np.ndarray) -> list[int]:
    """Heads of the candidates with the best scores [candidate, sentence], sentence by sentence."""
    lines = lines_of(work / "pool.jsonl")
    best = [max(range(4), key=lambda c: scores[c, s]) for s in range(len(lines))]
    return [head for line, c in zip(lines, best) for head in line["candidates"][c]["heads"]]


def test_the_old_model_picks(work, tmp_path):
    heads = rerank(work, tmp_path / "out.conllu")
    assert heads.tolist() == heads_of(work, log_probs(work, "old"))
    assert heads.tolist() != heads_of(work, log_probs(work, "new"))


def test_weights_of_several_old_models_and_of_the_new_one(work, tmp_path):
    olds = ["--old", work / "new", "--old-weight", 0.3, "--old-weight", 0.9]
    mixed = 0.3 * log_probs(work, "old") + 0.9 * log_probs(work, "new")
    assert rerank(work, tmp_path / "a", *olds).tolist() == heads_of(work, mixed)
    by_file = rerank(work, tmp_path / "b", "--new-weight", 0.7).tolist()
    by_model = rerank(work, tmp_path / "c", "--new-weight", 0.7, "--new", work / "new").tolist()
    assert by_file == by_model == heads_of(work, log_probs(work, "old") + 0.7 * log_probs(work, "new"))


def test_other_columns_stay_and_changes_are_counted(work, tmp_path):
    text = (work / "test.conllu").read_text().splitlines()
    marked = [line.removesuffix("_") + "Mark=Yes" if "\t" in line else line for line in text]
    (tmp_path / "in.conllu").write_text("\n".join(["# a comment", *marked]) + "\n")
    arguments = [tmp_path / "in.conllu", work / "pool.jsonl", "-o", tmp_path / "out.conllu", "--json"]
    summary = json.loads(run("rerank", "--old", work / "old", *arguments))
    lines = (tmp_path / "out.conllu").read_text().splitlines()
    assert lines[0] == "# a comment" and all(line.endswith("Mark=Yes") for line in lines if "\t" in line)
    first = heads_of(work, -np.arange(4.0)[:, None] * np.ones(12))
    changed = read_conllu(tmp_path / "out.conllu").heads != first
    offsets = read_conllu(work / "test.conllu").offsets
    assert summary["num_changed"] >= np.logical_or.reduceat(changed, offsets[:-1]).sum() > 0
    assert summary["num_sentences"] == 12


def cycle(candidates: list[dict]) -> None:
    candidates[1]["heads"][:2] = [2, 1]


def two_roots(candidates: list[dict]) -> None:
    heads = candidates[1]["heads"]
    heads[1 if heads[0] == 0 else 0] = 0


def short(candidates: list[dict]) -> None:
    candidates[1]["heads"].pop()


def misspelt(candidates: list[dict]) -> None:
    candidates[1]["relations"][0] = "nsubjj"


@pytest.mark.parametrize("old", ["old", "stackptr"])
@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (cycle, ", word 1: .* a cycle"),
        (two_roots, ": 2 roots"),
        (short, ": .* heads for"),
        (misspelt, ", word 1: relation 'nsubjj' is known to none"),
    ],
)
def test_a_malformed_candidate_file_is_refused_and_nothing_written(work, tmp_path, change, fault, old):
    (tmp_path / "pool.jsonl").write_text(spoiled(work / "pool.jsonl", change))
    arguments = [work / "test.conllu", tmp_path / "pool.jsonl", "-o", tmp_path / "out.conllu"]
    message = refused("rerank", "--old", work / old, *arguments)
    assert re.search(rf"pool.jsonl:3: sentence 3: candidate 2{fault}", message)
    assert [path.name for path in tmp_path.iterdir()] == ["pool.jsonl"]


def test_unknown_log_probs_are_no_obstacle_unless_they_count(work, tmp_path):
    (tmp_path / "pool.jsonl").write_text(spoiled(work / "pool.jsonl", lambda candidates: candidates[1].pop("log_prob")))
    arguments = ["--old", work / "old", work / "test.conllu", tmp_path / "pool.jsonl", "-o", tmp_path / "out.conllu"]
    assert "sentence 3: a candidate without log_prob" in refused("rerank", *arguments, "--new-weight", 1)
    run("rerank", *arguments)
    run("rerank", *arguments, "--new-weight", 1, "--new", work / "new")


def test_rerank_wants_a_weight_for_each_old_model(work, tmp_path):
    arguments = [work / "test.conllu", work / "pool.jsonl", "-o", tmp_path / "out.conllu"]
    message = refused("rerank", "--old", work / "old", "--old-weight", 1, "--old-weight", 2, *arguments)
    assert "2 times --old-weight for 1 times --old" in message


@pytest.fixture(scope="module")
def dropout_pool(work) -> Path:
    """A second candidate file of the new model."""
    options = ["--strategy", "dropout-p", "--p", 0.4, "-n", 4, "-o", work / "sampled.jsonl"]
    run("candidates", work / "new", work / "test.conllu", *options)
    return work / "sampled.jsonl"


@pytest.mark.parametrize("weight", [0, 0.7])
def test_several_files_are_joined_as_the_joined_strategy_does(work, tmp_path, dropout_pool, weight):
    options = ["--strategy", "k-best(labelled)+dropout-p(p=0.4)", "-n", 4, "-o", tmp_path / "joined.jsonl", "--json"]
    summary = json.loads(run("candidates", work / "new", work / "test.conllu", *options))
    assert summary["strategy"] == "k-best(labelled)+dropout-p(p=0.4)" and 4 < summary["num_candidates"] <= 8
    chosen = []
    for files in ([tmp_path / "joined.jsonl"], [work / "pool.jsonl", dropout_pool]):
        arguments = ["--old", work / "old", "--new-weight", weight, work / "test.conllu", *files]
        run("rerank", *arguments, "-o", tmp_path / "out.conllu")
        chosen.append((tmp_path / "out.conllu").read_bytes())
    assert chosen[0] == chosen[1]
    treebank, scores, heads = read_conllu(work / "test.conllu"), [], []
    for file in (work / "pool.jsonl", dropout_pool):  # the twin: both pools, one candidate after the other
        pool = read_candidates(file, treebank, TreePool)
        old, new = (load_parser(work / name, Runtime()).log_probs(treebank, pool) for name in ("old", "new"))
        scores += [*(old + weight * new)]
        heads += [*pool.heads]
    best = [max(range(8), key=lambda c: scores[c][s]) for s in range(12)]
    by_hand = [heads[c][slice(*treebank.offsets[s : s + 2])] for s, c in enumerate(best)]
    assert read_conllu(tmp_path / "out.conllu").heads.tolist() == np.concatenate(by_hand).tolist()
    assert any(c >= 4 for c in best)


def test_files_of_two_models_are_refused_where_their_log_probs_count(work, tmp_path):
    other = spoiled(work / "pool.jsonl", lambda candidates: candidates[1].update(log_prob=-0.5))
    (tmp_path / "other.jsonl").write_text(other)
    files = ["--old", work / "old", work / "test.conllu", work / "pool.jsonl", tmp_path / "other.jsonl"]
    message = refused("rerank", *files, "--new-weight", 0.5, "-o", tmp_path / "out.conllu")
    assert "other.jsonl:3: sentence 3: candidate 2 has log_prob -0.5, the same tree in " in message
    assert "pool.jsonl, candidate 2, -" in message
    assert "name the new model with --new" in message and not (tmp_path / "out.conllu").exists()
    run("rerank", *files, "-o", tmp_path / "out.conllu")
    run("rerank", *files, "--new-weight", 0.5, "--new", work / "new", "-o", tmp_path / "out.conllu")


def test_a_faulty_file_among_several_is_named(work, tmp_path):
    (tmp_path / "faulty.jsonl").write_text(spoiled(work / "pool.jsonl", misspelt))
    arguments = [work / "test.conllu", work / "pool.jsonl", tmp_path / "faulty.jsonl", "-o", tmp_path / "out.conllu"]
    assert "faulty.jsonl:3: sentence 3: candidate 2, word 1" in refused("rerank", "--old", work / "old", *arguments)


def test_train_makes_other_kinds_by_their_own_recipes(work, tmp_path):
    stackptr = json.loads((work / "stackptr" / "training.json").read_text())
    assert stackptr["kind"] == "stackptr" and len(stackptr["history"]) == 2
    assert load_parser(work / "stackptr", Runtime()).network.config.kind == "stackptr"
    (tmp_path / "few.txt").write_text("the 0.1 0.2 0.3\n. 0.3 0.1 0.2\n")
    settings = [f"model.{size}" for size in SIZES]
    settings += ["static_training.num_epochs=1", f"static_vectors={tmp_path / 'few.txt'}"]
    options = ["--kind=deepbiaf-static", *(f"--set={setting}" for setting in settings)]
    options += ["-o", tmp_path / "model", "--json"]
    summary = json.loads(run("train", "--corpus", work, *options))
    assert summary["kind"] == "deepbiaf-static" and len(summary["history"]) == 1
    parser = load_parser(tmp_path / "model", Runtime())
    assert parser.network.config.kind == "deepbiaf" and parser.vectors.dim == 3


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ([], "beam(b=10)"),
        (["--beam-width", 3], "beam(b=3)"),
        (["--strategy", "top-k", "--k", 3, "--temperature", 0.5], "top-k(k=3,t=0.5)"),
        (["--strategy", "nucleus", "--p", 0.8], "nucleus(p=0.8)"),
        (["--strategy", "dropout-p", "--p", 0.3], "dropout-p(p=0.3)"),
    ],
)
def test_every_strategy_of_a_stackptr_lists_trees_under_its_own_probability(work, tmp_path, options, name):
    arguments = [work / "stackptr", work / "test.conllu", *options, "-n", 3, "-o", tmp_path / "pool", "--json"]
    assert json.loads(run("candidates", *arguments))["strategy"] == name
    treebank = read_conllu(work / "test.conllu")
    pool = read_candidates(tmp_path / "pool", treebank, TreePool)
    expected = load_parser(work / "stackptr", Runtime()).log_probs(treebank, pool)
    assert pool.log_probs == pytest.approx(expected, abs=1e-3)


def test_a_strategy_in_words_and_as_tables_print_it():
    options = {"keep_duplicates": True}
    assert chosen_strategy("beam(b=4)", "stackptr", 7, options) == Beam(4, 7, keep_duplicates=True)
    assert chosen_strategy("beam", "stackptr", 7, {"beam_width": 4}) == Beam(4, 7)
    assert chosen_strategy("nucleus", "stackptr", 7, {"p": 0.5, "temperature": 2.0}) == Nucleus(0.5, 7, 2.0)
    assert chosen_strategy("top-k(k=2)", "stackptr", 7, {}) == TopK(2, 7)
    for options in ({}, {"labelled": True}):
        assert chosen_strategy(None, "deepbiaf", 7, options) == KBest(7, labelled=True)
        assert chosen_strategy("k-best", "deepbiaf", 7, options) == KBest(7, bool(options))
        assert chosen_strategy("k-best(labelled)", "deepbiaf", 7, options) == KBest(7, labelled=True)
    assert chosen_strategy("1-best", "deepbiaf", 7, {}) == OneBest()


def test_no_parser_refuses_what_the_command_line_offers_for_its_kind(work):
    treebank = read_conllu(work / "test.conllu").select(np.array([0]))
    for kind, folder in {"deepbiaf": "new", "stackptr": "stackptr"}.items():
        possible = possible_strategies(load_parser(work / folder, Runtime()), treebank)
        assert possible == strategies_of(kind)
        assert str(chosen_strategy(None, kind, 2, {})).partition("(")[0] in possible


@pytest.mark.parametrize(("old", "new"), [("old", "stackptr"), ("stackptr", "new"), ("stackptr", "stackptr")])
def test_each_kind_judges_the_others_candidates(work, tmp_path, old, new):
    run("candidates", work / new, work / "test.conllu", "-n", 4, "-o", tmp_path / "pool")
    run("rerank", "--old", work / old, work / "test.conllu", tmp_path / "pool", "-o", tmp_path / "out.conllu")
    treebank = read_conllu(work / "test.conllu")
    pool = read_candidates(tmp_path / "pool", treebank, TreePool)
    best = load_parser(work / old, Runtime()).log_probs(treebank, pool).argmax(axis=0)
    expected = pool.heads[np.repeat(best, treebank.lengths), np.arange(treebank.num_tokens)]
    assert read_conllu(tmp_path / "out.conllu").heads.tolist() == expected.tolist()
    assert (best > 0).any() or old == new


def test_text_without_trees_is_parsed_and_reranked_all_the_same(work, tmp_path):
    lines = [line.split("\t") for line in (work / "test.conllu").read_text().split("\n")]
    bare = ["\t".join([*cells[:6], "_", "_", *cells[8:]]) if len(cells) > 1 else cells[0] for cells in lines]
    (tmp_path / "bare.conllu").write_text("\n".join(bare))
    outputs = {}
    for name, text in {"with": work / "test.conllu", "without": tmp_path / "bare.conllu"}.items():
        pool, out = tmp_path / f"{name}.jsonl", tmp_path / f"{name}.conllu"
        run("candidates", work / "stackptr", text, "-o", pool)
        run("rerank", "--old", work / "old", text, pool, "-o", out)
        outputs[name] = (pool.read_bytes(), out.read_bytes())
    assert outputs["with"] == outputs["without"]
    assert "bare.conllu:" in refused(
        "train", "--train", tmp_path / "bare.conllu", "--dev", work / "dev.conllu", "-o", "x"
    )


def test_a_beam_may_list_a_tree_as_often_as_it_holds_it(work, tmp_path):
    """By the clean definitions a tree has one derivation, so that merging equal trees merges none."""
    for name, options in {"merged": [], "kept": ["--keep-duplicates"]}.items():
        run("candidates", work / "stackptr", work / "test.conllu", *options, "-n", 2, "-o", tmp_path / name)
    assert (tmp_path / "merged").read_bytes() == (tmp_path / "kept").read_bytes()
