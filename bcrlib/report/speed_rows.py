"""What was measured of the parsers' speed, as rows of tables and points of curves (paper, section 6.4)."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bcrlib.bench.grid import MEMORY, PAPER_BATCH, SPEED, STEPS
from bcrlib.report.paper_numbers import lookup

_COLUMNS = ["kind", "precision", "step", "batch_size", "num_candidates", "words", "metric", "value"]


def load_speeds(files: Mapping[str, Path]) -> tuple[dict[str, Any], pd.DataFrame]:
    """The settings of the measurements of some tasks, and all that was measured: {task: speed.json}.

    Columns: kind, precision, step, batch_size, num_candidates, words (mean length where it was varied), metric
    ("per_second": sentences, "peak_bytes") and value; what did not fit into the memory has no value and is left out.
    Settings: device (its name), threads, and of each task its corpus, sentences and turns.
    """
    records = [json.loads(path.read_text("utf-8")) for path in files.values()]
    frame = pd.DataFrame([row for record in records for row in record["rows"]], columns=_COLUMNS)
    settings = {"device": device_name(records[0]), "threads": records[0]["num_threads"]}
    for name, key in {"corpus": "corpus", "sentences": "num_sentences", "turns": "num_turns"}.items():
        settings[name] = [record[key] for record in records]
    return settings, frame.dropna(subset="value").reset_index(drop=True)


def device_name(record: Mapping[str, Any]) -> str:
    """The GPU, or the processor where that did the work."""
    return record["machine"]["gpu" if record["device"] == "cuda" else "processor"]


def step_name(step: str) -> str:
    """As tables and figures write it."""
    return STEPS[step].name


def paper_speed(kind: str, step: str) -> float | None:
    """Sentences a second on a V100 in batches of 32, where the paper says it."""
    return lookup("Section 6.4", kind, "single-model", "speed", "SENTENCES_PER_SECOND", {"stage": STEPS[step].in_paper})


def by_batch_size(frame: pd.DataFrame, metric: str = SPEED) -> pd.DataFrame:
    """What was measured with the usual number of candidates: of memory the longest sentences, of speed all of them."""
    usual = frame["step"].map(lambda step: STEPS[step].num_candidates)
    found = frame[(frame["metric"] == metric) & (frame["num_candidates"] == usual)]
    return found if metric == MEMORY else found[found["words"].isna()]


def by_length(frame: pd.DataFrame) -> pd.DataFrame:
    """Speeds by the mean length of the sentences."""
    return frame[(frame["metric"] == SPEED) & frame["words"].notna()]


def speed_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """In the paper's batches: sentences a second, and as a share of the bare encoder's and of 1-best decoding."""
    found = by_batch_size(frame)
    found = found[found["batch_size"] == PAPER_BATCH]
    return pd.DataFrame([cell for row in found.itertuples() for cell in _cells(row, _others(found, row))])


def best_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """In the batches that are best for each step: sentences a second, of how many, and as a share of the encoder's."""
    found = by_batch_size(frame)
    best = found.loc[found.groupby(["kind", "precision", "step"], sort=False)["value"].idxmax()]
    rows = []
    for row in best.itertuples():
        speed, of_encoder, _ = _cells(row, _others(best, row))
        size = {**speed, "metric": "batch", "value": row.batch_size, "unit": "sentences", "paper": None}
        rows += [{**speed, "paper": None}, size, of_encoder]
    return pd.DataFrame(rows)


def cost_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """What samples of dropout-p and their re-ranking cost, in 1-best decodes of the same sentences and batches.

    Columns: kind, precision, step, num_candidates, cost.
    """
    found = frame[(frame["metric"] == SPEED) & frame["words"].isna() & (frame["batch_size"] == PAPER_BATCH)]
    one_best = found[found["step"] == "1-best"].set_index(["kind", "precision"])["value"]
    of_samples = found[found["step"].isin(["dropout-p", "dropout-p, one by one", "re-ranking dropout-p"])]
    cost = one_best.loc[list(zip(of_samples["kind"], of_samples["precision"]))].to_numpy() / of_samples["value"]
    return of_samples[["kind", "precision", "step", "num_candidates"]].assign(cost=cost).reset_index(drop=True)


def _others(found: pd.DataFrame, row: Any) -> dict[str, float]:
    """Speeds of the same parser's steps."""
    of_parser = found[(found["kind"] == row.kind) & (found["precision"] == row.precision)]
    return dict(zip(of_parser["step"], of_parser["value"]))


def _cells(row: Any, of_step: Mapping[str, float]) -> list[dict[str, object]]:
    cell = {"group": row.kind, "row": step_name(row.step), "level": row.precision}
    paper = paper_speed(row.kind, row.step)
    return [
        cell | {"metric": "speed", "value": row.value, "unit": "sentences/s", "paper": paper},
        cell | {"metric": "of encoder", "value": row.value / of_step["encoder"], "unit": "%", "paper": None},
        cell | {"metric": "of 1-best", "value": row.value / of_step["1-best"], "unit": "%", "paper": None},
    ]
