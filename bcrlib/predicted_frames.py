"""From a pool of candidates back to frames: what is written to files, and what a student learns from."""

from collections.abc import Sequence

from bcrlib.data.bracket_sequences import frame_of
from bcrlib.data.frames import FrameBank, FrameError, Node, frame_words
from bcrlib.frame_candidates import FramePool


def predicted_frames(bank: FrameBank, pool: FramePool) -> list[Node | None]:
    """The first candidate of every utterance; None where it is no tree.  O(codes)."""
    rows = zip(pool.sequences[0], bank.utterances, strict=True)
    return [_frame_or_none(sequence, pool.labels, words) for sequence, words in rows]


def taught(bank: FrameBank, pool: FramePool) -> FrameBank:
    """The bank under the first candidates in place of its frames, to learn from (distillation, protocol 4.3).

    Utterances whose candidate is no tree over their words are left out.  O(codes).
    """
    frames = predicted_frames(bank, pool)
    good = [i for i, frame in enumerate(frames) if frame is not None and frame_words(frame) == bank.utterances[i]]
    return bank.rows(good).with_frames([frames[i] for i in good])


def _frame_or_none(sequence: Sequence[int], labels: Sequence[str], words: Sequence[str]) -> Node | None:
    try:
        return frame_of(sequence, labels, words)
    except FrameError:
        return None
