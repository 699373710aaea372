"""Tables for people (text, Markdown) and for programs (CSV)."""

import csv
from pathlib import Path

from .bench import Ratio, Table
from .peers import title
from .targets import Target

# A column's heading, its format, and whether its spread over the rounds is told beside the median.
COLUMNS = {
    "rps": ("requests/s", "{:,.0f}", True),
    "busy_percent": ("busy %", "{:.0f}", False),
    "cpu_us": ("CPU µs", "{:.2f}", True),
    "p50_us": ("p50 µs", "{:,.0f}", True),
    "p99_us": ("p99 µs", "{:,.0f}", True),
    "p999_us": ("p99.9 µs", "{:,.0f}", True),
    "max_us": ("max µs", "{:,.0f}", False),
    "memory_mb": ("MB", "{:,.1f}", False),
    "over_direct_us": ("p50 over direct", "{:+,.0f}", False),
    "app_per_key": ("app requests/key", "{:.1f}", False),
    "quiet_p99_us": ("p99 µs in peace", "{:,.0f}", True),
    "purge_p50_us": ("a purge, p50 µs", "{:,.0f}", True),
    "hit_percent": ("hits %", "{:.1f}", False),
    "app_percent": ("reach the app %", "{:.1f}", False),
    "writes_p50_us": ("writes p50 µs", "{:,.0f}", True),
    "stale_reads": ("stale reads", "{:.0f}", False),
    "mb_per_s": ("MB/s", "{:,.0f}", True),
    "cpu_seconds": ("CPU s", "{:.2f}", True),
    "spread_cpu_us": ("CPU µs, spread", "{:.2f}", True),
    "bytes_over_body": ("bytes/entry over body and fields", "{:.0f}", False),
    "capacity_rps": ("capacity, requests/s", "{:,.0f}", True),
}


def rows(table: Table) -> list[list[str]]:
    """Heading and rows: medians over the rounds with their spread, and quotients."""
    ratios = table.ratios or _usual(table)
    found = [[""] + [COLUMNS[it][0] for it in table.columns] + [it.heading for it in ratios]]
    for row in table.samples:
        cells = [title(row)] + [_cell(table, row, column) for column in table.columns]
        for ratio in ratios:
            value = table.quotient(row, ratio.column, ratio.against(row))
            cells.append("" if value is None else f"{value:.2f}")
        found.append(cells)
    return found


def text(table: Table) -> str:
    cells = rows(table)
    widths = [max(len(row[at]) for row in cells) for at in range(len(cells[0]))]
    lines = [f"\n{table.title}"]
    for row in cells:
        aligned = [row[0].ljust(widths[0])]
        aligned += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  " + "  ".join(aligned).rstrip())
    lines += [f"  {note}" for note in table.notes]
    return "\n".join(lines)


def markdown(tables: list[Table], facts: dict[str, str], method: str, targets: list[Target]) -> str:
    lines = ["# Results", ""]
    if targets:
        lines += ["## Targets", "", *targets_table(targets), ""]
    lines += ["## Machine and method", "", "| | |", "| --- | --- |"]
    lines += [f"| {name} | {value} |" for name, value in facts.items()]
    lines += ["", method.strip(), ""]
    for table in tables:
        heading, *rest = rows(table)
        lines += [f"## {table.title}", "", table.about, ""]
        lines.append("| " + " | ".join(heading) + " |")
        lines.append("| --- |" + " ---: |" * (len(heading) - 1))
        lines += ["| " + " | ".join(row) + " |" for row in rest]
        lines += [""] + [f"- {note}." for note in table.notes] + [""] * bool(table.notes)
    return "\n".join(lines)


def targets_table(targets: list[Target]) -> list[str]:
    lines = ["| target | in this run | |", "| --- | --- | --- |"]
    lines += [
        f"| {it.text} | {it.value} | {'reached' if it.reached else '**not reached**'} |"
        for it in targets
    ]
    return lines


def write_csv(tables: list[Table], path: Path) -> None:
    """Every sample of every round."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["scene", "row", "round", "measure", "value"])
        for table in tables:
            for row, samples in table.samples.items():
                for number, sample in enumerate(samples, 1):
                    for measure, value in sorted(sample.items()):
                        writer.writerow([table.name, row, number, measure, f"{value:.6g}"])


def _usual(table: Table) -> list[Ratio]:
    """Compared with the limit, and with Pannier (or the first row, where all rows are Pannier's)."""
    if len(table.samples) < 2:
        return []
    base = "pannier" if "pannier" in table.samples else next(iter(table.samples), None)
    heading = COLUMNS[table.compared][0]
    return [
        Ratio(f"{heading} ÷ {title(it)}", table.compared, lambda _, it=it: it)
        for it in (table.limit, base)
        if it in table.samples
    ]


def _cell(table: Table, row: str, column: str) -> str:
    value = table.median(row, column)
    if value is None:
        return ""
    _, form, spreads = COLUMNS[column]
    spread = table.spread(row, column) if spreads else None
    return form.format(value) if spread is None else f"{form.format(value)} ±{spread:.0%}"
