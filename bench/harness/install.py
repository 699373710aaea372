"""Puts in place what the benchmark needs and this machine lacks (Debian, Ubuntu)."""

import json
import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

from .machine import ROOT, WORK

# A program or file, and the packages that bring it.
LOAD = {"wrk": ["wrk"], "h2load": ["nghttp2-client"], "taskset": ["util-linux"], "chrt": ["util-linux"]}
SERVERS = {
    "redis-server": ["redis-server"],
    "nginx": ["nginx-light"],
    "/usr/lib/nginx/modules/ngx_http_lua_module.so": ["libnginx-mod-http-lua"],
    "/usr/share/lua/5.1/nginx/redis.lua": ["lua-nginx-redis"],
    "haproxy": ["haproxy"],
    # Varnish compiles its configuration when it starts.
    "varnishd": ["varnish", "gcc", "libc6-dev"],
    "squid": ["squid"],
    "traffic_server": ["trafficserver"],
    "node": ["nodejs"],
    "npm": ["npm"],
}
COUNTING = {"valgrind": ["valgrind"]}

PROGRAMS = ("limit-tokio", "limit-hyper", "limit-fred", "limit-proxy", "bench-app", "bench-load")


def packages(*wanted: dict[str, list[str]]) -> None:
    """Installs what is missing, without any service being started."""
    missing = [
        package
        for table in wanted
        for needed, names in table.items()
        if not _there(needed)
        for package in names
    ]
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise SystemExit(f"missing, and there is no apt-get to install them: {' '.join(missing)}")
    print(f"installing: {' '.join(missing)}")
    with _no_services():
        _as_root(["apt-get", "update", "-qq"])
        quiet = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-qq"]
        _as_root([*quiet, "--no-install-recommends", *missing])


def npm() -> Path:
    """ioredis as the lock file has it; returns the folder to run server.js in."""
    folder = WORK / "node-ioredis"
    folder.mkdir(parents=True, exist_ok=True)
    source = ROOT / "bench" / "peers" / "node-ioredis"
    for file in source.iterdir():
        shutil.copy(file, folder / file.name)
    lock = (source / "package-lock.json").read_bytes()
    done = folder / "installed"
    if not done.exists() or done.read_bytes() != lock:
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
        subprocess.run(command, cwd=folder, check=True)
        done.write_bytes(lock)
    return folder


def build() -> dict[str, Path]:
    """Pannier as released, and the programs of the benchmark; returns where each is."""
    built = _cargo([part for name in PROGRAMS for part in ("--bench", name)])
    # Apart, so that features of test dependencies do not get into the released program; and last, since
    # cargo puts a program that has them beside the bench targets, under the same name.
    return built | _cargo(["--bin", "pannier"])


def _cargo(targets: list[str]) -> dict[str, Path]:
    command = ["cargo", "build", "--release", "--message-format=json-render-diagnostics", *targets]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    built = {}
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable"):
            built[message["target"]["name"]] = Path(message["executable"])
    return built


def _there(needed: str) -> bool:
    return Path(needed).exists() if needed.startswith("/") else shutil.which(needed) is not None


def _as_root(command: list[str]) -> None:
    command = command if os.geteuid() == 0 else ["sudo", *command]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def _no_services():
    """Debian's packages ask policy-rc.d whether they may start; 101 says no. An own one stays."""
    policy = Path("/usr/sbin/policy-rc.d")
    if policy.exists():
        yield
        return
    with tempfile.NamedTemporaryFile("w", suffix=".policy") as script:
        script.write("#!/bin/sh\nexit 101\n")
        script.flush()
        _as_root(["install", "-m", "755", script.name, str(policy)])
    try:
        yield
    finally:
        _as_root(["rm", "-f", str(policy)])
