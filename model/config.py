"""Settings of the networks, checked when made; each field says its meaning and unit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from baselines.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping


class NetworkConfig(BaseModel):
    """What all network settings share: frozen, and unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PaperConfig(NetworkConfig):
    """Settings of the network `paper`.

    Without `max_tasks` and `max_machines` the network has no size: its weights are shared by all
    machines. With both it is the padded original: every problem is filled up to that many tasks and
    machines, burst times are a vector with one entry a machine, and the last layer is as wide as
    the machine limit, so that a forward pass takes the same time whatever the problem's size.
    """

    width: int = Field(default=64, ge=1, le=4096, description="channels of both encoders")
    recurrent_width: int = Field(
        default=64, ge=1, le=4096, description="hidden channels of the GRU in each direction"
    )
    max_tasks: int | None = Field(
        default=None, ge=1, description="tasks every problem is padded to; none: size-free"
    )
    max_machines: int | None = Field(
        default=None, ge=1, description="machines every problem is padded to; none: size-free"
    )

    @model_validator(mode="after")
    def _limits_come_together(self) -> Self:
        if (self.max_tasks is None) != (self.max_machines is None):
            raise ValueError("give max_tasks and max_machines together, or neither")
        return self


class DeepSchedConfig(NetworkConfig):
    """Settings of the network `deepsched`."""

    width: int = Field(default=32, ge=1, le=1024, description="channels of each task")
    rounds: int = Field(default=3, ge=0, le=16, description="exchanges along the edges")
    recurrence: bool = Field(
        default=False, description="before them a recurrence along the order of the upward ranks"
    )
    machine_code: int = Field(
        default=0,
        ge=0,
        le=64,
        description="numbers that an encoder of machines makes of each; 0: there is none",
    )
    times: bool = Field(
        default=False, description="predict starts and finishes as well, which nothing reads"
    )
    decode: Literal["full", "topk"] = Field(
        default="full", description="machines looked at for a task, while it learns: all, or a few"
    )


Config = TypeVar("Config", bound=BaseModel)


def parse_config(kind: type[Config], values: Mapping[str, Any], where: str) -> Config:
    """Return checked settings.

    Raises
    ------
    InvalidInput
        On one line: `where`, the fields that are wrong, and why.
    """
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        reasons = "; ".join(
            f"{'.'.join(str(part) for part in item['loc']) or 'settings'}: {item['msg']}"
            for item in error.errors()
        )
        raise InvalidInput(f"{where}: {reasons}") from None
