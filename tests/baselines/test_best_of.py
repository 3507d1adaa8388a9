"""The searching teachers are no worse than what they start from, and better where they can be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from deepsched.baselines.best_of import best_of
from deepsched.baselines.cpop import cpop
from deepsched.baselines.generate import GeneratorSpec, generate
from deepsched.baselines.heft import heft
from deepsched.baselines.min_min import min_min
from deepsched.baselines.peft import peft
from deepsched.baselines.perturbation import perturbation
from deepsched.baselines.sufferage import sufferage
from tests.baselines.test_reference_values import topcuoglu

if TYPE_CHECKING:
    from deepsched.baselines.problem import Problem


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def problems() -> list[Problem]:
    families = ("layered", "fork-join", "cholesky", "independent")
    return [
        generate(GeneratorSpec(family=family, tasks=40, machines=5, ccr=ccr), seed)
        for seed, family in enumerate(families)
        for ccr in (0.1, 3.0)
    ]


def test_one_evaluation_is_heft(problems: list[Problem]) -> None:
    for problem in problems:
        assert (
            perturbation(problem, rng(), evaluations=1).aft.tobytes() == heft(problem).aft.tobytes()
        )
    with pytest.raises(ValueError, match="evaluations"):
        perturbation(problems[0], rng(), evaluations=0)


def test_more_evaluations_are_never_worse_and_mostly_better(problems: list[Problem]) -> None:
    better = 0
    for problem in problems:
        lengths = [
            perturbation(problem, rng(), evaluations=count).makespan for count in (1, 30, 200)
        ]
        assert lengths == sorted(lengths, reverse=True)
        better += lengths[-1] < lengths[0]
    assert better > len(problems) / 2


def test_the_best_is_no_longer_than_its_members(problems: list[Problem]) -> None:
    for problem in problems:
        members = [member(problem).makespan for member in (heft, peft, cpop, min_min, sufferage)]
        members.append(perturbation(problem, rng()).makespan)
        assert best_of(problem, rng()).makespan <= min(members)


def test_the_same_stream_gives_the_same_bits(problems: list[Problem]) -> None:
    for search in (perturbation, best_of):
        one, again = (search(problems[1], rng()) for _ in range(2))
        assert one.proc.tobytes() == again.proc.tobytes()
        assert one.aft.tobytes() == again.aft.tobytes()


def test_the_published_example_has_length_73() -> None:
    assert best_of(topcuoglu(), rng()).makespan == 73.0
