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

    from deepsched.model.learning import Learner
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


def _imitation(config: PaperConfig, *, mse_weight: float, **_: Any) -> Learner:
    from deepsched.model.networks.paper.learner import PaperImitation

    return PaperImitation(mse_weight=mse_weight)


def _from_module(module: nn.Module, config: PaperConfig, **options: Any) -> NetworkScheduler:
    from deepsched.model.networks.paper.scheduler import NAME, PaperScheduler

    return PaperScheduler(module, NAME, device=next(module.parameters()).device)


def _compile_parts(module: nn.Module) -> None:
    from deepsched.model.networks.paper.build import compile_parts

    compile_parts(module)


NETWORK = Network(
    config=PaperConfig,
    build=_build,
    options=Settings,
    scheduler=_scheduler,
    objectives=MappingProxyType({"imitation": _imitation}),
    from_module=_from_module,
    training=MappingProxyType(
        {"learning_rate": 4e-3, "schedule": "constant", "ema": 1.0, "teacher": "heft"}
    ),
    search_space=MappingProxyType(
        {
            "learning_rate": "5e-4..1e-2",
            "schedule": "constant,root,cosine",
            "mse_weight": "0.1..1000.0",
            "tasks_per_micro_batch": "512,1024,2048",
            "problems_per_micro_batch": "4,8,16",
            "network_options.width": "32,64,128",
            "network_options.recurrent_width": "32,64,128",
        }
    ),
    wants_batches=True,
    compile_parts=_compile_parts,
    retired=MappingProxyType({}),
)
