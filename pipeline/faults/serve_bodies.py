"""Mutated requests by the thousand: each gets a deliberate answer, and the good ones theirs."""

from __future__ import annotations

import contextlib
import gzip
import threading
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING

from deepsched.baselines.atomic import write_bytes
from deepsched.pipeline.benchmarks.serving_bodies import Request
from deepsched.pipeline.common.ray_session import ROOT
from deepsched.pipeline.faults.serve_hostile import FILE, JSON, Material, hostile, material
from deepsched.pipeline.faults.serve_trial import HUNG, ServeTrial, listed, load_average, seeded
from deepsched.pipeline.faults.serve_wire import NoAnswer, exchange, fault
from deepsched.pipeline.faults.trial import Broken
from deepsched.pipeline.wire.streams import CONTENT_TYPE as ARROW

if TYPE_CHECKING:
    from deepsched.pipeline.faults.serve_hostile import Hostile

CLIENTS = 6  # at once
GOOD_EVERY = 20  # requests
SHOWN = 20  # findings
JOBS = 20  # that are left to be worked on
TOLD_EVERY = 2_000  # requests
WARM = 300  # requests that fill caches before the processes are looked at


def mutated_bodies(trial: ServeTrial) -> None:
    """Send mutated bodies, queries, headers, paths; in between good ones, with known answers."""
    given = material(trial.examples)
    good = good_requests(given)
    for request in good:
        trial.check_good(request)
    found = Bodies(trial, given, good)
    warm = min(WARM, trial.requests // 4)
    found.send(range(warm))
    before = trial.rest()
    found.send(range(warm, trial.requests))
    trial.check_good(good[0])
    found.cancel_jobs()
    after = trial.settled(before)
    trial.disturbed(found.summary(), hit=True)
    if after is not None:
        trial.say(f"held: {before}; afterwards {after}")
    if found.wrong:
        raise Broken(f"{found.wrong} of {trial.requests} answers are not as they should be")


class Bodies:
    """The requests of one run and what came back."""

    def __init__(self, trial: ServeTrial, given: Material, good: list[Request]) -> None:
        self._trial, self._given, self._good = trial, given, good
        self._library = threading.Lock()
        self._statuses: Counter[str] = Counter()
        self._jobs: deque[bytes] = deque()
        self._checked = 0
        self._longest = 0.0
        self.wrong = 0

    def send(self, numbers: range) -> None:
        """Send the requests of these numbers, some at a time."""
        with ThreadPoolExecutor(CLIENTS) as pool:
            futures = [pool.submit(self._one, number) for number in numbers]
            for done, future in enumerate(as_completed(futures), 1):
                future.result()
                if done % TOLD_EVERY == 0:
                    self._trial.say(f"{done} of {len(numbers)} sent")

    def summary(self) -> str:
        """Return what came back, as a line."""
        return (
            f"{self._statuses.total()} mutated requests ({listed(self._statuses)}), the slowest "
            f"{self._longest:.1f} s; {self._checked} good ones as the library answers; "
            f"{self.wrong} wrong; {load_average()}"
        )

    def cancel_jobs(self, most: int = 0) -> None:
        """End the oldest jobs that were taken, but for so many, which are worked on meanwhile."""
        while len(self._jobs) > most:
            with contextlib.suppress(NoAnswer, IndexError):  # another thread was faster
                self._trial.cancel(self._jobs.popleft())

    def _one(self, number: int) -> None:
        if number % GOOD_EVERY == 0:
            self._check_good(self._good[number // GOOD_EVERY % len(self._good)])
        sent = hostile(self._given, seeded(self._trial, number))
        what = self._judged(sent)
        if what is not None:
            self.wrong += 1
            if self.wrong <= SHOWN:
                self._trial.say(f"request {number} ({sent.what}): {what}")
                write_bytes(self._trial.folder / f"request-{number}", sent.data)

    def _judged(self, sent: Hostile) -> str | None:
        is_head = sent.method == "HEAD"
        try:
            answer = exchange(self._trial.address, sent.data, within=HUNG, is_head=is_head)
        except NoAnswer as error:
            self._statuses["none"] += 1
            return str(error)
        self._statuses[str(answer.status)] += 1
        self._longest = max(self._longest, answer.seconds)
        if answer.status == 202:
            self._jobs.append(answer.body)
            self.cancel_jobs(JOBS)
        return fault(answer, is_head=is_head, hidden=str(ROOT))

    def _check_good(self, request: Request) -> None:
        with self._library:
            try:
                self._trial.check_good(request)
                self._checked += 1
            except Broken as error:
                self.wrong += 1
                self._trial.say(str(error))


def good_requests(given: Material) -> list[Request]:
    """Return a request of each kind that has an answer which the library gives as well."""
    queries = ("", "?scheduler=heft", "?scheduler=peft&edges=true&machines=3", "?samples=8&seed=3")
    found = []
    for number, body in enumerate([*given.documents, *given.files]):
        type_ = JSON if number < len(given.documents) else FILE
        query = queries[number % len(queries)]
        headers = {"Content-Type": type_}
        if number % 3 == 1:
            body, headers = gzip.compress(body, 1), headers | {"Content-Encoding": "gzip"}
        if number % 5 == 2:
            headers["Accept"] = ARROW
        found.append(
            Request(
                name=f"document {number}", path=f"/v1/schedule{query}", data=body, headers=headers
            )
        )
    for number, body in enumerate(given.streams[:2]):
        path = ("/v1/schedule", "/v1/schedule:batch")[number]
        headers = {"Content-Type": ARROW, "Accept": ARROW}
        found.append(Request(name=f"Arrow {number}", path=path, data=body, headers=headers))
    several = b'{"problems": [' + b", ".join(given.documents) + b"]}"
    found.append(
        Request(
            name="batch", path="/v1/schedule:batch", data=several, headers={"Content-Type": JSON}
        )
    )
    return found
