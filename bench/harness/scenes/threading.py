"""What threads should share: the bare limits in several shapes, for hits from Redis and for misses."""

from contextlib import ExitStack

from ..bench import Bench, Ratio, Table, doubts
from .parts import by_row, closed, latency, paced, table

COLUMNS = ("cpu_us", "capacity_rps", "p50_us", "p99_us", "p999_us")
SHAPES = {
    "own": "a runtime, listener and connections for each thread",
    "shared": "one runtime, listener and connection",
    "pooled": "one runtime and listener, a connection for each thread",
}


def threading_redis(bench: Bench) -> Table:
    """Bare hyper + fred, one GET to Redis for each request. Capacity is cores by processor time of a
    request, as the load may need one of these cores; latency at 5,000 requests/s."""
    found = _table("threading-redis", "Threading: hits from Redis", threading_redis)
    with bench.app() as app, bench.redis() as redis:
        setting = {"app": app, "redis": redis}
        shapes = ("own", "shared", "pooled")
        return _compare(bench, found, "limit-fred", shapes, bench.cores.app, 5000, setting)


def threading_app(bench: Bench) -> Table:
    """Bare hyper as a proxy with hyper-util's pooled client, one request to a fast app for each request.
    Capacity as above; latency at 2,000 requests/s."""
    found = _table("threading-app", "Threading: requests to the app", threading_app)
    with bench.app() as app:
        setting = {"app": app}
        shapes = ("own", "shared")
        return _compare(bench, found, "limit-proxy", shapes, bench.cores.redis, 2000, setting)


THREADING = {"threading-redis": threading_redis, "threading-app": threading_app}


def _table(name: str, title: str, scene) -> Table:
    found = table(name, title, scene, COLUMNS)
    one_core = Ratio("× one core", "capacity_rps", lambda row: row.replace("2 cores", "1 core"))
    found.ratios = (one_core,)
    return found


def _compare(bench: Bench, found: Table, limit, shapes, unused, rate, setting) -> Table:
    pinned = {1: bench.cores.server, 2: f"{bench.cores.server},{bench.cores.second(unused)}"}
    with ExitStack() as running:
        servers, threads = {}, {}
        for count, on in pinned.items():
            for shape in shapes:
                row = f"{count} core{'s' * (count > 1)}: {SHAPES[shape]}"
                told = bench.setting(workers=count, shape=shape, server_cores=on, **setting)
                server = bench.server(limit, told, f"{shape}-{count}")
                servers[row], threads[row] = running.enter_context(server), count

        def measure(row, server):
            sample = closed(bench, server, connections=64)
            sample["capacity_rps"] = threads[row] / sample["cpu_us"] * 1e6
            options = {"rate": rate, "connections": 64, "gently": True}
            return sample | latency(paced(bench, server.port, **options))

        by_row(bench, found, servers, measure)
    for row in found.samples:
        doubts(found, row)
    return found
