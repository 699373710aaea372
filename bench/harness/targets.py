"""What Pannier is to reach, and whether a run has reached it."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import quantiles

from .bench import Table
from .peers import title

# Latencies are counted in buckets of this width: one bucket is no difference.
BUCKET = 1.016
CACHES = ("haproxy", "nginx", "varnish", "squid", "trafficserver")


@dataclass(frozen=True)
class Target:
    text: str
    value: str
    reached: bool


def judged(tables: list[Table]) -> list[Target]:
    """Those whose scenes are there and gave what is compared."""
    by_name = {table.name: table for table in tables}
    found = []
    for scene, judge in _JUDGES.items():
        if scene in by_name:
            found += judge(by_name[scene])
    return found


def _memory_1k(table: Table) -> Iterator[Target]:
    what = "Hit from memory, 1 KB:"
    yield from _quotient(table, f"{what} CPU at most 1.25 × bare hyper", "limit-hyper", 1.25)
    yield from _quotient(table, f"{what} CPU below HAProxy's", "haproxy", 1.0)
    yield from _best(table, f"{what} requests/s above every peer", "rps", less=False)
    yield from _best(table, f"{what} p99 no worse than the best peer's", "p99_us")


def _memory_100k(table: Table) -> Iterator[Target]:
    yield from _best(table, "Hit from memory, 100 KB: CPU at most the best peer's", "cpu_us")


def _redis_1k(table: Table) -> Iterator[Target]:
    what = "Hit from Redis: CPU"
    yield from _quotient(table, f"{what} at most 1.25 × bare hyper + fred", "limit-fred", 1.25)
    yield from _below(table, f"{what} at least 1.5 × below nginx + Lua + Redis", "nginx-redis", 1.5)
    yield from _below(table, f"{what} at least 2.2 × below Node + ioredis", "node-ioredis", 2.2)


def _miss(table: Table) -> Iterator[Target]:
    for column, text, most in (
        ("cpu_us", "Miss: at most 60 µs CPU", 60),
        ("over_direct_us", "Miss: at most 150 µs p50 over going direct", 150),
    ):
        value = table.median("pannier", column)
        if value is not None:
            yield Target(text, f"{value:,.1f} µs", value <= most)


def _stream(table: Table) -> Iterator[Target]:
    value = table.quotient("pannier", "mb_per_s", "nginx")
    if value is not None:
        text = "Streaming 1 GB: at least 0.9 × nginx's throughput"
        yield Target(text, f"{value:.2f} ×", value >= 0.9)


def _entries(table: Table) -> Iterator[Target]:
    most = list(table.samples)[-1]
    what = f"From 1 to {most} entries: CPU per hit"
    for column, which in (("cpu_us", "on one of them"), ("spread_cpu_us", "spread over all")):
        yield from _growth(table, f"{what}, {which}, grows at most 15 %", column, most)
    over = table.median(most, "bytes_over_body")
    if over is not None:
        text = "Memory per entry: at most 300 bytes over its body and stored header bytes"
        yield Target(text, f"{over:.0f} bytes", over <= 300)


def _rules(table: Table) -> Iterator[Target]:
    most = list(table.samples)[-1]
    yield from _growth(table, f"From 1 to {most} rules: CPU per hit grows at most 15 %", "cpu_us", most)


def _cores(table: Table) -> Iterator[Target]:
    value = table.quotient("2", "capacity_rps", "1")
    bare = table.quotient("bare hyper, 2", "capacity_rps", "bare hyper, 1")
    if value is not None:
        beside = f" (bare hyper {bare:.2f} ×)" if bare else ""
        yield Target("Two cores give at least 1.8 × one", f"{value:.2f} ×{beside}", value >= 1.8)


def _users(table: Table) -> Iterator[Target]:
    faster = table.quotient("direct", "p50_us", "pannier")
    if faster is not None:
        yield Target("The users' case: 20 × faster at the median", f"{faster:,.0f} ×", faster >= 20)
    asked = table.quotient("pannier", "app_percent", "direct")
    if asked is not None:
        text = "The users' case: 80 % or more less load on the app"
        yield Target(text, f"{1 - asked:.1%} less", asked <= 0.2)


_JUDGES = {
    "memory-1k": _memory_1k,
    "memory-100k": _memory_100k,
    "redis-1k": _redis_1k,
    "miss": _miss,
    "stream": _stream,
    "growth-entries": _entries,
    "growth-rules": _rules,
    "growth-cores": _cores,
    "users": _users,
}


def _quotient(table: Table, text: str, reference: str, most: float) -> Iterator[Target]:
    yield from _compared(table, text, ("pannier", reference), lambda value: value <= most)


def _below(table: Table, text: str, reference: str, least: float) -> Iterator[Target]:
    yield from _compared(table, text, (reference, "pannier"), lambda value: value >= least)


def _compared(table: Table, text: str, rows: tuple[str, str], reaches) -> Iterator[Target]:
    """Processor time of the one row by that of the other, with the medians of both."""
    value = table.quotient(rows[0], "cpu_us", rows[1])
    if value is None:
        return
    peer = next(row for row in rows if row != "pannier")
    own, other = table.median("pannier", "cpu_us"), table.median(peer, "cpu_us")
    shown = f"{value:.2f} × ({own:.2f} to {other:.2f} µs{_middle(table, rows)})"
    yield Target(text, shown, reaches(value))


def _middle(table: Table, rows: tuple[str, str]) -> str:
    """Between what the middle half of the rounds is, where there are enough of them."""
    found = table.quotients(rows[0], "cpu_us", rows[1])
    if len(found) < 5:
        return ""
    low, _, high = quantiles(found, n=4)
    return f"; half of the rounds {low:.2f} to {high:.2f}"


def _best(table: Table, text: str, column: str, less: bool = True) -> Iterator[Target]:
    own = table.median("pannier", column)
    values = {it: table.median(it, column) for it in CACHES}
    values = {it: value for it, value in values.items() if value is not None}
    if own is None or not values:
        return
    best = (min if less else max)(values, key=values.__getitem__)
    other = values[best]
    slack = BUCKET if column == "p99_us" else 1.0
    reached = own <= other * slack if less else own > other
    shown = "{:.2f} µs" if column == "cpu_us" else "{:,.0f} µs" if less else "{:,.0f}"
    yield Target(text, f"{shown.format(own)} to {title(best)}'s {shown.format(other)}", reached)


def _growth(table: Table, text: str, column: str, most: str) -> Iterator[Target]:
    value = table.quotient(most, column, "1")
    if value is not None:
        yield Target(text, f"{value - 1:+.1%}", value <= 1.15)
