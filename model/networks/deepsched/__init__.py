"""The network `deepsched`: HEFT's list scheduling, biased by four outputs a task."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from deepsched.model.network import Network
from deepsched.model.networks.deepsched.config import DeepSchedConfig
from deepsched.model.networks.deepsched.options import DeepSchedOptions

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from torch import nn

    from deepsched.model.learning import Learner
    from deepsched.model.network import NetworkScheduler


def _build(config: DeepSchedConfig) -> nn.Module:
    from deepsched.model.networks.deepsched.network import DeepSchedNetwork

    return DeepSchedNetwork(config)


def _scheduler(folder: Path | None, *, device: str, **options: Any) -> NetworkScheduler:
    from deepsched.model.networks.deepsched.scheduler import DeepSchedScheduler

    # Compiled for the CPU, whatever the device of other networks.
    return DeepSchedScheduler.load(folder, **options)


def _policy_gradient(config: DeepSchedConfig, *, rollouts: int, **_: Any) -> Learner:
    from deepsched.model.networks.deepsched.learners import PolicyGradient

    return PolicyGradient(decode=config.decode, rollouts=rollouts)


def _imitation(config: DeepSchedConfig, **_: Any) -> Learner:
    from deepsched.model.networks.deepsched.learners import Imitation

    return Imitation(decode=config.decode)


def _from_module(module: nn.Module, config: DeepSchedConfig, **options: Any) -> NetworkScheduler:
    from deepsched.model.networks.deepsched.scheduler import DeepSchedScheduler

    weights = {key: value.detach().cpu().numpy() for key, value in module.state_dict().items()}
    # One pass, of which training and its history speak.
    chosen = DeepSchedOptions(decode=config.decode, **{"samples": 1, **options})
    return DeepSchedScheduler(weights, chosen)


def _compile_parts(module: nn.Module) -> None:
    for one in module.get_submodule("rounds").children():
        one.compile(dynamic=True)


NETWORK = Network(
    config=DeepSchedConfig,
    build=_build,
    options=DeepSchedOptions,
    scheduler=_scheduler,
    objectives=MappingProxyType({"policy-gradient": _policy_gradient, "imitation": _imitation}),
    from_module=_from_module,
    training=MappingProxyType(
        {"learning_rate": 1e-3, "schedule": "root", "ema": 0.02, "teacher": "best-of"}
    ),
    search_space=MappingProxyType(
        {
            "learning_rate": "3e-4..1e-2",
            "schedule": "constant,root,cosine",
            "ema": "0.005..0.1",
            "rollouts": "16,32,64",
            "network_options.width": "16,32,64",
            "network_options.rounds": "1,2,3",
        }
    ),
    wants_batches=False,
    compile_parts=_compile_parts,
    # Measured and without a gain, see EXPERIMENTS.md.
    retired=MappingProxyType({"recurrence": False, "machine_code": 0, "times": False}),
)
