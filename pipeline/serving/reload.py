"""Another network without a restart: what `user_config` of a `serve deploy` file may say."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepsched.baselines.errors import DeepSchedError, InvalidInput
from deepsched.model.load import load_network

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deepsched.pipeline.serving.settings import ServeArgs

CHECKPOINT = "checkpoint"
log = logging.getLogger("ray.serve")


class Reloading:
    """A part of the service whose network can be exchanged while it serves."""

    def __init__(self, args: ServeArgs) -> None:
        self.args = args
        self.refused: str | None = None  # why the last network that was given does not serve
        self._serves = False

    async def reconfigure(self, config: Mapping[str, Any]) -> None:
        """Serve by the network of a `user_config`; Serve calls this, and once at the start.

        A network that cannot serve is refused, and the one before goes on.

        Raises
        ------
        DeepSchedError
            If there is none before.
        """
        try:
            await self.exchange(with_checkpoint(self.args, config))
        except DeepSchedError as error:
            if not self._serves:
                raise
            self.refused = str(error)
            log.error("the network before goes on: %s", error)
        else:
            self.refused, self._serves = None, True

    async def exchange(self, args: ServeArgs) -> None:
        """Serve by the network of these settings from the next request on."""
        raise NotImplementedError


def with_checkpoint(args: ServeArgs, config: Mapping[str, Any]) -> ServeArgs:
    """Return the settings with the checkpoint of a `user_config`; null: the pretrained network.

    Raises
    ------
    InvalidInput
        If the configuration says something else.
    """
    unknown = sorted(set(config) - {CHECKPOINT})
    if unknown:
        raise InvalidInput(f"user_config: unknown field {unknown[0]!r}; one of: {CHECKPOINT}")
    path = config.get(CHECKPOINT)
    return args.model_copy(update={CHECKPOINT: None if path is None else Path(path)})


def check_checkpoint(path: Path | None) -> None:
    """Load a network once, to see that it can be.

    Raises
    ------
    InvalidInput
        If its path is relative (the processes that load it have other working directories), or it
        cannot be read, or its weights are not what it needs.
    """
    if path is None:
        return
    if not path.is_absolute():
        raise InvalidInput(f"checkpoint {path}: give an absolute path")
    load_network(path)  # a GPU may be on other machines only
