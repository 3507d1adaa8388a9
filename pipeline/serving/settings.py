"""The settings of the scheduling service."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from deepsched.pipeline.common.numbers import MOST, MOST_PROCESSES

MEGABYTE = 1_000_000
KILOBYTE = 1_000


class ServeArgs(BaseModel):
    """The service's settings, also the `args` of an application in a `serve deploy` file."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    # Where it listens, and who may ask.
    host: str = Field(default="127.0.0.1", description="address to listen on")
    # Without a port: host and port of Serve's `http_options`, unless its own proxies are there.
    port: int | None = Field(default=None, ge=1, le=65535, description="port; without one 8000")
    token_file: Path | None = Field(
        default=None, description="file of bearer tokens, one a line, read again when it changes"
    )

    # The network, and the processes.
    checkpoint: Path | None = Field(default=None, description="folder of the trained network")
    device: Literal["cpu", "cuda"] = Field(
        default="cpu",
        description="where a network of PyTorch runs; deepsched itself is compiled for CPUs",
    )
    gpus_per_replica: float | None = Field(
        default=None,
        ge=1e-4,
        le=1,
        description="of each process for quick requests, on cuda; without it a whole one, on one "
        "machine what lets all fit",
    )
    gateways: int = Field(
        default=2, ge=1, le=MOST_PROCESSES, description="processes that listen, on one port"
    )
    replicas: int = Field(
        default=2, ge=1, le=MOST_PROCESSES, description="processes for quick requests"
    )
    threads: int = Field(
        # Reading holds the GIL: more threads take it from each other.
        default=1,
        ge=1,
        le=MOST_PROCESSES,
        description="quick requests at once in one process",
    )
    slow_replicas: int = Field(
        default=1, ge=1, le=MOST_PROCESSES, description="keepers of processes for slow requests"
    )
    slow_workers: int = Field(
        default=1, ge=1, le=MOST_PROCESSES, description="slow requests at once, each in a process"
    )
    job_workers: int = Field(
        default=1, ge=1, le=MOST_PROCESSES, description="jobs at once, each in a process"
    )
    max_process_mb: float = Field(
        default=6_000, ge=500, le=MOST, description="MB, memory of a process of a slow request"
    )

    # What one request may ask for.
    max_body_mb: float = Field(default=64, gt=0, le=MOST, description="MB, also unpacked")
    max_tasks: int = Field(default=100_000, ge=1, le=MOST, description="tasks in one problem")
    max_machines: int = Field(default=1_000, ge=1, le=MOST, description="machines in one problem")
    max_edges: int = Field(default=1_000_000, ge=1, le=MOST, description="edges in one problem")
    max_cells: int = Field(
        default=25_000_000, ge=1, le=MOST, description="tasks x machines in one problem"
    )
    max_sampled_cells: int = Field(
        default=400_000_000,
        ge=1,
        le=1000 * MOST,
        description="samples x tasks x machines, for one request",
    )
    max_values: int = Field(
        default=8_000_000, ge=1, le=MOST, description="values in one JSON document"
    )
    max_objects: int = Field(
        default=2_000_000, ge=1, le=MOST, description="objects and lists in one JSON document"
    )
    max_depth: int = Field(default=64, ge=4, le=900, description="objects inside each other")
    max_problems: int = Field(default=256, ge=1, le=MOST, description="problems in one batch")
    max_budget_s: float = Field(
        default=10, ge=0, le=MOST, description="seconds of search, for one request; more is a job"
    )
    timeout_s: float = Field(default=120, gt=0, le=MOST, description="seconds, for one request")

    # How much at once.
    max_connections: int = Field(
        default=512, ge=1, le=MOST, description="connections of one gateway"
    )
    max_queued: int = Field(default=64, ge=1, le=MOST, description="requests waiting, of each kind")
    max_batch_tasks: int = Field(
        default=16_384, ge=1, le=MOST, description="tasks in one pass of an imitating network"
    )

    # How long a client may take.
    max_header_kb: float = Field(default=16, ge=1, le=MOST, description="kB of a request's headers")
    header_timeout_s: float = Field(
        default=10, gt=0, le=MOST, description="seconds until a request's headers are there"
    )
    body_timeout_s: float = Field(
        default=10, gt=0, le=MOST, description="seconds in which a body need not keep its rate"
    )
    min_rate_kb: float = Field(
        default=50, gt=0, le=MOST, description="kB/s at which a body has to come after that"
    )
    idle_timeout_s: float = Field(
        default=30, gt=0, le=MOST, description="seconds between requests, and for taking an answer"
    )

    # Jobs.
    jobs_dir: Path | None = Field(
        default=None, description="folder of the jobs; null: one in the temporary folder"
    )
    max_job_budget_s: float = Field(
        default=600, ge=0, le=MOST, description="seconds of search, of a job"
    )
    job_timeout_s: float = Field(default=1800, gt=0, le=MOST, description="seconds, for one job")
    max_jobs: int = Field(default=256, ge=1, le=MOST, description="jobs kept, ended ones with them")
    max_jobs_mb: float = Field(default=1_000, gt=0, le=MOST, description="MB of all jobs on disk")
    job_ttl_s: float = Field(
        default=3600, gt=0, le=MOST, description="seconds for which an ended job is kept"
    )

    @property
    def max_body(self) -> int:
        """Bytes of a request's body, as sent and unpacked."""
        return int(self.max_body_mb * MEGABYTE)

    def limits(self) -> dict[str, float | None]:
        """Return what clients may want to know before they ask."""
        return self.model_dump(
            include={
                *("max_body_mb", "max_tasks", "max_machines", "max_edges", "max_cells"),
                *("max_sampled_cells", "max_values", "max_objects", "max_depth", "max_problems"),
                *("max_budget_s", "max_job_budget_s", "timeout_s", "job_timeout_s", "job_ttl_s"),
            }
        )
