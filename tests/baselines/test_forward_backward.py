"""Forward-backward improvement: tasks pushed to the end of time and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings

from deepsched.baselines.forward_backward import forward_backward_improvement
from deepsched.baselines.generate import GeneratorSpec, generate
from deepsched.baselines.heft import heft
from deepsched.baselines.schedule import violations
from tests import strategies

if TYPE_CHECKING:
    from deepsched.baselines.problem import Problem


@settings(max_examples=200)
@given(problem=strategies.problems())
def test_pushing_to_and_fro_never_makes_longer(problem: Problem) -> None:
    start = heft(problem)
    found = forward_backward_improvement(problem, start)
    assert violations(problem, found) == []
    assert found.makespan <= start.makespan
    assert found.scheduler == "heft"


@pytest.mark.parametrize("ccr", [0.0, 1.0])
def test_pushing_to_and_fro_helps(ccr: float) -> None:
    spec = GeneratorSpec(family="layered", tasks=60, machines=8, ccr=ccr)
    problems = [generate(spec, seed) for seed in range(10)]
    starts = [heft(problem) for problem in problems]
    shorter = [
        forward_backward_improvement(problem, start).makespan < start.makespan
        for problem, start in zip(problems, starts, strict=True)
    ]
    assert any(shorter)
