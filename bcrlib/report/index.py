"""The index page's template (jinja2, autoescaped).

One page that shows every table and figure of a profile beside the paper's numbers.
"""

from dataclasses import dataclass
from pathlib import Path

import jinja2

from bcrlib.report.tables import Record, read_record, to_html, write_text

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>bcrlib: results of the {{ profile }} profile</title>
<style>
:root { --ink: #111827; --soft: #4b5563; --line: #e5e7eb; --paper: #faf6ec; --accent: #0072b2; }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: #fff;
  font: 16px/1.55 system-ui, "Segoe UI", "DejaVu Sans", Verdana, sans-serif; }
main, header { max-width: 1180px; margin: 0 auto; padding: 0 28px; }
header { padding-top: 40px; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 10px; }
h2 { font-size: 14px; letter-spacing: .08em; text-transform: uppercase; color: var(--soft);
  margin: 56px 0 0; padding-bottom: 6px; border-bottom: 2px solid var(--ink); }
h3 { font-size: 20px; line-height: 1.3; margin: 0 0 6px; }
h3 .label { color: var(--accent); margin-right: .35em; }
p { margin: 0 0 12px; max-width: 80ch; }
.caption, .note { color: var(--soft); }
.profile { display: inline-block; padding: 1px 10px; border-radius: 99px; background: var(--ink);
  color: #fff; font-size: 14px; margin-bottom: 14px; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(240px, 1fr)); gap: 12px 28px;
  margin: 22px 0; }
dt { font-weight: 700; }
dd { margin: 0; color: var(--soft); font-size: 15px; }
nav ol { list-style: none; margin: 8px 0 0; padding: 0; }
nav li { padding: 5px 0; border-bottom: 1px solid var(--line); }
nav a { display: grid; grid-template-columns: 11em 1fr; text-decoration: none; }
nav a:hover { text-decoration: underline; }
nav b { color: var(--accent); }
a { color: inherit; text-decoration-color: #9ca3af; text-underline-offset: 3px; }
section { padding: 30px 0 26px; border-bottom: 1px solid var(--line); }
.scroll { overflow-x: auto; margin: 14px 0; }
img { max-width: 100%; height: auto; display: block; }
img.drawing { max-width: none; }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { padding: 6px 10px; text-align: right; white-space: nowrap; vertical-align: top; }
thead th { font-weight: 600; text-align: right; padding-bottom: 3px; }
thead .level, thead .metric { text-align: center; }
thead .level { border-bottom: 1px solid var(--ink); font-size: 15px; }
thead .paper, thead .ours { font-size: 12px; font-weight: 500; color: var(--soft); }
thead tr:last-child th { border-bottom: 1px solid var(--ink); }
thead .command, td:last-child code { text-align: left; }
tbody th { text-align: left; font-weight: 500; }
tbody tr.group th { font-weight: 650; padding: 10px 10px 2px; border-top: 1px solid var(--line); }
tbody tr:last-child th, tbody tr:last-child td { border-bottom: 2px solid var(--ink); }
th.paper, td.paper { background: var(--paper); }
td.paper { color: var(--soft); }
td.ours { font-weight: 650; }
td.missing { font-weight: 400; color: #9ca3af; }
small { display: block; font-weight: 400; font-size: 11.5px; line-height: 1.25; color: var(--soft); }
code { font: 13px/1.4 ui-monospace, "DejaVu Sans Mono", Consolas, monospace; }
.source { font-size: 13px; color: var(--soft); display: grid; grid-template-columns: 7em 1fr; gap: 2px 8px; }
.source code { overflow-wrap: anywhere; }
footer { max-width: 1180px; margin: 0 auto; padding: 24px 28px 60px; color: var(--soft); font-size: 14px; }
@media print { section { break-inside: avoid; } }
</style>
</head>
<body>
<header>
<div class="profile">profile: {{ profile }}</div>
<h1>A better parser still breaks sentences that worked.<br>How many, and what prevents it?</h1>
{% if note %}<p class="note">{{ note }}</p>
{% endif %}
<dl>
<div><dt>NFR, negative flip rate</dt><dd>share of all items that the old model got right and the new one
gets wrong. Lower is better.</dd></div>
<div><dt>NFI, negative flip impact</dt><dd>share of the new model's errors that the old model did not make:
NFR / (1 &minus; ACC). Lower is better.</dd></div>
<div><dt>UAS, LAS, UCM, LCM</dt><dd>an item is a word with its head (UAS) and relation (LAS), or a whole
sentence with all heads (UCM) and relations (LCM) right.</dd></div>
<div><dt>span EM, EM</dt><dd>an item is a span of words with its intents and slots (span EM), or the whole frame of
an utterance (EM) right.</dd></div>
<div><dt>BCR, backward-congruent re-ranking</dt><dd>the new model proposes candidates, the old model
chooses the one it finds most probable.</dd></div>
</dl>
<nav><ol>
{% for heading, entries in sections %}{% for entry in entries %}
<li><a href="#{{ entry.record.name }}"><b>{{ entry.record.label }}</b>{{ entry.record.title }}</a></li>
{% endfor %}{% endfor %}
</ol></nav>
</header>
<main>
{% for heading, entries in sections %}
<h2>{{ heading }}</h2>
{% for entry in entries %}
<section id="{{ entry.record.name }}">
<h3><span class="label">{{ entry.record.label }}</span>
{# a figure carries its claim itself #}
{% if entry.record.kind != "figure" %}{{ entry.record.title }}{% endif %}</h3>
<p class="caption">{{ entry.record.caption }}</p>
<div class="scroll">{{ entry.content | safe }}</div>
<div class="source">
<span>command</span><code>{{ entry.record.command }}</code>
<span>signature</span><code>{{ entry.record.signature }}</code>
<span>files</span><span>{% for file in entry.files %}<a href="{{ file }}">{{ file }}</a>
{{ " " if not loop.last }}{% endfor %}</span>
</div>
</section>
{% endfor %}
{% endfor %}
</main>
<footer>Paper: Cai, Mansimov, Lai, Su, Shu, Zhang: Measuring and Reducing Model Update Regression in
Structured Prediction for NLP (NeurIPS 2022). Columns &ldquo;paper&rdquo; are its printed numbers;
&ldquo;ours&rdquo; were computed by the command under each table.</footer>
</body>
</html>
"""


PROFILE_NOTES = {
    "demo": "Tiny parsers on sentences generated by our own grammars: updates break and re-ranking repairs here "
    "too, but sizes and the order of methods are those of a toy. The paper's numbers (real English, full-size "
    "parsers) are shown for orientation.",
    "small": "Real English (UD EWT 2.2, TOP 1.1) with smaller networks, far shorter training, fewer seeds and other "
    "word vectors and encoders than the paper's: accuracies are lower, flip rates comparable.",
    "causes": "Small parsers on a share of real English (UD EWT 2.2, TOP 1.1), one pair of seeds for each recipe: what "
    "moves the numbers, not what they are worth.",
    "paper": "Real English (UD EWT 2.2, TOP 1.1) with the paper's network sizes and number of seeds.",
}
_SECTIONS = {"table": "Tables", "figure": "Figures", "drawing": "Sentences"}


@dataclass(frozen=True)
class _Entry:
    """A record ready for the page: its numbers or picture as HTML, and the files beside it."""

    record: Record
    content: str
    files: list[str]


def write_index(figures_folder: Path, profile: str) -> Path:
    """Writes figures_folder/index.html from the records (*.json) in that folder and returns its path.

    The page shows the pictures beside it and links the numbers, Markdown and LaTeX there; of other places it needs
    nothing. Equal folders give equal bytes. ValueError names a JSON file that is no record, or a figure without a
    picture.
    """
    folder = Path(figures_folder)
    entries = [_entry(read_record(path), folder) for path in sorted(folder.glob("*.json"))]
    entries.sort(key=lambda entry: _paper_order(entry.record.name))
    sections = [
        (heading, [entry for entry in entries if entry.record.kind == kind]) for kind, heading in _SECTIONS.items()
    ]
    template = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(PAGE)
    note = PROFILE_NOTES.get(profile, "")
    shown = [section for section in sections if section[1]]
    page = folder / "index.html"
    write_text(page, template.render(profile=profile, note=note, sections=shown))
    return page


def _paper_order(name: str) -> tuple[float, str]:
    if name.startswith("headline"):
        return (0, name)
    digits = "".join(c for c in name.split("_")[0] if c.isdigit())
    return (float(digits) if digits else float("inf"), name)


def _entry(record: Record, folder: Path) -> _Entry:
    files = [f"{record.name}{end}" for end in (".json", ".md", ".tex", ".svg", ".png")]
    files = [name for name in files if (folder / name).is_file()]
    content = to_html(record) if record.kind == "table" else _picture(record, folder)
    return _Entry(record, content, files)


def _picture(record: Record, folder: Path) -> str:
    for file in (f"{record.name}.svg", f"{record.name}.png"):
        if (folder / file).is_file():
            alt = jinja2.filters.escape(record.title)
            return f'<img class="{record.kind}" src="{file}" alt="{alt}" loading="lazy">'
    raise ValueError(f"{folder / record.name}: neither .svg nor .png beside the record")
