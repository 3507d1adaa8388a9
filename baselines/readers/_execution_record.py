"""The nodes that a WfFormat trace was recorded on, and where each of its tasks ran."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.machines import DEFAULT_BANDWIDTH, DEFAULT_LATENCY, REFERENCE_FREQUENCY
from deepsched.baselines.readers._dataflow import warn
from deepsched.baselines.readers._slots import expanded, slot_count
from deepsched.baselines.readers._values import (
    Rule,
    an_object,
    echo,
    entries,
    names,
    number,
    required,
)

if TYPE_CHECKING:
    from deepsched.baselines.arrays import FloatArray
    from deepsched.baselines.machines import Machines

ORIGIN = "from the trace"
LARGEST = 1e9  # cores that a warning names
MB = 1e6  # bytes
# What versions call the same; the first is that of 1.5. Memory was in KB up to 1.3.
CORES = ("coreCount", "count")
SPEEDS = ("speedInMHz", "speed")
MEMORIES = {"memoryInBytes": 1.0, "memory": 1e3}


@dataclass(frozen=True, kw_only=True, slots=True)
class ExecutionRecord:
    """The nodes of a trace.

    Attributes
    ----------
    machines : their slots.
    speed : (n_machines,) MHz, NaN where the record does not say.
    measured : (n_tasks,) MHz of the node that the task ran on, NaN where nobody knows.
    """

    machines: Machines
    speed: FloatArray
    measured: FloatArray

    def ratios(self) -> FloatArray:
        """Return (n_tasks, n_machines) time there / measured time: 1 where a speed is unknown."""
        ratio: FloatArray = self.measured[:, None] / self.speed
        return np.where(np.isnan(ratio), 1.0, ratio)


def read_record(
    part: dict[str, Any], parent: str, tasks: list[dict[str, Any]], task_place: Any, where: str
) -> ExecutionRecord:
    """Return the nodes that `part`, `workflow` or its `execution`, names, a slot for each core.

    Parameters
    ----------
    parent : the path of `part`, with a dot behind it.
    tasks : the entry with the measurements of each task, {} where there is none.
    task_place : names the k-th.

    Raises
    ------
    InvalidInput, InvalidProblem
        If there is no such record, or a value in it is illegal.
    """
    if not part.get("machines"):
        raise InvalidInput(
            f"{where}: {parent}machines is missing or empty: the trace does not say what it ran "
            "on; --machines N draws machines"
        )
    items = entries(part, "machines", where, parent)
    place = f"{where}: {parent}machines"
    for k in range(len(items)):
        required(items[k], "nodeName", where, f"{parent}machines[{k}].")
    ids = names([item["nodeName"] for item in items], lambda k: f"{place}[{k}].nodeName")
    cpus = [
        an_object(item["cpu"], f"{place}[{k}].cpu") if item.get("cpu") is not None else {}
        for k, item in enumerate(items)
    ]
    slots, speeds, memories = [], [], []
    for k, (item, cpu) in enumerate(zip(items, cpus, strict=True)):
        key, value = _first(cpu, CORES)
        slots.append(1 if value is None else slot_count(value, f"{place}[{k}].cpu.{key}"))
        key, value = _first(cpu, SPEEDS)
        known = value is not None
        speeds.append(number(value, Rule.POSITIVE, f"{place}[{k}].cpu.{key}") if known else np.nan)
        key, value = _first(item, tuple(MEMORIES))
        known = value is not None
        memories.append(
            number(value, Rule.COST, f"{place}[{k}].{key}") * MEMORIES[key] / MB
            if known
            else np.inf
        )
    unknown = [ids[k] for k, cpu in enumerate(cpus) if _first(cpu, CORES)[1] is None]
    if unknown:
        warn(
            f"{where}: {parent}machines has no number of cores for {len(unknown)} of {len(ids)} "
            f"nodes ({echo(unknown[0])} for one): each of them is taken as one slot"
        )
    speed = np.array(speeds)
    counts = np.array(slots)
    machines = expanded(
        ids,
        slots,
        where,
        cores=counts.astype(np.float64),
        frequency=np.where(np.isnan(speed), REFERENCE_FREQUENCY, speed),
        memory=np.array(memories),
        bandwidth=DEFAULT_BANDWIDTH,
        latency=DEFAULT_LATENCY,
        origin=ORIGIN,
    )
    _warn_of_cores(tasks, where)
    measured = _measured_speeds(tasks, task_place, dict(zip(ids, speeds, strict=True)), where)
    return ExecutionRecord(machines=machines, speed=np.repeat(speed, counts), measured=measured)


def _first(item: dict[str, Any], keys: tuple[str, ...]) -> tuple[str, Any]:
    """Return the first key with a value, and the value; the first key and None without any."""
    return next(((key, item[key]) for key in keys if item.get(key) is not None), (keys[0], None))


def _measured_speeds(
    tasks: list[dict[str, Any]], place: Any, speeds: dict[str, float], where: str
) -> FloatArray:
    """Return (n_tasks,) MHz of the first node that each task names, NaN where nobody knows."""
    found, strange = [], []
    for k, task in enumerate(tasks):
        key = "machines" if task.get("machines") else "machine"
        given = task.get(key) or None
        if key == "machines" and given is not None:
            given = given[0] if isinstance(given, list) else {}
        if given is not None and type(given) is not str:
            what = "a list of names" if key == "machines" else "a name"
            raise InvalidInput(f"{place(k)}.{key} is {echo(task[key])}; it must be {what}")
        if given is not None and given not in speeds:
            strange.append(given)
        found.append(np.nan if given is None else speeds.get(given, np.nan))
    if strange:
        warn(
            f"{where}: {len(strange)} of {len(tasks)} tasks ran on nodes that the record does not "
            f"have ({echo(strange[0])} for one): they take as long everywhere as they took"
        )
    return np.array(found)


def _warn_of_cores(tasks: list[dict[str, Any]], where: str) -> None:
    wide = [task[key] for task in tasks for key in ("coreCount", "cores") if _several(task, key)]
    if wide:
        most = min(max(wide), LARGEST)  # whole numbers in JSON may be beyond all floats
        warn(
            f"{where}: {len(wide)} of {len(tasks)} tasks had several cores, up to {most:g}; "
            "here each runs in one slot, for as long as it took"
        )


def _several(task: dict[str, Any], key: str) -> bool:
    value = task.get(key)
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 1
