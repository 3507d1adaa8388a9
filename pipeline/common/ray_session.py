"""Start or join Ray, and leave it as it was found."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import socket
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import deepsched
from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.text import is_utf8, printable
from deepsched.baselines.waiting import waiting

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)

HOME = Path(deepsched.__path__[0])
ROOT = HOME.parent  # where Python finds the package: a checkout, or site-packages
PARTS = ("baselines", "model", "pipeline")
CONNECT_WITHIN = 10.0  # s
LOCAL = "local"  # none is joined, a new one is started
LONGEST_SOCKET = 107  # bytes of a path, by the system
# Ray's job manager sets it for the process that `ray job submit` starts, and for no other.
JOB_VARIABLE = "RAY_JOB_CONFIG_JSON_ENV_VAR"


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

    Raises
    ------
    InvalidInput
        If there is no cluster at the address, or Ray cannot use the temporary folder.
    """
    import ray  # it takes half a second, which a command that needs none should not pay

    if ray.is_initialized():
        yield
        return
    target = chosen_address(address)
    begin = time.perf_counter()
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.WARNING}
    if target == LOCAL:
        waiting("starting Ray")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        _start(num_cpus=num_cpus, include_dashboard=dashboard, **quiet)
    else:
        _check_reachable(target)
        waiting(f"joining the Ray cluster at {target}")
        try:
            if under_ray_job():  # its working directory holds the package
                ray.init(address=target, **quiet)
            else:
                with package_copy() as package:
                    ray.init(address=target, runtime_env={"py_modules": [package]}, **quiet)
        except (ConnectionError, ValueError) as error:
            raise InvalidInput(f"no Ray cluster at {target!r}: {error}") from None
    log.info("Ray has %d CPUs, after %.1f s", cluster_cpus(), time.perf_counter() - begin)
    try:
        yield
    finally:
        ray.shutdown()


def chosen_address(address: str | None) -> str:
    """Return the cluster to join: the one given, or that of $RAY_ADDRESS, else `LOCAL`."""
    return address or os.environ.get("RAY_ADDRESS") or LOCAL


def _start(**options: Any) -> None:
    import ray

    _check_temporary_folder()
    # Ray says each time that its own processes need a token now, where nobody else shall join.
    logging.getLogger("ray._private.authentication").setLevel(logging.ERROR)
    # Ray gives its own node 30 s, which a busy machine may exceed the first time.
    for last in (False, True):
        try:
            ray.init(address="local", runtime_env=_path_here(), **options)
            return
        except Exception:
            ray.shutdown()
            if last:
                raise


def _check_temporary_folder() -> None:
    """Refuse a folder for Ray's sockets and logs in which it could not start, and say why.

    Raises
    ------
    InvalidInput
        Naming the variable that says where it is.
    """
    names = [name for name in ("RAY_TMPDIR", "TMPDIR") if name in os.environ]
    folder = os.environ[names[0]] if names else "/tmp"
    what = printable(f"{names[0]}={folder}" if names else folder)
    remedy = "RAY_TMPDIR=FOLDER names another one for Ray, such as a short one below /tmp"
    # The longest path that Ray makes there, below its session: named by the time and the process.
    session = f"session_2026-01-01_00-00-00_000000_{os.getpid()}"
    socket_path = os.fsencode(Path(folder, "ray", session, "sockets", "plasma_store"))
    too_long = len(socket_path) - LONGEST_SOCKET
    if too_long > 0:
        raise InvalidInput(
            f"{what} is {too_long} bytes too long: sockets of Ray below it would have paths of "
            f"{len(socket_path)} bytes, and {LONGEST_SOCKET} are possible; {remedy}"
        )
    if not Path(folder).is_absolute() or not folder.isascii():
        raise InvalidInput(f"{what} is not an absolute path in ASCII; {remedy}")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InvalidInput(f"{what} cannot be used: {error.strerror or error}; {remedy}") from None


def cluster_cpus() -> int:
    """Return how many CPUs the cluster has now."""
    import ray

    return int(ray.cluster_resources().get("CPU", 0))


def _check_reachable(address: str) -> None:
    """Raise `InvalidInput` where nothing listens; Ray itself tries for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        try:
            socket.create_connection((host.strip("[]"), int(port)), CONNECT_WITHIN).close()
        except (OSError, OverflowError, UnicodeError) as error:  # the last: no name of a host
            raise InvalidInput(f"no Ray cluster at {address!r}: {error}") from None


def under_ray_job() -> bool:
    """Return whether `ray job submit` started this process.

    Its working directory is then Ray's private copy of the one that was submitted.
    """
    return JOB_VARIABLE in os.environ


@contextlib.contextmanager
def package_copy() -> Iterator[str]:
    """Yield a folder with the package as it is installed, which Ray can upload as one module.

    In a checkout its parts lie beside it, and Ray takes no module that lies in two places.
    """
    with tempfile.TemporaryDirectory(prefix="deepsched-") as folder:
        copy = Path(folder, HOME.name)
        bytecode = shutil.ignore_patterns("__pycache__")
        shutil.copytree(HOME, copy, ignore=bytecode)
        for part in PARTS:
            if not (copy / part).exists():
                shutil.copytree(ROOT / part, copy / part, ignore=bytecode)
        yield str(copy)


def python_path() -> str:
    """Return the `PYTHONPATH` of processes that are to find this package, and what it needs.

    Entries that are not UTF-8 are left out: where a variable is not, Ray's workers end in silence,
    again and again.
    """
    more = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return os.pathsep.join([str(ROOT), *(entry for entry in more if entry and is_utf8(entry))])


def _path_here() -> dict[str, object]:
    # A checkout that is run without being installed: workers must find the packages too.
    if not is_utf8(str(ROOT)):
        raise InvalidInput(f"the package lies in {printable(ROOT)}, which Ray takes only as UTF-8")
    return {"env_vars": {"PYTHONPATH": python_path()}}
