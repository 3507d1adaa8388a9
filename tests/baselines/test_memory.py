"""What memory is free, and the refusal of what needs more."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import deepsched as ds
from deepsched.baselines import memory
from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.generate import GeneratorSpec, generate
from deepsched.baselines.genetic import genetic
from deepsched.baselines.machines import make_machines
from deepsched.baselines.memory import check_problem_memory, free_memory, in_words
from deepsched.baselines.problem import make_problem
from deepsched.baselines.readers import ReadOptions, read_problem

DATA = Path(__file__).resolve().parent.parent / "data"
HUGE = (100_000, 10**9, 10**30, 10**400)


@pytest.mark.parametrize("machines", HUGE)
@pytest.mark.parametrize(
    ("file", "tasks"), [("wfformat.json", 4), ("tiny.stg", 5), ("jobs.csv", 2), ("gocj.txt", 3)]
)
def test_a_file_on_too_many_machines_names_tasks_and_machines(
    file: str, tasks: int, machines: int
) -> None:
    for noise in (0.0, 0.3):
        with pytest.raises(InvalidInput, match=rf"^{tasks} tasks x .* machines need about .* free"):
            read_problem(DATA / file, ReadOptions(n_machines=machines, noise=noise))


@pytest.mark.parametrize(
    "make",
    [
        lambda: ds.make_machines(10**9),
        lambda: ds.draw_machines(10**9, 0),
        lambda: ds.read_problem(DATA / "wfformat.json", machines=10**9),
        lambda: generate(GeneratorSpec(family="layered", tasks=10**12, machines=2), 0),
        lambda: generate(GeneratorSpec(family="layered", tasks=10, machines=10**7), 0),
        lambda: make_problem(machines=make_machines(2), etc=np.broadcast_to(1.0, (10**12, 2))),
        lambda: make_problem(machines=make_machines(2), work=np.broadcast_to(1.0, 10**12)),
        lambda: genetic(ds.problem(etc=[[1, 2]] * 10), np.random.default_rng(0), population=10**10),
        lambda: ds.schedule(ds.problem(etc=[[1, 2]] * 10), samples=10**12),
    ],
    ids=["machines", "drawn", "read", "tasks", "matrix", "etc", "work", "population", "samples"],
)
def test_a_library_call_for_too_much_is_bad_input_and_no_memory_error_of_numpy(make: Any) -> None:
    with pytest.raises(InvalidInput, match=r" need about .* of memory, and .* are free$"):
        make()


def test_what_fits_is_made_and_small_things_are_not_asked_about(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: pytest.fail("asked"))
    check_problem_memory(1000, 200, noise=True)
    monkeypatch.setattr(memory, "free_memory", lambda: 10**10)
    check_problem_memory(84_654, 188, noise=True)
    monkeypatch.setattr(memory, "free_memory", lambda: None)  # the system does not tell
    check_problem_memory(10**9, 10**9)


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (10**6, "1 MB"),
        (25 * 10**8, "2.5 GB"),
        (4 * 10**19, "40.0 EB"),
        (10**400, "more than 1e+24 bytes"),
    ],
)
def test_sizes_in_words(size: int, words: str) -> None:
    assert in_words(size) == words


def test_the_least_of_machine_container_and_limits_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        "/proc/meminfo": "MemTotal: 64000000 kB\nMemAvailable: 32000000 kB\n",
        "/proc/self/cgroup": "0::/pod/box\n",
        "/proc/self/statm": "1000 500 0 0 0 0 0\n",
        f"{tmp_path}/pod/box/memory.max": "max\n",
        f"{tmp_path}/pod/memory.max": "4000000000\n",
        f"{tmp_path}/pod/memory.current": "3000000000\n",
        f"{tmp_path}/pod/memory.stat": "anon 1\ninactive_file 500000000\n",
    }
    monkeypatch.setattr(memory, "CGROUPS", tmp_path)
    monkeypatch.setattr(memory, "_text", lambda path: files.get(str(path), ""))
    no_limit = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    monkeypatch.setattr(memory.resource, "getrlimit", lambda which: no_limit)
    assert free_memory() == 1_500_000_000  # of the pod
    files[f"{tmp_path}/pod/memory.max"] = "max\n"
    assert free_memory() == 32_000_000 * 1024  # of the machine
    files["/proc/self/cgroup"] = "5:cpu,memory:/old\n0::/\n"
    files[f"{tmp_path}/memory/old/memory.limit_in_bytes"] = "2000\n"
    files[f"{tmp_path}/memory/old/memory.usage_in_bytes"] = "500\n"
    assert free_memory() == 1500  # of a cgroup of version 1
    monkeypatch.setattr(memory.resource, "getrlimit", lambda which: (5_000_000, 0))
    files["/proc/self/cgroup"] = ""
    assert free_memory() == 5_000_000 - 1000 * resource.getpagesize()  # of `ulimit -v`
    files.clear()
    monkeypatch.setattr(memory.resource, "getrlimit", lambda which: no_limit)
    assert free_memory() is None
