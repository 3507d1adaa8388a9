"""The samples on which the network is best and worst, as Gantt charts beside HEFT's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deepsched.baselines.comparison import REFERENCE
from deepsched.baselines.registry import SCHEDULERS, teacher_rng
from deepsched.baselines.writers import write_gantt
from deepsched.pipeline.common.outputs import make_folder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from deepsched.model.network import NetworkScheduler
    from deepsched.pipeline.evaluation.cases import Group
    from deepsched.pipeline.evaluation.measure import Row

FOLDER = "gantt"  # beside the report
EACH = 3  # of the best samples, and of the worst


def best_and_worst(rows: Sequence[Row], learned: str) -> list[dict[str, Any]]:
    """Return the samples of the least and of the greatest makespan / HEFT's, none of them twice.

    Returns
    -------
    The best ones first, the worst ones in front of the others; each with its group, sample, graph,
    size, ratio, and the file of its chart, from the folder of the report.
    """
    reference = {
        (row.group, row.sample_id): row.makespan for row in rows if row.scheduler == REFERENCE
    }
    found = []
    for row in rows:
        base = reference.get((row.group, row.sample_id))
        if row.scheduler == learned and row.makespan is not None and base:
            found.append((row.makespan / base, row))
    found.sort(key=lambda pair: (pair[0], pair[1].group, pair[1].sample_id))
    best = found[: min(EACH, (len(found) + 1) // 2)]
    worst = found[len(best) :][-EACH:][::-1]
    return [
        {
            "kind": kind,
            "group": row.group,
            "sample_id": row.sample_id,
            "source": row.source,
            "tasks": row.tasks,
            "machines": row.machines,
            "ratio": ratio,
            "file": f"{FOLDER}/{kind}-{place}.html",
        }
        for kind, chosen in {"best": best, "worst": worst}.items()
        for place, (ratio, row) in enumerate(chosen, 1)
    ]


def write_charts(
    out: Path, samples: Sequence[dict[str, Any]], groups: Sequence[Group], network: NetworkScheduler
) -> None:
    """Schedule these samples once more, by HEFT and by the network, and write their charts.

    Raises
    ------
    UnwritableOutput
    """
    folder = make_folder(out / FOLDER, f"--out {out}")
    for kind in ("best", "worst"):  # of a comparison before, maybe of more samples
        for old in folder.glob(f"{kind}-[0-9].html"):
            old.unlink()
    files = {(sample["group"], sample["sample_id"]): sample["file"] for sample in samples}
    for group in groups:
        for case in group.cases({k for name, k in files if name == group.name}):
            schedules = []
            for name, scheduler in ((REFERENCE, SCHEDULERS[REFERENCE]), (network.name, network)):
                schedule = case.labels.get(name)
                if schedule is None:
                    rng = teacher_rng(group.seed, case.sample_id, name)
                    schedule = scheduler(case.problem, rng)
                schedules.append(schedule)
            write_gantt(out / files[group.name, case.sample_id], case.problem, *schedules)
