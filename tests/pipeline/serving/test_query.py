"""The query of a request: what each parameter is, and what is refused by naming it."""

from __future__ import annotations

import pytest

from deepsched.pipeline.serving.query import MAX_SAMPLES, Query, QuerySettings, parse_query
from deepsched.pipeline.serving.refusals import RequestError
from tests.pipeline.serving.examples import SMALL, query, refused

HASH = "0123456789abcdef" * 4


def said(text: str) -> str:
    """Return the line with which a query is refused, as a 400."""
    with pytest.raises(RequestError) as caught:
        query(text)
    assert caught.value.status == 400
    assert len(str(caught.value)) < 400
    return str(caught.value)


def test_a_query_that_says_nothing_leaves_everything_at_its_default():
    assert query() == Query(settings=QuerySettings(), options={})


def test_each_parameter_arrives_as_what_it_is():
    found = query(
        "scheduler=heft&seed=1&machines=2&machine_seed=3&noise=0.5&noise_seed=4&bandwidth=1e6"
        "&latency=0.1&edges=true&runtime=2&objective=turnaround&decode=topk&samples=8&budget=0.5&guard=false"
    )
    assert found.settings == QuerySettings(
        scheduler="heft", seed=1, machines=2, machine_seed=3, noise=0.5, noise_seed=4,
        bandwidth=1e6, latency=0.1, edges=True, runtime=2.0,
    )  # fmt: skip
    assert found.options == {
        "objective": "turnaround", "decode": "topk", "samples": 8, "budget": 0.5, "guard": False,
    }  # fmt: skip
    assert query(f"machines_sha256={HASH}").settings.machines_sha256 == HASH
    assert query("trace_machines=true").settings.trace_machines


def test_only_the_options_that_were_given_are_options():
    assert query("samples=8").options == {"samples": 8}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("colour=red", "unknown query parameter 'colour'; one of: scheduler, seed, machines"),
        ("threads=2", "unknown query parameter 'threads'; one of: scheduler, seed, "),
        ("x" * 5_000 + "=1", "unknown query parameter 'xxx"),
        ("machines=0", "query: machines = 0; it must be a whole number of at least 1"),
        ("machines=two", "query: machines = 'two'; it must be a whole number of at least 1"),
        ("machines=1e9", "query: machines = '1e9'; it must be a whole number of at least 1"),
        ("machines=-1", "query: machines = -1; it must be a whole number of at least 1"),
        ("noise=nan", "query: noise = nan; it must be a finite number of at least 0"),
        ("noise=inf", "query: noise = inf; it must be a finite number of at least 0"),
        ("latency=-1", "query: latency = -1.0; it must be a finite number of at least 0"),
        ("bandwidth=0", "bandwidth 0"),
        ("seed=-1", "query: seed = -1; it must be a whole number from 0 to"),
        (f"seed={2**63}", "it must be a whole number from 0 to"),
        ("seed=1&seed=1", "'seed' is given twice"),
        ("seed=" + "9" * 10_000, "seed = '999"),
        ("runtime=-1", "query: runtime = -1"),
        ("trace_machines=true&machines=3", "give either machines or those of the trace, not both"),
        ("edges=perhaps", "query: edges = 'perhaps'; it must be true or false"),
        ("objective=cost", "query: objective = 'cost'; it must be one of makespan, turnaround"),
        ("samples=0", "query: samples = 0; it must be a whole number of at least 1"),
        ("samples=257", "query: samples = 257; at most 256 here"),
        ("guard=perhaps", "query: guard = 'perhaps'; it must be true or false"),
        ("budget=-1", "query: budget = -1"),
        ("machines_sha256=abc", "query: machines_sha256 must be 64 hexadecimal digits"),
        (f"machines_sha256={HASH.upper()}", "query: machines_sha256 must be 64 hexadecimal digits"),
        (f"machines=3&machines_sha256={HASH}", "give either machines or machines_sha256, not both"),
    ],
    ids=lambda text: text[:40],
)
def test_bad_queries_are_refused_by_the_name_of_the_parameter(text, words):
    assert words in said(text)


def test_a_parameter_given_twice_is_not_repeated_at_length():
    pairs = [("y" * 100_000, "1")] * 2
    with pytest.raises(RequestError, match="given twice"):
        parse_query(pairs)


@pytest.mark.parametrize(
    ("text", "words"), [("machines=3", "brings its own 2 machines"), ("noise=0.1", "noise")]
)
def test_what_a_document_leaves_no_room_for_is_refused_with_it(text, words):
    status, message = refused(SMALL, text)
    assert status == 400
    assert words in message


def test_the_most_samples_are_fine():
    assert query(f"samples={MAX_SAMPLES}").options["samples"] == MAX_SAMPLES
