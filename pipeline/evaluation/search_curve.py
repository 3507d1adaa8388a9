"""What more time for the network's search brings: makespans against seconds, by size."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from statistics import mean, median
from typing import TYPE_CHECKING, Any

from deepsched.baselines.comparison import REFERENCE
from deepsched.baselines.ratios import SIZE_LABELS, size_bucket
from deepsched.baselines.registry import SCHEDULERS, teacher_rng
from deepsched.baselines.timing import timed, warm_up
from deepsched.model.load import load_network
from deepsched.pipeline.evaluation.measure import REPEATS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from deepsched.pipeline.evaluation.cases import Group
    from deepsched.pipeline.evaluation.measure import Row

# Each way is tried on so many problems of a size, and on none with more tasks: seconds in all.
EACH, MOST_TASKS = 3, 10_000
WAYS: dict[str, dict[str, Any]] = {
    "1 sample": {"samples": 1},
    "8 samples": {"samples": 8},
    "32 samples": {"samples": 32},
    "0.1 s": {"samples": 32, "budget": 0.1},
    "0.5 s": {"samples": 32, "budget": 0.5},
}


def search_curve(
    checkpoint: Path | None, groups: Sequence[Group], rows: Sequence[Row]
) -> list[dict[str, Any]]:
    """Schedule a few problems of each size in each of `WAYS`, in this process.

    Problems that training has not seen come first.

    Parameters
    ----------
    checkpoint : of a network `deepsched`; None: the pretrained one.
    rows : of the comparison, which say what problems there are.

    Returns
    -------
    For each range of sizes its label, how many samples, and for each way its name, the median
    seconds, and the mean makespan / HEFT's.
    """
    chosen: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for group in sorted(groups, key=lambda group: group.name == "seen"):
        for row in rows:
            bucket = chosen[size_bucket(row.tasks)]
            if (row.group, row.scheduler) != (group.name, REFERENCE) or row.tasks > MOST_TASKS:
                continue
            if len(bucket) < EACH:
                bucket.append((row.group, row.sample_id))
    schedulers = {way: load_network(checkpoint, **options) for way, options in WAYS.items()}
    for scheduler in schedulers.values():
        warm_up(scheduler)
    found: dict[str, dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    wanted = {sample for samples in chosen.values() for sample in samples}
    for group in groups:
        for case in group.cases({k for name, k in wanted if name == group.name}):
            stream = teacher_rng(group.seed, case.sample_id, REFERENCE)
            heft = SCHEDULERS[REFERENCE](case.problem, stream)
            if heft.makespan <= 0:
                continue
            for way, scheduler in schedulers.items():
                schedule, seconds = timed(
                    scheduler,
                    case.problem,
                    partial(teacher_rng, group.seed, case.sample_id, scheduler.name),
                    repeats=REPEATS,
                )
                own = found[size_bucket(case.problem.n_tasks)][way]
                own.append((seconds, schedule.makespan / heft.makespan))
    return [
        {
            "tasks": label,
            "samples": len(found[label][next(iter(WAYS))]),
            "points": [
                {
                    "way": way,
                    "seconds": median(seconds for seconds, _ in points),
                    "ratio": mean(ratio for _, ratio in points),
                }
                for way, points in found[label].items()
            ],
        }
        for label in SIZE_LABELS
        if label in found
    ]
