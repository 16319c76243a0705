"""JSON Lines: gold, old and new of any task with exact match in one file; and the logs of other tools as such lines."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Int64

from bcrlib.comparison.update import JSON_LINES, SIDES, ItemsError, TextView, Update, make_levels
from bcrlib.data.files import FilePath, InputFile, decoded, read_input
from bcrlib.data.presets import Preset
from bcrlib.metrics.breakdowns import Slices, by_tag, merge_rare

LM_EVAL = "lm-eval"
METRICS = ("exact_match", "acc", "em", "pass@1", "acc_norm")
"""Of lm-eval, those that say of a sample whether it is right; the first that is there counts."""


def read_items(items: FilePath, preset: Preset) -> Update:
    """The update in one file of JSON Lines, an item a line; its only level is EM, whatever the preset.

        {"id": "q1", "gold": "Paris", "old": "Paris", "new": "Lyon", "old_seeds": ["Paris", "Rome"],
         "slices": {"language": "en"}}

    (on one line).  `id`: text or a whole number; several lines with one are runs of the models, as many for every id.
    `gold`, `old`, `new`: any JSON values (`is_same`); `new` may be left out, which is wrong.  `old_seeds`, `new_seeds`:
    what further seeds say, equally many on every line.  `cluster`: the document or conversation, text or a whole
    number, on every line or on none; items of one count together in intervals.  `slices`: names with text, a number or
    a boolean.

    Raises ItemsError, with file, line and fault, for bad UTF-8, a line that is no such object, NaN and numbers out of
    range anywhere in it, a key twice, ids with unequal runs, a line without gold or old, and where no line has new;
    ValueError for a file of another format; OSError.  O(bytes).
    """
    return items_of(read_input(items), preset)


def items_of(file: InputFile, preset: Preset) -> Update:
    """`read_items` of a file's content."""
    if file.content[:1] != b"{" and file.format is not None:
        raise ValueError(f"{file.name} holds {file.format}; give it with --gold, --old and --new")
    text = decoded(file.content, file.name, ItemsError).rstrip()
    if not text:
        raise ItemsError(file.name, 1, "the file is empty; it must hold at least one item")
    lines = text.split("\n")
    names: list[str] = []
    answers: list[tuple[list[bool], list[bool]]] = []  # [line] of old, of new
    slices: list[dict[str, str]] = []
    missing: list[bool] = []
    clusters: list[str | None] = []
    for number, line in enumerate(lines, 1):
        try:
            record = _object(line)
            name, right = _judged(record)
            names.append(name)
            answers.append(right)
            for side, here, first in zip(("old", "new"), right, answers[0]):
                if len(here) != len(first):
                    raise ValueError(f"{len(here) - 1} {side}_seeds, but {len(first) - 1} in the first line")
            missing.append("new" not in record)
            clusters.append(_cluster(record))
            if (clusters[-1] is None) != (clusters[0] is None):
                raise ValueError("'cluster' on some lines only")
            slices.append(_slices(record))
        except json.JSONDecodeError as error:
            raise ItemsError(file.name, number, f"not JSON: {error if line.strip() else 'an empty line'}") from None
        except RecursionError:
            raise ItemsError(file.name, number, "brackets nested too deeply") from None
        except ValueError as error:
            raise ItemsError(file.name, number, str(error)) from None
    if all(missing):
        raise ItemsError(file.name, 1, "no line of the file has a key 'new'")

    ids, lines_of = _lines_of_items(file.name, names)
    one_old = _has_one_old_run(file.name, lines, lines_of)
    old, new = (np.array(side)[lines_of] for side in zip(*answers))  # [item, run, seed]
    num_seeds = new.shape[2]

    def by_name() -> dict[str, dict[str, Slices]]:
        of_items = [slices[line] for line in lines_of[:, 0]]
        breakdowns = dict.fromkeys(name for named in of_items for name in named)
        return {"EM": {b: merge_rare(by_tag([named.get(b, "") for named in of_items])) for b in breakdowns}}

    def view(item: int, run: int = 0) -> TextView:
        record = _object(lines[lines_of[item, run // num_seeds]])
        if seed := run % num_seeds:
            record["new"] = record["new_seeds"][seed - 1]
        values = (json.dumps(record[key], ensure_ascii=False) if key in record else None for key in SIDES)
        return TextView(tuple(values))

    old, new = ([{"EM": run} for run in s.reshape(len(ids), -1).T] for s in (old[:, :1] if one_old else old, new))
    levels = make_levels({"EM": np.arange(len(ids))}, len(ids), old, new)
    without_new = np.array(missing)[lines_of].all(axis=1)
    update = Update(JSON_LINES, "id", ids, without_new, levels, preset, by_name, view, {})
    for first, *further in lines_of.tolist():
        if other := next((line for line in further if clusters[line] != clusters[first]), None):
            raise ItemsError(file.name, other + 1, f"another cluster than the same id has in line {first + 1}")
    named = [clusters[line] for line in lines_of[:, 0]]
    number_of = {name: number for number, name in enumerate(dict.fromkeys(named))}
    return replace(update, clusters=np.array([number_of[name] for name in named]) if None not in number_of else None)


def _lines_of_items(name: str, ids: Sequence[str]) -> tuple[list[str], Int64[np.ndarray, "item run"]]:
    """The items in the order in which they come first, and the lines (from 0) of their runs; ids: [line].

    Every item has as many runs; else ItemsError, which names the file and an id that stands too often.  O(lines).
    """
    counts = Counter(ids)
    if len(set(counts.values())) > 1:
        first: dict[str, int] = {}
        at = next(line for line, one in enumerate(ids) if first.setdefault(one, line) != line)
        other = next(one for one in ids if counts[one] != counts[ids[at]])
        told = (
            f"the id {ids[at]!r} a second time; the first is in line {first[ids[at]] + 1}. Lines with one id are runs "
        )
        told += f"of the models, as many for every id, but it stands {counts[ids[at]]} times, {other!r} {counts[other]}"
        raise ItemsError(name, at + 1, told)
    number_of = {one: number for number, one in enumerate(counts)}
    items = np.fromiter(map(number_of.__getitem__, ids), np.int64, len(ids))
    return list(counts), items.argsort(kind="stable").reshape(len(counts), -1)


def _has_one_old_run(name: str, lines: Sequence[str], lines_of: Int64[np.ndarray, "item run"]) -> bool:
    """Whether all lines of every item have the same old answers: the old model then ran once.

    ItemsError for another gold answer than in the item's first line.  O(lines).
    """
    one_old = True
    for first, *further in lines_of.tolist() if lines_of.shape[1] > 1 else []:
        expected = _object(lines[first])
        for line in further:
            found = _object(lines[line])
            if not is_same(found["gold"], expected["gold"]):
                raise ItemsError(name, line + 1, f"another gold answer than the same id has in line {first + 1}")
            one_old &= all(is_same(found.get(key), expected.get(key)) for key in ("old", "old_seeds"))
    return one_old


def is_same(first: Any, second: Any) -> bool:
    """Whether two JSON values have the same type and content: 1 is 1.0 but not true, the order of keys is no matter.

    RecursionError for deep ones.  O(size).
    """
    if isinstance(first, bool) or isinstance(second, bool):
        return first is second
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(is_same, first, second))
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(is_same(value, second[key]) for key, value in first.items())
    return first == second


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        ((twice, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return found


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON value")


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text} is out of range")
    return number


_DECODER = json.JSONDecoder(object_pairs_hook=_members, parse_constant=_refuse_constant, parse_float=_number)


def _object(line: str) -> dict[str, Any]:
    record = _DECODER.decode(line)
    if not isinstance(record, dict):
        hint = "; jq -c '.[]' makes lines of a list" if isinstance(record, list) else ""
        raise ValueError(f"the line is not a JSON object{hint}")
    return record


def _judged(record: dict[str, Any]) -> tuple[str, tuple[list[bool], list[bool]]]:
    """The id of an item, and whether old and new, each with its further seeds, are right; ValueError with the fault."""
    for key in ("id", "gold", "old"):
        if key not in record:
            told = "; these are samples of lm-eval: --from lm-eval --old FILE --new FILE" if "doc_id" in record else ""
            raise ValueError(f"no key {key!r}{told}")
    name, gold = record["id"], record["gold"]
    if isinstance(name, bool) or not isinstance(name, (str, int)) or name == "":
        raise ValueError(f"the id {name!r} is neither text nor a whole number")
    right = []
    for side in ("old", "new"):
        if not isinstance(seeds := record.get(f"{side}_seeds", []), list):
            raise ValueError(f"'{side}_seeds' is not a list")
        right.append([side in record and is_same(record[side], gold), *(is_same(seed, gold) for seed in seeds)])
    return _encodable(str(name)), tuple(right)


def _cluster(record: dict[str, Any]) -> str | None:
    """The document or conversation that the item comes from; None where none is named."""
    cluster = record.get("cluster")
    if "cluster" in record and (isinstance(cluster, bool) or not isinstance(cluster, (str, int))):
        raise ValueError(f"the cluster {cluster!r} is neither text nor a whole number")
    return None if cluster is None else str(cluster)


def _slices(record: dict[str, Any]) -> dict[str, str]:
    slices = record.get("slices", {})
    if not isinstance(slices, dict):
        raise ValueError("'slices' is not an object")
    for breakdown, value in slices.items():
        if not isinstance(value, (str, int, float)):
            raise ValueError(f"the slice {breakdown!r} is neither text nor a number nor a boolean")
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in slices.items()}
    return {_encodable(name): _encodable(text) for name, text in texts.items()}


def _encodable(text: str) -> str:
    """The text with halves of characters, which JSON can spell but no encoding has, as escapes."""
    return text if text.isprintable() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def read_logs(old: FilePath, new: FilePath, preset: Preset) -> Update:
    """The update in the samples that lm-eval logged (`--log_samples`) of an old and of a new model, one a line.

    An item is a `doc_id`; it is right where its metric, the first of `METRICS`, is 1. Of several filters the first in
    the file counts, which is noted. A sample that the new log lacks is wrong.  Raises ItemsError for a line that is not
    a sample, a metric that is neither 0 nor 1, a sample that the old log lacks; OSError.  O(bytes).
    """
    (olds, old_notes), (news, new_notes) = (_samples(read_input(path)) for path in (old, new))
    if unknown := [one for one in news if one not in olds]:
        raise ItemsError(str(new), 1, f"the old log has no doc_id {unknown[0]!r}")
    lines = []
    for name, (target, answer) in olds.items():
        if name in news and not is_same(news[name][0], target):
            raise ItemsError(str(new), 1, f"doc_id {name!r} has another target than in {old}: it is another item")
        record = {"id": name, "gold": target, "old": answer}
        lines.append(json.dumps(record | ({"new": news[name][1]} if name in news else {})))
    update = items_of(InputFile(str(old), "\n".join(lines).encode()), preset)
    return replace(update, aligned_by="doc_id", notes=[*old_notes, *new_notes])


def _samples(file: InputFile) -> tuple[dict[str, tuple[Any, Any]], list[str]]:
    """doc_id -> the target, and it again where the sample is right, else the response, marked as wrong; notes."""
    found: dict[str, tuple[Any, Any]] = {}
    filters: dict[str, None] = {}
    text = decoded(file.content, file.name, ItemsError).rstrip()
    if not text:
        raise ItemsError(file.name, 1, "the file is empty; it must hold at least one sample")
    for number, line in enumerate(text.split("\n"), 1):
        try:
            record = _object(line)
            metric = next((name for name in METRICS if name in record), None)
            if "doc_id" not in record or "target" not in record or metric is None:
                raise ValueError(f"not a sample of lm-eval: doc_id, target and one of {', '.join(METRICS)} are needed")
            if record[metric] not in (0, 1):
                raise ValueError(f"{metric} is {record[metric]!r}, neither 0 nor 1")
            filters[chosen := str(record.get("filter"))] = None
            if chosen != next(iter(filters)):
                continue
            name = str(record["doc_id"])
            if name in found:
                raise ValueError(f"the doc_id {name!r} a second time")
            wrong = {"wrong": record.get("filtered_resps", record.get("resps"))}
            found[name] = record["target"], record["target"] if record[metric] else wrong
        except RecursionError:
            raise ItemsError(file.name, number, "brackets nested too deeply") from None
        except ValueError as error:
            raise ItemsError(file.name, number, str(error)) from None
    first, *others = filters
    ignored = f"{file.name}: the filter {first!r} counts, not {', '.join(map(repr, others))}"
    return found, [ignored] if others else []
