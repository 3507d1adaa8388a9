"""The process that has slow requests worked on, each in a process of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deepsched.pipeline.serving.crew import Crew
from deepsched.pipeline.serving.reload import Reloading

if TYPE_CHECKING:
    from deepsched.pipeline.serving.settings import ServeArgs
    from deepsched.pipeline.serving.work import Ask, Reply

NICE = 10  # quick requests come first where CPUs are few


class Slow(Reloading):
    """Deals slow requests to processes, in the order in which they come."""

    def __init__(self, args: ServeArgs) -> None:
        super().__init__(args)
        self._crew = Crew(args.slow_workers, NICE)

    async def exchange(self, args: ServeArgs) -> None:
        """Answer by the network of these settings, from the next request on."""
        await self._crew.renew(args)
        self.args = args

    async def work(self, ask: Ask) -> Reply:
        """Return the reply to one request."""
        return await self._crew.work(ask)

    async def stop(self, request: str) -> bool:
        """End a request whose client is gone; return whether it was here."""
        return self._crew.stop(request)

    async def check(self) -> dict[str, Any]:
        """Return how it stands, for readiness and tests."""
        return {
            "able": self._crew.able,
            "queued": self._crew.queued,
            "pids": self._crew.pids,
            "refused": self.refused,
        }

    async def __del__(self) -> None:
        """End the processes; Serve calls this when the replica is to leave."""
        self._crew.close()
