"""The client of a scheduling service; it needs the extra `client`, and neither Ray nor torch.

Examples
--------
>>> from deepsched.client import Client
>>> with Client("http://127.0.0.1:8000") as client:  # doctest: +SKIP
...     schedule = client.schedule("tests/data/topcuoglu.json")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deepsched.pipeline.client.answers import Answered
    from deepsched.pipeline.client.awaiting import AsyncClient, AsyncJobHandle
    from deepsched.pipeline.client.blocking import Client, JobHandle
    from deepsched.pipeline.client.errors import ServiceError

__all__ = ["Answered", "AsyncClient", "AsyncJobHandle", "Client", "JobHandle", "ServiceError"]

_HOMES = {
    "Answered": "answers",
    "AsyncClient": "awaiting",
    "AsyncJobHandle": "awaiting",
    "Client": "blocking",
    "JobHandle": "blocking",
    "ServiceError": "errors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from deepsched.baselines.errors import extra_for

    with extra_for(f"{__name__}.{name}"):
        import httpx  # noqa: F401 - the first that is missing names the extra that has them all

        home = importlib.import_module(f"deepsched.pipeline.client.{_HOMES[name]}")
    value = getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
