"""The part of `bcr bench` that measures sentences a second on a device."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bcrlib.cli.bench_frames import SEMANTIC
from bcrlib.cli.bench_samples import Asked, Measured, sampled_frames, sampled_trees
from bcrlib.cli.options import progress, read_profile

if TYPE_CHECKING:  # at run time these would bring torch
    from bcrlib.bench.throughput import Row
    from bcrlib.configuration import NetworkConfig, Seq2SeqConfig

BATCH_SIZES = {"cpu": (8, 32), "cuda": (32, 128, 512)}
"""Of each device that can be asked for."""
NUMBER = {"cpu": 64, "cuda": 1000}
"""Of sentences, and of utterances."""


def check_device(device: str) -> None:
    """ValueError for a device that is not there."""
    import torch

    if device not in BATCH_SIZES:
        raise ValueError(f"unknown device {device!r}; choose one of {', '.join(BATCH_SIZES)}")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("there is no CUDA device here, or PyTorch has come without CUDA")


def on_device(kinds: tuple[str, ...], asked: Asked, device: str, batch_sizes: Sequence[int]) -> Measured:
    """Sentences a second of these kinds of parsers, in float32 and in what is fast there; bars on cuda alone.

    "throughput" of the result: {kind: {precision: rows}}, see `bcrlib.bench.on_device.bench_on_device`.
    """
    from bcrlib.bench.throughput_bars import throughput_bars

    samples = {kind: (sampled_frames if kind == SEMANTIC else sampled_trees)(asked, NUMBER[device]) for kind in kinds}
    rows = {kind: _rows(kind, items, asked, device, batch_sizes) for kind, (_, items) in samples.items()}
    is_judged = device == "cuda" and asked.profile is None
    bars = [
        bar
        for kind, of_kind in rows.items()
        for precision, some in of_kind.items()
        for bar in throughput_bars(kind, precision, some, is_judged)
    ]
    setting = _setting(asked, device, {kind: name for kind, (name, _) in samples.items()})
    return Measured({**setting, "throughput": rows}, bars, _described(setting))


def _rows(kind: str, items: Any, asked: Asked, device: str, batch_sizes: Sequence[int]) -> dict[str, list["Row"]]:
    from bcrlib.bench.on_device import bench_on_device
    from bcrlib.models.runtime import fast_precision, runtime_on

    config, rows = _config(kind, asked.profile), {}
    for precision in dict.fromkeys(["float32", fast_precision(device)]):
        progress(f"{kind} in {precision} on {device}, {asked.turns} turns")
        rows[precision] = bench_on_device(items, config, runtime_on(device, precision), batch_sizes, asked.turns)
    return rows


def _config(kind: str, profile: str | None) -> "NetworkConfig | Seq2SeqConfig":
    from bcrlib.configuration import NetworkConfig, Seq2SeqConfig

    if profile is None:
        return Seq2SeqConfig(encoder="minilm") if kind == SEMANTIC else NetworkConfig(kind=kind)
    half = read_profile(profile, [])
    return half.semantic.network("s2s-large", half.preset) if kind == SEMANTIC else half.network(kind)


def _setting(asked: Asked, device: str, corpora: dict[str, str]) -> dict[str, Any]:
    import torch

    from bcrlib.pipeline.manifest import machine

    return {
        "machine": machine(),
        "device": device,
        "num_threads": torch.get_num_threads(),
        "corpora": corpora,
        "num_turns": asked.turns,
        "sizes": asked.profile or "paper",
    }


def _described(setting: dict[str, Any]) -> str:
    machine = setting["machine"]
    threads = f"{machine['processor']}, {setting['num_threads']} threads"
    corpora = ", ".join(dict.fromkeys(f"{name} test" for name in setting["corpora"].values()))
    return f"{machine['gpu'] if setting['device'] == 'cuda' else threads}; sizes: {setting['sizes']}; {corpora}."
