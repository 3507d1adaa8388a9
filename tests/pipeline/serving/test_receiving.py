"""Bodies as they come in: bounded in bytes, in time, and all together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from starlette.requests import ClientDisconnect, Request

from deepsched.pipeline.serving import receiving as module
from deepsched.pipeline.serving.parcels import Packing, Parcel
from deepsched.pipeline.serving.receiving import Bodies
from deepsched.pipeline.serving.refusals import RequestError
from deepsched.pipeline.serving.settings import ServeArgs
from tests.pipeline.serving.loops import in_a_loop

if TYPE_CHECKING:
    from collections.abc import Iterable

MB = bytes(1_000_000)


class Coming:
    """A request whose chunks come as they are taken; a number is a pause, s."""

    def __init__(self, chunks: Iterable[Any], **headers: str) -> None:
        self.taken = 0
        self._coming = iter(chunks)
        pairs = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
        self.request = Request({"type": "http", "headers": pairs}, self._receive)

    async def _receive(self) -> dict[str, Any]:
        chunk = next(self._coming, None)
        while isinstance(chunk, float):
            await asyncio.sleep(chunk)
            chunk = next(self._coming, None)
        if chunk == "gone":
            return {"type": "http.disconnect"}
        self.taken += chunk is not None
        return {"type": "http.request", "body": chunk or b"", "more_body": chunk is not None}


def bodies(**settings: Any) -> Bodies:
    return Bodies(ServeArgs(**settings))


async def received(found: Bodies, coming: Coming) -> bytes | Parcel:
    return await found.receive(coming.request, Packing(None))


async def refused(found: Bodies, coming: Coming) -> RequestError:
    with pytest.raises(RequestError) as caught:
        await received(found, coming)
    return caught.value


@in_a_loop
async def test_a_body_is_its_chunks_and_counts_until_it_is_released():
    found = bodies()
    assert await received(found, Coming([b"ab", b"", b"cd"])) == b"abcd"
    assert await received(found, Coming([])) == b""
    assert await received(found, Coming([MB, MB])) == MB + MB
    assert found.held == 2_000_004
    for size in (4, 0, 2_000_000):
        found.release(size)
    assert found.held == 0


@in_a_loop
async def test_a_length_that_is_too_much_is_refused_before_a_byte_is_asked_for():
    coming = Coming([MB], content_length="64000001")
    error = await refused(bodies(), coming)
    assert (error.status, str(error), coming.taken) == (413, "request body over 64 MB", 0)


@pytest.mark.parametrize("length", ["", "-5", "abc", "9" * 30, "٣", "1.5", "+3"])
@in_a_loop
async def test_a_length_that_is_none_is_not_believed(length):
    found = bodies(max_body_mb=1)
    assert found.declared(Coming([], content_length=length).request) in (None, 3)
    assert await received(found, Coming([b"{}"], content_length=length)) == b"{}"


@in_a_loop
async def test_an_undeclared_body_is_refused_with_the_first_byte_too_many():
    found = bodies(max_body_mb=2)
    coming = Coming(MB for _ in range(1_000))
    error = await refused(found, coming)
    assert (error.status, coming.taken, found.held) == (413, 3, 0)
    assert len(await received(found, Coming([MB, MB]))) == 2_000_000


@in_a_loop
async def test_a_body_that_comes_too_slowly_is_refused_and_not_kept():
    found = bodies(body_timeout_s=0.05, min_rate_kb=1_000)
    drip = Coming(part for _ in range(10_000) for part in (b"x", 0.01))
    for coming in (Coming([b"{", 1e9]), Coming([1e9]), drip):
        error = await refused(found, coming)
        assert error.status == 408
        assert str(error).startswith("the request's body came too slowly: ")
        assert found.held == 0
    assert drip.taken < 1_000


@in_a_loop
async def test_a_slow_body_that_keeps_its_rate_may_take_as_long_as_it_takes():
    found = bodies(body_timeout_s=1.5, min_rate_kb=1)
    chunks = [part for _ in range(4) for part in (bytes(2_000), 0.5)]
    assert len(await received(found, Coming(chunks))) == 8_000


@in_a_loop
async def test_what_came_fast_buys_no_time_to_stand_still_in():
    found = bodies(body_timeout_s=0.05, min_rate_kb=1)
    assert (await refused(found, Coming([bytes(500_000), 400.0]))).status == 408


@in_a_loop
async def test_small_bodies_have_room_that_large_ones_cannot_take(monkeypatch):
    monkeypatch.setattr(module, "SMALL_HELD", 2_000_000)
    found = bodies(max_body_mb=3)
    for _ in range(4):
        await received(found, Coming([MB] * 3))
    error = await refused(found, Coming([MB] * 2))
    assert (error.status, error.headers) == (503, {"Retry-After": "1"})
    declared = Coming([MB] * 2, content_length="2000000")
    assert (await refused(found, declared)).status == 503
    assert declared.taken == 0
    for _ in range(2):
        await received(found, Coming([MB]))
    assert (await refused(found, Coming([b"{}"]))).status == 503
    assert found.held == 14_000_000
    found.release(1_000_000)
    await received(found, Coming([b"{}"]))
    found.release(3_000_000)
    assert len(await received(found, Coming([bytes(900_000)] * 2))) == 1_800_000


@in_a_loop
async def test_a_body_whose_client_goes_is_not_held():
    found = bodies()
    for chunks in ([MB, MB, "gone"], [b"{", "gone"], ["gone"]):
        with pytest.raises(ClientDisconnect):
            await received(found, Coming(chunks))
        assert found.held == 0


@in_a_loop
async def test_a_body_whose_taking_is_cancelled_is_not_held():
    found = bodies()
    task = asyncio.create_task(received(found, Coming([MB, MB, 1e9])))
    while found.held < 2_000_000:
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert found.held == 0


@in_a_loop
async def test_after_a_refusal_what_is_under_way_is_read_and_not_kept(monkeypatch):
    """So that a client that sends all before it looks sees the reason."""
    found = bodies(max_body_mb=2)
    coming = Coming([MB] * 2)
    assert await found.drain(coming.request)
    assert (coming.taken, found.held) == (2, 0)
    endless = Coming(MB for _ in range(1_000))
    assert not await found.drain(endless.request)
    assert endless.taken == 4
    monkeypatch.setattr(module, "DRAIN", 0.05)
    assert not await found.drain(Coming([b"x", 1e9]).request)
    assert not await found.drain(Coming([b"x", "gone"]).request)
    whole = Coming([b"x"])
    await received(found, whole)
    assert await found.drain(whole.request)


@in_a_loop
async def test_who_waits_to_be_told_whether_to_send_is_not_told_to():
    coming = Coming([MB], expect="100-Continue")
    assert not await bodies().drain(coming.request)
    assert coming.taken == 0
