"""Two values of the package compared by every bit."""

from __future__ import annotations

from dataclasses import fields

import numpy as np


def assert_same(there: object, here: object, but: tuple[str, ...] = ("origin",)) -> None:
    """Compare two values of a dataclass, their arrays by every bit and read-only.

    Parameters
    ----------
    but : fields that are left out: `origin` of machines is what a summary says, and not stored.
    """
    assert type(there) is type(here)
    for field in fields(there):  # type: ignore[arg-type]
        a, b = getattr(there, field.name), getattr(here, field.name)
        if not field.init:  # it follows from the others
            continue
        if isinstance(a, np.ndarray):
            assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes()), field.name
            assert not a.flags.writeable
        elif field.name == "machines":
            assert_same(a, b, but)
        elif field.name not in but:
            assert a == b, field.name
