"""What the compiled loops share: how they are compiled, and the tuples of arrays they take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from numba import njit

from deepsched.baselines.kernels.code_cache import CodeCache

if TYPE_CHECKING:
    from collections.abc import Callable

    from deepsched.baselines.arrays import FloatArray, IntArray


def jit(function: Callable[..., Any]) -> Any:
    """Compile a loop when it is first called, or take what an earlier process compiled."""
    return _kept(_compiled(function))


def inlined(function: Callable[..., Any]) -> Any:
    """Do the same for what innermost loops call.

    Passing arrays to a function costs as much as some hundred sums.
    """
    return _kept(_inlined(function))


# error_model: a check for division by zero in every iteration would keep loops from vectorising.
_compiled = njit(nogil=True, error_model="numpy")
_inlined = njit(nogil=True, error_model="numpy", forceinline=True)


def _kept(dispatcher: Any) -> Any:
    if hasattr(dispatcher, "_cache"):  # not where NUMBA_DISABLE_JIT leaves a plain function
        dispatcher._cache = CodeCache(dispatcher.py_func)  # noqa: SLF001 - as enable_caching does
    return dispatcher


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
