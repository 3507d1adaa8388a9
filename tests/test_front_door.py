"""`import deepsched`: what it offers, what it costs, and what its documentation shows."""

from __future__ import annotations

import ast
import doctest
import os
import subprocess
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np
import pytest

import deepsched as ds
from deepsched.baselines import registry
from deepsched.baselines.errors import InvalidInput, InvalidProblem, UnknownName
from deepsched.baselines.heft import heft
from deepsched.baselines.schedule import make_schedule
from deepsched.model import interface
from tests.pipeline.cli_helpers import ROOT

if TYPE_CHECKING:
    from pathlib import Path

TOPCUOGLU = ROOT / "tests" / "data" / "topcuoglu.json"


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test register schedulers that no other test sees."""
    monkeypatch.setattr(registry, "_registered", {})


def loaded_by(code: str) -> set[str]:
    """Return which heavy packages a new process has loaded after running this."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    heavy = {"torch", "ray", "pyarrow", "matplotlib", "pandas", "pydantic", "yaml"}
    return {*heavy, "networkx", "click", "rich", "numba", "numpy"} & set(done.stdout.split())


def test_importing_it_loads_nothing_else() -> None:
    assert loaded_by("import deepsched") == set()


def test_scheduling_loads_numba_and_nothing_of_the_extras() -> None:
    code = (
        "import deepsched as ds\n"
        f"problem = ds.read_problem({str(TOPCUOGLU)!r})\n"
        "best = ds.schedule(problem, samples=8)\n"
        "assert not ds.violations(problem, best)\n"
        "ds.write_gantt('/dev/null', problem, best, ds.schedule(problem, 'heft'))\n"
        "ds.write_svg('/dev/null', problem, best, ds.schedule(problem, 'heft'))\n"
    )
    # Numba looks for a configuration of its own with yaml, where that is installed.
    assert loaded_by(code) - {"yaml"} == {"numba", "numpy"}


def test_the_public_names_are_those_that_type_checkers_see() -> None:
    tree = ast.parse((ROOT / "deepsched" / "__init__.py").read_text())
    [block] = [node for node in tree.body if isinstance(node, ast.If) and "TYPE" in ast.dump(node)]
    seen = {
        alias.asname or alias.name
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == set(ds.__all__) == set(ds._HOMES)  # noqa: SLF001
    assert sorted(ds.__all__, key=lambda name: (name.lower(), name)) == sorted(
        ds.__all__, key=lambda name: (name.lower(), name)
    )
    for name in ds.__all__:
        assert name in dir(ds)
        assert getattr(ds, name).__doc__ or name == "METRICS"
    with pytest.raises(AttributeError, match="no attribute 'shedule'"):
        ds.shedule  # noqa: B018


def test_the_version_is_the_distributions() -> None:
    assert ds.__version__ == version("deepsched")


@pytest.mark.parametrize("module", [ds, interface], ids=["package", "functions"])
def test_its_examples_run(module: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    found = doctest.testmod(module)  # type: ignore[arg-type]
    assert found.attempted > 3
    assert found.failed == 0


def test_the_network_schedules_if_nothing_is_said() -> None:
    problem = ds.read_problem(TOPCUOGLU)
    assert ds.schedule(problem).scheduler == "deepsched"
    assert ds.schedule(problem, samples=32).makespan == 73.0  # the proved optimum
    assert ds.schedule(problem, "heft").makespan == 80.0
    assert ds.schedule(problem, heft).makespan == 80.0


def test_the_seed_decides_what_is_drawn() -> None:
    problem = ds.read_problem(TOPCUOGLU)
    one, same, other = (ds.schedule(problem, "random", seed=seed) for seed in (1, 1, 2))
    assert one.proc.tolist() == same.proc.tolist() != other.proc.tolist()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"scheduler": "hetf"},
            UnknownName,
            "unknown scheduler 'hetf' .'heft' is meant..; one of: best-of",
        ),
        ({"samples": 0}, InvalidInput, "samples = 0; it must be a whole number of at least 1"),
        ({"sampels": 3}, InvalidInput, "unknown field 'sampels'; one of: objective"),
        ({"objective": "cost"}, InvalidInput, "one of makespan, turnaround"),
        ({"scheduler": "heft", "samples": 3}, InvalidInput, "samples: for the network"),
        ({"scheduler": heft, "samples": 3}, TypeError, "not for a function"),
        ({"scheduler": "heft", "checkpoint": "x"}, TypeError, "not for 'heft'"),
        ({"checkpoint": "no/such"}, InvalidInput, "no/such/config.json: cannot read"),
    ],
)
def test_mistakes(arguments: dict[str, object], error: type[Exception], message: str) -> None:
    problem = ds.read_problem(TOPCUOGLU)
    with pytest.raises(error, match=message):
        ds.schedule(problem, **arguments)  # type: ignore[arg-type]


@pytest.mark.usefixtures("own")
def test_an_own_scheduler_is_known_by_its_name() -> None:
    def reversed_heft(problem: ds.Problem, rng: np.random.Generator) -> ds.Schedule:
        found = heft(problem)
        return make_schedule("mine", found.proc, found.ast, found.aft)

    ds.register("mine", reversed_heft)
    problem = ds.read_problem(TOPCUOGLU)
    assert ds.schedule(problem, "mine").scheduler == "mine"
    assert ds.schedulers()[-1] == "mine"
    with pytest.raises(InvalidInput, match="'heft' is one of the package's own"):
        ds.register("heft", reversed_heft)


def test_a_problem_from_arrays() -> None:
    by_place = ds.problem(
        etc=[[2, 4], [3, np.inf], [5, 3]], edges=[(0, 1), (0, 2, 100.0)], bandwidth=100
    )
    by_name = ds.problem(
        etc=np.array([[2, 4], [3, np.inf], [5, 3]]),
        edges=[("a", "b"), ("a", "c", 100.0)],
        bandwidth=100,
        task_ids=["a", "b", "c"],
        machine_ids=["fast", "slow"],
    )
    assert by_place.task_ids == ("t0", "t1", "t2")
    assert by_name.machines.ids == ("fast", "slow")
    assert by_place.edge_list()[2].tolist() == by_name.edge_list()[2].tolist() == [0.0, 100.0]
    assert heft(by_place).aft.tolist() == heft(by_name).aft.tolist()


@pytest.mark.parametrize(
    ("etc", "edges", "message"),
    [
        ([1, 2], [], r"etc has shape \(2,\)"),
        ([[1], [1, 2]], [], "not rectangular"),
        ([[1], [2]], [(0,)], r"edges\[0\] is \(0,\); \(parent, child\)"),
        ([[1], [2]], [(0, 1), (0, 2)], r"edges\[1\]: there is no task 2"),
        ([[1], [2]], [("t0", "x")], r"edges\[0\]: there is no task 'x'"),
        ([[1], [2]], [(0, 1), (1, 0)], "the edges close a cycle: 't0' -> 't1'"),
        ([[1], [-2]], [], "task 't1'"),
    ],
)
def test_what_is_no_problem(etc: object, edges: object, message: str) -> None:
    with pytest.raises(InvalidProblem, match=message):
        ds.problem(etc=etc, edges=edges)  # type: ignore[arg-type]


def test_machines_are_a_number_a_file_or_themselves(tmp_path: Path) -> None:
    jobs, table = ROOT / "tests/data/jobs.csv", ROOT / "tests/data/machines.csv"
    assert ds.read_problem(jobs, machines=3).n_machines == 3
    assert ds.read_problem(jobs, machines="3").n_machines == 3
    named = ds.read_machines(table)
    assert ds.read_problem(jobs, machines=table).machines.ids == named.ids
    assert ds.read_problem(jobs, machines=named).machines.ids == named.ids
    graph = nx.DiGraph()
    graph.add_node("a", work=1.0)
    assert ds.from_networkx(graph, machines=5, bandwidth=1.0).n_machines == 5
    for wrong, message in ((0, "at least one"), (2.5, "at least one"), ("gone", "nor an existing")):
        with pytest.raises(InvalidInput, match=message):
            ds.read_problem(jobs, machines=wrong)  # type: ignore[arg-type]
