"""The corpora by name: "ewt", the embedded "demo", or a folder of a user's own CoNLL-U files."""

from pathlib import Path

from bcrlib.data.download import ewt_path
from bcrlib.data.generated.trees import DEFAULT_AMBIGUITY, demo_splits
from bcrlib.data.treebank import Treebank, read_conllu

SPLITS = ("train", "dev", "test")


def load_treebank(corpus: str, split: str, ambiguity: float = DEFAULT_AMBIGUITY) -> Treebank:
    """One split of a corpus: "ewt" (UD English EWT 2.2), "demo" (generated), or a folder with train.conllu and so on.

    `ambiguity` is the dial of the generated corpus and has no effect on others. ValueError for an unknown split.
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}; choose one of {', '.join(SPLITS)}")
    if corpus == "demo":
        return demo_splits(ambiguity=ambiguity)[split]
    if corpus == "ewt":
        return read_conllu(ewt_path(split))
    return read_conllu(Path(corpus) / f"{split}.conllu")
