"""The tasks and edges of a plain document of our own format, from its bytes to columns.

Plain is less than JSON: no escape, no key that is unknown, twice or missing, no value of another
kind. Whatever is not plain is left to others, who say what it is or what is wrong with it.
"""

from __future__ import annotations

import numpy as np

from deepsched.baselines.kernels.structures import inlined, jit
from deepsched.pipeline.serving._decimal_kernels import MOST_DIGITS, nearest

TAB, NEWLINE, RETURN, SPACE, QUOTE, BACKSLASH = 9, 10, 13, 32, 34, 92
COMMA, COLON, OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT = 44, 58, 91, 93, 123, 125
PLUS, MINUS, POINT, DIGIT_0, DIGIT_9, LETTER_E = 43, 45, 46, 48, 57, 101
NULL = (110, 117, 108, 108)
LONGEST_KEY = 8  # bytes, so that a key is a number of 64 bits


def _word(key: str) -> int:
    return int.from_bytes(key.encode(), "big")


NO_KEY = 0
TASKS, EDGES = _word("tasks"), _word("edges")
ID, ETC, WORK = _word("id"), _word("etc"), _word("work")
ARRIVAL, PRIORITY, MEMORY = _word("arrival"), _word("priority"), _word("memory")
FROM, TO, BYTES = _word("from"), _word("to"), _word("bytes")
# A set of bits: what an entry has.
HAS_ID, HAS_ETC, HAS_WORK, HAS_ARRIVAL, HAS_PRIORITY, HAS_MEMORY = 1, 2, 4, 8, 16, 32
HAS_FROM, HAS_TO, HAS_BYTES = 1, 2, 4

TEN, NINE, FAR = np.uint64(10), np.uint64(9), 1 << 40  # FAR: no text is as long

NOT_PLAIN = -1  # in place of where an array ends
MOST_STEPS = 64  # places of the table that are looked at for one name
ODD, MIXED = np.uint64(0x9E3779B97F4A7C15), np.uint64(0x94D049BB133111EB)


@inlined
def _at(text, i):
    """Return a byte of the text; 0, which is never plain, beyond its end."""
    return text[i] if i < text.size else np.uint8(0)


@inlined
def _past_space(text, i):
    """Return where the next byte is that is no white space."""
    while i < text.size and text[i] <= SPACE:
        byte = text[i]
        if byte != SPACE and byte != NEWLINE and byte != RETURN and byte != TAB:
            break
        i += 1
    return i


@inlined
def _key(text, i):
    """Return the key whose first quote is at `i` as a number, and where its value begins."""
    if _at(text, i) != QUOTE:
        return NO_KEY, i
    i += 1
    begin, word = i, np.int64(0)
    while i < text.size and text[i] != QUOTE:
        if text[i] < SPACE or i - begin == LONGEST_KEY:
            return NO_KEY, i
        word = word << 8 | np.int64(text[i])
        i += 1
    i = _past_space(text, i + 1)
    if _at(text, i) != COLON:
        return NO_KEY, i
    return word, _past_space(text, i + 1)


@inlined
def _stepped(key, byte):
    """Return the hash of a text that is one byte longer."""
    key = (key ^ np.uint64(byte)) * ODD
    return key ^ (key >> np.uint64(29))


@inlined
def _number(text, i):
    """Return where the number at `i` ends, or NOT_PLAIN; and its value, NaN where that is hard.

    -0 is none: as a whole number it is 0, and as a float it has a sign.
    """
    negative = _at(text, i) == MINUS
    if negative:
        i += 1
    first, digits, power = i, np.uint64(0), 0
    while i < text.size:
        digit = np.uint64(text[i]) - np.uint64(DIGIT_0)
        if digit > NINE:
            break
        digits = digits * TEN + digit
        i += 1
    count = i - first
    legal = count > 0 and (count == 1 or text[first] != DIGIT_0)
    whole = True
    if _at(text, i) == POINT:
        whole = False
        i += 1
        after = i
        while i < text.size:
            digit = np.uint64(text[i]) - np.uint64(DIGIT_0)
            if digit > NINE:
                break
            digits = digits * TEN + digit
            i += 1
        power = after - i
        count -= power
        legal = legal and power < 0
    if _at(text, i) | 32 == LETTER_E:
        whole = False
        i += 1
        below = _at(text, i) == MINUS
        if below or _at(text, i) == PLUS:
            i += 1
        after, exponent = i, 0
        while DIGIT_0 <= _at(text, i) <= DIGIT_9:
            exponent = min(10 * exponent + text[i] - DIGIT_0, FAR)
            i += 1
        power += -exponent if below else exponent
        legal = legal and i > after
    if not legal or (negative and whole and digits == 0):
        return NOT_PLAIN, np.nan
    if count > MOST_DIGITS:  # zeros in front do not count
        for k in range(first, i):
            if text[k] == DIGIT_0:
                count -= 1
            elif text[k] != POINT:
                break
        if count > MOST_DIGITS:
            return i, np.nan
    value = nearest(digits, power)
    return i, -value if negative else value


@jit
def find(text, i, depth):
    """Return where the next list of tasks or edges begins, its key and its depth, from a place on.

    Without one it is NO_KEY, and where the text ends; NOT_PLAIN where an escape stands before.
    """
    while i < text.size:
        byte = text[i]
        if byte == QUOTE:
            begin = i
            i += 1
            while i < text.size and text[i] != QUOTE:
                if text[i] == BACKSLASH:
                    return NOT_PLAIN, NO_KEY, depth
                i += 1
            if depth == 1 and i - begin == 6:  # as both keys
                key, value = _key(text, begin)
                if (key == TASKS or key == EDGES) and _at(text, value) == OPEN_LIST:
                    return value, key, depth
        elif byte == OPEN_OBJECT or byte == OPEN_LIST:
            depth += 1
        elif byte == CLOSE_OBJECT or byte == CLOSE_LIST:
            depth -= 1
        i += 1
    return i, NO_KEY, depth


@jit
def tasks(text, i, seed, ids, id_at, hashes, timed, numbers, bits, owners, hard):
    """Read the list of tasks that begins at `i`.

    Returns
    -------
    Where it ends, or NOT_PLAIN; how many tasks, entries of `etc` in each that has it, nulls among
    all of them, numbers with those nulls, and hard numbers.

    Written: `ids`, each with a newline behind it, their places and hashes; which are `timed`;
    numbers, inf for null, with the bits of their keys and their tasks. Where hard numbers begin and
    end: each is NaN.
    """
    failed = (NOT_PLAIN, 0, 0, 0, 0, 0)
    n, width, nulls, n_numbers, n_hard = 0, 0, 0, 0, 0
    id_used = 0
    id_at[0] = 0
    i = _past_space(text, i + 1)
    while True:
        if _at(text, i) != OPEN_OBJECT or n >= hashes.size:
            return failed
        i = _past_space(text, i + 1)
        has = 0
        while True:
            key, i = _key(text, i)
            if key == ID:
                bit = HAS_ID
                if _at(text, i) != QUOTE:
                    return failed
                i += 1
                begin, hashed = i, seed
                while _at(text, i) != QUOTE:
                    byte = _at(text, i)
                    if byte < SPACE or byte == BACKSLASH:
                        return failed
                    ids[id_used + i - begin] = byte
                    hashed = _stepped(hashed, byte)
                    i += 1
                if i == begin:
                    return failed
                hashes[n] = hashed
                id_used += i - begin
                ids[id_used] = NEWLINE
                id_used += 1
                id_at[n + 1] = id_used
                i += 1
            elif key == ETC:
                bit = HAS_ETC
                if _at(text, i) != OPEN_LIST:
                    return failed
                i += 1
                row = 0
                while True:
                    i = _past_space(text, i)
                    if n_numbers >= numbers.size:
                        return failed
                    if _at(text, i) == NULL[0]:
                        for letter in NULL:
                            if _at(text, i) != letter:
                                return failed
                            i += 1
                        nulls += 1
                        value = np.inf
                    else:
                        begin = i
                        i, value = _number(text, i)
                        if i == NOT_PLAIN:
                            return failed
                        if np.isnan(value):
                            if n_hard >= hard.shape[0]:
                                return failed
                            hard[n_hard, 0], hard[n_hard, 1] = begin, i
                            n_hard += 1
                    numbers[n_numbers], bits[n_numbers], owners[n_numbers] = value, bit, n
                    n_numbers += 1
                    row += 1
                    i = _past_space(text, i)
                    byte = _at(text, i)
                    i += 1
                    if byte == CLOSE_LIST:
                        break
                    if byte != COMMA:
                        return failed
                if row != (width or row):
                    return failed
                width = row
            else:
                if key == WORK:
                    bit = HAS_WORK
                elif key == ARRIVAL:
                    bit = HAS_ARRIVAL
                elif key == PRIORITY:
                    bit = HAS_PRIORITY
                elif key == MEMORY:
                    bit = HAS_MEMORY
                else:
                    return failed
                if n_numbers >= numbers.size:
                    return failed
                begin = i
                i, value = _number(text, i)
                if i == NOT_PLAIN:
                    return failed
                if np.isnan(value):
                    if n_hard >= hard.shape[0]:
                        return failed
                    hard[n_hard, 0], hard[n_hard, 1] = begin, i
                    n_hard += 1
                numbers[n_numbers], bits[n_numbers], owners[n_numbers] = value, bit, n
                n_numbers += 1
            if has & bit:
                return failed
            has |= bit
            i = _past_space(text, i)
            byte = _at(text, i)
            i = _past_space(text, i + 1)
            if byte == CLOSE_OBJECT:
                break
            if byte != COMMA:
                return failed
        cost = has & (HAS_ETC | HAS_WORK)
        if not has & HAS_ID or (cost != HAS_ETC and cost != HAS_WORK):
            return failed
        timed[n] = cost == HAS_ETC
        n += 1
        byte = _at(text, i)
        i += 1
        if byte == CLOSE_LIST:
            return i, n, width, nulls, n_numbers, n_hard
        if byte != COMMA:
            return failed
        i = _past_space(text, i)


@jit
def edges(text, i, seed, name_at, hashes, sizes, hard):
    """Read the list of edges that begins at `i`.

    Returns
    -------
    Where it ends, or NOT_PLAIN, how many edges, and how many hard numbers.

    Written: (edges, 2) where the names of both ends begin and their hashes; the bytes. Where hard
    numbers begin and end: each is NaN.
    """
    failed = (NOT_PLAIN, 0, 0)
    n, n_hard = 0, 0
    i = _past_space(text, i + 1)
    if _at(text, i) == CLOSE_LIST:
        return i + 1, 0, 0
    while True:
        if _at(text, i) != OPEN_OBJECT or n >= name_at.shape[0]:
            return failed
        i = _past_space(text, i + 1)
        has = 0
        while True:
            key, i = _key(text, i)
            if key == FROM or key == TO:
                end = 0 if key == FROM else 1
                bit = HAS_FROM if key == FROM else HAS_TO
                if _at(text, i) != QUOTE:
                    return failed
                i += 1
                name_at[n, end], hashed = i, seed
                while _at(text, i) != QUOTE:
                    if i >= text.size:
                        return failed
                    hashed = _stepped(hashed, text[i])
                    i += 1
                hashes[n, end] = hashed
                i += 1
            elif key == BYTES:
                bit = HAS_BYTES
                begin = i
                i, sizes[n] = _number(text, i)
                if i == NOT_PLAIN:
                    return failed
                if np.isnan(sizes[n]):
                    if n_hard >= hard.shape[0]:
                        return failed
                    hard[n_hard, 0], hard[n_hard, 1] = begin, i
                    n_hard += 1
            else:
                return failed
            if has & bit:
                return failed
            has |= bit
            i = _past_space(text, i)
            byte = _at(text, i)
            i = _past_space(text, i + 1)
            if byte == CLOSE_OBJECT:
                break
            if byte != COMMA:
                return failed
        if has != HAS_FROM | HAS_TO | HAS_BYTES:
            return failed
        n += 1
        byte = _at(text, i)
        i += 1
        if byte == CLOSE_LIST:
            return i, n, n_hard
        if byte != COMMA:
            return failed
        i = _past_space(text, i)


@inlined
def _first_place(hashed, table):
    return np.int64((hashed * MIXED) >> np.uint64(20)) & (table.size - 1)


@jit
def enter(ids, id_at, hashes, table):
    """Put the tasks into a table (a power of two, all -1); False where a name stands twice.

    Also where so many names fall on neighbouring places that somebody may have chosen them.
    """
    for k in range(hashes.size):
        place = _first_place(hashes[k], table)
        for _ in range(MOST_STEPS):
            other = table[place]
            if other < 0:
                break
            if hashes[other] == hashes[k] and _same(ids, id_at[k], ids, id_at, other, NEWLINE):
                return False
            place = (place + 1) & (table.size - 1)
        if table[place] >= 0:
            return False
        table[place] = k
    return True


@jit
def look_up(text, name_at, name_hashes, ids, id_at, hashes, table, found):
    """Find the tasks that names in a text mean; False where one means none."""
    for k in range(name_at.size):
        place = _first_place(name_hashes[k], table)
        for _ in range(MOST_STEPS):
            task = table[place]
            if task < 0:
                return False
            if hashes[task] == name_hashes[k] and _same(text, name_at[k], ids, id_at, task, QUOTE):
                break
            place = (place + 1) & (table.size - 1)
        else:
            return False
        found[k] = task
    return True


@inlined
def _same(text, i, ids, id_at, task, end):
    """Return whether the text that begins at `i` and ends before `end` is the name of a task."""
    for k in range(id_at[task], id_at[task + 1] - 1):
        if text[i] != ids[k]:
            return False
        i += 1
    return text[i] == end
