"""`bcr train`, `candidates` and `rerank` with a stackptr, across kinds of parsers, and on text without trees."""

import json

import numpy as np
import pytest
from command_runs import SIZES, TINY_STACKPTR, refused, run, work_folder  # noqa: F401  a fixture

from bcrlib.cli.options import DEFAULTS, STRATEGIES, StrategyOptions, chosen_strategy
from bcrlib.data.candidate_files import read_candidates
from bcrlib.data.candidates import TreePool
from bcrlib.data.treebank import read_conllu
from bcrlib.parsers.batches import Runtime
from bcrlib.parsers.checkpoint import load_parser
from bcrlib.samplers.strategies import Beam, DropoutP, KBest, Nucleus, OneBest, TopK


def test_train_makes_a_stackptr_by_its_own_recipe(work, tmp_path):
    options = [*TINY_STACKPTR, "--set=stackptr_training.num_epochs=1", "-o", tmp_path / "model", "--json"]
    summary = json.loads(run("train", "--corpus", work, *options))
    assert summary["kind"] == "stackptr" and len(summary["history"]) == 1
    assert load_parser(tmp_path / "model", Runtime()).network.config.kind == "stackptr"


def test_train_makes_a_deepbiaf_with_the_static_vectors(work, tmp_path):
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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--strategy", "k-best"],
            "a stackptr has no strategy k-best; for a stackptr choose one of 1-best, beam",
        ),
        (["--strategy", "top-k"], "needs the number of actions to choose among"),
        (["--strategy", "nucleus"], "needs the probability that is kept"),
        (["--strategy", "nucleus", "--p", 1.2], "a nucleus has a probability in (0, 1]"),
        (["--strategy", "nucleus", "--p", 0.9, "--temperature", 0], "a temperature is positive"),
        (["--strategy", "top-k", "--k", 2, "--keep-duplicates"], "--keep-duplicates is no option of --strategy top-k"),
        (["--k", 2], "--k is no option of --strategy beam"),
        (["--labelled"], "--labelled is no option of --strategy beam"),
        (["--strategy", "beam(b=0)"], "a beam has at least one hypothesis"),
    ],
)
def test_candidates_of_a_stackptr_refuses_what_it_cannot_do(work, tmp_path, options, message):
    arguments = [work / "stackptr", work / "test.conllu", "-o", tmp_path / "pool", *options]
    assert message in refused("candidates", *arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_strategy_in_words_and_as_tables_print_it():
    options = StrategyOptions(keep_duplicates=True)
    assert chosen_strategy("beam(b=4)", "stackptr", 7, options) == Beam(4, 7, keep_duplicates=True)
    assert chosen_strategy("beam", "stackptr", 7, StrategyOptions(beam_width=4)) == Beam(4, 7)
    assert chosen_strategy("nucleus", "stackptr", 7, StrategyOptions(p=0.5, temperature=2.0)) == Nucleus(0.5, 7, 2.0)
    assert chosen_strategy("top-k(k=2)", "stackptr", 7, StrategyOptions()) == TopK(2, 7)
    for options in (StrategyOptions(), StrategyOptions(labelled=True)):
        assert chosen_strategy(None, "deepbiaf", 7, options) == KBest(7, labelled=True)
        assert chosen_strategy("k-best", "deepbiaf", 7, options) == KBest(7, options.labelled)
        assert chosen_strategy("k-best(labelled)", "deepbiaf", 7, options) == KBest(7, labelled=True)
    assert chosen_strategy("1-best", "deepbiaf", 7, StrategyOptions()) == OneBest()


def test_no_parser_refuses_what_the_command_line_offers_for_its_kind(work):
    examples = (OneBest(), KBest(2), Beam(2, 2), TopK(2, 2), Nucleus(0.9, 2), DropoutP(0.1, 2))
    treebank = read_conllu(work / "test.conllu").select(np.array([0]))
    for kind, folder in {"deepbiaf": "new", "stackptr": "stackptr"}.items():
        parser, possible = load_parser(work / folder, Runtime()), []
        for strategy in examples:
            try:
                parser.candidates(treebank, strategy)
                possible.append(str(strategy).partition("(")[0])
            except ValueError:
                pass
        assert tuple(possible) == STRATEGIES[kind] and DEFAULTS[kind].partition("(")[0] in possible


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
