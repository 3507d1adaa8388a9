"""Answers of the service, checked and read as schedules."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.schedule import Schedule, check_belongs, make_schedule, violations
from deepsched.pipeline.client.errors import ServiceError
from deepsched.pipeline.wire.arrow import answers_from_stream
from deepsched.pipeline.wire.models import BatchAnswer, ProblemFault, ScheduleAnswer
from deepsched.pipeline.wire.streams import CONTENT_TYPE as ARROW

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from deepsched.baselines.problem import Problem
    from deepsched.pipeline.client.exchange import Reply

Kind = TypeVar("Kind", bound=BaseModel)
LONGEST_LINE = 400  # characters of what a stranger says


@dataclass(frozen=True, kw_only=True, eq=False)
class Answered:
    """A schedule and what the service says of it.

    Attributes
    ----------
    schedule : as the library makes them; machines are numbered as in the problem.
    problem : that was asked for; None where a file or document was.
    """

    schedule: Schedule
    problem: Problem | None
    made: Callable[[], ScheduleAnswer]

    @functools.cached_property
    def answer(self) -> ScheduleAnswer:
        """The whole answer: measures, model and its version, where the time went, tasks by name.

        Raises
        ------
        InvalidInput
            Of a job whose problem was sent as Arrow, and is not at hand.
        """
        return self.made()

    def __repr__(self) -> str:
        return f"Answered({self.schedule!r})"


def read_as(model: type[Kind], reply: Reply, base: str) -> Kind:
    """Return a JSON answer as its model.

    Raises
    ------
    ServiceError
        If it is none.
    """
    try:
        return model.model_validate_json(reply.content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        said = f"{place}: {first['msg']}" if place else first["msg"]
        raise _illegible(base, reply, said) from None


def read_answers(
    reply: Reply,
    problems: Sequence[Problem | None],
    base: str,
    *,
    check: bool,
    many: bool = False,
) -> list[Answered | ServiceError]:
    """Return the answers to some problems, in their order; a fault is the error in its place.

    Parameters
    ----------
    check : whether each schedule is held against all rules; where the problem is known.
    many : whether the answer was asked for as a list.

    Raises
    ------
    ServiceError
        If the answer as a whole is none.
    """
    found: Sequence[Any]
    if reply.headers.get("content-type", "").partition(";")[0].strip() == ARROW:
        try:
            found = answers_from_stream(reply.content)
        except InvalidInput as error:
            raise _illegible(base, reply, str(error)) from None
    elif many:
        found = read_as(BatchAnswer, reply, base).answers
    else:
        found = [read_as(ScheduleAnswer, reply, base)]
    if len(found) != len(problems):
        said = f"{len(found)} answers to {len(problems)} problems"
        raise _illegible(base, reply, said)
    return [
        _answered(one, problem, base, reply, check)
        for one, problem in zip(found, problems, strict=True)
    ]


def _answered(
    found: Any, problem: Problem | None, base: str, reply: Reply, check: bool
) -> Answered | ServiceError:
    if isinstance(found, ProblemFault):
        return ServiceError(f"{base} answers {found.status}: {one_line(found.error)}", found.status)
    if isinstance(found, dict) and found["status"] != 200:
        line = one_line(found["error"])
        return ServiceError(f"{base} answers {found['status']}: {line}", found["status"])
    try:
        if isinstance(found, dict):
            done = _from_row(found, problem)
        else:
            done = _from_document(found, problem)
        if problem is not None:
            check_belongs(problem, done.schedule)
    except InvalidInput as error:
        raise _illegible(base, reply, str(error)) from None
    if check and problem is not None:
        broken = violations(problem, done.schedule)
        if broken:
            raise _illegible(base, reply, f"its schedule breaks a rule: {broken[0]}")
    return done


def _from_row(row: dict[str, Any], problem: Problem | None) -> Answered:
    schedule = make_schedule(
        row["scheduler"], row["proc"], row["ast"], row["aft"], winner=row["winner"]
    )

    def made() -> ScheduleAnswer:
        if problem is None:  # of a job that somebody else submitted
            raise InvalidInput("the answer has no names; give the problem that it answers")
        ids = problem.machines.ids
        columns = (schedule.proc.tolist(), schedule.ast.tolist(), schedule.aft.tolist())
        tasks = [
            {"id": task, "machine": ids[machine], "start": start, "finish": finish}
            for task, machine, start, finish in zip(problem.task_ids, *columns, strict=True)
        ]
        hidden = ("proc", "ast", "aft", "status")
        details = {name: value for name, value in row.items() if name not in hidden}
        return ScheduleAnswer.model_validate({**details, "tasks": tasks})

    return Answered(schedule=schedule, problem=problem, made=made)


def _from_document(answer: ScheduleAnswer, problem: Problem | None) -> Answered:
    names = answer.machines if problem is None else problem.machines.ids
    if names is None:  # of those that are used, in the order in which they are
        names = list(dict.fromkeys(task.machine for task in answer.tasks))
    numbers = {name: number for number, name in enumerate(names)}
    unknown = [task.machine for task in answer.tasks if task.machine not in numbers]
    if unknown:
        raise InvalidInput(f"there is no machine {unknown[0]!r}")
    schedule = make_schedule(
        answer.scheduler,
        [numbers[task.machine] for task in answer.tasks],
        [task.start for task in answer.tasks],
        [task.finish for task in answer.tasks],
        winner=answer.winner,
    )
    return Answered(schedule=schedule, problem=problem, made=lambda: answer)


def schedule_of(found: Answered | ServiceError, number: int) -> Schedule:
    """Return the schedule of one problem of many, or raise its error with its number."""
    if isinstance(found, ServiceError):
        raise ServiceError(f"problem {number}: {found}", found.status)
    return found.schedule


def one_line(text: str) -> str:
    """Return what a stranger says on one line, cut where it is long."""
    line = " ".join(text[: 4 * LONGEST_LINE].split())
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 3]}..."


def _illegible(base: str, reply: Reply, said: str) -> ServiceError:
    return ServiceError(f"{base}: no answer of a DeepSched service: {one_line(said)}")
