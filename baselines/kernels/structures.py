"""What the compiled loops share: how they are compiled, and the tuples of arrays they take."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from numba import njit

if TYPE_CHECKING:
    from deepsched.baselines.arrays import FloatArray, IntArray

# error_model: a check for division by zero in every iteration would keep loops from vectorising.
jit = njit(cache=True, nogil=True, error_model="numpy")
# For what innermost loops call: passing arrays to a function costs as much as some hundred sums.
inlined = njit(cache=True, nogil=True, error_model="numpy", forceinline=True)


class EdgeRows(NamedTuple):
    """Edges grouped by one end: those of task i lie in `ptr[i]:ptr[i + 1]`."""

    ptr: IntArray  # (n + 1,)
    task: IntArray  # (m,) the other end
    data: FloatArray  # (m,) bytes


class Links(NamedTuple):
    """Transfer costs, (p, p) from row to column.

    On the diagonals, and between the slots of a node, latency is 0 and bandwidth inf, so that a
    transfer there costs exactly nothing without a branch.
    """

    latency: FloatArray
    bandwidth: FloatArray
    uniform: bool  # all pairs of machines on different nodes are linked alike
    zero_latency: bool
    node: IntArray  # (p,) the node of each machine
    grouped: bool  # some node has several machines
    far: int  # a machine on another node than the first, if there is one
