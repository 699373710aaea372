"""One run: its options, the servers it has started, and what it has measured."""

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from . import peers
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
    samples: dict[str, list[dict]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, row: str, sample: dict) -> None:
        self.samples.setdefault(row, []).append(sample)

    def median(self, row: str, column: str) -> float | None:
        values = [sample[column] for sample in self.samples.get(row, []) if column in sample]
        return median(values) if values else None


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
    def sidecar(self, setting: Setting, label):
        """One Pannier; who compares several of them tells them apart by `label`."""
        server = peers.start("pannier", setting, f"pannier-{label}")
        try:
            yield server
        finally:
            server.stop()

    def setting(self, app: int, **more) -> Setting:
        return Setting(self.built, self.cores, app, **more)

    def rounds(self, table: Table, servers: dict[str, Server], measure) -> None:
        """Round by round over all servers, so that what the machine does meets all alike."""
        for _ in range(self.options.rounds):
            for name, server in list(servers.items()):
                try:
                    sample = measure(server)
                except Failed as error:
                    left_out(table, name, error)
                    del servers[name]
                    table.samples.pop(name, None)
                    continue
                sample["memory_mb"] = server.process.memory_bytes() / 1e6
                table.add(name, sample)


def left_out(table: Table, name: str, error: Exception) -> None:
    first = str(error).strip().splitlines()[0]
    table.notes.append(f"{peers.TITLES.get(name, name)} is left out: {first}")
    print(f"  {table.notes[-1]}")
