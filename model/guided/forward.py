"""The network `deepsched` on a CPU, compiled, without torch; the same numbers to float32 rounding.

Axes: n tasks, w width of the network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from model.guided import _kernels
from model.guided.beside import beside
from model.guided.decode import OUTPUTS
from model.guided.graph import MACHINE_FEATURES, TASK_FEATURES, graph_view, with_codes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from baselines.arrays import IntArray
    from baselines.problem import Problem
    from model.guided.graph import Float32Array, GraphView

SHARPEST = 4.0  # outputs are bounded by ±SHARPEST


def seen(
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
    view = graph_view(problem, objective, decode, machines="machine_leave.weight" in weights)
    outputs, hidden = forward(weights, view)
    if view.machines is not None:
        state = view.machines @ weights["machine_enter.weight"].T + weights["machine_enter.bias"]
        state = np.maximum(state, 0.0) @ weights["machine_leave.weight"].T
        codes = np.tanh(state + weights["machine_leave.bias"])
        view = with_codes(view, np.ascontiguousarray(codes.T, np.float64))
    return view, outputs, hidden


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
    if "recurrence.mix.bias" in weights:
        state = _recurrence(state, _within(weights, "recurrence."), view)
    for k in range(rounds_of(weights)):
        state = _round(state, _within(weights, f"rounds.{k}."), view)
    outputs = state @ weights["leave.weight"].T + weights["leave.bias"]
    bounded: Float32Array = np.float32(SHARPEST) * np.tanh(outputs / np.float32(SHARPEST))
    return bounded, state


def by_rank(view: GraphView) -> IntArray:
    """Return (n,) the tasks by falling upward rank."""
    return np.argsort(-view.rank, kind="stable")


def rounds_of(weights: Mapping[str, Float32Array]) -> int:
    """Return how many rounds of messages the weights are made for."""
    return len({key.split(".")[1] for key in weights if key.startswith("rounds.")})


def expected_shapes(weights: Mapping[str, Float32Array]) -> dict[str, tuple[int, ...]]:
    """Return what weights of this width, depth and parts have in `DeepSchedNetwork`, by name."""
    sizes = {name: value.size for name, value in weights.items()}
    width, codes = sizes.get("enter.bias", 0), sizes.get("machine_leave.bias", 0)
    layers: dict[str, tuple[int, ...]] = {
        "enter": (width, len(TASK_FEATURES)),
        "leave": (len(OUTPUTS) + codes, width),
    }
    if codes:
        layers["machine_enter"] = (width, len(MACHINE_FEATURES))
        layers["machine_leave"] = (codes, width)
    if any(name.startswith("recurrence.") for name in weights):
        layers |= {f"recurrence.{layer}": (width, width) for layer in ("gate", "fresh", "mix")}
        layers["recurrence.norm"] = (width,)
    if "times.weight" in weights:
        layers["times"] = (2, width)
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


def _recurrence(
    state: Float32Array, weights: Mapping[str, Float32Array], view: GraphView
) -> Float32Array:
    n, width = state.shape
    own, heard, order = np.empty_like(state), np.empty_like(state), by_rank(view)
    _kernels.normed(state, weights["norm.weight"], weights["norm.bias"], own)
    gates = own @ np.concatenate([weights["gate.weight"], weights["fresh.weight"]]).T
    gates += np.concatenate([weights["gate.bias"], weights["fresh.bias"]])
    half = (width + 1) // 2
    up = beside(n, _kernels.recur, gates, order[::-1].copy(), half, width, heard)
    _kernels.recur(gates, order, 0, half, heard)
    up.result()
    _kernels.add_cut_and_add(state, heard @ weights["mix.weight"].T, weights["mix.bias"])
    return state


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
