"""The process that works on quick requests: several threads, several requests in one hop."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from deepsched.pipeline.serving.networks import Networks
from deepsched.pipeline.serving.reload import Reloading
from deepsched.pipeline.serving.work import Ask, Reply, warm_up, work_together

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deepsched.pipeline.serving.settings import ServeArgs


class Quick(Reloading):
    """Runs the compiled schedulers and the network on requests of some milliseconds each."""

    def __init__(self, args: ServeArgs) -> None:
        super().__init__(args)
        self._threads = ThreadPoolExecutor(args.threads)
        self._networks: Networks | None = None

    async def exchange(self, args: ServeArgs) -> None:
        """Answer by the network of these settings, from the next request on."""

        def loaded() -> Networks:
            networks = Networks(args.checkpoint, args.device)
            warm_up(networks, args)
            return networks

        self._networks = await asyncio.get_running_loop().run_in_executor(None, loaded)
        self.args = args

    async def work(self, asks: Sequence[Ask]) -> list[Reply]:
        """Return the replies to the requests of a hop, in their order."""
        assert self._networks is not None
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, work_together, asks, self._networks, self.args
        )

    async def check(self) -> dict[str, Any]:
        """Return what is served, for readiness and `/v1/models`."""
        assert self._networks is not None
        return {
            "able": True,
            "default": self._networks.default,
            "schedulers": self._networks.names,
            "models": self._networks.models(),
            "refused": self.refused,
        }
