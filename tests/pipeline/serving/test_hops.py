"""Quick requests on their way: what waits goes together, in its order, and bounded."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from deepsched.pipeline.serving import hops as module
from deepsched.pipeline.serving.hops import Hops
from deepsched.pipeline.serving.refusals import RequestError
from tests.pipeline.serving.loops import in_a_loop, until

if TYPE_CHECKING:
    from collections.abc import Sequence


class Sent:
    """What was sent on; each hop is answered when the test says so."""

    def __init__(self) -> None:
        self.loads: list[Sequence[Any]] = []
        self.answers: list[asyncio.Future[Any]] = []

    async def __call__(self, asks: Sequence[Any]) -> Any:
        self.loads.append([ask.id for ask in asks])
        self.answers.append(asyncio.get_running_loop().create_future())
        await self.answers[-1]
        return [f"reply to {ask.id}" for ask in asks]


def made(at_once: int = 1, most_waiting: int = 100) -> tuple[Hops, Sent]:
    sent = Sent()
    return Hops(sent, at_once=at_once, most_waiting=most_waiting), sent


def ask(name: int, size: int = 1) -> Any:
    return SimpleNamespace(id=name, size=size)


def begin(hops: Hops, *asks: Any) -> list[asyncio.Task[Any]]:
    return [asyncio.create_task(hops.work(one)) for one in asks]


@in_a_loop
async def test_a_request_goes_at_once_and_those_that_come_meanwhile_go_together():
    hops, sent = made()
    tasks = begin(hops, *(ask(k) for k in range(5)))
    await until(lambda: len(sent.loads) == 1)
    assert (sent.loads, hops.waiting) == ([[0]], 4)
    sent.answers[0].set_result(None)
    await until(lambda: len(sent.loads) == 2)
    assert (sent.loads[1], hops.waiting) == ([1, 2, 3, 4], 0)
    assert await tasks[0] == "reply to 0"
    sent.answers[1].set_result(None)
    assert await asyncio.gather(*tasks) == [f"reply to {k}" for k in range(5)]


@in_a_loop
async def test_as_many_hops_as_allowed_are_under_way_at_once():
    hops, sent = made(at_once=2)
    tasks = begin(hops, *(ask(k) for k in range(4)))
    await until(lambda: len(sent.loads) == 2)
    sent.answers[1].set_result(None)
    await until(lambda: len(sent.loads) == 3)
    assert sent.loads == [[0], [1], [2, 3]]
    for answer in sent.answers[::2]:
        answer.set_result(None)
    await asyncio.gather(*tasks)


@in_a_loop
async def test_a_hop_is_bounded_in_requests_and_in_bytes(monkeypatch):
    monkeypatch.setattr(module, "MOST", 3)
    monkeypatch.setattr(module, "MOST_BYTES", 100)
    hops, sent = made()
    sizes = [1, 10, 10, 10, 60, 30, 20, 5_000, 1]
    tasks = begin(hops, *(ask(k, size) for k, size in enumerate(sizes)))
    for number in range(6):
        await until(lambda number=number: len(sent.loads) > number)
        sent.answers[number].set_result(None)
    await asyncio.gather(*tasks)
    # Three at most, 100 bytes at most, and a larger one by itself.
    assert sent.loads == [[0], [1, 2, 3], [4, 5], [6], [7], [8]]


@in_a_loop
async def test_beyond_those_that_may_wait_a_request_is_refused_with_a_time_to_come_again():
    hops, sent = made(most_waiting=2)
    tasks = begin(hops, *(ask(k) for k in range(3)))
    await until(lambda: hops.full)
    with pytest.raises(RequestError, match="2 requests wait already") as caught:
        await hops.work(ask(3))
    assert caught.value.status == 503
    assert int(caught.value.headers["Retry-After"]) >= 1
    sent.answers[0].set_result(None)
    await until(lambda: len(sent.answers) == 2)
    sent.answers[1].set_result(None)
    await asyncio.gather(*tasks)
    assert not hops.full


@in_a_loop
async def test_what_nobody_waits_for_any_more_is_not_sent():
    hops, sent = made()
    tasks = begin(hops, *(ask(k) for k in range(4)))
    await until(lambda: hops.waiting == 3)
    tasks[2].cancel()
    await asyncio.sleep(0)
    sent.answers[0].set_result(None)
    await until(lambda: len(sent.loads) == 2)
    assert sent.loads[1] == [1, 3]
    # And one of those that are under way may go without a trace for the others.
    tasks[1].cancel()
    sent.answers[1].set_result(None)
    assert await tasks[3] == "reply to 3"
    assert not hops.waiting


@in_a_loop
async def test_where_all_that_waited_are_gone_the_next_one_goes():
    hops, sent = made()
    tasks = begin(hops, *(ask(k) for k in range(3)))
    await until(lambda: hops.waiting == 2)
    for task in tasks[1:]:
        task.cancel()
    await asyncio.sleep(0)
    sent.answers[0].set_result(None)
    await tasks[0]
    [last] = begin(hops, ask(9))
    await until(lambda: len(sent.loads) == 2)
    assert sent.loads[1] == [9]
    sent.answers[1].set_result(None)
    assert await last == "reply to 9"


@in_a_loop
async def test_a_hop_that_fails_fails_its_requests_and_no_others():
    hops, sent = made()
    tasks = begin(hops, *(ask(k) for k in range(3)))
    await until(lambda: len(sent.loads) == 1)
    sent.answers[0].set_exception(KeyError("lost"))
    await until(lambda: len(sent.loads) == 2)
    sent.answers[1].set_result(None)
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(found[0], KeyError)
    assert found[1:] == ["reply to 1", "reply to 2"]
