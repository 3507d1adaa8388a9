"""What the service answers, as models: OpenAPI, the tests' checks and the client come from them."""

# No `from __future__ import annotations`: pydantic reads the types.

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Seconds = float
State = Literal["queued", "running", "done", "failed", "cancelled"]
ENDED: frozenset[State] = frozenset({"done", "failed", "cancelled"})


class Record(BaseModel):
    """A frozen JSON object whose fields a later version may add to."""

    model_config = ConfigDict(frozen=True, extra="allow")


class Fault(Record):
    """Why there is no answer: one line."""

    error: str


class ScheduledTask(Record):
    """Where and when one task runs."""

    id: str = Field(description="the task's name in the document")
    machine: str = Field(description="name of the machine")
    start: Seconds = Field(description="s, actual start")
    finish: Seconds = Field(description="s, actual finish")


class Timing(Record):
    """Where the time of a request went, s."""

    queue: Seconds = Field(description="s until a process took it")
    parse: Seconds = Field(description="s until the problem was built")
    schedule: Seconds = Field(description="s of the scheduler, network and decoding included")
    network: Seconds | None = Field(
        default=None, description="s of the network's forward pass, or of what takes its place"
    )
    decode: Seconds | None = Field(
        default=None, description="s of decoding, samples, guard and search"
    )


class ScheduleAnswer(Record):
    """A valid schedule, tasks in the document's order."""

    scheduler: str = Field(description="who was asked")
    winner: str = Field(description="whose schedule it is: heft where the guard kept HEFT's")
    model: str | None = Field(default=None, description="name of the network; null for a heuristic")
    model_version: str | None = Field(default=None, description="SHA-256 of its weights, in hex")
    makespan: Seconds
    mean_turnaround: Seconds
    mean_waiting: Seconds
    heft_makespan: Seconds = Field(description="s, HEFT's on the same problem")
    lower_bound: Seconds = Field(description="s, the cheap bound: no makespan is below")
    seconds: Seconds = Field(description="s that scheduling took")
    timing: Timing
    tasks: list[ScheduledTask]
    machines: list[str] | None = Field(
        default=None, description="with edges=true: all machines' names"
    )
    arrivals: list[Seconds] | None = Field(
        default=None, description="with edges=true: s before which no task starts, as in `tasks`"
    )
    edges: list[tuple[int, int]] | None = Field(
        default=None, description="with edges=true: parent and child as places in `tasks`"
    )


class ProblemFault(Fault):
    """Why one problem of several has no schedule."""

    status: int = Field(description="the HTTP status it would have had alone")


class BatchAnswer(Record):
    """The answers to several problems, in their order."""

    answers: list[ScheduleAnswer | ProblemFault]


class MachinesAnswer(Record):
    """Machines that later requests may name by their hash."""

    machines: str = Field(description="SHA-256 of the machines, in hex")
    n_machines: int


class Job(Record):
    """A request that is worked on without anybody waiting for it."""

    id: str
    state: State
    scheduler: str
    n_tasks: int | None = None
    n_machines: int | None = None
    created: float = Field(description="Unix time, s")
    started: float | None = None
    finished: float | None = None
    expires: float | None = Field(
        default=None, description="Unix time, s, after which it is forgotten"
    )
    heft_makespan: Seconds | None = None
    makespan: Seconds | None = Field(default=None, description="s, the best so far")
    history: list[tuple[Seconds, Seconds]] = Field(
        default=[], description="pairs of s since the start and the best makespan from then on"
    )
    error: str | None = None
    ahead: int = Field(default=0, description="jobs that are queued before it")


class Model(Record):
    """A network that answers."""

    name: str
    version: str = Field(description="SHA-256 of its weights, in hex")
    network: str = Field(description="its architecture")
    default: bool = Field(description="whether it answers where no scheduler is named")
    decode: str | None = None
    objective: str | None = None
    training: dict[str, Any] = Field(description="what was recorded when it was trained")


class ModelsAnswer(Record):
    """The networks that answer, and the service's limits."""

    models: list[Model]
    limits: dict[str, float | None]


class SchedulersAnswer(Record):
    """The schedulers that a query may name."""

    default: str
    schedulers: list[str]
    limits: dict[str, float | None]


class Live(Record):
    """The gateway answers."""

    status: Literal["live"]


class Ready(Record):
    """Whether requests can be worked on now."""

    status: Literal["ready", "not ready"]
    reason: str | None = None
    workers: dict[str, int] = Field(description="kind of process: 1 if one answers, else 0")
