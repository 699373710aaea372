"""What scenes are made of."""

import http.client
import json
import time
from functools import partial

from ..bench import Bench, Table, left_out
from ..loads import accounted
from ..process import Failed

MEMORY = ("pannier", "haproxy", "nginx", "varnish", "squid", "trafficserver")
REDIS = ("pannier", "nginx-redis", "node-ioredis")
COLUMNS = ("rps", "cpu_us", "p50_us", "p99_us", "p999_us", "memory_mb")
# The object most scenes ask for.
OBJECT = "/b/936/k0"


def table(name, title, scene, columns=COLUMNS, compared="cpu_us", limit=None, less=True) -> Table:
    """A table about `scene`: a text, or the function whose doc it is."""
    about = scene if isinstance(scene, str) else scene.__doc__ or ""
    return Table(name, title, " ".join(about.split()), columns, compared, limit, less)


def closed(bench: Bench, server, path=OBJECT, **options) -> dict:
    """What wrk makes of the server, and what it costs: a closed loop."""
    load = partial(bench.loads.wrk, server.port, bench.options.seconds, path=path, **options)
    return accounted(server.process, load)


def paced(bench: Bench, port: int, **options) -> dict:
    """Latency at a constant rate."""
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


def at(port: int) -> str:
    return f"127.0.0.1:{port}"


def count(app: int) -> dict:
    """Reads and writes that have come to the app."""
    connection = http.client.HTTPConnection("127.0.0.1", app, timeout=10)
    try:
        connection.request("GET", "/count")
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def status(port, path, fields, method="GET", body=None) -> int:
    """Of one request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body, {"Host": "bench.example", **fields})
        answer = connection.getresponse()
        answer.read()
        return answer.status
    except OSError as error:
        raise Failed(f"{method} {path}: {error}") from error
    finally:
        connection.close()
