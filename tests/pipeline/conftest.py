"""Fixtures that several tests of the pipeline share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.pipeline.s3_server import run_s3_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.pipeline.s3_server import S3


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3]:
    """Run one S3 server for all tests of this process."""
    with run_s3_server() as server:
        yield server
