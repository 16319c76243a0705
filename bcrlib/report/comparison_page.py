"""The template of the report on an update as one HTML page (jinja2, autoescaped): no script, nothing from elsewhere."""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{{ headline }}: may this update ship?</title>
<style>
:root { color-scheme: light dark; --ink: #111827; --soft: #4b5563; --line: #e5e7eb; --ground: #fff; --card: #fff;
  --page: #f6f7f9; --bad: #c8501e; --bad-tint: #fbe3d8; --good: #0072b2; --good-tint: #dcebf5; --floor: #d4d8de; }
@media (prefers-color-scheme: dark) {
:root { --ink: #e8eaed; --soft: #a3abb8; --line: #333a45; --ground: #14171c; --card: #1b1f26; --page: #14171c;
  --bad: #f08a5d; --bad-tint: #4a2818; --good: #5cb3e6; --good-tint: #15384d; --floor: #454d59; }
.drawing svg { filter: invert(.9) hue-rotate(180deg); } }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: var(--page);
  font: 16px/1.5 system-ui, "Segoe UI", "DejaVu Sans", Verdana, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 28px; line-height: 1.2; margin: 12px 0 8px; }
h2 { font-size: 19px; line-height: 1.3; margin: 0 0 10px; }
p { margin: 0 0 8px; max-width: 85ch; overflow-wrap: anywhere; }
.soft, .note { color: var(--soft); }
.note { font-size: 14px; margin-top: 10px; }
.badge { display: inline-block; padding: 4px 14px; border-radius: 99px; font-weight: 700; }
.failed { background: var(--bad-tint); color: var(--bad); }
.passed { background: var(--good-tint); color: var(--good); }
.none { background: var(--line); color: var(--soft); }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 20px;
  margin-top: 18px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 14.5px; font-variant-numeric: tabular-nums; }
th, td { padding: 6px 12px; text-align: right; white-space: nowrap; vertical-align: top; }
th:first-child, td:first-child { padding-left: 0; }
th { font-weight: 600; color: var(--soft); border-bottom: 1px solid var(--line); }
td { border-bottom: 1px solid var(--line); }
tr:last-child td { border-bottom: 0; }
.name { text-align: left; }
td.name:first-child { font-weight: 650; }
td small { color: var(--soft); font-size: 12.5px; }
.fail td:first-child { color: var(--bad); }
.pass td:first-child { color: var(--good); }
.meter { width: 130px; height: 9px; border-radius: 5px; background: var(--line); margin-top: 7px; overflow: hidden; }
.meter i { display: block; height: 100%; background: var(--bad); }
details { margin-top: 10px; }
summary { cursor: pointer; font-weight: 650; padding: 4px 0; }
.chart { width: 100%; min-width: 520px; max-width: 810px; height: auto; display: block; }
.chart .axis { stroke: var(--line); fill: none; } .chart .floor { fill: var(--floor); }
.chart .limit { stroke: var(--ink); stroke-width: 2; stroke-dasharray: 4 3; fill: none; }
.chart .bar { stroke: var(--bad); stroke-width: 3; stroke-linecap: round; fill: none; }
.chart .dot { fill: var(--bad); }
.chart .ink { fill: var(--ink); } .chart .soft { fill: var(--soft); }
.key span { margin-right: 22px; white-space: nowrap; }
.key b { display: inline-block; width: 22px; height: 11px; border-radius: 3px; margin-right: 7px; }
.key .k-dot { width: 11px; border-radius: 50%; background: var(--bad); } .key .k-floor { background: var(--floor); }
.key .k-limit { width: 0; height: 15px; border-left: 2px dashed var(--ink); border-radius: 0; vertical-align: -3px; }
.item { border-top: 1px solid var(--line); padding: 16px 0 6px; }
.item h3 { font-size: 16px; margin: 0 0 6px; overflow-wrap: anywhere; }
.item h3 code { background: var(--line); border-radius: 5px; padding: 1px 8px; margin-right: 6px; font-size: 14.5px; }
.item h3 span { font-weight: 400; color: var(--soft); }
.drawings { display: flex; flex-wrap: wrap; gap: 8px; margin: 8px 0; }
.drawing { overflow-x: auto; max-width: 100%; border: 1px solid var(--line); border-radius: 8px; padding: 4px;
  background: var(--card); }
.drawing svg { display: block; }
pre { font: 13px/1.45 ui-monospace, "DejaVu Sans Mono", Consolas, monospace; overflow-x: auto; margin: 6px 0; }
.values { display: grid; grid-template-columns: repeat(auto-fit, minmax(240px, 1fr)); gap: 12px; }
.values div { border: 1px solid var(--line); border-radius: 8px; padding: 8px 12px; overflow-wrap: anywhere; }
.values b { display: block; font-size: 13px; color: var(--soft); }
.values .new { border-color: var(--bad); }
@media (max-width: 600px) { main { padding: 16px 10px 40px; } section { padding: 14px; } h1 { font-size: 23px; }
  th, td { padding: 6px 8px; } }
@media print { section { break-inside: avoid; } }
</style>
</head>
<body>
{% macro table(content, meter=none) %}
<div class="scroll"><table>
<tr>{% for head in content.heads %}
<th{% if loop.index0 < content.num_names %} class="name"{% endif %}>{{ head }}</th>{% endfor %}
{% if meter %}<th></th>{% endif %}</tr>
{% for row in content.rows %}
<tr{% if row[0] in ("pass", "FAIL") and not meter %} class="{{ row[0] | lower }}"{% endif %}>{% for cell in row %}
<td{% if loop.index0 < content.num_names %} class="name"{% endif %}>{{ cell | number }}</td>{% endfor %}
{% if meter %}<td><div class="meter"><i style="width:{{ meter[loop.index0] }}%"></i></div></td>{% endif %}</tr>
{% endfor %}
</table></div>
{% if content.note %}<p class="note">{{ content.note }}</p>{% endif %}
{% endmacro %}
<main>
<span class="badge {{ state }}">{{ headline }}</span>
<h1>May this update ship?</h1>
<p>{{ summary }}</p>
<p class="soft">{% for line in setting %}{{ line }} {% endfor %}</p>
{% if gate %}
<section><h2>Gate</h2>{{ table(gate) }}
{% if more_checks %}<p class="note">and {{ more_checks }} more checks</p>{% endif %}</section>
{% endif %}
<section>
<h2>{{ flips.title }}</h2>
<div class="scroll">{{ chart | safe }}</div>
<p class="note key"><span><b class="k-dot"></b>NFR with its 95 % interval</span>
{% if has_noise %}<span><b class="k-floor"></b>retraining alone, least to most</span>{% endif %}
{% if has_limits %}<span><b class="k-limit"></b>the gate's limit</span>{% endif %}</p>
{{ table(flips) }}
</section>
{% for content in others %}
<section><h2>{{ content.title }}</h2>{{ table(content) }}</section>
{% endfor %}
{% if slices %}
<section>
<h2>Slices, the most harmed first</h2>
{% for name, content, meter, num_harmed, num_slices in slices %}
<details{% if loop.last %} open{% endif %}>
<summary>{{ name }}: {{ num_harmed }} of {{ num_slices }} slices harmed beyond chance</summary>
{% if content.rows %}{{ table(content, meter) }}{% else %}<p>No slice breaks more than the rest.</p>{% endif %}
</details>
{% endfor %}
<p class="note">{{ slice_note }}</p>
</section>
{% endif %}
{% if worst %}
<section>
<h2>Worst items, by broken parts</h2>
{% for item in worst %}
<div class="item">
<h3><code>{{ item.id }}</code><span>{{ item.told }}</span></h3>
{% if item.drawings %}
<div class="drawings">{% for drawing in item.drawings %}
<div class="drawing">{{ drawing | safe }}</div>{% endfor %}</div>
{% endif %}
{% if item.values %}
<div class="values">{% for name, text in item.values %}
<div class="{{ name }}"><b>{{ name }}</b>{{ text }}</div>{% endfor %}</div>
{% endif %}
{% if item.lines %}<pre>{{ item.lines | join("\\n") }}</pre>{% endif %}
</div>
{% endfor %}
<p class="note">{{ drawing_note }}</p>
</section>
{% endif %}
</main>
</body>
</html>
"""
