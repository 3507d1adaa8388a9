"""Pegasus 5: abstract workflows in YAML.

A job's runtime is its pegasus profile `runtime`; most files have none. Edges are `jobDependencies`;
their bytes are those of the files that the parent outputs and the child inputs, whose sizes stand
in the job's `uses` or, as metadata, in the replica catalogue. Pegasus infers dependencies from
files where it is told to; here only what is written counts, and the rest is warned of.

References
----------
Deelman et al. (2015), doi:10.1016/j.future.2014.10.008; https://pegasus.isi.edu/documentation
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.readers._dataflow import FileUses, edge_bytes, given_runtime
from deepsched.baselines.readers._values import (
    Rule,
    a_list,
    an_object,
    decimal,
    echo,
    entries,
    names,
    number,
    positions,
    required,
)
from deepsched.baselines.readers._yaml import parse_yaml
from deepsched.baselines.readers.options import ReadOptions, chosen_machines, modelled_problem

if TYPE_CHECKING:
    from deepsched.baselines.problem import Problem

NAME = "pegasus"
TITLE = "Pegasus YAML"
SUFFIXES: tuple[str, ...] = (".yml", ".yaml")
ALPHA = 0.0
KEY = re.compile(r"^(x-)?pegasus\s*:", re.MULTILINE)
JOBS = re.compile(r"^jobs\s*:", re.MULTILINE)


def recognise(text: str) -> bool:
    """Tell whether the text has the keys `pegasus` and `jobs` at its top level."""
    return KEY.search(text) is not None and JOBS.search(text) is not None


def read(text: str, where: str, options: ReadOptions) -> Problem:
    """Return the problem of a workflow, on the machines of the options.

    Raises
    ------
    InvalidInput, InvalidProblem
        Naming the place, such as `jobs[3].uses[0]`.
    NotInstalled
        Without the extra `formats`.
    """
    document = an_object(parse_yaml(text, where), f"{where}: the document")
    jobs = entries(document, "jobs", where)
    for k, job in enumerate(jobs):
        required(job, "id", where, f"jobs[{k}].")
    ids = names([job["id"] for job in jobs], lambda k: f"{where}: jobs[{k}].id")
    index = {name: i for i, name in enumerate(ids)}
    files = FileUses(len(jobs), _replica_sizes(document, where))
    for k, job in enumerate(jobs):
        for n, use in enumerate(a_list(job.get("uses", []), f"{where}: jobs[{k}].uses")):
            _note_use(files, k, use, f"{where}: jobs[{k}].uses[{n}]")
    edges: dict[tuple[int, int], None] = {}
    if document.get("jobDependencies") is not None:
        for k, entry in enumerate(entries(document, "jobDependencies", where)):
            place = f"{where}: jobDependencies[{k}]"
            parent = positions(
                [required(entry, "id", where, f"jobDependencies[{k}].")],
                index,
                lambda _, place=place: f"{place}.id",  # type: ignore[misc]
                "job",
            )[0]
            children = a_list(entry.get("children", []), f"{place}.children")
            for child in positions(
                children,
                index,
                lambda n, place=place: f"{place}.children[{n}]",  # type: ignore[misc]
                "job",
            ):
                edges[parent, child] = None
    return modelled_problem(
        work=_runtimes(jobs, ids, options, where),
        alpha=ALPHA,
        machines=chosen_machines(options, tasks=len(ids)),
        options=options,
        where=where,
        task_ids=ids,
        edges=edge_bytes(
            ids, list(edges), files.written, files.read, files.sizes, where, missing=""
        ),
    )


def _runtimes(
    jobs: list[dict[str, Any]], ids: list[str], options: ReadOptions, where: str
) -> np.ndarray:
    values = [_profile(job, f"{where}: jobs[{k}]") for k, job in enumerate(jobs)]
    absent = [i for i, value in enumerate(values) if value is None]
    given = 0.0
    if absent:
        lacking = f"jobs[{absent[0]}] has no runtime in its profiles"
        given = given_runtime([ids[i] for i in absent], options.runtime, where, lacking)
    return np.array([given if value is None else value for value in values])


def _profile(job: dict[str, Any], place: str) -> float | None:
    profiles = job.get("profiles")
    if profiles is None:
        return None
    found = an_object(profiles, f"{place}.profiles").get("pegasus")
    if found is None:
        return None
    value = an_object(found, f"{place}.profiles.pegasus").get("runtime")
    return None if value is None else _number(value, f"{place}.profiles.pegasus.runtime")


def _replica_sizes(document: dict[str, Any], where: str) -> dict[str, float]:
    catalogue = document.get("replicaCatalog")
    if not isinstance(catalogue, dict):
        return {}
    sizes = {}
    for k, item in enumerate(a_list(catalogue.get("replicas", []), f"{where}: replicas")):
        place = f"{where}: replicaCatalog.replicas[{k}]"
        entry = an_object(item, place)
        size = _size(entry, place)
        if size is not None and isinstance(entry.get("lfn"), str):
            sizes[entry["lfn"]] = size
    return sizes


def _note_use(files: FileUses, job: int, use: Any, place: str) -> None:
    item = an_object(use, place)
    name = item.get("lfn")
    if not isinstance(name, str) or not name:
        raise InvalidInput(f"{place}.lfn is {echo(name)}; it must be a file's name")
    files.note(job, name, item.get("type"), _size(item, place))


def _size(item: dict[str, Any], place: str) -> float | None:
    if item.get("size") is not None:
        return _number(item["size"], f"{place}.size")
    metadata = item.get("metadata")
    if isinstance(metadata, dict) and metadata.get("size") is not None:
        return _number(metadata["size"], f"{place}.metadata.size")
    return None


def _number(value: Any, place: str) -> float:
    if isinstance(value, str):  # profiles and metadata are texts
        return decimal(value.strip(), Rule.COST, place)
    return number(value, Rule.COST, place)
