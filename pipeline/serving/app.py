"""The Ray Serve application: gateways that guard, and the processes that schedule.

```
HTTP ──► Gateway ──► Quick    requests of some milliseconds: threads, several in one hop
            ├──────► Slow     the others: each in a process of its own, which can be killed
            └──────► Keeper   jobs, in processes as well, and shared machines; on disk
```

Each kind scales by itself (`cluster/serve.yaml`).
"""

# No `from __future__ import annotations`: Ray Serve reads the type of build_app's parameter.

import math
from typing import Any

from ray import serve

from deepsched.baselines.errors import InvalidInput
from deepsched.pipeline.serving.gateway import Gateway
from deepsched.pipeline.serving.keeper import Keeper
from deepsched.pipeline.serving.quick import Quick
from deepsched.pipeline.serving.reload import CHECKPOINT, check_checkpoint
from deepsched.pipeline.serving.settings import ServeArgs
from deepsched.pipeline.serving.slow import Slow

APPLICATION = "deepsched"
MANY = 10_000  # requests at once inside one process: gateways bound how many wait
# Less CPU for a call between processes: one event loop in each, uvloop's, and no line of log a
# request. RAY_SERVE_THROUGHPUT_OPTIMIZED would do as much, and have each process listen for HTTP
# as well, with nobody at that door.
FAST = {
    "env_vars": {
        "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
        "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
        "RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1000",
        "RAY_SERVE_LOG_TO_STDERR": "0",
        "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(2**31 - 1),  # bodies have limits of ours
    }
}
QUIET = {"enable_access_log": False}
HEAD = {"node:__internal_head__": 0.001}  # the head node, which Ray names so


def processes(args: ServeArgs) -> int:
    """Return how many CPUs the application asks Ray for."""
    return args.replicas


def gpu_share(args: ServeArgs, gpus: int) -> float:
    """Return the part of a GPU with which all processes for quick requests fit on a machine's.

    Raises
    ------
    InvalidInput
        If the network is to run on a GPU, and there is none.

    Examples
    --------
    >>> [gpu_share(ServeArgs(device="cuda", replicas=3), gpus) for gpus in (1, 2, 4)]
    [0.3333, 0.5, 1.0]
    >>> gpu_share(ServeArgs(), 0)
    0.0
    """
    if args.device == "cpu":
        return 0.0
    if args.gpus_per_replica is not None:
        return args.gpus_per_replica
    if not gpus:
        raise InvalidInput("device cuda: PyTorch finds no GPU on this machine")
    shared = math.ceil(args.replicas / gpus)
    return max(math.floor(1e4 / shared), 1) / 1e4  # Ray's unit; their sum must not exceed 1


def build_app(args: ServeArgs) -> serve.Application:
    """Return the application; `serve deploy` calls this with the `args` of its file.

    Another `checkpoint` alone restarts no process: it goes to all of them as `user_config`. On
    `cuda` each process for quick requests asks for a GPU of its own, or for `gpus_per_replica`.

    Raises
    ------
    InvalidInput
        If there is a checkpoint and it cannot serve, or its path is relative.
    """
    return application(args, gpu_share(args, gpus=args.replicas))


def application(args: ServeArgs, gpus: float) -> serve.Application:
    """Return the same with so many GPUs for each process for quick requests.

    Raises
    ------
    InvalidInput
        As :func:`build_app`.
    """
    check_checkpoint(args.checkpoint)
    path = None if args.checkpoint is None else str(args.checkpoint)
    network = {CHECKPOINT: path}
    rest = args.model_copy(update={CHECKPOINT: None})

    def deployed(kind: Any, actor: dict[str, Any], **options: Any) -> Any:
        made: Any = serve.deployment(name=kind.__name__, logging_config=QUIET)(kind)
        chosen = {"user_config": network, "max_ongoing_requests": MANY} | options
        return made.options(ray_actor_options={"runtime_env": FAST} | actor, **chosen)

    quick = deployed(Quick, {"num_cpus": 1, "num_gpus": gpus}, num_replicas=args.replicas)
    # No CPU of its own: its processes take what quick requests leave.
    slow = deployed(Slow, {"num_cpus": 0}, num_replicas=args.slow_replicas)
    # One, on the node whose disk holds the jobs.
    keeper = deployed(Keeper, {"num_cpus": 0, "resources": HEAD}, num_replicas=1)
    ingress = serve.ingress()(Gateway)
    ingress.__name__ = Gateway.__name__
    gateway = deployed(
        ingress,
        {"num_cpus": 0, "resources": HEAD},
        num_replicas=args.gateways,
        user_config={},
        graceful_shutdown_timeout_s=30,
    )
    app: serve.Application = gateway.bind(
        rest, quick.bind(rest), slow.bind(rest), keeper.bind(rest)
    )
    return app
