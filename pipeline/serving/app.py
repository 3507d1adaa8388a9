"""The Ray Serve application: gateways that guard, and the processes that schedule.

```
HTTP ──► Gateway ──► Quick    requests of some milliseconds: threads, several in one hop
            ├──────► Slow     the others: each in a process of its own, which can be killed
            └──────► Keeper   jobs, in processes as well, and shared machines; on disk
```

Each kind scales by itself (`cluster/serve.yaml`).
"""

# No `from __future__ import annotations`: Ray Serve reads the type of build_app's parameter.

from typing import Any

from ray import serve

from deepsched.pipeline.serving.gateway import Gateway
from deepsched.pipeline.serving.keeper import Keeper
from deepsched.pipeline.serving.quick import Quick
from deepsched.pipeline.serving.reload import CHECKPOINT, check_checkpoint
from deepsched.pipeline.serving.settings import ServeArgs
from deepsched.pipeline.serving.slow import Slow

APPLICATION = "deepsched"
MANY = 10_000  # requests at once inside one process: gateways bound how many wait
HEAD = {"node:__internal_head__": 0.001}  # the head node, which Ray names so


def processes(args: ServeArgs) -> int:
    """Return how many CPUs the application asks Ray for."""
    return args.replicas + args.slow_replicas


def build_app(args: ServeArgs) -> serve.Application:
    """Return the application; `serve deploy` calls this with the `args` of its file.

    Another `checkpoint` alone restarts no process: it goes to all of them as `user_config`.

    Raises
    ------
    InvalidInput
        If there is a checkpoint and it cannot serve, or its path is relative.
    """
    check_checkpoint(args.checkpoint, args.device)
    path = None if args.checkpoint is None else str(args.checkpoint)
    network = {CHECKPOINT: path}
    rest = args.model_copy(update={CHECKPOINT: None})
    cuda = int(args.device.startswith("cuda"))

    def deployed(kind: Any, **options: Any) -> Any:
        made = serve.deployment(name=kind.__name__)(kind)
        return made.options(user_config=network, max_ongoing_requests=MANY, **options)

    quick = deployed(
        Quick, num_replicas=args.replicas, ray_actor_options={"num_cpus": 1, "num_gpus": cuda}
    )
    slow = deployed(Slow, num_replicas=args.slow_replicas, ray_actor_options={"num_cpus": 1})
    # One, on the node whose disk holds the jobs.
    keeper = deployed(Keeper, num_replicas=1, ray_actor_options={"num_cpus": 0, "resources": HEAD})
    gateway = serve.deployment(name="Gateway")(serve.ingress()(Gateway)).options(
        num_replicas=args.gateways,
        user_config={},
        max_ongoing_requests=args.max_connections,
        max_queued_requests=args.max_connections,
        graceful_shutdown_timeout_s=30,
        ray_actor_options={"num_cpus": 0, "resources": HEAD},
    )
    return gateway.bind(rest, quick.bind(rest), slow.bind(rest), keeper.bind(rest))
