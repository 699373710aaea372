"""Tables for people (text, Markdown) and for programs (CSV)."""

import csv
from pathlib import Path

from .bench import Table
from .peers import TITLES

# A column's heading and its format.
COLUMNS = {
    "rps": ("requests/s", "{:,.0f}"),
    "cpu_us": ("CPU µs", "{:.2f}"),
    "p50_us": ("p50 µs", "{:,.0f}"),
    "p99_us": ("p99 µs", "{:,.0f}"),
    "p999_us": ("p99.9 µs", "{:,.0f}"),
    "max_us": ("max µs", "{:,.0f}"),
    "memory_mb": ("MB", "{:,.1f}"),
    "over_direct_us": ("p50 over direct", "{:+,.0f}"),
    "app_per_key": ("app requests/key", "{:.1f}"),
    "quiet_p99_us": ("p99 µs in peace", "{:,.0f}"),
    "hit_percent": ("hits %", "{:.1f}"),
    "app_percent": ("reach the app %", "{:.1f}"),
    "writes_p50_us": ("writes p50 µs", "{:,.0f}"),
    "stale_reads": ("stale reads", "{:.0f}"),
    "mb_per_s": ("MB/s", "{:,.0f}"),
    "cpu_seconds": ("CPU s", "{:.2f}"),
    "spread_cpu_us": ("CPU µs, spread", "{:.2f}"),
    "bytes_over_body": ("bytes/entry over body and fields", "{:.0f}"),
    "capacity_rps": ("capacity, requests/s", "{:,.0f}"),
}


def rows(table: Table) -> list[list[str]]:
    """Heading and rows, medians over the rounds; the last columns compare with the limit, and with
    Pannier (or the first row, where all rows are Pannier's)."""
    base = "pannier" if "pannier" in table.samples else next(iter(table.samples), None)
    references = [it for it in (table.limit, base) if it in table.samples]
    heading = [""] + [COLUMNS[it][0] for it in table.columns]
    heading += [f"{COLUMNS[table.compared][0]} ÷ {TITLES.get(it, it)}" for it in references]
    found = [heading]
    for row in table.samples:
        cells = [TITLES.get(row, row)]
        for column in table.columns:
            value = table.median(row, column)
            cells.append("" if value is None else COLUMNS[column][1].format(value))
        for reference in references:
            cells.append(_ratio(table, row, reference))
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


def markdown(tables: list[Table], facts: dict[str, str], method: str) -> str:
    lines = ["# Results", "", "| | |", "| --- | --- |"]
    lines += [f"| {name} | {value} |" for name, value in facts.items()]
    lines += ["", method.strip(), ""]
    for table in tables:
        heading, *rest = rows(table)
        lines += [f"## {table.title}", "", table.about, ""]
        lines.append("| " + " | ".join(heading) + " |")
        lines.append("| --- |" + " ---: |" * (len(heading) - 1))
        lines += ["| " + " | ".join(row) + " |" for row in rest]
        lines += [""] + [f"{note}." for note in table.notes] + [""] * bool(table.notes)
    return "\n".join(lines)


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


def _ratio(table: Table, row: str, reference: str) -> str:
    value = table.median(row, table.compared)
    against = table.median(reference, table.compared)
    return f"{value / against:.2f}" if value is not None and against else ""
