"""The settings of the network `paper`."""

from __future__ import annotations

from dataclasses import dataclass

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.settings import Settings, setting


@dataclass(frozen=True, kw_only=True)
class PaperConfig(Settings):
    """Sizes of the network.

    Without `max_tasks` and `max_machines` the network has no size: its weights are shared by all
    machines. With both it is the padded original: every problem is filled up to that many tasks and
    machines, burst times are a vector with one entry a machine, and the last layer is as wide as
    the machine limit, so that a forward pass takes the same time whatever the problem's size.
    """

    width: int = setting(64, "Channels of both encoders.", at_least=1, at_most=4096)
    recurrent_width: int = setting(
        64, "Hidden channels of the GRU in each direction.", at_least=1, at_most=4096
    )
    max_tasks: int | None = setting(
        None, "Tasks every problem is padded to; none: size-free.", at_least=1, at_most=1_000_000
    )
    max_machines: int | None = setting(
        None, "Machines every problem is padded to; none: size-free.", at_least=1, at_most=100_000
    )
    times: str = setting(
        "literal",
        "What the outputs for start and finish are: the times themselves, as the paper has it, or "
        "what comes on top of the arrival.",
        choices=("literal", "residual"),
    )
    recurrence_window: int | None = setting(
        None,
        "Steps of the GRU that no gradient goes beyond; none: a gradient goes through all.",
        at_least=1,
        at_most=1_000_000_000,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.recurrence_window is not None and self.max_tasks is not None:
            raise InvalidInput("recurrence_window is not for the network of a fixed size")
        if (self.max_tasks is None) != (self.max_machines is None):
            raise InvalidInput("give max_tasks and max_machines together, or neither")
