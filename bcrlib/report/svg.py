"""Pieces of the SVG files that are written by hand: a page, a text; whatever the text, the file stays well-formed."""

import unicodedata
from collections.abc import Sequence
from html import escape

FONT = "DejaVu Sans, Verdana, Arial, sans-serif"
_NOT_IN_XML = {"Cc", "Cs", "Cn"}


def printable(content: str) -> str:
    """The text with control characters, which may stand in a word but not in XML or on a terminal, replaced."""
    if content.isprintable():
        return content
    return "".join("\ufffd" if unicodedata.category(c) in _NOT_IN_XML else c for c in content)


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
