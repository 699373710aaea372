"""Writes and purges: while serving, in the users' case, and seen from another sidecar."""

from functools import partial

from .. import ask
from ..bench import Bench, Table, doubts
from ..loads import accounted
from .parts import at, fill, paced, table


def purge(bench: Bench) -> Table:
    """Zipf reads of 1,000 objects at a constant rate, first in peace, then while 20 purges a second remove
    others. Pannier's purges are by pattern, each of 111 among 20,000 objects; Varnish, which has no such
    purge without a list of bans that every hit walks, purges single objects."""
    columns = ("quiet_p99_us", "p50_us", "p99_us", "p999_us", "purge_p50_us", "cpu_us")
    found = table("purge", "Purges while serving", purge, columns, compared="p99_us")
    names = bench.wanted(("pannier", "varnish"))
    with bench.app() as app, bench.servers(names, bench.setting(app), found) as servers:
        fill(bench, servers, found, keys=1000)

        def measure(server):
            bench.loads.tell("fill", to=at(server.port), keys=20000, prefix="gone")
            options = {"rate": 5000, "warm": 0, "keys": 1000, "zipf": 1.0, "connections": 32}
            load = partial(paced, bench, server.port, gently=True, **options)
            quiet = load()
            with bench.loads.beside("purge", seconds=bench.options.seconds, **_purges(server)) as done:
                told = accounted(server.process, load)
            told["quiet_p99_us"] = quiet["p99_us"]
            told["purge_p50_us"] = done["p50_us"]
            return told

        bench.rounds(found, servers, measure)
    return found


def users(bench: Bench) -> Table:
    """The app takes 1.5 s. 100 requests a second for 1,000 objects by Zipf's law, 2 % of them writes, which
    purge; Redis and memory were filled once before. Beside it the same load on the app alone."""
    columns = ("hit_percent", "app_percent", "p50_us", "p99_us", "writes_p50_us", "memory_mb")
    found = table(
        "users", "An app that takes 1.5 s, 2 % writes", users, columns, "p50_us", limit="direct"
    )
    load = {"rate": 100, "seconds": 5 if bench.options.quick else 20, "warm": 0}
    load |= {"connections": 400, "keys": 1000, "zipf": 1.0, "writes": 0.02, "gently": True}
    for _ in range(1 if bench.options.quick else 2):
        with bench.app("--delay-ms", "1500") as app:
            found.add("direct", _users(bench, app, app, load))
        with bench.app("--delay-ms", "1500") as app, bench.redis() as redis:
            setting = bench.setting(app, redis=redis, memory="64MiB")
            with bench.sidecar(setting, "users") as server:
                bench.loads.tell("fill", to=at(server.port), keys=1000, connections=250)
                sample = _users(bench, server.port, app, load)
                sample["memory_mb"] = server.process.memory_bytes() / 1e6
                found.add("pannier", sample)
    for row in found.samples:
        doubts(found, row)
    return found


def staleness(bench: Bench) -> Table:
    """Two sidecars on one Redis. After each write through one, a reader asks the other without a pause: how
    long after the write's answer did a read begin that still got the old version?"""
    columns = ("stale_reads", "p50_us", "p99_us", "max_us")
    found = table("staleness", "Staleness in the other sidecar", staleness, columns, compared="p99_us")
    with bench.app() as app, bench.redis() as redis:
        setting = bench.setting(app, redis=redis, memory="64MiB")
        with bench.sidecar(setting, "a") as writer, bench.sidecar(setting, "b") as reader:
            for number in range(bench.options.rounds):
                options = {"write_to": at(writer.port), "read_from": at(reader.port)}
                options |= {"rounds": 100, "keys": 50, "prefix": f"stale{number}-"}
                found.add("pannier", bench.loads.tell("stale", **options))
    return found


def _users(bench: Bench, port: int, app: int, load: dict) -> dict:
    before = ask.count(app)
    told = paced(bench, port, **load)
    after = ask.count(app)
    reads = after["reads"] - before["reads"]
    told["hit_percent"] = 100 * max(0.0, 1 - reads / told["reads"])
    asked = told["reads"] + told["writes"]
    told["app_percent"] = 100 * (reads + after["writes"] - before["writes"]) / asked
    return told


def _purges(server) -> dict:
    """How a server is told to purge."""
    how = {"rate": 20, "prefix": "gone"}
    if server.name == "varnish":
        return how | {"to": at(server.port), "kind": "method"}
    return how | {"to": at(server.admin), "kind": "pattern"}
