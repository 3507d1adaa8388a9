"""The peak memory of this process."""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path

MEGABYTE = 1e6


def peak_megabytes() -> float:
    """Return the most that this process has held at a time, MB = 10^6 bytes.

    On Linux from the kernel's record of this program: `getrusage` also counts the process that
    this one was forked from.
    """
    status = Path("/proc/self/status")
    if status.exists():
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        if found:
            return int(found[1]) * 1024 / MEGABYTE
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MEGABYTE
