"""Each reader against values worked out by hand from a tiny file, and the choice of the reader."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from deepsched.baselines.errors import InputWarning, InvalidInput, InvalidProblem
from deepsched.baselines.heft import heft
from deepsched.baselines.machines import DEFAULT_MACHINES, draw_machines, make_machines
from deepsched.baselines.readers import (
    FORMATS,
    ReadOptions,
    problem_from_bytes,
    problem_from_json,
    read_hcsp_solution,
    read_machines,
    read_problem,
)

if TYPE_CHECKING:
    from deepsched.baselines.problem import Problem

DATA = Path(__file__).resolve().parent.parent / "data"
UNIT = ReadOptions(machines=make_machines(1))


def edges_by_name(problem: Problem) -> dict[tuple[str, str], float]:
    ids = problem.task_ids
    return {(ids[u], ids[v]): b for u, v, b in zip(*problem.edge_list(), strict=True)}


def test_explicit_topcuoglu() -> None:
    problem = read_problem(DATA / "topcuoglu.json")
    assert problem.name == "topcuoglu"
    assert problem.task_ids == tuple(str(i) for i in range(1, 11))
    assert problem.etc[9].tolist() == [21, 7, 16]
    assert edges_by_name(problem)["4", "8"] == 27
    assert problem.n_edges == 15
    assert problem.machines.uniform
    assert heft(problem).makespan == 80.0


def explicit(**changes: object) -> dict[str, object]:
    return {
        "format": "deepsched-problem/1",
        "tasks": [{"id": "a", "etc": [1, 2]}, {"id": "b", "etc": [None, 4]}],
        "machines": [{"id": "x"}, {"id": "y"}],
        "edges": [{"from": "a", "to": "b", "bytes": 10}],
        **changes,
    }


def test_explicit_defaults() -> None:
    problem = problem_from_json(explicit(), "body")
    assert problem.etc.tolist() == [[1, 2], [np.inf, 4]]
    for column in (problem.arrival, problem.priority, problem.memory):
        assert column.tolist() == [0, 0]
    machines = problem.machines
    assert machines.ids == ("x", "y")
    assert machines.memory.tolist() == [np.inf, np.inf]
    assert machines.bandwidth[0, 1] == machines.bandwidth[1, 0] == 125e6
    assert machines.latency[0, 1] == 0


def test_explicit_links_are_from_row_to_column_and_ignore_the_diagonal() -> None:
    links = {"bandwidth": [[-1, 10], [None, None]], "latency": [["?", 3], [0, None]]}
    machines = problem_from_json(explicit(**links), "body").machines
    assert machines.bandwidth[0, 1] == 10
    assert machines.bandwidth[1, 0] == np.inf
    assert machines.latency.tolist() == [[0, 3], [0, 0]]


def test_explicit_work_is_shared_by_all_cores_of_a_machine() -> None:
    document = explicit(
        tasks=[{"id": 1, "work": 12, "arrival": 5, "priority": -2.5, "memory": 300}],
        machines=[
            {"id": "x", "cores": 3, "frequency": 1000, "memory": 300},
            {"id": "y", "cores": 1, "frequency": 4000, "memory": 299.5},
        ],
        edges=[],
    )
    problem = problem_from_json(document, "body")
    assert problem.task_ids == ("1",)
    assert problem.etc.tolist() == [[8, np.inf]]
    assert problem.work is not None
    assert problem.work.tolist() == [12]
    assert (problem.arrival[0], problem.priority[0], problem.memory[0]) == (5, -2.5, 300)


def test_explicit_tasks_may_give_etc_beside_others_that_give_work() -> None:
    machines = [{"id": k, "cores": 1, "frequency": f} for k, f in (("x", 2000), ("y", 500))]
    tasks = [{"id": "a", "work": 3}, {"id": "b", "etc": [7, None]}]
    problem = problem_from_json(explicit(tasks=tasks, machines=machines), "body")
    assert problem.etc.tolist() == [[3, 12], [7, np.inf]]
    assert problem.work is None


def test_wfformat() -> None:
    problem = read_problem(DATA / "wfformat.json", UNIT)
    assert problem.name == "wfformat"
    assert problem.task_ids == ("join", "split", "left", "right")
    assert problem.etc[:, 0].tolist() == [2.25, 1.5, 4, 0]
    assert problem.memory.tolist() == [1.5, 0, 250, 0]
    assert problem.priority.tolist() == [0, 0, 20, 0]
    # A file named twice counts once, files of one pair add up, a given input costs nothing.
    assert edges_by_name(problem) == {
        ("split", "left"): 100,
        ("split", "right"): 100,
        ("left", "join"): 12,
        ("right", "join"): 0,
    }
    assert [problem.task_ids[i] for i in problem.topo] == ["split", "left", "right", "join"]
    assert problem.alpha == 0.0


@pytest.mark.parametrize("side", ["parents", "children"])
def test_wfformat_edges_that_only_one_side_lists(side: str) -> None:
    document = json.loads((DATA / "wfformat.json").read_text())
    whole = problem_from_json(document, "body", UNIT)
    tasks = document["workflow"]["specification"]["tasks"]
    for task in tasks:
        del task[side]
    other = "children" if side == "parents" else "parents"
    tasks[1][other] *= 2  # listed twice is still one edge
    half = problem_from_json(document, "body", UNIT)
    assert edges_by_name(half) == edges_by_name(whole)


def test_a_file_alone_makes_no_edge() -> None:
    document = json.loads((DATA / "wfformat.json").read_text())
    for task in document["workflow"]["specification"]["tasks"]:
        task["parents"] = task["children"] = []
    with pytest.warns(InputWarning, match="^body: 5 file dependencies .*'join' reads 'l1' of"):
        assert problem_from_json(document, "body", UNIT).n_edges == 0


def test_measurements_of_unknown_tasks_are_ignored() -> None:
    document = json.loads((DATA / "wfformat.json").read_text())
    document["workflow"]["execution"]["tasks"].insert(0, {"id": "stage-in"})
    assert problem_from_json(document, "body", UNIT).n_tasks == 4


def test_stg_keeps_entry_and_exit_and_runs_on_equal_machines() -> None:
    problem = read_problem(DATA / "tiny.stg", ReadOptions(n_machines=3))
    assert problem.task_ids == ("0", "1", "2", "3", "4")
    assert problem.etc.tolist() == [[t] * 3 for t in (0, 4, 2.5, 1, 0)]
    assert edges_by_name(problem) == dict.fromkeys(
        [("0", "1"), ("0", "2"), ("1", "3"), ("2", "3"), ("3", "4")], 0.0
    )


def test_hcsp() -> None:
    problem = read_problem(DATA / "tiny.0")
    assert problem.name == "tiny.0"
    assert problem.etc.tolist() == [[1.5, 2.25], [3, 4], [0, 6]]
    assert problem.n_edges == 0
    solution = read_hcsp_solution(DATA / "tiny.0_MS_7,5.sol")
    assert solution.proc.tolist() == [1, 0, 1]
    assert solution.makespan == 7.5


def test_jobs_and_machines_csv() -> None:
    machines = read_machines(DATA / "machines.csv")
    assert machines.ids == ("0", "1")
    assert machines.cores.tolist() == [32, 4]
    problem = read_problem(DATA / "jobs.csv", ReadOptions(machines=machines))
    assert problem.task_ids == ("0", "7")
    # Cores do not speed up a sequential job; the second fits on the second machine only.
    assert problem.etc.tolist() == [[10.5, 21], [np.inf, 2]]
    assert problem.arrival.tolist() == [0, 3]
    assert problem.priority.tolist() == [2, 0]
    assert problem.memory.tolist() == [100, 600]
    assert problem.n_edges == 0


def test_machines_json() -> None:
    machines = read_machines(DATA / "machines.json")
    assert machines.memory.tolist() == [500, np.inf]
    assert machines.speed(1.0).tolist() == [1, 2]
    assert machines.bandwidth[0, 1] == 10
    assert machines.bandwidth[1, 0] == 20
    assert machines.latency[0, 1] == 0.5


def test_a_problem_document_serves_as_a_machines_file(tmp_path: Path) -> None:
    document = explicit(machines=[{"id": "x", "cores": 1, "frequency": 2000}])
    path = tmp_path / "problem.json"
    path.write_text(json.dumps(document))
    assert read_machines(path).ids == ("x",)


def test_gocj_jobs_use_all_cores() -> None:
    machines = make_machines(2, cores=[1, 4], frequency=[2000, 1000])
    problem = read_problem(DATA / "gocj.txt", ReadOptions(machines=machines))
    assert problem.etc.tolist() == [[1, 0.5], [127, 63.5], [15, 7.5]]
    assert problem.alpha == 1.0


def test_without_machines_the_default_set_is_drawn_with_seed_0() -> None:
    machines = read_problem(DATA / "gocj.txt").machines
    drawn = draw_machines(DEFAULT_MACHINES, 0)
    assert np.array_equal(machines.frequency, drawn.frequency)
    assert machines.ids == drawn.ids


def test_drawn_machines_follow_number_and_seed() -> None:
    options = ReadOptions(n_machines=4, machine_seed=7, bandwidth=2.0, latency=0.25)
    machines = read_problem(DATA / "jobs.csv", options).machines
    assert np.array_equal(machines.frequency, draw_machines(4, 7).frequency)
    assert machines.bandwidth[0, 3] == 2
    assert machines.latency[3, 0] == 0.25


def test_links_given_replace_those_of_the_file() -> None:
    options = ReadOptions(bandwidth=3.0)
    machines = problem_from_json(explicit(bandwidth=9, latency=1), "body", options).machines
    assert machines.bandwidth[0, 1] == 3
    assert machines.latency[0, 1] == 1
    assert machines.ids == ("x", "y")


def test_noise_is_a_kept_seeded_lognormal_factor() -> None:
    def noisy(seed: int) -> Problem:
        return read_problem(
            DATA / "gocj.txt", ReadOptions(n_machines=1000, noise=0.2, noise_seed=seed)
        )

    first, again, other = noisy(1), noisy(1), noisy(2)
    assert first.noise is not None
    assert other.noise is not None
    assert np.array_equal(first.etc, again.etc)
    assert not np.array_equal(first.noise, other.noise)
    plain = read_problem(DATA / "gocj.txt", ReadOptions(n_machines=1000))
    assert np.array_equal(first.etc, plain.etc * first.noise)
    # 3,000 draws of a normal with sigma 0.2: the standard errors are 0.0037 and 0.0026.
    assert abs(np.log(first.noise).mean()) < 0.015
    assert abs(np.log(first.noise).std() - 0.2) < 0.01
    assert plain.noise is None


@pytest.mark.parametrize("name", ["topcuoglu.json", "tiny.0"])
def test_a_file_with_machines_of_its_own_takes_no_others(name: str) -> None:
    own = read_problem(DATA / name)
    assert read_problem(DATA / name, ReadOptions(n_machines=own.n_machines)).etc.tolist() == (
        own.etc.tolist()
    )
    for options, reason in (
        (ReadOptions(machines=make_machines(own.n_machines)), "brings its own machines"),
        (ReadOptions(n_machines=own.n_machines + 1), "brings its own .* machines"),
        (ReadOptions(noise=0.1), "noise is for files that give one figure"),
    ):
        with pytest.raises(InvalidInput, match=rf"{name}: .*{reason}"):
            read_problem(DATA / name, options)


def test_a_task_that_fits_no_machine_of_the_options() -> None:
    options = ReadOptions(machines=make_machines(2, memory=[500, 599]))
    with pytest.raises(InvalidProblem, match=r"jobs\.csv: no machine can run task '7'.* 600 MB"):
        read_problem(DATA / "jobs.csv", options)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"n_machines": 0}, "at least one"),
        ({"n_machines": 2, "machines": make_machines(2)}, "not both"),
        ({"noise": -0.1}, "noise"),
        ({"noise": float("nan")}, "noise"),
        ({"noise_seed": -1}, "noise seed"),
        ({"machine_seed": -1}, "machine seed"),
        ({"bandwidth": 0.0}, "bandwidth"),
        ({"bandwidth": float("nan")}, "bandwidth"),
        ({"latency": -1.0}, "latency"),
        ({"latency": float("inf")}, "latency"),
    ],
)
def test_options_are_checked(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        ReadOptions(**changes)  # type: ignore[arg-type]


FILES = {
    "deepsched": "topcuoglu.json",
    "wfformat": "wfformat.json",
    "stg": "tiny.stg",
    "hcsp": "tiny.0",
    "jobs-csv": "jobs.csv",
    "gocj": "gocj.txt",
    "saga": "saga.json",
    "node-link": "node_link.json",
    "graphml": "graph.graphml",
    "dax": "workflow.dax",
    "dot": "graph.dot",
    "gml": "graph.gml",
    "tgff": "graph.tgff",
    "pegasus": "pegasus.yml",
    "dslab": "dslab.yaml",
    "alibaba": "batch_task.csv",
    "jsp": "shop.jsp",
}


def test_every_format_has_a_file_here() -> None:
    assert set(FILES) == set(FORMATS)


@pytest.mark.parametrize("name", FILES.values(), ids=FILES.keys())
@pytest.mark.parametrize("disguise", ["no suffix", "gzip", "CRLF", "byte order mark", "blank ends"])
def test_formats_are_known_by_content(name: str, disguise: str, tmp_path: Path) -> None:
    data = (DATA / name).read_bytes()
    path = tmp_path / "input"
    path.write_bytes(
        {
            "no suffix": data,
            "gzip": gzip.compress(data),
            "CRLF": data.replace(b"\n", b"\r\n"),
            "byte order mark": b"\xef\xbb\xbf" + data,
            "blank ends": b"\n \n" + data + b"\n\n",
        }[disguise]
    )
    expected, found = read_problem(DATA / name), read_problem(path)
    assert found.name in ("input", expected.name)  # some files tell their own
    assert np.array_equal(found.etc, expected.etc)
    assert edges_by_name(found) == edges_by_name(expected)


def test_csv_columns_may_come_in_any_order_with_others_between() -> None:
    text = 'mem_util, user,job_id,burst_time,priority,arrival_time\n\n5,"me, too",j,2,1,0\n'
    problem = problem_from_bytes(text.encode(), "jobs", UNIT)
    assert problem.task_ids == ("j",)
    assert problem.memory.tolist() == [5]
    assert problem.etc.tolist() == [[2]]
