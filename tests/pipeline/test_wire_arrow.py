"""What goes over the wire as Arrow comes back exact; strangers' bytes are refused by a line."""

from __future__ import annotations

import json
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepsched.baselines.errors import DeepSchedError, InvalidInput, TooLarge
from deepsched.baselines.heft import heft
from deepsched.baselines.machines import draw_machines, make_machines
from deepsched.baselines.problem import Problem, make_problem
from deepsched.pipeline.wire.arrow import (
    ANSWER_COLUMNS,
    PROBLEM_COLUMNS,
    answers_from_stream,
    answers_to_stream,
    problems_from_stream,
    problems_to_stream,
)
from deepsched.pipeline.wire.machines import (
    machines_bytes,
    machines_from_bytes,
    machines_hash,
    same_machines,
)
from deepsched.pipeline.wire.streams import END, write_stream
from tests import strategies
from tests.same import assert_same

if TYPE_CHECKING:
    from collections.abc import Callable

    from deepsched.baselines.machines import Machines


def any_size(*counts: int) -> None:
    pass


def small_only(n_tasks: int, n_machines: int, n_edges: int) -> None:
    if n_tasks * n_machines > 10_000 or n_machines > 500 or n_edges > 10_000:
        raise TooLarge("too large for this test")


def read(
    data: bytes | memoryview, shared: Machines | None = None
) -> list[Problem | DeepSchedError]:
    return problems_from_stream(data, shared, "body", check=small_only)


UNSENT = ("origin", "format")  # what a summary says of where it came from
MACHINES = make_machines(
    3,
    ids=["fast", "slow", "far"],
    cores=[1, 2, 4],
    memory=[np.inf, 7.5, 9],
    nodes=["a", "a", "b"],
    bandwidth=np.arange(1.0, 10.0).reshape(3, 3),
    latency=np.full((3, 3), 0.25),
)


def factored() -> Problem:
    return make_problem(
        machines=MACHINES,
        work=[1.5, 2.5, 1 / 3, 4.0],
        alpha=0.75,
        noise=np.random.default_rng(0).uniform(0.5, 2, (4, 3)),
        edges=([0, 2, 3], [3, 1, 1], [1e6, 0.1, 0.0]),
        task_ids=["split", "☃", "", "join"],
        arrival=[0, 0.5, 1, 2],
        priority=[-1, 0, 1, 2],
        memory=[0, 1, 8, 9],
        name="factored",
    )


def timed() -> Problem:
    etc = [[1, 2, np.inf], [0.1, np.inf, 0.3]]
    return make_problem(machines=make_machines(3), etc=etc, edges=([0], [1], [5.0]))


def test_a_problem_comes_back_bit_for_bit() -> None:
    given_in = [factored(), timed()]
    for problem, back in zip(given_in, read(problems_to_stream(given_in)), strict=True):
        assert_same(back, problem, UNSENT)


@settings(max_examples=80)
@given(drawn=st.lists(strategies.problems(), min_size=1, max_size=4))
def test_any_problem_comes_back_bit_for_bit(drawn: list[Problem]) -> None:
    shared = drawn[0].machines
    for data, known in ((problems_to_stream(drawn), None), (shared_stream(drawn), shared)):
        for problem, back in zip(drawn, read(data, known), strict=True):
            assert_same(back, problem, UNSENT)


def shared_stream(drawn: list[Problem]) -> bytes:
    return problems_to_stream(drawn, shared=drawn[0].machines)


@settings(max_examples=40)
@given(drawn=strategies.extreme_problems())
def test_numbers_at_the_edges_of_floats_come_back(drawn: Problem) -> None:
    try:
        data = problems_to_stream([drawn])
    except InvalidInput as error:
        assert "surrogate" in str(error)  # noqa: PT017 - a name that no file can hold
        return
    (back,) = read(data)
    assert_same(back, drawn, UNSENT)


def test_shared_machines_are_left_out_and_come_back() -> None:
    equal = machines_from_bytes(machines_bytes(MACHINES), "x", check=any_size)
    data = problems_to_stream([factored(), timed()], shared=equal)
    table = pa.ipc.open_stream(data).read_all()
    assert table["machine_cores"].to_pylist() == [None, [1, 1, 1]]
    first, second = read(data, equal)
    assert isinstance(first, Problem)
    assert first.machines is equal
    assert_same(second, timed(), UNSENT)


def test_arrays_are_not_copied_where_they_can_lie_in_the_stream() -> None:
    rng = np.random.default_rng(0)
    problem = make_problem(machines=make_machines(50), etc=rng.random((200, 50)))
    data = problems_to_stream([problem])
    (back,) = read(data)
    assert isinstance(back, Problem)
    assert np.shares_memory(back.etc, np.frombuffer(data, np.uint8))


def test_machines_have_one_hash_and_are_equal_after_it() -> None:
    data = machines_bytes(MACHINES)
    back = machines_from_bytes(data, "x", check=any_size)
    assert_same(back, MACHINES, UNSENT)
    assert same_machines(back, MACHINES)
    assert machines_hash(machines_bytes(back)) == machines_hash(data)
    assert len(machines_hash(data)) == 64
    assert not same_machines(back, draw_machines(3, 0))


def changed(**cells: Any) -> bytes:
    """Return a stream of one row, some cells of it others."""
    data = problems_to_stream([timed()])
    row = pa.ipc.open_stream(data).read_all().to_pylist()[0]
    return write_stream([row | cells], PROBLEM_COLUMNS)


NAN = float("nan")
WRONG_ROWS = {
    "n_tasks is -1": {"n_tasks": -1},
    "n_tasks is 0": {"n_tasks": 0},
    "n_machines is 0": {"n_machines": 0},
    "n_edges is null": {"n_edges": None},
    "arrival has 2 values; 3 expected": {"n_tasks": 3},
    "etc has 6 values; 8 expected": {"n_machines": 4},
    "edge_parent has 1 values; 2 expected": {"n_edges": 2},
    "edge_child has 2 values; 1 expected": {"edge_child": [0, 1]},
    "edge_bytes is null; 1 edges are declared": {"edge_bytes": None},
    "task_id has 1 values; 2 expected": {"task_id": ["a"]},
    "task id 'a' is given twice": {"task_id": ["a", "a"]},
    "etc holds a null": {"etc": [1.0, None, 1.0, 1.0, 1.0, 1.0]},
    "etc on machine 'm1' is nan": {"etc": [1.0, NAN, 1.0, 1.0, 1.0, 1.0]},
    "give work or etc, not neither": {"etc": None},
    "give work or etc, not both": {"work": [1.0, 2.0]},
    "noise is given, but no work": {"noise": [1.0] * 6},
    "alpha is null": {"work": [1.0, 2.0], "etc": None, "alpha": None},
    "alpha is nan": {"work": [1.0, 2.0], "etc": None, "alpha": NAN},
    "arrival is inf": {"arrival": [0.0, float("inf")]},
    "names a task that does not exist": {"edge_child": [9]},
    "edge '#-1' -> 't1'": {"edge_parent": [-1]},
    "is a self-loop": {"edge_parent": [1]},
    "bytes is nan": {"edge_bytes": [NAN]},
    "machine_cores is null beside other": {"machine_cores": None},
    "machine_memory has 2 values; 3 expected": {"machine_memory": [1.0, 2.0]},
    "bandwidth has 2 values; 1 or 9 expected": {"bandwidth": [1.0, 2.0]},
    "cores 0 must be positive": {"machine_cores": [1.0, 0.0, 1.0]},
    "bandwidth from 'm0' to 'm1' is nan": {"bandwidth": [NAN]},
    "no machines are named by machines_sha256": {
        name: None for name in PROBLEM_COLUMNS.names if name.startswith(("machine_", "band", "lat"))
    },
}


@pytest.mark.parametrize("line", WRONG_ROWS)
def test_a_wrong_row_is_one_line_in_its_place(line: str) -> None:
    wrong = changed(**WRONG_ROWS[line])
    rows = [pa.ipc.open_stream(data).read_all() for data in (problems_to_stream([timed()]), wrong)]
    both = pa.concat_tables([rows[0], rows[1], rows[0]]).to_pylist()
    before, error, after = read(write_stream(both, PROBLEM_COLUMNS))
    assert isinstance(before, Problem)
    assert isinstance(after, Problem)
    assert isinstance(error, InvalidInput)
    assert str(error).startswith("body: row 1: ")
    assert line in str(error)
    assert "\n" not in str(error)


def test_shared_machines_of_another_number_are_refused() -> None:
    (error,) = read(problems_to_stream([factored()], shared=MACHINES), make_machines(2))
    assert str(error) == "body: row 0: n_machines is 3; the shared ones are 2"


def test_what_is_not_given_has_its_default() -> None:
    (back,) = read(changed(arrival=None, priority=None, memory=None, name=None, alpha=None))
    assert isinstance(back, Problem)
    assert back.name == "problem"
    assert not back.arrival.any()


@pytest.mark.parametrize("count", ["n_tasks", "n_machines", "n_edges"])
def test_nothing_is_built_for_a_lie(count: str) -> None:
    data = changed(**{count: 2**62}, task_id=None, edge_parent=None)
    tracemalloc.start()
    before = pa.total_allocated_bytes()
    (checked,) = read(data)
    (unchecked,) = problems_from_stream(data, None, "body", check=any_size)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(checked, TooLarge)
    assert isinstance(unchecked, InvalidInput)
    assert taken < 1_000_000
    assert pa.total_allocated_bytes() - before < 1_000_000


def stream(schema: pa.Schema, columns: list[pa.Array], **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
    return bytes(sink.getvalue().to_pybytes())


def recast(change: Callable[[pa.Table], pa.Table], **options: Any) -> bytes:
    table = change(pa.ipc.open_stream(problems_to_stream([timed()])).read_all())
    return stream(table.schema, [column.combine_chunks() for column in table.columns], **options)


def with_type(name: str, kind: pa.DataType) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        place = table.schema.get_field_index(name)
        column = pa.array(table[name].to_pylist(), type=kind)
        return table.set_column(place, name, column)

    return change


def encoded(name: str) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        place = table.schema.get_field_index(name)
        return table.set_column(place, name, table[name].dictionary_encode())

    return change


WHOLE = problems_to_stream([timed()])
WRONG_STREAMS: dict[str, Callable[[], bytes]] = {
    "Arrow": lambda: b"not a stream",
    "without a schema": lambda: b"",
    "truncated?": lambda: WHOLE[:-8],
    "does not stop where it ends": lambda: WHOLE + b"more",
    "no whole Arrow IPC stream": lambda: WHOLE[: len(WHOLE) // 2],
    "column 'etc' is missing": lambda: recast(lambda table: table.drop_columns(["etc"])),
    "column 'more' is not known": lambda: recast(
        lambda table: table.append_column("more", pa.array([1]))
    ),
    "column 'etc' is given twice": lambda: recast(
        lambda table: table.append_column("etc", table["etc"])
    ),
    "column n_tasks has type int32, not int64": lambda: recast(with_type("n_tasks", pa.int32())),
    "column work has type list": lambda: recast(with_type("work", pa.list_(pa.int64()))),
    "column edge_parent has type list": lambda: recast(
        with_type("edge_parent", pa.list_(pa.int64()))
    ),
    "column name has type dictionary": lambda: recast(encoded("name")),
    "compressed Arrow buffers": lambda: recast(lambda table: table, compression="zstd"),
    "more than 256 rows": lambda: problems_to_stream([timed()] * 257),
    "no row in the Arrow stream": lambda: problems_to_stream([]),
}


@pytest.mark.parametrize("line", WRONG_STREAMS)
def test_a_wrong_stream_is_one_line(line: str) -> None:
    with pytest.raises(InvalidInput, match=r"^body: ") as caught:
        read(WRONG_STREAMS[line]())
    assert line.replace("Arrow", "", 1) in str(caught.value).replace("Arrow", "", 1)
    assert "\n" not in str(caught.value)


def test_many_empty_batches_are_refused() -> None:
    sink = pa.BufferOutputStream()
    empty = pa.ipc.open_stream(problems_to_stream([])).read_all().to_batches()
    batch = pa.RecordBatch.from_pylist([], schema=PROBLEM_COLUMNS) if not empty else empty[0]
    with pa.ipc.new_stream(sink, PROBLEM_COLUMNS) as writer:
        for _ in range(300):
            writer.write_batch(batch)
    with pytest.raises(InvalidInput, match="more than 256 rows"):
        read(sink.getvalue().to_pybytes())


def test_lists_of_either_size_and_columns_of_any_order_are_read() -> None:
    small = recast(with_type("etc", pa.list_(pa.float64())))
    turned = recast(lambda table: table.select(table.column_names[::-1]))
    for data in (small, turned):
        (back,) = read(data)
        assert_same(back, timed(), UNSENT)


@settings(max_examples=400)
@given(data=st.data())
def test_damaged_streams_are_refused_by_a_line(data: st.DataObject) -> None:
    whole = problems_to_stream([factored(), timed()])
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(damaged) - 1))
        damaged[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.sampled_from([len(damaged), data.draw(st.integers(0, len(damaged)))]))
    try:
        found = read(bytes(damaged[:cut]))
    except InvalidInput as error:
        found = [error]
    assert all(isinstance(each, Problem | DeepSchedError) for each in found)
    assert all("\n" not in str(each) for each in found if isinstance(each, DeepSchedError))


def test_a_stream_cut_anywhere_is_refused() -> None:
    whole = problems_to_stream([timed()])
    assert whole.endswith(END)
    for cut in range(0, len(whole), 7):
        with pytest.raises(InvalidInput):
            read(whole[:cut])


def answered() -> dict[str, Any]:
    return {
        "scheduler": "deepsched",
        "winner": "heft",
        "model": "deepsched",
        "model_version": "ab" * 32,
        "makespan": 5.25,
        "mean_turnaround": 3.0,
        "mean_waiting": 1 / 3,
        "lower_bound": 2.0,
        "heft_makespan": 6.0,
        "seconds": 0.125,
        "timing": {
            "queue": 0.001,
            "parse": 0.002,
            "schedule": 0.003,
            "network": None,
            "decode": None,
        },
        "proc": np.array([0, 2], np.int32),
        "ast": np.array([0.0, 1 / 3]),
        "aft": np.array([1.0, 5.25]),
    }


def test_answers_come_back_as_they_were() -> None:
    fault = {"status": 413, "error": "9 tasks; this service takes 8"}
    first, second = answers_from_stream(answers_to_stream([answered(), fault]))
    assert second == fault
    assert first.pop("status") == 200
    expected = answered()
    assert list(first) != []
    assert set(first) == set(expected)
    for name, value in expected.items():
        if isinstance(value, np.ndarray):
            assert first[name].tobytes() == value.tobytes()
        else:
            assert first[name] == value


@pytest.mark.parametrize(
    ("line", "cells"),
    {
        "proc, ast and aft differ": {"ast": [0.0]},
        "a time is not finite": {"aft": [1.0, NAN]},
        "makespan is null": {"makespan": None},
        "proc is null or holds one": {"proc": [0, None]},
        "status is null": {"status": None},
    }.items(),
)
def test_a_wrong_answer_is_one_line(line: str, cells: dict[str, Any]) -> None:
    row = {"status": 200, **answered(), **answered()["timing"]} | cells
    with pytest.raises(InvalidInput, match=f"answer: row 0: {line}"):
        answers_from_stream(write_stream([row], ANSWER_COLUMNS))


def machines_with(**cells: Any) -> bytes:
    document = json.loads(machines_bytes(make_machines(3)))
    return json.dumps(document | cells).encode()


@pytest.mark.parametrize(
    ("line", "data"),
    {
        "not JSON": b"{",
        "the file is empty": b"",
        "an object with n_machines": b"[1]",
        "n_machines must be a whole": machines_with(n_machines=True),
        "machine_cores must be a list of 9 numbers": machines_with(n_machines=9),
        "bandwidth must be a list of 1 or 9": machines_with(bandwidth=[1.0, 2.0]),
        "machine_id must hold names only": machines_with(machine_id=[1, 2, 3]),
        "latency must hold numbers": machines_with(latency=["1"]),
        "latency must hold numbers (null": machines_with(latency=[True]),
        "a number is out of range": machines_with(latency=[10**400]),
        "machine id 'a' is given twice": machines_with(machine_id=["a", "a", "b"]),
        "machine_memory is missing": b'{"n_machines": 1, "machine_cores": [1], '
        b'"machine_frequency": [2000]}',
    }.items(),
)
def test_wrong_machines_are_one_line(line: str, data: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        machines_from_bytes(data, "machines", check=any_size)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_too_many_machines_are_refused_before_they_are_made() -> None:
    def check(n: int) -> None:
        raise TooLarge(f"{n} machines")

    with pytest.raises(TooLarge, match="1000000000000 machines"):
        machines_from_bytes(machines_with(n_machines=10**12), "machines", check=check)


@pytest.mark.parametrize("offset", [0, 1, 4])
def test_a_stream_may_lie_in_other_memory_and_at_any_place_of_it(offset: int) -> None:
    whole = problems_to_stream([factored(), timed()])
    lying = memoryview(b"x" * offset + whole)[offset:]
    for problem, back in zip([factored(), timed()], read(lying), strict=True):
        assert_same(back, problem, UNSENT)
        assert isinstance(back, Problem)
        assert back.etc.flags.aligned
        assert heft(back).makespan == heft(problem).makespan
    answers = answers_to_stream([answered()])
    (row,) = answers_from_stream(memoryview(b"x" * offset + answers)[offset:])
    assert row["ast"].tobytes() == answered()["ast"].tobytes()
