"""Random numbers inside compiled loops, from a state of one word that belongs to a thread."""

from __future__ import annotations

import numpy as np

from deepsched.baselines.kernels.structures import jit


@jit
def word(state):
    """Return 64 random bits and advance `state` (1,) uint64: xorshift64*, Vigna (2016)."""
    x = state[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    state[0] = x
    return x * np.uint64(2685821657736338717)


@jit
def uniform(state):
    """Return a number in [0, 1)."""
    return (word(state) >> np.uint64(11)) * 2.0**-53


@jit
def normal(state):
    """Return a standard normal number (Box and Muller)."""
    radius = np.sqrt(-2.0 * np.log(1.0 - uniform(state)))
    return radius * np.cos(2.0 * np.pi * uniform(state))


@jit
def nearly_normal(state):
    """Return a number of mean 0 and variance 1, a tenth as dear: four uniform ones added up."""
    bits = word(state)
    part = np.uint64(0xFFFF)
    total = bits & part
    total += (bits >> np.uint64(16)) & part
    total += (bits >> np.uint64(32)) & part
    total += bits >> np.uint64(48)
    return (np.float64(total) / 65536.0 - 2.0) * 1.7320508075688772
