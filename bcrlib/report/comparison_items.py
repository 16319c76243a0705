"""One item of an update as lines of plain text: gold, old and new beside each other."""

import textwrap
from collections.abc import Sequence

from bcrlib.comparison.views import FrameView, Tree, TreeView, ValueView, View
from bcrlib.report.comparison_rows import clip
from bcrlib.report.draw_trees import NEGATIVE, POSITIVE, SAME, STILL_WRONG, changes
from bcrlib.report.svg import printable

WIDTH = 96
LONGEST_TEXT, LONGEST_CELL = 400, 24  # characters
MOST_WORDS = 12
MARKS = {NEGATIVE.name: "-", POSITIVE.name: "+", STILL_WRONG.name: "~"}
LEGEND = "Marks: - broken, + repaired, ~ changed from wrong to wrong; words that do not count have them, too."
SIDES = ("gold", "old", "new")
MISSING, NO_TREE = "(missing)", "(no tree)"


def item_lines(view: View) -> list[str]:
    """What is shown of an item, in lines of at most `WIDTH` characters; control characters are replaced.

    Of trees the words whose head or relation changed, of frames and values all three.  O(characters).
    """
    if isinstance(view, TreeView):
        return _tree_lines(view)
    return [line for name, text in zip(SIDES, item_values(view)) for line in _wrapped(text, f"{name:<5}", " " * 5)]


def item_values(view: FrameView | ValueView) -> tuple[str, ...]:
    """Gold, old and new as text.  O(1)."""
    if isinstance(view, FrameView):
        frames = zip((view.gold, view.old, view.new), view.texts)
        return tuple(text if frame is not None else f"{NO_TREE} {text}" for frame, text in frames)
    return view.gold, view.old, MISSING if view.new is None else view.new


def tree_changes(view: TreeView) -> list[str]:
    """The kind of change of every word, by name; of heads and relations together.  O(words)."""
    new = view.new or Tree([-1] * len(view.forms), [""] * len(view.forms))
    kinds, _, _ = changes(*(list(zip(tree.heads, tree.relations)) for tree in (view.old, new, view.gold)))
    return [kind.name for kind in kinds]


def _tree_lines(view: TreeView) -> list[str]:
    lines = _wrapped(" ".join(view.forms), "", "")
    if view.new is None:
        return lines
    kinds = tree_changes(view)
    changed = [word for word, kind in enumerate(kinds) if kind != SAME.name]
    chosen = sorted(changed, key=lambda word: kinds[word] != NEGATIVE.name)[:MOST_WORDS]
    rows = [("", "word", "gold", "old", "new")]
    for word in sorted(chosen):
        sides = (_arc(view.forms, tree, word) for tree in (view.gold, view.old, view.new))
        rows.append((MARKS[kinds[word]], _cell(f"{word + 1} {view.forms[word]}"), *sides))
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    return lines + ([f"   and {len(changed) - MOST_WORDS} more words"] if len(changed) > MOST_WORDS else [])


def _arc(forms: Sequence[str], tree: Tree, word: int) -> str:
    head = tree.heads[word]
    return _cell(f"{clip(tree.relations[word], 12)} ({f'{head} {forms[head - 1]}' if head else 'root'})")


def _cell(text: str) -> str:
    return printable(clip(text, LONGEST_CELL))


def _wrapped(text: str, first: str, following: str) -> list[str]:
    shown = printable(clip(text, LONGEST_TEXT))
    return textwrap.wrap(shown, WIDTH, initial_indent=first, subsequent_indent=following) or [first.rstrip()]
