"""What the rows of an evaluation add up to: a group's numbers, times by size, and sentences."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import asdict
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from deepsched.baselines.comparison import REFERENCE
from deepsched.baselines.ratios import SIZE_LABELS, size_bucket, summarise_ratios

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from deepsched.pipeline.evaluation.measure import Row


def summarise_group(
    rows: Sequence[Row],
    fits: Sequence[Mapping[str, float]],
    *,
    learned: str,
    known_sources: frozenset[str],
) -> dict[str, Any]:
    """Return the numbers of one group of samples, ready for JSON.

    Parameters
    ----------
    rows : of this group, every scheduler on every sample.
    fits : each sample's `NetworkScheduler.agreement`; empty where the network predicts no schedule.
    learned : the network's name among the schedulers.
    known_sources : graphs that the training has seen, on whatever machines.
    """
    by_scheduler: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_scheduler[row.scheduler].append(row)
    reference = {row.sample_id: row for row in by_scheduler[REFERENCE]}
    samples = list(reference.values())
    return {
        "learned": learned,
        "samples": len(samples),
        "sources": len({row.source for row in samples}),
        "known": sum(row.source in known_sources for row in samples),
        "tasks": _range(row.tasks for row in samples),
        "machines": _range(row.machines for row in samples),
        "schedulers": {
            name: _summarise_scheduler(found, reference) for name, found in by_scheduler.items()
        },
        "versus": versus(rows, learned) if learned in by_scheduler else {},
        "network": _pooled(fits),
    }


def mean_ratio(found: Mapping[str, Any]) -> float:
    """Return the mean makespan / HEFT's; infinite where there is none."""
    return math.inf if not found["ratio"] else float(found["ratio"]["makespan"]["mean"])


def ranked(group: Mapping[str, Any]) -> list[str]:
    """Return the schedulers of a group by their mean makespan / HEFT's, the best first."""
    return sorted(group["schedulers"], key=lambda name: mean_ratio(group["schedulers"][name]))


def seconds_by_size(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Return, per range of sizes, the median scheduling time of each scheduler, s."""
    buckets: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row.seconds is not None:
            buckets[size_bucket(row.tasks)][row.scheduler].append(row)
    table = []
    for label in SIZE_LABELS:
        if label not in buckets:
            continue
        every = {
            (row.group, row.sample_id): row for found in buckets[label].values() for row in found
        }
        table.append(
            {
                "tasks": label,
                "median_tasks": median(row.tasks for row in every.values()),
                "median_machines": median(row.machines for row in every.values()),
                "seconds": {
                    name: median(row.seconds for row in found if row.seconds is not None)
                    for name, found in buckets[label].items()
                },
                "runs": {name: len(found) for name, found in buckets[label].items()},
            }
        )
    return table


def verdicts(group: Mapping[str, Any], rivals: Sequence[str]) -> list[str]:
    """Say in a sentence each how the network does against each rival, wins and losses alike."""
    sentences = []
    fit = group["network"]
    if fit:
        sentences.append(
            f"{group['learned']} predicts its teacher's machine for {100 * fit['accuracy']:.1f} % "
            f"of the tasks (machine accuracy), {fit['accuracy'] / fit['chance']:.2f} times chance."
        )
    for rival in rivals:
        found = group["versus"].get(rival)
        if found is not None:
            span, turn = found["makespan"], found["mean_turnaround"]
            sentences.append(
                f"On average its makespan is {_against(span, rival)}: shorter on "
                f"{span['better']}, equal on {span['equal']}, longer on {span['worse']} of "
                f"{span['samples']} samples. Its mean turnaround is {_against(turn, rival)}."
            )
    return sentences


def versus(rows: Sequence[Row], name: str) -> dict[str, Any]:
    """Compare one scheduler with every other on the samples that both have scheduled."""
    own = {row.sample_id: row for row in rows if row.scheduler == name}
    others: dict[str, dict[int, Row]] = defaultdict(dict)
    for row in rows:
        if row.scheduler != name:
            others[row.scheduler][row.sample_id] = row
    return {other: _compared(list(own.values()), found) for other, found in others.items()}


def _summarise_scheduler(rows: Sequence[Row], reference: Mapping[int, Row]) -> dict[str, Any]:
    done = [row for row in rows if row.makespan is not None]
    reproduced = [row.reproduced for row in done if row.reproduced is not None]
    timed_rows = [row.seconds for row in done if row.seconds is not None]
    summary: dict[str, Any] = {
        "samples": len(done),
        "refused": len(rows) - len(done),
        "reproduced": sum(reproduced),
        "compared": len(reproduced),
        "median_seconds": median(timed_rows) if timed_rows else None,
    }
    for measure in ("makespan", "mean_turnaround", "mean_waiting"):
        summary[measure] = _mean(getattr(row, measure) for row in done)
    # A share of tasks, whatever sample they are of: as the network's accuracy is counted.
    tasks = sum(row.tasks for row in done)
    same = sum((row.same_machine or 0.0) * row.tasks for row in done)
    summary["same_machine"] = same / tasks if tasks else None
    bounds = [row.makespan / row.lower_bound for row in done if row.makespan and row.lower_bound]
    summary["above_bound"] = _mean(bounds)
    summary["ratio"] = _compared(done, reference)
    return summary


def _compared(rows: Sequence[Row], reference: Mapping[int, Row]) -> dict[str, Any] | None:
    pairs = [
        (row, reference[row.sample_id])
        for row in rows
        if row.makespan is not None
        and row.sample_id in reference
        and reference[row.sample_id].makespan is not None
    ]
    if not pairs:
        return None
    sources = [row.source for row, _ in pairs]
    return {
        measure: asdict(
            summarise_ratios(
                [getattr(row, measure) for row, _ in pairs],
                [getattr(other, measure) for _, other in pairs],
                sources,
            )
        )
        for measure in ("makespan", "mean_turnaround")
    }


def _pooled(fits: Sequence[Mapping[str, float]]) -> dict[str, float] | None:
    """Average over all tasks of all samples; a root mean square through its square."""
    if not fits:
        return None
    tasks = np.array([fit["tasks"] for fit in fits])
    pooled: dict[str, float] = {"tasks": int(tasks.sum())}
    for key in fits[0]:
        if key == "tasks":
            continue
        values = np.array([fit[key] for fit in fits])
        if key.endswith("rmse"):
            pooled[key] = float(np.sqrt(np.average(values**2, weights=tasks)))
        else:
            pooled[key] = float(np.average(values, weights=tasks))
    return pooled


def _mean(values: Iterable[float]) -> float | None:
    numbers = list(values)
    return float(np.mean(numbers)) if numbers else None


def _range(values: Iterable[int]) -> list[int]:
    numbers = sorted(values)
    return [numbers[0], int(median(numbers)), numbers[-1]] if numbers else []


def _against(summary: Mapping[str, Any], rival: str) -> str:
    ratio = summary["mean"]
    if abs(ratio - 1) < 5e-4:
        text = f"within 0.05 % of {rival}'s"
    elif ratio >= 2:
        text = f"{ratio:.3g} times {rival}'s"
    else:
        text = f"{abs(ratio - 1) * 100:.1f} % {'lower' if ratio < 1 else 'higher'} than {rival}'s"
    if summary["interval"] is None:
        return text
    low, high = summary["interval"]
    unsure = ", which includes 1" if low <= 1 <= high else ""
    return f"{text} (ratio {ratio:.3f}, 95 % interval {low:.3f} to {high:.3f}{unsure})"
