"""DeepSched: a learned scheduler for task graphs on heterogeneous machines.

Examples
--------
>>> import deepsched as ds
>>> problem = ds.problem(
...     etc=[[14, 16, 9], [13, 19, 18], [11, 13, 19], [13, 8, 17]],
...     edges=[(0, 1, 18.0), (0, 2, 12.0), (1, 3, 9.0), (2, 3, 11.0)],
...     bandwidth=1.0,
... )
>>> best = ds.schedule(problem)  # the network that comes with the package, and HEFT beside it
>>> heft = ds.schedule(problem, "heft")
>>> best.makespan <= heft.makespan, ds.violations(problem, best)
(True, [])

What is imported here is loaded when it is first used; pipeline stages (labelling, training,
evaluating, serving) are commands: ``deepsched --help``.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deepsched.baselines.bounds import lower_bound
    from deepsched.baselines.comparison import Comparison
    from deepsched.baselines.errors import DeepSchedError, InputWarning
    from deepsched.baselines.machines import Machines, draw_machines, make_machines
    from deepsched.baselines.metrics import METRICS
    from deepsched.baselines.problem import Problem
    from deepsched.baselines.readers import read_machines, to_networkx
    from deepsched.baselines.registry import Scheduler, register
    from deepsched.baselines.schedule import Schedule, violations
    from deepsched.baselines.writers import write_gantt, write_svg
    from deepsched.model.interface import (
        compare,
        from_networkx,
        problem,
        read_problem,
        schedule,
    )
    from deepsched.model.load import known_schedulers as schedulers

    __version__: str

__all__ = [
    "METRICS",
    "Comparison",
    "DeepSchedError",
    "InputWarning",
    "Machines",
    "Problem",
    "Schedule",
    "Scheduler",
    "compare",
    "draw_machines",
    "from_networkx",
    "lower_bound",
    "make_machines",
    "problem",
    "read_machines",
    "read_problem",
    "register",
    "schedule",
    "schedulers",
    "to_networkx",
    "violations",
    "write_gantt",
    "write_svg",
]

# In a checkout the three packages lie beside this folder; installed, they lie in it.
if not os.path.isdir(os.path.join(__path__[0], "baselines")):  # noqa: PTH112, PTH118 - pathlib
    __path__.append(os.path.dirname(__path__[0]))  # noqa: PTH120 - takes longer to import than this

# Where each name lives: `import deepsched` itself costs next to nothing.
_HOMES = {
    "METRICS": "baselines.metrics",
    "Comparison": "baselines.comparison",
    "DeepSchedError": "baselines.errors",
    "InputWarning": "baselines.errors",
    "Machines": "baselines.machines",
    "Problem": "baselines.problem",
    "Schedule": "baselines.schedule",
    "Scheduler": "baselines.registry",
    "compare": "model.interface",
    "draw_machines": "baselines.machines",
    "from_networkx": "model.interface",
    "lower_bound": "baselines.bounds",
    "make_machines": "baselines.machines",
    "problem": "model.interface",
    "read_machines": "baselines.readers",
    "read_problem": "model.interface",
    "register": "baselines.registry",
    "schedule": "model.interface",
    "schedulers": "model.load:known_schedulers",
    "to_networkx": "baselines.readers",
    "violations": "baselines.schedule",
    "write_gantt": "baselines.writers",
    "write_svg": "baselines.writers",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version(__name__)
        except PackageNotFoundError:
            return "0+checkout"  # run without being installed
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, own_name = _HOMES[name].partition(":")
    value = getattr(importlib.import_module(f"{__name__}.{module}"), own_name or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
