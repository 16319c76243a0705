"""From files to an update: trees in CoNLL-U or frames in rows of TOP, read and aligned in one way, or JSON Lines.

Predictions must have gold's words in every item.  Items are brought together by their ids where files have some
(`# sent_id`), else by their order.  A file of JSON Lines has gold and both predictions of any task with exact match.
"""

import json
import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, takewhile
from typing import Any

import numpy as np
from jaxtyping import Int64

from bcrlib.comparison.runs import has_one_old_run, is_same, lines_of_items
from bcrlib.comparison.verdict import JSON_LINES, SIDES, ItemsError, TextView, TreeView, Update, make_levels
from bcrlib.data.files import CONLLU, TOP, InputFile, decoded, read_input
from bcrlib.data.frames import FrameBank, Node, TopError, parse_predicted_top, parse_top
from bcrlib.data.presets import Preset
from bcrlib.data.treebank import ConlluError, Treebank, parse_conllu
from bcrlib.metrics import attachment, frames
from bcrlib.metrics.breakdowns import Slices, by_tag, frame_slices, merge_rare, tree_slices

Path = str | os.PathLike[str]
Paths = Sequence[Path]
MISSING_HEAD, MISSING_RELATION = -1, ""  # gold has neither
TOLD = {
    CONLLU: ("sentences", "sentence {item}", "sentence {item}, word {word}"),
    TOP: ("rows", "the utterance", "word {word} of the utterance"),
}


@dataclass(frozen=True, eq=False)
class Items:
    """The items of one file, sentences or utterances, as alignment sees them."""

    name: str
    format: str
    words: Sequence[Sequence[str]]
    trees: Treebank | Sequence[Node | None]
    ids: Sequence[str] | None = None
    """None: to be brought together by order."""
    texts: Sequence[str] = ()
    """Of frames, also of what is no tree."""

    def line(self, item: int, word: int | None = None) -> int:
        """Where in the file an item begins, or a word of it stands; from 0, the last word is -1.  O(1)."""
        if self.format == TOP:
            return item + 1
        # The source lines leave out the one blank line behind each earlier sentence.
        source, offsets = self.trees.source, self.trees.offsets
        if word is None:
            return int(source.line_offsets[item]) + item + 1
        return int(source.line_of_token[offsets[item + (word < 0)] + word]) + item + 1

    def fault(self, line: int, text: str) -> ValueError:
        """The error to raise for a fault in the file."""
        return (TopError if self.format == TOP else ConlluError)(self.name, line, text)


def read_update(
    gold: Path, old: Path, new: Path, old_seeds: Paths, preset: Preset, by_id: bool = True, new_seeds: Paths = ()
) -> Update:
    """The update in files of the predictions of an old and a new model, and of further seeds of both.

    The gold file says which task it is.  CoNLL-U is aligned by `# sent_id` (by order where no file has one, or not
    `by_id`), TOP by row.  A sentence of gold that the new file lacks is wrong under the new model.

    Raises ConlluError or TopError, with file, line and fault, for a malformed file, an id on some sentences or in some
    files only, an id twice, an item that gold does not have, one of gold that the old file (or a seed) lacks, other
    words than gold's, and for gold trees without a word that counts.  A prediction that is no frame is none of these.
    ValueError for predictions of another task than gold's, and by id for JSON Lines; OSError.  O(bytes).
    """
    for file in (files := [read_input(path) for path in (gold, old, new, *old_seeds, *new_seeds)]):
        if by_id and file.content[:1] == b"{":
            raise ValueError(f"{file.name} holds JSON Lines; gold, old and new stand in one such file, given alone")
    return update_of(files, preset, by_id, len(new_seeds))


def update_of(files: Sequence[InputFile], preset: Preset, by_id: bool = True, num_new_seeds: int = 0) -> Update:
    """`read_update` of the contents of gold, old, new and further seeds of old, the last so many of new."""
    if _common_format(files) == TOP:
        gold, *models = [_frames(file, is_gold=place == 0) for place, file in enumerate(files)]
        judge = _judge_frames
    else:
        gold, *models = [_trees(file, by_id) for file in files]
        judge = _judge_trees
    num_old = len(models) - num_new_seeds
    numbers = [_align(gold, items, may_lack=place == 1 or place >= num_old) for place, items in enumerate(models)]
    return judge(gold, models, numbers, preset, num_old)


def read_must_not_break(path: Path) -> dict[str, str]:
    """The ids in a file, one a line, with their places; blank lines and lines that begin with "#" are none.

    Raises ItemsError, with the line, for bad UTF-8 and for an id that stands twice; OSError.  O(bytes).
    """
    file, found = read_input(path), {}
    for number, line in enumerate(decoded(file.content, file.name, ItemsError).split("\n"), 1):
        name = line.strip()
        if name in found:
            raise ItemsError(file.name, number, f"the id {name!r} a second time; the first is {found[name]}")
        if name and not name.startswith("#"):
            found[name] = f"{file.name}:{number}"
    return found


def _common_format(files: Sequence[InputFile]) -> str:
    """That of the gold file, the first.

    One that is neither is left to the reader of CoNLL-U, unless it might have been meant as TOP: two or three columns.
    """
    gold = files[0]
    if gold.format is None and len(gold.first_cells) in (2, 3):
        raise ValueError(
            f"{gold.name}:1: {len(gold.first_cells)} tab-separated columns, the last not beginning with '[': "
            f"neither a row of TOP nor one of CoNLL-U, which has 10"
        )
    found = gold.format or CONLLU
    for predicted in files[1:]:
        if predicted.format not in (found, None):
            raise ValueError(f"{predicted.name}:1: a row of {predicted.format}, but the gold file is {found}")
    return found


def _align(gold: Items, predicted: Items, may_lack: bool) -> Int64[np.ndarray, "item"]:
    """For every predicted item the number of gold's."""
    items, item_called, word_called = TOLD[gold.format]
    has_ids = gold.ids is not None or predicted.ids is not None
    numbers = _by_id(gold, predicted, may_lack) if has_ids else range(min(len(gold.words), len(predicted.words)))
    for item, number in enumerate(numbers):
        expected, words = gold.words[number], predicted.words[item]
        if words != expected:
            called = repr(gold.ids[number]) if has_ids else item + 1
            word = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(expected, words)))
            if word < min(len(expected), len(words)):
                fault = f"{word_called.format(item=called, word=word + 1)}: {words[word]!r}"
                raise predicted.fault(predicted.line(item, word), f"{fault}, in the gold file {expected[word]!r}")
            fault = f"{item_called.format(item=called)} has {len(words)} words, in the gold file {len(expected)}"
            raise predicted.fault(predicted.line(item, min(word, len(words) - 1)), fault)
    if not has_ids and len(gold.words) != len(predicted.words):
        fault = f"the file has {len(predicted.words)} {items}, the gold file {len(gold.words)}"
        raise predicted.fault(predicted.line(len(predicted.words) - 1, -1), fault)
    return np.array(numbers, dtype=np.int64)


def _by_id(gold: Items, predicted: Items, may_lack: bool) -> list[int]:
    if gold.ids is None or predicted.ids is None:
        with_ids, without = (predicted, gold) if gold.ids is None else (gold, predicted)
        fault = f"no '# sent_id' in this file, though {with_ids.name} has them; keep them in all files or in none"
        raise without.fault(1, fault)
    number_of = {name: number for number, name in enumerate(gold.ids)}
    for item, name in enumerate(predicted.ids):
        if name not in number_of:
            raise predicted.fault(predicted.line(item), f"the gold file {gold.name} has no sent_id {name!r}")
    numbers = [number_of[name] for name in predicted.ids]
    if (lacking := sorted(set(number_of.values()) - set(numbers))) and not may_lack:
        place = f"{gold.ids[lacking[0]]!r} ({gold.name}:{gold.line(lacking[0])})"
        fault = f"{len(lacking):,} sentences of the gold file are not here, the first is {place}"
        raise predicted.fault(predicted.line(len(numbers) - 1, -1), fault)
    return numbers


def _trees(file: InputFile, by_id: bool) -> Items:
    treebank = parse_conllu(file.content, file.name)
    bounds = treebank.offsets.tolist()
    words = [treebank.forms[start:end] for start, end in pairwise(bounds)]
    items = Items(file.name, CONLLU, words, treebank)
    return replace(items, ids=_sent_ids(items)) if by_id else items


def _sent_ids(items: Items) -> list[str] | None:
    """The ids of all sentences, or None where none has one.

    Raises ConlluError for ids on some sentences only, an empty one, one that stands twice on a sentence or on two.
    """
    ids = [_sent_id(items, sentence) for sentence in range(len(items.words))]
    if not any(ids):
        return None
    line_of: dict[str, int] = {}
    for sentence, name in enumerate(ids):
        line = items.line(sentence)
        if name is None:
            raise items.fault(line, f"sentence {sentence + 1} has no '# sent_id', though others of the file have one")
        if name in line_of:
            raise items.fault(line, f"sent_id {name!r} a second time; the first is in line {line_of[name]}")
        line_of[name] = line
    return ids


def _sent_id(items: Items, sentence: int) -> str | None:
    """What the comments of a sentence say."""
    source = items.trees.source
    found, at = None, int(source.line_offsets[sentence])
    while (line := source.lines[at])[0] == "#":
        key, _, value = line.partition("=")
        if "sent_id" in key and key[1:].strip() == "sent_id":
            value = value.strip()
            if found or not value:
                fault = "a second sent_id of the same sentence" if value else "an empty sent_id"
                raise items.fault(at + sentence + 1, fault)
            found = value
        at += 1
    return found


def _judge_trees(
    gold: Items, predicted: Sequence[Items], numbers: Sequence[np.ndarray], preset: Preset, num_old: int
) -> Update:
    bank, num_items = gold.trees, len(gold.words)
    if not attachment.scored_words(bank, preset).any():
        raise gold.fault(1, f"no word that counts under preset {preset.name!r} in the whole file")
    models = [_over_gold(bank, items.trees, at) for items, at in zip(predicted, numbers)]
    right = [attachment.treebank_correctness(bank, model, preset) for model in models]
    units = attachment.scored_units(bank, preset).sentence_of_unit
    levels = make_levels(units, num_items, right[:num_old], right[num_old:])
    missing = np.ones(num_items, dtype=bool)
    missing[numbers[1]] = False

    def view(sentence: int, run: int = 0) -> TreeView:
        words = slice(*bank.offsets[sentence : sentence + 2].tolist())
        shown = bank, models[0], models[num_old + run - 1 if run else 1]
        correct, old, new = (list(zip(b.heads[words].tolist(), b.relations[words])) for b in shown)
        return TreeView(bank.forms[words], bank.upos[words], correct, old, None if missing[sentence] else new)

    by = "sent_id" if gold.ids else "their order, since no file has '# sent_id'"
    ids = gold.ids or [str(i + 1) for i in range(num_items)]
    return Update(CONLLU, by, ids, missing, levels, preset, lambda: tree_slices(bank, preset), view, {})


def _over_gold(gold: Treebank, predicted: Treebank, numbers: Int64[np.ndarray, "sentence"]) -> Treebank:
    """The predicted trees over gold's words, in gold's order; in a sentence that is missing nothing is gold's."""
    tokens = np.arange(predicted.num_tokens)
    tokens += np.repeat(gold.offsets[numbers] - predicted.offsets[:-1], predicted.lengths)
    heads = np.full(gold.num_tokens, MISSING_HEAD, dtype=np.int32)
    relations = np.full(gold.num_tokens, MISSING_RELATION, dtype=object)
    heads[tokens], relations[tokens] = predicted.heads, predicted.relations
    return gold.with_trees(heads, relations.tolist())


def _frames(file: InputFile, is_gold: bool) -> Items:
    if is_gold:
        bank = parse_top(file.content, file.name)
        words, frames = bank.utterances, bank.frames
    else:
        words, frames = parse_predicted_top(file.content, file.name)
    texts = [row.rpartition("\t")[2] for row in file.content.decode().removesuffix("\n").split("\n")]
    return Items(file.name, TOP, words, frames, texts=texts)


def _judge_frames(
    gold: Items, predicted: Sequence[Items], numbers: Sequence[np.ndarray], preset: Preset, num_old: int
) -> Update:
    bank, num_items = FrameBank(gold.words, gold.trees), len(gold.words)
    right = [frames.frame_correctness(bank, items.trees, preset) for items in predicted]
    units = frames.scored_units(bank, preset).sentence_of_unit
    levels = make_levels(units, num_items, right[:num_old], right[num_old:])
    num_invalid = {f"num_invalid_{name}": items.trees.count(None) for name, items in zip(("old", "new"), predicted)}

    def view(row: int, run: int = 0) -> TextView:
        shown = gold, predicted[0], predicted[num_old + run - 1 if run else 1]
        return TextView([file.texts[row] for file in shown], gold.words[row], [file.trees[row] for file in shown])

    ids, missing = [str(i + 1) for i in range(num_items)], np.zeros(num_items, dtype=bool)
    return Update(TOP, "their row", ids, missing, levels, preset, lambda: frame_slices(bank), view, num_invalid)


def read_items(items: Path, preset: Preset) -> Update:
    """The update in one file of JSON Lines, an item a line; its only level is EM, whatever the preset.

        {"id": "q1", "gold": "Paris", "old": "Paris", "new": "Lyon", "old_seeds": ["Paris", "Rome"],
         "slices": {"language": "en"}}

    (on one line).  `id`: text or a whole number; several lines with one are runs of the models, as many for every id.
    `gold`, `old`, `new`: any JSON values (`is_same`); `new` may be left out, which is wrong.  `old_seeds`, `new_seeds`:
    what further seeds say, equally many on every line.  `slices`: names with text, a number or a boolean.

    Raises ItemsError, with file, line and fault, for bad UTF-8, a line that is no such object, NaN and numbers out of
    range anywhere in it, a key twice, ids with unequal runs, a line without gold or old, and where no line has new;
    ValueError for a file of another format; OSError.  O(bytes).
    """
    file = read_input(items)
    if file.content[:1] != b"{" and file.format is not None:
        raise ValueError(f"{file.name} holds {file.format}; give it with --gold, --old and --new")
    text = decoded(file.content, file.name, ItemsError)
    if not text:
        raise ItemsError(file.name, 1, "the file is empty; it must hold at least one item")
    if text.startswith("\ufeff"):
        raise ItemsError(file.name, 1, "byte order mark before the first line")
    lines = text.removesuffix("\n").split("\n")
    names: list[str] = []
    answers: list[tuple[list[bool], list[bool]]] = []  # [line] of old, of new
    slices: list[dict[str, str]] = []
    missing: list[bool] = []
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
            slices.append(_slices(record))
        except json.JSONDecodeError as error:
            raise ItemsError(file.name, number, f"not JSON: {error}") from None
        except RecursionError:
            raise ItemsError(file.name, number, "brackets nested too deeply") from None
        except ValueError as error:
            raise ItemsError(file.name, number, str(error)) from None
    if all(missing):
        raise ItemsError(file.name, 1, "no line of the file has a key 'new'")

    ids, lines_of = lines_of_items(file.name, names)
    one_old = has_one_old_run(file.name, lines_of, lambda line: _object(lines[line]))
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
    levels = make_levels({"EM": np.arange(len(ids))}, len(ids), [old[0], new[0], *old[1:]], new[1:])
    without_new = np.array(missing)[lines_of].all(axis=1)
    return Update(JSON_LINES, "id", ids, without_new, levels, preset, by_name, view, {})


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
        raise ValueError("the line is not a JSON object")
    return record


def _judged(record: dict[str, Any]) -> tuple[str, tuple[list[bool], list[bool]]]:
    """The id of an item, and whether old and new, each with its further seeds, are right; ValueError with the fault."""
    for key in ("id", "gold", "old"):
        if key not in record:
            raise ValueError(f"no key {key!r}")
    name, gold = record["id"], record["gold"]
    if isinstance(name, bool) or not isinstance(name, (str, int)) or name == "":
        raise ValueError(f"the id {name!r} is neither text nor a whole number")
    right = []
    for side in ("old", "new"):
        if not isinstance(seeds := record.get(f"{side}_seeds", []), list):
            raise ValueError(f"'{side}_seeds' is not a list")
        right.append([side in record and is_same(record[side], gold), *(is_same(seed, gold) for seed in seeds)])
    return _encodable(str(name)), tuple(right)


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
