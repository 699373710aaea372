"""Misses: one at a time, many for one key, and bodies that pass through."""

from contextlib import ExitStack
from functools import partial

from .. import ask
from ..bench import Bench, Table
from ..loads import accounted
from .parts import MEMORY, REDIS, at, closed, latency, paced, table


def miss(bench: Bench) -> Table:
    """Each request is for a new object, which is fetched from a fast app and stored in memory (by the bare
    limit nowhere). Latency at 1,000 requests/s, beside that of asking the app itself."""
    found = table("miss", "Miss with a fast app", miss, limit="limit-proxy")
    return _miss(bench, found, ("limit-proxy", *MEMORY), with_redis=False)


def miss_redis(bench: Bench) -> Table:
    """Each request is for a new object, which is fetched from a fast app and stored in Redis (by Pannier
    in memory too)."""
    found = table("miss-redis", "Miss with a fast app, stored in Redis", miss_redis)
    return _miss(bench, found, REDIS, with_redis=True)


def cold_key(bench: Bench) -> Table:
    """100 clients ask at once for an object nobody has, of an app that takes 50 ms. One request to the
    app for each object is what collapsing is for."""
    columns = ("app_per_key", "p50_us", "p99_us", "cpu_us")
    found = table("cold-key", "100 clients on a cold key", cold_key, columns, compared="app_per_key")
    keys = 5 if bench.options.quick else 10
    names = bench.wanted(MEMORY)
    with (
        bench.app("--delay-ms", "50") as app,
        bench.servers(names, bench.setting(app), found) as servers,
    ):
        burst = 0

        def measure(server):
            nonlocal burst
            burst += 1
            before = ask.count(app)["reads"]
            options = {"to": at(server.port), "keys": keys, "prefix": f"cold{burst}-"}
            told = accounted(server.process, partial(bench.loads.tell, "burst", **options))
            told["app_per_key"] = (ask.count(app)["reads"] - before) / keys
            return told

        bench.rounds(found, servers, measure)
    return found


def stream(bench: Bench) -> Table:
    """1 GB that is not cacheable, from the app through the proxy."""
    columns = ("mb_per_s", "cpu_seconds", "memory_mb")
    found = table("stream", "Streaming 1 GB", stream, columns, "mb_per_s", limit="direct", less=False)
    size = 200_000_000 if bench.options.quick else 1_000_000_000
    names = bench.wanted(("pannier", "nginx", "haproxy", "varnish", "squid"))

    def throughput(port):
        told = bench.loads.tell("stream", to=at(port), bytes=size)
        return {"mb_per_s": told["bytes"] / told["seconds"] / 1e6}

    with bench.app() as app, bench.servers(names, bench.setting(app), found) as servers:
        for _ in range(bench.options.rounds):
            found.add("direct", throughput(app))
        bench.rounds(
            found, servers, lambda server: accounted(server.process, partial(throughput, server.port))
        )
    return found


def _miss(bench: Bench, found: Table, names, with_redis: bool) -> Table:
    found.columns = ("rps", "cpu_us", "p50_us", "over_direct_us", "p99_us", "p999_us", "memory_mb")
    number = 0

    def measure(server):
        nonlocal number
        number += 1
        sample = closed(bench, server, script="new.lua", args=(936, f"miss{number}-"))
        options = {"rate": 1000, "connections": 32, "keys": 0, "gently": True}
        options["prefix"] = f"paced{number}-"
        sample |= latency(paced(bench, server.port, **options))
        direct = paced(bench, app, **options)
        sample["over_direct_us"] = sample["p50_us"] - direct["p50_us"]
        return sample

    with ExitStack() as running:
        app = running.enter_context(bench.app())
        redis = running.enter_context(bench.redis()) if with_redis else None
        setting = bench.setting(app, redis=redis)
        servers = running.enter_context(bench.servers(bench.wanted(names), setting, found))
        bench.rounds(found, servers, measure)
    return found
