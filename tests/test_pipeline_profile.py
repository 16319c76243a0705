"""Profiles: the YAML files in the repository, overrides, refusals."""

from dataclasses import replace

import pytest

from bcrlib.pipeline.plan import plan
from bcrlib.pipeline.profile import PROFILE_FOLDER, load_profile

PROFILES = sorted(path.stem for path in PROFILE_FOLDER.glob("*.yaml"))


def test_the_authors_profile_is_the_paper_s_but_for_recipes_and_definitions():
    paper, authors = load_profile("paper"), load_profile("authors")
    assert authors.preset == "official" != paper.preset
    ours = {name: getattr(paper.semantic, name) for name in ("base_training", "large_training", "dropout_grid")}
    semantic = replace(authors.semantic, **ours)
    recipes = {name: getattr(paper, name) for name in ("training", "static_training", "stackptr_training")}
    assert replace(authors, name="paper", preset="clean", semantic=semantic, **recipes) == paper


def test_the_rehearsal_has_the_jobs_of_the_paper_profile():
    paper, rehearsal = (
        [(job.name, job.notebook, job.needs) for job in plan(load_profile(p))] for p in ("paper", "rehearsal")
    )
    assert rehearsal == paper


def test_a_profile_lays_its_values_over_those_of_another(tmp_path):
    (tmp_path / "below.yaml").write_text("corpus: demo\nold_seeds: [5]\nnew_seeds: [1]\nensembles: []\n")
    (tmp_path / "above.yaml").write_text("like: below\ndropout_grid: [0.1]\nmodel: {hidden_size: 9}\n")
    (tmp_path / "top.yaml").write_text("like: above\nmodel: {arc_size: 7}\nnew_seeds: [2]\n")
    profile = load_profile(str(tmp_path / "top.yaml"))
    assert (profile.name, profile.old_seeds, profile.new_seeds) == ("top", (5,), (2,))
    assert (profile.model.hidden_size, profile.model.arc_size) == (9, 7)


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_starts_with_the_command_that_runs_it(name):
    command = "make reproduce" if name == "demo" else f"make reproduce PROFILE={name}"
    first = (PROFILE_FOLDER / f"{name}.yaml").read_text().splitlines()[0]
    assert first.split("(")[0].strip("# ") == command


@pytest.mark.parametrize("name", [name for name in PROFILES if name != "causes"])
def test_every_whole_run_has_the_paper_s_updates(name):
    profile = load_profile(name)
    updates = [str(update) for update in profile.parsed_updates()]
    assert updates[-3:] == ["deepbiaf=>deepbiaf", "stackptr=>stackptr", "deepbiaf=>stackptr"]
    assert updates[:-3] == (["deepbiaf-static=>deepbiaf"] if name == "small" else [])
    of_frames = [str(update) for update in profile.semantic.parsed_updates()]
    assert of_frames[0] == "s2s-base-part=>s2s-base" and of_frames[-1] == "s2s-base=>s2s-large"
    assert "s2s-large-part=>s2s-large" in of_frames or name == "demo"  # more trainings than it is for


def test_the_paper_profile_has_the_paper_s_seeds_and_sizes():
    profile = load_profile("paper")
    assert profile.old_seeds == (123, 456, 789, 555, 666)
    assert profile.new_seeds == (1, 2, 3, 4, 5)
    assert {len(group) for group in profile.ensembles} == {5}
    sizes = profile.model
    assert (sizes.word_size, sizes.char_size, sizes.upos_size) == (100, 100, 100)
    assert (sizes.hidden_size, sizes.num_layers, sizes.arc_size, sizes.label_size) == (512, 3, 512, 128)
    assert (sizes.decoder_input_size, sizes.decoder_size, sizes.beam_width) == (256, 512, 10)


def test_static_deepbiafs_have_vectors_of_their_own_and_the_recipe_of_the_others_where_it_says_nothing():
    overrides = ("model.vectors=many", "static_vectors=few", "training.num_epochs=3", "static_training.dropout=0.5")
    profile = load_profile("demo", overrides)
    static, other = (profile.network(kind) for kind in ("deepbiaf-static", "deepbiaf"))
    assert (static.vectors, other.vectors, profile.network("stackptr").vectors) == ("few", "many", "many")
    assert replace(static, vectors="many") == other
    recipes = [profile.recipe(kind) for kind in ("deepbiaf-static", "deepbiaf")]
    assert recipes[0] == replace(recipes[1], dropout=0.5) and recipes[1].num_epochs == 3


def test_either_half_can_be_left_out_but_not_both():
    assert load_profile("demo", ("updates=[]",)).semantic.updates
    assert load_profile("demo", ("semantic.updates=[]", "semantic.old_seeds=[]")).updates
    with pytest.raises(ValueError, match="must name at least one update"):
        load_profile("demo", ("updates=[]", "semantic.updates=[]"))


def test_a_profile_without_the_section_has_no_semantic_half(tmp_path):
    seeds = "corpus: demo\nold_seeds: [5]\nnew_seeds: [1]\nensembles: []\ndropout_grid: [0.1]\n"
    (tmp_path / "mine.yaml").write_text(seeds)
    profile = load_profile(str(tmp_path / "mine.yaml"))
    assert profile.semantic.updates == () and profile.updates


def test_part_models_have_the_sizes_and_recipe_of_the_whole():
    overrides = ("preset=official", "semantic.base.encoder_layers=7", "semantic.large_training.num_epochs=3")
    half = load_profile("demo", overrides).semantic
    base, part = (half.network(kind) for kind in ("s2s-base", "s2s-base-part"))
    assert base == part and (base.encoder_layers, base.preset) == (7, "official")
    assert half.network("s2s-large-part") == half.network("s2s-large") != half.network("s2s-base")
    assert half.recipe("s2s-large-part").num_epochs == 3 != half.recipe("s2s-base-part").num_epochs


def test_the_paper_s_semantic_parsers_are_the_paper_s():
    half = load_profile("paper").semantic
    assert (half.base.encoder, half.large.encoder, half.part) == ("roberta-base", "roberta-large", 0.8)
    sizes = {(size.decoder_layers, size.decoder_size, size.decoder_inner_size) for size in (half.base, half.large)}
    assert sizes == {(6, 512, 1024)}
    assert load_profile("authors").semantic.dropout_grid == (0.1, 0.2, 0.3, 0.4)
    assert half.ensemble_sizes == tuple(range(1, 11))


@pytest.mark.parametrize("name", ["small", "paper", "authors"])
def test_frames_are_trained_with_as_much_dropout_as_they_are_thinned_by(name):
    half = load_profile(name).semantic
    for recipe in (half.base_training, half.large_training):
        assert (recipe.dropout, recipe.attention_dropout) == (0.3, 0.1)
    assert set(half.dropout_grid) >= {0.1, 0.2, 0.3} and (name == "authors" or max(half.dropout_grid) == 0.3)
    assert "beam(b=10,ended)" in half.sampling_grid


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("training.num_epoch=3", "did you mean training.num_epochs"),
        ("colour=red", "unknown field colour"),
        ("num_candidates=many", "^num_candidates: Input should be a valid integer, not 'many'$"),
        ("num_candidates", "NAME=VALUE"),
        ("training.schedule=cosine", "^training.schedule: Input should be 'linear' or 'exponential', not 'cosine'$"),
        ("updates=[deepbiaf=>s2s]", "unknown kind of parser 's2s'"),
        ("updates=[deepbiaf]", "OLD=>NEW"),
        ("updates=[s2s-base=>s2s-large]", "its kinds are deepbiaf-static, deepbiaf, stackptr"),
        ("semantic.updates=[stackptr=>stackptr]", "its kinds are s2s-base-part, s2s-base, s2s-large-part, s2s-large"),
        ("semantic.updates=[deepbiaf=>s2s-base]", "of one task cannot replace one of the other"),
        ("semantic.base.encoder_layer=3", "did you mean semantic.base.encoder_layers"),
        ("semantic.base.constrained=1", "a valid boolean, not 1"),
        ("semantic.large_training.schedule=cosine", "should be 'linear' or 'inverse_sqrt'"),
        ("semantic.old_seeds=[2]", r"semantic.old_seeds, .* disjoint; both have \[2\]"),
        ("semantic.further_seeds=[123]", r"disjoint; both have \[123\]"),
        ("semantic.new_seeds=[]", "semantic.new_seeds is empty"),
        ("semantic.ensemble_sizes=[1, 9]", r"semantic.ensemble_sizes must be in 1\.\.2"),
        ("semantic.sampling_grid=[1-best]", "1-best is none"),
        ("semantic.base.preset=official", "follows from the profile's `preset`"),
        ("semantic.preset=official", "semantic.preset follows from"),
        ("ensembles=[[3, x]]", "a valid integer, not 'x'"),
        ("semantic.part=1.5", r"a share in \(0, 1\]"),
        ("semantic.dev_share=0.0", r"a share in \(0, 1\]"),
        ("dev_share=2.0", "^dev_share is a share"),
        ("sampling_grid=[top-q(5)]", r"unknown strategy 'top-q\(5\)'"),
        ("sampling_grid=[nucleus(p=2)]", r"probability in \(0, 1\]"),
        ("sampling_grid=[k-best]", "k-best is none"),
        ("old_seeds=[6, 123, 5]", r"disjoint; both have \[5, 6\]"),
        ("ensembles=[[7, 2]]", r"disjoint; both have \[2\]"),
        ("model.kind=stackptr", "model.kind follows from `updates`"),
    ],
)
def test_a_bad_override_is_refused(override, words):
    with pytest.raises(ValueError, match=words):
        load_profile("demo", (override,))


def test_a_static_kind_that_differs_in_nothing_is_refused():
    update = "updates=[deepbiaf-static=>deepbiaf]"
    with pytest.raises(ValueError, match="set static_vectors"):
        load_profile("demo", (update, "static_vectors=none"))
    assert load_profile("demo", (update, "static_vectors=none", "static_training.num_epochs=1")).updates


def test_the_grid_of_speeds_is_part_of_a_profile():
    speed = load_profile("demo", ("speed.batch_sizes=[2, 3]", "speed.sentences=0")).speed
    assert (speed.batch_sizes, speed.sentences, speed.num_turns) == ((2, 3), 0, 2)
    with pytest.raises(ValueError, match="speed is measured on some sentences"):
        load_profile("demo", ("speed.batch_sizes=[0]",))
    with pytest.raises(ValueError, match=r"unknown field speed\.turns; did you mean speed.num_turns"):
        load_profile("demo", ("speed.turns=3",))
