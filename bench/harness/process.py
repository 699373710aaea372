"""Processes: started on their cores, accounted with all their children, and ended."""

import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path


class Failed(Exception):
    """A server or a load that did not do what it was started for."""


class Process:
    """A server pinned to its cores; its output goes to `log`."""

    def __init__(self, argv, cores: str, folder: Path, name: str, env=None):
        folder.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.log = folder / f"{name}.log"
        with self.log.open("wb") as log:
            self.child = subprocess.Popen(
                ["taskset", "-c", cores, *map(str, argv)],
                cwd=folder,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_for(self, port: int, seconds: float = 20.0) -> None:
        """Returns when `port` accepts connections."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.child.poll() is not None:
                raise Failed(f"{self.name} ended with {self.child.returncode}; see {self.log}")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise Failed(f"{self.name} does not listen on {port} after {seconds:.0f} s; see {self.log}")

    def cpu_seconds(self) -> float:
        """What the kernel has accounted to the process, its threads and its children."""
        return sum(_cpu_seconds(pid) for pid in _tree(self.child.pid))

    def memory_bytes(self) -> int:
        """What the tree holds; pages that its processes share count once."""
        return sum(_memory_bytes(pid) for pid in _tree(self.child.pid))

    def stop(self) -> None:
        """SIGTERM, and SIGKILL for whatever is left of the tree."""
        tree = _tree(self.child.pid)
        self.child.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.child.wait(timeout=3)
        for pid in tree:
            try:
                if os.getpgid(pid) == self.child.pid:
                    os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.child.wait()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _tree(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # The name in parentheses may contain anything; what follows the last one is regular.
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, IndexError):
            continue
        children.setdefault(parent, []).append(int(entry.name))
    found, new = [], [root]
    while new:
        pid = new.pop()
        found.append(pid)
        new.extend(children.get(pid, []))
    return found


def _cpu_seconds(pid: int) -> float:
    """utime + stime, to the nanosecond where the kernel says it so (schedstat), else to the tick."""
    try:
        nanos = 0
        for task in Path(f"/proc/{pid}/task").iterdir():
            nanos += int((task / "schedstat").read_text().split()[0])
        return nanos / 1e9
    except OSError:
        pass
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory_bytes(pid: int) -> int:
    for file, field in (("smaps_rollup", "Pss:"), ("status", "VmRSS:")):
        try:
            for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
                if line.startswith(field):
                    return int(line.split()[1]) * 1024
        except OSError:
            continue
    return 0
