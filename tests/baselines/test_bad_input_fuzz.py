"""Whatever bytes come in: a problem that can be scheduled, or one clear error."""

from __future__ import annotations

import copy
import gzip
import json
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml  # type: ignore[import-untyped]
from hypothesis import example, given, settings
from hypothesis import strategies as st

from deepsched.baselines.errors import DeepSchedError, InputWarning
from deepsched.baselines.heft import heft
from deepsched.baselines.readers import (
    ReadOptions,
    problem_from_bytes,
    problem_from_json,
    read_problem,
)
from deepsched.baselines.schedule import violations

DATA = Path(__file__).resolve().parent.parent / "data"
WHERE = "folder/file"
LONGEST_MESSAGE = 1200
INPUTS = ("topcuoglu.json", "wfformat.json", "tiny.stg", "tiny.0", "jobs.csv", "gocj.txt")
OTHER_JSON = ("old_wfformat.json", "record.json", "saga.json", "node_link.json")
YAML = {"pegasus": "pegasus.yml", "dslab": "dslab.yaml"}  # by format
JSON_INPUTS = tuple(name for name in INPUTS if name.endswith(".json"))
SUFFIXES = st.sampled_from(["", ".json", ".json.gz", ".stg", ".csv", ".txt", ".0", ".sol"])
# Texts of the characters that the formats are made of get further than any bytes.
TEXTS = st.text(alphabet=' \n\t,.#-+eE0123456789{}[]":abNn', max_size=80)
NUMBERS = st.sampled_from(
    [0, -1, 1, 2, 10**19, 10**400, 0.5, -0.0, 1e-320, 1e308, float("nan"), float("inf")]
)
SCALARS = NUMBERS | st.none() | st.booleans() | st.text(max_size=3) | st.sampled_from(["1", "a"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "etc"]), inner)
    ),
    max_leaves=4,
)


def judge_text(text: str, where: str) -> None:
    assert text.startswith(where)
    assert len(text) <= LONGEST_MESSAGE
    assert text.isprintable()
    text.encode()


def judge(data: bytes, where: str, options: ReadOptions | None = None) -> bool:
    """Read the bytes; tell whether they make a problem, which then can be scheduled."""
    with warnings.catch_warnings(record=True) as doubts:
        warnings.simplefilter("always", InputWarning)
        try:
            problem = problem_from_bytes(data, where, options)
        except DeepSchedError as error:
            judge_text(str(error), where)
            problem = None
    for doubt in doubts:
        judge_text(str(doubt.message), where)
    if problem is None:
        return False
    assert violations(problem, heft(problem)) == []
    return True


@given(data=st.binary(max_size=200), suffix=SUFFIXES, pack=st.booleans())
@settings(max_examples=150)
@example(data=b"\x1f\x8b\x08", suffix="", pack=False)
@example(data=b"\xef\xbb\xbf1\n2\n", suffix="", pack=True)
def test_any_bytes(data: bytes, suffix: str, pack: bool) -> None:
    judge(gzip.compress(data) if pack else data, WHERE + suffix)


@given(text=TEXTS, suffix=SUFFIXES)
@settings(max_examples=100)
def test_any_text_of_the_formats_characters(text: str, suffix: str) -> None:
    judge(text.encode(), WHERE + suffix)


@given(data=st.binary(max_size=60))
@settings(max_examples=25)
def test_any_file(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("any") / "file"
    path.write_bytes(data)
    if judge(data, str(path)):
        assert np.array_equal(read_problem(path).etc, problem_from_bytes(data, "file").etc)
    else:
        with pytest.raises(DeepSchedError, match=f"^{re.escape(str(path))}"):
            read_problem(path)


@given(draw=st.data())
@settings(max_examples=100)
@pytest.mark.parametrize("name", INPUTS)
def test_a_file_with_a_piece_exchanged(name: str, draw: st.DataObject) -> None:
    data = (DATA / name).read_bytes()
    start = draw.draw(st.integers(0, len(data)))
    end = min(len(data), start + draw.draw(st.sampled_from([0, 1, 2, 5, 1000])))
    piece = draw.draw(st.binary(max_size=2) | TEXTS.map(lambda text: text[:6].encode()))
    changed = data[:start] + piece + data[end:]
    judge(changed, f"{WHERE}{draw.draw(st.sampled_from(['', Path(name).suffix]))}")


@given(draw=st.data())
@settings(max_examples=40)
@pytest.mark.parametrize("name", INPUTS)
def test_a_damaged_gzip(name: str, draw: st.DataObject) -> None:
    data = bytearray(gzip.compress((DATA / name).read_bytes(), mtime=0))
    place = draw.draw(st.integers(2, len(data) - 1))
    if draw.draw(st.booleans()):
        judge(bytes(data[:place]), WHERE)
    else:
        data[place] ^= draw.draw(st.integers(1, 255))
        judge(bytes(data), WHERE)


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """All places in a document, each as the keys that lead there."""
    found = [path] if path else []
    if isinstance(value, dict | list):
        keys = value if isinstance(value, dict) else range(len(value))
        for key in keys:
            found += paths(value[key], (*path, key))
    return found


DOCUMENTS = {name: json.loads((DATA / name).read_text()) for name in (*JSON_INPUTS, *OTHER_JSON)}
# Work, links of every kind, limits and arrivals in one document.
DOCUMENTS["rich"] = {
    "format": "deepsched-problem/1",
    "tasks": [
        {"id": "a", "etc": [1, None], "arrival": 2, "priority": -1, "memory": 5},
        {"id": "b", "work": 3, "memory": 50},
        {"id": "c", "work": 0},
    ],
    "machines": [
        {"id": "x", "cores": 2, "frequency": 1500, "memory": 10},
        {"id": "y", "cores": 1, "frequency": 2500},
    ],
    "edges": [{"from": "a", "to": "c", "bytes": 7}, {"from": "b", "to": "c", "bytes": 0}],
    "bandwidth": [[None, 5], [4, None]],
    "latency": [[0, 1], [0, 0]],
}
PLACES = {name: paths(document) for name, document in DOCUMENTS.items()}


@given(draw=st.data())
@settings(max_examples=100)
@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_with_one_value_changed(name: str, draw: st.DataObject) -> None:
    document = copy.deepcopy(DOCUMENTS[name])
    *parents, last = draw.draw(st.sampled_from(PLACES[name]))
    place = document
    for key in parents:
        place = place[key]
    change = draw.draw(st.sampled_from(["exchange", "drop", "repeat", "rename"]))
    if change == "drop":
        del place[last]
    elif change == "repeat" and isinstance(place, list):
        place.append(copy.deepcopy(place[last]))
    elif change == "rename" and isinstance(place, dict):
        place[draw.draw(st.text(max_size=8))] = place.pop(last)
    else:
        place[last] = draw.draw(VALUES)
    judge(json.dumps(document).encode(), WHERE)


@pytest.mark.parametrize("name", [*DOCUMENTS, *YAML])
@pytest.mark.parametrize(
    "value", [[], {}, [["x"]], None, True, "x", -1, 10**400], ids=lambda value: str(value)[:8]
)
def test_a_document_with_any_value_exchanged(name: str, value: Any) -> None:
    options = ReadOptions(format=name if name in YAML else None)
    sound = yaml.safe_load((DATA / YAML[name]).read_text()) if name in YAML else DOCUMENTS[name]
    for *parents, last in paths(sound):
        document = copy.deepcopy(sound)
        place = document
        for key in parents:
            place = place[key]
        place[last] = value
        judge(json.dumps(document).encode(), WHERE, options)  # JSON is YAML too


@given(document=st.recursive(VALUES, lambda inner: st.lists(inner, max_size=3), max_leaves=5))
@settings(max_examples=100)
def test_any_parsed_document(document: Any) -> None:
    # VALUES holds no key that names a format, so that all of them must be refused.
    with pytest.raises(DeepSchedError, match=f"^{WHERE}: "):
        problem_from_json(document, WHERE)


def test_the_inputs_that_are_changed_are_sound() -> None:
    for name in INPUTS:
        assert judge((DATA / name).read_bytes(), WHERE)
    for document in DOCUMENTS.values():
        assert judge(json.dumps(document).encode(), WHERE)
