"""The processes that a test has started, seen from outside."""

from __future__ import annotations

import os
import subprocess

MODULE = "deepsched.pipeline.serving.child"


def children() -> set[int]:
    """Return the ids of this process's children that work on requests; a zombie is none."""
    # Lines of any width: COLUMNS, where it is set, cuts them otherwise.
    listed = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    ).stdout
    rows = [line.split(maxsplit=2) for line in listed.splitlines()]
    return {
        int(pid)
        for pid, parent, command in rows
        if int(parent) == os.getpid() and MODULE in command
    }
