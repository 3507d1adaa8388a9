"""Mistakes in a scheduler of one's own are one line that names it and the place."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import deepsched as ds
from deepsched.baselines.errors import InvalidInput, TooLarge
from deepsched.baselines.heft import heft
from deepsched.baselines.own import OwnScheduler
from deepsched.baselines.readers import read_problem
from deepsched.baselines.registry import _registered
from deepsched.baselines.schedule import make_schedule
from tests.pipeline.cli_helpers import ROOT, deepsched_here

if TYPE_CHECKING:
    from pathlib import Path

    from deepsched.baselines.problem import Problem

TOPCUOGLU = ROOT / "tests/data/topcuoglu.json"


def nothing(problem: Problem, rng: np.random.Generator) -> Any:
    return None


def machines(problem: Problem, rng: np.random.Generator) -> Any:
    return np.zeros(problem.n_tasks)


def one(problem: Problem) -> Any:
    return heft(problem)


def typo(problem: Any, rng: np.random.Generator) -> Any:
    return problem.etcc


def early(problem: Problem, rng: np.random.Generator) -> Any:
    found = heft(problem)
    return make_schedule("x", found.proc, found.ast - 1, found.aft - 1)


def large(problem: Problem, rng: np.random.Generator) -> Any:
    raise TooLarge("one task at most")


CASES = {
    nothing: "scheduler mine returned NoneType; it must return a Schedule",
    machines: "scheduler mine returned ndarray; it must return a Schedule",
    one: "scheduler mine, on topcuoglu: TypeError: one.. takes 1 positional argument but 2",
    typo: r"scheduler mine, on topcuoglu: AttributeError: 'Problem' .*test_own\.py, line \d+",
}


@pytest.mark.parametrize(
    ("function", "said"), CASES.items(), ids=lambda x: getattr(x, "__name__", "")
)
def test_mistakes(function: Any, said: str) -> None:
    problem = read_problem(TOPCUOGLU)
    with pytest.raises(InvalidInput, match=said) as caught:
        OwnScheduler("mine", function)(problem, np.random.default_rng(0))
    assert str(caught.value).isprintable()
    with pytest.raises(InvalidInput, match=f"scheduler {function.__name__}"):
        ds.schedule(problem, function)
    with pytest.raises(InvalidInput, match="scheduler mine"):
        ds.compare(problem, {"mine": function})


def test_an_invalid_schedule() -> None:
    problem = read_problem(TOPCUOGLU)
    said = "scheduler mine made an invalid schedule: task '1' starts at -1"
    with pytest.raises(InvalidInput, match=said):
        ds.compare(problem, {"mine": early})


def test_what_it_says_by_itself_stays() -> None:
    with pytest.raises(TooLarge, match="one task at most"):
        OwnScheduler("mine", large)(read_problem(TOPCUOGLU), np.random.default_rng(0))


def test_it_has_one_name_and_travels() -> None:
    own = pickle.loads(pickle.dumps(OwnScheduler("mine", lambda_free)))
    found = own(read_problem(TOPCUOGLU), np.random.default_rng(0))
    assert (found.scheduler, found.winner, found.makespan) == ("mine", "mine", 80.0)


def lambda_free(problem: Problem, rng: np.random.Generator) -> Any:
    return heft(problem)


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "own.py"
    path.write_text("def mine(problem, rng):\n    return problem.etcc\nvalue = 3\n")
    for words in (("schedule", TOPCUOGLU, "--scheduler"), ("compare", TOPCUOGLU, "--schedulers")):
        done = deepsched_here(capsys, *words, f"{path}:mine")
        assert done.returncode == 2
        assert "own.py, line 2)" in done.stderr.splitlines()[-1]
        done = deepsched_here(capsys, *words, f"{path}:value")
        assert "scheduler 'value': int cannot be called" in done.stderr
    _registered.pop("mine")
