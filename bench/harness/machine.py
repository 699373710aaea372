"""The machine: which core does what, and what a report says of it."""

import os
import platform
import resource
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
WORK = ROOT / "target" / "bench"
# Servers are there, and not everybody's PATH has it; children inherit this.
os.environ["PATH"] += ":/usr/sbin:/sbin"

VERSIONS = {
    "pannier": ["git", "-C", str(ROOT), "describe", "--always", "--dirty"],
    "rustc": ["rustc", "--version"],
    "nginx": ["nginx", "-v"],
    "haproxy": ["haproxy", "-v"],
    "varnish": ["varnishd", "-V"],
    "squid": ["squid", "-v"],
    "trafficserver": ["traffic_server", "-V"],
    "redis": ["redis-server", "--version"],
    "node": ["node", "--version"],
    "h2load": ["h2load", "--version"],
}


@dataclass(frozen=True)
class Cores:
    """Lists as taskset takes them."""

    server: str
    load: str
    app: str
    redis: str
    count: int

    @staticmethod
    def plan() -> "Cores":
        """The server has a core of its own; with four or more, so have the load, the app and Redis."""
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            raise SystemExit("bench/run needs two cores: one for the server, one for the load")
        if len(cores) >= 4:
            load, server, app, redis = map(str, cores[:4])
            return Cores(server, load, app, redis, len(cores))
        load, server = map(str, cores[:2])
        return Cores(server, load, load, load, len(cores))

    def second(self, unused: str) -> str:
        """For a server on two cores: one that is `unused`, or else the load's."""
        return unused if self.count >= 4 else self.load

    def told(self) -> str:
        return (
            f"server on core {self.server}, load on {self.load}, app on {self.app}, "
            f"Redis on {self.redis}"
        )


def raise_descriptor_limit(wanted: int = 65536) -> int:
    """As far as allowed; returns what it is then. Children inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in ((wanted, max(wanted, hard)), (hard, hard)):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, limit)
            break
        except (ValueError, OSError):
            continue
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def facts(cores: Cores) -> dict[str, str]:
    """What someone who reads the figures must know of where they come from."""
    found = {
        "processor": _processor(),
        "cores": f"{cores.count} ({cores.told()})",
        "kernel": f"{platform.system()} {platform.release()}",
        "system": _system(),
        "load before": " ".join(Path("/proc/loadavg").read_text().split()[:3]),
    }
    for name, command in VERSIONS.items():
        found[name] = _first_line(command)
    return found


def children_seconds() -> float:
    """Processor time of all children that have ended and been waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def stolen() -> tuple[int, int]:
    """Ticks that the machine's host kept to itself, and all ticks, of all cores since boot."""
    ticks = [int(it) for it in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return ticks[7], sum(ticks)


def told_stolen(before: tuple[int, int]) -> str:
    now = stolen()
    return f"{(now[0] - before[0]) / max(now[1] - before[1], 1):.2%} of the processors' time"


def keep_to(cores: str) -> None:
    """This process runs nowhere else from here on; servers are pinned by themselves."""
    os.sched_setaffinity(0, {int(core) for core in cores.split(",")})


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _system() -> str:
    for line in Path("/etc/os-release").read_text().splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.split("=", 1)[1].strip('"')
    return "unknown"


def _first_line(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "not installed"
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0].strip() if lines else "unknown"
