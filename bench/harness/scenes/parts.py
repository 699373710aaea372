"""What scenes are made of."""

import time
from functools import partial

from .. import ask, peers
from ..bench import Bench, Table, left_out
from ..loads import accounted
from ..process import Failed

MEMORY = ("pannier", "haproxy", "nginx", "varnish", "squid", "trafficserver")
REDIS = ("pannier", "nginx-redis", "node-ioredis")
COLUMNS = ("rps", "busy_percent", "cpu_us", "p50_us", "p99_us", "p999_us", "memory_mb")
# The object most scenes ask for.
OBJECT = "/b/936/k0"
# What the app says of an object, and no cache may leave out.
FIELDS = ("content-type", "cache-control", "etag", "last-modified", "content-length", "date")


def table(name, title, scene, columns=COLUMNS, compared="cpu_us", limit=None, less=True) -> Table:
    """A table about `scene`: a text, or the function whose doc it is."""
    about = scene if isinstance(scene, str) else scene.__doc__ or ""
    return Table(name, title, " ".join(about.split()), columns, compared, limit, less)


def closed(bench: Bench, server, path=OBJECT, **options) -> dict:
    """What wrk makes of the server, and what it costs: a closed loop."""
    load = partial(bench.loads.wrk, server.port, bench.options.seconds, path=path, **options)
    return accounted(server.process, load)


def paced(bench: Bench, port: int, **options) -> dict:
    """Latency at a constant rate. `gently` is for scenes in which app or Redis have something to do."""
    return bench.loads.tell("open", to=at(port), **{"seconds": bench.options.seconds, **options})


def latency(told: dict) -> dict:
    """Of what `paced` told, what goes beside the figures of a closed loop."""
    return {name: told[name] for name in ("p50_us", "p99_us", "p999_us", "late_p99_us")}


def fill(bench: Bench, servers: dict, table: Table, **objects) -> None:
    """All objects once, and again for those that store at the second sight."""
    for name, server in list(servers.items()):
        try:
            for _ in range(2):
                bench.loads.tell("fill", to=at(server.port), **objects)
        except Failed as error:
            left_out(table, name, error)
            del servers[name]
    # Some write what they store in the background.
    time.sleep(0.2)


def alike(servers: dict, table: Table, path=OBJECT) -> None:
    """All must answer with the same object and its header fields; how much more they say is noted."""
    sizes, expected = [], None
    for name, server in list(servers.items()):
        answer = ask.get(server.port, path)
        missing = [field for field in FIELDS if field not in answer.fields]
        expected = expected or answer.body
        if missing or answer.status != 200 or answer.body != expected:
            wrong = f"without {', '.join(missing)}" if missing else f"{answer.body} bytes"
            left_out(table, name, Failed(f"it answers {answer.status}, {wrong}"))
            del servers[name]
            continue
        sizes.append(f"{peers.title(name)} {answer.head}")
    table.note(f"Bytes of header fields in an answer: {', '.join(sizes)}")


def by_row(bench: Bench, table: Table, servers: dict, measure) -> None:
    """Round by round over servers of one kind, which are told apart by what is compared."""
    for _ in range(bench.options.rounds):
        for row, server in servers.items():
            table.add(row, measure(row, server))


def at(port: int) -> str:
    return f"127.0.0.1:{port}"
