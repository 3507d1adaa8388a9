"""Whether anything grows: memory, descriptors, threads and files under mixed work for a while."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

from deepsched.pipeline.benchmarks.serving_bodies import (
    JSON,
    LARGE,
    MIDDLE,
    SMALL,
    Request,
    arrow_request,
    gzip_request,
    json_request,
)
from deepsched.pipeline.benchmarks.serving_goals import Found, Goal
from deepsched.pipeline.benchmarks.serving_load import Load, Outcome, going_on, percentile
from deepsched.pipeline.benchmarks.serving_processes import Usage, summed, usage_by_kind
from deepsched.pipeline.benchmarks.serving_service import NotServed
from deepsched.pipeline.common.cli import messages
from deepsched.pipeline.wire.streams import CONTENT_TYPE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from deepsched.pipeline.benchmarks.serving_goals import Extent
    from deepsched.pipeline.benchmarks.serving_service import Service

EVERY = 30.0  # s between samples, or less where there would be fewer than
LEAST_SAMPLES = 20
JOB_EVERY = 5.0  # s
OPTIONS = ("--job-ttl", "60")  # of the service: that jobs are forgotten is to be seen
JOB_BUDGET = 2  # s
# What may be added while it is watched, and counts as flat: a share, or so much where that is more.
FLAT_SHARE = 0.03
FLAT = {"megabytes": 30.0, "descriptors": 8.0, "threads": 4.0, "files": 8.0}


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """What the service holds at one time."""

    seconds: float  # since the start
    megabytes: float
    descriptors: int
    threads: int
    files: int  # below its temporary folder, the jobs' with them
    file_megabytes: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Stream:
    """Requests that come at a steady rate, as `Load` says."""

    requests: Sequence[Request]
    rate: float
    leave_after: float | None = None


def measure_soak(service: Service, extent: Extent) -> Found:
    """Keep mixed work up, and look at what is held every half minute."""
    if service.root is None:
        raise NotServed("the soak looks at the service's processes: give --pid with --url")
    minutes, samples = extent.minutes, []
    outcomes: dict[str, Outcome] = {}
    states: Counter[str] = Counter()
    every = min(EVERY, 60 * minutes / LEAST_SAMPLES)
    with contextlib.ExitStack() as stack:
        for name, stream in streams(service, large=extent.whole).items():
            outcomes[name] = stack.enter_context(going_on(_load(service, stream)))
        begin = time.perf_counter()
        next_sample = next_job = begin
        jobs: list[str] = []
        while (now := time.perf_counter()) < begin + 60 * minutes:
            if now >= next_job:
                next_job += JOB_EVERY
                states.update(_turn_of_jobs(service, jobs))
            if now >= next_sample:
                next_sample += every
                samples.append(sample(service, now - begin))
                messages.print(f"soak: {_shown(samples[-1])}")
            time.sleep(0.2)
    found = Found(rows=[asdict(one) for one in samples], goals=goals(samples))
    found.rows += [{"stream": name, **_of(outcome)} for name, outcome in outcomes.items()]
    found.tables = [_table(outcomes)]
    found.lines = [f"jobs: {dict(states)}"]
    found.goals.append(_no_failure(outcomes))
    return found


def streams(service: Service, *, large: bool) -> dict[str, Stream]:
    """Return what is asked meanwhile."""
    middle = MIDDLE.problem()
    known = service.know(middle.machines)
    small = json_request(SMALL.problem())
    search = json_request(SMALL.problem(), query="?budget=2")
    found = {
        "small JSON": Stream(requests=[small, gzip_request(SMALL.problem())], rate=5.0),
        "middle Arrow": Stream(requests=[arrow_request(middle, known)], rate=2.0),
        "bad": Stream(requests=bad_requests(small), rate=4.0),
        "clients that leave": Stream(requests=[search], rate=1.0, leave_after=0.1),
        "half a body": Stream(requests=[half(small)], rate=1.0, leave_after=3.0),
    }
    if large:
        found["large JSON"] = Stream(requests=[json_request(LARGE.problem())], rate=0.05)
    return found


def bad_requests(good: Request) -> list[Request]:
    """Return requests that are refused, each in another place."""
    text = good.data
    bodies = [
        b"",
        b"{",
        b"[" * 1000,
        b"\xff\xfe" + text[:100],
        text[: len(text) // 2],
        text.replace(b'"etc"', b'"etcc"', 1),
        text.replace(b'"from":"', b'"from":"no such task', 1),
        b'{"format":"deepsched-problem/1","tasks":[],"machines":[],"edges":[]}',
        b'{"tasks":' + b"[" + b"{}," * 20_000 + b"{}]}",
        os.urandom(2_000),
    ]
    found = [replace(good, data=body) for body in bodies]
    kinds = ((CONTENT_TYPE, ""), ("image/png", ""), (JSON, "gzip"), (JSON, "br"))
    for content_type, encoding in kinds:
        headers = {"Content-Type": content_type, "Content-Encoding": encoding or "identity"}
        found.append(replace(good, headers=headers))
    found += [replace(good, path=f"/v1/schedule?{query}") for query in ("sed=1", "budget=-1")]
    found += [replace(good, path="/v1/nothing"), replace(good, method="GET", data=b"")]
    return found


def half(good: Request) -> Request:
    """Return a request that says it is twice as long as what is sent."""
    headers = {**good.headers, "Content-Length": str(2 * len(good.data))}
    return replace(good, headers=headers)


def sample(service: Service, seconds: float) -> Sample:
    """Return what the service holds now."""
    assert service.root is not None
    held: Usage = summed([*usage_by_kind(service.root).values()])
    files, size = (0, 0) if service.folder is None else files_below(service.folder)
    return Sample(
        seconds=seconds,
        megabytes=held.megabytes,
        descriptors=held.descriptors,
        threads=held.threads,
        files=files,
        file_megabytes=size / 1e6,
    )


def files_below(folder: Path) -> tuple[int, int]:
    """Return how many files there are, and their bytes."""
    count = size = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # gone meanwhile
                size += os.lstat(Path(place, name)).st_size
                count += 1
    return count, size


def growth(seconds: Sequence[float], values: Sequence[float]) -> float:
    """Return what the least-squares line through the values rises by, from first to last.

    Examples
    --------
    >>> round(growth([0, 1, 2], [5, 7, 9]), 6)
    4.0
    """
    if len(seconds) < 2:
        return float("nan")
    slope = float(np.polyfit(seconds, values, 1)[0])
    return slope * (seconds[-1] - seconds[0])


def goals(samples: Sequence[Sample]) -> list[Goal]:
    """Hold the second half of the samples against flatness: the first fills caches and pools."""
    half_of_them = samples[len(samples) // 2 :]
    found = []
    for name, least in FLAT.items():
        values = [float(getattr(one, name)) for one in half_of_them]
        level = float(np.median(values)) if values else float("nan")
        rise = growth([one.seconds for one in half_of_them], values)
        text = f"soak, second half: growth of {name} (now {level:.0f})"
        bound = round(max(least, FLAT_SHARE * level), 1)
        found.append(Goal(text=text, value=rise, bound=bound, at_least=False))
    return found


def _no_failure(outcomes: Mapping[str, Outcome]) -> Goal:
    failures = sum(outcome.failures for outcome in outcomes.values())
    text = "soak: connections lost, answers 500, 502, 504"
    return Goal(text=text, value=failures, bound=0, at_least=False)


def _turn_of_jobs(service: Service, jobs: list[str]) -> Counter[str]:
    """Look at the jobs that are known; delete the older ones, done or not; post another."""
    states: Counter[str] = Counter()
    post = json_request(SMALL.problem(), query=f"?budget={JOB_BUDGET}")
    post = replace(post, path=post.path.replace("schedule", "jobs"))
    status, body = service.fetch(post)
    states[f"posted: {status}"] += 1
    if status == 202:
        jobs.append(str(json.loads(body)["id"]))
    while len(jobs) > 2:
        job = jobs.pop(0)
        status, _ = service.fetch(Request(name="job", method="GET", path=f"/v1/jobs/{job}/result"))
        states[f"result: {status}"] += 1
        service.fetch(Request(name="job", method="DELETE", path=f"/v1/jobs/{job}"))
    return states


def _load(service: Service, stream: Stream) -> Load:
    return Load(
        host=service.host,
        port=service.port,
        files=[service.file(request) for request in stream.requests],
        connections=64,
        rate=stream.rate,
        leave_after=stream.leave_after,
    )


def _of(outcome: Outcome) -> dict[str, Any]:
    times = {"p50_ms": percentile(outcome.ms, 0.5), "p99_ms": percentile(outcome.ms, 0.99)}
    return {**times, "statuses": outcome.statuses, "fault": outcome.fault}


def _shown(one: Sample) -> str:
    return (
        f"{one.seconds:.0f} s: {one.megabytes:.0f} MB, {one.descriptors} descriptors, "
        f"{one.threads} threads, {one.files} files of {one.file_megabytes:.1f} MB"
    )


def _table(outcomes: Mapping[str, Outcome]) -> Table:
    table = Table(title="What was asked meanwhile")
    for heading in ("stream", "p50 ms", "p99 ms", "statuses"):
        table.add_column(heading, justify="right" if "ms" in heading else "left")
    for name, outcome in outcomes.items():
        times = [f"{percentile(outcome.ms, share):.4g}" for share in (0.5, 0.99)]
        statuses = ", ".join(f"{n} x {status}" for status, n in sorted(outcome.statuses.items()))
        table.add_row(name, *times, statuses)
    return table
