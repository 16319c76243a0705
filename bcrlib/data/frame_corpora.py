"""The semantic corpora by name: "top", the embedded "demo", or a folder of a user's own TOP files."""

from pathlib import Path

from bcrlib.data.download import TOP_FILES, top_path
from bcrlib.data.frames import FrameBank
from bcrlib.data.generated.frames import DEFAULT_AMBIGUITY, demo_frames
from bcrlib.data.top import read_top


def load_frames(corpus: str, split: str, ambiguity: float = DEFAULT_AMBIGUITY) -> FrameBank:
    """One split ("train", "dev", "test") of a corpus of frames.

    "top" is TOP 1.1 without its unsupported rows, "demo" is generated, all else is a folder with train.tsv, eval.tsv
    (dev) and test.tsv, of which every row counts. `ambiguity` is the dial of the generated corpus and has no effect
    on others. ValueError for an unknown split.
    """
    if split not in TOP_FILES:
        raise ValueError(f"unknown split {split!r}; choose one of {', '.join(TOP_FILES)}")
    if corpus == "demo":
        return demo_frames(ambiguity)[split]
    if corpus == "top":
        return read_top(top_path(split))
    return read_top(Path(corpus) / TOP_FILES[split])
