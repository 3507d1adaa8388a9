"""`deepsched schedule`: what it prints and writes, and how it refuses."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deepsched.baselines import registry
from deepsched.baselines.bounds import lower_bound
from deepsched.baselines.generate import GeneratorSpec, generate
from deepsched.baselines.machines import make_machines
from deepsched.baselines.metrics import METRICS
from deepsched.baselines.problem import make_problem
from deepsched.baselines.readers import read_problem, write_problem
from deepsched.baselines.registry import SCHEDULERS, teacher_rng
from deepsched.baselines.schedule import make_schedule, violations
from deepsched.baselines.timing import timed
from deepsched.model.checkpoint import save_checkpoint
from deepsched.model.load import known_schedulers, resolve_scheduler
from deepsched.model.networks import build_network, network_config
from deepsched.pipeline.common.options import read_options
from deepsched.pipeline.common.outputs import check_outputs
from deepsched.pipeline.schedule import summary
from tests.pipeline.cli_helpers import EXAMPLE, ROOT, deepsched, deepsched_here, said_by

KEYS = [
    "scheduler",
    "winner",
    "makespan",
    "mean_turnaround",
    "mean_waiting",
    "lower_bound",
    "seconds",
    "tasks",
]


@pytest.fixture
def example(tmp_path: Path) -> Path:
    path = tmp_path / "example.json"
    path.write_text(EXAMPLE)
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    torch.manual_seed(0)
    config = network_config("paper", {"width": 8, "recurrent_width": 8})
    save_checkpoint(folder, build_network("paper", config), "paper", config, {"teacher": "heft"})
    return folder


def checked(document: dict[str, Any], path: Path) -> None:
    """Assert that a document has the promised layout and holds a valid schedule."""
    problem = read_problem(path)
    assert list(document) == KEYS
    assert [task["id"] for task in document["tasks"]] == list(problem.task_ids)
    assert all(list(task) == ["id", "machine", "start", "finish"] for task in document["tasks"])
    places = {name: k for k, name in enumerate(problem.machines.ids)}
    schedule = make_schedule(
        document["scheduler"],
        [places[task["machine"]] for task in document["tasks"]],
        [task["start"] for task in document["tasks"]],
        [task["finish"] for task in document["tasks"]],
    )
    assert violations(problem, schedule) == []
    for metric in ("makespan", "mean_turnaround", "mean_waiting"):
        assert document[metric] == METRICS[metric](problem, schedule)
    assert document["lower_bound"] == lower_bound(problem, "strong")
    assert document["seconds"] > 0


def test_the_summary_shows_the_measures(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = deepsched_here(capsys, "schedule", example, "--scheduler", "heft")
    assert (done.returncode, said_by(done)) == (0, [])
    lines = done.stdout.splitlines()
    assert lines[0].startswith("HEFT 8 s, optimal; 2 machines, σ 0; ")
    assert lines[1] == "example: 4 tasks, 4 edges, 2 machines"
    shown = {line[2:18].strip(): line[19:] for line in lines[2:]}
    # By hand: split (0 to 2) and left (2 to 5) on `fast`, right (3 to 6) and join on `slow`.
    assert shown["scheduler"] == "heft"
    assert shown["makespan"] == "8 s"
    assert shown["mean turnaround"] == f"{(2 + 5 + 6 + 8) / 4:g} s"
    assert shown["mean waiting"] == f"{(0 + 2 + 3 + 6) / 4:g} s"


@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_summary_gives_every_metric_of_the_schedule(name: str, example: Path) -> None:
    problem = read_problem(example)
    schedule, seconds = timed(SCHEDULERS[name], problem, lambda: teacher_rng(0, 0, name))
    text = summary(problem, schedule, seconds)
    for metric, measure in METRICS.items():
        assert f"{metric.replace('_', ' '):<16} {measure(problem, schedule):.6g}" in text


def test_json_on_standard_output(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = deepsched_here(capsys, "schedule", example, "--json", "-")
    document = json.loads(done.stdout)
    checked(document, example)
    assert document["makespan"] == 8


def test_standard_input_is_a_file_too(example: Path) -> None:
    done = deepsched("schedule", "-", "--json", "-", text=EXAMPLE)
    checked(json.loads(done.stdout), example)


def test_every_output_is_written(
    example: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {
        "json": "s.json",
        "csv": "s.csv",
        "gantt": "s.html",
        "svg": "s.svg",
        "trace": "t.json",
        "wfformat": "w.json",
        "node-link": "n.json",
        "dot": "g.dot",
    }
    options = [part for key, name in names.items() for part in (f"--{key}", tmp_path / name)]
    done = deepsched_here(capsys, "schedule", example, "--scheduler", "cpop", *options)
    assert (done.returncode, done.stdout) == (0, "")
    assert "HEFT 8 → cpop 10 s (+25.0 %), bound 8; 2 machines, σ 0; " in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"example.json", *names.values()}
    document = json.loads((tmp_path / "s.json").read_text())
    checked(document, example)
    assert document["scheduler"] == "cpop"
    with (tmp_path / "s.csv").open(newline="") as file:
        assert len(list(csv.reader(file))) == 5
    assert "<html" in (tmp_path / "s.html").read_text()
    assert "cpop" in (tmp_path / "s.svg").read_text()
    assert json.loads((tmp_path / "t.json").read_text())["traceEvents"]


def test_the_trained_network_is_a_scheduler_like_the_others(
    example: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--checkpoint", checkpoint, "--json", "-")
    by_name, by_default = (
        json.loads(deepsched_here(capsys, "schedule", example, *options, *more).stdout)
        for more in (("--scheduler", "deepsched"), ())
    )
    checked(by_name, example)
    assert by_name["scheduler"] == "paper"
    assert by_name["tasks"] == by_default["tasks"]


def test_a_network_that_imitates_takes_no_options(
    example: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = deepsched_here(capsys, "schedule", example, "--checkpoint", checkpoint, "--samples", "4")
    assert (done.returncode, done.stdout) == (2, "")
    assert "samples" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_scheduler_of_ones_own_is_named_by_its_file(
    example: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(registry, "_registered", {})
    own = tmp_path / "own.py"
    own.write_text(
        "from deepsched.baselines.schedule import make_schedule\n"
        "def mine(problem, rng):\n"
        "    return make_schedule('mine', [0, 0, 0, 1], [0, 2, 5, 11], [2, 5, 10, 13])\n"
    )
    done = deepsched_here(capsys, "schedule", example, "--scheduler", f"{own}:mine", "--json", "-")
    document = json.loads(done.stdout)
    checked(document, example)
    assert (document["scheduler"], document["makespan"]) == ("mine", 13)
    assert "mine" in known_schedulers()


def test_the_seed_decides_what_is_drawn(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def tasks(seed: int) -> object:
        done = deepsched_here(
            capsys, "schedule", example, "--scheduler", "random", "--seed", seed, "--json", "-"
        )
        return json.loads(done.stdout)["tasks"]

    assert tasks(1) == tasks(1)
    problem = read_problem(example)
    expected = SCHEDULERS["random"](problem, teacher_rng(5, 0, "random"))
    assert [task["start"] for task in tasks(5)] == expected.ast.tolist()  # type: ignore[index,attr-defined]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("missing.json",), "missing.json"),
        (("folder",), "folder"),
        (
            ("example.json", "--scheduler", "best"),
            "unknown scheduler 'best' ('best-of' is meant?); one of: best-of, cp-sat, cpop, d",
        ),
        (
            ("example.json", "--scheduler", "ga", "--samples", "2"),
            "samples: for the network deepsched, not for the scheduler ga",
        ),
        (
            ("example.json", "--scheduler", "ga", "--no-guard"),
            "guard: for the network deepsched, not for the scheduler ga",
        ),
        (("example.json", "--scheduler", "own.py:mine"), "own.py:mine: there is no file "),
        (("example.json", "--decode", "some"), "'some' is not one of 'full', 'topk', 'argmax'"),
        (("example.json", "--objective", "cost"), "'cost' is not one of 'makespan', 'turnaround'"),
        (("example.json", "--checkpoint", "folder"), "config.json"),
        (("example.json", "--checkpoint", "c", "--scheduler", "ga"), "is for --scheduler deepsch"),
        (("jobs.txt", "--machines", "0"), "--machines 0: there must be at least one"),
        (("jobs.txt", "--machines", "-1"), "--machines -1: there must be at least one"),
        (
            ("jobs.txt", "--machines", "many"),
            "'many' is neither a number of machines, nor 'trace', nor",
        ),
        (("jobs.txt", "--machines", "none.csv"), "'none.csv' is neither"),
        (("jobs.txt", "--machines", "1.5"), "'1.5' is neither"),
        (("jobs.txt", "--machines", "example.json"), "example.json"),
        (("jobs.txt", "--noise", "-1"), "'--noise': -1.0 is not in the range"),
        (("jobs.txt", "--noise", "nan"), "noise nan"),
        (("jobs.txt", "--bandwidth", "0"), "'--bandwidth': 0.0 is not in the range"),
        (("jobs.txt", "--latency", "inf"), "latency inf"),
        (("jobs.txt", "--seed", "x"), "'--seed': 'x' is not a valid int"),
        (("example.json", "--json", "folder"), "--json folder is a folder"),
        (("example.json", "--json", "no/s.json"), "--json no/s.json: there is no folder no"),
        (("example.json", "--csv", "s", "--gantt", "no/s"), "--gantt no/s: there is no folder no"),
        (("example.json", "--csv", "s", "--gantt", "./s"), "--gantt ./s is also --csv"),
        (("example.json", "--gantt", "s", "--svg", "./s"), "--svg ./s is also --gantt"),
        (("example.json", "--svg", "-"), "--svg -: only --json can go to standard output"),
        (("example.json", "--json", "example.json"), "--json example.json is also the input"),
        (("example.json", "--csv", "-"), "only --json can go to standard output"),
        (("example.json", "--csv", "s", "--json", "/proc/s"), "--json /proc/s cannot be written"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    arguments: tuple[str, ...],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "example.json").write_text(EXAMPLE)
    (tmp_path / "jobs.txt").write_text("15000\n20000\n")
    (tmp_path / "folder").mkdir()
    done = deepsched_here(capsys, "schedule", *arguments)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("deepsched: ")
    assert done.stderr.count("\n") == 1
    assert words in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"example.json", "jobs.txt", "folder"}
    assert (tmp_path / "example.json").read_text() == EXAMPLE


def test_a_mistake_in_a_process_of_its_own(tmp_path: Path) -> None:
    done = deepsched("schedule", "missing.json", "--json", "s.json", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("deepsched: missing.json")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_older_output_survives_a_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "s.json").write_text("kept")
    (tmp_path / "broken.json").write_text("{")
    done = deepsched_here(
        capsys, "schedule", tmp_path / "broken.json", "--json", tmp_path / "s.json"
    )
    assert done.returncode == 2
    assert (tmp_path / "s.json").read_text() == "kept"


def test_machines_by_number_seed_and_file(tmp_path: Path) -> None:
    jobs = tmp_path / "jobs.txt"
    jobs.write_text("15000\n20000\n")
    drawn = read_problem(jobs, read_options("3", machine_seed=7))
    assert drawn.n_machines == 3
    again = read_problem(jobs, read_options("3", machine_seed=8))
    assert not np.array_equal(drawn.etc, again.etc)
    table = tmp_path / "machines.csv"
    table.write_text("machine_id,num_cores,core_freq,mem_cap\n0,2,2000,100\n1,1,1000,100\n")
    named = read_problem(jobs, read_options(str(table)))
    assert named.etc.tolist() == [[7.5, 30.0], [10.0, 40.0]]


def test_a_number_wins_over_a_file_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "16").write_text("not machines")
    assert read_options("16").n_machines == 16


def test_outputs_that_can_be_written_leave_no_trace(tmp_path: Path) -> None:
    check_outputs(str(tmp_path / "x.json"), {"--csv": str(tmp_path / "s.csv"), "--json": "-"})
    assert list(tmp_path.iterdir()) == []


def test_every_known_scheduler_but_the_learned_one_needs_no_checkpoint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert known_schedulers() == ("deepsched", *SCHEDULERS, "cp-sat")
    monkeypatch.setitem(sys.modules, "ortools", None)
    assert known_schedulers() == ("deepsched", *SCHEDULERS)
    for name in SCHEDULERS:
        assert resolve_scheduler(name) is SCHEDULERS[name]


def test_an_invalid_schedule_is_a_fault_and_no_result(example: Path) -> None:
    def wrong(problem: object, rng: object) -> Any:
        return make_schedule("wrong", [0, 0, 0, 0], [0, 0, 0, 0], [2, 3, 5, 2])

    with pytest.raises(RuntimeError, match=r"wrong made an invalid schedule: .* starts at"):
        timed(wrong, read_problem(example), lambda: np.random.default_rng(0))


def test_a_fast_scheduler_is_timed_again_with_the_same_stream(example: Path) -> None:
    drawn = []

    def recording(problem: Any, rng: np.random.Generator) -> Any:
        drawn.append(rng.integers(1000))
        return SCHEDULERS["heft"](problem, rng)

    timed(recording, read_problem(example), lambda: np.random.default_rng(3), repeats=4)
    assert len(drawn) == 4
    assert len(set(drawn)) == 1


def one_machine(*tasks: dict[str, Any]) -> str:
    items = [{"id": f"t{k}", **task} for k, task in enumerate(tasks)]
    return json.dumps(
        {"format": "deepsched-problem/1", "tasks": items, "machines": [{"id": "m0"}], "edges": []}
    )


@pytest.mark.parametrize(
    ("tasks", "starts"),
    [
        (({"etc": [1e-12]}, {"etc": [1e-12]}), [0, 1000]),
        (({"etc": [0.5], "arrival": 1e15}, {"etc": [0.5], "arrival": 1e15}), [0, 500_000]),
        (({"etc": [1e300 / 8]}, {"etc": [1e300 / 8]}), [0, 1250]),
    ],
    ids=["tiny", "far", "huge"],
)
def test_a_trace_of_any_times_keeps_starts_apart(
    tasks: tuple[dict[str, Any], ...],
    starts: list[int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "p.json"
    path.write_text(one_machine(*tasks))
    done = deepsched_here(capsys, "schedule", path, "--trace", tmp_path / "t.json")
    assert (done.returncode, done.stdout) == (0, "")
    assert "Warning" not in done.stderr
    events = json.loads((tmp_path / "t.json").read_text())["traceEvents"]
    assert sorted(event["ts"] for event in events if event["ph"] == "X") == starts


def test_a_trace_that_cannot_be_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "p.json"
    path.write_text(one_machine({"etc": [5e-324]}, {"etc": [5e-324]}))
    done = deepsched_here(
        capsys, "schedule", path, "--trace", tmp_path / "t", "--json", tmp_path / "s"
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "cannot be written as whole numbers of any unit" in done.stderr
    assert [one.name for one in tmp_path.iterdir()] == ["p.json"]


@pytest.mark.parametrize("objective", ["makespan", "turnaround"])
def test_a_budget_is_not_used_up_where_nothing_is_left_to_find(
    objective: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "p.json"
    path.write_text(one_machine({"etc": [3.0]}))
    # An hour and more would pass.
    options = ("--budget", "5000", "--samples", "64", "--objective", objective)
    done = deepsched_here(capsys, "schedule", path, *options)
    assert done.returncode == 0
    assert "  makespan         3 s\n" in done.stdout
    assert "  lower bound      3 s  (makespan is 1.000 x this)\n" in done.stdout


def test_the_summary_shows_a_strange_name_on_one_line() -> None:
    name = "a\nb\x1b[31m\u202e"
    problem = make_problem(machines=make_machines(1), etc=[[1.0]], name=name)
    schedule = SCHEDULERS["heft"](problem, teacher_rng(0, 0, "heft"))
    head = summary(problem, schedule, 0.1).split("\n")[0]
    assert head == r"a\nb\x1b[31m\u202e: 1 tasks, 0 edges, 1 machines"


TOPCUOGLU = ROOT / "tests/data/topcuoglu.json"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            (),
            r"HEFT 80 → deepsched 73 s \(−8.8 %\), bound 68.9407; 3 machines, σ 0; "
            r"32 samples, .* m?s",
        ),
        (("--samples", 1), r"HEFT 80 → deepsched 74 s \(−7.5 %\), bound 68.9407; .*; one pass, .*"),
        (("--samples", 1, "--decode", "argmax"), "deepsched 80 s, same as HEFT, bound 68.9407; .*"),
        (("--scheduler", "HEFT"), "HEFT 80 s, bound 68.9407; 3 machines, σ 0; .*"),
        (("--scheduler", "min_min"), r"HEFT 80 → min-min 76 s \(−5.0 %\), bound 68.9407; .*"),
        (
            ("--scheduler", "Round-Robin"),
            r"HEFT 80 → round-robin .* s \(\+.* %\), bound 68.9407; .*",
        ),
        (("--objective", "turnaround"), r"mean turnaround: HEFT .* → deepsched .* s \(−.* %\), .*"),
    ],
)
def test_the_line_that_matters(
    options: tuple[object, ...], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    done = deepsched_here(capsys, "schedule", TOPCUOGLU, *options)
    assert re.fullmatch(said, done.stdout.splitlines()[0]), done.stdout
    # With an output too, and beside JSON that goes to standard output.
    done = deepsched_here(capsys, "schedule", TOPCUOGLU, *options, "--gantt", tmp_path / "g.html")
    assert re.fullmatch(said, done.stderr.splitlines()[-1])
    done = deepsched_here(capsys, "schedule", TOPCUOGLU, *options, "--json", "-")
    assert re.fullmatch(said, done.stderr.rstrip("\n"))
    json.loads(done.stdout)


def test_where_nothing_is_left_to_gain_it_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "one.json"
    task = {"id": "a", "etc": [3.0]}
    document = {"tasks": [task], "machines": [{"id": "m"}], "edges": []}
    path.write_text(json.dumps({"format": "deepsched-problem/1", **document}))
    done = deepsched_here(capsys, "schedule", path)
    assert done.stdout.startswith("deepsched 3 s, same as HEFT, optimal; 1 machine, σ 0; ")


def test_who_made_the_schedule_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # So decoded nothing is improved afterwards, and HEFT's is often the better one.
    own_options = {"samples": 1, "guard": False, "decode": "topk"}
    alone = resolve_scheduler("deepsched", options=own_options)
    winners = set()
    for seed in range(20):
        problem = generate(GeneratorSpec(family="layered", tasks=40, machines=6, ccr=0.1), seed)
        lead = SCHEDULERS["heft"](problem, teacher_rng(0, 0, "heft")).makespan
        own = alone(problem, teacher_rng(0, 0, "deepsched")).makespan
        winner = "heft" if lead < own else "deepsched"
        if winner in winners:
            continue
        winners.add(winner)
        write_problem(tmp_path / "p.json", problem)
        out = ("--json", tmp_path / "s.json", "--csv", tmp_path / "s.csv")
        decoded = ("--samples", 1, "--decode", "topk")
        deepsched_here(capsys, "schedule", tmp_path / "p.json", *decoded, *out)
        document = json.loads((tmp_path / "s.json").read_text())
        with (tmp_path / "s.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert (document["scheduler"], document["winner"]) == ("deepsched", winner)
        assert {row["winner"] for row in rows} == {winner}
    assert winners == {"heft", "deepsched"}


def test_the_schedule_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    done = deepsched_here(capsys, "schedule", TOPCUOGLU, "--scheduler", "heft", "--schedule")
    rows = [line.split() for line in done.stdout.splitlines()[-10:]]
    assert rows[0] == ["1", "p3", "0", "9"]
    assert [float(row[2]) for row in rows] == sorted(float(row[2]) for row in rows)
    assert max(float(row[3]) for row in rows) == 80


def test_an_interrupt_keeps_the_best_so_far(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    write_problem(path, generate(GeneratorSpec(family="layered", tasks=60, machines=4), 0))
    line = [sys.executable, "-m", "deepsched", "schedule", str(path), "--budget", "60", "--json"]
    with subprocess.Popen(
        [*line, str(tmp_path / "s.json")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while True:  # the handler is there when the search runs, and the search takes its CPUs
            time.sleep(0.5)
            assert process.poll() is None
            if cpu_seconds(process.pid) > 4.0:
                process.send_signal(signal.SIGINT)
                break
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert "deepsched " in err
    assert err.endswith("interrupted: the best schedule so far was kept\n")
    problem = read_problem(path)
    kept = json.loads((tmp_path / "s.json").read_text())
    assert kept["makespan"] <= SCHEDULERS["heft"](problem, teacher_rng(0, 0, "heft")).makespan


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
