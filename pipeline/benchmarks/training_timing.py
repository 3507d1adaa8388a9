"""Where the time of a training's steps goes, and what the machine could reach of it."""

from __future__ import annotations

import functools
import math
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from deepsched.model.threads import one_thread
from deepsched.pipeline.benchmarks.roofline import Work, measure_machine
from deepsched.pipeline.benchmarks.training_costs import take
from deepsched.pipeline.training.course import make_course
from deepsched.pipeline.training.loop import make_learner
from deepsched.pipeline.training.plan import plan_training
from deepsched.pipeline.training.rollouts import rollout_streams
from deepsched.pipeline.training.run import train_here
from deepsched.pipeline.training.state import new_state

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from deepsched.baselines.arrays import FloatArray
    from deepsched.model.learning import RolloutJob
    from deepsched.pipeline.training.config import TrainConfig

COUNTED = 3  # steps whose operations are counted, which takes many times as long as doing them
GENERATED: dict[str, Any] = {"teacher": "heft", "development": 1, "workers": 0}


def timed(
    options: dict[str, Any], steps: int, *, on_step: Callable[[int], None] = lambda _: None
) -> dict[str, Any]:
    """Train on generated problems in this process, then do the parts of the same steps alone.

    Parameters
    ----------
    options : settings of the training, such as its network.
    steps : at least 2; the first one is not timed.
    on_step : called with the number of steps done.

    Returns
    -------
    "steps/s", "tasks/s"; "cpu", the share of the time outside of waiting in which the training
    thread had a CPU; "shares" of its time; "reading", CPU seconds of the thread that reads ahead
    for each of the training thread; "flops", of the forward and backward passes, and "rollouts",
    tasks decoded: what a step has of them, what the training "achieved" in a CPU second, and what
    is "attainable".
    """
    stamps: dict[int, tuple[float, float]] = {}

    def note(step: int) -> None:
        stamps.setdefault(step, (time.perf_counter(), time.thread_time()))
        on_step(step)

    with tempfile.TemporaryDirectory() as folder:
        own = {**GENERATED, **options, "steps": steps, "check_every": steps}
        plan = plan_training(None, Path(folder), options=own)
        shares = train_here(plan, on_status=lambda status: note(status.step)).history[-1]["shares"]
    begun = min(step for step in stamps if step)
    elapsed, computed = (
        (last - first) / (steps - begun)
        for first, last in zip(stamps[begun], stamps[steps], strict=True)
    )
    working = 1 - shares["data"] - shares.get("peers", 0.0)
    second = computed / working  # CPU seconds of a step for a share of 1
    parts = _parts(plan.config)
    a_step = {name: value / steps for name, value in parts.items()}
    machine = measure_machine()
    figures: dict[str, Any] = {
        "steps/s": 1 / elapsed,
        "tasks/s": a_step["tasks"] / elapsed,
        "cpu": computed / (working * elapsed),
        "shares": shares,
        "reading": {name: a_step[name] / computed for name in ("drawing", "features")},
        "flops": {
            "step": a_step["flops"],
            "bytes": a_step["bytes"],
            "peak": machine.flops,
            "bandwidth": machine.bandwidth,
            "achieved": a_step["flops"] / ((shares["forward"] + shares["backward"]) * second),
            "attainable": machine.attainable(a_step["flops"], a_step["bytes"]),
        },
    }
    if parts["decoded"]:
        figures["rollouts"] = {
            "step": a_step["decoded"],
            "achieved": a_step["decoded"] / (shares["rollouts"] * second),
            "attainable": parts["decoded"] / parts["decoding"],
        }
    return figures


def _parts(config: TrainConfig) -> dict[str, float]:
    """Do the parts of all steps once more, each alone; return their CPU seconds and counts.

    The weights are those of the beginning, on which none of it depends but the rollouts a little.
    """
    course = make_course(None, config)
    learner = make_learner(config, str(config.objective))
    network = new_state(config, "cpu").network
    found: defaultdict[str, float] = defaultdict(float)

    values: list[FloatArray] = []
    counted = 0

    def run(jobs: Sequence[RolloutJob]) -> Sequence[FloatArray]:
        begin = time.thread_time()
        values[:] = [job.decode(job) for job in jobs]
        found["decoding"] += time.thread_time() - begin
        decodes = [math.prod(job.perturbations.shape[:2]) for job in jobs]
        found["decoded"] += sum(
            count * job.problem.n_tasks for count, job in zip(decodes, jobs, strict=True)
        )
        return values

    with one_thread():
        for step in range(course.steps.total):
            for batch in course.steps.micro_batches(step):
                begin = time.thread_time()
                items = [
                    course.items.item(k, imitated=config.objective == "imitation") for k in batch
                ]
                drawn = time.thread_time()
                encoded = learner.encode(items)
                found["features"] += time.thread_time() - drawn
                found["drawing"] += drawn - begin
                found["tasks"] += sum(item.problem.n_tasks for item in items)
                streams = functools.partial(rollout_streams, config, step, batch)
                with Work() as work:
                    take(network, learner, encoded, streams(), run)
                found["bytes"] += work.bytes
                if step >= COUNTED:
                    continue
                counted += sum(item.problem.n_tasks for item in items)
                # In half precision no layer is a compiled loop, whose operations nobody counts.
                with Work() as work, torch.autocast("cpu", torch.bfloat16):
                    take(network, learner, encoded, streams(), lambda _: values)
                found["flops"] += work.flops
    found["flops"] *= found["tasks"] / counted
    return found
