"""From the bytes of a request to those of its answer: exact, complete, and wrong in one line."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from deepsched.baselines.errors import TooLarge
from deepsched.baselines.heft import heft
from deepsched.baselines.readers import ReadOptions, problem_from_json
from deepsched.baselines.registry import SCHEDULERS, get_scheduler, teacher_rng
from deepsched.baselines.schedule import make_schedule, violations
from deepsched.model.networks.deepsched.scheduler import DeepSchedScheduler
from deepsched.model.networks.paper.scheduler import PaperScheduler
from deepsched.pipeline.serving.networks import Chosen
from deepsched.pipeline.serving.parcels import Parcel
from deepsched.pipeline.serving.settings import ServeArgs
from deepsched.pipeline.serving.work import (
    MOST_KEPT,
    NOT_HERE,
    Course,
    Reply,
    json_reply,
    read,
    read_machines,
    refusal,
    solve,
    work,
    work_together,
)
from deepsched.pipeline.serving.work import _kept as kept_machines
from deepsched.pipeline.wire.arrow import answers_from_stream, problems_to_stream
from deepsched.pipeline.wire.machines import machines_bytes, machines_hash
from deepsched.pipeline.wire.models import BatchAnswer, ScheduleAnswer, Timing
from deepsched.pipeline.wire.streams import CONTENT_TYPE as ARROW
from tests.pipeline.serving.examples import SMALL, TASK, asked, document, drawn, line, value

if TYPE_CHECKING:
    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule

ARGS = ServeArgs()
# Those of before this version's, in this order; what is new comes behind.
KEYS = [
    "scheduler", "winner", "makespan", "mean_turnaround", "mean_waiting", "lower_bound",
    "seconds", "tasks",
]  # fmt: skip
NEW = {"model", "model_version", "heft_makespan", "timing"}
QUICKLY = [name for name in SCHEDULERS if name not in ("ga", "ga-makespan", "best-of")]


@dataclass
class Made:
    """Stands for the schedulers of a process: one that does as the test says."""

    run: Any
    together: bool = False
    calls: list[int] = field(default_factory=list)

    def choose(self, name: str | None, options: Any) -> Chosen:
        return Chosen(name="made", run=self.run, together=self.together)

    def schedule_batch(self, problems: list[Problem]) -> list[Schedule]:
        self.calls.append(len(problems))
        return [self.run(problem) for problem in problems]


def together(run: Any) -> Made:
    """Return a network that takes problems together, each as `run` says."""
    made = Made(None, together=True)
    made.run = type("Network", (), {"schedule_batch": lambda _, problems: batch(problems)})()

    def batch(problems: list[Problem]) -> list[Schedule]:
        made.calls.append(len(problems))
        return [run(problem) for problem in problems]

    return made


def early(problem: Problem, *_: object) -> Schedule:
    """Return a schedule that begins before the time does."""
    good = heft(problem)
    return make_schedule("made", good.proc, good.ast - 1.0, good.aft - 1.0)


def answered(networks: Any, *args: Any, **fields: Any) -> dict[str, Any]:
    return value(work(asked(*args, **fields), networks, ARGS))


def rebuilt(problem: Problem, answer: dict[str, Any]) -> Schedule:
    """Return the schedule that an answer tells of."""
    assert [task["id"] for task in answer["tasks"]] == list(problem.task_ids)
    machine = {name: k for k, name in enumerate(problem.machines.ids)}
    rows = [(machine[t["machine"]], t["start"], t["finish"]) for t in answer["tasks"]]
    proc, ast, aft = zip(*rows, strict=True)
    return make_schedule(answer["scheduler"], proc, ast, aft, winner=answer["winner"])


def assert_equal(one: Schedule, other: Schedule) -> None:
    """Compare two schedules bit for bit."""
    for name in ("proc", "ast", "aft"):
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes()


def test_an_answer_is_the_documented_layout(networks):
    problem, expected = drawn(), heft(drawn())
    found = answered(networks, problem, "scheduler=heft")
    assert list(found)[: len(KEYS)] == KEYS
    assert set(found) == {*KEYS, *NEW}
    assert (found["scheduler"], found["winner"]) == ("heft", "heft")
    assert found["makespan"] == found["heft_makespan"] == expected.makespan
    assert_equal(rebuilt(problem, found), expected)


def test_heft_reaches_the_published_makespan(networks, request):
    body = (request.config.rootpath / "tests/data/topcuoglu.json").read_bytes()
    assert answered(networks, body, "scheduler=heft")["makespan"] == 80.0


@pytest.mark.parametrize("name", QUICKLY)
def test_every_scheduler_answers_as_it_does_in_the_library(networks, name):
    problem = drawn(tasks=25)
    found = answered(networks, problem, f"scheduler={name}&seed=3")
    ScheduleAnswer.model_validate(found)
    expected = get_scheduler(name)(problem, teacher_rng(3, 0, name))
    assert_equal(rebuilt(problem, found), expected)
    assert violations(problem, rebuilt(problem, found)) == []
    assert found["scheduler"] == name
    assert found["winner"] == expected.winner
    assert found["heft_makespan"] == heft(problem).makespan
    assert found["lower_bound"] <= found["makespan"] * (1 + 1e-9)
    assert (found["model"], found["model_version"]) == (None, None)
    assert found["timing"]["network"] is found["timing"]["decode"] is None


def test_twenty_problems_are_scheduled_as_by_the_library_in_json_and_arrow(networks):
    library = DeepSchedScheduler.load()
    problems = [drawn(seed, tasks=5 + 3 * seed, machines=2 + seed % 4) for seed in range(20)]
    stream = problems_to_stream(problems)
    reply = work(asked(stream, kind="arrow", many=True, arrow=True), networks, ARGS)
    assert (reply.status, reply.media_type) == (200, ARROW)
    rows = answers_from_stream(reply.body)
    for problem, row in zip(problems, rows, strict=True):
        expected = library(problem, teacher_rng(0, 0, "deepsched"))
        found = answered(networks, problem)
        ScheduleAnswer.model_validate(found)
        assert_equal(rebuilt(problem, found), expected)
        for name in ("proc", "ast", "aft"):
            assert np.array_equal(row[name], getattr(expected, name))
        summary = expected.summary(problem, 0.0, "cheap")
        for key in ("winner", "makespan", "mean_turnaround", "mean_waiting", "lower_bound"):
            assert row[key] == found[key] == summary[key]
        assert row["heft_makespan"] == found["heft_makespan"] == heft(problem).makespan
        assert row["model_version"] == found["model_version"] == networks.models()[0]["version"]


def test_a_single_row_is_answered_by_a_single_row(networks):
    problem = drawn()
    ask = asked(problems_to_stream([problem]), kind="arrow", arrow=True)
    [row] = answers_from_stream(work(ask, networks, ARGS).body)
    assert row["makespan"] == answered(networks, problem)["makespan"]
    assert set(row["timing"]) == set(Timing.model_fields)
    # Arrow may be asked and JSON wanted, and the other way round.
    assert answered(networks, ask.body, kind="arrow")["makespan"] == row["makespan"]
    [back] = answers_from_stream(work(asked(problem, arrow=True), networks, ARGS).body)
    assert back["makespan"] == row["makespan"]


def test_a_body_in_a_file_is_the_same_and_one_that_is_elsewhere_is_asked_for(networks, tmp_path):
    body = document(drawn())
    path = tmp_path / "body"
    path.write_bytes(body)
    ask = replace(asked(body), body=Parcel(str(path)))
    for reply in (work(ask, networks, ARGS), *work_together([ask], networks, ARGS)):
        assert value(reply)["tasks"] == answered(networks, body)["tasks"]
    path.unlink()
    for reply in (work(ask, networks, ARGS), *work_together([ask], networks, ARGS)):
        assert reply.status == NOT_HERE


def test_the_pretrained_network_answers_and_beats_heft(networks):
    problem = drawn(tasks=30, machines=4, ccr=8.0)
    found = answered(networks, problem)
    assert (found["scheduler"], found["model"]) == ("deepsched", "deepsched")
    assert found["makespan"] < heft(problem).makespan == found["heft_makespan"]


def test_the_query_holds_the_options_of_the_pretrained_network(networks):
    problem = drawn(1, tasks=60, machines=6, ccr=8.0)
    given = {"objective": "turnaround", "samples": 8, "guard": False, "decode": "full"}
    text = "seed=3&" + "&".join(f"{key}={one}" for key, one in given.items())
    found = answered(networks, problem, text)
    expected = DeepSchedScheduler.load(**given)(problem, teacher_rng(3, 0, "deepsched"))
    assert_equal(rebuilt(problem, found), expected)
    assert found["mean_turnaround"] < answered(networks, problem)["mean_turnaround"]
    # HEFT's makespan is told, whether or not it stood guard.
    assert found["heft_makespan"] == heft(problem).makespan


def test_the_seed_reaches_the_scheduler(networks):
    texts = [f"scheduler=random&seed={seed}" for seed in (1, 1, 2)]
    tasks = [answered(networks, drawn(tasks=50), text)["tasks"] for text in texts]
    assert tasks[0] == tasks[1] != tasks[2]


def test_the_times_of_an_answer_add_up(networks):
    received = time.time() - 5
    times = answered(networks, drawn(), received=received)["timing"]
    assert set(times) == set(Timing.model_fields)
    assert times["queue"] >= 5
    assert all(times[name] > 0 for name in ("parse", "schedule", "network", "decode"))
    assert times["network"] + times["decode"] <= times["schedule"]


def test_with_edges_an_answer_holds_the_graph_and_all_machines(networks):
    problem = drawn(machines=5)
    found = answered(networks, problem, "scheduler=heft&edges=true")
    ScheduleAnswer.model_validate(found)
    assert found["machines"] == list(problem.machines.ids)
    parents, children, _ = problem.edge_list()
    assert found["edges"] == [list(pair) for pair in zip(parents, children, strict=True)]
    assert found["arrivals"] == problem.arrival.tolist()
    assert not {"edges", "machines", "arrivals"} & set(
        answered(networks, problem, "scheduler=heft")
    )
    assert answered(networks, SMALL, "edges=true")["edges"] == []


def test_shared_machines_stand_in_where_a_document_and_a_row_have_none(networks, request):
    problem = drawn()
    shared = machines_bytes(problem.machines)
    text = f"machines_sha256={machines_hash(shared)}"
    whole = answered(networks, problem)["tasks"]
    stream = problems_to_stream([problem], shared=problem.machines)
    assert answered(networks, stream, text, kind="arrow", machines=shared)["tasks"] == whole
    trace = (request.config.rootpath / "tests/data/wfformat.json").read_bytes()
    found = answered(networks, trace, f"scheduler=round-robin&{text}", machines=shared)
    expected = problem_from_json(json.loads(trace), "", ReadOptions(machines=problem.machines))
    assert_equal(rebuilt(expected, found), SCHEDULERS["round-robin"](expected, None))
    message = line(work(asked(stream, kind="arrow"), networks, ARGS), 400)
    assert "machines_sha256" in message


def test_shared_machines_are_read_once_by_a_process_that_keeps_some(networks, tmp_path):
    problems = [drawn(machines=machines) for machines in range(20, 22 + MOST_KEPT)]
    path = tmp_path / "machines"
    for problem in problems:
        path.write_bytes(machines_bytes(problem.machines))
        text = f"scheduler=heft&machines_sha256={machines_hash(path.read_bytes())}"
        stream = problems_to_stream([problem], shared=problem.machines)
        ask = asked(stream, text, kind="arrow", machines=Parcel(str(path)))
        first = value(work(ask, networks, ARGS))
        path.unlink()
        assert value(work(ask, networks, ARGS))["tasks"] == first["tasks"]
    assert len(kept_machines) <= MOST_KEPT


def test_machines_that_are_too_many_or_none_are_refused_by_a_line(networks):
    document = machines_bytes(drawn(machines=5).machines)
    assert len(read_machines(document, ARGS)) == 5
    for found, status, words in (
        (document, 413, "5 machines; this service takes 4"),
        (b"{}", 400, "n_machines"),
        (b"[" * 100, 413, "machines: nested more than 64 deep"),
    ):
        ask = asked(SMALL, f"machines_sha256={machines_hash(found)}", machines=found)
        assert words in line(work(ask, networks, ServeArgs(max_machines=4)), status)


def test_in_a_batch_a_wrong_problem_has_its_status_and_the_others_their_schedules(networks):
    good = SMALL | {"tasks": [TASK, TASK | {"id": "b"}]}
    large = SMALL | {"tasks": [TASK] * 30}
    body = {"problems": [SMALL, {"format": "none"}, good, large]}
    args = ServeArgs(max_tasks=20)
    for arrow in (False, True):
        reply = work(asked(body, "scheduler=heft", many=True, arrow=arrow), networks, args)
        if arrow:
            answers = answers_from_stream(reply.body)
        else:
            answers = value(reply)["answers"]
            BatchAnswer.model_validate(value(reply))
        assert [answer.get("status", 200) for answer in answers] == [200, 400, 200, 413]
        assert answers[3]["error"] == "30 tasks; this service takes 20"
        assert answers[0]["makespan"] == 1.0
        assert [fact["status"] for fact in reply.facts["answers"]] == [200, 400, 200, 413]


def test_in_a_batch_a_scheduler_that_fails_on_one_problem_fails_on_that_alone():
    def run(problem: Problem, rng: object) -> Schedule:
        if problem.n_tasks == 2:
            raise TooLarge("made takes up to 1 task")
        if problem.n_tasks == 3:
            return early(problem)
        return heft(problem)

    tasks = [TASK | {"id": str(k)} for k in range(3)]
    body = {"problems": [SMALL | {"tasks": tasks[:n]} for n in (1, 2, 3, 1)]}
    answers = value(work(asked(body, many=True), Made(run), ARGS))["answers"]
    BatchAnswer.model_validate({"answers": answers})
    assert [answer.get("status", 200) for answer in answers] == [200, 413, 500, 200]
    assert answers[2]["error"] == "the scheduler failed; the log says why"


def test_facts_to_count_come_with_a_reply(networks):
    reply = work(asked(SMALL, "scheduler=heft"), networks, ARGS)
    [facts] = reply.facts["answers"]
    assert facts["scheduler"] == facts["winner"] == "heft"
    assert facts["makespan"] == 1.0
    assert set(Timing.model_fields) <= set(facts)


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"hello", 400, "not JSON"),
        (SMALL | {"tasks": []}, 400, "task"),
        (SMALL | {"tasks": [TASK] * 200_000}, 413, "200000 tasks; this service takes 100000"),
    ],
    ids=["text", "empty", "large"],
)
def test_a_wrong_request_is_one_line(networks, body, status, words):
    assert words in line(work(asked(body), networks, ARGS), status)


def test_an_unknown_scheduler_and_one_that_takes_no_such_problem(networks):
    reply = work(asked(SMALL, "scheduler=nobody"), networks, ARGS)
    assert "unknown scheduler 'nobody'" in line(reply, 400)

    def run(*_: object) -> Schedule:
        raise TooLarge("made takes up to 5 tasks")

    assert line(work(asked(SMALL), Made(run), ARGS), 413) == "made takes up to 5 tasks"


def test_a_request_that_waited_too_long_is_not_begun():
    reply = work(asked(SMALL, deadline=time.time() - 1), Made(None), ARGS)
    assert line(reply, 504) == "there was no schedule in time"


def test_memory_that_does_not_suffice_is_a_413_and_the_process_lives():
    def run(*_: object) -> Schedule:
        raise MemoryError

    words = "the request needs more memory than it may have"
    assert line(work(asked(SMALL), Made(run), ARGS), 413) == words
    [reply] = work_together([asked(SMALL)], Made(run), ARGS)
    assert line(reply, 413) == words


def test_an_invalid_schedule_is_withheld(caplog):
    with pytest.raises(RuntimeError, match="withheld"):
        work(asked(drawn()), Made(early), ARGS)
    assert "made: invalid schedule of" in caplog.text
    [reply] = work_together([asked(drawn())], Made(early), ARGS)
    assert line(reply, 500) == "internal error; the log says more"
    [reply] = work_together([asked(drawn())], together(early), ARGS)
    assert line(reply, 500) == "internal error; the log says more"


def test_a_course_hears_of_the_problem_and_of_every_improvement(networks):
    heard: list[Any] = []
    course = Course(
        improved=lambda makespan: heard.append(makespan),
        begun=lambda problem, makespan: heard.append((problem.n_tasks, makespan)),
    )
    problem = drawn(2, tasks=40, machines=4, ccr=8.0)
    found = value(work(asked(problem, "budget=0.1"), networks, ARGS, course))
    assert heard[0] == (40, heft(problem).makespan)
    assert heard[1:] == sorted(heard[1:], reverse=True)
    assert min(heard[1:]) == found["makespan"]


def test_a_course_that_is_stopped_ends_with_the_best_so_far(networks):
    course = Course()
    problem = drawn(2, tasks=200, machines=8, ccr=8.0)
    course.improved = lambda makespan: course.stop.__setitem__(0, True)
    found = value(work(asked(problem, "budget=600"), networks, ARGS, course))
    assert found["makespan"] <= heft(problem).makespan


# Several requests in one hop.


def test_replies_of_a_hop_come_in_the_order_of_the_requests(networks):
    problems = [drawn(seed) for seed in range(3)]
    asks = [
        asked(problems[0], "scheduler=heft"),
        asked(b"nonsense"),
        asked(problems[1]),
        asked(problems[2], "scheduler=nobody"),
        asked({"problems": [SMALL] * 2}, many=True),
    ]
    replies = work_together(asks, networks, ARGS)
    assert [reply.status for reply in replies] == [200, 400, 200, 400, 200]
    assert value(replies[0])["makespan"] == heft(problems[0]).makespan
    assert value(replies[2])["scheduler"] == "deepsched"
    assert len(value(replies[4])["answers"]) == 2
    assert all("X-Batch-Requests" not in reply.headers for reply in replies)


def test_a_network_that_imitates_takes_the_requests_of_a_hop_together(paper, paper_networks):
    problems = [drawn(k, tasks=10 + k) for k in range(14)]
    asks = [asked(problem) for problem in problems]
    args = ServeArgs(max_batch_tasks=100)
    replies = work_together(asks, paper_networks, args)
    sizes = [int(reply.headers["X-Batch-Requests"]) for reply in replies]
    # 231 tasks in passes of at most 100, in the requests' order.
    assert sizes == [7] * 7 + [5] * 5 + [2] * 2
    library = PaperScheduler.load(paper)
    for problem, reply in zip(problems, replies, strict=True):
        found = value(reply)
        ScheduleAnswer.model_validate(found)
        assert violations(problem, rebuilt(problem, found)) == []
        # Equal up to the rounding of float32, which depends on what shares a pass.
        assert found["makespan"] == pytest.approx(library(problem).makespan, rel=1e-5)
        assert found["model"] == "paper"
        assert found["heft_makespan"] == heft(problem).makespan


def test_a_problem_larger_than_a_pass_goes_alone(paper_networks):
    asks = [asked(drawn(k, tasks=tasks)) for k, tasks in enumerate((10, 150, 10))]
    replies = work_together(asks, paper_networks, ServeArgs(max_batch_tasks=100))
    assert [reply.headers["X-Batch-Requests"] for reply in replies] == ["1", "1", "1"]
    assert all(reply.status == 200 for reply in replies)


def test_a_whole_pass_is_one_call():
    made = together(heft)
    replies = work_together([asked(drawn(seed)) for seed in range(4)], made, ARGS)
    assert made.calls == [4]
    assert [reply.headers["X-Batch-Requests"] for reply in replies] == ["4"] * 4


def test_in_a_pass_only_the_culprit_fails():
    def run(problem: Problem) -> Schedule:
        if problem.n_tasks == 11:
            raise ValueError("cannot do this one")
        if problem.n_tasks == 12:
            raise TooLarge("more than 5 tasks")
        return early(problem) if problem.n_tasks == 13 else heft(problem)

    made = together(run)
    problems = [drawn(k, tasks=tasks) for k, tasks in enumerate((10, 11, 12, 13, 14))]
    replies = work_together([asked(problem) for problem in problems], made, ARGS)
    assert made.calls[0] == 5
    assert [reply.status for reply in replies] == [200, 500, 413, 500, 200]
    for k in (0, 4):
        assert value(replies[k])["makespan"] == heft(problems[k]).makespan
    assert all(b"cannot do this one" not in reply.body for reply in replies)


def test_a_batch_of_one_request_is_none_of_a_hop(paper_networks):
    ask = asked({"problems": [SMALL, 7]}, many=True)
    [reply] = work_together([ask], paper_networks, ARGS)
    answers = value(reply)["answers"]
    assert [answer.get("status", 200) for answer in answers] == [200, 400]


def test_requests_of_several_threads_do_not_mix(networks):
    problems = [drawn(seed, tasks=30) for seed in range(4)]
    expected = [answered(networks, problem)["tasks"] for problem in problems]
    found: dict[int, Any] = {}

    def ask(k: int) -> None:
        for _ in range(3):
            found[k] = answered(networks, problems[k])["tasks"]

    threads = [threading.Thread(target=ask, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[k] for k in range(4)] == expected


def test_the_answer_to_a_problem_made_elsewhere_is_validated_like_any_other(networks):
    problem = drawn()
    found = read(asked(problem), networks, ARGS)
    assert value(solve(found, Course(), heft(problem), 0.5))["seconds"] == 0.5
    with pytest.raises(RuntimeError, match="withheld"):
        solve(found, Course(), early(problem))


def test_replies_carry_what_refusals_say_beside_their_line():
    assert json_reply(200, {"a": 1}) == Reply(status=200, body=b'{"a":1}')
    assert refusal(TooLarge("ga takes up to 5 tasks")).status == 413
    long = refusal(TooLarge("x" * 1_000_000 + "\n" * 5))
    assert len(line(long, 413)) == 400
