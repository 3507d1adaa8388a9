"""What is wrong in a file is said in one short line that names the file and the place in it."""

from __future__ import annotations

import copy
import errno
import gzip
import io
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from deepsched.baselines.errors import DeepSchedError, InvalidInput, InvalidProblem
from deepsched.baselines.machines import make_machines
from deepsched.baselines.readers import (
    ReadOptions,
    problem_from_json,
    read_hcsp_solution,
    read_machines,
    read_problem,
)

DATA = Path(__file__).resolve().parent.parent / "data"
LONGEST_MESSAGE = 1200  # characters
NAN, INF = float("nan"), float("inf")
HUGE = 10**400

EXPLICIT: dict[str, Any] = {
    "format": "deepsched-problem/1",
    "tasks": [
        {"id": "a", "etc": [1, 2], "arrival": 0, "priority": 0, "memory": 1},
        {"id": "b", "etc": [3, None]},
        {"id": "c", "work": 5},
    ],
    "machines": [
        {"id": "x", "cores": 1, "frequency": 2000, "memory": 10},
        {"id": "y", "cores": 1, "frequency": 2000, "memory": 10},
    ],
    "edges": [{"from": "a", "to": "b", "bytes": 1}, {"from": "b", "to": "c", "bytes": 1}],
    "bandwidth": 5,
    "latency": [[0, 1], [1, 0]],
}
WFFORMAT: dict[str, Any] = json.loads((DATA / "wfformat.json").read_text())
MISSING = object()


def changed(document: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """Return a copy with another value at a path such as `tasks[1].etc[0]`, or with none."""
    result = copy.deepcopy(document)
    *parents, last = [int(key) if key.isdigit() else key for key in re.findall(r"\w+", path)]
    place: Any = result
    for key in parents:
        place = place[key]
    if value is MISSING:
        del place[last]
    elif last == "append":
        place.append(value)
    else:
        place[last] = value
    return result


def message_of(document: object, options: ReadOptions | None = None) -> str:
    with pytest.raises(DeepSchedError) as caught:
        problem_from_json(document, "some/file.json", options)
    return checked_message(caught.value)


def checked_message(error: DeepSchedError) -> str:
    text = str(error)
    assert len(text) <= LONGEST_MESSAGE
    assert "\n" not in text
    text.encode()  # it can be printed
    return text


COST_RULE = "it must be a finite number of at least 0"
ILLEGAL_COSTS: list[tuple[object, str]] = [
    (NAN, "nan"),
    (INF, "inf"),
    (-1, "-1.0"),
    (-0.5, "-0.5"),
    (HUGE, "a whole number of about 401 digits"),
    (10**310, "a whole number"),
    ("3", "'3'"),
    ("x" * 10**6, "'x"),
    (True, "true"),
    ([1], "a list of 1"),
    ({}, "an object of 0"),
]
COST_PLACES = [
    "tasks[0].etc[1]",
    "tasks[2].work",
    "tasks[0].arrival",
    "tasks[0].memory",
    "machines[1].memory",
    "edges[1].bytes",
    "latency[0][1]",
]


@pytest.mark.parametrize("place", COST_PLACES)
@pytest.mark.parametrize(("value", "shown"), ILLEGAL_COSTS, ids=[s for _, s in ILLEGAL_COSTS])
def test_an_illegal_cost_is_named_by_its_path(place: str, value: object, shown: str) -> None:
    text = message_of(changed(EXPLICIT, place, value))
    assert text.startswith(f"some/file.json: {place} is ")
    assert text.endswith(COST_RULE)
    assert shown in text or (value in (HUGE, 10**310) and "too large" in text)


@pytest.mark.parametrize("value", [0, -3, NAN, INF, HUGE, "5", False])
@pytest.mark.parametrize("place", ["machines[0].cores", "machines[1].frequency", "bandwidth"])
def test_what_must_be_positive(place: str, value: object) -> None:
    text = message_of(changed(EXPLICIT, place, value))
    assert text.startswith(f"some/file.json: {place} is ")
    assert text.endswith("it must be a finite number above 0")


@pytest.mark.parametrize("value", [NAN, -INF, HUGE, "urgent", None, True])
def test_a_priority_is_any_finite_number(value: object) -> None:
    text = message_of(changed(EXPLICIT, "tasks[0].priority", value))
    assert text.startswith("some/file.json: tasks[0].priority is ")


EXPLICIT_CASES: list[tuple[str, object, str]] = [
    # path, value there, message after the file's name
    ("format", "deepsched-problem/2", "unknown format 'deepsched-problem/2'; known: deepsched"),
    ("format", 1, "unknown format 1; known"),
    ("format", None, "unknown format null; known"),
    ("format", MISSING, "unknown JSON format.*known: deepsched-problem/1, WfFormat"),
    ("tasks", MISSING, "tasks is missing"),
    ("machines", MISSING, "machines is missing"),
    ("edges", MISSING, "edges is missing"),
    ("tasks", {}, "tasks is an object of 0; it must be a list"),
    ("edges", None, "edges is null; it must be a list"),
    ("machines", "two", "machines is 'two'; it must be a list"),
    ("tasks", [], "there is no task"),
    ("machines", [], "there is no machine"),
    ("tasks[1]", "b", r"tasks\[1\] is 'b'; it must be an object"),
    ("edges[0]", ["a", "b"], r"edges\[0\] is a list of 2; it must be an object"),
    ("machines[1]", None, r"machines\[1\] is null; it must be an object"),
    ("tasks[1].id", MISSING, r"tasks\[1\].id is missing"),
    ("tasks[1].id", "", r"tasks\[1\].id is empty"),
    ("tasks[1].id", True, r"tasks\[1\].id is true; it must be a string"),
    ("tasks[1].id", 1.5, r"tasks\[1\].id is 1.5; it must be a string"),
    ("tasks[1].id", HUGE, r"tasks\[1\].id is a whole number of about 401 digits"),
    ("tasks[1].id", ["b"], r"tasks\[1\].id is a list of 1"),
    ("tasks[1].id", "a", r"tasks\[1\].id: 'a' is given twice, first as tasks\[0\].id"),
    ("tasks[1].id", "\ud800", r"tasks\[1\].id is '\\ud800', which is not Unicode text"),
    ("tasks[1].etc", MISSING, r"tasks\[1\] has neither etc nor work"),
    ("tasks[1].work", 2, r"tasks\[1\] has both etc and work"),
    ("tasks[1].etc", 5, r"tasks\[1\].etc is 5; it must be a list"),
    ("tasks[1].etc", [1], r"tasks\[1\].etc has 1 entries for 2 machines"),
    ("tasks[1].etc", [], r"tasks\[1\].etc has 0 entries for 2 machines"),
    ("tasks[1].etc", [1, 2, 3], r"tasks\[1\].etc has 3 entries for 2 machines"),
    ("tasks[1].etc", [None, None], "no machine can run task 'b': it has no finite etc"),
    ("tasks[1].etc[0]", [2], r"tasks\[1\].etc\[0\] is a list of 1"),
    ("tasks[1].memory", 11, "no machine can run task 'b': it needs 11 MB, the largest .* 10 MB"),
    ("tasks[2].work", None, r"tasks\[2\].work is null"),
    ("tasks[1].arival", 3, r"tasks\[1\]: unknown key 'arival'; 'arrival' is meant\?"),
    ("machines[0].id", MISSING, r"machines\[0\].id is missing"),
    ("machines[1].id", "x", r"machines\[1\].id: 'x' is given twice"),
    ("machines[0].cores", MISSING, r"machines\[0\].cores is missing; tasks\[2\] gives work"),
    ("machines[0].frequency", MISSING, r"machines\[0\].frequency is missing; tasks\[2\] gives"),
    ("machines[0].frequencey", 1, r"machines\[0\]: unknown key 'frequencey'; 'frequency'"),
    ("edges[0].from", MISSING, r"edges\[0\].from is missing"),
    ("edges[1].to", MISSING, r"edges\[1\].to is missing"),
    ("edges[1].bytes", MISSING, r"edges\[1\].bytes is missing"),
    ("edges[1].bytes", None, r"edges\[1\].bytes is null"),
    ("edges[1].from", "nobody", r"edges\[1\].from: there is no task 'nobody'"),
    ("edges[1].to", "n" * 10**6, r"edges\[1\].to: there is no task 'nnn"),
    ("edges[1].to", None, r"edges\[1\].to is null; it must be a string"),
    ("edges[1].to", {"id": "c"}, r"edges\[1\].to is an object of 1"),
    ("edges[0].to", "a", "edge 'a' -> 'a' is a self-loop"),
    ("edges.append", {"from": "a", "to": "b", "bytes": 2}, "edge 'a' -> 'b' is given twice"),
    ("edges.append", {"from": "c", "to": "a", "bytes": 0}, "close a cycle: .*'a' -> 'b' -> 'c'"),
    ("edges.append", {"from": "b", "to": "a", "bytes": 0}, "cycle: .*('a' -> 'b'|'b' -> 'a')"),
    ("bandwidth", "fast", "bandwidth is 'fast'; it must be a finite number above 0"),
    ("bandwidth", {}, "bandwidth is an object of 0"),
    ("bandwidth", [], "bandwidth has 0 rows for 2 machines"),
    ("bandwidth", [1, 2], r"bandwidth\[0\] is 1; it must be a list"),
    ("bandwidth", [[1, 2], [3]], r"bandwidth\[1\] has 1 entries for 2 machines"),
    ("bandwidth", [[1, 2], [0, 1]], r"bandwidth\[1\]\[0\] is 0.0"),
    ("bandwidth", [[1, 2], ["3", 1]], r"bandwidth\[1\]\[0\] is '3'"),
    ("latency", None, "latency is null"),
    ("latency", -1, "latency is -1.0"),
    ("latency", [[0]], "latency has 1 rows for 2 machines"),
    ("latency", [[0, None], [0, 0]], r"latency\[0\]\[1\] is null"),
    ("latancy", 3, "unknown key 'latancy'; 'latency' is meant"),
]


@pytest.mark.parametrize(("path", "value", "expected"), EXPLICIT_CASES)
def test_explicit(path: str, value: object, expected: str) -> None:
    text = message_of(changed(EXPLICIT, path, value))
    assert re.match(f"some/file.json: .*{expected}", text), text


def test_the_document_that_the_cases_change_is_sound() -> None:
    assert problem_from_json(EXPLICIT, "file").n_tasks == 3
    assert problem_from_json(WFFORMAT, "file").n_tasks == 4


def test_keys_that_resemble_none_of_the_format_are_the_writers_own() -> None:
    document = {**changed(EXPLICIT, "tasks[0].colour", "red"), "comment": "mine"}
    assert problem_from_json(document, "file").n_tasks == 3


SPEC, RUN = "workflow.specification", "workflow.execution"
WFFORMAT_CASES: list[tuple[str, object, str]] = [
    ("schemaVersion", "1.7", "WfFormat version '1.7' is not known, only 1.0, 1.1, .*, 1.6"),
    ("schemaVersion", 2, "WfFormat version 2 is not known"),
    ("schemaVersion", None, "WfFormat version null is not known"),
    ("schemaVersion", True, "WfFormat version true is not known"),
    ("schemaVersion", MISSING, "schemaVersion is missing"),
    ("workflow", MISSING, "workflow is missing"),
    ("workflow", [], "workflow is a list of 0; it must be an object"),
    (SPEC, MISSING, "workflow.specification is missing"),
    (SPEC, 3, "workflow.specification is 3; it must be an object"),
    (RUN, MISSING, "workflow.execution is missing"),
    (f"{SPEC}.tasks", MISSING, "workflow.specification.tasks is missing"),
    (f"{SPEC}.tasks", [], "there is no task"),
    (f"{SPEC}.tasks", "all", "workflow.specification.tasks is 'all'; it must be a list"),
    (f"{SPEC}.tasks[2]", "left", r"specification.tasks\[2\] is 'left'; it must be an object"),
    (f"{SPEC}.tasks[2].id", MISSING, r"specification.tasks\[2\].id is missing"),
    (f"{SPEC}.tasks[2].id", "join", r"tasks\[2\].id: 'join' is given twice, first as .*\[0\].id"),
    (f"{SPEC}.tasks[2].id", "else", "there is no task 'left'|no entry for task 'else'"),
    (f"{SPEC}.tasks[2].parents[0]", "who", r"tasks\[2\].parents\[0\]: there is no task 'who'"),
    (f"{SPEC}.tasks[2].children[0]", 5, r"tasks\[2\].children\[0\]: there is no task '5'"),
    (f"{SPEC}.tasks[2].children[0]", None, r"tasks\[2\].children\[0\] is null"),
    (f"{SPEC}.tasks[2].parents", "split", r"tasks\[2\].parents is 'split'; it must be a list"),
    (f"{SPEC}.tasks[2].parents[0]", "left", "edge 'left' -> 'left' is a self-loop"),
    (f"{SPEC}.tasks[1].parents.append", "join", "cycle: .*'split' -> '(left|right)' -> 'join'"),
    (f"{SPEC}.tasks[2].inputFiles", {}, r"tasks\[2\].inputFiles is an object"),
    (f"{SPEC}.tasks[2].inputFiles[1]", 7, r"tasks\[2\].inputFiles\[1\] is 7; .* a file id"),
    (f"{SPEC}.files", {}, "workflow.specification.files is an object of 0"),
    (f"{SPEC}.files", MISSING, "files has no entry for 'l1', which task 'join' gets from 'left'"),
    (f"{SPEC}.files[1]", MISSING, "files has no entry for 's', which task"),
    (f"{SPEC}.files[1].id", MISSING, r"specification.files\[1\].id is missing"),
    (f"{SPEC}.files[1].id", "given", r"files\[1\].id: 'given' is given twice"),
    (f"{SPEC}.files[1].sizeInBytes", MISSING, r"files\[1\].sizeInBytes is missing"),
    (f"{SPEC}.files[1].sizeInBytes", -4, r"files\[1\].sizeInBytes is -4.0"),
    (f"{SPEC}.files[1].sizeInBytes", "4", r"files\[1\].sizeInBytes is '4'"),
    (f"{SPEC}.files[1].sizeInBytes", NAN, r"files\[1\].sizeInBytes is nan"),
    (f"{SPEC}.files[1].sizeInBytes", HUGE, r"files\[1\].sizeInBytes is too large"),
    (f"{RUN}.tasks", MISSING, "workflow.execution.tasks is missing"),
    (f"{RUN}.tasks[1]", MISSING, "workflow.execution.tasks has no entry for task 'left'"),
    (f"{RUN}.tasks[1].id", MISSING, r"execution.tasks\[1\].id is missing"),
    (f"{RUN}.tasks[1].id", "split", r"execution.tasks\[1\].id: 'split' is given twice"),
    (f"{RUN}.tasks[1].runtimeInSeconds", MISSING, r"tasks\[1\].runtimeInSeconds is missing"),
    (f"{RUN}.tasks[1].runtimeInSeconds", NAN, r"tasks\[1\].runtimeInSeconds is nan"),
    (f"{RUN}.tasks[1].runtimeInSeconds", None, r"tasks\[1\].runtimeInSeconds is null"),
    (f"{RUN}.tasks[1].runtimeInSeconds", "4", r"tasks\[1\].runtimeInSeconds is '4'"),
    (f"{RUN}.tasks[1].memoryInBytes", -1, r"tasks\[1\].memoryInBytes is -1.0"),
    (f"{RUN}.tasks[1].priority", INF, r"tasks\[1\].priority is inf"),
]


@pytest.mark.parametrize(("path", "value", "expected"), WFFORMAT_CASES)
def test_wfformat(path: str, value: object, expected: str) -> None:
    text = message_of(changed(WFFORMAT, path, value))
    assert re.match(f"some/file.json: .*({expected})", text), text


def test_file_sizes_that_add_up_beyond_the_largest_float() -> None:
    files = f"{SPEC}.files"
    document = changed(WFFORMAT, f"{files}[2].sizeInBytes", 10**308)
    document = changed(document, f"{files}[3].sizeInBytes", 10**308)
    assert message_of(document).startswith("some/file.json: bytes from 'left' to 'join' is too")


@pytest.mark.parametrize("document", [[], "text", 5, None, True, [EXPLICIT]])
def test_wrong_top_level_type(document: object, tmp_path: Path) -> None:
    assert "the document is" in message_of(document)
    path = tmp_path / "p.json"
    path.write_text(json.dumps(document))
    with pytest.raises(InvalidInput, match=r"p\.json: the document is .*must be an object"):
        read_problem(path)


def test_a_task_that_no_machine_of_the_options_can_hold() -> None:
    document = changed(WFFORMAT, f"{RUN}.tasks[1].memoryInBytes", 2e9)
    options = ReadOptions(machines=make_machines(2, memory=[100, 1999]))
    text = message_of(document, options)
    assert text.endswith(
        "no machine can run task 'left': it needs 2000 MB, the largest machine has 1999 MB"
    )


def test_a_long_cycle_is_not_told_in_full() -> None:
    names = [f"task-{k}" for k in range(50_000)]
    document = {
        **EXPLICIT,
        "tasks": [{"id": name, "etc": [1, 1]} for name in names],
        "edges": [
            {"from": u, "to": v, "bytes": 0}
            for u, v in zip(names, names[1:] + names[:1], strict=True)
        ],
    }
    assert re.search(r"cycle: 'task-\d+' -> 'task-\d+' -> .* \[…\] .* -> '", message_of(document))


def test_a_name_of_a_megabyte_is_not_repeated_in_full() -> None:
    name = "n" * 10**6
    for document in (
        changed(EXPLICIT, "tasks[1]", {"id": name, "etc": [None, None]}),
        changed(EXPLICIT, "tasks[1].id", name),
        changed(EXPLICIT, f"tasks[1].{name}", 1),
        changed(EXPLICIT, "format", name),
        changed(EXPLICIT, "machines[1]", {"id": name}),
    ):
        if document["tasks"][1].get(name) == 1:  # an unknown key is the writer's own
            assert problem_from_json(document, "file").n_tasks == 3
        else:
            message_of(document)


# Files: bytes as they are, the name they lie under, and what is said of them.
FILE_CASES: dict[str, tuple[str, bytes, str]] = {
    "empty": ("p.json", b"", "the file is empty"),
    "only blanks": ("p.stg", b" \n\r\n\t", "the file is empty"),
    "empty gzip": ("p.json.gz", gzip.compress(b""), "the file is empty"),
    "only a byte order mark": ("p.json", b"\xef\xbb\xbf", "the file is empty"),
    "truncated gzip": ("p.json.gz", gzip.compress(b'{"a": 1}' * 99)[:-12], "truncated gzip"),
    "only the gzip mark": ("p.gz", b"\x1f\x8b", "truncated gzip"),
    "garbage in gzip": ("p.gz", gzip.compress(b"{}")[:10] + b"\xff" * 50, "damaged gzip"),
    "garbage behind gzip": ("p.gz", gzip.compress(b"{}") + b"tail", "damaged gzip"),
    "wrong gzip checksum": ("p.gz", gzip.compress(b"{}")[:-8] + b"\0" * 8, "damaged gzip"),
    "latin-1": ("p.json", '{"a":\n "é"}'.encode("latin-1"), r"line 2: not UTF-8 text .*0xe9"),
    "UTF-16": ("p.json", "{}".encode("utf-16"), "UTF-16 or UTF-32 text; save it as UTF-8"),
    "UTF-16 without mark": ("p.json", "{}".encode("utf-16-le"), "line 1: a NUL byte"),
    "UTF-32": ("p.json", "{}".encode("utf-32"), "UTF-16 or UTF-32 text"),
    "binary": ("p", bytes(range(256)), "not UTF-8 text|a NUL byte"),
    "prose": (
        "p.md",
        b"Dear reader,\nhello\n",
        "unknown format; known: .*Standard Task Graph.*GoCJ",
    ),
    "not JSON": ("p.json", b'{"a": 1,\n "b": }', "line 2 column 7: not JSON: Expecting value"),
    "text as JSON": ("p.json", b"hello", "line 1 column 1: not JSON"),
    "numbers as JSON": ("p.json", b"1\n2\n", "line 2 column 1: not JSON: Extra data"),
    "two documents": ("p.json", b"{}\n{}", "line 2 column 1: not JSON: Extra data"),
    "half a document": ("p", b'{"format": "deepsched-pro', "line 1 column 12: not JSON"),
    "deep nesting": ("p.json", b"[" * 200_000, "nested too deeply"),
    "deep nesting of objects": ("p.json", b'{"a":' * 200_000, "nested too deeply"),
    "endless number": ("p.json", b'{\n"format": ' + b"9" * 5000 + b"}", "line 2: a number of thou"),
    "1e400": (
        "p.json",
        json.dumps(EXPLICIT).replace('"work": 5', '"work": 1e400').encode(),
        r"tasks\[2\].work is inf",
    ),
    "NaN literal": (
        "p.json",
        json.dumps(changed(EXPLICIT, "tasks[0].etc[1]", NAN)).encode(),
        r"tasks\[0\].etc\[1\] is nan",
    ),
    "duplicate key": (
        "p.json",
        json.dumps(EXPLICIT).replace('"work": 5', '"work": 5, "work": 6').encode(),
        r"tasks\[2\]: key 'work' is given twice",
    ),
    "duplicate key at the top": ("p.json", b'{"a": {"b": 1, "b": 2}, "a": 1}', "document: key 'a'"),
    "machines as problem": ("m.csv", (DATA / "machines.csv").read_bytes(), "a list of machines"),
    "solution as problem": ("s.sol", (DATA / "tiny.0_MS_7,5.sol").read_bytes() * 9, "unknown|time"),
    # STG
    "STG count alone": ("p.stg", b"5\n", "5 tasks, an entry and an exit are announced, 0 rows"),
    "STG truncated": ("p.stg", b"1\n0 0 0\n1 4 1 0\n", "line 3: 1 tasks, .*announced, 2 rows"),
    "STG too long": ("p", b"0\n0 0 0\n1 0 1 0\n2 0 1 1\n", "line 4: 0 tasks, .*announced, 3 rows"),
    "STG short row": ("p", b"0\n0 0 0\n1 0\n", "line 3: task 1 needs a time and a number of"),
    "STG preds short": ("p", b"0\n0 0 0\n1 0 2 0\n", "line 3: task 1 announces 2 .* names 1"),
    "STG preds long": ("p", b"0\n0 0 0\n1 0 0 0\n", "line 3: task 1 announces 0 .* names 1"),
    "STG unknown pred": ("p", b"0\n0 0 0\n1 0 1 9\n", "line 3: task 1 follows task 9, which does"),
    "STG negative pred": ("p", b"0\n0 0 0\n1 0 1 -1\n", "line 3: a predecessor of task 1 is '-1'"),
    "STG wrong id": ("p", b"0\n0 0 0\n2 0 1 0\n", "line 3: task '2' stands where task 1 is due"),
    "STG repeated id": ("p", b"0\n0 0 0\n0 0 0\n", "line 3: task '0' stands where task 1"),
    "STG NaN": ("p", b"0\n0 nan 0\n1 0 1 0\n", "line 2: the time of task 0 is 'nan'"),
    "STG infinite": ("p", b"0\n0 inf 0\n1 0 1 0\n", "line 2: the time of task 0 is 'inf'"),
    "STG huge": ("p", b"0\n0 1e400 0\n1 0 1 0\n", "line 2: the time of task 0 is too large"),
    "STG negative": ("p", b"0\n0 -1 0\n1 0 1 0\n", "line 2: the time of task 0 is '-1'"),
    "STG text": ("p", b"0\n0 ten 0\n1 0 1 0\n", "line 2: the time of task 0 is 'ten'"),
    "STG fractional count": ("p", b"0\n0 0 0.5\n1 0 1 0\n", "line 2: the number of predecessors"),
    "STG bad count": ("p.stg", b"many\n0 0 0\n", "line 1: the number of tasks is 'many'"),
    "STG endless count": (
        "p.stg",
        b"9" * 5000 + b"\n0 0 0\n",
        "line 1: the number of tasks is '99",
    ),
    "STG only comments": ("p.stg", b"# nothing\n", "no task count"),
    "STG cycle": ("p", b"0\n0 0 1 1\n1 0 1 0\n", "the edges close a cycle: '0' -> '1'|'1' -> '0'"),
    "STG self-loop": ("p", b"0\n0 0 0\n1 0 1 1\n", "edge '1' -> '1' is a self-loop"),
    "STG pred twice": ("p", b"0\n0 0 0\n1 0 2 0 0\n", "edge '0' -> '1' is given twice"),
    # HCSP
    "HCSP header alone": ("p.0", b"2 2 0\n", "2 tasks x 2 machines need 4 times, .* holds 0"),
    "HCSP truncated": ("p.0", b"2 2 0\n1\n2\n3\n", "need 4 times, the file holds 3"),
    "HCSP too long": ("p.0", b"1 1 0\n1\n2\n", "need 1 times, the file holds 2"),
    "HCSP gigantic": ("p.0", b"999999999999999 999999999999999 0\n1\n", "need 9999.* holds 1"),
    "HCSP no task": ("p.0", b"0 2 0\n", "line 1: 0 tasks on 2 machines"),
    "HCSP no machine": ("p.0", b"2 0 0\n", "line 1: 2 tasks on 0 machines"),
    "HCSP NaN": ("p.0", b"1 2 0\n1\nnan\n", "line 3: a time is 'nan'"),
    "HCSP negative": ("p.0", b"1 2 0\n\n1\n-2\n", "line 4: a time is '-2'"),
    "HCSP text": ("p.0", b"1 2 0\n1 x\n", "line 2: a time is 'x'"),
    "HCSP underscore": ("p.0", b"1 1 0\n1_000\n", "line 2: a time is '1_000'"),
    "HCSP huge": ("p.0", b"1 1 0\n1e999\n", "line 2: a time is too large"),
    "HCSP two points": ("p.0", b"1 1 0\n1.2.3\n", "line 2: a time is '1.2.3'"),
    # GoCJ
    "GoCJ text": ("p.txt", b"1000\nlong\n", "line 2: the length is 'long'"),
    "GoCJ two numbers": ("p.txt", b"1000\n2000\n1 2\n", "line 3: one number a line"),
    "GoCJ NaN": ("p.txt", b"1000\n\nnan\n", "line 3: the length is 'nan'"),
    "GoCJ negative": ("p.txt", b"-1000\n5\n", "line 1: the length is '-1000'"),
    "ETC matrix without its header": (
        "p.txt",
        b"91753.195312\n263115.4375\n",
        "line 1: 91753.195312 is not a whole number.* an ETC matrix .*--format gocj",
    ),
    "small whole numbers": ("p.txt", b"3\n5\n7\n20000\n", "most numbers are not lengths"),
    "numbers under no name": ("p", b"3\n5\n7\n", "unknown format"),
    "GoCJ huge": ("p.txt", b"5\n" + b"9" * 400, "line 2: the length is too large"),
    "GoCJ only comments": ("p.txt", b"# none\n", "there is no task"),
    # CSV
    "CSV header alone": ("j.csv", b"job_id,arrival_time,burst_time,priority,mem_util\n", "no job"),
    "CSV without header": ("j.csv", b"0,0,1802.0,0,100\n", "line 1: the header has no column"),
    "CSV column missing": (
        "j",
        b"job_id,arrival_time,burst_time,priority\n",
        "no column 'mem_util'",
    ),
    "CSV column misspelt": (
        "j",
        b"job_id,arrival,burst_time,priority,mem_util\n",
        "'arrival_time'",
    ),
    "CSV only commas": ("j.csv", b",,,\n", "there is no header line"),
    "CSV open quote": ("j.csv", b'"job_id,\n1', "line 2: not CSV"),
}
ROW = b"job_id,arrival_time,burst_time,priority,mem_util\n0,0,1,0,1\n"
FILE_CASES |= {
    "CSV column twice": ("j", ROW.replace(b"mem_util", b"mem_util,job_id"), "'job_id' twice"),
    "CSV short row": ("j", ROW + b"1,0,1,0\n", "line 3: 4 fields for 5 columns"),
    "CSV long row": ("j", ROW + b"\n1,0,1,0,1,9\n", "line 4: 6 fields for 5 columns"),
    "CSV cell empty": ("j", ROW + b"1,0,,0,1\n", "line 3: burst_time is ''"),
    "CSV id empty": ("j", ROW + b",0,1,0,1\n", "line 3: job_id is empty"),
    "CSV id twice": (
        "j",
        ROW + b"0,0,1,0,1\n",
        "line 3: job_id '0' is given twice, first in line 2",
    ),
    "CSV NaN": ("j", ROW + b"1,0,NaN,0,1\n", "line 3: burst_time is 'NaN'"),
    "CSV negative": ("j", ROW + b"1,-1,1,0,1\n", "line 3: arrival_time is '-1'"),
    "CSV infinite": ("j", ROW + b"1,0,1,inf,1\n", "line 3: priority is 'inf'"),
    "CSV text": ("j", ROW + b"1,0,1,0,lots\r\n", "line 3: mem_util is 'lots'"),
    "CSV huge field": ("j", ROW + b"1,0,1,0," + b"9" * 200_000, "line 3: not CSV"),
    "CSV huge number": ("j", ROW + b"1,0,1,0," + b"9" * 2000, "line 3: mem_util is too large"),
}


@pytest.mark.parametrize(("name", "data", "expected"), FILE_CASES.values(), ids=FILE_CASES.keys())
def test_files(name: str, data: bytes, expected: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(DeepSchedError) as caught:
        read_problem(path)
    text = checked_message(caught.value)
    assert re.match(f"{re.escape(str(path))}: .*({expected})", text), text


def test_a_gzip_that_unpacks_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepsched.baselines.readers.packed.MAX_BYTES", 2**21)
    path = tmp_path / "bomb.json.gz"
    path.write_bytes(gzip.compress(b" " * 2**24))
    with pytest.raises(InvalidInput, match=r"bomb\.json\.gz: larger than 2 MiB"):
        read_problem(path)


def test_paths_that_cannot_be_read(tmp_path: Path) -> None:
    for path, reason in (
        (tmp_path, "is a folder; give a file in it"),
        (tmp_path / "none.json", "there is no such file"),
        (tmp_path / "none" / "p.json", "there is no such file"),
        (tmp_path / ("n" * 5000), "File name too long"),
        (Path("a\0b"), "is not a path"),
    ):
        for read in (read_problem, read_machines):
            with pytest.raises(InvalidInput, match=reason):
                read(path)


@pytest.mark.parametrize("fails", ["opening", "reading"])
def test_what_the_system_refuses(fails: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def opened(path: Path, mode: str) -> io.BytesIO:
        if fails == "opening":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return Broken()

    monkeypatch.setattr(Path, "open", opened)
    reason = {"opening": "Permission denied", "reading": "Input/output error"}[fails]
    for read in (read_problem, read_machines, read_hcsp_solution):
        with pytest.raises(InvalidInput, match=rf"^in/a_1,5\.sol cannot be read: {reason}$"):
            read("in/a_1,5.sol")


MACHINES_CASES: dict[str, tuple[str, bytes, str]] = {
    "empty": ("m.csv", b"", "the file is empty"),
    "header alone": ("m.csv", b"machine_id,num_cores,core_freq,mem_cap\n", "no machine below"),
    "no header": ("m.csv", b"0,32,2000,8000\n", "line 1: the header has no column 'machine_id'"),
    "zero cores": ("m", b"machine_id,num_cores,core_freq,mem_cap\n0,0,1,1\n", "line 2: num_cores"),
    "zero MHz": ("m", b"machine_id,num_cores,core_freq,mem_cap\n0,1,0,1\n", "line 2: core_freq"),
    "no memory": ("m", b"machine_id,num_cores,core_freq,mem_cap\n0,1,1,x\n", "line 2: mem_cap is"),
    "id twice": (
        "m",
        b"machine_id,num_cores,core_freq,mem_cap\n0,1,1,1\n0,1,1,1\n",
        "line 3: machine_id '0' is given twice, first in line 2",
    ),
    "jobs": ("m.csv", (DATA / "jobs.csv").read_bytes(), "has no column 'machine_id'"),
    "not JSON": ("m.json", b"{", "line 1 column 2: not JSON"),
    "a list": ("m.json", b"[]", "the document is a list of 0; it must be an object"),
    "no list": ("m.json", b"{}", "machines is missing"),
    "no machine": ("m.json", b'{"machines": []}', "there is no machine"),
    "no speed": ("m.json", b'{"machines": [{"id": "a"}]}', r"machines\[0\].cores is missing"),
    "misspelt": ("m.json", b'{"machine": []}', "unknown key 'machine'; 'machines' is meant"),
    "not a number": (
        "m.json",
        b'{"machines": [{"id": "a", "cores": 1, "frequency": "2 GHz"}]}',
        r"machines\[0\].frequency is '2 GHz'",
    ),
}


@pytest.mark.parametrize(
    ("name", "data", "expected"), MACHINES_CASES.values(), ids=MACHINES_CASES.keys()
)
def test_machines_files(name: str, data: bytes, expected: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(DeepSchedError) as caught:
        read_machines(path)
    text = checked_message(caught.value)
    assert re.match(f"{re.escape(str(path))}: .*({expected})", text), text


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("a.sol", b"0 1", "the file's name does not end in _MAKESPAN.sol"),
        ("a_MS_1.sol", b"0 1", "the file's name does not end in _MAKESPAN.sol"),
        ("a_MS_1,5.sol", b"0 one", "the machine of task 1 is 'one'"),
        ("a_MS_1,5.sol", b"0\n-1", "the machine of task 1 is '-1'"),
        ("a_MS_1,5.sol", b"", "the file is empty"),
    ],
)
def test_solutions(name: str, data: bytes, expected: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(InvalidInput, match=f"{name}: .*{expected}"):
        read_hcsp_solution(path)


def test_what_make_problem_refuses_keeps_its_kind() -> None:
    with pytest.raises(InvalidProblem, match=r"^here\.json: edge 'a' -> 'a' is a self-loop$"):
        problem_from_json(changed(EXPLICIT, "edges[0].to", "a"), "here.json")


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("tasks[0].etc[1]", 1e301, "could take .* s; at most 1e[+]300 s"),
        ("tasks[0].arrival", 1e305, "at most 1e[+]300 s"),
        ("latency", 1.7e308, "at most 1e[+]300 s"),
        ("bandwidth", 1e-309, "could take inf s"),
        ("machines[0].frequency", 1e-322, "machine 'x': cores and frequency make a speed of 0"),
    ],
)
def test_numbers_that_no_schedule_can_be_computed_with(
    path: str, value: float, expected: str
) -> None:
    assert re.match(f"some/file.json: .*{expected}", message_of(changed(EXPLICIT, path, value)))
