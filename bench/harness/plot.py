"""A plot of bars as SVG, a panel for each scene that tells most; readable by day and by night."""

from html import escape
from pathlib import Path

from .bench import Table
from .peers import title
from .report import COLUMNS

# Scenes of the plot, two in a row.
SHOWN = ("memory-1k", "memory-100k", "not-modified", "redis-1k")
WIDTH, LABELS, VALUES, MARGIN = 440, 150, 56, 12
BAR, GAP, TITLE = 16, 6, 44

STYLE = """
.back { fill: #ffffff }
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600; font-size: 13px }
.unit { fill: #59636e }
.pannier { fill: #0b7a55 }
.limit { fill: #b4bcc5 }
.peer { fill: #5f87c2 }
@media (prefers-color-scheme: dark) {
  .back { fill: #0d1117 }
  text { fill: #e6edf3 }
  .unit { fill: #9198a1 }
  .pannier { fill: #2fb985 }
  .limit { fill: #57606a }
  .peer { fill: #6f9bdc }
}
"""


def write_svg(tables: list[Table], path: Path) -> None:
    """Nothing, where no scene of the plot has run."""
    shown = [table for name in SHOWN for table in tables if table.name == name]
    if not shown:
        return
    panels, top = [], MARGIN
    for at in range(0, len(shown), 2):
        row = [_panel(table, WIDTH * side, top) for side, table in enumerate(shown[at : at + 2])]
        panels += [panel for panel, _ in row]
        top += max(height for _, height in row)
    width = WIDTH * min(len(shown), 2)
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top}" width="{width}" '
        f'height="{top}" role="img"><title>Processor time of an answer, by server</title>'
        f'<style>{STYLE}</style><rect class="back" width="100%" height="100%"/>\n'
        + "\n".join(panels)
        + "\n</svg>\n"
    )


def _panel(table: Table, left: int, top: int) -> tuple[str, int]:
    """One scene's bars, the shortest first, and the height they take."""
    values = {row: table.median(row, table.compared) for row in table.samples}
    values = {row: value for row, value in values.items() if value is not None}
    heading, form, _ = COLUMNS[table.compared]
    better = "less is better" if table.less else "more is better"
    x = left + MARGIN
    parts = [
        f'<text class="title" x="{x}" y="{top + 14}">{escape(table.title)}</text>',
        f'<text class="unit" x="{x}" y="{top + 31}">{escape(heading)} an answer, {better}</text>',
    ]
    most, y = max(values.values(), default=0) or 1, top + TITLE
    for row in sorted(values, key=values.__getitem__, reverse=not table.less):
        length = max(1.0, values[row] / most * (WIDTH - LABELS - VALUES - MARGIN))
        parts.append(_bar(row, form.format(values[row]), left + LABELS, y, length))
        y += BAR + GAP
    return "".join(parts), y - top + MARGIN


def _bar(row: str, value: str, left: int, top: int, length: float) -> str:
    kind = "limit" if row.startswith("limit-") else "pannier" if row == "pannier" else "peer"
    baseline = top + BAR - 4
    return (
        f'<text x="{left - 8}" y="{baseline}" text-anchor="end">{escape(title(row))}</text>'
        f'<rect class="{kind}" x="{left}" y="{top}" width="{length:.1f}" height="{BAR}" rx="2"/>'
        f'<text x="{left + length + 6:.1f}" y="{baseline}">{escape(value)}</text>'
    )
