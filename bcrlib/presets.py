"""Every switch where the authors' code departs from the paper's text, as one object with two presets.

`official` does what the authors' code does (for comparing numbers), `clean` what the paper says.
Tables say which one they use.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Preset:
    """One consistent set of definitions, from training to counting."""

    name: str
    unk_policy: Literal["always", "train_half"]
    """Words seen once in training: always the unknown word, or in training only, half the time."""
    punct_exclude: frozenset[str]
    """UPOS tags whose words UAS and LAS leave out."""
    tree_level_punct: bool
    """Whether UCM and LCM compare all words, the excluded ones too."""
    lcm_root_label: bool
    """Whether LCM compares the relation of the word attached to the root."""
    mst_single_root: bool
    """Whether decoding allows exactly one child of the artificial root."""
    select_with_punct: bool
    """Whether the dev score that selects a checkpoint counts punctuation."""
    char_pool_padding: bool
    """Whether the character CNN's maximum runs over padding positions as well."""


PRESETS = {
    "official": Preset(
        name="official",
        unk_policy="always",
        punct_exclude=frozenset({"PUNCT", "SYM"}),
        tree_level_punct=True,
        lcm_root_label=False,
        mst_single_root=False,
        select_with_punct=True,
        char_pool_padding=True,
    ),
    "clean": Preset(
        name="clean",
        unk_policy="train_half",
        punct_exclude=frozenset({"PUNCT"}),
        tree_level_punct=False,
        lcm_root_label=True,
        mst_single_root=True,
        select_with_punct=False,
        char_pool_padding=False,
    ),
}


def preset(name: str) -> Preset:
    """The preset called `name`; ValueError names the choices when there is none."""
    if name not in PRESETS:
        raise ValueError(f"unknown preset {name!r}; choose one of {', '.join(PRESETS)}")
    return PRESETS[name]
