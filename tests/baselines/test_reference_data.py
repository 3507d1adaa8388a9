"""All real inputs are read, and HEFT reaches on them the values known for it."""

from __future__ import annotations

import csv
import gzip
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from deepsched.baselines.heft import heft
from deepsched.baselines.list_schedule import simulate
from deepsched.baselines.machines import make_machines
from deepsched.baselines.readers import (
    ReadOptions,
    problem_document,
    problem_from_json,
    read_hcsp_solution,
    read_machines,
    read_problem,
)
from deepsched.baselines.schedule import violations

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.data
ONE_MACHINE = ReadOptions(machines=make_machines(1))


def test_all_wfinstances_are_read(data_dir: Path) -> None:
    files = sorted((data_dir / "wfinstances").glob("*/*.json.gz"))
    assert len(files) == 98
    sizes = []
    for path in files:
        problem = read_problem(path, ONE_MACHINE)
        # Counted apart from the reader: declared edges, and every byte a task gets from a parent.
        workflow = json.loads(gzip.decompress(path.read_bytes()))["workflow"]
        tasks = {task["id"]: task for task in workflow["specification"]["tasks"]}
        size = {f["id"]: f["sizeInBytes"] for f in workflow["specification"]["files"]}
        assert problem.task_ids == tuple(tasks)
        assert problem.n_edges == sum(len(set(task["parents"])) for task in tasks.values())
        received = sum(
            size[name]
            for task in tasks.values()
            for parent in set(task["parents"])
            for name in set(task["inputFiles"]) & set(tasks[parent]["outputFiles"])
        )
        assert problem.succ_bytes.sum() == pytest.approx(received, rel=1e-12)
        runtime = {t["id"]: t["runtimeInSeconds"] for t in workflow["execution"]["tasks"]}
        assert problem.etc[:, 0].tolist() == list(map(runtime.get, tasks))
        sizes.append(problem.n_tasks)
    assert (min(sizes), max(sizes)) == (22, 1695)


def test_a_trace_on_the_default_machines_is_schedulable(data_dir: Path) -> None:
    path = next((data_dir / "wfinstances" / "soykb").glob("*.json.gz"))
    problem = read_problem(path, ReadOptions(n_machines=16, noise=0.2))
    assert violations(problem, heft(problem)) == []
    back = problem_from_json(problem_document(problem), "back")
    assert np.array_equal(heft(back).aft, heft(problem).aft)


@pytest.mark.parametrize(
    ("n_machines", "n_optimal", "mean_gap"),
    [(2, 93, 0.90), (4, 91, 1.50), (8, 142, 1.35), (16, 180, 0.0)],
)
def test_heft_on_stg_50(data_dir: Path, n_machines: int, n_optimal: int, mean_gap: float) -> None:
    folder = data_dir / "stg"
    with (folder / f"Case50_{n_machines}_OPT.csv").open(newline="") as file:
        # Some rows end in a fourth field, which is not the optimum: HEFT beats it twice.
        optimum = {row[0]: float(row[2]) for row in csv.reader(file)}
    assert len(optimum) == 180
    options = ReadOptions(n_machines=n_machines)
    gaps = []
    for name, best in optimum.items():
        problem = read_problem(folder / name, options)
        assert problem.n_tasks == 52
        gaps.append(heft(problem).makespan / best - 1)
    assert min(gaps) == 0  # never below a proved optimum
    assert gaps.count(0.0) == n_optimal
    assert 100 * np.mean(gaps) == pytest.approx(mean_gap, abs=0.005)


BEST_KNOWN = {
    "u_c_hihi.0": (9678456.20, 7358942.8),
    "u_i_hihi.0": (3898934.41, 2924720.0),
    "u_s_hihi.0": (5642246.97, 4080153.4),
}


def test_heft_on_hcsp(data_dir: Path) -> None:
    folder = data_dir / "hcsp" / "512x16"
    files = sorted(folder.glob("u_*.0"))
    assert len(files) == 12
    gaps = []
    for path in files:
        problem = read_problem(path)
        assert problem.etc.shape == (512, 16)
        solutions = [read_hcsp_solution(sol) for sol in folder.glob(f"{path.name}_*.sol")]
        assert len(solutions) == 2
        for solution in solutions:
            # Independent tasks take the same time on a machine in any order.
            replayed = simulate(problem, solution.proc, np.arange(512))
            assert replayed.makespan == pytest.approx(solution.makespan, abs=0.051)
        best = min(solution.makespan for solution in solutions)
        makespan = heft(problem).makespan
        gaps.append(100 * (makespan / best - 1))
        if path.name in BEST_KNOWN:
            expected, best_known = BEST_KNOWN[path.name]
            assert makespan == pytest.approx(expected, abs=0.005)
            assert best == pytest.approx(best_known, abs=0.11)  # the names round
    assert np.mean(gaps) == pytest.approx(26.9, abs=0.05)
    assert (min(gaps), max(gaps)) == (pytest.approx(13.4, abs=0.05), pytest.approx(38.3, abs=0.05))


def test_the_papers_jobs_and_machines(data_dir: Path) -> None:
    folder = data_dir / "deepsched"
    machines = read_machines(folder / "machines.csv")
    assert len(machines) == 123
    assert machines.memory.min() == 500
    for k, n_jobs in enumerate((400, 319, 364)):
        problem = read_problem(folder / f"jobs_{k}.csv", ReadOptions(machines=machines))
        assert problem.etc.shape == (n_jobs, 123)
        # Jobs of 1000 MB fit on no machine of 500.
        large, small = problem.memory == 1000, machines.memory == 500
        assert np.isinf(problem.etc[np.ix_(large, small)]).all()
        assert np.isfinite(problem.etc[~large]).all() == (problem.memory[~large] <= 500).all()
        assert violations(problem, heft(problem)) == []


@pytest.mark.parametrize("n_jobs", [100, 500, 1000])
def test_gocj(data_dir: Path, n_jobs: int) -> None:
    problem = read_problem(data_dir / "gocj" / f"gocj_{n_jobs}.txt", ONE_MACHINE)
    assert problem.n_tasks == n_jobs
    assert 15 <= problem.etc.min() <= problem.etc.max() <= 900  # 15,000 to 900,000 MI at 1,000 a s


def test_all_job_shops_are_read(data_dir: Path) -> None:
    with (data_dir / "jsp" / "best_known.csv").open(newline="") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    gaps = []
    for path in sorted((data_dir / "jsp").glob("*.txt")):
        problem = read_problem(path)
        row = rows[path.stem]
        jobs, machines = int(row["jobs"]), int(row["machines"])
        assert problem.format == "job shop"
        assert (problem.n_tasks, problem.n_machines) == (jobs * machines, machines)
        assert problem.n_edges == jobs * (machines - 1)
        assert (np.isfinite(problem.etc).sum(axis=1) == 1).all()
        schedule = heft(problem)
        assert violations(problem, schedule) == []
        gaps.append(schedule.makespan / float(row["upper"]))
    assert len(gaps) == 63
    assert min(gaps) >= 1.0
