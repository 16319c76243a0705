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
    """Whether decoding allows exactly one child of the artificial root, and gives it alone the relation `root`."""
    select_with_punct: bool
    """Whether the dev score that selects a checkpoint counts punctuation."""
    char_pool_padding: bool
    """Whether the character CNN's maximum runs over padding positions as well."""
    stackptr_padding_scored: bool
    """Whether padding takes part in the pointer softmax of training and re-ranking, with score 0: then a tree's
    score depends on the longest sentence of its batch."""
    stackptr_pop_label: bool
    """Whether finishing a word is given a label, a symbol of its own, in training, decoding and scoring."""
    stackptr_any_order: bool
    """Whether decoding may attach the children of a head in any order, so that several sequences of actions lead to
    the same tree; training and scoring know one, from the inside out."""
    stackptr_dropout_encoder_only: bool
    """Whether dropout-p leaves out the masks behind the decoder's recurrence: on its output and the projections."""
    span_em: Literal["subtree", "labelled"]
    """Which gold spans of a semantic frame are right: those whose complete sub-tree the prediction has as well, with
    intents and slots compared by the name behind the colon, or those that carry the same labels over the same words."""
    s2s_length_normalised: bool
    """Whether candidates of the s2s parser are ranked by the mean log-probability of their symbols, not by the sum."""
    s2s_masks_per_step: bool
    """Whether dropout-p draws new masks in the s2s decoder at every step, so that no sample is one sub-network."""
    s2s_attention_dropout_fixed: bool
    """Whether dropout-p drops attention weights at the rate of the training, not at its own where that is lower."""
    s2s_beam_lists_ended: bool
    """Whether a beam of the s2s parser lists the first hypotheses that end and then stops, as fairseq's does; or what
    has ended stays in the beam until something better drives it out."""


SPAN_DEFINITIONS = {
    "labelled": "a span is right with gold's labels; intents and slots differ",
    "subtree": "a span is right with gold's complete sub-tree; an intent and a slot of the same name are equal",
}
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
        stackptr_padding_scored=True,
        stackptr_pop_label=True,
        stackptr_any_order=True,
        stackptr_dropout_encoder_only=True,
        span_em="subtree",
        s2s_length_normalised=True,
        s2s_masks_per_step=True,
        s2s_attention_dropout_fixed=True,
        s2s_beam_lists_ended=True,
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
        stackptr_padding_scored=False,
        stackptr_pop_label=False,
        stackptr_any_order=False,
        stackptr_dropout_encoder_only=False,
        span_em="labelled",
        s2s_length_normalised=False,
        s2s_masks_per_step=False,
        s2s_attention_dropout_fixed=False,
        s2s_beam_lists_ended=False,
    ),
}


def preset(name: str) -> Preset:
    """The preset called `name`; ValueError names the choices when there is none."""
    if name not in PRESETS:
        raise ValueError(f"unknown preset {name!r}; choose one of {', '.join(PRESETS)}")
    return PRESETS[name]
