"""Callgrind's files: read, subtracted, and shared out over the parts of a request.

Code that was inlined keeps its source file in callgrind's output, so cost is told by where it was
written, not by which function the compiler left it in. What belongs to no part by itself (memcpy, malloc,
the standard library) is charged to whoever called it, in proportion to the calls' cost.
"""

import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

# A part of the request, and the source files or functions that make it; the first match counts.
PARTS = (
    ("parse", r"/httparse-|Http1Transaction>::parse|/hyper-[^/]+/src/proto/h1/decode"),
    (
        "write",
        r"Http1Transaction>::encode|/hyper-[^/]+/src/proto/h1/(encode|io)|/hyper-[^/]+/src/common/date"
        r"|/httpdate-",
    ),
    ("admit", r"^src/proxy/(request/)?(admit|present)"),
    ("route", r"^src/routes/(matcher|target|query)|/matchit-"),
    ("key", r"^src/routes/|^src/proxy/(request/)?variables"),
    ("lookup", r"^src/store/"),
    ("decide", r"^src/http_cache/(?!cache_status|reason)|^src/entry/|^src/clock"),
    (
        "headers",
        r"^src/proxy/(cache/respond|cache/head_cache|forward/headers|hop_by_hop|outcome)|^src/http_cache/(cache_status|reason)|/sfv-",
    ),
    ("count", r"^src/metrics|/prometheus-"),
    ("handle", r"^src/(proxy|live|body|jwt|config)|/arc-swap-"),
    ("connection", r"^src/server|/hyper-|/hyper-util-"),
    ("runtime", r"/tokio-|/mio-|/futures-|/socket2-"),
)
PART_NAMES = tuple(name for name, _ in PARTS)
_RULES = tuple((name, re.compile(rule)) for name, rule in PARTS)


@dataclass
class Profile:
    """Instructions by function and file, and by call."""

    # (function, file the code was written in) → its own instructions.
    own: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    # (caller, callee) → instructions of the calls with all below.
    calls: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    # Function → the file it is defined in.
    home: dict[str, str] = field(default_factory=dict)

    def total(self) -> int:
        return sum(self.own.values())

    def minus(self, other: "Profile") -> "Profile":
        """What this run did more than the other."""
        less = Profile(home=self.home | other.home)
        for name in ("own", "calls"):
            mine, theirs, result = getattr(self, name), getattr(other, name), getattr(less, name)
            for key in mine.keys() | theirs.keys():
                result[key] = mine.get(key, 0) - theirs.get(key, 0)
        return less


def read(path: Path, root: Path) -> Profile:
    """One thread's file; paths below `root` are told from there."""
    profile, names = Profile(), {}
    function = file = callee = ""
    inclusive = False
    for line in path.read_text(errors="replace").splitlines():
        kind, _, rest = line.partition("=")
        if kind in ("fl", "fi", "fe"):
            file = _named(names, "file", rest, root)
        elif kind == "fn":
            function = _named(names, "fn", rest, root)
            profile.home.setdefault(function, file)
        elif kind == "cfn":
            callee = _named(names, "fn", rest, root)
        elif kind in ("cfi", "cfl"):
            _named(names, "file", rest, root)
        elif kind == "calls":
            inclusive = True
        elif line and (line[0] in "+-*" or line[0].isdigit()):
            cost = int(line.split()[-1])
            if inclusive:
                profile.calls[function, callee] += cost
                inclusive = False
            else:
                profile.own[function, file] += cost
    return profile


def parts(profile: Profile) -> dict[str, float]:
    """Instructions by part; `other` is what no caller could be charged with."""
    shares = _shares(profile)
    sums = dict.fromkeys((*PART_NAMES, "other"), 0.0)
    for (function, file), cost in profile.own.items():
        part = _part(file, function)
        if part:
            sums[part] += cost
            continue
        for part, share in shares[function].items():
            sums[part] += cost * share
    return sums


def _shares(profile: Profile) -> dict[str, dict[str, float]]:
    """For each function, which parts its unplaced code is charged to, as shares of one."""
    callers: dict[str, dict[str, float]] = defaultdict(dict)
    for (caller, callee), cost in profile.calls.items():
        if cost > 0 and caller != callee:
            callers[callee][caller] = cost
    shares: dict[str, dict[str, float]] = {}
    loose = []
    for function, home in profile.home.items():
        part = _part(home, function)
        shares[function] = {part or "other": 1.0}
        if part is None and callers[function]:
            loose.append(function)
    # Charges climb one call a turn; call chains within the standard library are short.
    for _ in range(30):
        for function in loose:
            total = sum(callers[function].values())
            mixed: dict[str, float] = defaultdict(float)
            for caller, cost in callers[function].items():
                for part, share in shares.get(caller, {"other": 1.0}).items():
                    mixed[part] += share * cost / total
            shares[function] = mixed
    return shares


def _part(file: str, function: str) -> str | None:
    text = f"{file} {function}"
    return next((name for name, rule in _RULES if rule.search(text)), None)


def _named(names: dict, kind: str, text: str, root: Path) -> str:
    """Names are written out once and then told by number."""
    number, _, name = text.partition(" ")
    if not number.startswith("("):
        name, number = text, text
    if name:
        below = name.removeprefix(f"{root}/")
        names[kind, number] = below
    return names.get((kind, number), "???")
