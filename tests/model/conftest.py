"""The model's tests run on one thread, so that they take the same time on a busy machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deepsched.model.threads import one_thread

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True, scope="package")
def on_one_thread() -> Iterator[None]:
    """Hold torch to one thread."""
    with one_thread():
        yield
