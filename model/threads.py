"""How many CPU threads torch uses while a network runs."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one CPU thread, and give back the former number afterwards.

    The steps of a long recurrence are too small to share: handing them to a second thread takes
    many times longer than doing them.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
