"""How good a network is while it trains: decoded schedules against HEFT's, on problems apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from deepsched.baselines.objectives import MEASURES
from deepsched.baselines.settings import setting_infos
from deepsched.model.learning import SMALLEST
from deepsched.model.networks import get_network
from deepsched.pipeline.training.history import SCORE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from deepsched.model.learning import TrainingItem
    from deepsched.model.network import NetworkScheduler
    from deepsched.pipeline.training.config import TrainConfig
    from deepsched.pipeline.training.peers import Peers


def validated(
    make: Callable[..., NetworkScheduler],
    items: Sequence[TrainingItem],
    config: TrainConfig,
    peers: Peers,
) -> tuple[dict[str, float | None], dict[str, int]]:
    """Return the mean ratios to HEFT, guarded and not, and the score; None without a problem.

    With them comes the sample of the largest ratio, by the ratio's name.

    The score is the ratio of the objective that is trained for, and the mean where both are. It is
    guarded but where the network imitates, since a guard would hide how well.

    Parameters
    ----------
    make : a scheduler of the network, of options such as `objective`.
    """
    options = get_network(config.network).options
    names = tuple(MEASURES)
    schedulers = {name: make(**_fitting(options, name)) for name in names}
    rows: dict[int, np.ndarray] = {}
    for k in range(peers.rank, len(items), peers.world):
        item = items[k]
        reference = item.imitated()  # HEFT's
        rows[k] = np.array(
            [
                MEASURES[name](item.problem, schedulers[name](item.problem))
                / max(MEASURES[name](item.problem, reference), SMALLEST)
                for name in names
            ]
        )
    table = peers.together(rows, len(items), len(names))
    found: dict[str, float | None] = {}
    worst: dict[str, int] = {}
    for k, name in enumerate(names):
        ratios = table[:, k]
        found[f"val_{name}"] = float(ratios.mean()) if len(items) else None
        found[f"val_{name}_guarded"] = float(np.minimum(ratios, 1.0).mean()) if len(items) else None
        if len(items):
            worst[f"val_{name}"] = items[int(ratios.argmax())].sample_id
    share = float(config.turnaround or 0)
    suffix = "" if config.objective == "imitation" else "_guarded"
    wanted = {"makespan": share < 1, "turnaround": share > 0}
    parts = [found[f"val_{name}{suffix}"] for name, is_wanted in wanted.items() if is_wanted]
    numbers = [part for part in parts if part is not None]
    found[SCORE] = sum(numbers) / len(numbers) if numbers else None
    return found, worst


def _fitting(options: Any, objective: str) -> dict[str, Any]:
    """Return the options of one unguarded pass for an objective, as far as there are any."""
    known = {info.name for info in setting_infos(options)}
    wanted = {"objective": objective, "guard": False, "threads": 1}
    return {name: value for name, value in wanted.items() if name in known}
