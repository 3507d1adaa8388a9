"""One pass over the bytes of a JSON text that counts what a parser would build from them."""

from __future__ import annotations

import numpy as np

from deepsched.baselines.kernels.structures import jit

DIGIT_0, DIGIT_9, LONG_NUMBER = 48, 57, 19  # digits that may be more than 64 bits
QUOTE, BACKSLASH, COLON, COMMA, POINT, LETTER_E = 34, 92, 58, 44, 46, 101
FEW = 12  # keys of an object that are compared with each other one by one
OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT = 91, 93, 123, 125
# What `count` returns beside its counts.
WITHIN, TOO_MANY_VALUES, TOO_MANY_OBJECTS, TOO_DEEP = 0, 1, 2, 3


@jit
def _in_a_float(text, before, after):
    """Return whether the digits between the two places are part of a number with a point."""
    if before >= 0 and text[before] == POINT:
        return True
    while after < text.size and DIGIT_0 <= text[after] <= DIGIT_9:
        after += 1
    return after < text.size and (text[after] == POINT or text[after] | 32 == LETTER_E)


@jit
def _enter(table, mask, key, owner):
    """Put a key of an object into the table; return whether it was there already."""
    word = (key ^ (owner * np.uint64(0xBF58476D1CE4E5B9))) | np.uint64(1)
    word *= np.uint64(0x94D049BB133111EB)
    place = (word >> np.uint64(20)) & mask
    while table[place] != 0:
        if table[place] == word:
            return True
        place = (place + np.uint64(1)) & mask
    table[place] = word
    return False


@jit
def count(text, max_values, max_objects, max_depth, table, seed):
    """Return (verdict, values, objects, depth, suspect) of a text, until one is above its limit.

    `suspect` says that a key may stand twice in one object, or is written with escapes, or that a
    whole number may have more than 64 bits; the keys' hashes go into `table` (a power of two, all
    0, more than twice as large as there are keys). Whether the text is JSON is not checked: that is
    the parser's part.
    """
    mask = np.uint64(table.size - 1)
    owner = np.zeros(max_depth + 1, np.uint64)  # which object is open at each depth
    # Its first keys, and how many there were: most objects have no more, and the table is as large
    # as the text, so that looking into it waits for memory.
    first, keys = np.empty((max_depth + 1, FEW), np.uint64), np.zeros(max_depth + 1, np.int64)
    values, members, objects, depth = 0, 0, 0, 0
    suspect, escaped = False, False
    key = np.uint64(0)
    digits = 0
    i, n = 0, text.size
    while i < n:
        byte = text[i]
        if DIGIT_0 <= byte <= DIGIT_9:
            digits += 1
            if digits >= LONG_NUMBER:
                # A decimal place, before or after, makes it a float, of whatever length.
                suspect = suspect or not _in_a_float(text, i - digits, i + 1)
            i += 1
            continue
        digits = 0
        if byte == QUOTE:
            escaped = False
            key = seed
            i += 1
            while i < n and text[i] != QUOTE:
                if text[i] == BACKSLASH:
                    escaped = True
                    i += 1
                    if i >= n:
                        break
                key = (key ^ np.uint64(text[i])) * np.uint64(0x9E3779B97F4A7C15)
                key ^= key >> np.uint64(29)
                i += 1
        elif byte == COLON:
            members += 1
            if members > max_values:
                return TOO_MANY_VALUES, values, objects, depth, suspect
            if escaped:
                suspect = True
            if keys[depth] < FEW:
                for k in range(keys[depth]):
                    suspect = suspect or first[depth, k] == key
                first[depth, keys[depth]] = key
            else:
                if keys[depth] == FEW:
                    for k in range(FEW):
                        _enter(table, mask, first[depth, k], owner[depth])
                suspect = _enter(table, mask, key, owner[depth]) or suspect
            keys[depth] += 1
        elif byte == COMMA:
            values += 1
            if values > max_values:
                return TOO_MANY_VALUES, values, objects, depth, suspect
        elif byte == OPEN_OBJECT or byte == OPEN_LIST:
            objects += 1
            values += 1
            depth += 1
            if depth > max_depth:
                return TOO_DEEP, values, objects, depth, suspect
            if objects > max_objects:
                return TOO_MANY_OBJECTS, values, objects, depth, suspect
            owner[depth] = np.uint64(objects)
            keys[depth] = 0
        elif byte == CLOSE_OBJECT or byte == CLOSE_LIST:
            if depth > 0:
                depth -= 1
        i += 1
    return WITHIN, values, objects, depth, suspect
