"""Fixtures that the tests of the service share: networks as its processes load them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from deepsched.pipeline.serving.networks import Networks
from tests.pipeline.serving.examples import paper_checkpoint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def networks() -> Networks:
    """Return the schedulers of a process that has no checkpoint of its own."""
    return Networks(None)


@pytest.fixture(scope="session")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the checkpoint of a small network that imitates."""
    return paper_checkpoint(tmp_path_factory.mktemp("serving") / "paper")


@pytest.fixture(scope="session")
def paper_networks(paper: Path) -> Networks:
    """Return the schedulers of a process that serves that network."""
    return Networks(paper)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    """Return an event loop for several tests, whose processes go on between them."""
    with asyncio.Runner() as runner:
        yield runner
