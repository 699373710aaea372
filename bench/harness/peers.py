"""The servers compared: how each is started. Their configs, and why these are fair, are in peers/."""

import getpass
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from .machine import ROOT, WORK, Cores
from .process import Process, free_port

TEMPLATES = ROOT / "bench" / "peers"

TITLES = {
    "limit-tokio": "bare tokio",
    "limit-hyper": "bare hyper",
    "limit-fred": "bare hyper + fred",
    "limit-proxy": "bare hyper as a proxy",
    "pannier": "Pannier",
    "haproxy": "HAProxy",
    "nginx": "nginx",
    "varnish": "Varnish",
    "squid": "Squid",
    "trafficserver": "Traffic Server",
    "nginx-redis": "nginx + Lua + Redis",
    "node-ioredis": "Node + ioredis",
    "direct": "the app itself",
}


def title(row: str) -> str:
    """What a table calls a row: a server, or what it says already."""
    return TITLES.get(row, row)


@dataclass
class Setting:
    """What a scene starts its servers with."""

    built: dict[str, Path]
    cores: Cores
    app: int
    redis: int | None = None
    # Of the bare limits' answers.
    bytes: int = 936
    status: int = 200
    # Threads of Pannier and of the bare limits, and what the threads of these share.
    workers: int = 1
    shape: str = "own"
    # Pannier's [memory] max, and the file of its config.
    memory: str = "4GiB"
    template: str | None = None
    server_cores: str | None = None


@dataclass
class Server:
    """A server that runs."""

    name: str
    process: Process
    port: int
    h2_port: int
    admin: int
    folder: Path
    leftovers: list[Path] = field(default_factory=list)

    def stop(self) -> None:
        self.process.stop()
        for path in self.leftovers:
            shutil.rmtree(path, ignore_errors=True)


def start(name: str, setting: Setting, label: str | None = None) -> Server:
    """Starts the peer `name`; returns when it listens."""
    label = label or name
    folder = WORK / "run" / label
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    port, h2_port, admin = free_port(), free_port(), free_port()
    places = {
        "DIR": folder,
        "PORT": port,
        "H2PORT": h2_port,
        "ADMIN": admin,
        "APP": setting.app,
        "REDIS": setting.redis or 0,
        "USER": getpass.getuser(),
        "SHM": Path("/dev/shm") / f"pannier-bench-{os.getpid()}-{label}",
    }
    argv, leftovers = _COMMANDS[name](setting, places)
    cores = setting.server_cores or setting.cores.server
    server = Server(name, Process(argv, cores, folder, label), port, h2_port, admin, folder, leftovers)
    try:
        # A config of 10,000 rules takes its time.
        server.process.wait_for(port, seconds=60)
    except BaseException:
        server.stop()
        raise
    if name in ("pannier", "varnish"):
        # The same port speaks both.
        server.h2_port = port
    return server


def _limit(name: str):
    def command(setting: Setting, places: dict):
        argv = [setting.built[name], "--port", places["PORT"], "--bytes", setting.bytes]
        argv += ["--status", setting.status, "--app", setting.app, "--redis", places["REDIS"]]
        return [*argv, "--threads", setting.workers, "--shape", setting.shape], []

    return command


def _pannier(setting: Setting, places: dict):
    table = ""
    if setting.redis:
        table = f'\n[redis]\nurl = "redis://127.0.0.1:{setting.redis}"\n'
    places = {**places, "REDIS_TABLE": table, "MEMORY": setting.memory, "WORKERS": setting.workers}
    text = setting.template or (TEMPLATES / "pannier.toml").read_text()
    config = places["DIR"] / "pannier.toml"
    config.write_text(filled(text, places))
    return [setting.built["pannier"], "run", "--config", config], []


def _nginx(template: str):
    def command(_: Setting, places: dict):
        places["SHM"].mkdir()
        config = _render(template, places)
        return ["nginx", "-p", places["DIR"], "-c", config, "-e", "stderr"], [places["SHM"]]

    return command


def _haproxy(_: Setting, places: dict):
    return ["haproxy", "-db", "-f", _render("haproxy.cfg", places)], []


def _varnish(_: Setting, places: dict):
    options = ["-F", "-n", places["DIR"] / "state", "-a", f"127.0.0.1:{places['PORT']}"]
    options += ["-f", _render("varnish.vcl", places), "-s", "malloc,2g", "-T", "none"]
    # As root it would change to users that cannot read the folder of the build.
    options += ["-j", "none"] if os.geteuid() == 0 else []
    for setting in ("thread_pools=1", "feature=+http2", "listen_depth=4096"):
        options += ["-p", setting]
    return ["varnishd", *options], []


def _squid(_: Setting, places: dict):
    user = _unprivileged("proxy", places)
    return ["squid", "-N", "-f", _render("squid.conf", {**places, "SQUID_USER": user})], []


def _trafficserver(_: Setting, places: dict):
    user = _unprivileged("trafficserver", places)
    places = {**places, "ATS_USER": user}
    for file in (TEMPLATES / "trafficserver").iterdir():
        _render(f"trafficserver/{file.name}", places)
    # What is not of the benchmark is as Debian ships it.
    for name in ("ip_allow.yaml", "logging.yaml", "plugin.config", "ssl_multicert.config"):
        shutil.copy(Path("/etc/trafficserver") / name, places["DIR"] / name)
    return ["traffic_server", f"--run-root={places['DIR'] / 'runroot.yaml'}"], []


def _node(setting: Setting, places: dict):
    script = WORK / "node-ioredis" / "server.js"
    return ["node", script, places["PORT"], setting.app, setting.redis], []


_COMMANDS = {
    "limit-tokio": _limit("limit-tokio"),
    "limit-hyper": _limit("limit-hyper"),
    "limit-fred": _limit("limit-fred"),
    "limit-proxy": _limit("limit-proxy"),
    "pannier": _pannier,
    "nginx": _nginx("nginx.conf"),
    "nginx-redis": _nginx("nginx-redis.conf"),
    "haproxy": _haproxy,
    "varnish": _varnish,
    "squid": _squid,
    "trafficserver": _trafficserver,
    "node-ioredis": _node,
}


def filled(text: str, places: dict) -> str:
    for name, value in places.items():
        text = text.replace(f"@{name}@", str(value))
    return text


def _render(template: str, places: dict) -> Path:
    target = places["DIR"] / Path(template).name
    target.write_text(filled((TEMPLATES / template).read_text(), places))
    return target


def _unprivileged(user: str, places: dict) -> str:
    """Servers that refuse to run as root change to the user of their package."""
    if os.geteuid() != 0:
        return getpass.getuser()
    shutil.chown(places["DIR"], user)
    # The folders above must let it through.
    for parent in places["DIR"].parents:
        if parent.stat().st_uid == 0 and not parent.stat().st_mode & 0o001:
            raise SystemExit(f"{user} cannot enter {parent}; run bench/run as another user")
    return user
