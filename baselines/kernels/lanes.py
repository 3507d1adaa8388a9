"""The least and the greatest of many numbers, in lanes that a processor can do at once.

One after the other each comparison would wait for the one before.
"""

from __future__ import annotations

import numpy as np

from deepsched.baselines.kernels.structures import inlined

LANES = 16


@inlined
def least_of(values, lanes):
    """Return the least value; `lanes` (LANES,) is room."""
    lanes[:] = np.inf
    whole = values.size - values.size % LANES
    for first in range(0, whole, LANES):
        for c in range(LANES):
            value = values[first + c]
            lanes[c] = value if value < lanes[c] else lanes[c]
    found = np.inf
    for c in range(LANES):
        found = min(found, lanes[c])
    for q in range(whole, values.size):
        found = min(found, values[q])
    return found


@inlined
def greatest_of(values, lanes):
    """Return the greatest value; `lanes` (LANES,) is room."""
    lanes[:] = -np.inf
    whole = values.size - values.size % LANES
    for first in range(0, whole, LANES):
        for c in range(LANES):
            value = values[first + c]
            lanes[c] = value if value > lanes[c] else lanes[c]
    found = -np.inf
    for c in range(LANES):
        found = max(found, lanes[c])
    for q in range(whole, values.size):
        found = max(found, values[q])
    return found
