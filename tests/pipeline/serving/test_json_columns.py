"""Documents that are read as columns: the same problem bit for bit, or the same refusal."""

from __future__ import annotations

import json
import math
import random
import warnings
from dataclasses import fields
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from deepsched.baselines.errors import DeepSchedError
from deepsched.baselines.readers.columns import EdgeColumns, TaskColumns
from deepsched.pipeline.serving import json_bodies, json_columns
from deepsched.pipeline.serving.bodies import Reading
from deepsched.pipeline.serving.json_bodies import check_json, parse_body
from deepsched.pipeline.serving.json_columns import LEAST
from deepsched.pipeline.serving.refusals import RequestError
from deepsched.pipeline.serving.settings import ServeArgs
from tests.pipeline.serving.examples import document, drawn, query


def outcome(data: bytes, text: str = "", args: ServeArgs | None = None) -> Any:
    """Return all there is to a problem, or the refusal; and the warnings."""
    reading = Reading(query=query(text), args=args or ServeArgs())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            [problem] = reading.problems(data, "json")
            found: Any = values(problem)
        except DeepSchedError as error:
            found = type(error), str(error)
    return found, [str(warning.message) for warning in caught]


def values(value: Any) -> Any:
    """Return a problem or its machines as values that compare bit for bit."""
    found = {}
    for field in fields(value):
        one = getattr(value, field.name)
        if field.name == "machines":
            one = values(one)
        elif isinstance(one, np.ndarray):
            one = one.dtype.str, one.shape, one.tobytes(), one.flags.writeable
        elif field.name == "links":
            one = None  # the same arrays once more
        found[field.name] = one
    return found


def as_columns(data: bytes, least: float = 0) -> bool:
    """Return whether a document is read as columns, by default however few objects it has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_columns, "LEAST", least)
        try:
            found = parse_body(data, "body", ServeArgs(), by_column=True)
        except DeepSchedError:
            return False
    if not isinstance(found, dict) or not isinstance(found.get("tasks"), TaskColumns):
        return False
    return isinstance(found["edges"], EdgeColumns)


def assert_same(data: bytes, text: str = "", args: ServeArgs | None = None) -> Any:
    """Compare what is read as columns, as far as that goes, with what is read otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_columns, "LEAST", math.inf)
        slow = outcome(data, text, args)
        patch.setattr(json_columns, "LEAST", 0)
        assert outcome(data, text, args) == slow
    return slow[0]


PLAIN: dict[str, Any] = {
    "format": "deepsched-problem/1",
    "tasks": [
        {"id": "a", "work": 1.5, "arrival": 0.25},
        {"id": "b", "work": 3e-5, "priority": -2.5, "memory": 4},
        {"id": "c c", "work": 7.125},
    ],
    "machines": [
        {"id": "x", "cores": 2, "frequency": 1000},
        {"id": "y", "cores": 3, "frequency": 3000, "memory": 9, "node": "z"},
    ],
    "edges": [
        {"from": "a", "to": "b", "bytes": 0.1},
        {"from": "a", "to": "c c", "bytes": 12345678901234567},
    ],
    "bandwidth": 5000000,
    "latency": 0.5,
}


def written(value: Any, **options: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, **options).encode()


@pytest.mark.parametrize(
    "data",
    [
        written(PLAIN),
        written(PLAIN, indent="\t"),
        written(PLAIN, indent=2).replace(b"\n", b"\r\n"),
        written(PLAIN, separators=(",", ":")),
        written(dict(reversed(PLAIN.items()))),
        b" \r\n" + written(PLAIN) + b"\n\n\t ",
        written(PLAIN | {"edges": []}),
        written(
            {key: value for key, value in PLAIN.items() if key not in ("bandwidth", "latency")}
        ),
        written({**PLAIN, "tasks": [dict(reversed(one.items())) for one in PLAIN["tasks"]]}),
        document(drawn(tasks=30, noise=0)),
        document(drawn(tasks=30, noise=0, memory=0.5)),
    ],
)
def test_a_plain_document_is_read_as_columns_and_is_the_same_problem(data):
    assert as_columns(data)
    assert isinstance(assert_same(data), dict)


ETC = {"id": "a", "etc": [1, 2]}


@pytest.mark.parametrize(
    "data",
    [
        written(PLAIN | {"tasks": [*PLAIN["tasks"], {"id": "d", "etc": [1, None]}]}),
        written(PLAIN | {"tasks": [ETC], "edges": []}),
        written(PLAIN | {"bandwidth": None}),
        written(PLAIN | {"bandwidth": [[1, 5e6], [None, 1]]}),
        written(PLAIN | {"machines": [{"id": "x", "cores": 1, "frequency": 1, "slots": 2}]}),
        written(PLAIN | {"machines": [{"id": 7, "cores": 1, "frequency": 1}]}),
        written(PLAIN | {"note": ["tasks", {"tasks": [{}], "edges": [1]}]}),
        written({key: PLAIN[key] for key in reversed(PLAIN)} | {"note": ""}),
        written(PLAIN).replace(b"c c", "\u00e9".encode()),
        written(PLAIN).replace(b"c c", b"\\u00e9"),
        written(PLAIN).replace(b"c c", b"null"),
        written(PLAIN).replace(b'"a"', b"7"),
        written(PLAIN).replace(b"1.5", b"-0"),
        document(drawn(tasks=30, noise=0.5)),
    ],
)
def test_what_is_not_plain_is_left_to_the_other_reader(data):
    assert not as_columns(data)
    assert isinstance(assert_same(data), dict)


def test_a_small_document_is_not_read_as_columns():
    assert as_columns(written(PLAIN))
    objects = check_json(written(PLAIN), "body", ServeArgs()).objects
    assert as_columns(written(PLAIN), objects)
    assert not as_columns(written(PLAIN), objects + 1)
    assert objects < LEAST


def test_a_large_document_meets_no_other_parser(monkeypatch):
    data = document(drawn(tasks=3000, machines=8, noise=0))
    there = outcome(data)
    assert isinstance(there[0], dict)
    monkeypatch.setattr(json_bodies, "orjson", None)
    monkeypatch.setattr(json_bodies, "parse_json", None)
    assert outcome(data) == there


TEXT = written(PLAIN).decode()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        # What some JSON readers take, and JSON has not.
        ("1.5", "NaN"),
        ("1.5", "Infinity"),
        ("1.5", "-Infinity"),
        ("1.5", "Inf"),
        ("1.5", "nan"),
        ("1.5", "+1.5"),
        ("1.5", ".5"),
        ("1.5", "1."),
        ("1.5", "01.5"),
        ("1.5", "-01.5"),
        ("1.5", "1e"),
        ("1.5", "1e+"),
        ("1.5", "1.5f"),
        ("1.5", "0x15"),
        ("1.5", "1_5"),
        ("1.5", "1 5"),
        ("1.5", "- 1.5"),
        ("1.5", "nul"),
        ("1.5", "nulll"),
        ("1.5", "True"),
        ("1.5", "/* none */ 1.5"),
        ("1.5", "1.5 // none\n"),
        ("0.25}", "0.25,}"),
        ("0.25}", "0.25"),
        ('"arrival": 0.25', '"arrival" 0.25'),
        ('"arrival": 0.25', '"arrival": '),
        ('"arrival": 0.25', "arrival: 0.25"),
        ('"arrival": 0.25', "'arrival': 0.25"),
        ('"arrival": 0.25', ""),
        ("7.125}]", "7.125},]"),
        ("7.125}]", "7.125}"),
        ("7.125}]", "7.125}]]"),
        ("0.1}, ", "0.1} "),
        ("0.1}, ", "0.1},, "),
        ('"tasks": [', '"tasks": [/* none */'),
        ('"tasks": [', '"tasks": [// none\n'),
        ('"edges": [', '"edges": [,'),
        ('"latency": 0.5}', '"latency": 0.5,}'),
        ('"latency": 0.5}', '"latency": 0.5}}'),
        ('"latency": 0.5}', '"latency": 0.5} x'),
        ('"latency": 0.5}', '"latency": 0.5}\n{}'),
        ('"latency": 0.5}', '"latency": 0.5}\x00'),
        ('"latency": 0.5}', '"latency": 0.5}\x00x'),
        ('"latency": 0.5}', '"latency": 0.5}{}'),
        ('"latency": 0.5}', '"latency": 0.5} null'),
        ('"latency": 0.5}', '"latency": 0.5}\x1a'),
        ('"latency": 0.5}', '"latency": 0.5'),
        ('"latency": 0.5}', '"latency": 0.5]'),
        ('"latency": 0.5}', '"latency": NaN}'),
        ("{", "\ufeff{"),
        ("{", "[{"),
        ("{", ""),
        ("{", "{{"),
        ("{", "\x0b{"),
        ("{", "\u00a0{"),
        (TEXT, ""),
        (TEXT, TEXT + TEXT),
        (TEXT, f"[{TEXT}]"),
        # Bytes that a string cannot hold, or is written without.
        ('"a"', '"a\n"'),
        ('"a"', '"\x00a"'),
        ('"a"', '"a\x1f"'),
        ('"a"', '"a\x7f"'),
        ('"a"', '"\\u0061"'),
        ('"a"', '"\\ud800"'),
        ('"a"', '"a\\"'),
        ('"id"', '"\\u0069d"'),
        ('"id"', '"\x00id"'),
        ('"tasks"', '"t\\u0061sks"'),
        # Numbers at the ends of their range, and signs.
        ("1.5", "-1.5"),
        ("1.5", "-0"),
        ("1.5", "-0.0"),
        ("1.5", "-0e5"),
        ("1.5", "1e999"),
        ("1.5", "1" + "0" * 400),
        ("1.5", "9" * 5000),
        ("1.5", "0." + "0" * 3000 + "1e3001"),
        ("1.5", "1e-400"),
        ("1.5", "0e99999999999999999999"),
        ("1.5", "1e-99999999999999999999"),
        ("1.5", "1e18446744073709551617"),
        ("1.5", "18446744073709551616"),
        ("1.5", "9223372036854775807"),
        ("-2.5", "-0"),
        ("-2.5", "-18446744073709551616"),
        ("-2.5", "1e999"),
        ("7.125", "-7"),
        ("7.125", "1e308"),
        ("0.25", "-1"),
        ("0.1", "-0.1"),
        ("0.1", "1e400"),
        ("0.1", "-0"),
        # Values of another kind.
        ('"a", "work"', '1, "work"'),
        ('"a", "work"', 'null, "work"'),
        ('"a", "work"', '"", "work"'),
        ('"a", "work"', '["a"], "work"'),
        ('"a"', '"2020-01-01"'),
        ('{"id": "a"', 'null, {"id": "a"'),
        ('{"id": "a"', '7, {"id": "a"'),
        ('{"from": "a"', 'null, {"from": "a"'),
        ('"work": 1.5', '"etc": [1.5, 2]'),
        ('"work": 1.5', '"etc": [1.5]'),
        ('"work": 1.5', '"etc": 1.5'),
        ('"work": 1.5', '"etc": null'),
        ("1.5", "[]"),
        ("1.5", "{}"),
        ("1.5", '"1.5"'),
        ("1.5", "true"),
        ("7.125", '"7"'),
        ("7.125", "null"),
        ("7.125", "false"),
        ("0.25", "[0.25]"),
        ("0.1", "null"),
        ("0.1", "{}"),
        ('"from": "a"', '"from": 1'),
        ('"from": "a"', '"from": null'),
        ('"from": "a"', '"from": ""'),
        ('"from": "a"', '"from": "A"'),
        ('"from": "a"', '"from": "ab"'),
        ('"from": "a"', '"from": "b"'),
        ('"from": "a"', '"from": "a\n"'),
        ('"from": "a"', '"from": "\\u0061"'),
        ('"id": "b"', '"id": "a"'),
        ('"to": "b"', '"to": "c c"'),
        ('"to": "b"', '"to": "\u00e9"'),
        # Keys: missing, unknown, misspelt, twice.
        ('"id": "a", ', ""),
        ('"id": "a", ', '"name": "a", '),
        ('"id": "a", ', '"id": "a", "name": "a", '),
        ('"id": "a", ', '"id": "a", "id": "a", '),
        ('"id": "a", ', '"id": "a", "ID": "a", '),
        ('"id": "a", ', '"id": "a", "prioriti": 1, '),
        ('"id": "a", ', '"id": "a", "priorityy": 1, '),
        ('"id": "a", ', '"id": "a", "": 1, '),
        ('"id": "a", ', '"id": "a", "work": 1, '),
        ('"work": 1.5, ', ""),
        ('"work": 1.5, ', '"work": 1.5, "work": 1.5, '),
        ('"work": 1.5, ', '"work": 1.5, "etc": [1, 2], '),
        ('"arrival"', '"arival"'),
        ('"arrival"', '"arrival\u00e9"'),
        ('"from": "a", ', ""),
        ('"from": "a", ', '"from": "a", "from": "a", '),
        ('"bytes": 0.1', '"byte": 0.1'),
        ('"bytes": 0.1', '"bytes": 0.1, "weight": 1'),
        ('"tasks"', '"task"'),
        ('"edges"', '"edge"'),
        ('"edges"', '"tasks"'),
        ('"latency"', '"edges"'),
        ('"latency"', '"latenci"'),
        ('"latency"', '"nodes"'),
        ('"format": ', '"formats": '),
        ("deepsched-problem/1", "deepsched-problem/2"),
        ("{}", "{}"),
        # What is around the lists.
        ('"machines": [', '"machines": [7, '),
        ('"machines": [', '"machines": [], "machine": ['),
        ('"cores": 2', '"slots": 2, "cores": 2'),
        ('"cores": 2', '"slots": 2.5'),
        ('"cores": 2, ', ""),
        ('"x"', '"y"'),
        ('"x"', '""'),
        ('"x"', "7"),
        ('"z"', '""'),
        ('"z"', "null"),
        ('"z"', '"x"'),
        ("2, ", "-0, "),
        ("2, ", "0, "),
        ("2, ", "-1, "),
        ("2, ", "NaN, "),
        ("2, ", "null, "),
        ("1000", "-Infinity"),
        ("1000", "1e999"),
        ('"memory": 9', '"memory": null'),
        ('"memory": 9', '"memory": -1'),
        ('"memory": 9', '"memory": "9"'),
        ("5000000", "null"),
        ("5000000", "0"),
        ("5000000", "-0"),
        ("5000000", "-5"),
        ("5000000", "Infinity"),
        ("5000000", "1" + "0" * 400),
        ("5000000", "[5]"),
        ("5000000", '"5"'),
        ('"latency": 0.5', '"latency": null'),
        ('"latency": 0.5', '"latency": -0'),
        ('"latency": 0.5', '"latency": -1'),
        ('"tasks": [', '"tasks": null, "task": ['),
        ('"tasks": [', '"tasks": [], "task": ['),
        ('"machines": [', '"machines": null, "machine": ['),
        ('"edges": [', '"edges": null, "edge": ['),
        ('"edges": [', '"edges": {}, "edge": ['),
        ('"memory": 4', '"memory": 10'),
    ],
)  # fmt: skip
def test_whatever_is_unusual_is_read_or_refused_as_ever(old, new):
    assert_same(TEXT.replace(old, new, 1).encode(errors="surrogatepass"))


@pytest.mark.parametrize(
    "data",
    [
        TEXT.replace("c c", "\u00e9").encode("latin-1"),
        TEXT.encode("utf-16"),
        TEXT.encode("utf-8-sig"),
        TEXT.encode()[:-1],
    ],
)
def test_bytes_that_are_no_utf_8_are_refused_as_ever(data):
    assert not as_columns(data)
    assert_same(data)


@pytest.mark.parametrize(
    "text", ["machines=2", "noise=0.5", "bandwidth=7", "latency=1", "trace_machines=true"]
)
def test_a_query_acts_on_columns_as_ever(text):
    assert_same(written(PLAIN), text)
    assert_same(document(drawn(tasks=30, noise=0)), text)


COUNTED = check_json(written(PLAIN), "body", ServeArgs())


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("max_tasks", 3),
        ("max_machines", 2),
        ("max_edges", 2),
        ("max_cells", 6),
        ("max_values", COUNTED.values),
        ("max_objects", COUNTED.objects),
    ],
)
def test_each_limit_is_the_same_and_exact(name, count):
    within, beyond = ServeArgs(**{name: count}), ServeArgs(**{name: count - 1})
    assert isinstance(assert_same(written(PLAIN), "", within), dict)
    kind, message = assert_same(written(PLAIN), "", beyond)
    assert kind is RequestError
    assert "this service takes" in message or "more than" in message


def changed(data: bytes, seed: int) -> bytes:
    """Return a document with some bytes left out, put in, given twice or exchanged."""
    rng, text = random.Random(seed), bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = rng.randrange(len(text))
        what = rng.randrange(5)
        if what == 0:
            del text[at : at + rng.choice((1, 1, 2, 8))]
        elif what == 1:
            text.insert(at, rng.choice(b'{}[]":,\\ 0a1-.eEnulltrfasNI\n\x00\xc3'))
        elif what == 2:
            text[at] = rng.randrange(256)
        elif what == 3:
            piece = text[at : at + rng.randrange(1, 40)]
            text[at:at] = piece
        else:
            other = rng.randrange(len(text))
            piece = text[other : other + rng.randrange(1, 12)]
            text[at : at + len(piece)] = piece
    return bytes(text)


@given(st.integers(0, 2**32), st.sampled_from([None, "\t"]), st.booleans())
@settings(max_examples=1500)
def test_a_document_with_a_slip_in_it_is_read_or_refused_as_ever(seed, indent, long):
    data = written(PLAIN, indent=indent)
    if long:
        data = document(drawn(seed % 5, tasks=6, noise=0, memory=0.5 * (seed % 2)))
    assert_same(changed(data, seed))


NUMBERS = st.one_of(
    st.floats(min_value=0, allow_infinity=False).map(repr),
    st.floats(min_value=0, max_value=1e6).map(lambda value: f"{value:.20f}"),
    st.integers(0, 10**20).map(str),
    st.tuples(st.integers(0, 10**19), st.integers(-350, 310)).map(lambda one: f"{one[0]}E{one[1]}"),
    st.sampled_from(["0", "0.0", "5e-324", "2.2250738585072011e-308", "1.7976931348623157e308"]),
)


@given(st.lists(NUMBERS, min_size=3, max_size=3))
@example(["9007199254740993", "9007199254740992.5", "9007199254740993.0000000000000000001"])
@settings(max_examples=500)
def test_numbers_are_the_same_bit_for_bit(numbers):
    text = TEXT.replace("1.5", numbers[0]).replace("7.125", numbers[1]).replace("0.1", numbers[2])
    assert_same(text.encode())


@pytest.mark.parametrize("byte", [*range(32), 127])
def test_a_control_byte_in_a_name_is_read_or_refused_as_ever(byte):
    # Arrow's parser may look at several bytes at once: at each place among them.
    for size in range(40):
        name = "x" * size + chr(byte) + "x" * (40 - size)
        assert_same(TEXT.replace('"a"', f'"{name}"').encode())


@pytest.mark.parametrize("size", [1, 2**31])
def test_what_arrow_cannot_hold_is_left_to_the_other_reader(size, monkeypatch):
    monkeypatch.setattr(json_columns, "MOST", size)
    assert as_columns(written(PLAIN)) == (size > 1)

    def too_much(*_: Any) -> None:
        raise pa.ArrowCapacityError("array cannot contain more than 2147483646 bytes")

    monkeypatch.setattr(json_columns.json, "read_json", too_much)
    assert not as_columns(written(PLAIN))
