"""Bodies of requests: what is read, what is refused by one line, and before how much is built."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from deepsched.baselines.errors import DeepSchedError
from deepsched.baselines.machines import draw_machines
from deepsched.baselines.readers import ReadOptions, problem_from_bytes, problem_from_json
from deepsched.pipeline.serving.bodies import Reading, kind_of, unpack
from deepsched.pipeline.serving.refusals import RequestError
from deepsched.pipeline.serving.settings import ServeArgs
from deepsched.pipeline.wire.arrow import problems_to_stream
from tests.pipeline.serving.examples import MACHINES, SMALL, TASK, drawn, query, refused

if TYPE_CHECKING:
    from deepsched.baselines.problem import Problem

DATA = Path(__file__).resolve().parents[2] / "data"
FLAT = {"parents": [], "children": []}


def zipped(data: bytes) -> bytes:
    """Return a zip archive of one file."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("file", data)
    return archive.getvalue()


def read(body: bytes | dict[str, Any], text: str = "", **fields: Any) -> list[Any]:
    """Return the problems of a body that nothing limits."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = fields.pop("kind", "json")
    many = fields.pop("many", False)
    reading = Reading(query=query(text), args=ServeArgs(), **fields)
    return reading.problems(data, kind, many=many)


def assert_same(one: Problem, other: Problem) -> None:
    """Compare what schedulers see of two problems, bit for bit."""
    assert one.task_ids == other.task_ids
    assert one.machines.ids == other.machines.ids
    assert one.etc.tobytes() == other.etc.tobytes()
    assert all(
        np.array_equal(a, b) for a, b in zip(one.edge_list(), other.edge_list(), strict=True)
    )


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 400, "empty"),
        (b"hello", 400, "not JSON"),
        (b'{"format": ', 400, "not JSON"),
        (b"\xff\xfe{\x00}\x00", 400, "UTF-16"),
        (b'{"format": "\xe9"}', 400, "UTF-8"),
        (b"[" * 100_000, 413, "nested more than 64 deep"),
        (b'{"format": ' + b"9" * 5_000 + b"}", 400, "digits"),
        (b'{"format": "a", "format": "b"}', 400, "twice"),
        ([], 400, "object"),
        ("text", 400, "object"),
        ({}, 400, "deepsched-problem/1, WfFormat"),
        (SMALL | {"format": "deepsched-problem/9"}, 400, "unknown format"),
        (SMALL | {"tasks": []}, 400, "task"),
        (SMALL | {"machines": []}, 400, "machine"),
        (SMALL | {"tasks": [{"id": "a", "etc": [1]}]}, 400, "etc"),
        (SMALL | {"tasks": [{"id": "a", "etc": [1, -2]}]}, 400, "-2"),
        (SMALL | {"tasks": [{"id": "a", "etc": [1, float("nan")]}]}, 400, "etc"),
        (SMALL | {"tasks": [{"id": "a", "etc": [float("inf"), 1]}]}, 400, "etc"),
        (b'{"format": "deepsched-problem/1", "tasks": [{"id": "a", "etc": [1e999]}], '
         b'"machines": [{"id": "x"}], "edges": []}', 400, "etc"),
        (SMALL | {"tasks": [{"id": "a", "etc": [None, None]}]}, 400, "no machine can run"),
        (SMALL | {"tasks": [TASK, TASK]}, 400, "twice"),
        (SMALL | {"edges": [{"from": "a", "to": "a", "bytes": 1}]}, 400, "self-loop"),
        (SMALL | {"edges": [{"from": "a", "to": "b", "bytes": 1}]}, 400, "'b'"),
        ({"schemaVersion": "1.5", "workflow": {}}, 400, "specification"),
        ({"schemaVersion": "1.9", "workflow": {}}, 400, "1.9"),
        ({"schemaVersion": "1.3", "workflow": {}}, 400, "workflow.tasks is missing"),
        (SMALL | {"tasks": [{"id": "é" * 100_000, "etc": [1]}]}, 400, "etc"),
    ],
    ids=lambda value: repr(value)[:40],
)  # fmt: skip
def test_bad_bodies_are_refused_in_one_short_line(body, status, words):
    found, message = refused(body)
    assert (found, words in message) == (status, True), message


@pytest.mark.parametrize(
    ("document", "text", "words"),
    [
        (SMALL | {"tasks": [TASK] * 11}, "", "11 tasks; this service takes 10"),
        (SMALL | {"machines": MACHINES * 3}, "", "6 machines; this service takes 5"),
        (SMALL | {"edges": [{}] * 13}, "", "13 edges; this service takes 12"),
        (
            SMALL | {"tasks": [TASK] * 8},
            "samples=4",
            "4 samples x 8 tasks x 2 machines; this service takes 50",
        ),
        (
            SMALL | {"tasks": [TASK] * 7, "machines": MACHINES * 2},
            "",
            "7 tasks x 4 machines; this service takes 25",
        ),
        ({"workflow": {"specification": {"tasks": [FLAT] * 11}}}, "", "11 tasks"),
        (
            {"workflow": {"specification": {"tasks": [FLAT] * 9}}},
            "machines=4",
            "9 tasks x 4 machines; this service takes 25",
        ),
        ({"workflow": {}, "schemaVersion": "1.5"}, "machines=1000000", "1000000 machines"),
        # Each format's own places.
        ({"nodes": [{}] * 11, "edges": []}, "", "11 tasks"),
        ({"nodes": [{}], "links": [{}] * 13}, "machines=2", "13 edges"),
        ({"task_graph": {"tasks": [{}] * 11, "dependencies": []}}, "", "11 tasks"),
        ({"task_graph": {"dependencies": [{}] * 13}}, "machines=2", "13 edges"),
        ({"schemaVersion": "1.0", "workflow": {"jobs": [{}] * 11}}, "", "11 tasks"),
        ({"schemaVersion": "1.4", "workflow": {"tasks": [{}] * 11}}, "", "11 tasks"),
        ({"nodes": [{}], "edges": [], "graph": {"machines": "[{},{},{},{},{},{}]"}}, "", "6 mach"),
        ({"nodes": [{"etc": [1] * 6}], "edges": []}, "", "6 machines"),
        # Nodes count with their slots.
        (SMALL | {"machines": [{"id": "x", "slots": 5}, {"id": "y"}]}, "", "6 machines"),
        (SMALL | {"machines": [{"id": "x", "slots": 1e300}]}, "", "machines; this service"),
        (
            {"nodes": [{}], "edges": [], "graph": {"machines": '[{"slots": 5}, {}]'}},
            "",
            "6 machines",
        ),
        ({"task_graph": {"tasks": []}, "network": {"nodes": [{}] * 6}}, "", "6 machines"),
    ],
)
def test_sizes_are_refused_before_anything_is_built(document, text, words):
    args = ServeArgs(max_tasks=10, max_machines=5, max_edges=12, max_cells=25, max_sampled_cells=50)
    status, message = refused(document, text, args)
    assert status == 413
    assert words in message


def test_machines_that_a_query_names_count_too():
    args = ServeArgs(max_machines=3)
    trace = json.loads((DATA / "wfformat.json").read_bytes())
    assert refused(trace, "", args, shared=draw_machines(4, 0)) == (
        413, "4 machines; this service takes 3",
    )  # fmt: skip


@pytest.mark.parametrize("name", ["workflow.dax", "tiny.stg", "graph.graphml"])
def test_a_workflow_file_of_any_format_is_measured_as_well(name):
    status, message = refused((DATA / name).read_bytes(), "", ServeArgs(max_tasks=1), kind="file")
    assert status == 413
    assert "tasks; this service takes 1" in message


def test_a_row_of_arrow_is_refused_by_its_counts():
    stream = problems_to_stream([drawn(tasks=11)])
    args = ServeArgs(max_tasks=10)
    assert refused(stream, "", args, kind="arrow") == (413, "11 tasks; this service takes 10")


def test_a_query_reaches_the_reader_like_the_command_line_options():
    body = (DATA / "wfformat.json").read_bytes()
    text = "machines=3&machine_seed=5&noise=0.2&noise_seed=7&bandwidth=1e6&latency=0.5"
    [problem] = read(body, f"{text}&scheduler=heft")
    options = ReadOptions(
        n_machines=3, machine_seed=5, noise=0.2, noise_seed=7, bandwidth=1e6, latency=0.5
    )
    assert_same(problem, problem_from_json(json.loads(body), "request body", options))
    assert problem.n_machines == 3
    assert problem.machines.bandwidth[0, 1] == 1e6
    assert problem.machines.latency[0, 1] == 0.5
    [plain] = read(body, "machines=3")
    assert not np.array_equal(problem.etc, plain.etc)


@pytest.mark.parametrize("name", ["workflow.dax", "graph.dot", "tiny.stg"])
def test_a_file_is_found_by_its_content(name):
    body = (DATA / name).read_bytes()
    [problem] = read(body, "machines=3", kind="file")
    assert_same(problem, problem_from_bytes(body, name, ReadOptions(n_machines=3)))


def test_json_that_is_sent_as_a_file_is_counted_like_json():
    [problem] = read(SMALL, kind="file")
    assert_same(problem, read(SMALL)[0])
    assert refused(b" \n{" + b'"a":[' * 70, kind="file")[0] == 413


def test_arrow_rows_are_the_problems_bit_for_bit():
    problems = [drawn(seed) for seed in range(3)]
    found = read(problems_to_stream(problems), kind="arrow", many=True)
    for one, other in zip(found, problems, strict=True):
        assert_same(one, other)
    shared = problems[0].machines
    [found] = read(problems_to_stream(problems[:1], shared=shared), kind="arrow", shared=shared)
    assert_same(found, problems[0])


def test_arrow_is_refused_where_its_rows_cannot_be_what_was_asked():
    stream = problems_to_stream([drawn()])
    status, message = refused(stream, "machines=3", kind="arrow")
    assert (status, message) == (
        400, "query parameter machines: not for Arrow, whose rows have them",
    )  # fmt: skip
    two = problems_to_stream([drawn(), drawn(1)])
    assert refused(two, kind="arrow") == (
        400, "request body: more than 1 row in one request",
    )  # fmt: skip
    args = ServeArgs(max_problems=1)
    assert refused(two, "", args, kind="arrow", many=True)[0] in (400, 413)
    assert refused(stream[:-20], kind="arrow")[0] == 400


def test_in_a_batch_what_stands_beside_the_problems_holds_for_each_that_lacks_it():
    own = {"tasks": [TASK | {"etc": [5]}], "machines": [{"id": "mine"}], "edges": []}
    batch = {
        "format": "deepsched-problem/1",
        "machines": MACHINES,
        "edges": [],
        "problems": [{"tasks": [TASK]}, own, {"tasks": [TASK | {"id": "b"}]}],
    }
    first, second, third = read(batch, many=True)
    assert first.machines.ids == third.machines.ids == ("x", "y")
    assert second.machines.ids == ("mine",)
    assert third.task_ids == ("b",)


def test_in_a_batch_shared_machines_are_read_once_and_as_if_each_brought_them():
    machines = [
        {"id": "a", "cores": 4.0, "frequency": 3000.0},
        {"id": "b", "node": "b", "cores": 1.0, "frequency": 1000.0, "memory": 10.0},
    ]
    links = {"bandwidth": [[1, 5e6], [None, 1]], "latency": 0.25}
    edge = {"from": "a", "to": "b", "bytes": 1e6}
    tasks = [{"id": "a", "work": 3.0}, {"id": "b", "work": 2.0, "memory": 9.0}]
    problem = {"tasks": tasks, "edges": [edge]}
    title = {"format": "deepsched-problem/1"}
    shared = {"machines": machines, **links}
    batch = {**shared, "problems": [title | problem, title | problem | links, title | problem]}
    first, own, third = read(batch, many=True)
    [alone] = read(title | shared | problem)
    assert first.machines is third.machines is not own.machines
    for found in (first, own, third):
        assert_same(found, alone)
        assert found.machines.origin == alone.machines.origin


def test_in_a_batch_shared_machines_are_wrong_only_for_who_minds():
    timed = {"tasks": [{"id": "t", "etc": [1, 2]}]}
    bare = {"machines": [{"id": "x"}, {"id": "y"}]}
    common = {"format": "deepsched-problem/1", "edges": [], **bare}
    data = json.dumps(common | {"problems": [timed, {"tasks": [{"id": "t", "work": 1}]}]}).encode()
    fine, wrong = Reading(query=query(), args=ServeArgs()).problems(data, "json", many=True)
    assert fine.n_machines == 2
    assert str(wrong) == (
        "request body: problems[1]: machines[0].cores is missing; tasks[0] gives work, not etc"
    )
    # Too many are refused before anything of their size is built.
    many = {"machines": [{"id": "x", "slots": 4096}]}
    data = json.dumps(common | many | {"problems": [timed]}).encode()
    [refusal] = Reading(query=query(), args=ServeArgs()).problems(data, "json", many=True)
    assert str(refusal) == "4096 machines; this service takes 1000"


def test_in_a_batch_a_wrong_problem_is_the_error_in_its_place():
    batch = {"problems": [SMALL, 7, SMALL | {"tasks": [TASK] * 3}, {}, SMALL]}
    args = ServeArgs(max_tasks=2)
    data = json.dumps(batch).encode()
    found = Reading(query=query(), args=args).problems(data, "json", many=True)
    assert [isinstance(one, DeepSchedError) for one in found] == [False, True, True, True, False]
    assert str(found[1]) == "request body: problems[1] must be an object"
    assert str(found[2]) == "3 tasks; this service takes 2"
    assert str(found[3]).startswith("request body: problems[3]")


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 400, "'problems' must be a list of at least one document"),
        ({"problems": []}, 400, "'problems' must be a list of at least one document"),
        ({"problems": {}}, 400, "'problems' must be a list of at least one document"),
        ([SMALL], 400, "'problems' must be a list of at least one document"),
        ({"problems": [SMALL] * 4}, 413, "4 problems; this service takes 3"),
    ],
)
def test_a_batch_as_a_whole_can_be_wrong(body, status, words):
    found, message = refused(body, "", ServeArgs(max_problems=3), many=True)
    assert found == status
    assert words in message


def test_several_problems_do_not_come_as_files():
    body = (DATA / "workflow.dax").read_bytes()
    assert refused(body, kind="file", many=True)[0] == 415


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [
        ("", "json"),
        ("application/json", "json"),
        ("Application/JSON; charset=utf-8", "json"),
        ("application/problem+json", "json"),
        ("application/x-www-form-urlencoded", "json"),
        ("application/vnd.apache.arrow.stream", "arrow"),
        ("text/plain", "file"),
        ("text/vnd.graphviz", "file"),
        ("application/xml", "file"),
        ("application/gzip", "file"),
        ("application/octet-stream", "file"),
    ],
)
def test_the_content_type_says_how_a_body_is_read(content_type, kind):
    assert kind_of(content_type) == kind


@pytest.mark.parametrize("content_type", ["image/png", "multipart/form-data", "x" * 10_000, "/"])
def test_other_types_are_refused_by_the_names_of_those_there_are(content_type):
    with pytest.raises(RequestError, match=r"application/vnd\.apache\.arrow\.stream") as caught:
        kind_of(content_type)
    assert caught.value.status == 415
    assert len(str(caught.value)) < 400


def test_unpacking_is_bounded_and_strict():
    text = json.dumps(SMALL).encode()
    assert unpack(text, "", 10) == text  # what was sent has been counted while it came in
    assert unpack(gzip.compress(text), "gzip", len(text)) == text
    assert unpack(gzip.compress(text), "", len(text)) == text
    assert unpack(gzip.compress(text[:9]) + gzip.compress(text[9:]), "gzip", len(text)) == text
    small = ServeArgs(max_body_mb=1)
    bomb = gzip.compress(bytes(100_000_000))
    assert len(bomb) < 100_000
    assert refused(bomb, args=small, encoding="gzip") == (
        413, "request body unpacks to more than 1 MB",
    )  # fmt: skip
    assert refused(gzip.compress(bytes(800_000)) * 2, args=small)[0] == 413
    assert "truncated gzip" in refused(gzip.compress(text)[:-4], encoding="gzip")[1]
    assert "damaged gzip" in refused(text, encoding="gzip")[1]
    assert "inside" in refused(gzip.compress(gzip.compress(text)), encoding="gzip")[1]
    assert refused(text, encoding="br")[0] == 415


@pytest.mark.parametrize("data", [bz2.compress(b"{}"), lzma.compress(b"{}")])
def test_a_body_is_unpacked_only_as_gzip(data):
    assert refused(data)[0] == 400


@pytest.mark.parametrize("pack", [bz2.compress, lzma.compress, zipped], ids=["bz2", "xz", "zip"])
def test_no_other_packing_gets_around_the_limit(pack):
    for body in (pack(bytes(2_000_000)), gzip.compress(pack(bytes(2_000_000)))):
        assert refused(body, "", ServeArgs(max_body_mb=1), kind="file")[0] in (413, 415)
