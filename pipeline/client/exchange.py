"""What passes between the logic of a client, which opens no connection, and what sends for it.

A conversation is a generator: it yields requests and pauses, is given what came of them, and
returns what was asked for. So the client that blocks and the one that awaits are the same.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A request to send; the base of the address and the token are the sender's."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wait:
    """A pause before the next request."""

    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What was answered; names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Broken:
    """Why there is no whole answer, said of the service; `again` where another try may help."""

    message: str
    again: bool


T = TypeVar("T")
Step: TypeAlias = Request | Wait
Outcome: TypeAlias = Reply | Broken | None  # None: the pause is over
Conversation: TypeAlias = Generator[Step, Outcome, T]
