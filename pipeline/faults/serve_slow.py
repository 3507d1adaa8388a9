"""Clients that hold a service up: half requests, endless ones, silence, and answers left lying.

While each kind does so, other processes ask for small things. What these wait is compared with what
they waited just before, when nobody disturbed.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import resource
import socket
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from deepsched.pipeline.benchmarks.serving_bodies import Request
from deepsched.pipeline.benchmarks.serving_load import LOST, UNSENT, Load, going_on, percentile
from deepsched.pipeline.faults.serve_hostile import JSON, bomb
from deepsched.pipeline.faults.serve_trial import Watch, load_average, small_request
from deepsched.pipeline.faults.serve_wire import NoAnswer, exchange, request
from deepsched.pipeline.faults.trial import Broken

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
    from typing import TypeAlias

    from deepsched.pipeline.faults.serve_trial import ServeTrial

    Address: TypeAlias = tuple[str, int]
    Attack: TypeAlias = Callable[[Address, float], Awaitable["Fates"]]

IDLE = 6.0  # s, for which it is seen how long small things take undisturbed
PROBE_RATE = 5.0  # 1/s
MOST_RATIO = 3.0  # of a probe's p99 to that without disturbance
LITTLE = 50.0  # ms, below which it is no matter how many times as long that is
MAY_BE_REFUSED = ("small 503",)  # no fault: there is no room, and it is told
MOST_PEAK = 1_500.0  # MB that all processes may take more for a while
LARGEST = 64_000_000  # bytes, the service's default for a body
HEADERS = 300_000_000  # bytes of headers on one connection
PATIENCE = 45.0  # s, in which the service has to close what stands still
SPARE = 200  # descriptors beside the connections
ESTABLISHED = "01"  # as /proc/net/tcp says it


@dataclass(frozen=True, kw_only=True)
class Fates:
    """How connections ended.

    Attributes
    ----------
    ends : how many, by status or in a word.
    still_open : that the service had not closed.
    seconds : until the last was closed.
    """

    ends: Mapping[str, int]
    still_open: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        text = ", ".join(f"{count} x {end}" for end, count in sorted(self.ends.items()))
        left = f", {self.still_open} LEFT OPEN" if self.still_open else ""
        return f"{text}{left} within {self.seconds:.1f} s"


@dataclass(kw_only=True)
class Probes:
    """What small requests saw: ms of their answers, and what else came, by kind of probe."""

    ms: dict[str, list[float]] = field(default_factory=dict)
    others: Counter[str] = field(default_factory=Counter)

    def p99(self, kind: str) -> float:
        """Return what all but a hundredth did not exceed."""
        return percentile(self.ms.get(kind, []), 0.99)

    def add(self, other: Probes) -> None:
        """Count what another one saw as well."""
        for kind, values in other.ms.items():
            self.ms.setdefault(kind, []).extend(values)
        self.others += other.others


def slow_clients(trial: ServeTrial) -> None:
    """Send half requests, stalled, endless and silent ones, gzip bombs; leave answers unread."""
    _allow_connections(round(2_000 * trial.share) + SPARE)
    trial.check_good(small_request())
    before = trial.rest()
    idle, disturbed = Probes(), Probes()
    wrong: list[str] = []
    for name, attack in ATTACKS.items():
        undisturbed, probes = Probes(), Probes()
        with _probing(trial, undisturbed):
            time.sleep(max(IDLE * trial.share, 0.5))
        with _probing(trial, probes), Watch(trial.held) as watch:
            fates = asyncio.run(_again(attack, trial))
        grown = 0.0 if before is None else max(0.0, watch.megabytes - before.usage.megabytes)
        trial.disturbed(f"{name}: {fates}; at most {grown:.0f} MB more", hit=True)
        trial.say(f"{name}: probes {_compared(undisturbed, probes)}; {load_average()}")
        idle.add(undisturbed)
        disturbed.add(probes)
        if fates.still_open:
            wrong.append(f"{fates.still_open} connections left open ({name})")
        if grown > MOST_PEAK:
            wrong.append(f"{grown:.0f} MB more ({name})")
        trial.settled(before)
    trial.check_good(small_request())
    trial.say(f"all: probes {_compared(idle, disturbed)}")
    after = trial.settled(before)
    if after is not None:
        trial.say(f"held: {before}; afterwards {after}")
    wrong += held_up(idle, disturbed)
    if wrong:
        raise Broken("; ".join(wrong))


async def _again(attack: Attack, trial: ServeTrial) -> Fates:
    """Do it again and again while probes are sent that it could hold up."""
    ends: Counter[str] = Counter()
    still_open, longest, begin = 0, 0.0, time.perf_counter()
    while not ends or time.perf_counter() - begin < IDLE * trial.share:
        fates = await attack(trial.address, trial.share)
        ends.update(fates.ends)
        still_open += fates.still_open
        longest = max(longest, fates.seconds)
        if fates.still_open:
            break
    return Fates(ends=ends, still_open=still_open, seconds=longest)


def held_up(idle: Probes, disturbed: Probes) -> list[str]:
    """Return what small requests had to suffer, a line each."""
    found = [
        f"{count} probes of {kind}"
        for kind, count in disturbed.others.items()
        if not kind.endswith(MAY_BE_REFUSED)
    ]
    for kind in disturbed.ms:
        now, then = disturbed.p99(kind), idle.p99(kind)
        if now > LITTLE and now > MOST_RATIO * then:
            found.append(f"{kind} took {now:.0f} ms, {now / then:.1f} times as long")
    return found


def _compared(idle: Probes, disturbed: Probes) -> str:
    parts = [
        f"{kind} p99 {disturbed.p99(kind):.0f} ms of {len(values)} (before {idle.p99(kind):.0f})"
        for kind, values in disturbed.ms.items()
    ]
    return ", ".join([*parts, *(f"{count} x {kind}" for kind, count in disturbed.others.items())])


@contextlib.contextmanager
def _probing(trial: ServeTrial, found: Probes) -> Iterator[None]:
    """Ask small things from other processes; over connections that are kept, and over new ones."""
    health = Request(name="health", method="GET", path="/health")
    small = small_request()
    with contextlib.ExitStack() as stack:
        outcomes = {}
        for name, asked in (("health", health), ("small", small)):
            for way, headers in (("kept", {}), ("new", {"Connection": "close"})):
                text = Request(
                    name=name,
                    method=asked.method,
                    path=asked.path,
                    data=asked.data,
                    headers={**asked.headers, **headers},
                )
                host, port = trial.address
                load = Load(
                    host=host,
                    port=port,
                    files=[trial.service.file(text)],
                    connections=50,
                    rate=PROBE_RATE,
                )
                outcomes[f"{way} {name}"] = stack.enter_context(going_on(load))
        yield
    for kind, outcome in outcomes.items():
        way = kind.partition(" ")[0]
        found.ms[kind] = outcome.ms
        for status, count in outcome.statuses.items():
            # A connection that is kept may be closed for being idle just as it is used again.
            closed = way == "kept" and status == LOST
            if status not in ("200", UNSENT) and not closed:
                found.others[f"{kind} {status}"] += count


def _allow_connections(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


# What is sent: head without end, and heads of bodies that do not come.


def _head(length: int, *more: tuple[str, str], end: bool = True) -> bytes:
    pairs = [("Host", "x"), ("Content-Type", JSON), ("Content-Length", str(length)), *more]
    data = request("POST", "/v1/schedule", pairs, b"")
    return data if end else data.removesuffix(b"\r\n")


async def _half_bodies(address: Address, share: float) -> Fates:
    """Begin small bodies and go no further."""
    return await _stand_still(address, round(1_050 * share), _head(100_000) + b'{"tasks": ')


async def _large_bodies(address: Address, share: float) -> Fates:
    """Send most of the largest bodies, and stall."""
    part = round(LARGEST * 0.95 * min(share, 1.0))
    return await _stand_still(address, 4, _head(LARGEST) + bytes(part))


async def _half_headers(address: Address, share: float) -> Fates:
    return await _stand_still(address, round(500 * share), _head(10, end=False))


async def _silent(address: Address, share: float) -> Fates:
    return await _stand_still(address, round(2_000 * share), b"")


async def _drip_headers(address: Address, share: float) -> Fates:
    return await _stand_still(address, round(100 * share), _head(10, end=False), drip=b"X: y\r\n")


async def _drip_bodies(address: Address, share: float) -> Fates:
    return await _stand_still(address, round(100 * share), _head(100_000), drip=b" ")


async def _stand_still(address: Address, count: int, opening: bytes, drip: bytes = b"") -> Fates:
    """Open connections, send the same on each, and wait until the service closes them."""
    begin = time.perf_counter()
    ends = await asyncio.gather(*(_one(address, opening, drip) for _ in range(max(count, 2))))
    counted = Counter(end for end in ends if end)
    return Fates(
        ends=counted,
        still_open=len(ends) - counted.total(),
        seconds=time.perf_counter() - begin,
    )


async def _one(address: Address, opening: bytes, drip: bytes) -> str:
    """Return how a connection ended, or "" where it did not."""
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(*address)
            dripping = asyncio.ensure_future(_send(writer, opening, drip))
            try:
                return _ended(await reader.read())
            finally:
                dripping.cancel()
                writer.transport.abort()
    except TimeoutError:
        return ""
    except OSError:
        return "reset"


async def _send(writer: asyncio.StreamWriter, opening: bytes, drip: bytes) -> None:
    with contextlib.suppress(OSError):
        writer.write(opening)
        await writer.drain()
        for sign in drip * round(PATIENCE) if drip else b"":
            await asyncio.sleep(1.0)
            writer.write(bytes([sign]))
            await writer.drain()


def _ended(answer: bytes) -> str:
    return answer[9:12].decode(errors="replace") if answer.startswith(b"HTTP/1.1 ") else "closed"


async def _endless_headers(address: Address, share: float) -> Fates:
    """Send headers on one connection until the service has had enough."""
    begin = time.perf_counter()
    reader, writer = await asyncio.open_connection(*address)
    writer.write(_head(10, end=False))
    block, sent = b"X-Header: " + b"a" * 9_988 + b"\r\n", 0
    try:
        async with asyncio.timeout(PATIENCE):
            while sent < HEADERS * share and not reader.at_eof():
                writer.write(block * 10)
                await writer.drain()
                sent += 10 * len(block)
                await asyncio.sleep(0)
            end = _ended(await reader.read())
    except TimeoutError:
        end = ""
    except OSError:
        end = "reset"
    finally:
        writer.transport.abort()
    taken = 10 * math.ceil(sent / 1e7)
    counted = {f"{end} within {taken} MB": 1} if end else {}
    return Fates(ends=counted, still_open=1 - len(counted), seconds=time.perf_counter() - begin)


async def _unread_answers(address: Address, share: float) -> Fates:
    """Ask for much again and again, and read nothing."""
    begin = time.perf_counter()
    asked = request("GET", "/openapi.json", [("Host", "x")], b"") * 400
    links = []
    loop = asyncio.get_running_loop()
    for _ in range(max(2, round(50 * share))):
        link = socket.socket()
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        link.setblocking(False)
        await loop.sock_connect(link, address)
        links.append(link)
        with contextlib.suppress(OSError):
            link.send(asked)
    ours = {link.getsockname()[1] for link in links}
    waiting = ours
    while waiting and time.perf_counter() - begin < PATIENCE:
        await asyncio.sleep(0.2)
        waiting = ours & _clients_of(address[1])
    seconds = time.perf_counter() - begin
    for link in links:
        link.close()
    ends = {"cut": len(ours) - len(waiting)}
    return Fates(ends=ends, still_open=len(waiting), seconds=seconds)


def _clients_of(port: int) -> set[int]:
    """Return the ports of the clients to which a server on this machine holds a connection.

    A client that reads nothing does not see its end: what says so waits behind what it left lying.
    """
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, state, *_ = line.split()
        if int(local.rpartition(":")[2], 16) == port and state == ESTABLISHED:
            found.add(int(remote.rpartition(":")[2], 16))
    return found


async def _too_long_announced(address: Address, share: float) -> Fates:
    """Ask whether a body may come that is too large: the answer is no, and not first yes."""
    data = _head(10 * LARGEST, ("Expect", "100-continue"))
    return await _exchanged(address, [data] * max(4, round(200 * share)))


async def _tiny_objects(address: Address, share: float) -> Fates:
    """Send some kB of gzip that hold 63 MB of tiny JSON objects."""
    body = bomb(b"{},")
    data = _head(len(body), ("Content-Encoding", "gzip")) + body
    return await _exchanged(address, [data] * max(2, round(24 * share)))


async def _exchanged(address: Address, requests: Sequence[bytes]) -> Fates:
    """Send whole requests at once, each on its connection, and count what came back."""
    begin = time.perf_counter()

    def ask(data: bytes) -> str:
        try:
            answer = exchange(address, data, within=PATIENCE)
        except NoAnswer as error:
            return "" if "hung" in str(error) else str(error)
        return f"{answer.status}{' after 100' if answer.continued else ''}"

    ends = await asyncio.gather(*(asyncio.to_thread(ask, data) for data in requests))
    counted = Counter(end for end in ends if end)
    return Fates(
        ends=counted,
        still_open=len(ends) - counted.total(),
        seconds=time.perf_counter() - begin,
    )


ATTACKS: Mapping[str, Attack] = {
    "half-sent bodies": _half_bodies,
    "stalled large bodies": _large_bodies,
    "half-sent headers": _half_headers,
    "endless headers": _endless_headers,
    "a byte a second of headers": _drip_headers,
    "a byte a second of a body": _drip_bodies,
    "answers that nobody reads": _unread_answers,
    "silent connections": _silent,
    "a body too large, announced": _too_long_announced,
    "63 MB of tiny objects in some kB": _tiny_objects,
}
