"""The settings of the scheduling service."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from deepsched.pipeline.common.numbers import MOST, MOST_PROCESSES

MEGABYTE = 1_000_000


class ServeArgs(BaseModel):
    """The service's settings, also the `args` of an application in a `serve deploy` file."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    checkpoint: Path | None = Field(default=None, description="folder of the trained network")
    device: str = Field(default="cpu", description="where the network runs: cpu or cuda")
    replicas: int = Field(
        default=1, ge=1, le=MOST_PROCESSES, description="processes of each kind that schedule"
    )
    threads: int = Field(
        default=4, ge=1, le=MOST_PROCESSES, description="schedulers running at once in one process"
    )
    max_body_mb: float = Field(default=64, gt=0, le=MOST, description="MB, also unpacked")
    max_tasks: int = Field(default=100_000, ge=1, le=MOST, description="tasks in one problem")
    max_machines: int = Field(default=1_000, ge=1, le=MOST, description="machines in one problem")
    max_cells: int = Field(
        default=25_000_000, ge=1, le=MOST, description="tasks x machines in one problem"
    )
    max_sampled_cells: int = Field(
        default=400_000_000,
        ge=1,
        le=1000 * MOST,
        description="samples x tasks x machines, for one request",
    )
    max_queued: int = Field(default=64, ge=1, le=MOST, description="requests waiting for a process")
    max_batch_tasks: int = Field(
        default=16_384, ge=1, le=MOST, description="tasks in one pass of the network"
    )
    batch_wait_s: float = Field(default=0.01, ge=0, le=10, description="s, wait for more to batch")
    max_budget_s: float = Field(
        default=10, ge=0, le=MOST, description="s of search, for one request"
    )
    timeout_s: float = Field(default=120, gt=0, le=MOST, description="s, for one request")

    @property
    def max_body(self) -> int:
        """Bytes of a request's body, as sent and unpacked."""
        return int(self.max_body_mb * MEGABYTE)
