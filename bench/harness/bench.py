"""One run: its options, the servers it has started, and what it has measured."""

from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from . import ask, peers
from .loads import Loads
from .machine import WORK, Cores
from .peers import Server, Setting
from .process import Failed, Process, free_port


@dataclass(frozen=True)
class Options:
    rounds: int
    # Of each load, as whole seconds: wrk takes no others.
    seconds: int
    peers: tuple[str, ...] | None
    quick: bool


# A generator that is later than this, at the 99th percentile, shows in the latencies.
LATE_US = 50


@dataclass(frozen=True)
class Ratio:
    """A column of quotients."""

    heading: str
    column: str
    # The row that a row is compared with.
    against: Callable[[str], str]


@dataclass
class Table:
    """What one scene gave: for each row (a peer, a size) the samples of all rounds."""

    name: str
    title: str
    about: str
    columns: tuple[str, ...]
    # The column that is compared, and the row that is the limit of what can be reached.
    compared: str
    limit: str | None = None
    # Whether less is better.
    less: bool = True
    # What rows are compared with, if not with the limit and Pannier (or the first row).
    ratios: tuple[Ratio, ...] = ()
    samples: dict[str, list[dict]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, row: str, sample: dict) -> None:
        self.samples.setdefault(row, []).append(sample)

    def median(self, row: str, column: str) -> float | None:
        values = self._values(row, column)
        return median(values) if values else None

    def spread(self, row: str, column: str) -> float | None:
        """Half the distance of the least from the greatest, as a part of the median."""
        values = self._values(row, column)
        middle = median(values) if len(values) > 1 else 0
        return (max(values) - min(values)) / 2 / middle if middle else None

    def quotient(self, row: str, column: str, reference: str) -> float | None:
        found = self.quotients(row, column, reference)
        return median(found) if found else None

    def quotients(self, row: str, column: str, reference: str) -> list[float]:
        """Of each round: what the machine did in it met both alike."""
        values, against = self._values(row, column), self._values(reference, column)
        return [value / other for value, other in zip(values, against, strict=False) if other]

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def _values(self, row: str, column: str) -> list[float]:
        return [sample[column] for sample in self.samples.get(row, []) if column in sample]


class Bench:
    def __init__(self, options: Options, cores: Cores, built: dict[str, Path]):
        self.options = options
        self.cores = cores
        self.built = built
        self.loads = Loads(built, cores)

    def wanted(self, names) -> list[str]:
        """Those of `names` that the options name, limits always."""
        chosen = self.options.peers
        return [it for it in names if not chosen or it in chosen or it.startswith("limit-")]

    @contextmanager
    def app(self, *options):
        """The app behind the servers; its port."""
        port = free_port()
        argv = [self.built["bench-app"], "--port", port, *options]
        with self.process(argv, self.cores.app, "app", port):
            yield port

    @contextmanager
    def redis(self):
        """An empty Redis that writes nothing to disk; its port."""
        port = free_port()
        argv = ["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", ""]
        argv += ["--appendonly", "no", "--loglevel", "warning"]
        with self.process(argv, self.cores.redis, "redis", port):
            yield port

    @contextmanager
    def process(self, argv, cores, name, port):
        process = Process(argv, cores, WORK / "run" / name, f"{name}-{port}")
        try:
            process.wait_for(port)
            yield process
        finally:
            process.stop()

    @contextmanager
    def servers(self, names, setting: Setting, table: Table):
        """All that start, by name; who does not is told of in the table."""
        with ExitStack() as running:
            found: dict[str, Server] = {}
            for name in names:
                try:
                    found[name] = peers.start(name, setting)
                except (Failed, OSError) as error:
                    left_out(table, name, error)
                    continue
                running.callback(found[name].stop)
            yield found

    @contextmanager
    def server(self, name, setting: Setting, label):
        """One server; who compares several of its kind tells them apart by `label`."""
        server = peers.start(name, setting, f"{name}-{label}")
        try:
            yield server
        finally:
            server.stop()

    def sidecar(self, setting: Setting, label):
        """One Pannier."""
        return self.server("pannier", setting, label)

    def setting(self, app: int, **more) -> Setting:
        return Setting(self.built, self.cores, app, **more)

    def rounds(self, table: Table, servers: dict[str, Server], measure, hits_of=None) -> None:
        """Round by round over all servers, so that what the machine does meets all alike. `hits_of` is
        the app, where it should be asked for nothing."""
        for _ in range(self.options.rounds):
            for name, server in list(servers.items()):
                try:
                    sample = self._sample(server, measure, hits_of)
                except Failed as error:
                    left_out(table, name, error)
                    del servers[name]
                    table.samples.pop(name, None)
                    continue
                table.add(name, sample)
        for name in table.samples:
            doubts(table, name)

    @staticmethod
    def _sample(server: Server, measure, hits_of) -> dict:
        before = ask.count(hits_of)["reads"] if hits_of else 0
        sample = measure(server)
        if hits_of:
            sample["not_hits"] = ask.count(hits_of)["reads"] - before
        sample["memory_mb"] = server.process.memory_bytes() / 1e6
        return sample


def left_out(table: Table, name: str, error: Exception) -> None:
    first = str(error).strip().splitlines()[0]
    table.note(f"{peers.title(name)} is left out: {first}")
    print(f"  {table.notes[-1]}")


def doubts(table: Table, name: str) -> None:
    """What a reader must know before they trust the row."""
    asked = table.median(name, "not_hits") or 0
    if asked:
        table.note(f"{peers.title(name)} asked the app {asked:,.0f} times in a round of hits")
    late = table.median(name, "late_p99_us") or 0
    if late > LATE_US:
        table.note(f"{peers.title(name)}: the load was {late:,.0f} µs late (p99)")
