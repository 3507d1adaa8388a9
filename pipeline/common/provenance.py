"""Where numbers come from: date, versions and machine, for reports."""

from __future__ import annotations

import contextlib
import datetime
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

PACKAGES = ("deepsched", "ray", "torch", "numpy", "numba", "pyarrow")


def provenance(**facts: Any) -> dict[str, Any]:
    """Return the facts given, with the date (UTC), the versions and the machine of this process."""
    now = datetime.datetime.now(datetime.UTC)
    return {
        **facts,
        "date": now.strftime("%Y-%m-%d %H:%M UTC"),
        "versions": {"python": platform.python_version(), **versions(PACKAGES)},
        "machine": f"{cpu_name()}, {os.cpu_count()} CPUs, {platform.system()}",
    }


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the version of each package that is installed.

    One that is not is left out: an optional one, or this one where a checkout is run.
    """
    found = {}
    for name in packages:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def cpu_name() -> str:
    """Return the processor's name, as far as the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
