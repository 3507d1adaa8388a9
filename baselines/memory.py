"""How much memory something needs, and whether it is there: asked before it is taken."""

from __future__ import annotations

import resource
from pathlib import Path

from deepsched.baselines.errors import NotEnoughMemory

MOST_SHOWN = 10**24
SMALL = 2**28  # bytes; for less nobody looks what is free
# Bytes at the most while a problem is made: of a pair of machines, of their links and what is
# computed of them; of a task on a machine, of its time and of its noise; of a task and its edges.
PAIR_BYTES, TIME_BYTES, NOISE_BYTES, TASK_BYTES = 40, 17, 16, 400
CGROUPS = Path("/sys/fs/cgroup")


def check_problem_memory(
    n_tasks: int | None, n_machines: int, *, noise: bool = False, what: str = ""
) -> None:
    """Refuse a problem that this process has no memory to make.

    Parameters
    ----------
    n_tasks : None: not known yet; then at least one.
    noise : there is a factor for each task on each machine.
    what : put before the message, such as the file.

    Raises
    ------
    NotEnoughMemory
        Naming tasks x machines, what they need and what is free.
    """
    n, p = n_tasks or 1, n_machines
    cell = TIME_BYTES + (NOISE_BYTES if noise else 0)
    size = f"{_count(p)} machines"
    if n_tasks is not None:
        size = f"{_count(n)} tasks x {size}"
    check_memory(PAIR_BYTES * p * p + cell * n * p + TASK_BYTES * (n + p), f"{what}{size}")


def check_memory(needed: int, what: str) -> None:
    """Refuse what needs more bytes than are free.

    Raises
    ------
    NotEnoughMemory
        Naming `what` it is that needs them.
    """
    if needed <= SMALL:
        return
    free = free_memory()
    if free is not None and needed > free:
        raise NotEnoughMemory(
            f"{what} need about {in_words(needed)} of memory, and {in_words(free)} are free"
        )


def free_memory() -> int | None:
    """Return how many bytes this process can still take; None: the system does not tell.

    The least of what the machine has, its container leaves and its limits allow.
    """
    found = [_of_machine(), _of_container(), _of_limits()]
    return min((free for free in found if free is not None), default=None)


def in_words(size: int) -> str:
    """Return a number of bytes in the unit that suits it."""
    if size >= MOST_SHOWN:
        return f"{_count(size)} bytes"
    for unit, factor in (("EB", 10**18), ("PB", 10**15), ("TB", 10**12), ("GB", 10**9)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size // 10**6} MB"


def _count(n: int) -> str:
    return f"{n:,}" if n < MOST_SHOWN else f"more than {MOST_SHOWN:.0e}"


def _of_machine() -> int | None:
    fields = _fields(Path("/proc/meminfo"))
    return fields["MemAvailable:"] * 1024 if "MemAvailable:" in fields else None


def _of_container() -> int | None:
    """Return what the cgroups of this process, of version 2 or 1, leave it."""
    free = []
    for line in _text(Path("/proc/self/cgroup")).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top = CGROUPS / "memory" if controllers else CGROUPS
        limit, used = (
            ("memory.limit_in_bytes", "memory.usage_in_bytes")
            if controllers
            else ("memory.max", "memory.current")
        )
        here = top / path.lstrip("/")
        for folder in (here, *here.parents):
            most, now = _text(folder / limit).strip(), _text(folder / used).strip()
            if most.isdigit() and now.isdigit():
                # What files of others are kept in memory is given back.
                kept = _fields(folder / "memory.stat").get("inactive_file", 0)
                free.append(max(0, int(most) - int(now) + kept))
            if folder == top:
                break
    return min(free, default=None)


def _of_limits() -> int | None:
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft == resource.RLIM_INFINITY:
        return None
    pages = _text(Path("/proc/self/statm")).split()
    used = int(pages[0]) * resource.getpagesize() if pages else 0
    return max(0, soft - used)


def _fields(path: Path) -> dict[str, int]:
    rows = (line.split() for line in _text(path).splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdigit()}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
