"""A plot of bars as SVG, one panel a scene; written by hand, since it needs nothing more."""

from html import escape
from pathlib import Path

from .bench import Table
from .peers import TITLES
from .report import COLUMNS

WIDTH, LABELS, VALUES = 720, 170, 70
BAR, GAP, TITLE = 18, 6, 46
OWN, LIMIT, OTHER = "#0b6e4f", "#b8b8b8", "#6c8ebf"


def write_svg(tables: list[Table], path: Path) -> None:
    panels, top = [], 10
    for table in tables:
        panel, height = _panel(table, top)
        panels.append(panel)
        top += height
    style = "text{font:13px system-ui,sans-serif;fill:#222}.t{font-weight:600}.s{fill:#666}"
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" width="{WIDTH}" '
        f'height="{top}"><style>{style}</style><rect width="100%" height="100%" fill="#fff"/>'
        + "".join(panels)
        + "</svg>\n"
    )


def _panel(table: Table, top: int) -> tuple[str, int]:
    values = {row: table.median(row, table.compared) for row in table.samples}
    values = {row: value for row, value in values.items() if value is not None}
    heading, form = COLUMNS[table.compared]
    better = "less is better" if table.less else "more is better"
    parts = [
        f'<text class="t" x="10" y="{top + 16}">{escape(table.title)}</text>',
        f'<text class="s" x="10" y="{top + 34}">{escape(heading)}, {better}</text>',
    ]
    most = max(values.values(), default=0) or 1
    y = top + TITLE
    for row, value in values.items():
        length = max(1.0, value / most * (WIDTH - LABELS - VALUES - 20))
        colour = LIMIT if row.startswith("limit-") or row == "direct" else OTHER
        colour = OWN if row == "pannier" else colour
        label, told = escape(TITLES.get(row, row)), escape(form.format(value))
        parts.append(
            f'<text x="{LABELS}" y="{y + 13}" text-anchor="end">{label}</text>'
            f'<rect x="{LABELS + 8}" y="{y}" width="{length:.1f}" height="{BAR}" fill="{colour}"/>'
            f'<text x="{LABELS + 14 + length:.1f}" y="{y + 13}">{told}</text>'
        )
        y += BAR + GAP
    return "".join(parts), y - top + 14
