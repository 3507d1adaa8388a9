"""Which requests are quick: small work never waits for large.

A quick request is worked on in a process with others, a slow one in a process of its own at a lower
priority, which can be killed. The gateway decides by what it knows without reading the body; a
quick process that finds more passes it on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepsched.baselines.registry import SCHEDULERS
from deepsched.model.networks import NETWORKS
from deepsched.pipeline.serving.bodies import GZIP
from deepsched.pipeline.serving.parcels import glimpse
from deepsched.pipeline.serving.refusals import TooSlow

if TYPE_CHECKING:
    from deepsched.pipeline.serving.bodies import Kind
    from deepsched.pipeline.serving.parcels import Parcel
    from deepsched.pipeline.serving.query import Query

# Read in some 15 ms, on one core of a small server.
# Text is read by Python, a second for some ten kilobytes of DOT.
QUICK_BYTES = {"json": 2_500_000, "arrow": 16_000_000, "file": 4_000}
QUICK_OBJECTS = 20_000  # in a JSON document
QUICK_BUDGET = 0.05  # s of search
SEARCHES = frozenset({"ga", "ga-makespan", "perturbation", "best-of"})  # seconds, whatever is asked
QUICK = frozenset({*SCHEDULERS, *NETWORKS}) - SEARCHES


def may_be_quick(name: str, query: Query, kind: Kind, body: bytes | Parcel) -> bool:
    """Return whether a request looks quick from outside.

    Parameters
    ----------
    name : of the scheduler.
    """
    size, first, last = glimpse(body, 64, 4)
    if first.startswith(GZIP) and size >= 18:
        size = max(size, int.from_bytes(last, "little"))  # what gzip says it unpacks to
    return looks_quick(name, query, told(kind, first), size)


def looks_quick(name: str, query: Query, kind: Kind, size: int) -> bool:
    """Return the same of a body of so many bytes, before it is there."""
    if name not in QUICK or query.options.get("budget", 0.0) > QUICK_BUDGET:
        return False
    return size <= QUICK_BYTES[kind]


def told(kind: Kind, data: bytes) -> Kind:
    """Return how a body is read, where its type leaves that to its content."""
    return "json" if kind == "file" and data[:64].lstrip()[:1] in (b"{", b"[") else kind


def check_quick_bytes(kind: Kind, data: bytes) -> None:
    """Refuse an unpacked body whose reading alone would keep others waiting.

    Raises
    ------
    TooSlow
    """
    kind = told(kind, data)
    if len(data) > QUICK_BYTES[kind] or (kind == "json" and data.count(b"{") > QUICK_OBJECTS):
        raise TooSlow("a large body")
