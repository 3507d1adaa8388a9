"""Array aliases and the one way in which values of this package freeze their arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


def frozen_float(values: ArrayLike, shape: tuple[int, ...]) -> FloatArray:
    """Return a read-only, C-contiguous float64 array of `shape`, broadcasting a scalar."""
    array = np.asarray(values, dtype=np.float64)
    if array.shape != shape:
        array = np.broadcast_to(array, shape)
    return freeze(array)


def frozen_int(values: ArrayLike) -> IntArray:
    """Return a read-only, C-contiguous int64 array."""
    return freeze(np.asarray(values, dtype=np.int64))


def freeze(array: NDArray[Any]) -> NDArray[Any]:
    """Return `array` contiguous and read-only; a writable one is copied, never locked."""
    contiguous = np.ascontiguousarray(array)
    if contiguous.flags.writeable:
        if contiguous is array or contiguous.base is not None:
            contiguous = contiguous.copy()
        contiguous.flags.writeable = False
    return contiguous
