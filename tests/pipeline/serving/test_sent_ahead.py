"""The line of requests that were sent ahead, by itself."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from deepsched.pipeline.serving import sent_ahead
from deepsched.pipeline.serving.sent_ahead import Line
from tests.pipeline.serving.loops import in_a_loop, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Asking:
    """A connection that notes when its turn comes."""

    def __init__(self, name: str, turns: list[str], *, answered: bool = False) -> None:
        self.name, self.turns, self.answered = name, turns, answered

    def go_on(self) -> bool:
        self.turns.append(self.name)
        return not self.answered


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[Line]:
    line = Line()
    task = asyncio.create_task(line.serve())
    try:
        yield line
    finally:
        task.cancel()


async def passes() -> None:
    for _ in range(5 * sent_ahead.PASSES):
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def nothing_takes_long(monkeypatch):
    monkeypatch.setattr(sent_ahead, "LONG", 3600.0)


@in_a_loop
async def test_one_is_begun_when_the_one_before_is_done_in_the_order_of_their_coming():
    turns: list[str] = []
    a, b, c, d = (Asking(name, turns, answered=name == "c") for name in "abcd")
    async with serving() as line:
        for one in (a, b, c, d, b):
            line.join(one)
        await passes()
        assert turns == ["a"]
        line.done(b)  # not its turn
        await passes()
        assert turns == ["a"]
        line.join(a)  # again
        line.done(a)
        await passes()
        assert turns == ["a", "b"]
        line.done(b)
        await passes()
        assert turns == ["a", "b", "c", "d"]  # c had nothing to wait for
        line.done(d)
        await passes()
        assert turns == ["a", "b", "c", "d", "a"]
        line.done(a)
        await passes()
        line.join(b)  # after a while of nobody
        await passes()
        assert turns[5:] == ["b"]


@in_a_loop
async def test_who_is_gone_is_not_waited_for():
    turns: list[str] = []
    a, b, c = (Asking(name, turns) for name in "abc")
    async with serving() as line:
        for one in (a, b, c):
            line.join(one)
        await passes()
        assert line.leave(b)
        assert not line.leave(b)
        assert not line.leave(a)  # its turn had come
        await passes()
        assert turns == ["a", "c"]


@in_a_loop
async def test_what_takes_long_is_waited_for_a_while_only(monkeypatch):
    monkeypatch.setattr(sent_ahead, "LONG", 0.01)
    turns: list[str] = []
    async with serving() as line:
        for name in "abc":
            line.join(Asking(name, turns))
        await until(lambda: turns == ["a", "b", "c"])


@in_a_loop
async def test_between_two_there_is_time_for_whoever_comes_new():
    order: list[str] = []

    async def newcomer() -> None:  # takes several passes of the loop
        for _ in range(sent_ahead.PASSES - 1):
            await asyncio.sleep(0)
        order.append("new")

    class Bringing(Asking):
        def go_on(self) -> bool:
            self.task = asyncio.create_task(newcomer())
            return super().go_on()

    async with serving() as line:
        line.join(Bringing("a", order, answered=True))
        line.join(Asking("b", order))
        await until(lambda: "b" in order)
    assert order == ["a", "new", "b"]
