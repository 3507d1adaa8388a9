"""Pegasus DAX: abstract workflows in XML, versions 2 and 3.

A job's runtime is its attribute `runtime` or its pegasus profile of that name; version 3 often has
none. An edge is a `parent` in a `child`; its bytes are those of the files that the parent outputs
and the child inputs.

References
----------
Deelman et al. (2015), doi:10.1016/j.future.2014.10.008; https://pegasus.isi.edu/schema/DAX
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.readers._dataflow import FileUses, edge_bytes, given_runtime
from deepsched.baselines.readers._values import Rule, decimal, echo, names, positions
from deepsched.baselines.readers._xml import parse_xml, root_name
from deepsched.baselines.readers.options import ReadOptions, chosen_machines, modelled_problem

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from deepsched.baselines.problem import Problem

NAME = "dax"
TITLE = "Pegasus DAX"
SUFFIXES: tuple[str, ...] = (".dax",)
ALPHA = 0.0
JOBS = ("job", "dax", "dag")  # workflows inside count as jobs


def recognise(text: str) -> bool:
    """Tell whether the root element is `adag`."""
    return root_name(text) == "adag"


def read(text: str, where: str, options: ReadOptions) -> Problem:
    """Return the problem of a workflow, on the machines of the options.

    Raises
    ------
    InvalidInput, InvalidProblem
        Naming the job.
    NotInstalled
        Without the extra `formats`.
    """
    root = parse_xml(text, where)
    jobs = [element for element in root if _tag(element) in JOBS]

    def place(k: int) -> str:
        return f"{where}: job {k + 1}"

    for k, job in enumerate(jobs):
        if job.get("id") is None:
            raise InvalidInput(f"{place(k)} has no id")
    ids = names([job.get("id") for job in jobs], lambda k: f"{place(k)}: id")
    index = {name: i for i, name in enumerate(ids)}
    files = FileUses(len(jobs))
    for k, job in enumerate(jobs):
        for use in job:
            if _tag(use) == "uses":
                _note_use(files, k, use, f"{where}: job {echo(ids[k])}")
    edges: dict[tuple[int, int], None] = {}
    for element in root:
        if _tag(element) == "child":
            child = _reference(element, index, f"{where}: a child")
            for parent in element:
                if _tag(parent) == "parent":
                    where_parent = f"{where}: a parent of {echo(ids[child])}"
                    edges[_reference(parent, index, where_parent), child] = None
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


def _runtimes(jobs: list[Element], ids: list[str], options: ReadOptions, where: str) -> np.ndarray:
    texts = [job.get("runtime") or _profile(job) for job in jobs]
    absent = [i for i, text in enumerate(texts) if text is None]
    given = 0.0
    if absent:
        lacking = f"job {echo(ids[absent[0]])} has no runtime"
        given = given_runtime([ids[i] for i in absent], options.runtime, where, lacking)
    return np.array(
        [
            given
            if text is None
            else decimal(text.strip(), Rule.COST, f"{where}: job {echo(name)}: runtime")
            for name, text in zip(ids, texts, strict=True)
        ]
    )


def _profile(job: Element) -> str | None:
    for element in job:
        if (
            _tag(element) == "profile"
            and (element.get("namespace") or "").lower() == "pegasus"
            and (element.get("key") or "").lower() == "runtime"
        ):
            return element.text
    return None


def _note_use(files: FileUses, job: int, use: Element, place: str) -> None:
    name = use.get("file") or use.get("name")
    if not name:
        raise InvalidInput(f"{place}: uses without a file")
    text = use.get("size")
    size = None
    if text is not None:
        size = decimal(text.strip(), Rule.COST, f"{place}: the size of {echo(name)}")
    files.note(job, name, (use.get("link") or "").lower(), size)


def _reference(element: Element, index: dict[str, int], place: str) -> int:
    ref = element.get("ref")
    if ref is None:
        raise InvalidInput(f"{place}: ref is missing")
    return positions([ref], index, lambda _: place, "job")[0]


def _tag(element: Element) -> str:
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""
