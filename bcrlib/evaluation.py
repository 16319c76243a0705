"""What `bcr evaluate` prints: the flips between an old and a new parser, from three files."""

import os

from bcrlib.data.conllu import ConlluError, read_conllu
from bcrlib.data.treebank import Treebank
from bcrlib.metrics.attachment import LEVELS, scored_words, treebank_correctness
from bcrlib.metrics.flips import RATES, Flips, flips
from bcrlib.presets import Preset

Path = str | os.PathLike[str]


def evaluate_files(gold: Path, old: Path, new: Path, preset: Preset) -> dict[str, dict[str, float]]:
    """Accuracies, flip rates (in [0, 1]) and number of units of every level, from three CoNLL-U files.

    Errors and cost as `read_update`.
    """
    return evaluate_treebanks(*read_update(gold, old, new, preset), preset)


def read_update(gold: Path, old: Path, new: Path, preset: Preset) -> tuple[Treebank, Treebank, Treebank]:
    """The treebanks of three CoNLL-U files with the same words.

    Gold UPOS decides which words count; the predictions' own UPOS is not looked at.  Raises ConlluError, with
    file, line and fault, for a malformed file, for a prediction with other sentences or words than gold, and
    for a gold file without a single word that counts.  O(bytes).
    """
    gold_treebank = read_conllu(gold)
    if not scored_words(gold_treebank, preset).any():
        raise ConlluError(str(gold), 1, f"no word that counts under preset {preset.name!r} in the whole file")
    old_treebank, new_treebank = read_conllu(old), read_conllu(new)
    check_same_words(gold_treebank, old_treebank, str(old))
    check_same_words(gold_treebank, new_treebank, str(new))
    return gold_treebank, old_treebank, new_treebank


def evaluate_treebanks(gold: Treebank, old: Treebank, new: Treebank, preset: Preset) -> dict[str, dict[str, float]]:
    """The same as `evaluate_files`, of treebanks of the same words.  O(tokens)."""
    return {level: rates_of(update) for level, update in count_flips(gold, old, new, preset).items()}


def count_flips(gold: Treebank, old: Treebank, new: Treebank, preset: Preset) -> dict[str, Flips]:
    """The flips of every level, of treebanks of the same words.  O(tokens)."""
    old_right = treebank_correctness(gold, old, preset)
    new_right = treebank_correctness(gold, new, preset)
    return {level: flips(old_right[level], new_right[level]) for level in LEVELS}


def rates_of(update: Flips) -> dict[str, float]:
    """The rates of an update in [0, 1], by name, and its number of units."""
    return {rate: float(getattr(update, rate)) for rate in RATES} | {"num_units": update.num_units}


def check_same_words(gold: Treebank, predicted: Treebank, name: str) -> None:
    """Raise ConlluError at the first sentence of the file `name` that is not gold's.  O(tokens)."""
    for sentence in range(min(gold.num_sentences, predicted.num_sentences)):
        fault = _sentence_fault(gold, predicted, sentence)
        if fault is not None:
            word, text = fault
            raise ConlluError(name, _line(predicted, sentence, word), f"sentence {sentence + 1}{text}")
    if gold.num_sentences != predicted.num_sentences:
        last = predicted.num_sentences - 1
        raise ConlluError(
            name,
            _line(predicted, last, int(predicted.lengths[last])),
            f"the file has {predicted.num_sentences} sentences, the gold file {gold.num_sentences}",
        )


def _sentence_fault(gold: Treebank, predicted: Treebank, sentence: int) -> tuple[int, str] | None:
    """Number of the first differing word, counted from 1, and what is wrong with it."""
    gold_words, words = (bank.forms[bank.offsets[sentence] : bank.offsets[sentence + 1]] for bank in (gold, predicted))
    if gold_words == words:
        return None
    for number, (gold_word, word) in enumerate(zip(gold_words, words), start=1):
        if gold_word != word:
            return number, f", word {number}: {word!r}, in the gold file {gold_word!r}"
    return min(len(words), len(gold_words) + 1), f" has {len(words)} words, in the gold file {len(gold_words)}"


def _line(treebank: Treebank, sentence: int, word: int) -> int:
    """Line of the file that a word, counted from 1, stands in; 1 if the treebank was not read from a file."""
    if treebank.source is None:
        return 1
    # The source lines leave out the one blank line behind each earlier sentence.
    return int(treebank.source.line_of_token[treebank.offsets[sentence] + word - 1]) + sentence + 1
