"""Writes and purges: while serving, in the users' case, and seen from another sidecar."""

import json
import threading
from functools import partial

from ..bench import Bench, Table
from ..loads import accounted
from ..process import Failed
from .parts import at, count, fill, paced, status, table


def purge(bench: Bench) -> Table:
    """Zipf reads of 1,000 objects at a constant rate, first in peace, then while 20 purges a second remove
    others. Pannier's purges are by pattern, each of 111 among 20,000 objects; Varnish, which has no such
    purge without a list of bans that every hit walks, purges single objects."""
    columns = ("quiet_p99_us", "p50_us", "p99_us", "p999_us", "cpu_us")
    found = table("purge", "Purges while serving", purge, columns, compared="p99_us")
    names = bench.wanted(("pannier", "varnish"))
    with bench.app() as app, bench.servers(names, bench.setting(app), found) as servers:
        fill(bench, servers, found, keys=1000)

        def measure(server):
            bench.loads.tell("fill", to=at(server.port), keys=20000, prefix="gone")
            load = partial(
                paced, bench, server.port, rate=5000, warm=0, keys=1000, zipf=1.0, connections=32
            )
            quiet = load()
            with _Purger(server):
                told = accounted(server.process, load)
            told["quiet_p99_us"] = quiet["p99_us"]
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
    load |= {"connections": 400, "keys": 1000, "zipf": 1.0, "writes": 0.02}
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
    return found


def staleness(bench: Bench) -> Table:
    """Two sidecars on one Redis. After each write through one, a reader asks the other without a pause: how
    long after the write's answer did a read begin that still got the old version?"""
    columns = ("stale_reads", "p50_us", "p99_us", "max_us")
    found = table(
        "staleness", "Staleness in the other sidecar", staleness, columns, compared="p99_us"
    )
    with bench.app() as app, bench.redis() as redis:
        setting = bench.setting(app, redis=redis, memory="64MiB")
        with bench.sidecar(setting, "a") as writer, bench.sidecar(setting, "b") as reader:
            for number in range(bench.options.rounds):
                options = {"write_to": at(writer.port), "read_from": at(reader.port)}
                options |= {"rounds": 100, "keys": 50, "prefix": f"stale{number}-"}
                found.add("pannier", bench.loads.tell("stale", **options))
    return found


def _users(bench: Bench, port: int, app: int, load: dict) -> dict:
    before = count(app)
    told = paced(bench, port, **load)
    after = count(app)
    reads = after["reads"] - before["reads"]
    told["hit_percent"] = 100 * max(0.0, 1 - reads / told["reads"])
    asked = told["reads"] + told["writes"]
    told["app_percent"] = 100 * (reads + after["writes"] - before["writes"]) / asked
    return told


class _Purger:
    """Purges 20 times a second until left."""

    def __init__(self, server):
        self.server = server
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._work)
        self.failed: str | None = None

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        if self.failed:
            raise Failed(f"a purge failed: {self.failed}")

    def _work(self):
        number = 19
        while not self.over.wait(0.05):
            # Each begins the numbers of 1 + 10 + 100 objects below 20,000.
            number = number + 1 if number < 99 else 20
            try:
                answered = self._purge(number)
            except Failed as error:
                answered = error
            if answered != 200:
                self.failed = str(answered)
                return

    def _purge(self, number: int) -> int:
        if self.server.name == "varnish":
            return status(self.server.port, f"/b/936/gone{number}", {}, "PURGE")
        body = json.dumps({"patterns": [f"object:936:gone{number}*"]})
        fields = {"Content-Type": "application/json"}
        fields["Authorization"] = "Bearer a-token-for-the-benchmark"
        # The admin interface answers to its own address only.
        fields["Host"] = at(self.server.admin)
        return status(self.server.admin, "/purge", fields, "POST", body)
