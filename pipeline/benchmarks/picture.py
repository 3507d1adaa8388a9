"""One workflow scheduled by HEFT and by the pretrained network, as a picture."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from string import ascii_uppercase
from typing import TYPE_CHECKING

import click
import numpy as np

from deepsched.baselines.generate import GeneratorSpec, generate
from deepsched.baselines.readers import ReadOptions, read_problem
from deepsched.baselines.registry import get_scheduler, teacher_rng
from deepsched.baselines.timing import timed
from deepsched.baselines.writers import write_svg
from deepsched.model.load import PRETRAINED, resolve_scheduler
from deepsched.pipeline.common.cli import messages, results
from deepsched.pipeline.common.options import CONTEXT_SETTINGS, machine_options
from deepsched.pipeline.common.outputs import STANDARD, check_outputs

if TYPE_CHECKING:
    from deepsched.baselines.problem import Problem

SAMPLES = 32
EXAMPLE = GeneratorSpec(family="layered", tasks=48, depth=6, machines=4, heterogeneity=2.0, ccr=2.0)
# Of the seeds 0 to 99 one whose gain is near the median (11.6 %, median 11.3 %, mean 11.8 %), and
# whose tasks are mostly long enough to be seen.
SEED = 2


def example() -> Problem:
    """Return a generated problem to be drawn; tasks are named by their level, A1 to F8."""
    problem = generate(EXAMPLE, SEED)
    level = np.zeros(problem.n_tasks, dtype=np.int64)
    parents, children, _ = problem.edge_list()
    for parent, child in zip(parents, children, strict=True):  # parents come in topological order
        level[child] = max(level[child], level[parent] + 1)
    seen: dict[int, int] = {}
    ids = []
    for own in level.tolist():
        seen[own] = seen.get(own, 0) + 1
        ids.append(f"{ascii_uppercase[own]}{seen[own]}")
    return replace(problem, task_ids=tuple(ids))


@click.command(name="picture", context_settings=CONTEXT_SETTINGS)
@click.argument("file", required=False)
@machine_options
@click.option("--out", required=True, metavar="FILE.svg", help="Where the picture is written.")
def command(file: str | None, read_options: ReadOptions, out: str) -> None:
    """Draw what HEFT and the pretrained network make of one workflow FILE.

    Without FILE it is a generated graph of 48 tasks on 4 machines. The network takes the best of 32
    samples.
    """
    check_outputs(file or STANDARD, {"--out": out})
    problem = example() if file is None else read_problem(Path(file), read_options)
    network = resolve_scheduler(PRETRAINED, options={"samples": SAMPLES})
    schedules = [
        timed(scheduler, problem, partial(teacher_rng, 0, 0, name))[0]
        for name, scheduler in (("heft", get_scheduler("heft")), (PRETRAINED, network))
    ]
    write_svg(Path(out), problem, *schedules)
    messages.print(f"picture written to {out}", markup=False)
    for schedule in schedules:
        results.print(f"{schedule.scheduler:<10} makespan {schedule.makespan:.6g} s", markup=False)
