"""Fixtures shared by all tests: the real inputs, one local Ray, and deterministic hypothesis."""

from __future__ import annotations

import gc
import os
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests.browser import NAMES, Browser, find_browser

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "default")

# A shell's background job ignores Ctrl-C and would hand that on to what the tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Importing torch, Ray and the tests makes millions of objects that stay: looking through them again
# and again would double the time until the first test.
gc.disable()

DATA = os.environ.get("DEEPSCHED_DATA")
NO_DATA = "DEEPSCHED_DATA is not set"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the switch of `make test-data`."""
    parser.addoption("--require-data", action="store_true", help="fail instead of skipping")


def pytest_configure(config: pytest.Config) -> None:
    """Stop before the first test where the data that were asked for are not there."""
    if DATA and not Path(DATA).is_dir():
        raise pytest.UsageError(f"DEEPSCHED_DATA={DATA} is not a folder")
    if not DATA and config.getoption("--require-data"):
        raise pytest.UsageError(f"{NO_DATA}: name the folder that holds the real inputs")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark by fixture, so that no test is missed by `-m data` or `-m 'not ray'`."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if "data_dir" in fixtures:
            item.add_marker("data")
        if "local_ray" in fixtures:
            item.add_marker("ray")
        if "browser" in fixtures:
            item.add_marker("browser")


def pytest_collection_finish() -> None:
    """Collect garbage again, but not among what was imported."""
    gc.freeze()
    gc.enable()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a data test where there are no data."""
    if not DATA and item.get_closest_marker("data"):
        pytest.skip(NO_DATA)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With --require-data a skipped test counts as failed."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and item.config.option.require_data:
        report.outcome = "failed"
        report.longrepr = f"skipped although --require-data is given: {report.longrepr}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests wait for data."""
    skipped = terminalreporter.stats.get("skipped", [])
    count = sum(NO_DATA in str(report.longrepr) for report in skipped)
    if count:
        terminalreporter.write_line(f"{count} data tests skipped: {NO_DATA}", yellow=True)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Return the folder of real inputs; a test that asks for it is skipped without one."""
    assert DATA, "pytest_runtest_setup skips the data tests"
    return Path(DATA)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start a browser without a window for all tests that need one; skip them where none is."""
    binary = find_browser()
    if binary is None:
        pytest.skip(f"there is no browser: none of {', '.join(NAMES)} is on the path")
    found = Browser(binary)
    yield found
    found.close()


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """Start one private Ray of two CPUs for all tests that need one."""
    import ray

    from deepsched.pipeline.common.ray_session import ray_session

    os.environ["RAY_AUTH_MODE"] = "disabled"
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Socket paths are limited to 107 bytes, so the folder must be short.
    with tempfile.TemporaryDirectory(prefix="rt", dir="/tmp", ignore_cleanup_errors=True) as tmp:
        os.environ["RAY_TMPDIR"] = tmp
        assert not ray.is_initialized()
        with ray_session(address="local", num_cpus=2, dashboard=True):
            node = ray._private.worker.global_worker.node  # noqa: SLF001 - nothing public tells
            assert node is not None
            every = [one.process for some in node.all_processes.values() for one in some]
            yield
        # Ray kills them and waits 2 s; a busy machine takes longer, and Python warns of those left.
        assert every
        for process in every:
            process.wait(timeout=60)
