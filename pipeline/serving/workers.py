"""The processes of the service that schedule: compiled schedulers, and the network in batches.

Plain classes; `deepsched.pipeline.serving.app` makes Ray Serve deployments of them.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import logging
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ray import serve

from deepsched.baselines.errors import DeepSchedError, InputWarning
from deepsched.baselines.registry import SCHEDULERS, Scheduler, get_scheduler, teacher_rng
from deepsched.baselines.schedule import Schedule, violations
from deepsched.baselines.text import plain
from deepsched.baselines.timing import timed, warm_up
from deepsched.model.load import PRETRAINED, load_network, network_of
from deepsched.model.networks.deepsched.options import DECODES, OBJECTIVES
from deepsched.model.networks.deepsched.scheduler import DeepSchedScheduler
from deepsched.pipeline.serving.requests import (
    Answer,
    Query,
    RequestError,
    read_request,
    refusal,
    schedule_answer,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from deepsched.baselines.problem import Problem
    from deepsched.pipeline.serving.settings import ServeArgs

log = logging.getLogger("ray.serve")

ONE_THREAD = {"threads": 1}  # a process has one CPU and several requests at once
ALL_OF_IT: dict[str, Any] = {"samples": 8, "budget": 0.02}


def has_network(args: ServeArgs) -> bool:
    """Return whether there is a network that wants processes of its own and batches.

    One that wants no batches is compiled and runs beside the other schedulers.

    Raises
    ------
    InvalidInput
        If the checkpoint cannot be read.
    """
    return network_of(args.checkpoint).wants_batches


def _one_reader() -> ThreadPoolExecutor:
    # A warning would only reach the log; and Python would keep the text of each, for ever.
    warnings.simplefilter("ignore", InputWarning)
    # Parsing holds the GIL, so a second thread would only double the memory it takes.
    return ThreadPoolExecutor(1)


class Heuristics:
    """One process that runs the compiled schedulers and `deepsched`, `threads` at a time."""

    def __init__(self, args: ServeArgs) -> None:
        self._args = args
        self._checkpoint = None if has_network(args) else args.checkpoint
        self._reader = _one_reader()
        self._workers = ThreadPoolExecutor(args.threads)
        warm_up(SCHEDULERS["heft"])
        # Each way to decode, with samples and search, read and compiled now: a request waits for
        # neither, and none is answered by a checkpoint that came later.
        for decoding, objective in itertools.product((None, *DECODES), OBJECTIVES):
            network = _deepsched(self._checkpoint, decoding, objective)
            network = network.with_options(objective=objective, **ONE_THREAD, **ALL_OF_IT)
            for _ in range(2):  # what the first run compiles uses up the budget of the search
                warm_up(network)

    async def schedule(self, body: bytes, encoding: str, query: Query) -> Answer:
        """Answer one request; a bad one with its 4xx."""
        loop = asyncio.get_running_loop()
        try:
            problem = await loop.run_in_executor(
                self._reader, read_request, body, encoding, query, self._args
            )
            return await loop.run_in_executor(
                self._workers, solve, problem, query, self._checkpoint
            )
        except DeepSchedError as error:
            return refusal(error)


def solve(problem: Problem, query: Query, checkpoint: Path | None = None) -> Answer:
    """Run the scheduler that the query names; the schedule is validated before it is answered.

    Parameters
    ----------
    checkpoint : the network that `deepsched` is; None: the pretrained one.
    """
    name = query.settings.scheduler or PRETRAINED
    run: Scheduler
    if name == PRETRAINED:
        options = dict(query.options)
        objective = options.get("objective", OBJECTIVES[0])
        network = _deepsched(checkpoint, options.pop("decode", None), objective)
        run = network.with_options(**ONE_THREAD, **options)
    else:
        run = get_scheduler(name)
    schedule, seconds = timed(run, problem, lambda: teacher_rng(query.settings.seed, 0, name))
    return schedule_answer(problem, schedule, seconds)


@functools.cache
def _deepsched(checkpoint: Path | None, decoding: str | None, objective: str) -> DeepSchedScheduler:
    return DeepSchedScheduler.load(checkpoint, decode=decoding, objective=objective)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of one problem of a batch: a valid schedule, or why there is none."""

    result: Schedule | DeepSchedError
    seconds: float  # of the whole batch
    batch: int  # requests in it


class Network:
    """One process that runs the trained network on batches bounded by their total tasks."""

    def __init__(self, args: ServeArgs) -> None:
        if args.checkpoint is None:
            raise ValueError("the network needs a checkpoint")
        self._args = args
        self._network = load_network(args.checkpoint, device=args.device)
        self._reader = _one_reader()
        self._runner = ThreadPoolExecutor(1)
        warm_up(self._network)
        # serve.batch hands over what arrived within the wait, as far as it fits. A problem larger
        # than a batch may be goes alone, hence the min.
        self._batched = serve.batch(
            max_batch_size=args.max_batch_tasks,
            batch_wait_timeout_s=args.batch_wait_s,
            batch_size_fn=lambda problems: sum(
                min(problem.n_tasks, args.max_batch_tasks) for problem in problems
            ),
        )(self._run_batch)

    async def schedule(self, body: bytes, encoding: str, query: Query) -> Answer:
        """Answer one request; a bad one with its 4xx, which no other request notices."""
        loop = asyncio.get_running_loop()
        try:
            problem = await loop.run_in_executor(
                self._reader, read_request, body, encoding, query, self._args
            )
        except DeepSchedError as error:
            return refusal(error)
        outcome: Outcome = await self._batched(problem)
        if isinstance(outcome.result, DeepSchedError):
            return refusal(outcome.result)
        headers = {"X-Batch-Requests": str(outcome.batch)}
        return await loop.run_in_executor(
            self._reader, schedule_answer, problem, outcome.result, outcome.seconds, headers
        )

    async def _run_batch(self, problems: list[Problem]) -> list[Outcome]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._runner, schedule_together, self._network.schedule_batch, problems
        )


def schedule_together(
    schedule_batch: Callable[[Sequence[Problem]], Sequence[Schedule]], problems: Sequence[Problem]
) -> list[Outcome]:
    """Schedule a batch; if that fails, each problem alone, so that only the culprit fails.

    Raised, an error would fail every request of the batch; so it is returned.
    """
    begin = time.perf_counter()
    results: list[Schedule | DeepSchedError]
    try:
        results = [
            _checked(problem, schedule)
            for problem, schedule in zip(problems, schedule_batch(problems), strict=True)
        ]
    except Exception as error:
        if len(problems) > 1:
            return [schedule_together(schedule_batch, [problem])[0] for problem in problems]
        if isinstance(error, DeepSchedError):
            results = [error]
        else:
            log.exception("the network failed on %s", plain(problems[0].name))
            results = [RequestError(500, "the network failed on this problem; the log says why")]
    seconds = time.perf_counter() - begin
    return [Outcome(result=result, seconds=seconds, batch=len(problems)) for result in results]


def _checked(problem: Problem, schedule: Schedule) -> Schedule | DeepSchedError:
    broken = violations(problem, schedule)
    if not broken:
        return schedule
    log.error("the network made an invalid schedule of %s: %s", problem.name, broken[0])
    return RequestError(500, "the network made an invalid schedule; it is withheld")
