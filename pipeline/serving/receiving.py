"""A request's body, chunk by chunk: bounded in bytes, in time, and in what all bodies take."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect

from deepsched.pipeline.serving.refusals import RequestError, busy
from deepsched.pipeline.serving.settings import KILOBYTE

if TYPE_CHECKING:
    from starlette.requests import Request

    from deepsched.pipeline.serving.parcels import Packing, Parcel
    from deepsched.pipeline.serving.settings import ServeArgs

SMALL = 1_000_000  # bytes; small bodies have room of their own, which large ones cannot take
SMALL_HELD = 256_000_000  # bytes of small bodies that one gateway holds
BODIES_HELD = 4  # bodies of the largest size that one gateway holds beside them
DRAINED = 1_000_000  # bytes that are read on after a refusal, beyond what is declared
DRAIN = 5.0  # s for it


class Bodies:
    """The bodies that one gateway holds."""

    def __init__(self, args: ServeArgs) -> None:
        self._args = args
        self._small = self._large = 0

    @property
    def held(self) -> int:
        """Bytes of all bodies of requests that are not answered yet."""
        return self._small + self._large

    def declared(self, request: Request) -> int | None:
        """Return the length that a request says its body has, before any of it is asked for.

        Raises
        ------
        RequestError
            413, if that is too much: whoever waits for "100 Continue" then sends none of it.
        """
        text = request.headers.get("content-length", "")
        length = int(text) if text.isdecimal() and len(text) < 20 else None
        if length is not None and length > self._args.max_body:
            raise self._too_large()
        return length

    async def receive(self, request: Request, packing: Packing) -> bytes | Parcel:
        """Return the body; it counts as held until :meth:`release`.

        Parameters
        ----------
        packing : where its parts go as they come.

        Raises
        ------
        RequestError
            413 or 503 as soon as it is seen to be too much, 408 where it comes too slowly.
        """
        args = self._args
        declared = self.declared(request)
        begin, rate = asyncio.get_running_loop().time(), args.min_rate_kb * KILOBYTE
        size = 0
        try:
            if declared is not None and declared > SMALL:
                self._check_room(declared)
            # One timer, put off with each chunk.
            async with asyncio.timeout(args.body_timeout_s) as timer:
                async for chunk in request.stream():
                    if size + len(chunk) > args.max_body:
                        raise self._too_large()
                    self._check_room(len(chunk), size)
                    self._count(size, size + len(chunk))
                    size += len(chunk)
                    packing.add(chunk)
                    # What came fast buys no time to stand still in.
                    now = asyncio.get_running_loop().time()
                    owed = begin + size / rate
                    timer.reschedule(min(owed, now) + args.body_timeout_s)
        except TimeoutError:
            self.release(size)
            packing.drop()
            took = asyncio.get_running_loop().time() - begin
            raise RequestError(
                408,
                f"the request's body came too slowly: {size} bytes in {took:.0f} s",
            ) from None
        except BaseException:
            self.release(size)
            packing.drop()
            raise
        return packing.done()

    def release(self, size: int) -> None:
        """Count a body no more."""
        self._count(size, 0)

    async def drain(self, request: Request) -> bool:
        """Read on for a while without keeping anything; return whether all of it was read.

        Many clients look at the answer only after they have sent all, and would see a broken
        connection instead of the reason.
        """
        if request.headers.get("expect", "").lower() == "100-continue":
            return False  # it waits to be told whether to send it
        limit, size = self._args.max_body + DRAINED, 0
        try:
            async with asyncio.timeout(DRAIN):
                async for chunk in request.stream():
                    size += len(chunk)
                    if size > limit:
                        return False
        except (ClientDisconnect, TimeoutError):
            return False
        except RuntimeError:  # it was read before
            return True
        return True

    def _count(self, before: int, now: int) -> None:
        if before <= SMALL:
            self._small -= before
        else:
            self._large -= before
        if now <= SMALL:
            self._small += now
        else:
            self._large += now

    def _check_room(self, more: int, size: int = 0) -> None:
        large = size + more > SMALL
        most = BODIES_HELD * self._args.max_body if large else SMALL_HELD
        if (self._large if large else self._small) + more > most:
            raise busy("the service holds too many request bodies")

    def _too_large(self) -> RequestError:
        return RequestError(413, f"request body over {self._args.max_body_mb:g} MB")
