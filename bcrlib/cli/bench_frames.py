"""The part of `bcr bench` that measures the semantic parser."""

import os
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from bcrlib.cli.options import progress, read_profile

if TYPE_CHECKING:  # at run time this would bring numba
    from bcrlib.data.frames import FrameBank


def bench_frames(corpus: str | None, utterances: int, profile: str | None, turns: int) -> dict[str, Any]:
    """Where was measured, and "speeds", a record a precision (`bcrlib.bench.seq2seq.bench_seq2seq`)."""
    from bcrlib.bench.seq2seq import bench_seq2seq
    from bcrlib.configuration import Seq2SeqConfig
    from bcrlib.models.runtime import fast_precision

    name = corpus or _default_corpus()
    bank = _sample(name, utterances)
    half = read_profile(profile, []) if profile else None
    config = half.semantic.network("s2s-large", half.preset) if half else Seq2SeqConfig(encoder="minilm")
    speeds = {}
    for precision in dict.fromkeys(["float32", fast_precision("cpu")]):
        progress(f"s2s in {precision}: {bank.num_utterances} utterances, {turns} turns")
        speeds[precision] = bench_seq2seq(bank, config, precision, turns)
    setting = {"corpus": name, "num_utterances": bank.num_utterances, "num_turns": turns, "sizes": profile or "paper"}
    return {**setting, "encoder": config.encoder, "transformers": version("transformers"), "speeds": speeds}


def _default_corpus() -> str:
    from bcrlib.data.download import DataError, top_path

    if not os.environ.get("BCRLIB_DATA"):  # as with the treebank: no measurement is worth a download
        return "demo"
    try:
        top_path("test")
    except DataError:
        return "demo"
    return "top"


def _sample(corpus: str, num_utterances: int) -> "FrameBank":
    """Drawn evenly over the test split."""
    import numpy as np

    from bcrlib.data.frame_corpora import load_frames

    bank = load_frames(corpus, "test")
    number = min(num_utterances or bank.num_utterances, bank.num_utterances)
    return bank.rows(np.linspace(0, bank.num_utterances - 1, number).astype(np.int64))
