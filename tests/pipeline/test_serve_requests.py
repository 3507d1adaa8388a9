"""The scheduling service without Ray: what requests mean, what is refused, and the gateway."""

from __future__ import annotations

import asyncio
import bz2
import gzip
import json
import lzma
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from ray.serve.exceptions import BackPressureError

from deepsched.baselines.errors import DeepSchedError, InvalidInput, TooLarge
from deepsched.baselines.generate import GeneratorSpec, generate
from deepsched.baselines.heft import heft
from deepsched.baselines.readers import ReadOptions, problem_from_json
from deepsched.baselines.registry import teacher_rng
from deepsched.baselines.schedule import make_schedule
from deepsched.model.checkpoint import save_checkpoint
from deepsched.model.load import PRETRAINED
from deepsched.model.networks import build_network
from deepsched.model.networks.deepsched.scheduler import PRETRAINED_TOPK, DeepSchedScheduler
from deepsched.pipeline.serving.app import build_app, processes
from deepsched.pipeline.serving.gateway import Gateway
from deepsched.pipeline.serving.requests import (
    LONGEST_MESSAGE,
    Query,
    QuerySettings,
    json_answer,
    parse_query,
    read_request,
    refusal,
    unpack,
)
from deepsched.pipeline.serving.settings import ServeArgs
from deepsched.pipeline.serving.workers import Heuristics, has_network, schedule_together, solve

TASK = {"id": "a", "etc": [1, 2]}
MACHINES = [{"id": "x"}, {"id": "y"}]
SMALL = {"format": "deepsched-problem/1", "tasks": [TASK], "machines": MACHINES, "edges": []}
NO_EDGES = {key: value for key, value in SMALL.items() if key != "edges"}
FLAT = {"parents": [], "children": []}


def drawn(seed=0, tasks=20):
    return generate(GeneratorSpec(family="layered", tasks=tasks, machines=3), seed)


def refused(body, query="", args=None, encoding=""):
    """Return the status and message with which a request is refused."""
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    pairs = [tuple(part.split("=")) for part in query.split("&") if part]
    with pytest.raises(DeepSchedError) as caught:
        read_request(body, encoding, parse_query(pairs), args or ServeArgs())
    answer = refusal(caught.value)
    message = json.loads(answer.body)["error"]
    assert len(message) <= LONGEST_MESSAGE
    assert "\n" not in message
    return answer.status, message


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 400, "empty"),
        (b"hello", 400, "not JSON"),
        (b'{"format": ', 400, "not JSON"),
        (b"\xff\xfe{\x00}\x00", 400, "UTF-16"),
        (b'{"format": "\xe9"}', 400, "UTF-8"),
        (b"[" * 100_000, 400, "nested"),
        (b'{"format": ' + b"9" * 5_000 + b"}", 400, "digits"),
        (b'{"format": "a", "format": "b"}', 400, "twice"),
        ([], 400, "object"),
        ("text", 400, "object"),
        ({}, 400, "deepsched-problem/1, WfFormat"),
        (SMALL | {"format": "deepsched-problem/9"}, 400, "unknown format"),
        (SMALL | {"tasks": []}, 400, "task"),
        (SMALL | {"machines": []}, 400, "machine"),
        (SMALL | {"tasks": [{"id": "a", "etc": [1]}]}, 400, "etc"),
        (SMALL | {"tasks": [{"id": "a", "etc": [1, -2]}]}, 400, "-2"),
        (SMALL | {"tasks": [{"id": "a", "etc": [1, float("nan")]}]}, 400, "etc"),
        (SMALL | {"tasks": [{"id": "a", "etc": [float("inf"), 1]}]}, 400, "etc"),
        (b'{"format": "deepsched-problem/1", "tasks": [{"id": "a", "etc": [1e999]}], '
         b'"machines": [{"id": "x"}], "edges": []}', 400, "etc"),
        (SMALL | {"tasks": [{"id": "a", "etc": [None, None]}]}, 400, "no machine can run"),
        (SMALL | {"tasks": [TASK, TASK]}, 400, "twice"),
        (SMALL | {"edges": [{"from": "a", "to": "a", "bytes": 1}]}, 400, "self-loop"),
        (SMALL | {"edges": [{"from": "a", "to": "b", "bytes": 1}]}, 400, "'b'"),
        ({"schemaVersion": "1.5", "workflow": {}}, 400, "specification"),
        ({"schemaVersion": "1.9", "workflow": {}}, 400, "1.9"),
        ({"schemaVersion": "1.3", "workflow": {}}, 400, "workflow.tasks is missing"),
        (SMALL | {"tasks": [{"id": "é" * 100_000, "etc": [1]}]}, 400, "etc"),
    ],
    ids=lambda value: repr(value)[:40],
)  # fmt: skip
def test_bad_bodies_are_refused_in_one_short_line(body, status, words):
    assert refused(body)[0] == status
    assert words in refused(body)[1]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("colour=red", "unknown query parameter 'colour'; one of: scheduler, seed, machines"),
        ("machines=0", "query: machines = 0; it must be a whole number of at least 1"),
        ("machines=two", "query: machines = 'two'; it must be a whole number of at least 1"),
        ("machines=1e9", "query: machines = '1e9'; it must be a whole number of at least 1"),
        ("noise=nan", "query: noise = nan; it must be a finite number of at least 0"),
        ("noise=inf", "query: noise = inf; it must be a finite number of at least 0"),
        ("latency=-1", "query: latency = -1.0; it must be a finite number of at least 0"),
        ("bandwidth=0", "bandwidth 0"),
        ("seed=-1", "query: seed = -1; it must be a whole number from 0 to"),
        ("seed=1&seed=1", "'seed' is given twice"),
        ("seed=" + "9" * 10_000, "seed = '999"),
        ("machines=3", "brings its own 2 machines"),
        ("noise=0.1", "noise"),
    ],
)
def test_bad_queries_are_refused(query, words):
    status, message = refused(SMALL, query)
    assert status == 400
    assert words in message


@pytest.mark.parametrize(
    ("document", "query", "words"),
    [
        (SMALL | {"tasks": [TASK] * 11}, "", "11 tasks; this service takes 10"),
        (SMALL | {"machines": MACHINES * 3}, "", "6 machines; this service takes 5"),
        (
            SMALL | {"tasks": [TASK] * 8},
            "samples=4",
            "4 samples x 8 tasks x 2 machines; this service takes 50",
        ),
        (SMALL | {"tasks": [TASK] * 7, "machines": MACHINES * 2}, "", "7 tasks x 4 machines"),
        ({"workflow": {"specification": {"tasks": [FLAT] * 11}}}, "", "11 tasks"),
        ({"workflow": {"specification": {"tasks": [FLAT] * 9}}}, "machines=4", "9 tasks x 4"),
        ({"workflow": {}, "schemaVersion": "1.5"}, "machines=1000000", "1000000 machines"),
        # Each format's own places.
        ({"nodes": [{}] * 11, "edges": []}, "", "11 tasks"),
        ({"task_graph": {"tasks": [{}] * 11, "dependencies": []}}, "", "11 tasks"),
        ({"schemaVersion": "1.0", "workflow": {"jobs": [{}] * 11}}, "", "11 tasks"),
        ({"schemaVersion": "1.4", "workflow": {"tasks": [{}] * 11}}, "", "11 tasks"),
        ({"nodes": [{}], "edges": [], "graph": {"machines": "[{},{},{},{},{},{}]"}}, "", "6 mach"),
        ({"nodes": [{"etc": [1] * 6}], "edges": []}, "", "6 machines"),
        # Nodes count with their slots.
        (SMALL | {"machines": [{"id": "x", "slots": 5}, {"id": "y"}]}, "", "6 machines"),
        (SMALL | {"machines": [{"id": "x", "slots": 1e300}]}, "", "machines; this service"),
        (
            {"nodes": [{}], "edges": [], "graph": {"machines": '[{"slots": 5}, {}]'}},
            "",
            "6 machines",
        ),
        ({"task_graph": {"tasks": []}, "network": {"nodes": [{}] * 6}}, "", "6 machines"),
    ],
)
def test_sizes_are_refused_before_anything_is_built(document, query, words):
    args = ServeArgs(max_tasks=10, max_machines=5, max_cells=25, max_sampled_cells=50)
    status, message = refused(document, query, args)
    assert status == 413
    assert words in message


def test_a_query_reaches_the_reader_like_the_command_line_options(data_file):
    body = data_file("wfformat.json")
    pairs = [("machines", "3"), ("machine_seed", "5"), ("noise", "0.2"), ("noise_seed", "7")]
    query = parse_query([*pairs, ("bandwidth", "1e6"), ("latency", "0.5"), ("scheduler", "heft")])
    problem = read_request(body, "", query, ServeArgs())
    expected = problem_from_json(json.loads(body), "request body", query.settings.read_options())
    assert np.array_equal(problem.etc, expected.etc)
    assert problem.n_machines == 3
    assert problem.machines.bandwidth[0, 1] == 1e6
    assert problem.machines.latency[0, 1] == 0.5
    assert not np.array_equal(
        problem.etc,
        read_request(body, "", Query(settings=QuerySettings(machines=3)), ServeArgs()).etc,
    )


@pytest.fixture
def data_file(request):
    return lambda name: (request.config.rootpath / "tests" / "data" / name).read_bytes()


def test_unpacking_is_bounded_and_strict():
    text = json.dumps(SMALL).encode()
    assert unpack(text, "", 10) == text  # what was sent has been counted while it came in
    assert unpack(gzip.compress(text), "gzip", len(text)) == text
    assert unpack(gzip.compress(text), "", len(text)) == text
    assert unpack(gzip.compress(text[:9]) + gzip.compress(text[9:]), "gzip", len(text)) == text
    small = ServeArgs(max_body_mb=1)
    bomb = gzip.compress(bytes(100_000_000))
    assert len(bomb) < 100_000
    assert refused(bomb, args=small, encoding="gzip") == (
        413, "request body unpacks to more than 1 MB",
    )  # fmt: skip
    assert refused(gzip.compress(bytes(800_000)) * 2, args=small)[0] == 413
    assert "truncated gzip" in refused(gzip.compress(text)[:-4], encoding="gzip")[1]
    assert "damaged gzip" in refused(text, encoding="gzip")[1]
    assert "inside" in refused(gzip.compress(gzip.compress(text)), encoding="gzip")[1]
    assert refused(text, encoding="br")[0] == 415


def test_a_body_is_unpacked_once_and_only_as_gzip():
    for data in (bz2.compress(b"{}"), lzma.compress(b"{}"), gzip.compress(gzip.compress(b"{}"))):
        assert refused(data)[0] == 400


def test_a_scheduler_that_is_not_offered_for_the_size_is_a_413():
    assert refusal(TooLarge("ga takes up to 5 tasks")).status == 413


def test_an_answer_is_the_documented_layout():
    problem = drawn()
    document = json.loads(solve(problem, Query(settings=QuerySettings(scheduler="heft"))).body)
    expected = heft(problem)
    assert list(document) == [
        "scheduler", "winner", "makespan", "mean_turnaround", "mean_waiting", "lower_bound",
        "seconds", "tasks",
    ]  # fmt: skip
    assert document["makespan"] == expected.makespan
    assert [task["id"] for task in document["tasks"]] == list(problem.task_ids)
    assert [task["start"] for task in document["tasks"]] == expected.ast.tolist()
    names = problem.machines.ids
    assert [task["machine"] for task in document["tasks"]] == [names[q] for q in expected.proc]


def test_the_seed_reaches_the_scheduler():
    problem = drawn(tasks=50)
    starts = [
        [task["start"] for task in json.loads(solve(problem, query).body)["tasks"]]
        for query in (
            Query(settings=QuerySettings(scheduler="random", seed=seed)) for seed in (1, 1, 2)
        )
    ]
    assert starts[0] == starts[1] != starts[2]


def test_in_a_batch_only_the_culprit_fails():
    problems = [drawn(seed) for seed in range(4)]

    def schedule_batch(batch):
        if problems[1] in batch:
            raise ValueError("cannot do this one")
        if problems[2] in batch:
            raise TooLarge("more than 5 tasks")
        return [heft(problem) for problem in batch]

    outcomes = schedule_together(schedule_batch, problems)
    for k in (0, 3):
        assert np.array_equal(outcomes[k].result.ast, heft(problems[k]).ast)
    assert refusal(outcomes[1].result).status == 500
    assert refusal(outcomes[2].result).status == 413
    assert all(b"cannot do this one" not in refusal(outcomes[k].result).body for k in (1, 2))


def test_a_whole_batch_is_one_call():
    problems = [drawn(seed) for seed in range(4)]
    calls = []
    outcomes = schedule_together(
        lambda batch: calls.append(len(batch)) or [heft(problem) for problem in batch], problems
    )
    assert calls == [4]
    assert [outcome.batch for outcome in outcomes] == [4] * 4


def test_an_invalid_schedule_is_withheld():
    problem = drawn()
    good = heft(problem)
    early = make_schedule("paper", good.proc, good.ast - 1.0, good.aft - 1.0)
    [outcome] = schedule_together(lambda batch: [early], [problem])
    answer = refusal(outcome.result)
    assert answer.status == 500
    assert "withheld" in json.loads(answer.body)["error"]


# The gateway, asked through ASGI, with processes behind it that the test makes up.


class Behind:
    """Stands for the handle of a deployment; answers with what it was given."""

    def __init__(self, reply=None):
        self.calls, self.cancelled, self.reply = [], 0, reply
        self.schedule = SimpleNamespace(remote=self.remote)

    def remote(self, body, encoding, query):
        self.calls.append((body, encoding, query))
        return self

    def __await__(self):
        return self._answer().__await__()

    async def _answer(self):
        if isinstance(self.reply, Exception):
            raise self.reply
        if self.reply == "never":
            await asyncio.sleep(3600)
        return json_answer(200, {"size": len(self.calls[-1][0])})

    def cancel(self):
        self.cancelled += 1


async def ask(
    gateway, chunks=(b"{}",), *, path="/v1/schedule", method="POST", query="", headers=()
):
    """Return status, headers and JSON body of an answer, and how many chunks were taken."""
    app = gateway.__serve_build_asgi_app__()
    scope = {
        "type": "http", "method": method, "path": path, "query_string": query.encode(),
        "headers": [(k.lower().encode(), v.encode()) for k, v in headers], "http_version": "1.1",
        "scheme": "http", "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1), "root_path": "",
    }  # fmt: skip
    coming = iter(chunks)
    taken = 0

    async def receive():
        nonlocal taken
        chunk = next(coming, None)
        if chunk is None:
            return {"type": "http.request", "body": b"", "more_body": False}
        if chunk == "stall":
            await asyncio.sleep(3600)
        taken += 1
        return {"type": "http.request", "body": chunk, "more_body": True}

    sent = []

    async def send(message):
        sent.append(message)

    await app(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent[1:])
    found = {key.decode(): value.decode() for key, value in sent[0]["headers"]}
    return SimpleNamespace(
        status=sent[0]["status"], headers=found, json=json.loads(body), taken=taken
    )


def gateway(heuristics=None, network=None, **settings):
    return Gateway(ServeArgs(**settings), heuristics or Behind(), network, "paper")


def test_the_network_answers_by_default_and_by_both_its_names():
    heuristics, network = Behind(), Behind()
    app = gateway(heuristics, network)
    for query in ("", "scheduler=paper", "scheduler=deepsched"):
        assert asyncio.run(ask(app, query=query)).status == 200
    assert (len(network.calls), len(heuristics.calls)) == (3, 0)
    asyncio.run(ask(app, query="scheduler=cpop"))
    assert heuristics.calls[0][2].settings.scheduler == "cpop"


def test_without_a_checkpoint_the_pretrained_network_answers():
    heuristics = Behind()
    app = gateway(heuristics)
    asyncio.run(ask(app, [b"{", b"}"], headers=[("Content-Encoding", "GZIP")]))
    assert heuristics.calls == [
        (b"{}", "gzip", Query(settings=QuerySettings(scheduler="deepsched")))
    ]
    answer = asyncio.run(ask(app, query="scheduler=paper"))
    assert answer.status == 400
    assert answer.json["error"].startswith(
        "unknown scheduler 'paper'; one of: best-of, cp-sat, cpop, deepsched"
    )


def test_the_pretrained_network_schedules():
    problem = generate(GeneratorSpec(family="layered", tasks=30, machines=4, ccr=8.0), 0)
    document = json.loads(solve(problem, Query()).body)
    assert document["scheduler"] == "deepsched"
    assert document["makespan"] < heft(problem).makespan


def test_the_query_holds_the_options_of_the_pretrained_network():
    problem = generate(GeneratorSpec(family="layered", tasks=60, machines=6, ccr=8.0), 1)
    given = {"objective": "turnaround", "samples": 8, "guard": False, "decode": "full"}
    query = parse_query([("seed", "3"), *((key, str(value)) for key, value in given.items())])
    assert query.options == given
    document = json.loads(solve(problem, query).body)
    stream = teacher_rng(3, 0, "deepsched")
    expected = DeepSchedScheduler.load(**given)(problem, stream)
    assert [task["start"] for task in document["tasks"]] == expected.ast.tolist()
    assert document["mean_turnaround"] < json.loads(solve(problem, Query()).body)["mean_turnaround"]


def test_a_checkpoint_of_the_network_deepsched_answers_beside_the_heuristics(tmp_path):
    problem = generate(GeneratorSpec(family="layered", tasks=60, machines=6, ccr=8.0), 1)
    for name, weights in (("own", PRETRAINED_TOPK), ("paper", None)):
        if weights is None:
            config = {"width": 8}
            network = build_network("paper", config)
            save_checkpoint(tmp_path / name, network, "paper", config, {})
        else:
            shutil.copytree(weights, tmp_path / name)
    assert has_network(ServeArgs(checkpoint=tmp_path / "paper"))
    assert not has_network(ServeArgs(checkpoint=tmp_path / "own"))
    assert not has_network(ServeArgs())
    document = json.loads(solve(problem, Query(), tmp_path / "own").body)
    expected = DeepSchedScheduler.load(tmp_path / "own")(problem, teacher_rng(0, 0, PRETRAINED))
    assert [task["start"] for task in document["tasks"]] == expected.ast.tolist()


def test_processes_start_with_either_kind_of_checkpoint():
    body = json.dumps(SMALL | {"tasks": [TASK] * 1}).encode()
    problem = problem_from_json(json.loads(body), "body", ReadOptions())
    args = ServeArgs(checkpoint=PRETRAINED_TOPK.resolve())
    build_app(args)
    assert processes(args) == 1
    heuristics = Heuristics(args)
    answer = asyncio.run(heuristics.schedule(body, "", Query(options={"samples": 2})))
    document = json.loads(answer.body)
    expected = DeepSchedScheduler.load(PRETRAINED_TOPK, samples=2)(
        problem, teacher_rng(0, 0, PRETRAINED)
    )
    assert document["makespan"] == expected.makespan
    with pytest.raises(InvalidInput, match="absolute"):
        build_app(ServeArgs(checkpoint=Path("somewhere")))


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("scheduler=heft&samples=4", "samples: not for the scheduler heft"),
        ("budget=11", "query: budget = 11; at most 10 s here"),
        ("objective=cost", "query: objective = 'cost'; it must be one of makespan, turnaround"),
        ("samples=257", "query: samples = 257; at most 256 here"),
        ("samples=0", "query: samples = 0; it must be a whole number of at least 1"),
        ("guard=perhaps", "query: guard = 'perhaps'; it must be true or false"),
        ("threads=2", "unknown query parameter 'threads'; one of: scheduler, seed, "),
    ],
)
def test_options_that_cannot_be_are_refused(query, words):
    answer = asyncio.run(ask(gateway(), query=query))
    assert answer.status == 400
    assert words in answer.json["error"]


def test_a_network_that_imitates_takes_no_such_options():
    answer = asyncio.run(ask(gateway(network=Behind()), query="objective=turnaround"))
    assert answer.status == 400
    assert answer.json["error"] == "query parameter objective: not for the scheduler paper"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/schedule", 405),
        ("PUT", "/v1/schedule", 405),
        ("POST", "/health", 405),
        ("POST", "/v1/scheduler", 404),
        ("GET", "/" + "x" * 10_000, 404),
    ],
)
def test_wrong_routes_and_methods(method, path, status):
    answer = asyncio.run(ask(gateway(), method=method, path=path))
    assert answer.status == status
    assert len(answer.json["error"]) < LONGEST_MESSAGE
    assert ("allow" in answer.headers) == (status == 405)


def test_the_list_of_schedulers_and_health():
    answer = asyncio.run(ask(gateway(network=Behind()), method="GET", path="/v1/schedulers"))
    assert answer.json["default"] == "paper"
    assert {"paper", "deepsched", "heft", "ga"} <= set(answer.json["schedulers"])
    assert answer.json["limits"]["max_tasks"] == ServeArgs().max_tasks
    assert asyncio.run(ask(gateway(), method="GET", path="/health")).json == {"status": "ok"}


MB = bytes(1_000_000)


@pytest.mark.parametrize("declared", [True, False], ids=["content-length", "chunked"])
def test_a_body_over_the_limit_is_refused_and_not_kept(declared):
    behind = Behind()
    app = gateway(behind, max_body_mb=2)
    headers = [("content-length", "3000000")] if declared else []
    answer = asyncio.run(ask(app, [MB] * 3, headers=headers))
    assert (answer.status, answer.json) == (413, {"error": "request body over 2 MB"})
    assert behind.calls == []
    # A client that never stops is cut off.
    assert asyncio.run(ask(app, (MB for _ in range(1000)))).taken == 5
    # Nothing of them counts any more.
    assert asyncio.run(ask(app, [MB] * 2)).json == {"size": 2_000_000}


def test_bodies_held_together_are_bounded():
    behind = Behind("never")
    app = gateway(behind, max_body_mb=1)

    async def crowd():
        waiting = [asyncio.create_task(ask(app, [MB])) for _ in range(4)]
        while len(behind.calls) < 4:
            await asyncio.sleep(0)
        answer = await ask(app, [MB])
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        behind.reply = None
        return answer, await ask(app, [MB])

    refused, later = asyncio.run(crowd())
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    assert later.status == 200


def test_a_full_queue_is_a_503_that_says_when_to_come_again():
    full = Behind(BackPressureError(num_queued_requests=7, max_queued_requests=7))
    answer = asyncio.run(ask(gateway(full, max_queued=7)))
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert answer.json == {"error": "7 requests wait already; try again"}


def test_a_request_that_stalls_and_an_answer_that_does_not_come():
    behind = Behind("never")
    app = gateway(behind, timeout_s=0.05)
    assert asyncio.run(ask(app, [b"{", "stall"])).status == 408
    assert behind.calls == []
    answer = asyncio.run(ask(app))
    assert (answer.status, answer.json) == (504, {"error": "there was no schedule within 0.05 s"})
    assert behind.cancelled == 1


def test_a_failure_behind_the_gateway_tells_the_client_nothing():
    answer = asyncio.run(ask(gateway(Behind(KeyError("secret")))))
    assert answer.status == 500
    assert answer.json == {"error": "internal error; the log says more"}
