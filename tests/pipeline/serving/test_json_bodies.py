"""JSON of strangers: what `parse_json` makes of it, in bounded memory."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deepsched.baselines.errors import DeepSchedError
from deepsched.baselines.readers.files import as_text, parse_json
from deepsched.pipeline.serving import json_bodies
from deepsched.pipeline.serving.json_bodies import parse_body
from deepsched.pipeline.serving.refusals import RequestError
from deepsched.pipeline.serving.settings import ServeArgs


class Pairs:
    """An object whose keys may repeat."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.pairs = pairs


KEYS = st.sampled_from(["a", "b", "c", "", "\u00e9", "\ud800", 'a"', "a\\", ":", "{", "x" * 40])
NUMBERS = st.one_of(
    st.integers(), st.integers(-(2**80), 2**80), st.floats(), st.sampled_from([0.1, 1e308, 5e-324])
)
TEXTS = st.one_of(st.text(max_size=8), KEYS)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        # Pairs: a key may stand twice.
        st.lists(st.tuples(KEYS, inner), max_size=4).map(Pairs),
    ),
    max_leaves=20,
)
SPACES = st.sampled_from(["", " ", "\n", "\t \r\n"])


def written(value: Any, space: str, *, ascii_only: bool) -> str:
    """Return a JSON text of a value."""
    if isinstance(value, list):
        inner = f"{space},".join(written(one, space, ascii_only=ascii_only) for one in value)
        return f"[{space}{inner}]"
    if isinstance(value, Pairs):
        inner = f",{space}".join(
            f"{json.dumps(key, ensure_ascii=ascii_only)}{space}:{space}"
            f"{written(one, space, ascii_only=ascii_only)}"
            for key, one in value.pairs
        )
        return f"{{{inner}{space}}}"
    return json.dumps(value, ensure_ascii=ascii_only)


def outcome(read: Any, data: bytes) -> Any:
    """Return what is read, so that NaN is equal to itself and 1 is not 1.0; or the refusal."""
    try:
        return repr(read(data))
    except DeepSchedError as error:
        return type(error), str(error)


def assert_read_as_parse_json_does(data: bytes) -> None:
    there = outcome(lambda data: parse_json(as_text(data, "body"), "body"), data)
    assert outcome(lambda data: parse_body(data, "body", ServeArgs()), data) == there


@given(VALUES, SPACES, st.booleans(), st.sampled_from([b"", b"\xef\xbb\xbf", b" \n"]))
def test_a_document_is_what_parse_json_makes_of_it(value, space, ascii_only, before):
    text = written(value, space, ascii_only=ascii_only)
    assert_read_as_parse_json_does(before + text.encode(errors="surrogatepass"))


@given(st.binary(max_size=30))
@example(b"")
@example(b"\xff\xfe{\x00}\x00")
def test_bytes_are_refused_by_the_same_line(data):
    assert_read_as_parse_json_does(data)


@given(st.text('{}[]":,\\ 0a1-.eEnulltrfasNI\n', max_size=30))
@example('{"a": 1, "a": 2}')
@example('{"a": 1, "\\u0061": 2}')  # the same key, written otherwise
@example('{"a": {"a": 1}, "b": [{"a": 1}, {"a": 2}]}')  # each in an object of its own
@example('{"a": [1, {"b": 2}], "b": 1}')
@example('{"a": "b", "b": "a", "c": "\\"a\\": 1"}')
@example('{"a":1,:2}')
@example('["a":1]')
@example("NaN")
@example("[-Infinity, Infinity, 1e999]")
@example('"\\ud800"')
@example('{"a')
@example('{"a\\')
@example("]]]]{}")
def test_texts_that_are_nearly_json_are_refused_by_the_same_line(text):
    assert_read_as_parse_json_does(text.encode())


@pytest.mark.parametrize(
    "text",
    ["18446744073709551616", "-9223372036854775809", '{"id": 123456789012345678901234567890}'],
)
def test_whole_numbers_stay_whole_however_long(text):
    assert_read_as_parse_json_does(text.encode())


def test_a_key_twice_in_one_of_many_objects_is_found():
    objects = [{f"key{j}": j for j in range(20)} for _ in range(200)]
    assert_read_as_parse_json_does(json.dumps(objects).encode())
    twice = json.dumps(objects).replace('"key7": 7, "key8"', '"key7": 7, "key7"', 1).encode()
    assert_read_as_parse_json_does(twice)
    with pytest.raises(DeepSchedError, match="twice"):
        parse_body(twice, "body", ServeArgs())


def test_an_ordinary_document_never_meets_the_slow_parser(monkeypatch):
    monkeypatch.setattr(json_bodies, "parse_json", None)
    found = parse_body(json.dumps({"a": [{"b": 1.5}, {"b": [{}]}]}).encode(), "body", ServeArgs())
    assert found == {"a": [{"b": 1.5}, {"b": [{}]}]}


@pytest.fixture
def no_parser(monkeypatch):
    """Have a test fail where anything is parsed."""
    monkeypatch.setattr(json_bodies, "parse_json", None)
    monkeypatch.setattr(json_bodies, "orjson", None)


def too_much(data: bytes, **limits: int) -> str:
    """Return the line with which a document is refused before it is parsed."""
    with pytest.raises(RequestError) as caught:
        parse_body(data, "body", ServeArgs(**limits))
    assert caught.value.status == 413
    return str(caught.value)


@pytest.mark.usefixtures("no_parser")
def test_bombs_of_the_largest_size_are_refused_without_being_parsed():
    size = 63_000_000
    objects = b"[" + b"{}," * (size // 3)
    assert too_much(objects) == "body: more than 2000000 objects and lists"
    assert too_much(b"[" + b"1," * (size // 2)) == "body: more than 8000000 values"
    assert too_much(b'{"":0' * 100) == "body: nested more than 64 deep"
    assert too_much(b"[" * size) == "body: nested more than 64 deep"
    assert too_much(b"[" + b"[]," * (size // 3)) == "body: more than 2000000 objects and lists"
    assert too_much(b":" * size) == "body: more than 8000000 values"


@pytest.mark.usefixtures("no_parser")
@pytest.mark.parametrize(
    ("within", "beyond", "limits"),
    [
        (b"[{},{},{}]", b"[{},{},{},[]]", {"max_objects": 4}),
        (b'{"a":[0,1]}', b'{"a":[0,1,2]}', {"max_values": 3}),
        (b"[[[[]]]]", b"[[[[[]]]]]", {"max_depth": 4}),
        (b'["[[[[[{{{,,,"]', b'["[[[", [[[[]]]]]', {"max_depth": 4}),
    ],
)
def test_each_limit_is_exact_and_what_stands_in_texts_does_not_count(within, beyond, limits):
    assert "more than" in too_much(beyond, **limits)
    with pytest.raises(AttributeError):  # it is parsed
        parse_body(within, "body", ServeArgs(**limits))


def test_the_largest_allowed_depth_is_read_like_any_other():
    for depth in (64, 900):
        data = b"[" * depth + b"]" * depth
        found, levels = parse_body(data, "body", ServeArgs(max_depth=depth)), 0
        while found:
            [found] = found
            levels += 1
        assert levels == depth - 1


def test_values_that_json_has_not_reach_whoever_reads_their_place():
    found = parse_body(b"[NaN, Infinity, -Infinity]", "body", ServeArgs())
    assert math.isnan(found[0])
    assert found[1:] == [math.inf, -math.inf]
