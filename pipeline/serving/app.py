"""The Ray Serve application: a gateway that guards, and the processes that schedule.

```
HTTP ──► Gateway ──► Heuristics   compiled schedulers, several threads, no GIL
                └──► Network      the trained network, requests batched by their tasks
```

Each kind scales by itself (`cluster/serve.yaml`).
"""

# No `from __future__ import annotations`: Ray Serve reads the type of build_app's parameter.

from typing import Any

from ray import serve

from deepsched.baselines.errors import InvalidInput
from deepsched.model.load import load_network
from deepsched.pipeline.serving.gateway import Gateway
from deepsched.pipeline.serving.requests import RETRY_AFTER
from deepsched.pipeline.serving.settings import ServeArgs
from deepsched.pipeline.serving.workers import Heuristics, Network, has_network

APPLICATION = "deepsched"
NETWORK_ONGOING = 64  # requests inside one network process: in its batches, or being read
GATEWAY_ONGOING = 1_000  # requests inside one gateway: being received, or waiting for an answer


def processes(args: ServeArgs) -> int:
    """Return how many CPUs the application asks Ray for."""
    return args.replicas * (2 if has_network(args) else 1)


def build_app(args: ServeArgs) -> serve.Application:
    """Return the application; `serve deploy` calls this with the `args` of its file.

    Raises
    ------
    InvalidInput
        If there is a checkpoint and it cannot be read, or its path is relative: the processes that
        load it have other working directories.
    """
    heuristics = serve.deployment(name="Heuristics")(Heuristics).options(
        num_replicas=args.replicas,
        # One more than can run, which is read meanwhile.
        max_ongoing_requests=args.threads + 1,
        max_queued_requests=args.max_queued,
        ray_actor_options={"num_cpus": 1},
    )
    parts: list[Any] = [heuristics.bind(args)]
    if args.checkpoint is not None:
        if not args.checkpoint.is_absolute():
            raise InvalidInput(f"checkpoint {args.checkpoint}: give an absolute path")
        name = load_network(args.checkpoint).name
        if has_network(args):
            network = serve.deployment(name="Network")(Network).options(
                num_replicas=args.replicas,
                max_ongoing_requests=NETWORK_ONGOING,
                max_queued_requests=args.max_queued,
                ray_actor_options={"num_cpus": 1, "num_gpus": int(args.device.startswith("cuda"))},
            )
            parts += [network.bind(args), name]
    gateway = serve.deployment(name="Gateway")(serve.ingress()(Gateway)).options(
        max_ongoing_requests=GATEWAY_ONGOING,
        max_queued_requests=GATEWAY_ONGOING,
        backpressure_config={"retry_after_s": RETRY_AFTER},
        ray_actor_options={"num_cpus": 0},
    )
    return gateway.bind(args, *parts)
