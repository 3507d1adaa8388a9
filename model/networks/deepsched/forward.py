"""The network `deepsched` on a CPU, compiled, without torch; the same numbers to float32 rounding.

Axes: n tasks, w width of the network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from deepsched.model.networks.deepsched import _forward_kernels
from deepsched.model.networks.deepsched.blas import one_blas_thread
from deepsched.model.networks.deepsched.concurrency import in_background, in_halves
from deepsched.model.networks.deepsched.decode import OUTPUTS
from deepsched.model.networks.deepsched.features import (
    TASK_FEATURES,
    graph_view,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from deepsched.baselines.arrays import FloatArray
    from deepsched.baselines.problem import Problem
    from deepsched.model.networks.deepsched.features import Float32Array, GraphView, TaskCosts

ALL = slice(None)
SHARPEST = 4.0  # outputs are bounded by ±SHARPEST


class Round(NamedTuple):
    """The weights of one round of messages, as they are multiplied."""

    norm: Float32Array  # (2, w) weight and bias
    say: Float32Array  # (w, 2 w) to parents, to children
    say_bias: Float32Array  # (2 w,)
    up_edge: Float32Array  # (w,)
    down_edge: Float32Array  # (w,)
    own: Float32Array  # (w, w)
    heard: Float32Array  # (2 w, w)
    mean: Float32Array  # (w, w)
    bias: Float32Array  # (w,)


class Layers(NamedTuple):
    """The weights of the network, as they are multiplied."""

    enter: Float32Array  # (features, w)
    enter_bias: Float32Array
    rounds: Sequence[Round]
    leave: Float32Array  # (w, heads * outputs)
    leave_bias: Float32Array

    @property
    def heads(self) -> int:
        """The number of heads."""
        return self.leave_bias.size // len(OUTPUTS)


def layers_of(weights: Mapping[str, Float32Array]) -> Layers:
    """Return weights, which are named as in `DeepSchedNetwork`, as :func:`forward` takes them."""
    rounds = [_round_of(weights, f"rounds.{k}.") for k in range(rounds_of(weights))]
    return Layers(
        enter=weights["enter.weight"].T,
        enter_bias=weights["enter.bias"],
        rounds=rounds,
        leave=weights["leave.weight"].T,
        leave_bias=weights["leave.bias"],
    )


def _round_of(weights: Mapping[str, Float32Array], prefix: str) -> Round:
    own = {key.removeprefix(prefix): value for key, value in weights.items()}
    width, mix = own["norm.weight"].size, own["mix.weight"]
    return Round(
        norm=np.stack([own["norm.weight"], own["norm.bias"]]),
        say=np.concatenate([own["up.weight"], own["down.weight"]]).T,
        say_bias=np.concatenate([own["up.bias"], own["down.bias"]]),
        up_edge=own["up_edge.weight"].ravel(),
        down_edge=own["down_edge.weight"].ravel(),
        own=mix[:, :width].T,
        heard=mix[:, width : 3 * width].T,
        mean=mix[:, 3 * width :],
        bias=own["mix.bias"],
    )


def forward_pass(
    layers: Layers,
    problem: Problem,
    objective: str = "makespan",
    decode: str = "full",
    heads: slice = ALL,
    costs: TaskCosts | None = None,
) -> tuple[GraphView, Float32Array, Float32Array]:
    """Return a problem's view for the decoder, and what `forward` says of it.

    Parameters
    ----------
    objective, decode : of `OBJECTIVES` and `DECODES`.
    heads : those that are wanted.
    costs : of the problem's ETC matrix, if they are known.
    """
    view = graph_view(problem, objective, decode, costs)
    return view, *forward(layers, view, heads)


def forward(
    layers: Layers, view: GraphView, heads: slice = ALL
) -> tuple[Float32Array, Float32Array]:
    """Return the outputs, (heads, n, outputs), and what the last layer works on, (n, w)."""
    n, width = view.n_tasks, layers.enter_bias.size
    first, last, _ = heads.indices(layers.heads)
    wanted = slice(first * len(OUTPUTS), last * len(OUTPUTS))
    # All that passes through, at once: many arrays would each be pages that were never touched.
    room = np.empty((8, n, width), np.float32)
    state = room[0]
    outputs = np.empty((n, wanted.stop - wanted.start), np.float32)

    def enter(rows: slice) -> None:
        np.matmul(view.features[rows], layers.enter, out=state[rows])
        _forward_kernels.add_and_cut(state[rows], layers.enter_bias)

    def leave(rows: slice) -> None:
        found = state[rows] @ layers.leave[:, wanted] + layers.leave_bias[wanted]
        np.multiply(np.tanh(found / np.float32(SHARPEST)), np.float32(SHARPEST), out=outputs[rows])

    with one_blas_thread():
        in_halves(n, enter)
        for weights in layers.rounds:
            _round(room, weights, view)
        in_halves(n, leave)
    by_head = outputs.reshape(n, -1, len(OUTPUTS)).transpose(1, 0, 2)
    return np.ascontiguousarray(by_head), state


def rounds_of(weights: Mapping[str, Float32Array]) -> int:
    """Return how many rounds of messages the weights are made for."""
    return len({key.split(".")[1] for key in weights if key.startswith("rounds.")})


def expected_shapes(weights: Mapping[str, Float32Array]) -> dict[str, tuple[int, ...]]:
    """Return what weights of this width, depth and heads have in `DeepSchedNetwork`, by name."""
    width = weights["enter.bias"].size if "enter.bias" in weights else 0
    heads = weights["leave.bias"].size // len(OUTPUTS) if "leave.bias" in weights else 1
    layers: dict[str, tuple[int, ...]] = {
        "enter": (width, len(TASK_FEATURES)),
        "leave": (heads * len(OUTPUTS), width),
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


def _round(room: Float32Array, weights: Round, view: GraphView) -> None:
    """Change the state (n, w), which is the first part of `room` (8, n, w)."""
    _, n, width = room.shape
    state, own, change, more = room[:4]
    both, heard = room[4:6].reshape(n, 2 * width), room[6:].reshape(n, 2 * width)
    sums: list[FloatArray] = []

    def say(rows: slice) -> None:
        sums.append(_forward_kernels.normed(state[rows], *weights.norm, own[rows]))
        np.matmul(own[rows], weights.say, out=both[rows])
        both[rows] += weights.say_bias

    in_halves(n, say)
    edges = (view.child_ptr, view.children, view.weight)
    others = in_background(n, _forward_kernels.hear_children, both, *edges, weights.up_edge, heard)
    _forward_kernels.hear_parents(both, *edges, weights.down_edge, heard)
    others.result()
    # Which of two halves was ready first makes no difference to their sum.
    mean = (sum(sums[1:], sums[0]) / n).astype(np.float32)
    bias = weights.bias + weights.mean @ mean

    def mix(rows: slice) -> None:
        np.matmul(own[rows], weights.own, out=change[rows])
        np.matmul(heard[rows], weights.heard, out=more[rows])
        change[rows] += more[rows]
        _forward_kernels.add_cut_and_add(state[rows], change[rows], bias)

    in_halves(n, mix)
