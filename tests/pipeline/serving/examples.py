"""Problems, requests and networks that the tests of the service share."""

from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pytest
import torch

from deepsched.baselines.errors import DeepSchedError
from deepsched.baselines.generate import GeneratorSpec, generate
from deepsched.baselines.problem import make_problem
from deepsched.baselines.readers import problem_document
from deepsched.model.checkpoint import save_checkpoint
from deepsched.model.networks import build_network
from deepsched.pipeline.serving.bodies import Reading, unpack
from deepsched.pipeline.serving.query import Query, parse_query
from deepsched.pipeline.serving.refusals import LONGEST_MESSAGE
from deepsched.pipeline.serving.settings import ServeArgs
from deepsched.pipeline.serving.work import Ask, Reply, refusal

if TYPE_CHECKING:
    from pathlib import Path

    from deepsched.baselines.problem import Problem
    from deepsched.pipeline.serving.bodies import Kind

T = TypeVar("T")

TASK = {"id": "a", "etc": [1, 2]}
MACHINES = [{"id": "x"}, {"id": "y"}]
SMALL = {"format": "deepsched-problem/1", "tasks": [TASK], "machines": MACHINES, "edges": []}


def drawn(seed: int = 0, tasks: int = 20, machines: int = 3, **fields: Any) -> Problem:
    return generate(GeneratorSpec(family="layered", tasks=tasks, machines=machines, **fields), seed)


def independent(tasks: int, machines: int) -> Problem:
    """Return tasks without edges, whose transport is as small as their number allows."""
    etc = np.random.default_rng(0).random((tasks, machines)) + 0.5
    return make_problem(machines=drawn(machines=machines).machines, etc=etc, edges=([], [], []))


def document(problem: Problem) -> bytes:
    return json.dumps(problem_document(problem)).encode()


def query(text: str = "") -> Query:
    """Return the query of a request as it stands behind the question mark."""
    return parse_query([tuple(part.split("=", 1)) for part in text.split("&") if part])


def asked(
    body: bytes | Problem | dict[str, Any], text: str = "", *, kind: Kind = "json", **fields: Any
) -> Ask:
    """Return a request as the gateway passes it on."""
    if isinstance(body, dict):
        body = json.dumps(body).encode()
    now = time.time()
    values: dict[str, Any] = {
        "id": "request-1",
        "body": body if isinstance(body, bytes) else document(body),
        "kind": kind,
        "encoding": "",
        "query": query(text),
        "received": now,
        "deadline": math.inf,
    }
    return Ask(**values | fields)


def value(reply: Reply) -> Any:
    """Return what a reply that must be fine carries."""
    assert reply.status == 200, reply.body
    return json.loads(reply.body)


def line(reply: Reply, status: int) -> str:
    """Return the line of a refusal, which must be one short line under that status."""
    assert reply.status == status, reply.body
    found = json.loads(reply.body)
    assert list(found) == ["error"]
    message = found["error"]
    assert isinstance(message, str)
    assert 0 < len(message) <= LONGEST_MESSAGE
    assert "\n" not in message
    assert "Traceback" not in message
    return message


def refused(
    body: Any, text: str = "", args: ServeArgs | None = None, encoding: str = "", **fields: Any
) -> tuple[int, str]:
    """Return the status and line with which a body is refused."""
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    kind = fields.pop("kind", "json")
    limits = args or ServeArgs()
    many = fields.pop("many", False)
    reading = Reading(query=query(text), args=limits, **fields)

    def read() -> None:
        reading.problems(unpack(body, encoding, limits.max_body), kind, many=many)

    with pytest.raises(DeepSchedError) as caught:
        read()
    reply = refusal(caught.value)
    return reply.status, line(reply, reply.status)


def paper_checkpoint(folder: Path, seed: int = 0) -> Path:
    """Save a small network that imitates, with random weights."""
    torch.manual_seed(seed)
    config = {"width": 8, "recurrent_width": 8}
    save_checkpoint(folder, build_network("paper", config), "paper", config, {"teacher": "heft"})
    return folder


def kept(part: type[T]) -> type[T]:
    """Return a part of the service that Python does not end.

    What ends it is a coroutine named `__del__`, which Serve awaits and Python would not.
    """
    return type(part.__name__, (part,), {"__del__": lambda _: None})
