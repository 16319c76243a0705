"""The index page of a folder of records: every table, figure and drawing in the order of the paper, with its files."""

from pathlib import Path

from bcrlib.report.tables import TEMPLATES, Record, read_record, render, to_html, write_text

_SECTIONS = {"table": "Tables", "figure": "Figures", "drawing": "Sentences"}


def write_index(figures_folder: Path, profile: str) -> Path:
    """Writes figures_folder/index.html, the page of all records (*.json) in that folder, and returns its path.

    It links the files beside it and needs nothing else.  Equal folders give equal bytes.  ValueError names a JSON file
    that is no record, or a figure without a picture.
    """
    folder = Path(figures_folder)
    sections: dict[str, list[dict[str, object]]] = {heading: [] for heading in _SECTIONS.values()}
    for record in sorted(map(read_record, sorted(folder.glob("*.json"))), key=_paper_order):
        files = [f"{record.name}.{ending}" for ending in ("json", "md", "tex", "svg", "png")]
        files = [file for file in files if (folder / file).is_file()]
        pictures = [file for file in files if file.endswith((".svg", ".png"))]
        if record.kind != "table" and not pictures:
            raise ValueError(f"{folder / record.name}: neither .svg nor .png beside the record")
        shown = {"table": to_html(record), "picture": ""} if record.kind == "table" else {"picture": pictures[0]}
        sections[_SECTIONS[record.kind]].append({"record": record, "files": files, "table": "", **shown})
    values = {"profile": profile, "sections": [section for section in sections.items() if section[1]]}
    write_text(folder / "index.html", render(TEMPLATES / "index.html", values))
    return folder / "index.html"


def _paper_order(record: Record) -> tuple[float, str]:
    digits = "".join(filter(str.isdigit, record.name.split("_")[0]))
    return 0.0 if record.name.startswith("headline") else float(digits or "inf"), record.name
