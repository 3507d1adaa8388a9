"""What the service does with a request, as one plain function: read, schedule, answer."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from deepsched.pipeline.serving.bodies import ARROW, kind_of
from deepsched.pipeline.serving.networks import Networks
from deepsched.pipeline.serving.query import parse_query
from deepsched.pipeline.serving.settings import ServeArgs
from deepsched.pipeline.serving.work import Ask, warm_up, work
from deepsched.pipeline.wire.machines import machines_hash

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deepsched.pipeline.serving.work import Reply

BATCH_PATH = "/v1/schedule:batch"


@dataclass(kw_only=True, slots=True)
class Library:
    """Schedulers that are loaded and compiled, and the machines that have been sent."""

    args: ServeArgs = field(default_factory=ServeArgs)
    networks: Networks = field(default_factory=lambda: Networks(None))
    machines: dict[str, bytes] = field(default_factory=dict)

    def warm_up(self) -> None:
        """Compile or load all that is needed, so that no request waits for it."""
        warm_up(self.networks, self.args)

    def know(self, document: bytes) -> str:
        """Keep a machines document, and return its hash."""
        name = machines_hash(document)
        self.machines[name] = document
        return name

    def reply(self, target: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Answer a request to `/v1/schedule` or `/v1/schedule:batch`; its headers in lower case."""
        parts = urlsplit(target)
        query = parse_query(parse_qsl(parts.query))
        ask = Ask(
            id="",
            body=body,
            kind=kind_of(headers.get("content-type", "")),
            encoding=headers.get("content-encoding", ""),
            query=query,
            received=time.time(),
            deadline=math.inf,
            many=parts.path == BATCH_PATH,
            arrow=headers.get("accept") == ARROW,
            machines=self.machines.get(query.settings.machines_sha256 or ""),
        )
        return work(ask, self.networks, self.args)


def scheduling(reply: Reply) -> float:
    """Return s that the schedulers took for all problems of a reply.

    Raises
    ------
    RuntimeError
        If it carries no schedule.
    """
    answers = reply.facts.get("answers", [])
    if reply.status != 200 or not all("schedule" in answer for answer in answers):
        raise RuntimeError(f"no schedule: status {reply.status}: {reply.body[:300]!r}")
    return math.fsum(answer["schedule"] for answer in answers)
