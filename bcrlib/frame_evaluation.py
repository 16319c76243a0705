"""The flips between an old and a new semantic parser, from three files in the rows of TOP."""

from collections.abc import Sequence

from bcrlib.data.formats import InputFile
from bcrlib.data.frames import FrameBank, Node
from bcrlib.data.top import TopError, parse_predicted_top, parse_top
from bcrlib.metrics.exact_match import LEVELS, frame_correctness
from bcrlib.metrics.flips import Flips, flips
from bcrlib.presets import Preset

Predictions = Sequence[Node | None]  # [utterance], None: no tree


def parse_frame_update(gold: InputFile, old: InputFile, new: InputFile) -> tuple[FrameBank, Predictions, Predictions]:
    """The gold frames and both predictions of three files with the same utterances.

    Raises TopError, with file, line and fault, for a malformed file and for predictions of other utterances than
    gold's; a prediction that is no tree is none of these.  O(bytes).
    """
    bank = parse_top(gold.content, gold.name)
    return bank, _predictions(bank, old), _predictions(bank, new)


def count_frame_flips(gold: FrameBank, old: Predictions, new: Predictions, preset: Preset) -> dict[str, Flips]:
    """The flips of every level, of predictions for the same utterances.  O(tokens depth)."""
    old_right, new_right = (frame_correctness(gold, predicted, preset) for predicted in (old, new))
    return {level: flips(old_right[level], new_right[level]) for level in LEVELS}


def check_same_utterances(gold: FrameBank, utterances: Sequence[tuple[str, ...]], name: str) -> None:
    """Raise TopError at the first row of the file `name` whose utterance is not gold's.  O(tokens)."""
    for line, (gold_words, words) in enumerate(zip(gold.utterances, utterances), 1):
        if words != gold_words:
            raise TopError(name, line, _words_fault(gold_words, words))
    if len(utterances) != gold.num_utterances:
        fault = f"the file has {len(utterances)} rows, the gold file {gold.num_utterances}"
        raise TopError(name, len(utterances), fault)


def _predictions(gold: FrameBank, file: InputFile) -> Predictions:
    utterances, frames = parse_predicted_top(file.content, file.name)
    check_same_utterances(gold, utterances, file.name)
    return frames


def _words_fault(gold_words: tuple[str, ...], words: tuple[str, ...]) -> str:
    for number, (gold_word, word) in enumerate(zip(gold_words, words), 1):
        if word != gold_word:
            return f"word {number} of the utterance: {word!r}, in the gold file {gold_word!r}"
    return f"the utterance has {len(words)} words, in the gold file {len(gold_words)}"
