"""Fixtures shared by all tests: the real inputs, one local Ray, and deterministic hypothesis."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "default")

DATA = os.environ.get("DEEPSCHED_DATA")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Return the folder of real inputs; a test that asks for it is skipped without one."""
    if not DATA:
        pytest.skip("DEEPSCHED_DATA is not set")
    path = Path(DATA)
    if not path.is_dir():
        pytest.fail(f"DEEPSCHED_DATA={DATA} is not a folder")
    return path


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """Start one private Ray of two CPUs for all tests that need one."""
    import ray

    from pipeline.ray_session import ray_session

    os.environ["RAY_AUTH_MODE"] = "disabled"
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Socket paths are limited to 107 bytes, so the folder must be short.
    with tempfile.TemporaryDirectory(prefix="rt", dir="/tmp", ignore_cleanup_errors=True) as tmp:
        os.environ["RAY_TMPDIR"] = tmp
        assert not ray.is_initialized()
        with ray_session(address="local", num_cpus=2, dashboard=True):
            yield
