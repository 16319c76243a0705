"""Accuracy per minute: how good a deepbiaf is after a short training."""

import time
from collections.abc import Callable

from bcrlib.data.corpora import load_treebank
from bcrlib.decoding.strategies import OneBest
from bcrlib.metrics.attachment import correctness
from bcrlib.models.checkpoint import new_parser
from bcrlib.models.encoding import encode
from bcrlib.models.runtime import Runtime, fast_precision
from bcrlib.models.training import EpochReport, train
from bcrlib.models.vocabulary import build_vocabulary
from bcrlib.pipeline.profiles import Profile
from bcrlib.presets import PRESETS


def bench_accuracy(
    profile: Profile, seed: int = 1, report: Callable[[EpochReport], None] = lambda epoch: None
) -> dict[str, float]:
    """Train a profile's deepbiaf on the CPU and test it.

    "uas" and "las" in [0, 1] on the test split without PUNCT; "minutes" and "cpu_minutes" of the training, from word
    vectors to the choice of the best epoch on dev. Threads are as the caller set them.
    """
    gold, dev, test = (load_treebank(profile.corpus, split, profile.ambiguity) for split in ("train", "dev", "test"))
    wall, cpu = time.perf_counter(), time.process_time()
    parser = new_parser(profile.network("deepbiaf"), build_vocabulary(gold), seed, Runtime())
    precision = fast_precision("cpu") if profile.precision == "auto" else profile.precision
    encoded = encode(gold, parser.vocabulary, parser.vectors)
    train(parser, encoded, dev, profile.recipe("deepbiaf"), seed, precision, report)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    pool = parser.candidates(test, OneBest())
    right = correctness(test, pool.heads, pool.relations, pool.relation_names, PRESETS["clean"])
    accuracy = {level.lower(): float(right[level].mean()) for level in ("UAS", "LAS")}
    return accuracy | {"minutes": wall / 60, "cpu_minutes": cpu / 60}
