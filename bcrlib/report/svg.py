"""Pieces of the SVG files that are written by hand: a page, a text; whatever the text, the file stays well-formed."""

import unicodedata
from collections.abc import Sequence
from html import escape

FONT = "DejaVu Sans, Verdana, Arial, sans-serif"
_NOT_IN_XML = {"Cc", "Cs", "Cn"}
_TURNING = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # what stands behind them, too


def printable(content: str) -> str:
    """The text with what may stand in a word, but not in XML or on a terminal, replaced.

    Control characters, and those that turn the direction of the text behind them.
    """
    if content.isprintable():
        return content
    bad = (c in _TURNING or unicodedata.category(c) in _NOT_IN_XML for c in content)
    return "".join("\ufffd" if is_bad else c for c, is_bad in zip(content, bad))


def escaped(content: str) -> str:
    """The text with markup escaped and control characters replaced."""
    return escape(printable(content))


def text_at(x: float, y: float, size: float, content: str, style: str = "") -> str:
    """One line of text whose baseline is at y; `style` holds further attributes."""
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" {style}>{escaped(content)}</text>'


def page(width: float, height: float, alt: str, body: Sequence[str]) -> str:
    """A whole file: white ground, `alt` for who cannot see it, the elements of `body` on top."""
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" font-family="{FONT}">'
    back = '<rect width="100%" height="100%" fill="#fff"/>'
    return "\n".join([head, f"<title>{escaped(alt)}</title>", back, *body, "</svg>"]) + "\n"
