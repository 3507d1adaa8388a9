"""The gateway: who is asked, what is refused before, and that it lives whatever happens behind."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

from deepsched.pipeline.serving import gateway as module
from deepsched.pipeline.serving import parcels
from deepsched.pipeline.serving.parcels import Parcel
from deepsched.pipeline.serving.refusals import RequestError
from deepsched.pipeline.serving.settings import ServeArgs
from deepsched.pipeline.serving.work import NOT_HERE, TOO_SLOW, Reply, json_reply, refusal
from deepsched.pipeline.wire.models import ModelsAnswer, Ready, SchedulersAnswer
from deepsched.pipeline.wire.streams import CONTENT_TYPE as ARROW
from tests.pipeline.serving.asgi import QUICK, Behind, Handle, ask, fine, get, opened
from tests.pipeline.serving.loops import in_a_loop, until

HASH = "0123456789abcdef" * 4
MB = bytes(1_000_000)
DEAD = RayActorError()
AWAY = DeploymentUnavailableError.__new__(DeploymentUnavailableError)


def passed_on(handle: Handle) -> Any:
    """Return the only request that reached a process."""
    [(method, (asked,))] = handle.calls
    assert method == "work"
    return asked[0] if isinstance(asked, list) else asked


# Who is asked.


@in_a_loop
async def test_a_request_reaches_a_quick_process_as_it_was_sent():
    behind = Behind()
    async with opened(behind) as gateway:
        answer = await ask(
            gateway,
            [b"{", b"}"],
            query="scheduler=heft&seed=3&edges=true",
            headers=[("Content-Encoding", "GZIP"), ("Content-Type", "application/json")],
        )
    assert (answer.status, answer.json) == (200, {"size": 2})
    asked = passed_on(behind.quick)
    assert (asked.body, asked.encoding, asked.kind) == (b"{}", "gzip", "json")
    assert (asked.many, asked.arrow, asked.machines) == (False, False, None)
    assert asked.query.settings.scheduler == "heft"
    assert asked.query.settings.seed == 3
    assert asked.deadline - asked.received == ServeArgs().timeout_s
    assert behind.slow.calls == behind.jobs.calls == []


@in_a_loop
async def test_without_a_name_whoever_is_the_default_is_asked():
    behind = Behind()
    async with opened(behind) as gateway:
        await ask(gateway)
    assert passed_on(behind.quick).query.settings.scheduler is None


@in_a_loop
async def test_a_batch_is_one_request():
    behind = Behind()
    async with opened(behind) as gateway:
        assert (await ask(gateway, path="/v1/schedule:batch")).status == 200
    assert passed_on(behind.quick).many


@in_a_loop
async def test_a_large_body_goes_as_a_file_that_is_gone_with_the_answer():
    behind = Behind()
    async with opened(behind) as gateway:
        for body, kind in ((bytes(parcels.LEAST), Parcel), (b"{}", bytes)):
            behind.quick.calls.clear()
            assert (await ask(gateway, [body])).json == {"size": len(body)}
            asked = passed_on(behind.quick)
            assert isinstance(asked.body, kind if parcels.FOLDER.is_dir() else bytes)
            assert asked.size == len(body)
            if isinstance(asked.body, Parcel):
                assert not Path(asked.body.path).exists()


@pytest.mark.parametrize("lane", ["quick", "slow"])
@in_a_loop
async def test_to_a_process_on_another_node_a_body_goes_with_the_call(lane):
    def elsewhere(given: Any) -> Any:
        asks = given if lane == "quick" else [given]
        replies = [
            fine(one) if isinstance(one.body, bytes) else Reply(status=NOT_HERE, body=b"")
            for one in asks
        ]
        return replies if lane == "quick" else replies[0]

    behind = Behind()
    handle = getattr(behind, lane)
    handle.answers["work"] = elsewhere
    async with opened(behind) as gateway:
        for _ in range(2):
            answer = await ask(gateway, [MB], query="scheduler=ga" if lane == "slow" else "")
            assert answer.json == {"size": len(MB)}
    assert len(handle.calls) == 3 if parcels.FOLDER.is_dir() else 2, "it is tried once"


@in_a_loop
async def test_a_body_whose_file_is_lost_is_asked_for_again():
    def lost(asks: Any) -> list[Reply]:
        for one in asks:
            if isinstance(one.body, Parcel):
                Path(one.body.path).unlink()
        return [Reply(status=NOT_HERE, body=b"")]

    behind = Behind()
    behind.quick.answers["work"] = lost
    if parcels.FOLDER.is_dir():
        async with opened(behind) as gateway:
            answer = await ask(gateway, [MB])
            assert (answer.status, answer.error) == (503, "the request's body was lost")


@pytest.mark.parametrize(
    ("query", "chunk"),
    [("scheduler=ga", b"{}"), ("budget=2", b"{}"), ("", bytes(3_000_000))],
    ids=["search", "budget", "size"],
)
@in_a_loop
async def test_what_looks_slow_from_outside_goes_to_the_slow_processes(query, chunk):
    behind = Behind()
    async with opened(behind) as gateway:
        assert (await ask(gateway, [chunk], query=query)).status == 200
    assert passed_on(behind.slow).query.options.get("budget", 0) in (0, 2)
    assert behind.quick.calls == []


@in_a_loop
async def test_what_a_quick_process_finds_too_slow_goes_to_a_slow_one():
    behind = Behind()
    behind.quick.answers["work"] = lambda asks: [Reply(status=TOO_SLOW, body=b"")]
    async with opened(behind) as gateway:
        answer = await ask(gateway)
    assert (answer.status, answer.json) == (200, {"size": 2})
    assert passed_on(behind.slow) == passed_on(behind.quick)


@in_a_loop
async def test_a_scheduler_may_be_named_in_any_case():
    behind = Behind()
    behind.jobs.answers["submit"] = json_reply(202, {})
    async with opened(behind) as gateway:
        assert (await ask(gateway, query="scheduler=HEFT")).status == 200
        assert (await ask(gateway, query="scheduler=DeepSched", path="/v1/jobs")).status == 202
    assert passed_on(behind.quick).query.settings.scheduler == "heft"
    [(_, values)] = behind.jobs.calls
    assert values[0] == "deepsched"
    assert ("scheduler", "deepsched") in [tuple(pair) for pair in values[1]["query"]]


@in_a_loop
async def test_answers_go_back_as_the_process_made_them():
    behind = Behind()
    made = Reply(status=200, body=b"rows", headers={"X-Batch-Requests": "3"}, media_type=ARROW)
    behind.quick.answers["work"] = [[made], [refusal(RequestError(413, "7 tasks"))]]
    async with opened(behind) as gateway:
        answer = await ask(gateway, headers=[("Accept", ARROW)])
        assert (answer.status, answer.body) == (200, b"rows")
        assert answer.headers["content-type"] == ARROW
        assert answer.headers["x-batch-requests"] == "3"
        answer = await ask(gateway)
        assert (answer.status, answer.error) == (413, "7 tasks")


@pytest.mark.parametrize(
    ("accept", "arrow"),
    [
        ("", False), ("*/*", False), ("application/json", False), ("application/*", False),
        (ARROW, True), (f"text/html, {ARROW};q=0.9", True), (f"application/json, {ARROW}", True),
        (f"{ARROW};q=0, */*", False), ("APPLICATION/JSON; q=0.5", False),
    ],
)  # fmt: skip
@in_a_loop
async def test_the_answer_is_of_the_type_that_is_accepted(accept, arrow):
    behind = Behind()
    async with opened(behind) as gateway:
        assert (await ask(gateway, headers=[("Accept", accept)])).status == 200
    assert passed_on(behind.quick).arrow is arrow


# What is refused before.


@pytest.mark.parametrize(
    ("query", "headers", "status", "words"),
    [
        ("scheduler=nobody", {}, 400, "unknown scheduler 'nobody'; one of: "),
        ("scheduler=" + "x" * 9_000, {}, 400, "unknown scheduler 'xxx"),
        ("colour=red", {}, 400, "unknown query parameter 'colour'"),
        ("samples=257", {}, 400, "query: samples = 257; at most 256 here"),
        ("budget=11", {}, 400, "query: budget = 11; at most 10 s here; POST it to /v1/jobs"),
        ("seed=1&seed=2", {}, 400, "'seed' is given twice"),
        ("", {"Accept": "text/html"}, 406, "Accept 'text/html'; there are application/json"),
        ("", {"Accept": "x" * 9_000}, 406, "Accept 'xxx"),
        ("", {"Content-Type": "image/png"}, 415, "Content-Type 'image/png'; send application/json"),
        ("", {"Content-Encoding": "br"}, 415, "Content-Encoding 'br'; send gzip or none"),
        ("", {"Content-Encoding": "gzip, gzip"}, 415, "Content-Encoding"),
        (f"machines_sha256={HASH}", {}, 404, f"no machines {HASH}; PUT them to /v1/machines"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/schedule", "/v1/schedule:batch"])
@in_a_loop
async def test_what_can_be_seen_to_be_wrong_reaches_no_process(path, query, headers, status, words):
    behind = Behind()
    async with opened(behind) as gateway:
        answer = await ask(gateway, path=path, query=query, headers=headers.items())
    assert (answer.status, words in answer.error) == (status, True), answer.error
    assert behind.quick.calls == behind.slow.calls == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/schedule", 405),
        ("PUT", "/v1/schedule", 405),
        ("POST", "/health", 405),
        ("POST", "/v1/scheduler", 404),
        ("POST", "/v1/schedule/", 404),  # and no redirection, whose address a client could make up
        ("GET", "/docs/", 404),
        ("GET", "/" + "x" * 10_000, 404),
        ("GET", "/static/../settings.py", 404),
    ],
)
@in_a_loop
async def test_wrong_routes_and_methods(method, path, status):
    async with opened() as gateway:
        answer = await ask(gateway, method=method, path=path)
    assert answer.status == status
    assert answer.error
    assert ("allow" in answer.headers) == (status == 405)
    assert "location" not in answer.headers


@pytest.mark.parametrize("path", ["/v1/schedule", "/v1/schedule:batch", "/v1/jobs", "/v1/machines"])
@pytest.mark.parametrize("declared", [True, False], ids=["content-length", "chunked"])
@in_a_loop
async def test_a_body_over_the_limit_is_refused_and_not_kept(path, declared):
    behind = Behind()
    method = "PUT" if path == "/v1/machines" else "POST"
    headers = [("content-length", "3000000")] if declared else []
    async with opened(behind, max_body_mb=2) as gateway:
        answer = await ask(gateway, [MB] * 3, path=path, method=method, headers=headers)
        assert (answer.status, answer.error) == (413, "request body over 2 MB")
        # A client that never stops is cut off.
        endless = await ask(gateway, (MB for _ in range(1_000)), path=path, method=method)
        assert endless.taken < 10
        assert gateway._bodies.held == 0  # noqa: SLF001
        # Nothing of them counts any more.
        assert (await ask(gateway, [MB] * 2)).json == {"size": 2_000_000}
    assert behind.slow.calls == behind.jobs.calls == []


@in_a_loop
async def test_bodies_held_together_are_bounded():
    behind = Behind()
    behind.slow.answers["work"] = "never"
    async with opened(behind, max_body_mb=3) as gateway:
        crowd = [
            asyncio.create_task(ask(gateway, [MB] * 3, query="scheduler=ga")) for _ in range(4)
        ]
        await until(lambda: len(behind.slow.calls) == 4)
        answer = await ask(gateway, [MB] * 3)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert answer.error == "the service holds too many request bodies"
        # Small ones have room of their own.
        assert (await ask(gateway)).status == 200
        for task in crowd:
            task.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)
        behind.slow.answers["work"] = fine
        assert (await ask(gateway, [MB] * 3)).status == 200


@in_a_loop
async def test_a_full_queue_of_slow_requests_is_a_503_that_says_when_to_come_again():
    behind = Behind()
    behind.slow.answers["work"] = "never"
    async with opened(behind, max_queued=2) as gateway:
        crowd = [asyncio.create_task(ask(gateway, query="scheduler=ga")) for _ in range(2)]
        await until(lambda: len(behind.slow.calls) == 2)
        answer = await ask(gateway, query="scheduler=ga")
        assert (answer.status, answer.error) == (503, "2 requests wait already")
        assert int(answer.headers["retry-after"]) >= 1
        # Quick ones have a queue of their own.
        assert (await ask(gateway)).status == 200
        for task in crowd:
            task.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)


@pytest.mark.parametrize("query", ["", "scheduler=ga"], ids=["quick", "slow"])
@in_a_loop
async def test_what_finds_no_room_is_refused_before_its_body_comes(query):
    behind = Behind()
    behind.quick.answers["work"] = behind.slow.answers["work"] = "never"
    async with opened(behind, max_queued=1, replicas=1, gateways=2) as gateway:
        crowd = [asyncio.create_task(ask(gateway, query="scheduler=ga"))]
        crowd += [asyncio.create_task(ask(gateway)) for _ in range(2)]
        await until(lambda: behind.slow.calls and behind.quick.calls and gateway._hops.full)  # noqa: SLF001
        held = gateway._bodies.held  # noqa: SLF001
        declared = [("content-length", "2"), ("expect", "100-continue")]
        answer = await ask(gateway, [b"{}"], query=query, headers=declared)
        assert (answer.status, answer.taken) == (503, 0)
        assert answer.error == "1 requests wait already"
        assert int(answer.headers["retry-after"]) >= 1
        assert gateway._bodies.held == held  # noqa: SLF001
        for task in crowd:
            task.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)


# Who may ask.


@in_a_loop
async def test_with_tokens_only_the_page_the_description_and_health_are_open(tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("a-token-of-some-length\n")
    behind = Behind()
    async with opened(behind, token_file=tokens) as gateway:
        for path in (
            "/",
            "/docs",
            "/openapi.json",
            "/v2/health/live",
            "/v2/health/ready",
            "/health",
        ):
            assert (await get(gateway, path)).status == 200, path
        secret = ["/metrics", "/v1/schedulers", "/v1/models", f"/v1/machines/{HASH}"]
        for path in (*secret, "/v1/jobs/job-1", "/v1/jobs/job-1/result"):
            answer = await get(gateway, path)
            assert (answer.status, answer.error) == (401, "a bearer token is needed"), path
            assert answer.headers["www-authenticate"] == "Bearer"
        for method, path in (
            ("POST", "/v1/schedule"), ("POST", "/v1/schedule:batch"), ("PUT", "/v1/machines"),
            ("POST", "/v1/jobs"), ("DELETE", "/v1/jobs/job-1"),
        ):  # fmt: skip
            wrong = [("Authorization", "Bearer another-token-of-some")]
            assert (await ask(gateway, method=method, path=path, headers=wrong)).status == 401
        assert behind.quick.calls == behind.jobs.calls == []
        right = [("Authorization", "Bearer a-token-of-some-length")]
        assert (await ask(gateway, headers=right)).status == 200
        # Exchanged while it runs.
        tokens.write_text("b-token-of-some-length\n")
        assert (await ask(gateway, headers=right)).status == 401


# What happens behind.


@in_a_loop
async def test_a_request_whose_quick_process_dies_goes_again():
    behind = Behind()
    behind.quick.answers["work"] = [DEAD, lambda asks: [fine(one) for one in asks]]
    async with opened(behind) as gateway:
        assert (await ask(gateway)).status == 200
    assert len(behind.quick.calls) == 2


@in_a_loop
async def test_of_a_hop_whose_process_dies_each_request_goes_alone_and_only_the_culprit_fails():
    def deadly(asks: list[Any]) -> Any:
        if any(one.body == b"deadly" for one in asks):
            raise DEAD
        return [fine(one) for one in asks]

    behind = Behind()
    behind.quick.answers["work"] = deadly
    async with opened(behind, gateways=2) as gateway:  # so one hop at a time
        answers = await asyncio.gather(
            *(ask(gateway, [body]) for body in (b"first", b"one", b"deadly", b"two"))
        )
    assert [answer.status for answer in answers] == [200, 200, 503, 200]
    assert answers[2].error == "the process that worked on it died"
    assert answers[2].headers["retry-after"] == "1"


@pytest.mark.parametrize("error", [DEAD, AWAY], ids=["died", "unavailable"])
@pytest.mark.parametrize("lane", ["quick", "slow"])
@in_a_loop
async def test_where_every_process_dies_it_is_a_503_after_some_tries(lane, error):
    behind = Behind()
    handle = getattr(behind, lane)
    handle.answers["work"] = error
    async with opened(behind) as gateway:
        answer = await ask(gateway, query="scheduler=ga" if lane == "slow" else "")
    assert (answer.status, answer.error) == (503, "the process that worked on it died")
    assert answer.headers["retry-after"] == "1"
    assert 1 < len(handle.calls) < 10


@in_a_loop
async def test_a_queue_that_is_full_behind_the_gateway_is_a_503_too():
    behind = Behind()
    full = BackPressureError(num_queued_requests=7, max_queued_requests=7)
    behind.slow.answers["work"] = full
    behind.jobs.answers["status"] = full
    async with opened(behind) as gateway:
        for answer in (await ask(gateway, query="scheduler=ga"), await get(gateway, "/v1/jobs/a")):
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
            assert answer.error == "too many requests wait already"


@pytest.mark.parametrize("lane", ["quick", "slow"])
@in_a_loop
async def test_a_failure_behind_the_gateway_tells_the_client_nothing(lane, caplog):
    behind = Behind()
    getattr(behind, lane).answers["work"] = KeyError("secret")
    async with opened(behind) as gateway:
        answer = await ask(gateway, query="scheduler=ga" if lane == "slow" else "")
        assert (answer.status, answer.error) == (500, "internal error; the log says more")
        assert gateway._bodies.held == 0  # noqa: SLF001
    assert "secret" in caplog.text


@in_a_loop
async def test_a_search_whose_client_is_gone_is_stopped_and_nothing_else_is():
    behind, gone = Behind(), asyncio.Event()
    behind.slow.answers["work"] = "never"
    async with opened(behind) as gateway:
        task = asyncio.create_task(ask(gateway, query="scheduler=ga", gone=gone))
        await until(lambda: behind.slow.calls)
        assert behind.slow.told == []
        gone.set()
        answer = await task
        assert answer.body == b""
        await until(lambda: behind.slow.told)
        assert behind.slow.told == [("stop", passed_on(behind.slow).id)]
        assert gateway._bodies.held == 0  # noqa: SLF001
        behind.slow.answers["work"] = fine
        assert (await ask(gateway, query="scheduler=ga")).status == 200
    assert len(behind.slow.told) == 1, "of an answered one nothing is stopped"


@pytest.mark.parametrize("chunks", [["gone"], [b"{", "gone"]], ids=["before", "amid"])
@pytest.mark.parametrize("refused", [False, True], ids=["fine", "refused"])
@in_a_loop
async def test_a_client_that_goes_while_it_sends_disturbs_nothing(chunks, refused, caplog):
    behind = Behind()
    async with opened(behind) as gateway:
        answer = await ask(gateway, chunks, query="colour=red" if refused else "")
        assert (answer.status == 400) is refused
        assert gateway._bodies.held == 0  # noqa: SLF001
    assert behind.quick.calls == []
    assert "failed" not in caplog.text


@pytest.mark.parametrize("lane", ["quick", "slow"])
@in_a_loop
async def test_an_answer_that_does_not_come_in_time_is_a_504(lane):
    behind = Behind()
    behind.quick.answers["work"] = behind.slow.answers["work"] = "never"
    async with opened(behind, timeout_s=0.05) as gateway:
        answer = await ask(gateway, query="scheduler=ga" if lane == "slow" else "")
        assert (answer.status, answer.error) == (504, "there was no schedule within 0.05 s")
        if lane == "slow":
            stopped = [("stop", passed_on(behind.slow).id)]
            await until(lambda: behind.slow.told == stopped)
    assert lane == "slow" or not behind.slow.told


@in_a_loop
async def test_a_body_that_stalls_is_a_408():
    behind = Behind()
    async with opened(behind, body_timeout_s=0.05) as gateway:
        answer = await ask(gateway, [b"{", "stall"])
        assert answer.status == 408
        assert "the request's body came too slowly: 1 bytes" in answer.error
        assert answer.headers["connection"] == "close"
    assert behind.quick.calls == []


# Machines and jobs.


@in_a_loop
async def test_machines_are_sent_once_and_known_from_then_on():
    behind = Behind()
    stored = {HASH: b"document"}
    behind.jobs.answers |= {
        "put_machines": json_reply(200, {"machines": HASH, "n_machines": 2}),
        "machines": stored.get,
        "submit": json_reply(202, {}, {"Location": "/v1/jobs/job-1"}),
    }
    async with opened(behind) as gateway:
        answer = await ask(gateway, [b"docu", b"ment"], path="/v1/machines", method="PUT")
        assert answer.json == {"machines": HASH, "n_machines": 2}
        [(method, values)] = behind.jobs.calls
        assert (method, values[0]) == ("put_machines", b"document")
        for path in ("/v1/schedule", "/v1/schedule:batch"):
            assert (await ask(gateway, path=path, query=f"machines_sha256={HASH}")).status == 200
        assert [values[0][0].machines for _, values in behind.quick.calls] == [b"document"] * 2
        assert [method for method, _ in behind.jobs.calls].count("machines") == 1, "kept here, too"
        assert (await get(gateway, f"/v1/machines/{HASH}")).status == 200
        for unknown in ("f" * 64, "short", "..%2F..", "x" * 10_000):
            answer = await get(gateway, f"/v1/machines/{unknown}")
            assert (answer.status, bool(answer.error)) == (404, True)
        await ask(gateway, path="/v1/jobs", query=f"machines_sha256={HASH}")
        assert b"document" in behind.jobs.calls[-1][1]


@in_a_loop
async def test_a_gateway_keeps_only_so_many_bytes_of_machines(monkeypatch):
    monkeypatch.setattr(module, "MOST_MACHINES", 250_000)
    behind = Behind()
    behind.jobs.answers["machines"] = lambda sha256: sha256[:1].encode() * parcels.LEAST
    async with opened(behind) as gateway:
        for name in "abaac":
            answer = await ask(gateway, query=f"machines_sha256={name * 64}")
            assert answer.status == 200
        assert [values[0][0] for _, values in behind.jobs.calls] == ["a", "b", "c"]
        await ask(gateway, query=f"machines_sha256={'a' * 64}")
        assert len(behind.jobs.calls) == 4, "the oldest was forgotten"
        for sha256 in list(gateway._packed):  # noqa: SLF001 - files in memory
            gateway._parcels.forget(gateway._packed.pop(sha256))  # noqa: SLF001


@in_a_loop
async def test_a_job_is_passed_on_with_all_that_a_schedule_needs():
    behind = Behind()
    behind.jobs.answers["submit"] = json_reply(202, {"id": "job-1"}, {"Location": "/v1/jobs/job-1"})
    async with opened(behind) as gateway:
        answer = await ask(
            gateway,
            path="/v1/jobs",
            query="budget=600&seed=4",
            headers=[("Idempotency-Key", "once"), ("Accept", ARROW), ("Content-Encoding", "gzip")],
        )
        assert (answer.status, answer.json) == (202, {"id": "job-1"})
        assert answer.headers["location"] == "/v1/jobs/job-1"
        [(_, (name, asked, body, machines, key))] = behind.jobs.calls
        assert (name, body, machines, key) == ("deepsched", b"{}", None, "once")
        assert (asked["kind"], asked["encoding"], asked["arrow"]) == ("json", "gzip", True)
        assert {("budget", "600"), ("seed", "4")} <= {tuple(pair) for pair in asked["query"]}
        answer = await ask(gateway, path="/v1/jobs", query="budget=601")
        assert answer.error == "query: budget = 601; at most 600 s here"
        answer = await ask(gateway, path="/v1/jobs", headers=[("Content-Type", "image/png")])
        assert answer.status == 415
        assert len(behind.jobs.calls) == 1


@in_a_loop
async def test_what_is_asked_of_a_job_reaches_the_keeper():
    behind = Behind()
    behind.jobs.answers |= {
        "status": json_reply(200, {"state": "running"}),
        "result": refusal(RequestError(409, "not yet", {"Retry-After": "1"})),
        "cancel": json_reply(200, {"state": "cancelled"}),
    }
    async with opened(behind) as gateway:
        assert (await get(gateway, "/v1/jobs/job-1")).json == {"state": "running"}
        answer = await get(gateway, "/v1/jobs/job-1/result")
        assert (answer.status, answer.error, answer.headers["retry-after"]) == (409, "not yet", "1")
        answer = await ask(gateway, (), path="/v1/jobs/job-1", method="DELETE")
        assert answer.json == {"state": "cancelled"}
    assert behind.jobs.calls == [(name, ("job-1",)) for name in ("status", "result", "cancel")]


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/machines"])
@in_a_loop
async def test_an_encoding_that_is_not_read_is_refused_before_the_body_is(path):
    method = "PUT" if path == "/v1/machines" else "POST"
    async with opened(Behind()) as gateway:
        answer = await ask(
            gateway,
            [b"{}"],
            path=path,
            method=method,
            headers=[("Content-Encoding", "br"), ("Expect", "100-continue")],
        )
    assert (answer.status, answer.taken) == (415, 0)


# How it stands.


@in_a_loop
async def test_live_says_only_that_the_gateway_answers():
    nobody = Handle(check="never")
    async with opened(Behind(quick=nobody, slow=nobody, jobs=nobody)) as gateway:
        answer = await get(gateway, "/v2/health/live")
        assert (answer.status, answer.json) == (200, {"status": "live"})
        answer = await ask(gateway)
        assert (answer.status, answer.error) == (503, "the service is starting")
        assert answer.headers["retry-after"] == "1"


@in_a_loop
async def test_ready_is_who_can_answer_every_kind_of_request():
    async with opened() as gateway:
        for path in ("/v2/health/ready", "/health"):
            answer = await get(gateway, path)
            Ready.model_validate(answer.json)
            assert (answer.status, answer.json) == (200, {
                "status": "ready", "reason": None, "workers": {"quick": 1, "slow": 1, "jobs": 1},
            })  # fmt: skip
            assert "retry-after" not in answer.headers


@pytest.mark.parametrize("check", ["never", {"able": False}, DEAD, ValueError("odd")])
@pytest.mark.parametrize("lane", ["quick", "slow", "jobs"])
@in_a_loop
async def test_it_is_not_ready_where_one_kind_of_process_does_not_answer(lane, check):
    behind = Behind()
    handle = getattr(behind, lane)
    handle.answers["check"] = handle.answers["check"] | check if isinstance(check, dict) else check
    async with opened(behind) as gateway:
        answer = await get(gateway, "/v2/health/ready")
        Ready.model_validate(answer.json)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert answer.json["status"] == "not ready"
        assert answer.json["reason"] == f"no process for {lane} answers"
        assert answer.json["workers"] == {"quick": 1, "slow": 1, "jobs": 1} | {lane: 0}


@in_a_loop
async def test_readiness_follows_the_processes(monkeypatch):
    monkeypatch.setattr(module, "LOOK_EVERY", 0.01)
    monkeypatch.setattr(module, "FRESH", 0.05)
    behind = Behind()

    async def ready() -> bool:
        return (await get(gateway, "/health")).status == 200

    async with opened(behind) as gateway:
        for able in (True, False, True):
            behind.slow.answers["check"] = {"able": able}
            while await ready() is not able:
                await asyncio.sleep(0.005)


@in_a_loop
async def test_a_network_that_was_refused_is_told_while_the_one_before_answers():
    behind = Behind()
    behind.quick.answers["check"] = QUICK | {"refused": "no such folder"}
    async with opened(behind) as gateway:
        answer = await get(gateway, "/health")
    assert answer.status == 200
    assert answer.json["reason"] == "the network before goes on: no such folder"


@in_a_loop
async def test_schedulers_models_and_limits_are_told():
    async with opened(max_tasks=77) as gateway:
        schedulers, models = await get(gateway, "/v1/schedulers"), await get(gateway, "/v1/models")
        description = await get(gateway, "/openapi.json")
    SchedulersAnswer.model_validate(schedulers.json)
    ModelsAnswer.model_validate(models.json)
    assert schedulers.json["default"] == "deepsched"
    assert schedulers.json["schedulers"] == QUICK["schedulers"]
    assert models.json["models"] == QUICK["models"]
    for answer in (schedulers, models):
        assert answer.json["limits"] == ServeArgs(max_tasks=77).limits()
        assert answer.json["limits"]["max_tasks"] == 77
    assert description.json["openapi"].startswith("3.1")


@in_a_loop
async def test_metrics_count_what_was_answered_and_where_its_time_went():
    behind = Behind()
    times = {"queue": 0.1, "parse": 0.2, "network": None, "decode": None, "schedule": 0.3}
    facts = {"answers": [
        {"status": 200, "scheduler": "deepsched", "winner": "heft", "makespan": 1.0, **times},
        {"status": 413},
    ]}  # fmt: skip
    behind.quick.answers["work"] = [[Reply(status=200, body=b"{}", facts=facts)]]
    async with opened(behind) as gateway:
        await ask(gateway)
        await ask(gateway, query="colour=red")
        answer = await get(gateway, "/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    found = {
        (sample.name, *sorted(v for k, v in sample.labels.items() if k not in ("gateway", "le"))):
        sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
        if not sample.name.endswith("_created")
    }  # fmt: skip
    assert found["deepsched_requests_total", "200", "schedule"] == 1
    assert found["deepsched_requests_total", "400", "schedule"] == 1
    assert found["deepsched_schedules_total", "deepsched", "heft"] == 1
    assert found["deepsched_request_seconds_count", "quick", "schedule"] == 1
    assert found["deepsched_phase_seconds_sum", "schedule"] == 0.3
    assert ("deepsched_phase_seconds_sum", "network") not in found
    assert found["deepsched_ready",] == 1
    assert found["deepsched_body_bytes",] == 0
    assert found["deepsched_waiting", "quick"] == found["deepsched_waiting", "slow"] == 0
    assert found["deepsched_jobs", "done"] == 2
    assert found["deepsched_jobs", "running"] == 0


@in_a_loop
async def test_a_gzip_body_that_says_it_is_large_goes_to_the_slow_processes():
    behind = Behind()
    async with opened(behind) as gateway:
        body = gzip.compress(bytes(3_000_000))
        await ask(gateway, [body], headers=[("Content-Encoding", "gzip")])
    assert passed_on(behind.slow).size == len(body)
