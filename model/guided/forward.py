"""The network `deepsched` on a CPU, compiled, without torch; the same numbers to float32 rounding.

Axes: n tasks, w width of the network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from model.guided import _kernels
from model.guided.beside import beside

if TYPE_CHECKING:
    from collections.abc import Mapping

    from model.guided.graph import Float32Array, GraphView

SHARPEST = 4.0  # outputs are bounded by ±SHARPEST


def forward(
    weights: Mapping[str, Float32Array], view: GraphView
) -> tuple[Float32Array, Float32Array]:
    """Return the outputs, (n, outputs), and what the last layer works on, (n, w).

    Parameters
    ----------
    weights : by their names in `DeepSchedNetwork`.
    """
    state = view.features @ weights["enter.weight"].T
    _kernels.add_and_cut(state, weights["enter.bias"])
    for k in range(rounds_of(weights)):
        part = {
            key.removeprefix(f"rounds.{k}."): value
            for key, value in weights.items()
            if key.startswith(f"rounds.{k}.")
        }
        state = _round(state, part, view)
    outputs = state @ weights["leave.weight"].T + weights["leave.bias"]
    bounded: Float32Array = np.float32(SHARPEST) * np.tanh(outputs / np.float32(SHARPEST))
    return bounded, state


def rounds_of(weights: Mapping[str, Float32Array]) -> int:
    """Return how many rounds of messages the weights are made for."""
    return len({key.split(".")[1] for key in weights if key.startswith("rounds.")})


def weight_names(rounds: int) -> set[str]:
    """Return the names that the weights of so many rounds have in `DeepSchedNetwork`."""
    layers = {"enter", "leave"} | {
        f"rounds.{k}.{layer}" for k in range(rounds) for layer in ("norm", "up", "down", "mix")
    }
    edges = {f"rounds.{k}.{way}_edge.weight" for k in range(rounds) for way in ("up", "down")}
    return edges | {f"{layer}.{part}" for layer in layers for part in ("weight", "bias")}


def _round(
    state: Float32Array, weights: Mapping[str, Float32Array], view: GraphView
) -> Float32Array:
    n, width = state.shape
    # From numpy, which asks for large pages.
    own, heard = np.empty_like(state), np.empty((n, 2 * width), np.float32)
    mean = _kernels.normed(state, weights["norm.weight"], weights["norm.bias"], own)
    mix = weights["mix.weight"]
    both = own @ np.concatenate([weights["up.weight"], weights["down.weight"]]).T
    both += np.concatenate([weights["up.bias"], weights["down.bias"]])
    edges = (view.child_ptr, view.children, view.weight)
    up, down = weights["up_edge.weight"].ravel(), weights["down_edge.weight"].ravel()
    others = beside(n, _kernels.hear_children, both, *edges, up, heard)
    _kernels.hear_parents(both, *edges, down, heard)
    change = own @ mix[:, :width].T
    others.result()
    change += heard @ mix[:, width : 3 * width].T
    _kernels.add_cut_and_add(state, change, weights["mix.bias"] + mix[:, 3 * width :] @ mean)
    return state
