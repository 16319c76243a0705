"""From files to an update: trees in CoNLL-U or frames in rows of TOP, read and aligned in one way, or JSON Lines.

Predictions must have gold's words in every item.  Items are brought together by their ids where files have some
(`# sent_id`), else by their order: also where ids of one file are of no use and all words agree, which is noted.
"""

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from unicodedata import category, normalize

import numpy as np
from jaxtyping import Int64

from bcrlib.comparison.update import TextView, TreeView, Update, make_levels
from bcrlib.data.files import CONLLU, STANDARD, TOP, TOPV2_HEADER, InputFile, num_shared, read_input, unlike
from bcrlib.data.frames import FrameBank, FrameError, Node, frame_words
from bcrlib.data.presets import Preset
from bcrlib.data.top import TopError, parse_predicted_top, parse_top, predicted_frame
from bcrlib.data.treebank import ConlluError, Treebank, parse_conllu
from bcrlib.metrics import attachment, frames
from bcrlib.metrics.breakdowns import frame_slices, tree_slices

Path = str | os.PathLike[str]
Paths = Sequence[Path]
ALIGNMENTS = ("id", "order")
WAY_OUT = "; --align order brings sentences together by their place"
NUM_LOOKED_AT = 100  # frames
LONGEST = 60  # characters of a relation in a note
# By its '#', which is rare, and behind no other letter of its line: '^' would be tried at every byte.
SENT_ID = re.compile(rb"#(?<![^\n]#)[^\S\n]*sent_id[^\S\n]*(?:=([^\n]*))?\n")
NEW_DOCUMENT = re.compile(rb"^#([^\n]*?)newdoc", re.MULTILINE)
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
    trees: Treebank | Sequence[Node | None]
    utterances: Sequence[Sequence[str]] = ()
    """Of TOP: their words."""
    ids: Sequence[str] | None = None
    """None: there are none, or none of use."""
    unusable: ValueError | None = None
    """What is wrong with the ids that there are."""
    first_line: int = 1
    """Of TOP: where rows begin."""
    texts: Sequence[str] = ()
    """Of frames, also of what is not a tree."""

    @cached_property
    def words(self) -> Sequence[Sequence[str]]:
        """[item][word].  O(items) the first time."""
        return self.utterances if self.format == TOP else self.trees.words

    def line(self, item: int, word: int | None = None) -> int:
        """Where in the file an item begins, or a word of it stands; from 0, the last word is -1.  O(1)."""
        if self.format == TOP:
            return item + self.first_line
        source, offsets = self.trees.source, self.trees.offsets
        if word is None:
            return int(source.line_offsets[item]) + 1
        return int(source.line_of_token[offsets[item + (word < 0)] + word]) + 1

    def fault(self, line: int, text: str) -> ValueError:
        """The error to raise for a fault in the file."""
        return (TopError if self.format == TOP else ConlluError)(self.name, line, text)


def read_update(
    gold: Path,
    old: Path,
    new: Path,
    old_seeds: Paths,
    preset: Preset,
    align: str | None = None,
    new_seeds: Paths = (),
    subtypes: bool = True,
) -> Update:
    """The update in files of the predictions of an old and a new model, and of further seeds of both.

    The gold file says which task it is.  align: "id", CoNLL-U by `# sent_id`; "order"; None: by id where files have
    them, else by order, with a note where one file's ids are of no use. TOP is aligned by row.  A sentence of gold that
    the new file lacks is wrong under the new model.  subtypes: whether "nsubj:pass" is another relation than "nsubj".

    Raises ConlluError or TopError, with file, line and fault, for a malformed file, ids that do not bring sentences
    together, an item that gold does not have, one of gold that the old file (or a seed) lacks, other words than gold's,
    and for gold trees without a word that counts.  A malformed frame is a wrong prediction.  ValueError for predictions
    of another task than gold's, an unknown alignment, standard input twice, and for JSON Lines; OSError.  O(bytes).
    """
    if align not in (None, *ALIGNMENTS):
        raise ValueError(f"unknown alignment {align!r}; choose one of {', '.join(ALIGNMENTS)}")
    paths = (gold, old, new, *old_seeds, *new_seeds)
    if [str(path) for path in paths].count(STANDARD) > 1:
        raise ValueError("standard input (-) can be only one of the files")
    for file in (files := [read_input(path) for path in paths]):
        if file.format is None and file.content.lstrip().startswith((b"{", b"[{")):
            raise ValueError(
                f"{file.name} holds JSON Lines; gold, old and new stand in one such file: bcr compare ITEMS.jsonl"
            )
    return update_of(files, preset, align, len(new_seeds), subtypes)


def update_of(
    files: Sequence[InputFile],
    preset: Preset,
    align: str | None = None,
    num_new_seeds: int = 0,
    subtypes: bool = True,
) -> Update:
    """`read_update` of the contents of gold, old, new and further seeds of old, the last so many of new."""
    notes: list[str] = []
    if _common_format(files) == TOP:
        gold, *models = [_frames(file, place == 0, notes) for place, file in enumerate(files)]
    else:
        gold, *models = [_trees(file, align, subtypes) for file in files]
        preset = _without_upos(gold, preset, notes)
        for items in models:
            notes += _strange_relations(gold, items)
    num_old = len(models) - num_new_seeds
    numbers = [_align(gold, items, place == 1 or place >= num_old, align, notes) for place, items in enumerate(models)]
    judge = _judge_frames if gold.format == TOP else _judge_trees
    update = judge(gold, models, [of_gold for of_gold, _ in numbers], preset, num_old)
    if gold.format == CONLLU:
        has_ids = any(items.ids or items.unusable for items in (gold, *models))
        by_order = "their order" if has_ids else "their order, since no file has '# sent_id'"
        update = replace(update, aligned_by="sent_id" if all(by_id for _, by_id in numbers) else by_order)
    return replace(update, notes=notes, subtypes=subtypes)


def _without_upos(gold: Items, preset: Preset, notes: list[str]) -> Preset:
    """The definitions that can be applied: without UPOS, or under other tags than those of UD, nothing is left out."""
    upos = gold.trees.upos
    if not preset.punct_exclude:
        return preset
    if not (bare := upos.count("_")):
        forms = Counter(gold.trees.forms if preset.punct_exclude.isdisjoint(upos) else ())
        marks = sum(n for form, n in forms.items() if all(category(letter)[0] == "P" for letter in form))
        if marks:
            tags = " or ".join(sorted(preset.punct_exclude))
            notes.append(
                f"{marks:,} words of {gold.name} look like punctuation, but none has the UPOS {tags}: they count"
            )
            return replace(preset, punct_exclude=frozenset())
        return preset
    if bare == len(upos):
        notes.append(f"{gold.name} has no UPOS, so that no punctuation is left out: every word counts")
        return replace(preset, punct_exclude=frozenset())
    notes.append(f"{bare:,} of {len(upos):,} words of {gold.name} have no UPOS; they count, also as punctuation")
    return preset


def _strange_relations(gold: Items, items: Items) -> list[str]:
    """A note for each of the commonest relations that gold never has."""
    known = set(gold.trees.relations)
    strange = Counter(relation for relation in items.trees.relations if relation not in known).most_common(3)
    of_case = {relation.lower(): relation for relation in known}
    hint = {relation: of_case.get(relation.lower()) for relation, _ in strange}
    return [
        f"{items.name}: {count:,} word{'s have' if count > 1 else ' has'} the relation {relation[:LONGEST]!r}, "
        "which gold never has" + (f" (it has {hint[relation]!r})" if hint[relation] else "")
        for relation, count in strange
    ]


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
    is_spaced = gold.format is None and b" [IN:" in gold.first_cells[0]  # for the reader of TOP to refuse
    found = TOP if is_spaced else gold.format or CONLLU
    for predicted in files[1:]:
        if predicted.format not in (found, None):
            raise ValueError(f"{predicted.name}:1: a row of {predicted.format}, but the gold file is {found}")
    return found


def _align(
    gold: Items, predicted: Items, may_lack: bool, align: str | None, notes: list[str]
) -> tuple[Int64[np.ndarray, "item"], bool]:
    """For every predicted item the number of gold's; whether ids say so."""
    items, item_called, word_called = TOLD[gold.format]
    has_ids = bool(gold.ids or predicted.ids or gold.unusable or predicted.unusable)
    has_ids = (align == "id" and gold.format == CONLLU) or (has_ids and align != "order")
    if has_ids and (fault := _ids_fault(gold, predicted, align)):
        if align == "id" or not _agree(gold, predicted):
            raise fault
        notes.append(f"{predicted.name} is brought together with gold by order, where all words agree, for {fault}")
        has_ids = False
    num_items = len(predicted.trees)
    numbers = _by_id(gold, predicted, may_lack) if has_ids else range(min(len(gold.trees), num_items))
    in_order = np.array_equal(numbers, np.arange(len(gold.trees)))
    for item, number in enumerate(() if in_order and _agree(gold, predicted) else numbers):
        expected, words = gold.words[number], predicted.words[item]
        if words != expected:
            called = repr(gold.ids[number]) if has_ids else item + 1
            word = num_shared(expected, words)
            way_out = WAY_OUT if has_ids and align is None and _agree(gold, predicted) else ""
            if word < min(len(expected), len(words)):
                place = word_called.format(item=called, word=word + 1)
                fault = f"{place}: {unlike(words[word], expected[word], 'gold file')}{way_out}"
                raise predicted.fault(predicted.line(item, word), fault)
            fault = (
                f"{item_called.format(item=called)} has {len(words)} words, in the gold file {len(expected)}{way_out}"
            )
            raise predicted.fault(predicted.line(item, min(word, len(words) - 1)), fault)
    if not has_ids and len(gold.trees) != num_items:
        fault = f"the file has {num_items} {items}, the gold file {len(gold.trees)}"
        raise predicted.fault(predicted.line(num_items - 1, -1), fault)
    return np.array(numbers, dtype=np.int64), has_ids


def _agree(gold: Items, predicted: Items) -> bool:
    """Whether all words agree in the order of the files."""
    if gold.format == TOP:
        return list(map(list, gold.words)) == list(map(list, predicted.words))
    first, second = gold.trees, predicted.trees
    return first.forms == second.forms and np.array_equal(first.offsets, second.offsets)


def _ids_fault(gold: Items, predicted: Items, align: str | None) -> ValueError | None:
    """Why the ids of one side are of no use for bringing these sentences together; None where they are of use."""
    way_out = "" if align else WAY_OUT
    if fault := gold.unusable or predicted.unusable:
        return (gold if gold.unusable else predicted).fault(fault.line, f"{fault.fault}{way_out}")
    if gold.ids is None or predicted.ids is None:
        with_ids, without = (predicted, gold) if gold.ids is None else (gold, predicted)
        though = f", though {with_ids.name} has them" if with_ids.ids else ""
        return without.fault(1, f"no '# sent_id' in this file{though}{way_out}")
    if set(gold.ids).isdisjoint(predicted.ids):
        told = f"the gold file {gold.name} has no sent_id {predicted.ids[0]!r}, nor any other of this file{way_out}"
        return predicted.fault(predicted.line(0), told)
    return None


def _by_id(gold: Items, predicted: Items, may_lack: bool) -> list[int]:
    number_of = {name: number for number, name in enumerate(gold.ids)}
    for item, name in enumerate(predicted.ids):
        if name not in number_of:
            near = {_squeezed(known): known for known in gold.ids}.get(_squeezed(name))
            told = repr(name) if near is None else unlike(name, near, "gold file")
            raise predicted.fault(predicted.line(item), f"the gold file {gold.name} has no sent_id {told}{WAY_OUT}")
    numbers = [number_of[name] for name in predicted.ids]
    if (lacking := sorted(set(number_of.values()) - set(numbers))) and not may_lack:
        place = f"{gold.ids[lacking[0]]!r} ({gold.name}:{gold.line(lacking[0])})"
        fault = f"{len(lacking):,} sentences of the gold file are not here, the first is {place}"
        raise predicted.fault(predicted.line(len(numbers) - 1, -1), fault)
    return numbers


def _squeezed(name: str) -> str:
    """Equal for ids that differ in white space, case or Unicode normalisation."""
    return "".join(normalize("NFKC", name).casefold().split())


def _trees(file: InputFile, align: str | None, subtypes: bool) -> Items:
    treebank = parse_conllu(file.content, file.name)
    if not subtypes:
        treebank = treebank.with_trees(treebank.heads, [name.partition(":")[0] for name in treebank.relations])
    items = Items(file.name, CONLLU, treebank)
    try:
        return replace(items, ids=_sent_ids(items))
    except ConlluError as fault:
        return replace(items, unusable=fault)


def _sent_ids(items: Items) -> list[str] | None:
    """The ids of all sentences, or None where none has one.

    Raises ConlluError for ids on some sentences only, an empty one, one that stands twice on a sentence or on two.
    """
    content, begins = items.trees.source.content, items.trees.source.byte_offsets
    found = [(line.start(), (line[1] or b"").decode().strip()) for line in SENT_ID.finditer(content)]
    ids: list[str | None] = [None] * len(items.trees)
    sentences = np.searchsorted(begins, [start for start, _ in found], side="right") - 1
    for sentence, (start, value) in zip(sentences.tolist(), found):
        if ids[sentence] or not value:
            fault = "a second sent_id of the same sentence" if value else "an empty sent_id"
            raise items.fault(items.line(sentence) + content.count(b"\n", begins[sentence], start), fault)
        ids[sentence] = value
    if not any(ids):
        return None
    number_of: dict[str, int] = {}
    for sentence, name in enumerate(ids):
        if name is None:
            told = f"sentence {sentence + 1} has no '# sent_id', though others of the file have one"
            raise items.fault(items.line(sentence), told)
        if (first := number_of.setdefault(name, sentence)) != sentence:
            told = f"sent_id {name!r} a second time; the first is in line {items.line(first)}"
            raise items.fault(items.line(sentence), told)
    return ids


def _judge_trees(
    gold: Items, predicted: Sequence[Items], numbers: Sequence[np.ndarray], preset: Preset, num_old: int
) -> Update:
    bank, num_items = gold.trees, len(gold.trees)
    if not attachment.scored_words(bank, preset).any():
        raise gold.fault(1, f"no word that counts under preset {preset.name!r} in the whole file")
    models = [_over_gold(bank, items.trees, at) for items, at in zip(predicted, numbers)]
    right = [attachment.treebank_correctness(bank, model, preset) for model in models]
    units = attachment.scored_units(bank, preset).sentence_of_unit
    levels = make_levels(units, num_items, [right[0], *right[2:num_old]], [right[1], *right[num_old:]])
    missing = np.ones(num_items, dtype=bool)
    missing[numbers[1]] = False

    def view(sentence: int, run: int = 0) -> TreeView:
        words = slice(*bank.offsets[sentence : sentence + 2].tolist())
        shown = bank, models[0], models[num_old + run - 1 if run else 1]
        correct, old, new = (list(zip(b.heads[words].tolist(), b.relations[words])) for b in shown)
        return TreeView(bank.forms[words], bank.upos[words], correct, old, None if missing[sentence] else new)

    ids = gold.ids or [str(i + 1) for i in range(num_items)]
    update = Update(CONLLU, "sent_id", ids, missing, levels, preset, lambda: tree_slices(bank, preset), view, {})
    return replace(update, clusters=_documents(gold))


def _documents(items: Items) -> Int64[np.ndarray, "sentence"] | None:
    """The document of every sentence, from 0, where the file says where documents begin (`# newdoc`)."""
    source = items.trees.source
    if b"newdoc" not in source.content:
        return None
    marks = [mark.start() for mark in NEW_DOCUMENT.finditer(source.content) if not mark[1].decode().strip()]
    begins = np.bincount(source.byte_offsets.searchsorted(marks, "right"), minlength=len(source.byte_offsets))[1:] > 0
    documents = np.cumsum(begins) - begins[0]  # what stands before the first mark is one, too
    return documents if documents[-1] else None


def _over_gold(gold: Treebank, predicted: Treebank, numbers: Int64[np.ndarray, "sentence"]) -> Treebank:
    """The predicted trees over gold's words, in gold's order; in a sentence that is missing nothing is gold's."""
    tokens = np.arange(predicted.num_tokens)
    tokens += np.repeat(gold.offsets[numbers] - predicted.offsets[:-1], predicted.lengths)
    heads = np.full(gold.num_tokens, MISSING_HEAD, dtype=np.int32)
    relations = np.full(gold.num_tokens, MISSING_RELATION, dtype=object)
    heads[tokens], relations[tokens] = predicted.heads, predicted.relations
    return gold.with_trees(heads, relations.tolist())


def _frames(file: InputFile, is_gold: bool, notes: list[str]) -> Items:
    first_line = 2 if file.first_cells == TOPV2_HEADER else 1
    if is_gold:
        bank = parse_top(file.content, file.name)
        words, frames = bank.utterances, bank.frames
    else:
        words, frames = parse_predicted_top(file.content, file.name)
    rows = file.content.decode().rstrip("\n").split("\n")[first_line - 1 :]
    texts = [row.rpartition("\t")[2] for row in rows]
    if num_invalid := frames.count(None):
        first = frames.index(None)
        try:
            predicted_frame(texts[first], words[first])
        except FrameError as reason:
            told = "the first malformed prediction" if num_invalid > 1 else "the one malformed prediction"
            notes.append(f"{file.name}:{first + first_line}: {told}: {reason if texts[first] else 'it is empty'}")
    read = [pair for pair in zip(frames, words) if pair[0] is not None][:NUM_LOOKED_AT]
    if 2 * sum(len(frame_words(frame)) < len(utterance) for frame, utterance in read) > len(read):
        notes.append(f"{file.name}: most frames leave out words of the utterance (decoupled?), and are wrong for that")
    return Items(file.name, TOP, frames, words, texts=texts, first_line=first_line)


def _judge_frames(
    gold: Items, predicted: Sequence[Items], numbers: Sequence[np.ndarray], preset: Preset, num_old: int
) -> Update:
    bank, num_items = FrameBank(gold.words, gold.trees), len(gold.words)
    right = [frames.frame_correctness(bank, items.trees, preset) for items in predicted]
    units = frames.scored_units(bank, preset).sentence_of_unit
    levels = make_levels(units, num_items, [right[0], *right[2:num_old]], [right[1], *right[num_old:]])
    num_invalid = {f"num_invalid_{name}": items.trees.count(None) for name, items in zip(("old", "new"), predicted)}

    def view(row: int, run: int = 0) -> TextView:
        shown = gold, predicted[0], predicted[num_old + run - 1 if run else 1]
        return TextView([file.texts[row] for file in shown], gold.words[row], [file.trees[row] for file in shown])

    ids, missing = [str(i + 1) for i in range(num_items)], np.zeros(num_items, dtype=bool)
    return Update(TOP, "their row", ids, missing, levels, preset, lambda: frame_slices(bank), view, num_invalid)
