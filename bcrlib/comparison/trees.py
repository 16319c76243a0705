"""An update of dependency trees from CoNLL-U files, sentences brought together by their sent_id."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from jaxtyping import Int64

from bcrlib.comparison.slices import tree_slices
from bcrlib.comparison.update import Update, make_levels
from bcrlib.comparison.views import Tree, TreeView
from bcrlib.data.conllu import ConlluError, parse_conllu
from bcrlib.data.formats import CONLLU, InputFile
from bcrlib.data.treebank import Treebank
from bcrlib.evaluation import check_same_words, line_of_word, sentence_fault
from bcrlib.metrics.attachment import scored_units, scored_words, treebank_correctness
from bcrlib.presets import Preset

HUGE_NUMBER = re.compile(rb"[0-9]{4000}")
MISSING_HEAD, MISSING_RELATION = -1, ""  # gold has neither


@dataclass(frozen=True, eq=False)
class Sentences:
    """The sentences of one file with their ids."""

    name: str
    treebank: Treebank
    ids: list[str] | None
    """None: no sentence of the file has a sent_id."""

    def line(self, sentence: int) -> int:
        """Where a sentence begins in the file, comments included.  O(1)."""
        return _first_line(self.treebank, sentence)


def read_trees(gold: InputFile, old: InputFile, new: InputFile, seeds: Sequence[InputFile], preset: Preset) -> Update:
    """The update of CoNLL-U files; see `bcrlib.comparison.compare.read_update`.

    Sentences are brought together by `# sent_id`, or by their order where no file has one.  Raises ConlluError, with
    file, line and fault, for a malformed file, an id on some sentences or in some files only, an id twice, a sentence
    that gold does not have, one of gold that the old file (or a seed) lacks, other words than gold's, and for a gold
    file without a word that counts.  O(bytes).
    """
    gold_sentences = read_sentences(gold)
    bank = gold_sentences.treebank
    if not scored_words(bank, preset).any():
        raise ConlluError(gold.name, 1, f"no word that counts under preset {preset.name!r} in the whole file")
    old_trees, *seed_trees = (_align(gold_sentences, read_sentences(file))[0] for file in (old, *seeds))
    new_trees, missing = _align(gold_sentences, read_sentences(new), may_lack=True)
    old_right, new_right, *seeds_right = (
        treebank_correctness(bank, trees, preset) for trees in (old_trees, new_trees, *seed_trees)
    )
    units = scored_units(bank, preset)
    slices = tree_slices(bank, preset)
    levels = make_levels(units.sentence_of_unit, bank.num_sentences, old_right, new_right, seeds_right, slices)
    ids = gold_sentences.ids or [str(i + 1) for i in range(bank.num_sentences)]
    by = "sent_id" if gold_sentences.ids else "their order, since no file has '# sent_id'"

    def view(sentence: int) -> TreeView:
        return _view(bank, old_trees, None if missing[sentence] else new_trees, sentence)

    return Update(CONLLU, by, ids, missing, levels, preset, view, {})


def read_sentences(file: InputFile) -> Sentences:
    """A file's sentences and their ids: all have one, or none has.

    Raises ConlluError, with the line, for a malformed file, for ids on some sentences only, an empty one, one that
    stands twice on a sentence or on two sentences.  O(bytes).
    """
    treebank = _parse(file)
    starts, lines = treebank.source.line_offsets.tolist(), treebank.source.lines
    ids = [_sent_id(lines, start, sentence, file.name) for sentence, start in enumerate(starts[:-1])]
    if all(name is None for name in ids):
        return Sentences(file.name, treebank, None)
    seen: dict[str, int] = {}
    for sentence, name in enumerate(ids):
        line = _first_line(treebank, sentence)
        if name is None:
            fault = f"sentence {sentence + 1} has no '# sent_id', though others of the file have one"
            raise ConlluError(file.name, line, fault)
        if name in seen:
            first = _first_line(treebank, seen[name])
            raise ConlluError(file.name, line, f"sent_id {name!r} a second time; the first is in line {first}")
        seen[name] = sentence
    return Sentences(file.name, treebank, ids)


def _parse(file: InputFile) -> Treebank:
    try:
        return parse_conllu(file.content, file.name)
    except ConlluError:
        raise
    except ValueError:  # of int(), which refuses thousands of digits
        lines = enumerate(file.content.split(b"\n"), 1)
        if (line := next((i for i, line in lines if HUGE_NUMBER.search(line)), None)) is None:
            raise
        raise ConlluError(file.name, line, "a number of thousands of digits") from None


def _sent_id(lines: Sequence[str], start: int, sentence: int, file: str) -> str | None:
    """What the comments from a place on say."""
    found = None
    for at in count(start):
        line = lines[at]
        if line[0] != "#":
            return found
        key, _, value = line.partition("=")
        if "sent_id" in key and key[1:].strip() == "sent_id":
            value = value.strip()
            if found is not None or not value:
                fault = "a second sent_id of the same sentence" if value else "an empty sent_id"
                raise ConlluError(file, at + sentence + 1, fault)
            found = value
    return None


def _first_line(treebank: Treebank, sentence: int) -> int:
    # The source lines leave out the one blank line behind each earlier sentence.
    return int(treebank.source.line_offsets[sentence]) + sentence + 1


def _align(gold: Sentences, predicted: Sentences, may_lack: bool = False) -> tuple[Treebank, np.ndarray]:
    """The predicted trees over gold's words, in gold's order, and which sentences are missing.

    Where a sentence is missing, no head and no relation is gold's.
    """
    if gold.ids is None and predicted.ids is None:
        check_same_words(gold.treebank, predicted.treebank, predicted.name)
        return predicted.treebank, np.zeros(gold.treebank.num_sentences, dtype=bool)
    numbers = _gold_numbers(gold, predicted)
    missing = np.ones(gold.treebank.num_sentences, dtype=bool)
    missing[numbers] = False
    if missing.any() and not may_lack:
        first = int(missing.argmax())
        fault = f"{missing.sum():,} sentences of the gold file are not here, the first is {gold.ids[first]!r}"
        raise ConlluError(predicted.name, _last_line(predicted), f"{fault} ({gold.name}:{gold.line(first)})")
    _check_words(gold, predicted, numbers)
    return _over_gold(gold.treebank, predicted.treebank, numbers), missing


def _gold_numbers(gold: Sentences, predicted: Sentences) -> Int64[np.ndarray, "sentence"]:
    """The number of the gold sentence with the same id, of every predicted one."""
    if gold.ids is None or predicted.ids is None:
        with_ids, without = (predicted, gold) if gold.ids is None else (gold, predicted)
        fault = f"no '# sent_id' in this file, though {with_ids.name} has them; keep them in all files or in none"
        raise ConlluError(without.name, 1, fault)
    number_of = {name: sentence for sentence, name in enumerate(gold.ids)}
    for sentence, name in enumerate(predicted.ids):
        if name not in number_of:
            fault = f"the gold file {gold.name} has no sent_id {name!r}"
            raise ConlluError(predicted.name, predicted.line(sentence), fault)
    return np.array([number_of[name] for name in predicted.ids], dtype=np.int64)


def _last_line(sentences: Sentences) -> int:
    last = sentences.treebank.num_sentences - 1
    return line_of_word(sentences.treebank, last, int(sentences.treebank.lengths[last]))


def _check_words(gold: Sentences, predicted: Sentences, numbers: Int64[np.ndarray, "sentence"]) -> None:
    for sentence, number in enumerate(numbers.tolist()):
        fault = sentence_fault(gold.treebank, number, predicted.treebank, sentence)
        if fault is not None:
            word, text = fault
            line = line_of_word(predicted.treebank, sentence, word)
            raise ConlluError(predicted.name, line, f"sentence {gold.ids[number]!r}{text}")


def _over_gold(gold: Treebank, predicted: Treebank, numbers: Int64[np.ndarray, "sentence"]) -> Treebank:
    tokens = np.arange(predicted.num_tokens)
    tokens += np.repeat(gold.offsets[numbers] - predicted.offsets[:-1], predicted.lengths)
    heads = np.full(gold.num_tokens, MISSING_HEAD, dtype=np.int32)
    relations = np.full(gold.num_tokens, MISSING_RELATION, dtype=object)
    heads[tokens], relations[tokens] = predicted.heads, predicted.relations
    return gold.with_trees(heads, relations.tolist())


def _view(gold: Treebank, old: Treebank, new: Treebank | None, sentence: int) -> TreeView:
    words = slice(*gold.offsets[sentence : sentence + 2].tolist())
    gold_tree, old_tree, new_tree = (
        bank and Tree(bank.heads[words].tolist(), bank.relations[words]) for bank in (gold, old, new)
    )
    return TreeView(gold.forms[words], gold.upos[words], gold_tree, old_tree, new_tree)
