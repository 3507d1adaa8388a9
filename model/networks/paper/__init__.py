"""The network `paper`, which imitates a teacher, as the seed paper describes it."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.settings import Settings, parse_settings
from deepsched.model.network import Network
from deepsched.model.networks.paper.config import PaperConfig

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from torch import nn

    from deepsched.model.network import NetworkScheduler


def _build(config: PaperConfig) -> nn.Module:
    from deepsched.model.networks.paper.build import build_paper

    return build_paper(config)


def _scheduler(folder: Path | None, *, device: str, **options: Any) -> NetworkScheduler:
    from deepsched.model.networks.paper.scheduler import PaperScheduler

    parse_settings(Settings, options, "options of paper")  # it has none
    if folder is None:
        raise InvalidInput("there is no pretrained network 'paper'; train one")
    return PaperScheduler.load(folder, device)


NETWORK = Network(
    config=PaperConfig,
    build=_build,
    options=Settings,
    scheduler=_scheduler,
    objectives=("imitation",),
    search_space=MappingProxyType({"width": "32,64,128", "recurrent_width": "32,64,128"}),
    wants_batches=True,
    retired=MappingProxyType({}),
)
