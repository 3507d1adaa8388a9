"""Requests that no service likes: bodies, queries, headers and paths, damaged by a seed."""

from __future__ import annotations

import copy
import functools
import gzip
import json
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from deepsched.baselines.generate import GeneratorSpec, generate
from deepsched.baselines.readers import problem_document
from deepsched.pipeline.faults.read import mutation
from deepsched.pipeline.faults.serve_wire import request
from deepsched.pipeline.wire.arrow import problems_to_stream
from deepsched.pipeline.wire.machines import machines_bytes
from deepsched.pipeline.wire.streams import CONTENT_TYPE as ARROW

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence
    from pathlib import Path

JSON = "application/json"
FILE = "text/plain"
BOMB = 63_000_000  # bytes that a bomb unpacks to

NUMBERS = (0, -1, 1e308, -0.0, 5e-324, 2**31, 2**63, 2**64, 10**30, 1e-9, True)
VALUES: tuple[Any, ...] = (
    *NUMBERS, None, "", "x", "nan", "\u0000", "\ud800", "\u202e", "x" * 5_000, [], {}, [[]],
    {"id": None}, float("nan"), float("inf"), ["a", "a"],
)  # fmt: skip
TEXTS = (
    "", "0", "-1", "1", "2", "7", "nan", "inf", "1e400", "1e308", "99999999999999999999", "true",
    "TRUE", "null", "heft", "HEFT", "deepsched", "paper", "peft", "min-min", "random", "ga",
    "turnaround", "insertion", "../../etc/passwd", "\x00", "%", "%zz", "a" * 3_000, "é", "\u202e",
    "0" * 64, "f" * 64, "' or 1=1", "1;2", "0x10", "1_000", " 1", "+1", "0.01", "0.1",
)  # fmt: skip
NAMES = (
    "scheduler", "seed", "machines", "machine_seed", "noise", "noise_seed", "bandwidth", "latency",
    "trace_machines", "runtime", "machines_sha256", "edges", "objective", "decode", "samples",
    "budget", "guard", "", "x", "Machines", "machines[]", "problems",
)  # fmt: skip
# What is no damage, so that more comes through to the schedulers.
LEGAL = (
    ("scheduler", "heft"), ("scheduler", "PEFT"), ("scheduler", "min-min"), ("scheduler", "cpop"),
    ("scheduler", "deepsched"), ("seed", "9"), ("machines", "1"), ("machines", "5"),
    ("machine_seed", "3"), ("noise", "0.5"), ("bandwidth", "0"), ("bandwidth", "1e6"),
    ("latency", "1"), ("runtime", "2"), ("edges", "true"), ("objective", "turnaround"),
    ("samples", "1"), ("samples", "64"), ("budget", "0"), ("budget", "0.2"), ("guard", "false"),
)  # fmt: skip
PATHS = (
    "/", "/v1", "/v1/", "/v1/schedule/", "//v1/schedule", "/v1//schedule", "/v1/schedule:",
    "/v1/schedule:BATCH", "/v1/schedule%3Abatch", "/v1/%73chedule", "/v1/schedule%00",
    "/static/../settings.py", "/static/..%2f..%2fsettings.py", "/static/%2e%2e/settings.py",
    "/static//etc/passwd", "/static/", "/static", "/docs/../v1/schedule", "/docs/", "/%",
    "/%ff%fe", "/v1/machines/" + "0" * 64, "/v1/machines/../models", "/v1/machines/" + "g" * 64,
    "/v1/jobs/x", "/v1/jobs/../jobs", "/v1/jobs/..%2f..%2fetc", "/v1/jobs/" + "a" * 900,
    "/v1/jobs//result", "/v1/jobs/x/result", "/v1/jobs/%00/result", "/v2/health/live/..", "*",
    "http://other.host/v1/models", "/openapi.json", "/metrics", "/health", "/v2/health/ready",
    "/v1/models?x=1", "/v1/schedulers", "/" + "a" * 9_000, "/?" + "a=b&" * 2_000, "/#fragment",
    "/v1/jobs/\u202e", "/-/routes", "/-/healthz", "/.env", "/favicon.ico",
)  # fmt: skip
METHODS = (
    "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND",
    "get", "GETT" * 30, "G\x00T", "",
)  # fmt: skip
TYPES = (
    JSON, FILE, ARROW, "", "application/x-www-form-urlencoded", "application/octet-stream",
    "application/xml", "application/gzip", "application/ld+json; charset=utf-16", "text/html",
    "multipart/form-data; boundary=x", "image/png", "application/json;" * 200, "x", "é/\u202e",
    "APPLICATION/JSON", "application/vnd.apache.arrow.file",
)  # fmt: skip
ACCEPTS = (
    JSON, ARROW, "*/*", "", "text/html", "application/*;q=0", f"{JSON};q=0, {ARROW}", ",,,;;;q=",
    "application/json;q=nan", "a" * 2_000, "é",
)  # fmt: skip
ENCODINGS = ("gzip", "x-gzip", "identity", "br", "deflate", "gzip, gzip", "GZIP", "zstd", "\x0b")
ODD_HEADERS: tuple[tuple[str, str], ...] = (
    ("Expect", "100-continue"), ("Expect", "a pony"), ("Host", ""), ("Host", "a b"),
    ("Connection", "close"), ("Connection", "upgrade"), ("Upgrade", "websocket"),
    ("Upgrade", "h2c"), ("Range", "bytes=0-1"), ("If-None-Match", "*"),
    ("If-Modified-Since", "never"), ("X-Forwarded-For", "' or 1=1"), ("Authorization", "Bearer "),
    ("Authorization", "Basic \u00ff"), ("Cookie", "a=b; " * 500), ("Idempotency-Key", "k" * 4_000),
    ("Idempotency-Key", "\u00e9"), ("Trailer", "X"), ("TE", "trailers"), ("X", "a" * 20_000),
    ("Origin", "null"), ("serve_multiplexed_model_id", "x"), ("X Y", "z"), ("", "z"),
    ("X", "a\x00b"), ("X", "a\n b"), ("Content-Location", "/v1/models"), ("Max-Forwards", "0"),
)  # fmt: skip
NOT_HTTP = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),  # a client of TLS
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET /\r\n\r\n",
    b"\x00" * 200 + b"\r\n\r\n",
    b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\n",
    b": x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 3_000 + b"\r\n",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Material:
    """What is damaged.

    Attributes
    ----------
    documents, files, streams, machines : bodies as JSON, in other formats, as Arrow; machines.
    """

    documents: Sequence[bytes]
    files: Sequence[bytes]
    streams: Sequence[bytes]
    machines: Sequence[bytes]


@dataclass(frozen=True, kw_only=True, slots=True)
class Hostile:
    """One request.

    Attributes
    ----------
    what : the damage, in some words.
    """

    what: str
    data: bytes
    method: str


def material(examples: Path | None) -> Material:
    """Return problems that are drawn, and the files of a folder beside them."""
    problems = [
        generate(GeneratorSpec(family="layered", tasks=tasks, machines=3, noise=0.2), tasks)
        for tasks in (1, 5, 20)
    ]
    documents = [json.dumps(problem_document(problem)).encode() for problem in problems]
    files: list[bytes] = []
    for path in sorted(examples.iterdir()) if examples else ():
        if path.is_file() and path.stat().st_size < 1_000_000:
            (documents if path.suffix == ".json" else files).append(path.read_bytes())
    shared = problems[0].machines
    streams = [
        problems_to_stream(problems[:1]),
        problems_to_stream(problems),
        problems_to_stream(problems[:1], shared=shared),
    ]
    return Material(
        documents=documents,
        files=files,
        streams=streams,
        machines=[machines_bytes(problem.machines) for problem in problems],
    )


def hostile(given: Material, rng: random.Random) -> Hostile:
    """Draw one request."""
    kind = rng.choices(
        ("schedule", "batch", "jobs", "machines", "path", "framing", "nonsense"),
        (50, 14, 8, 8, 12, 6, 2),
    )[0]
    if kind == "nonsense":
        data = rng.choice(NOT_HTTP)
        if rng.random() < 0.5:
            data = mutation(data, rng) + b"\r\n\r\n"  # who sends nothing is told nothing
        return Hostile(what="no HTTP", data=data, method="")
    if kind == "path":
        return _path(rng)
    what, body, headers = _body(kind, given, rng)
    method = "PUT" if kind == "machines" else "POST"
    target = {
        "schedule": "/v1/schedule",
        "batch": "/v1/schedule:batch",
        "jobs": "/v1/jobs",
        "machines": "/v1/machines",
        "framing": "/v1/schedule",
    }[kind]
    if rng.random() < 0.5:
        target += _query(rng)
        what += ", query"
    if rng.random() < 0.15:
        name, value = rng.choice(ODD_HEADERS)
        headers[name] = value
        what += f", {name[:20] or 'nameless'} header"
    if rng.random() < 0.03:
        method = rng.choice(METHODS)
    pairs = [("Host", "x"), *headers.items()]
    if kind == "framing":
        return _framing(method, target, pairs, body, rng)
    pairs.append(("Content-Length", str(len(body))))
    data = request(method, target, pairs, body)
    return Hostile(what=f"{kind}: {what}", data=data, method=method)


def _path(rng: random.Random) -> Hostile:
    method = rng.choice(METHODS) if rng.random() < 0.6 else "GET"
    target = rng.choice(PATHS)
    if rng.random() < 0.3:
        target = "/" + mutation(target.encode(), rng).decode("latin-1").replace("\n", "")
    pairs = [("Host", "x")]
    if rng.random() < 0.4:
        pairs.append(rng.choice(ODD_HEADERS))
    if rng.random() < 0.3:
        pairs.append(("Accept", rng.choice(ACCEPTS)))
    return Hostile(
        what=f"{method[:10]!r} {target[:60]!r}",
        data=request(method, target, pairs, b""),
        method=method,
    )


def _framing(
    method: str, target: str, pairs: list[tuple[str, str]], body: bytes, rng: random.Random
) -> Hostile:
    """Lie about where the body ends."""
    size = len(body)
    lies: tuple[tuple[str, list[tuple[str, str]], bytes], ...] = (
        ("less than all", [("Content-Length", str(size // 2))], body),
        ("no length", [], body),
        ("no number", [("Content-Length", "ten")], body),
        ("negative", [("Content-Length", "-1")], body),
        ("two lengths", [("Content-Length", str(size)), ("Content-Length", str(size + 1))], body),
        ("huge", [("Content-Length", "9" * 18)], body),
        ("longer than any number", [("Content-Length", "9" * 50)], body),
        ("chunks", [("Transfer-Encoding", "chunked")], _chunked(body, rng)),
        ("no chunks", [("Transfer-Encoding", "chunked")], body),
        ("damaged chunks", [("Transfer-Encoding", "chunked")], mutation(_chunked(body, rng), rng)),
        ("a huge chunk", [("Transfer-Encoding", "chunked")], b"f" * 30 + b"\r\n" + body),
        ("both", [("Transfer-Encoding", "chunked"), ("Content-Length", "4")], _chunked(body, rng)),
        ("another coding", [("Transfer-Encoding", "gzip, chunked")], _chunked(body, rng)),
        ("more than all", [("Content-Length", str(size + 7))], body),
    )
    what, framing, sent = rng.choice(lies)
    if rng.random() < 0.1:
        framing = [*framing, ("Expect", "100-continue")]
    data = request(method, target, [*pairs, *framing], sent, rng.choice(("1.1", "1.1", "1.0")))
    return Hostile(what=f"framing: {what}", data=data, method=method)


def _chunked(body: bytes, rng: random.Random) -> bytes:
    size = rng.choice((1, 7, 1_000, 65_536)) if len(body) < 10_000 else 65_536
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def _query(rng: random.Random) -> str:
    pairs = rng.sample(LEGAL, rng.randint(1, 3))
    if rng.random() < 0.5:
        pairs.append((rng.choice(NAMES), rng.choice(TEXTS)))
    text = "?" + "&".join(f"{quote(name)}={quote(value)}" for name, value in pairs)
    if rng.random() < 0.15:
        text = mutation(text.encode(), rng).decode("latin-1")
        text = "?" + "".join(sign for sign in text if " " < sign < "\x7f")
    return text


def _body(kind: str, given: Material, rng: random.Random) -> tuple[str, bytes, dict[str, str]]:
    """Return what it is, the body and headers that fit more or less."""
    if kind == "machines":
        what, body, type_ = "machines", rng.choice(given.machines), JSON
    elif kind != "batch" and given.files and rng.random() < 0.3:
        what, body, type_ = "file", rng.choice(given.files), FILE
    elif rng.random() < 0.3:
        what, body, type_ = "Arrow", rng.choice(given.streams), ARROW
    else:
        what, body, type_ = "JSON", rng.choice(given.documents), JSON
        if kind == "batch":
            body = _several(given, rng)
    if rng.random() < 0.2:
        what += ", whole"
    elif type_ == JSON and rng.random() < 0.5:
        what, body = f"{what}, values", _odd_values(body, rng)
    elif type_ == ARROW and rng.random() < 0.7:
        what, body = f"{what}, lies", _lies(body, rng.choice(given.streams), rng)
    elif rng.random() < 0.6:
        what, body = f"{what}, bytes", mutation(body, rng)
    headers = {"Content-Type": type_} if rng.random() < 0.9 else {}
    if rng.random() < 0.1:
        headers["Content-Type"] = rng.choice(TYPES)
    if rng.random() < 0.15:
        headers["Accept"] = rng.choice(ACCEPTS)
    if rng.random() < 0.15:
        packed, body = _packed(body, rng)
        what += f", gzip {packed}"
        if rng.random() < 0.8:
            headers["Content-Encoding"] = "gzip"
    elif rng.random() < 0.04:
        headers["Content-Encoding"] = rng.choice(ENCODINGS)
    return what, body, headers


def _several(given: Material, rng: random.Random) -> bytes:
    parts = [rng.choice(given.documents) for _ in range(rng.choice((0, 1, 2, 5)))]
    joined = b", ".join(mutation(part, rng) if rng.random() < 0.1 else part for part in parts)
    return b'{"problems": [' + joined + b"]" + rng.choice((b"", b', "machines": []')) + b"}"


def _odd_values(body: bytes, rng: random.Random) -> bytes:
    """Replace, drop, repeat or bury values of a document, which stays JSON."""
    try:
        document = json.loads(body)
    except ValueError:
        return mutation(body, rng)
    for _ in range(rng.randint(1, 3)):
        holder = _somewhere(document, rng)
        if isinstance(holder, dict) and holder:
            key = rng.choice(list(holder))
            _change(holder, key, rng)
        elif isinstance(holder, list) and holder:
            _change(holder, rng.randrange(len(holder)), rng)
    text = json.dumps(document)
    if rng.random() < 0.05:
        text = "[" * rng.choice((70, 1_000, 100_000)) + text
    if rng.random() < 0.03:
        text = "\ufeff" + text
    return text.encode(rng.choices(("utf-8", "utf-16", "latin-1"), (96, 2, 2))[0], "replace")


def _somewhere(value: Any, rng: random.Random) -> Any:
    while True:
        inside = value.values() if isinstance(value, dict) else value
        holders = [part for part in inside if isinstance(part, dict | list) and part]
        if not holders or rng.random() < 0.25:
            return value
        value = rng.choice(holders)


def _change(holder: Any, key: Any, rng: random.Random) -> None:
    kind = rng.randrange(5)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, list):
        holder += [holder[key]] * rng.choice((1, 50))
    elif kind == 2:
        for _ in range(rng.choice((1, 3, 100))):
            holder[key] = [holder[key]]
    elif kind == 3 and isinstance(holder[key], int | float):
        holder[key] = rng.choice(NUMBERS)
    else:
        holder[key] = copy.deepcopy(rng.choice(VALUES))


def _lies(stream: bytes, other: bytes, rng: random.Random) -> bytes:
    """Overwrite numbers of an Arrow stream where its counts and offsets lie, or splice two."""
    data = bytearray(stream)
    if rng.random() < 0.2:
        cut = 8 * rng.randrange(len(data) // 8)
        return bytes(data[:cut]) + other[8 * rng.randrange(len(other) // 8) :]
    for _ in range(rng.randint(1, 4)):
        width = rng.choice(("<i", "<q", "<H"))
        size = struct.calcsize(width)
        at = size * rng.randrange((len(data) - size) // size)
        values = {"<i": (0, 1, -1, 2**31 - 1, -(2**31)), "<H": (0, 1, 4, 255, 65_535)}.get(
            width, (0, 1, -1, 2**31, 2**40, 2**63 - 1, -(2**63))
        )
        struct.pack_into(width, data, at, rng.choice(values))
    if rng.random() < 0.1:
        return bytes(data[: rng.randrange(len(data))])
    return bytes(data)


def _packed(body: bytes, rng: random.Random) -> tuple[str, bytes]:
    kind = rng.choices(
        ("whole", "damaged", "truncated", "twice", "members", "trailing", "bomb", "lying size"),
        (4, 4, 2, 2, 2, 1, 1, 2),
    )[0]
    packed = gzip.compress(body, 1, mtime=0)
    if kind == "damaged":
        packed = mutation(packed, rng)
    elif kind == "truncated":
        packed = packed[: rng.randrange(len(packed))]
    elif kind == "twice":
        packed = gzip.compress(packed, 1, mtime=0)
    elif kind == "members":
        packed = gzip.compress(body[:9], 1, mtime=0) + gzip.compress(body[9:], 1, mtime=0)
    elif kind == "trailing":
        packed += b"\x00" * 100
    elif kind == "bomb":
        packed = bomb(rng.choice((b" ", b"[", b"{},", b"1,", b'{"a":', b"\x00")))
    elif kind == "lying size":
        packed = packed[:-4] + struct.pack("<I", rng.choice((0, 1, 2**32 - 1)))
    return kind, packed


@functools.cache
def bomb(piece: bytes, size: int = BOMB) -> bytes:
    """Return gzip of a JSON list that begins and ends well, and holds one piece again and again."""
    filling = piece * (size // len(piece))
    return gzip.compress(
        b"[" + filling[: len(filling) - len(filling) % len(piece)] + b"0]", 9, mtime=0
    )
