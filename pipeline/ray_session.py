"""Start or join Ray, and leave it as it was found."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import ray

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent


@contextlib.contextmanager
def ray_session(
    *, address: str | None = None, num_cpus: int | None = None, dashboard: bool = False
) -> Iterator[None]:
    """Join the Ray that runs already, or start a private one and stop it at the end.

    Parameters
    ----------
    address : a cluster to join. Without it $RAY_ADDRESS decides, which `ray job submit` sets; else
        a new local Ray is started. A cluster is never joined by accident.
    num_cpus : CPUs of a new local Ray; default all.
    dashboard : needed by Ray Tune over Ray Train; costs a few seconds.
    """
    if ray.is_initialized():
        yield
        return
    target = address or os.environ.get("RAY_ADDRESS") or "local"
    if target == "local":
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(
            address="local",
            num_cpus=num_cpus,
            include_dashboard=dashboard,
            log_to_driver=False,
            runtime_env=_runtime_env(),
        )
    else:
        ray.init(address=target, log_to_driver=False)
    try:
        yield
    finally:
        ray.shutdown()


def _runtime_env() -> dict[str, object]:
    # A checkout that is run without being installed: workers must find the packages too.
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"env_vars": {"PYTHONPATH": os.pathsep.join(paths)}}
