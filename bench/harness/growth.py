"""How the cost of a hit grows with what Pannier holds, is told and is given."""

from contextlib import ExitStack

from . import ask
from .bench import Bench, Ratio, Table
from .peers import TEMPLATES
from .scenes.parts import OBJECT, at, by_row, closed, fill, table

COLUMNS = ("rps", "cpu_us")
# Small bodies, so that a million of them fit.
BYTES = 128


def entries(bench: Bench) -> Table:
    """Objects of 128 bytes: the processor time of a hit on one object, and of hits spread evenly over all;
    what each takes of memory over its body and its stored header fields (names and values)."""
    columns = ("rps", "cpu_us", "spread_cpu_us", "bytes_over_body")
    found = table("growth-entries", "Growth: entries held", entries, columns)
    found.ratios = (
        Ratio("CPU ÷ 1", "cpu_us", lambda _: "1"),
        Ratio("CPU, spread ÷ 1", "spread_cpu_us", lambda _: "1"),
    )
    counts = [1, 1000, 100_000] if bench.options.quick else [1, 1000, 100_000, 1_000_000]
    with bench.app() as app, ExitStack() as running:
        servers, over = {}, {}
        for count in counts:
            setting = bench.setting(app, memory="8GiB")
            server = running.enter_context(bench.sidecar(setting, f"entries-{count}"))
            grown = _filled(bench, server, count)
            servers[f"{count:,}"] = server
            over[f"{count:,}"] = (count, grown / count - BYTES - _stored_header_bytes(app))

        def measure(row, server):
            count, weight = over[row]
            sample = closed(bench, server, f"/b/{BYTES}/k0")
            spread = closed(bench, server, script="many.lua", args=(BYTES, count, 0))
            sample["spread_cpu_us"] = spread["cpu_us"]
            # One entry is less than what the allocator asks for at a time.
            if count >= 1000:
                sample["bytes_over_body"] = weight
            return sample

        by_row(bench, found, servers, measure)
    return found


def rules(bench: Bench) -> Table:
    """Routes in the config, each with a purge rule; the request matches the last one."""
    found = table("growth-rules", "Growth: rules", rules, COLUMNS)

    return _templates(bench, found, (1, 100, 10_000), config_of_rules, OBJECT)


def config_of_rules(count: int) -> str:
    """Pannier's config with so many routes; the last one is for the object."""
    routes = "".join(
        f'\n[[route]]\nname = "r{n}"\npath = "/x{n}/{{id}}"\nkey = "x{n}:{{path.id}}"\n'
        f'\n[[purge]]\nname = "p{n}"\npath = "/x{n}/{{id}}"\nkeys = ["x{n}:{{path.id}}"]\n'
        for n in range(count - 1)
    )
    head, rest = (TEMPLATES / "pannier.toml").read_text().split("[[route]]", 1)
    return f"{head}{routes}\n[[route]]{rest}"


def key_parts(bench: Bench) -> Table:
    """Variables in the route's key; the request always has ten query fields."""
    found = table("growth-key-parts", "Growth: parts of the key", key_parts, COLUMNS)

    def template(count):
        names = ":".join(f"{{query.f{n}}}" for n in range(count))
        text = (TEMPLATES / "pannier.toml").read_text()
        key = 'key = "object:{path.bytes}:{path.id}"'
        return text.replace(key, f'key = "{names}"\nignore_query = ["*"]', 1)

    query = "&".join(f"f{n}=value{n}" for n in range(10))
    return _templates(bench, found, (1, 2, 5, 10), template, f"{OBJECT}?{query}")


def fields(bench: Bench) -> Table:
    """Header fields of 32 characters in the stored answer, beside the six it always has."""
    found = table("growth-fields", "Growth: stored header fields", fields, COLUMNS)
    with ExitStack() as running:
        servers = {}
        for count in (0, 5, 30):
            app = running.enter_context(bench.app("--fields", str(count)))
            sidecar = bench.sidecar(bench.setting(app), f"fields-{count}")
            servers[f"{count:,}"] = running.enter_context(sidecar)
        fill(bench, dict(servers), found, keys=1)
        by_row(bench, found, servers, lambda _, server: closed(bench, server))
    return found


def cores(bench: Bench) -> Table:
    """Workers, each on a core of its own, and threads of bare hyper. Where the load needs one of these
    cores, requests/s say nothing: there, capacity is cores by processor time of a hit."""
    columns = ("rps", "cpu_us", "capacity_rps")
    found = table("growth-cores", "Growth: cores", cores, columns, compared="capacity_rps", less=False)
    found.ratios = (Ratio("× one core", "capacity_rps", lambda row: row.replace("2", "1")),)
    plan = bench.cores
    pinned = {1: plan.server, 2: f"{plan.server},{plan.second(plan.app)}"}
    with bench.app() as app, ExitStack() as running:
        servers, counts = {}, {}
        for name, label in (("pannier", ""), ("limit-hyper", "bare hyper, ")):
            for count, on in pinned.items():
                setting = bench.setting(app, workers=count, server_cores=on)
                server = running.enter_context(bench.server(name, setting, f"cores-{count}"))
                servers[f"{label}{count}"], counts[f"{label}{count}"] = server, count
        fill(bench, dict(servers), found, keys=1)

        def measure(row, server):
            sample = closed(bench, server, connections=64)
            sample["capacity_rps"] = counts[row] / sample["cpu_us"] * 1e6
            return sample

        by_row(bench, found, servers, measure)
    return found


GROWTH = {
    "growth-entries": entries,
    "growth-rules": rules,
    "growth-fields": fields,
    "growth-key-parts": key_parts,
    "growth-cores": cores,
}


def _templates(bench: Bench, found: Table, counts, template, path: str) -> Table:
    with bench.app() as app, ExitStack() as running:
        servers = {}
        for count in counts:
            setting = bench.setting(app, template=template(count))
            sidecar = bench.sidecar(setting, f"{found.name}-{count}")
            servers[f"{count:,}"] = running.enter_context(sidecar)
        by_row(bench, found, servers, lambda _, server: closed(bench, server, path))
    return found


def _filled(bench: Bench, server, count: int) -> int:
    """Bytes by which the server grew when it was given `count` objects."""
    options = {"to": at(server.port), "bytes": BYTES}
    # Connections and their buffers are there before the first entry is weighed.
    bench.loads.tell("fill", keys=1, prefix="warm", **options)
    bench.loads.wrk(server.port, 1, path=f"/b/{BYTES}/warm0")
    empty = server.process.memory_bytes()
    bench.loads.tell("fill", keys=count, **options)
    return server.process.memory_bytes() - empty


def _stored_header_bytes(app: int) -> int:
    """Of the names and values that the app sends with an object."""
    fields = ask.get(app, f"/b/{BYTES}/weighed").fields
    return sum(len(name) + len(value) for name, value in fields.items())
