"""The network `deepsched` on a CPU, compiled, without torch; the same numbers to float32 rounding.

Axes: n tasks, w width of the network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deepsched.model.networks.deepsched import _forward_kernels
from deepsched.model.networks.deepsched.blas import one_blas_thread
from deepsched.model.networks.deepsched.concurrency import in_background
from deepsched.model.networks.deepsched.decode import OUTPUTS
from deepsched.model.networks.deepsched.features import (
    TASK_FEATURES,
    graph_view,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deepsched.baselines.problem import Problem
    from deepsched.model.networks.deepsched.features import Float32Array, GraphView

SHARPEST = 4.0  # outputs are bounded by ±SHARPEST


def forward_pass(
    weights: Mapping[str, Float32Array],
    problem: Problem,
    objective: str = "makespan",
    decode: str = "full",
) -> tuple[GraphView, Float32Array, Float32Array]:
    """Return a problem's view for the decoder, and what `forward` says of it.

    Parameters
    ----------
    weights : by their names in `DeepSchedNetwork`.
    objective, decode : of `OBJECTIVES` and `DECODES`.
    """
    view = graph_view(problem, objective, decode)
    return view, *forward(weights, view)


def forward(
    weights: Mapping[str, Float32Array], view: GraphView
) -> tuple[Float32Array, Float32Array]:
    """Return the outputs, (n, outputs), and what the last layer works on, (n, w).

    Parameters
    ----------
    weights : by their names in `DeepSchedNetwork`.
    """
    n, width = view.n_tasks, weights["enter.bias"].size
    # All that passes through, at once: many arrays would each be pages that were never touched.
    room = np.empty((8, n, width), np.float32)
    state = room[0]
    with one_blas_thread():
        np.matmul(view.features, weights["enter.weight"].T, out=state)
        _forward_kernels.add_and_cut(state, weights["enter.bias"])
        for k in range(rounds_of(weights)):
            _round(room, _within(weights, f"rounds.{k}."), view)
        outputs = state @ weights["leave.weight"].T + weights["leave.bias"]
    bounded: Float32Array = np.float32(SHARPEST) * np.tanh(outputs / np.float32(SHARPEST))
    return bounded, state


def rounds_of(weights: Mapping[str, Float32Array]) -> int:
    """Return how many rounds of messages the weights are made for."""
    return len({key.split(".")[1] for key in weights if key.startswith("rounds.")})


def expected_shapes(weights: Mapping[str, Float32Array]) -> dict[str, tuple[int, ...]]:
    """Return what weights of this width and depth have in `DeepSchedNetwork`, by name."""
    width = weights["enter.bias"].size if "enter.bias" in weights else 0
    layers: dict[str, tuple[int, ...]] = {
        "enter": (width, len(TASK_FEATURES)),
        "leave": (len(OUTPUTS), width),
    }
    found: dict[str, tuple[int, ...]] = {}
    for k in range(rounds_of(weights)):
        layers |= {f"rounds.{k}.{layer}": (width, width) for layer in ("up", "down")}
        layers[f"rounds.{k}.mix"] = (width, 4 * width)
        found |= {f"rounds.{k}.{way}_edge.weight": (width, 1) for way in ("up", "down")}
        layers[f"rounds.{k}.norm"] = (width,)
    for layer, shape in layers.items():
        found |= {f"{layer}.weight": shape, f"{layer}.bias": shape[:1]}
    return found


def _within(weights: Mapping[str, Float32Array], prefix: str) -> dict[str, Float32Array]:
    return {
        key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)
    }


def _round(room: Float32Array, weights: Mapping[str, Float32Array], view: GraphView) -> None:
    """Change the state (n, w), which is the first part of `room` (8, n, w)."""
    _, n, width = room.shape
    state, own, change, more = room[:4]
    both, heard = room[4:6].reshape(n, 2 * width), room[6:].reshape(n, 2 * width)
    mean = _forward_kernels.normed(state, weights["norm.weight"], weights["norm.bias"], own)
    mix = weights["mix.weight"]
    np.matmul(own, np.concatenate([weights["up.weight"], weights["down.weight"]]).T, out=both)
    both += np.concatenate([weights["up.bias"], weights["down.bias"]])
    edges = (view.child_ptr, view.children, view.weight)
    up, down = weights["up_edge.weight"].ravel(), weights["down_edge.weight"].ravel()
    others = in_background(n, _forward_kernels.hear_children, both, *edges, up, heard)
    _forward_kernels.hear_parents(both, *edges, down, heard)
    np.matmul(own, mix[:, :width].T, out=change)
    others.result()
    np.matmul(heard, mix[:, width : 3 * width].T, out=more)
    change += more
    _forward_kernels.add_cut_and_add(
        state, change, weights["mix.bias"] + mix[:, 3 * width :] @ mean
    )
