"""Which requests are quick: what is cheap to see before, and what a quick process passes on."""

from __future__ import annotations

import gzip
import json

import pytest

from deepsched.baselines.registry import OPTIONAL, SCHEDULERS
from deepsched.pipeline.serving import bodies, lanes, quick_limit
from deepsched.pipeline.serving.lanes import SEARCHES, may_be_quick
from deepsched.pipeline.serving.settings import ServeArgs
from deepsched.pipeline.serving.work import TOO_SLOW, read, work_together
from deepsched.pipeline.wire.arrow import problems_to_stream
from tests.pipeline.serving.examples import asked, document, drawn, independent, query


def test_searches_are_slow_and_rules_and_networks_quick():
    quick = {
        name
        for name in (*SCHEDULERS, *OPTIONAL, "deepsched", "paper")
        if may_be_quick(name, query(), "json", b"{}")
    }
    assert quick == {*SCHEDULERS, "deepsched", "paper"} - SEARCHES
    assert "cp-sat" not in quick


@pytest.mark.parametrize(("budget", "quick"), [(0, True), (0.05, True), (0.06, False), (5, False)])
def test_a_search_that_is_over_soon_is_quick(budget, quick):
    assert may_be_quick("deepsched", query(f"budget={budget}"), "json", b"{}") is quick


@pytest.mark.parametrize("kind", list(lanes.QUICK_BYTES))
def test_a_large_body_is_slow_packed_or_not(kind):
    most = lanes.QUICK_BYTES[kind]
    assert may_be_quick("heft", query(), kind, bytes(most))
    assert not may_be_quick("heft", query(), kind, bytes(most + 1))
    packed = gzip.compress(bytes(most + 1))
    assert len(packed) < most
    assert not may_be_quick("heft", query(), kind, packed)
    assert may_be_quick("heft", query(), kind, gzip.compress(bytes(most)))


def test_json_is_as_quick_whatever_its_type_says(networks):
    body = document(drawn(tasks=200))
    assert len(body) > lanes.QUICK_BYTES["file"]
    assert may_be_quick("heft", query(), "file", body)
    assert not may_be_quick("heft", query(), "file", b"digraph {}" + body)
    assert status(networks, asked(body, "scheduler=heft", kind="file")) == 200


@pytest.mark.parametrize("body", [b"", b"\x1f\x8b", b"\x1f\x8b" + bytes(15)])
def test_bodies_too_short_to_be_gzip_are_quick_to_refuse(body):
    assert may_be_quick("heft", query(), "json", body)


def status(networks, ask):
    [reply] = work_together([ask], networks, ServeArgs())
    return reply.status


def test_what_turns_out_large_when_it_is_unpacked_is_passed_on(networks):
    # Its end says that it holds 0 bytes, as gzip data of several members may.
    body = gzip.compress(bytes(lanes.QUICK_BYTES["json"] + 1)) + gzip.compress(b"")
    ask = asked(body)
    assert may_be_quick("deepsched", ask.query, ask.kind, body)
    assert status(networks, ask) == TOO_SLOW


def test_a_document_of_many_objects_is_passed_on_unparsed(networks):
    body = b"[" + b"{}," * lanes.QUICK_OBJECTS + b"{}]"
    assert may_be_quick("deepsched", query(), "json", body)
    assert status(networks, asked(body)) == TOO_SLOW


def test_many_samples_of_many_tasks_are_passed_on_before_any_is_made(networks, monkeypatch):
    problem = drawn(tasks=60, machines=4)
    monkeypatch.setattr(quick_limit, "QUICK_CELLS", (10 + quick_limit.PASS) * problem.etc.size)
    assert status(networks, asked(problem, "samples=11")) == TOO_SLOW
    assert status(networks, asked(problem, "samples=10")) == 200


def test_the_problems_of_a_batch_count_together(networks, monkeypatch):
    problem = drawn(tasks=60, machines=4)
    most = int(2.5 * (10 + quick_limit.PASS) * problem.etc.size)
    monkeypatch.setattr(quick_limit, "QUICK_BATCH", most)
    for number, expected in ((2, 200), (3, TOO_SLOW)):
        stream = problems_to_stream([problem] * number)
        ask = asked(stream, "samples=10", kind="arrow", many=True)
        assert status(networks, ask) == expected


@pytest.mark.parametrize("name", ["min-min", "max-min", "sufferage"])
def test_rules_that_look_at_all_pairs_of_tasks_are_passed_on_earlier(networks, name):
    body = problems_to_stream([independent(20_000, 2)])
    assert status(networks, asked(body, f"scheduler={name}", kind="arrow")) == TOO_SLOW
    assert status(networks, asked(body, "scheduler=heft", kind="arrow")) == 200


def test_files_whose_reading_takes_long_are_passed_on_unread(networks, monkeypatch):
    monkeypatch.setattr(bodies, "problem_from_bytes", None)
    graph = b"digraph {" + b"".join(b"a%d -> a%d;" % (k, k + 1) for k in range(5_000)) + b"}"
    for body in (graph, b"/* a comment */ strict " + graph):
        assert status(networks, asked(body, kind="file")) == TOO_SLOW


def test_in_a_process_of_its_own_nothing_is_too_slow(networks):
    body = b"[" + b"{}," * lanes.QUICK_OBJECTS + b"{}]"
    refused = json.dumps({"problems": [1] * 3}).encode()
    for ask in (asked(refused, many=True), asked(drawn(), "samples=256")):
        assert read(ask, networks, ServeArgs()).problems
    with pytest.raises(Exception, match="object"):
        read(asked(body), networks, ServeArgs())
