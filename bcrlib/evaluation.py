"""What `bcr evaluate` prints: the flips between an old and a new parser, from three files.

The gold file says which task it is: dependency trees in CoNLL-U, or semantic frames in rows of TOP.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from bcrlib.data.conllu import ConlluError, parse_conllu
from bcrlib.data.formats import CONLLU, TOP, InputFile, read_input
from bcrlib.data.treebank import Treebank
from bcrlib.metrics.attachment import LEVELS, scored_words, treebank_correctness
from bcrlib.metrics.flips import RATES, Flips, flips
from bcrlib.presets import Preset

Path = str | os.PathLike[str]


@dataclass(frozen=True)
class Evaluation:
    """What an update broke and repaired, by level."""

    format: str
    """CONLLU or TOP."""
    flips: dict[str, Flips]
    num_invalid: dict[str, int]
    """Of frames: "num_invalid_old" and "num_invalid_new", the predictions that are no tree.  Dependency trees: nothing,
    since what is no tree is an error there."""

    def rates(self) -> dict[str, dict[str, float]]:
        """Accuracies, flip rates (in [0, 1]) and number of units of every level; of frames, invalid outputs too."""
        return {level: rates_of(update) | self.num_invalid for level, update in self.flips.items()}


def evaluate_files(gold: Path, old: Path, new: Path, preset: Preset) -> dict[str, dict[str, float]]:
    """`Evaluation.rates` of three files of CoNLL-U or TOP.  Errors and cost as `count_files`."""
    return count_files(gold, old, new, preset).rates()


def count_files(gold: Path, old: Path, new: Path, preset: Preset) -> Evaluation:
    """The flips of every level, from three files with the same words.

    Raises ConlluError or TopError, with file, line and fault, for a malformed file and for predictions of other words
    than gold's, ValueError for a prediction of the other task, OSError for a file that cannot be read.  O(bytes).
    """
    files = [read_input(path) for path in (gold, old, new)]
    return _count_frames(files, preset) if common_format(files) == TOP else _count_trees(files, preset)


def common_format(files: Sequence[InputFile]) -> str:
    """The format of the gold file, which is the first, and of its predictions: CONLLU or TOP.

    Raises ValueError where a prediction is of the other format, and as `gold_format`.  O(bytes of the first rows).
    """
    found = gold_format(files[0])
    for predicted in files[1:]:
        if predicted.format not in (found, None):
            raise ValueError(f"{predicted.name}:1: a row of {predicted.format}, but the gold file is {found}")
    return found


def gold_format(gold: InputFile) -> str:
    """CONLLU or TOP; what decides neither is left to the reader of CoNLL-U, unless it might have been meant as TOP.

    Raises ValueError for a first row of two or three columns without a parse.  O(bytes of the first row).
    """
    if gold.format is None and len(gold.first_cells) in (2, 3):
        raise ValueError(
            f"{gold.name}:1: {len(gold.first_cells)} tab-separated columns, the last not beginning with '[': "
            f"neither a row of TOP nor one of CoNLL-U, which has 10"
        )
    return gold.format or CONLLU


def _count_frames(files: list[InputFile], preset: Preset) -> Evaluation:
    from bcrlib.frame_evaluation import count_frame_flips, parse_frame_update  # numba, which trees do without

    gold, old, new = parse_frame_update(*files)
    num_invalid = {f"num_invalid_{name}": predicted.count(None) for name, predicted in (("old", old), ("new", new))}
    return Evaluation(TOP, count_frame_flips(gold, old, new, preset), num_invalid)


def _count_trees(files: list[InputFile], preset: Preset) -> Evaluation:
    return Evaluation(CONLLU, count_flips(*parse_update(*files, preset), preset), {})


def parse_update(
    gold: InputFile, old: InputFile, new: InputFile, preset: Preset
) -> tuple[Treebank, Treebank, Treebank]:
    """The treebanks of three CoNLL-U files with the same words.

    Gold UPOS decides which words count; the predictions' own UPOS is not looked at.  Raises ConlluError, with
    file, line and fault, for a malformed file, for a prediction with other sentences or words than gold, and
    for a gold file without a single word that counts.  O(bytes).
    """
    gold_treebank = parse_conllu(gold.content, gold.name)
    if not scored_words(gold_treebank, preset).any():
        raise ConlluError(gold.name, 1, f"no word that counts under preset {preset.name!r} in the whole file")
    old_treebank, new_treebank = (parse_conllu(file.content, file.name) for file in (old, new))
    check_same_words(gold_treebank, old_treebank, old.name)
    check_same_words(gold_treebank, new_treebank, new.name)
    return gold_treebank, old_treebank, new_treebank


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
        fault = sentence_fault(gold, sentence, predicted, sentence)
        if fault is not None:
            word, text = fault
            raise ConlluError(name, line_of_word(predicted, sentence, word), f"sentence {sentence + 1}{text}")
    if gold.num_sentences != predicted.num_sentences:
        last = predicted.num_sentences - 1
        raise ConlluError(
            name,
            line_of_word(predicted, last, int(predicted.lengths[last])),
            f"the file has {predicted.num_sentences} sentences, the gold file {gold.num_sentences}",
        )


def sentence_fault(gold: Treebank, gold_sentence: int, predicted: Treebank, sentence: int) -> tuple[int, str] | None:
    """How a predicted sentence differs from a gold one: the number of the first such word, from 1, and the fault.

    None for two sentences of the same words.  O(words).
    """
    gold_words = gold.forms[gold.offsets[gold_sentence] : gold.offsets[gold_sentence + 1]]
    words = predicted.forms[predicted.offsets[sentence] : predicted.offsets[sentence + 1]]
    if gold_words == words:
        return None
    for number, (gold_word, word) in enumerate(zip(gold_words, words), start=1):
        if gold_word != word:
            return number, f", word {number}: {word!r}, in the gold file {gold_word!r}"
    return min(len(words), len(gold_words) + 1), f" has {len(words)} words, in the gold file {len(gold_words)}"


def line_of_word(treebank: Treebank, sentence: int, word: int) -> int:
    """Line of the file that a word, counted from 1, stands in; 1 if the treebank was not read from a file.  O(1)."""
    if treebank.source is None:
        return 1
    # The source lines leave out the one blank line behind each earlier sentence.
    return int(treebank.source.line_of_token[treebank.offsets[sentence] + word - 1]) + sentence + 1
