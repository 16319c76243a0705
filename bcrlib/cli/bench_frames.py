"""The part of `bcr bench` that measures the semantic parser."""

from importlib.metadata import version
from typing import Any

from bcrlib.cli.bench_samples import Asked, sampled_frames
from bcrlib.cli.options import progress, read_profile

SEMANTIC = "s2s"
"""The kind of parser of the other task; it reads frames, not trees."""


def bench_frames(asked: Asked, number: int) -> dict[str, Any]:
    """Where was measured, and "speeds", a record a precision (`bcrlib.bench.seq2seq.bench_seq2seq`).

    `number`: of utterances, if nothing else is asked for.
    """
    from bcrlib.bench.seq2seq import bench_seq2seq
    from bcrlib.configuration import Seq2SeqConfig
    from bcrlib.models.runtime import fast_precision

    name, bank = sampled_frames(asked, number)
    half = read_profile(asked.profile, []) if asked.profile else None
    config = half.semantic.network("s2s-large", half.preset) if half else Seq2SeqConfig(encoder="minilm")
    speeds = {}
    for precision in dict.fromkeys(["float32", fast_precision("cpu")]):
        progress(f"s2s in {precision}: {bank.num_utterances} utterances, {asked.turns} turns")
        speeds[precision] = bench_seq2seq(bank, config, precision, asked.turns)
    setting = {"corpus": name, "num_utterances": bank.num_utterances, "num_turns": asked.turns}
    setting |= {"sizes": asked.profile or "paper", "encoder": config.encoder}
    return {**setting, "transformers": version("transformers"), "speeds": speeds}
