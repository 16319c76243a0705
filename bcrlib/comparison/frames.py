"""An update of semantic frames from rows of TOP, which have no ids: row i of every file is the same utterance."""

from collections.abc import Sequence

import numpy as np

from bcrlib.comparison.slices import frame_slices
from bcrlib.comparison.update import Right, Update, make_levels
from bcrlib.comparison.views import FrameView
from bcrlib.data.formats import TOP, InputFile
from bcrlib.data.frames import FrameBank, Node
from bcrlib.data.top import parse_predicted_top, parse_top
from bcrlib.frame_evaluation import check_same_utterances
from bcrlib.metrics.exact_match import LEVELS, frame_correctness, scored_units
from bcrlib.metrics.units import Units
from bcrlib.presets import Preset

Frames = Sequence[Node | None]  # [utterance], None: no tree


def read_frames(gold: InputFile, old: InputFile, new: InputFile, seeds: Sequence[InputFile], preset: Preset) -> Update:
    """The update of files of TOP; see `bcrlib.comparison.compare.read_update`.

    Ids are the numbers of the rows, from 1.  Raises TopError, with file, line and fault, for a malformed file, another
    number of rows than gold's and other utterances.  O(bytes).
    """
    bank = parse_top(gold.content, gold.name)
    gold_texts = _parses(gold)
    predictions = [_predictions(bank, file) for file in (old, new, *seeds)]
    texts = [_parses(file) for file in (old, new, *seeds)]
    units, right = scored_units(bank, preset), []
    for frames, own_texts in zip(predictions, texts):
        others = [row for row, (text, gold_text) in enumerate(zip(own_texts, gold_texts)) if text != gold_text]
        right.append(_right(bank, units, frames, others, preset))
    slices = frame_slices(bank)
    levels = make_levels(units.sentence_of_unit, bank.num_utterances, right[0], right[1], right[2:], slices)
    num_invalid = {f"num_invalid_{name}": frames.count(None) for name, frames in zip(("old", "new"), predictions)}

    def view(row: int) -> FrameView:
        shown = (gold_texts[row], texts[0][row], texts[1][row])
        return FrameView(bank.utterances[row], bank.frames[row], predictions[0][row], predictions[1][row], shown)

    ids = [str(row + 1) for row in range(bank.num_utterances)]
    none_missing = np.zeros(bank.num_utterances, dtype=bool)
    return Update(TOP, "their row", ids, none_missing, levels, preset, view, num_invalid)


def _parses(file: InputFile) -> list[str]:
    """The text of every parse, of a file that has been read without a fault."""
    return [row.rpartition("\t")[2] for row in file.content.decode().removesuffix("\n").split("\n")]


def _predictions(gold: FrameBank, file: InputFile) -> tuple[Node | None, ...]:
    utterances, frames = parse_predicted_top(file.content, file.name)
    check_same_utterances(gold, utterances, file.name)
    return frames


def _right(gold: FrameBank, units: Units, frames: Frames, others: Sequence[int], preset: Preset) -> Right:
    """`frame_correctness`; only the rows whose text is not gold's are looked at, the others are right everywhere."""
    right = {level: np.ones(len(units.sentence_of_unit[level]), dtype=bool) for level in LEVELS}
    if others:
        judged = frame_correctness(gold.rows(others), [frames[row] for row in others], preset)
        is_other = np.zeros(gold.num_utterances, dtype=bool)
        is_other[others] = True
        for level in LEVELS:
            right[level][is_other[units.sentence_of_unit[level]]] = judged[level]
    return right
