"""Files that schedulers' users have and that hold no problem of this kind: what to say of each."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from deepsched.baselines.readers import machines_file
from deepsched.baselines.readers._csv import header_of

if TYPE_CHECKING:
    from collections.abc import Callable

MACHINES_GIVEN = "a list of machines, not a problem; give it as the machines (--machines FILE)"
HEAD = 20_000  # characters that are looked at
NEXTFLOW = {"task_id", "hash", "native_id", "name", "status", "exit", "submit", "realtime"}
SWF_FIELDS = 18  # of a job


def known_stranger(text: str) -> str | None:
    """Return what a text is and what would help; None where it is not known either."""
    head = text[:HEAD]
    lines = [line for line in head.splitlines() if line.strip()]
    return next((said for test, said in STRANGERS if lines and test(lines)), None)


def _machines(lines: list[str]) -> bool:
    return len(header_of("\n".join(lines[:20]), machines_file.COLUMNS)) > 1


def _nextflow(lines: list[str]) -> bool:
    return len(NEXTFLOW & {cell.strip().lower() for cell in re.split(r"[\t,]", lines[0])}) > 3


def _swf(lines: list[str]) -> bool:
    rows = [line.split() for line in lines if not line.lstrip().startswith(";")]
    return bool(rows) and all(
        len(row) == SWF_FIELDS and all(re.fullmatch(r"-?[\d.]+", cell) for cell in row)
        for row in rows[:3]
    )


def _psplib(lines: list[str]) -> bool:
    text = "\n".join(lines)
    return "PRECEDENCE RELATIONS:" in text or "REQUESTS/DURATIONS" in text


def _starts(*beginnings: str) -> Callable[[list[str]], bool]:
    return lambda lines: lines[0].lstrip().lower().startswith(beginnings)


STRANGERS: tuple[tuple[Callable[[list[str]], bool], str], ...] = (
    (_machines, MACHINES_GIVEN),
    (
        _nextflow,
        "a trace of Nextflow: it has tasks and no dependencies between them, so it is no workflow "
        "here; nextflow run -with-dag dag.dot writes these, and WfCommons has a parser of both",
    ),
    (
        _swf,
        "a log in the Standard Workload Format (SWF): its jobs have no dependencies; those with "
        "arrival and run time go into a CSV with the columns "
        "job_id,arrival_time,burst_time,priority,mem_util",
    ),
    (
        _psplib,
        "a project of PSPLIB (.sm): its activities take several resources at once, which is "
        "outside what is scheduled here (one machine a task)",
    ),
    (_starts("<!doctype html", "<html"), "a web page, not a workflow; maybe a download went wrong"),
    (
        _starts("version https://git-lfs"),
        "a pointer of Git LFS, not the file itself; git lfs pull brings it",
    ),
    (_starts("@relation"), "an ARFF table, not a workflow"),
    (
        _starts("#!/", "import ", "from ", "rule ", "nextflow.", "cwlversion", "version 1."),
        "a program or a workflow's source, not a run of it; export the graph of a run",
    ),
)
