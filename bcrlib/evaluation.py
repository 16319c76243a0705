"""What `bcr evaluate` prints: the flips between an old and a new parser, from three files."""

import os

from bcrlib.data.conllu import ConlluError, read_conllu
from bcrlib.data.treebank import Treebank
from bcrlib.metrics.attachment import LEVELS, scored_words, treebank_correctness
from bcrlib.metrics.flips import RATES, flips
from bcrlib.presets import Preset

Path = str | os.PathLike[str]


def evaluate_files(gold: Path, old: Path, new: Path, preset: Preset) -> dict[str, dict[str, float]]:
    """Accuracies, flip rates (in [0, 1]) and number of units of every level, from three CoNLL-U files.

    Gold UPOS decides which words count; the predictions' own UPOS is not looked at.  Raises ConlluError, with
    file, line and fault, for a malformed file, for a prediction with other sentences or words than gold, and
    for a gold file without a single word that counts.  O(bytes).
    """
    gold_treebank = read_conllu(gold)
    if not scored_words(gold_treebank, preset).any():
        raise ConlluError(str(gold), 1, f"no word that counts under preset {preset.name!r} in the whole file")
    predictions = [(path, read_conllu(path)) for path in (old, new)]
    for path, predicted in predictions:
        check_same_words(gold_treebank, predicted, str(path))
    return evaluate_treebanks(gold_treebank, *(predicted for _, predicted in predictions), preset)


def evaluate_treebanks(gold: Treebank, old: Treebank, new: Treebank, preset: Preset) -> dict[str, dict[str, float]]:
    """The same as `evaluate_files`, of treebanks of the same words.  O(tokens)."""
    old_right = treebank_correctness(gold, old, preset)
    new_right = treebank_correctness(gold, new, preset)
    counted = {level: flips(old_right[level], new_right[level]) for level in LEVELS}
    return {
        level: {rate: float(getattr(update, rate)) for rate in RATES} | {"num_units": update.num_units}
        for level, update in counted.items()
    }


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
