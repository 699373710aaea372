"""The load generators, and what they say, as numbers."""

import json
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

from .machine import ROOT, WORK, Cores, children_seconds
from .process import Failed, Process

SCRIPTS = ROOT / "bench" / "wrk"
# Whoever else wants the core gets it at once.
IDLE = ("chrt", "--idle", "0")


class Loads:
    """All of them, on the load's cores."""

    def __init__(self, built: dict[str, Path], cores: Cores):
        self.own = built["bench-load"]
        self.cores = cores.load

    def wrk(self, port, seconds, path="/", connections=32, headers=(), script=None, args=()):
        """Closed loop: each connection asks again as soon as it is answered."""
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "--latency"]
        for name, value in {"Host": "bench.example", **dict(headers)}.items():
            command += ["-H", f"{name}: {value}"]
        # wrk takes one script: ours is the two in a row.
        command += ["-s", _script(script), f"http://127.0.0.1:{port}{path}"]
        output = self._run([*command, "--", *map(str, args)] if args else command, seconds + 40)
        line = next((line for line in output.splitlines() if line.startswith("@@")), None)
        if line is None:
            raise Failed(f"wrk told nothing:\n{output}")
        told = json.loads(line[2:])
        if told["failed"] > told["requests"] / 1000 or not told["requests"]:
            raise Failed(f"wrk: {told['failed']} of {told['requests']} requests failed")
        told["rps"] = told["requests"] / told["duration_us"] * 1e6
        return told

    def h2load(self, port, seconds, path, options):
        """Closed loop, HTTP/2 with prior knowledge unless `options` say `--h1`; every request's time is
        in the log."""
        log = WORK / "h2load.log"
        log.unlink(missing_ok=True)
        # The same name as in all other requests: some caches keep answers by it.
        name = ["-H", ":authority: bench.example"]
        command = ["h2load", "-t1", f"-D{seconds}", f"--log-file={log}", *name, *options]
        output = self._run([*command, f"http://127.0.0.1:{port}{path}"], seconds + 40)
        return _h2load(output, log)

    def tell(self, kind, /, gently=False, **options):
        """Our own generator: `open`, `fill`, `burst`, `stale` or `stream`. `open` keeps its core busy; who
        shares that core has it give way (`gently`)."""
        command = self._own(kind, options)
        told = json.loads(self._run([*IDLE, *command] if gently else command, 600))
        return _unfailing(command, told)

    @contextmanager
    def beside(self, kind, /, **options):
        """Our own generator while something else is done; yields what it told at the end, as a dict that
        is filled then."""
        command = ["taskset", "-c", self.cores, *self._own(kind, options)]
        running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        told = {}
        try:
            yield told
            output, _ = running.communicate(timeout=60)
        finally:
            running.kill()
            running.wait()
        if running.returncode != 0:
            raise Failed(f"{kind} ended with {running.returncode}")
        told |= _unfailing(command, json.loads(output))

    def _own(self, kind, options) -> list[str]:
        command = [str(self.own), kind]
        for name, value in options.items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        return command

    def _run(self, command, seconds):
        try:
            done = subprocess.run(
                ["taskset", "-c", self.cores, *command],
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise Failed(f"{command[0]} did not end within {seconds} s") from error
        if done.returncode != 0:
            raise Failed(f"{command[0]} ended with {done.returncode}: {done.stderr or done.stdout}")
        return done.stdout


def accounted(process: Process, load) -> dict:
    """What `load` told, with the processor time of `process` during it, by request; and which part of
    one core server and load were busy with it."""
    before, load_before, begun = process.cpu_seconds(), children_seconds(), time.monotonic()
    told = load()
    took = told.get("duration_us", (time.monotonic() - begun) * 1e6) / 1e6
    spent = process.cpu_seconds() - before
    requests = told.get("requests") or told.get("reads", 0) + told.get("writes", 0)
    told["cpu_seconds"] = spent
    told["busy_percent"] = 100 * spent / took
    told["load_busy_percent"] = 100 * (children_seconds() - load_before) / took
    if requests:
        told["cpu_us"] = spent / requests * 1e6
    return told


def quantile(values: list[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(part * len(ordered)), len(ordered) - 1)] if ordered else 0.0


def _unfailing(command, told: dict) -> dict:
    done = told.get("reads", told.get("asked", told.get("purges", 0)))
    if told.get("failed", 0) > max(done, 1) / 1000:
        raise Failed(f"{' '.join(command)}: {told}")
    return told


def _script(script: str | None) -> str:
    if script is None:
        return str(SCRIPTS / "report.lua")
    both = WORK / script
    WORK.mkdir(parents=True, exist_ok=True)
    both.write_text((SCRIPTS / script).read_text() + (SCRIPTS / "report.lua").read_text())
    return str(both)


def _h2load(output: str, log: Path) -> dict:
    counted = next((line for line in output.splitlines() if line.startswith("requests:")), "")
    words = counted.replace(",", "").split()
    done = dict(zip(words[2::2], map(int, words[1::2]), strict=False)) if words else {}
    rate = next((line for line in output.splitlines() if line.startswith("finished in")), "")
    if not done.get("succeeded") or done["succeeded"] < done.get("done", 0):
        raise Failed(f"h2load: {counted or output}")
    times = [float(line.split("\t")[2]) for line in log.read_text().splitlines()]
    rps = float(rate.split(",")[1].split()[0])
    return {
        "requests": len(times),
        "duration_us": len(times) / rps * 1e6,
        "rps": rps,
        "p50_us": quantile(times, 0.5),
        "p99_us": quantile(times, 0.99),
        "p999_us": quantile(times, 0.999),
    }
