"""Processes of slow requests: they answer, stop, die, are replaced, and leave nothing behind.

All tests share one crew of one real process, since each start costs more than a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from deepsched.baselines.errors import DeepSchedError
from deepsched.baselines.heft import heft
from deepsched.baselines.registry import teacher_rng
from deepsched.model.networks.deepsched.scheduler import PRETRAINED_TOPK, DeepSchedScheduler
from deepsched.pipeline.serving.crew import STOPPED, Crew, Died
from deepsched.pipeline.serving.refusals import RequestError
from deepsched.pipeline.serving.settings import ServeArgs
from tests.pipeline.serving.examples import SMALL, asked, drawn, line, value
from tests.pipeline.serving.loops import PATIENCE, until
from tests.pipeline.serving.processes import children

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from deepsched.pipeline.serving.work import Ask, Reply

ARGS = ServeArgs(max_process_mb=600)
OTHER = ServeArgs(checkpoint=PRETRAINED_TOPK.resolve())
LONG = drawn(2, tasks=300, machines=8, ccr=8.0)  # too hard for its bound to be reached


class Shared:
    """A crew and the event loop in which it lives."""

    def __init__(self, loop: asyncio.Runner) -> None:
        self.loop = loop
        self.heard: list[tuple[str, Any]] = []
        self.crew = self.run(self._made())

    async def _made(self) -> Crew:
        crew = Crew(1, 0)
        await crew.renew(ARGS)
        return crew

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        async def bounded() -> Any:
            async with asyncio.timeout(PATIENCE):
                return await work

        return self.loop.run(bounded())

    def begin(self, ask: Ask) -> asyncio.Task[Reply]:
        """Have the crew work on a request, in the running loop."""
        self.heard = []

        def told(word: str, value: Any) -> None:
            if value[0] == ask.id:  # and not the last word of a request before it
                self.heard.append((word, value))

        return asyncio.ensure_future(self.crew.work(ask, told))

    async def begun(self, name: str = "job-1") -> asyncio.Task[Reply]:
        """Have the crew search for very long, and return when it does."""
        task = self.begin(asked(LONG, "budget=600", id=name))
        await until(lambda: any(word == "better" for word, _ in self.heard))
        return task

    async def answers_by_the_other_network(self) -> None:
        found = value(await self.crew.work(asked(SMALL)))
        weights = (PRETRAINED_TOPK / "model.safetensors").read_bytes()
        assert found["model_version"] == hashlib.sha256(weights).hexdigest()

    async def has_one_process(self) -> None:
        """Wait until one process is idle, and no other is there or being started."""
        await until(lambda: len(self.crew.pids) == 1 and self.crew.able)
        await until(lambda: children() == set(self.crew.pids))


@pytest.fixture(scope="module")
def shared(loop: asyncio.Runner) -> Iterator[Shared]:
    found = Shared(loop)
    yield found
    found.crew.close()
    found.run(until(lambda: not children()))


@pytest.fixture
def crew(shared: Shared) -> Iterator[Shared]:
    """Return the crew; after each test it is as it was before."""
    yield shared
    shared.run(shared.has_one_process())
    reply = shared.run(shared.crew.work(asked(SMALL)))
    assert value(reply)["scheduler"] == "deepsched"


def test_a_reply_is_that_of_the_library_and_the_process_stays(crew):
    problem = drawn()
    before = crew.crew.pids
    for _ in range(2):
        found = value(crew.run(crew.crew.work(asked(problem))))
        expected = DeepSchedScheduler.load()(problem, teacher_rng(0, 0, "deepsched"))
        assert [task["start"] for task in found["tasks"]] == expected.ast.tolist()
    assert crew.crew.pids == before
    assert children() == set(before)


def test_wrong_requests_and_large_ones_come_back_as_one_line(crew):
    assert "not JSON" in line(crew.run(crew.crew.work(asked(b"hello"))), 400)
    # More than a socket holds: it is sent while the process reads.
    assert "not JSON" in line(crew.run(crew.crew.work(asked(b"x" * 30_000_000))), 400)


def test_a_fault_of_ours_is_a_500_that_tells_nothing_and_the_process_stays(crew, caplog):
    before = crew.crew.pids
    reply = crew.run(crew.crew.work(asked(SMALL, query="secret")))
    assert line(reply, 500) == "internal error; the log says more"
    assert "a slow request failed: AttributeError" in caplog.text
    assert crew.crew.pids == before


def test_what_happens_meanwhile_is_told_and_a_search_that_is_told_to_stop_ends(crew):
    async def search() -> Reply:
        task = await crew.begun()
        assert crew.crew.stop("job-1")
        return await task

    assert crew.run(search()) == STOPPED
    words = [word for word, _ in crew.heard]
    assert words[0] == "begun"
    assert set(words[1:]) == {"better"}
    name, tasks, machines, makespan = crew.heard[0][1]
    assert (name, tasks, machines) == ("job-1", 300, 8)
    assert makespan == heft(LONG).makespan
    told = [one[2] for word, one in crew.heard if word == "better"]
    assert told == sorted(told, reverse=True)


def test_what_waits_is_stopped_before_it_begins_and_what_does_not_goes_on(crew):
    async def three() -> list[Reply]:
        first = await crew.begun("job-1")
        others = [crew.begin(asked(SMALL, id=name)) for name in ("second", "third")]
        await until(lambda: crew.crew.queued == 2)
        assert crew.crew.stop("second")
        assert await others[0] == STOPPED
        assert crew.crew.queued == 1
        assert not first.done()
        assert crew.crew.stop("job-1")
        return [await first, await others[1]]

    first, third = crew.run(three())
    assert first == STOPPED
    assert value(third)["makespan"] == 1.0
    assert not crew.crew.stop("second")
    assert not crew.crew.stop("nobody")


def test_what_does_not_heed_the_word_is_killed_and_replaced(crew):
    before = crew.crew.pids

    async def stubborn() -> Reply:
        # A genetic algorithm knows no stop.
        task = crew.begin(asked(drawn(tasks=2_000, machines=20), "scheduler=ga", id="job-1"))
        await until(lambda: crew.heard)
        assert crew.crew.stop("job-1")
        return await task

    assert crew.run(stubborn()) == STOPPED
    crew.run(crew.has_one_process())
    assert crew.crew.pids != before


def test_a_process_that_dies_at_work_is_a_503_and_replaced(crew):
    [before] = crew.crew.pids

    async def killed() -> Reply:
        task = await crew.begun()
        os.kill(before, signal.SIGKILL)
        return await task

    reply = crew.run(killed())
    assert line(reply, 503) == "the process that worked on it died"
    assert int(reply.headers["Retry-After"]) >= 1
    crew.run(crew.has_one_process())
    assert crew.crew.pids != [before]


def test_a_process_that_dies_idle_is_replaced_before_anybody_asks(crew):
    [before] = crew.crew.pids
    os.kill(before, signal.SIGKILL)
    crew.run(until(lambda: crew.crew.pids != [before]))
    crew.run(crew.has_one_process())


def test_where_whoever_asked_is_gone_the_process_ends_with_the_request(crew):
    async def abandoned() -> None:
        task = await crew.begun()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    before = crew.crew.pids
    crew.run(abandoned())
    crew.run(crew.has_one_process())
    assert crew.crew.pids != before


def test_a_request_for_a_process_that_has_just_ended_fails_at_once(crew):
    """Not never: nothing would ever answer it."""

    async def late() -> None:
        [worker] = crew.crew._free  # noqa: SLF001 - as it is handed over
        worker.kill()
        await until(lambda: worker not in crew.crew._free)  # noqa: SLF001
        await worker.work(asked(SMALL), None)

    with pytest.raises(Died):
        crew.run(late())


def test_more_memory_than_a_process_may_have_is_a_413_and_no_death(crew):
    before = crew.crew.pids
    tasks = [{"id": str(k), "work": 1.0} for k in range(25_000)]
    machines = [{"id": f"m{k}", "cores": 1, "frequency": 1e9} for k in range(1_000)]
    body = {"format": "deepsched-problem/1", "tasks": tasks, "machines": machines, "edges": []}
    reply = crew.run(crew.crew.work(asked(body, "scheduler=heft")))
    assert line(reply, 413) == "the request needs more memory than it may have"
    assert crew.crew.pids == before


def test_another_network_answers_from_the_next_request_on_and_those_at_work_go_on(crew):
    """A network that cannot serve changes nothing, and its process ends."""

    async def exchanged() -> None:
        under_way = await crew.begun()
        await crew.crew.renew(OTHER)
        assert not under_way.done()
        await crew.answers_by_the_other_network()
        assert crew.crew.stop("job-1")
        assert await under_way == STOPPED
        await crew.has_one_process()
        with pytest.raises(RequestError, match="/nowhere"):
            await crew.crew.renew(ServeArgs(checkpoint="/nowhere"))
        await crew.has_one_process()
        await crew.answers_by_the_other_network()
        await crew.crew.renew(ARGS)

    crew.run(exchanged())


def test_no_process_of_the_settings_before_joins_later(crew):
    async def twice() -> None:
        os.kill(crew.crew.pids[0], signal.SIGKILL)
        await until(lambda: not crew.crew.able)  # one of the settings before is being started
        await crew.crew.renew(OTHER)
        await crew.has_one_process()
        await crew.answers_by_the_other_network()
        await crew.crew.renew(ARGS)

    crew.run(twice())


def test_a_crew_that_is_closed_leaves_no_process(crew):
    async def closed() -> None:
        other = Crew(2, 0)
        await other.renew(ARGS)  # one is there, one is being started
        other.close()

    crew.run(closed())
    crew.run(until(lambda: children() == set(crew.crew.pids)))


def test_a_process_ends_with_the_one_that_started_it():
    """Whatever ends that, and whatever its children do: nobody waits for them."""
    program = """
import asyncio, os, signal
from deepsched.pipeline.serving.crew import Crew
from deepsched.pipeline.serving.settings import ServeArgs
async def main():
    crew = Crew(1, 0)
    await crew.renew(ServeArgs())
    print(crew.pids[0], flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
    found = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=False)
    pid = int(found.stdout)

    def ended() -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        return False

    asyncio.run(until(ended))


def test_a_crew_without_a_process_says_what_it_lacks():
    async def none() -> None:
        crew = Crew(1, 0)
        assert not crew.able
        with pytest.raises(DeepSchedError, match="/nowhere"):
            await crew.renew(ServeArgs(checkpoint="/nowhere"))
        assert not crew.able
        assert crew.pids == []

    asyncio.run(none())
