"""The float nearest to a decimal number, for nearly all of them.

References
----------
Clinger, How to read floating point numbers accurately, doi:10.1145/93548.93557: few digits and a
small power of ten, of which a float holds both. Lemire, Number parsing at a gigabyte per second,
doi:10.1002/spe.2984: one product of 64 by 64 bits, which says itself where it is not exact enough.
"""

from __future__ import annotations

import numpy as np

from deepsched.baselines.kernels.structures import inlined, jit

LARGEST, MOST_DIGITS = 308, 19  # powers of ten in the table, at either sign; digits in 64 bits
EXACT, EXACT_POWER = np.uint64(2**53), 22  # a float holds whole numbers, and powers of ten, up to


def _leading_bits(power: int) -> int:
    """Return the first 64 bits of a power of ten, the others cut off."""
    tens: int = 10 ** abs(power)
    value = tens << 64 if power >= 0 else (1 << (tens.bit_length() + 64)) // tens
    return value >> (value.bit_length() - 64)


LEADING = np.array([_leading_bits(k) for k in range(-LARGEST, LARGEST + 1)], np.uint64)
TENS = np.array([float(10**k) for k in range(EXACT_POWER + 1)])
HALF, LOW = np.uint64(32), np.uint64(0xFFFFFFFF)
ONE, NINE, TOP, WIDTH, NINE_BITS = (np.uint64(k) for k in (1, 9, 63, 64, 0x1FF))
FRACTION, INFINITE = np.uint64(52), np.uint64(0x7FF)


@inlined
def _high_product(a, b):
    """Return the upper 64 bits of a product."""
    a_high, a_low, b_high, b_low = a >> HALF, a & LOW, b >> HALF, b & LOW
    crossed, other = a_high * b_low, a_low * b_high
    middle = ((a_low * b_low) >> HALF) + (crossed & LOW) + (other & LOW)
    return a_high * b_high + (crossed >> HALF) + (other >> HALF) + (middle >> HALF)


@inlined
def _leading_zeros(value):
    """Return how many bits a number other than 0 leaves unused."""
    zeros = np.uint64(0)
    for step in (32, 16, 8, 4, 2, 1):
        bits = np.uint64(step)
        if value >> (WIDTH - bits) == 0:
            value <<= bits
            zeros += bits
    return zeros


@jit
def nearest(digits, power):
    """Return the float nearest to digits · 10^power, ties to even; NaN where that takes more work.

    `digits` has 64 bits. It is NaN too where the float would be infinite or subnormal.
    """
    if digits == 0:
        return 0.0
    if digits <= EXACT and -EXACT_POWER <= power <= EXACT_POWER:
        if power < 0:
            return np.float64(digits) / TENS[-power]
        return np.float64(digits) * TENS[power]
    if power < -LARGEST or power > LARGEST:
        return np.nan
    zeros = _leading_zeros(digits)
    digits <<= zeros
    leading = LEADING[power + LARGEST]
    high, low = _high_product(digits, leading), digits * leading
    # What was cut off the power is less than 1, so of the product less than `digits`: it matters
    # where it could carry up to the bits that are kept.
    if high & NINE_BITS == NINE_BITS and low + digits < low:
        return np.nan
    top = high >> TOP
    kept = high >> (top + NINE)  # 54 bits, the last one to be rounded
    if low == 0 and high & NINE_BITS == 0 and kept & np.uint64(3) == 1:
        return np.nan  # maybe half-way
    # 217706 / 2^16 is log2(10), near enough: the exponent of the power.
    exponent = ((217706 * power) >> 16) + 64 + 1023 - np.int64(zeros) - np.int64(ONE ^ top)
    kept = (kept + (kept & ONE)) >> ONE
    if kept >> np.uint64(53) > 0:
        kept >>= ONE
        exponent += 1
    if exponent <= 0 or exponent >= 0x7FF:
        return np.nan
    bits = np.uint64(exponent) << FRACTION | (kept & ((ONE << FRACTION) - ONE))
    return np.uint64(bits).view(np.float64)
