"""An HTML page taken apart: its tags, attributes and text; every tag must be closed."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """`open` is empty at the end of a well-formed page."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(content)

    def values(self, *names: str) -> list[str | None]:
        """Of these attributes, in the order of the page."""
        return [value for name, value in self.attributes if name in names]

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in ("meta", "br", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
