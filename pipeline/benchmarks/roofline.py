"""What this machine could do, on one thread, and what a computation asks of it.

The attainable rate of a computation is the peak rate of multiplying matrices, or what the memory's
bandwidth allows if every operation reads its inputs from memory and writes its result there,
whichever is less. Small tensors stay in caches, so that a computation on them may do better.

References
----------
Williams, Waterman, Patterson (2009), doi:10.1145/1498765.1498785.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils import _pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from deepsched.model.threads import one_thread

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = 1.0  # of each measurement, of which the best repetition counts
MATRIX = 1024  # rows and columns of the matrices that are multiplied
COPIED = 256_000_000  # bytes, far more than caches hold


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """Rates of one thread: float32 operations and bytes a second."""

    flops: float
    bandwidth: float

    def attainable(self, flops: float, bytes_: float) -> float:
        """Return the float32 operations a second that a computation of so many can reach."""
        return min(self.flops, self.bandwidth * flops / bytes_)


def measure_machine() -> Machine:
    """Time a product of matrices and a copy, the best of some."""
    a, b = torch.rand(MATRIX, MATRIX), torch.rand(MATRIX, MATRIX)
    source, target = (torch.zeros(COPIED // 4) for _ in range(2))
    with one_thread():
        product = _best(lambda: torch.matmul(a, b))
        copy = _best(lambda: target.copy_(source))
    return Machine(flops=2 * MATRIX**3 / product, bandwidth=2 * COPIED / copy)


def _best(work: Callable[[], object]) -> float:
    """Return the least CPU seconds of this thread, which others on the machine disturb little."""
    best, end = math.inf, time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        begin = time.thread_time()
        work()
        best = min(best, time.thread_time() - begin)
    return best


class Work(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what runs within it, backward passes too.

    Attributes
    ----------
    flops : of products of matrices, convolutions and attention, two for a multiplication and an
        addition, as `torch.utils.flop_counter` counts them; a GRU on a CPU consists of such
        products. Operations element by element count for none.
    bytes : of the inputs and results of all operations but views.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and count it."""
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if not func.is_view:
            tensors = [
                one for one in _pytree.tree_leaves((args, kwargs, out)) if isinstance(one, Tensor)
            ]
            self.bytes += sum(one.numel() * one.element_size() for one in tensors)
        count = flop_registry.get(func.overloadpacket)
        if count is not None:
            self.flops += int(count(*args, **kwargs, out_val=out))
        return out
