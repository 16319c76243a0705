"""What counts as right, in a line for people: the definitions under the numbers of `bcr evaluate` and `bcr compare`."""

from bcrlib.presets import Preset

SPAN_DEFINITIONS = {
    "labelled": "a span is right with gold's labels; intents and slots differ",
    "subtree": "a span is right with gold's complete sub-tree; an intent and a slot of the same name are equal",
}


def describe_spans(definitions: Preset) -> str:
    """The definitions of semantic frames: when a span is right."""
    return f"Definitions: {definitions.name}; {SPAN_DEFINITIONS[definitions.span_em]}."


def describe_words(definitions: Preset) -> str:
    """The definitions of dependency trees: which words count, and which of them whole trees compare."""
    left_out = ", ".join(sorted(definitions.punct_exclude))
    trees = "all words" if definitions.tree_level_punct else "these words"
    root = "" if definitions.lcm_root_label else ", without the relation of the word at the root"
    return f"Definitions: {definitions.name}; words except {left_out}; whole trees over {trees}{root}."
