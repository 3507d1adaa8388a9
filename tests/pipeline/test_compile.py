"""`deepsched compile`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deepsched.baselines.registry import SCHEDULERS
from deepsched.baselines.timing import timed
from deepsched.model.networks.deepsched.options import DECODES, NAME
from deepsched.pipeline import compile as stage
from tests.pipeline.cli_helpers import deepsched_here

if TYPE_CHECKING:
    import pytest

    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule


def test_everything_is_compiled(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[tuple[str, bool]] = []

    def noted(scheduler: Any, problem: Problem, stream: Any) -> tuple[Schedule, float]:
        schedule, seconds = timed(scheduler, problem, stream)
        ran.append((schedule.scheduler, bool(problem.succ_bytes.size)))
        return schedule, seconds

    monkeypatch.setattr(stage, "timed", noted)
    done = deepsched_here(capsys, "compile")
    assert (done.returncode, "schedulers and learners are" in done.stdout) == (0, True)
    for name in SCHEDULERS:
        assert {graph for who, graph in ran if who == name} == {True, False}, name
    # Twice on a graph: the first run's budget is used up by what it compiles.
    # Beside the decodings one pass, and the mean turnaround.
    assert ran.count((NAME, True)) == 2 * (len(DECODES) + 2)
    assert ran.count((NAME, False)) == len(DECODES) + 2
