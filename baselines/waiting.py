"""Saying what is being waited for, where it takes long; shown where a program wants to."""

from __future__ import annotations

import logging
import sys

WAITING = "deepsched.waiting"  # the logger, at level INFO


def waiting(text: str) -> None:
    """Log what the next seconds go into, such as "compiling, once"."""
    logging.getLogger(WAITING).info(text)


def loading(*packages: str) -> None:
    """Say that packages are being imported which take seconds, unless that is done."""
    missing = [name for name in packages if name not in sys.modules]
    if missing:
        waiting(f"loading {' and '.join(missing)}")
