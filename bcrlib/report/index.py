"""The index page of a folder of records: every table, figure and drawing in the order of the paper, with its files."""

import math
from pathlib import Path

from bcrlib.report.tables import TEMPLATES, Record, read_record, render, to_html, write_text

_SECTIONS = {"table": "Tables", "figure": "Figures", "drawing": "Sentences"}
_PICTURES = ("svg", "png")


def write_index(figures_folder: Path, profile: str) -> Path:
    """Writes figures_folder/index.html, the page of all records (*.json) in that folder, and returns its path.

    It links the files beside it and needs nothing else.  Equal folders give equal bytes.  ValueError names a JSON file
    that is no record, or a figure without a picture.
    """
    folder = Path(figures_folder)
    sections: dict[str, list[dict[str, object]]] = {heading: [] for heading in _SECTIONS.values()}
    for record in sorted(map(read_record, sorted(folder.glob("*.json"))), key=_paper_order):
        beside = [end for end in ("json", "md", "tex", *_PICTURES) if (folder / f"{record.name}.{end}").is_file()]
        files = {end: f"{record.name}.{end}" for end in beside}
        picture = next((files[end] for end in _PICTURES if end in files), "") if record.kind != "table" else ""
        if record.kind != "table" and not picture:
            raise ValueError(f"{folder / record.name}: neither .svg nor .png beside the record")
        entry = {"record": record, "files": files.values(), "picture": picture}
        entry["table"] = to_html(record) if record.kind == "table" else ""
        sections[_SECTIONS[record.kind]].append(entry)
    values = {"profile": profile, "sections": [section for section in sections.items() if section[1]]}
    write_text(folder / "index.html", render(TEMPLATES / "index.html", values))
    return folder / "index.html"


def _paper_order(record: Record) -> tuple[float, str]:
    if record.name.startswith("headline"):
        return (0, record.name)
    digits = "".join(c for c in record.name.split("_")[0] if c.isdigit())
    return (float(digits) if digits else math.inf, record.name)
