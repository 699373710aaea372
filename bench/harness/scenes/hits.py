"""Hits: from memory, from Redis, over HTTP/2, over few and many connections."""

from functools import partial

from .. import ask
from ..bench import Bench, Table, left_out
from ..loads import accounted
from ..process import Failed
from .parts import COLUMNS, MEMORY, OBJECT, REDIS, alike, closed, fill, latency, paced, table


def memory_1k(bench: Bench) -> Table:
    return _memory(bench, "memory-1k", "Hit from memory, 1 KB", 936)


def memory_10k(bench: Bench) -> Table:
    return _memory(bench, "memory-10k", "Hit from memory, 10 KB", 10240)


def memory_100k(bench: Bench) -> Table:
    return _memory(bench, "memory-100k", "Hit from memory, 100 KB", 102400, rate=2000)


def zipf(bench: Bench) -> Table:
    """1,000 objects, asked for by Zipf's law."""
    found = table(
        "zipf", "Hit from memory, 1,000 objects of 1 KB by Zipf's law", zipf, limit="limit-hyper"
    )
    names = bench.wanted(("limit-hyper", *MEMORY))
    with bench.app() as app, bench.servers(names, bench.setting(app), found) as servers:
        filled = {name: it for name, it in servers.items() if not name.startswith("limit-")}
        fill(bench, filled, found, keys=1000)

        def measure(server):
            sample = closed(bench, server, script="many.lua", args=(936, 1000, 1.0))
            return sample | latency(paced(bench, server.port, rate=10000, keys=1000, zipf=1.0))

        bench.rounds(found, servers, measure, hits_of=app)
    return found


def not_modified(bench: Bench) -> Table:
    """The client has the object already: If-None-Match with its entity tag, answered 304. 32 connections in
    a closed loop (h2load over HTTP/1.1, since wrk waits for a body where a 304 tells its length)."""
    found = table("not-modified", "304 to If-None-Match", not_modified, limit="limit-hyper")
    names = bench.wanted(("limit-hyper", *MEMORY))
    tag = {"If-None-Match": '"1-936"'}
    options = ["--h1", "-c32", "-m1", "-H", 'If-None-Match: "1-936"']
    with bench.app() as app, bench.servers(names, bench.setting(app, status=304), found) as servers:
        caches = {name: it for name, it in servers.items() if not name.startswith("limit-")}
        fill(bench, caches, found, keys=1)
        alike(caches, found)

        def measure(server):
            if ask.get(server.port, OBJECT, tag).status != 304:
                raise Failed("it does not answer 304")
            load = partial(bench.loads.h2load, server.port, bench.options.seconds, OBJECT, options)
            return accounted(server.process, load)

        bench.rounds(found, servers, measure, hits_of=app)
    return found


def redis_1k(bench: Bench) -> Table:
    """Every hit is one GET to Redis. Pannier's memory tier is off. Latency at 5,000 requests/s, since the
    load and Redis may share a core."""
    found = table("redis-1k", "Hit from Redis, 1 KB", redis_1k, limit="limit-fred")
    names = bench.wanted(("limit-fred", *REDIS))
    with bench.app() as app, bench.redis() as redis:
        setting = bench.setting(app, redis=redis, memory="0B")
        with bench.servers(names, setting, found) as servers:
            fill(bench, servers, found, keys=1)
            alike(servers, found)

            def measure(server):
                return _one_object(bench, server, 936, 5000, gently=True)

            bench.rounds(found, servers, measure, hits_of=app)
    return found


def http2(bench: Bench) -> Table:
    """HTTP/2 without TLS, 8 connections with 4 requests each under way; latency is of the closed loop."""
    found = table("http2", "Hit from memory over HTTP/2, 1 KB", http2)
    names = bench.wanted(("pannier", "haproxy", "nginx", "varnish", "trafficserver"))
    options = ["-c8", "-m4"]
    with bench.app() as app, bench.servers(names, bench.setting(app), found) as servers:
        fill(bench, servers, found, keys=1)
        for name, server in list(servers.items()):
            try:
                bench.loads.h2load(server.h2_port, 1, OBJECT, options)
            except Failed:
                left_out(found, name, Failed("no HTTP/2 without TLS"))
                del servers[name]

        def measure(server):
            seconds = bench.options.seconds
            load = partial(bench.loads.h2load, server.h2_port, seconds, OBJECT, options)
            return accounted(server.process, load)

        bench.rounds(found, servers, measure, hits_of=app)
    return found


def connections_1(bench: Bench) -> Table:
    return _connections(bench, 1, bench.options.seconds)


def connections_10000(bench: Bench) -> Table:
    # Making so many takes part of the time.
    wanted = 1000 if bench.options.quick else 10000
    return _connections(bench, wanted, bench.options.seconds + 2)


def _memory(bench: Bench, name: str, title: str, size: int, rate: int = 10000) -> Table:
    about = (
        "One object, 32 connections. Requests/s and processor time with every connection asking again "
        f"at once (wrk); latency at {rate:,} requests/s from the intended start of each."
    )
    found = table(name, title, about, limit="limit-hyper")
    names = bench.wanted(("limit-tokio", "limit-hyper", *MEMORY))
    with bench.app() as app, bench.servers(names, bench.setting(app, bytes=size), found) as servers:
        fill(bench, servers, found, keys=1, bytes=size)
        alike(servers, found, f"/b/{size}/k0")
        bench.rounds(found, servers, lambda server: _one_object(bench, server, size, rate), hits_of=app)
    return found


def _one_object(bench: Bench, server, size: int, rate: int, gently: bool = False) -> dict:
    sample = closed(bench, server, path=f"/b/{size}/k0")
    options = {"rate": rate, "bytes": size, "connections": 32, "gently": gently}
    return sample | latency(paced(bench, server.port, **options))


def _connections(bench: Bench, wanted: int, seconds: int) -> Table:
    title = f"Hit from memory, {wanted:,} connection" + "s" * (wanted > 1)
    about = "One object of 1 KB; latency is of the closed loop."
    found = table(f"connections-{wanted}", title, about, columns=COLUMNS, limit="limit-hyper")
    names = bench.wanted(("limit-hyper", *MEMORY))
    with bench.app() as app, bench.servers(names, bench.setting(app), found) as servers:
        fill(bench, servers, found, keys=1)

        def measure(server):
            load = partial(bench.loads.wrk, server.port, seconds, OBJECT, connections=wanted)
            return accounted(server.process, load)

        bench.rounds(found, servers, measure, hits_of=app)
    return found
