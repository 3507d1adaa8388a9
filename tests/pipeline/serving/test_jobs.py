"""Jobs: kept on disk, bounded, run in their order, and going on after whatever happens."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from deepsched.baselines.errors import UnwritableOutput
from deepsched.baselines.heft import heft
from deepsched.pipeline.serving import jobs as module
from deepsched.pipeline.serving import keeper as keeper_module
from deepsched.pipeline.serving.jobs import ANSWER, BODY, JOB, MACHINES, REQUEST, Store
from deepsched.pipeline.serving.keeper import Keeper
from deepsched.pipeline.serving.refusals import RequestError
from deepsched.pipeline.serving.settings import ServeArgs
from deepsched.pipeline.wire.arrow import answers_from_stream, problems_to_stream
from deepsched.pipeline.wire.machines import machines_bytes, machines_hash
from deepsched.pipeline.wire.models import Job, MachinesAnswer, ScheduleAnswer
from tests.pipeline.serving.examples import document, drawn, kept, line, value
from tests.pipeline.serving.loops import PATIENCE, until
from tests.pipeline.serving.processes import children

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path

    from deepsched.pipeline.serving.work import Reply

LONG = drawn(2, tasks=300, machines=8, ccr=8.0)  # too hard for its bound to be reached
ASKED: dict[str, Any] = {
    "kind": "json", "encoding": "", "query": [], "arrow": False,
}  # fmt: skip


def store(folder: Path, **settings: Any) -> Store:
    return Store(folder, ServeArgs(**settings))


def add(found: Store, body: bytes = b"{}", key: str | None = None) -> Job:
    return found.add("heft", ASKED, body, None, key)[0]


def ended(found: Store, job: Job, answer: bytes | None = b"answer") -> None:
    state = "failed" if answer is None else "done"
    found.finish(job.model_copy(update={"state": state, "finished": time.time()}), answer)


def folders(path: Path) -> set[str]:
    return {one.name for one in path.iterdir() if one.name != MACHINES}


# The store.


def test_a_new_store_on_the_folder_knows_what_the_one_before_kept(tmp_path):
    before = store(tmp_path)
    first, second, third = add(before, b"one"), add(before, b"two", "key"), add(before, b"three")
    ended(before, second)
    before.put(third.model_copy(update={"state": "running", "n_tasks": 7}))
    after = store(tmp_path)
    assert list(after.jobs) == [first.id, second.id, third.id]
    assert after.jobs == before.jobs
    assert after.request(first.id) == (ASKED, b"one", None)
    assert after.answer(second.id) == b"answer"
    assert after.jobs[third.id].n_tasks == 7
    assert after.add("heft", ASKED, b"", None, "key") == (after.jobs[second.id], False)


def test_what_was_asked_is_forgotten_when_a_job_ends(tmp_path):
    found = store(tmp_path)
    job = add(found, b"private")
    assert (tmp_path / job.id / BODY).read_bytes() == b"private"
    ended(found, job)
    assert {path.name for path in (tmp_path / job.id).iterdir()} == {JOB, ANSWER}


def test_nobody_else_on_the_machine_can_read_what_was_asked(tmp_path):
    found = store(tmp_path / "jobs")
    job = add(found)
    for folder in (tmp_path / "jobs" / job.id, tmp_path / "jobs" / MACHINES):
        assert folder.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / JOB).unlink(),
        lambda folder: (folder / JOB).write_bytes(b"{"),
        lambda folder: (folder / JOB).write_bytes(b"[]"),
        lambda folder: (folder / JOB).write_bytes(b'{"id": "job-1", "state": "flying"}'),
    ],
    ids=["none", "half", "list", "state"],
)
def test_half_made_folders_are_cleared_away_and_the_others_stay(tmp_path, damage):
    before = store(tmp_path)
    good, bad = add(before), add(before)
    damage(tmp_path / bad.id)
    (tmp_path / "mine").mkdir()  # nobody's job
    after = store(tmp_path)
    assert list(after.jobs) == [good.id]
    assert folders(tmp_path) == {good.id, "mine"}


def test_a_temporary_file_of_a_write_that_was_cut_off_disturbs_nothing(tmp_path):
    job = add(store(tmp_path))
    (tmp_path / job.id / ".deepsched-1234.tmp").write_bytes(b"half")
    assert list(store(tmp_path).jobs) == [job.id]


def test_a_job_is_forgotten_some_time_after_its_end(tmp_path, monkeypatch):
    found = store(tmp_path, job_ttl_s=100)
    waits, done = add(found), add(found, key="key")
    ended(found, done)
    expires = found.jobs[done.id].expires
    assert expires is not None
    monkeypatch.setattr(module.time, "time", lambda: expires - 1)
    found.expire()
    assert list(found.jobs) == [waits.id, done.id]
    monkeypatch.setattr(module.time, "time", lambda: expires)
    other, new = found.add("heft", ASKED, b"{}", None, "key")
    assert new, "the key of a job that is forgotten is free"
    assert list(found.jobs) == [waits.id, other.id]
    assert folders(tmp_path) == {waits.id, other.id}


def test_the_same_key_gives_the_same_job_and_another_another(tmp_path):
    found = store(tmp_path)
    job, new = found.add("heft", ASKED, b"{}", None, "key")
    assert new
    assert found.add("heft", ASKED, b"{}", None, "key") == (job, False)
    others = {add(found, key=key).id for key in ("other", None, None)}
    assert len(others - {job.id}) == 3


def test_the_number_of_jobs_is_bounded_and_ended_ones_make_room(tmp_path):
    found = store(tmp_path, max_jobs=2)
    first, second = add(found), add(found)
    with pytest.raises(RequestError, match="2 jobs wait already") as caught:
        add(found)
    assert caught.value.status == 503
    assert int(caught.value.headers["Retry-After"]) >= 1
    ended(found, second)
    third = add(found)
    assert list(found.jobs) == [first.id, third.id]
    assert folders(tmp_path) == {first.id, third.id}


def test_the_machines_that_a_job_names_count_with_it(tmp_path):
    found = store(tmp_path, max_jobs_mb=1)
    found.add("heft", ASKED, bytes(400_000), bytes(400_000), None)
    with pytest.raises(RequestError) as caught:
        add(found, bytes(400_000))
    assert caught.value.status == 503


def test_the_bytes_of_all_jobs_are_bounded_answers_and_a_restart_with_them(tmp_path):
    found = store(tmp_path, max_jobs_mb=1)
    first, second = add(found, bytes(400_000)), add(found, bytes(400_000))
    with pytest.raises(RequestError) as caught:
        add(found, bytes(400_000))
    assert caught.value.status == 503
    with pytest.raises(RequestError, match="a job over 1 MB") as caught:
        add(found, bytes(1_000_001))
    assert caught.value.status == 413
    ended(found, first, bytes(500_000))  # its answer is larger than its body was
    after = store(tmp_path, max_jobs_mb=1)
    for one in (found, after):
        assert sum(one._sizes.values()) >= 900_000  # noqa: SLF001
    third = add(after, bytes(200_000))
    assert list(after.jobs) == [second.id, third.id], "the one that had ended made room"


@pytest.mark.parametrize("name", [BODY, REQUEST, JOB])
def test_of_a_job_that_a_full_disk_cannot_keep_nothing_is_left(tmp_path, monkeypatch, name):
    found = store(tmp_path)
    write = module.write_bytes

    def full(path: Path, data: bytes) -> None:
        if path.name == name:
            raise UnwritableOutput(f"{path}: cannot be written: No space left on device")
        write(path, data)

    monkeypatch.setattr(module, "write_bytes", full)
    with pytest.raises(UnwritableOutput, match="No space left"):
        found.add("heft", ASKED, b"{}", None, "key")
    assert found.jobs == {}
    assert folders(tmp_path) == set()
    monkeypatch.setattr(module, "write_bytes", write)
    assert found.add("heft", ASKED, b"{}", None, "key")[1], "the key is free"


def test_a_disk_without_room_for_a_folder_is_an_unwritable_output_too(tmp_path, monkeypatch):
    found = store(tmp_path)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(tmp_path), "mkdir", full)
    with pytest.raises(UnwritableOutput, match="No space left"):
        add(found)
    assert found.jobs == {}


def test_machines_are_kept_by_their_hash_and_of_too_many_the_oldest_go(tmp_path, monkeypatch):
    found = store(tmp_path)
    assert found.machines("0" * 64) is None
    assert found.machines("") is None
    monkeypatch.setattr(module, "MOST_MACHINES", 3 * len(b"machines"))
    for k in range(5):
        found.keep_machines(str(k), b"machines")
        os.utime(tmp_path / MACHINES / str(k), (k, k))
    assert [found.machines(str(k)) for k in range(5)] == [None, None, *[b"machines"] * 3]
    assert store(tmp_path).machines("4") == b"machines"


# The keeper, with one real process.


class Jobs:
    """A keeper and the event loop in which it lives."""

    def __init__(self, loop: asyncio.Runner, folder: Path, **settings: Any) -> None:
        self.loop, self.folder, self.settings = loop, folder, settings
        self.keeper = self.run(self._made())

    async def _made(self) -> Keeper:
        keeper = kept(Keeper)(ServeArgs(jobs_dir=self.folder, **self.settings))
        await keeper.reconfigure({})
        return keeper

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        async def bounded() -> Any:
            async with asyncio.timeout(PATIENCE):
                return await work

        return self.loop.run(bounded())

    async def submit(
        self,
        body: Any,
        query: str = "",
        key: str | None = None,
        machines: bytes | None = None,
        **fields: Any,
    ) -> dict[str, Any]:
        """Submit a job and return it as it is shown."""
        pairs = [part.split("=") for part in query.split("&") if part]
        content = body if isinstance(body, bytes) else document(body)
        asked = ASKED | {"query": pairs} | fields
        reply = await self.keeper.submit("deepsched", asked, content, machines, key)
        assert reply.status == 202, reply.body
        job = json.loads(reply.body)
        Job.model_validate(job)
        assert reply.headers["Location"] == f"/v1/jobs/{job['id']}"
        return job

    async def shown(self, job: dict[str, Any]) -> dict[str, Any]:
        found = value(await self.keeper.status(job["id"]))
        Job.model_validate(found)
        return found

    async def until(
        self, job: dict[str, Any], holds: Callable[[dict[str, Any]], object]
    ) -> dict[str, Any]:
        """Wait until something holds of a job."""
        while not holds(found := await self.shown(job)):
            await asyncio.sleep(0.02)
        return found

    async def ended(self, job: dict[str, Any]) -> dict[str, Any]:
        return await self.until(job, lambda found: found["state"] not in ("queued", "running"))

    async def running(self) -> dict[str, Any]:
        """Submit a job that searches for very long, and return it when it does."""
        job = await self.submit(LONG, "budget=600")
        return await self.until(job, lambda found: found["makespan"] is not None)

    async def result(self, job: dict[str, Any]) -> Reply:
        reply: Reply = await self.keeper.result(job["id"])
        return reply

    async def cancel(self, job: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = value(await self.keeper.cancel(job["id"]))
        return found

    def close(self) -> None:
        self.loop.run(Keeper.__del__(self.keeper))


@pytest.fixture(scope="module")
def jobs(loop: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jobs]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keeper_module, "NICE", 0)  # a busy machine would never get to them
        found = Jobs(
            loop, tmp_path_factory.mktemp("keeper") / "jobs", job_timeout_s=200, max_objects=10_000
        )
        yield found
        found.close()
        found.run(until(lambda: not children()))


def test_a_job_is_queued_runs_and_gives_the_schedule_of_the_library(jobs):
    problem = drawn()

    async def whole() -> tuple[Any, ...]:
        job = await jobs.submit(problem)
        waits = await jobs.result(job)
        return job, waits, await jobs.ended(job), await jobs.result(job)

    job, waits, done, result = jobs.run(whole())
    assert (job["state"], job["scheduler"], job["ahead"]) == ("queued", "deepsched", 0)
    assert job["started"] is job["finished"] is job["expires"] is job["makespan"] is None
    assert "is queued" in line(waits, 409)
    answer = value(result)
    ScheduleAnswer.model_validate(answer)
    assert (done["state"], done["error"]) == ("done", None)
    assert (done["n_tasks"], done["n_machines"]) == (problem.n_tasks, problem.n_machines)
    assert done["makespan"] == answer["makespan"] == done["history"][-1][1]
    assert done["heft_makespan"] == answer["heft_makespan"] == heft(problem).makespan
    assert done["created"] <= done["started"] <= done["finished"] < done["expires"]


def test_a_job_says_its_best_makespan_while_it_searches_and_can_be_cancelled(jobs):
    async def whole() -> tuple[Any, ...]:
        job = await jobs.running()
        waits = await jobs.result(job)
        cancelled = await jobs.cancel(job)
        again = await jobs.cancel(job)
        return job, waits, cancelled, again, await jobs.result(job), await jobs.shown(job)

    job, waits, cancelled, again, result, last = jobs.run(whole())
    assert job["state"] == "running"
    assert job["heft_makespan"] == heft(LONG).makespan
    seconds, makespans = zip(*job["history"], strict=True)
    assert list(seconds) == sorted(seconds)
    assert list(makespans) == sorted(makespans, reverse=True)
    assert makespans[-1] == job["makespan"]
    assert "is running" in line(waits, 409)
    assert cancelled["state"] == "cancelled"
    assert again == cancelled
    assert line(result, 410) == f"job {job['id']} was cancelled"
    assert last["state"] == "cancelled"
    assert last["expires"] > last["finished"]


def test_jobs_run_one_after_the_other_and_one_that_waits_can_be_cancelled(jobs):
    async def whole() -> tuple[Any, ...]:
        first = await jobs.running()
        second, third = await jobs.submit(drawn()), await jobs.submit(drawn(1))
        assert (second["ahead"], third["ahead"]) == (0, 1)
        cancelled = await jobs.cancel(second)
        assert (await jobs.shown(third))["ahead"] == 0
        assert (await jobs.shown(first))["state"] == "running"
        states = (await jobs.keeper.check())["jobs"]
        await jobs.cancel(first)
        return cancelled, states, await jobs.ended(third), await jobs.shown(second)

    cancelled, states, third, second = jobs.run(whole())
    assert cancelled["state"] == second["state"] == "cancelled"
    assert second["started"] is None
    assert states["running"] == states["queued"] == 1
    assert third["state"] == "done"


def test_a_job_that_cannot_be_done_says_why(jobs):
    async def whole() -> tuple[Any, ...]:
        wrong = await jobs.ended(await jobs.submit(b"hello"))
        options = await jobs.ended(await jobs.submit(drawn(), "scheduler=heft&samples=3"))
        return wrong, options, await jobs.result(wrong)

    wrong, options, result = jobs.run(whole())
    assert (wrong["state"], options["state"]) == ("failed", "failed")
    assert "not JSON" in wrong["error"]
    assert "samples: not for the scheduler heft" in options["error"]
    assert line(result, 410) == f"job {wrong['id']} was failed"


def test_jobs_that_nobody_knows_are_not_found(jobs):
    for ask in (jobs.keeper.status, jobs.keeper.result, jobs.keeper.cancel):
        assert line(jobs.run(ask("job-0")), 404) == "job job-0 is not known"
        assert len(line(jobs.run(ask("x" * 10_000)), 404)) < 100


def test_the_same_key_submits_once(jobs):
    async def twice() -> tuple[Any, ...]:
        first = await jobs.submit(drawn(), key="once")
        done = await jobs.ended(first)
        return done, await jobs.submit(drawn(), key="once")

    first, second = jobs.run(twice())
    assert second["id"] == first["id"]
    assert second["state"] == "done"


def test_a_job_may_come_and_be_answered_in_arrow_on_shared_machines(jobs):
    """Which it keeps: they may be forgotten before its turn comes."""
    problem = drawn()
    machines = machines_bytes(problem.machines)

    async def whole() -> tuple[Any, ...]:
        put = value(await jobs.keeper.put_machines(machines, ""))
        kept = await jobs.keeper.machines(put["machines"])
        body = problems_to_stream([problem], shared=problem.machines)
        first = await jobs.running()
        job = await jobs.submit(
            body, f"machines_sha256={put['machines']}", machines=kept, kind="arrow", arrow=True
        )
        (jobs.folder / MACHINES / put["machines"]).unlink()
        await jobs.cancel(first)
        await jobs.ended(job)
        return put, kept, await jobs.result(job)

    put, kept, result = jobs.run(whole())
    MachinesAnswer.model_validate(put)
    assert put == {"machines": machines_hash(machines), "n_machines": 3}
    assert kept == machines
    assert result.media_type == "application/vnd.apache.arrow.stream"
    [row] = answers_from_stream(result.body)
    assert row["proc"].size == problem.n_tasks


def test_machines_that_are_none_are_refused(jobs):
    assert "n_machines" in line(jobs.run(jobs.keeper.put_machines(b"{}", "")), 400)
    assert "not JSON" in line(jobs.run(jobs.keeper.put_machines(b"hello", "")), 400)
    assert "damaged gzip" in line(jobs.run(jobs.keeper.put_machines(b"{}", "gzip")), 400)
    assert jobs.run(jobs.keeper.machines("0" * 64)) is None


def test_machines_are_counted_before_they_are_parsed_like_any_other_body(jobs):
    body = b'{"n_machines": 1, "more": [' + b"[]," * 10_000 + b"[]]}"
    reply = jobs.run(jobs.keeper.put_machines(body, ""))
    assert "more than 10000 objects and lists" in line(reply, 413)


def test_machines_whose_document_is_too_long_are_refused_however_few(jobs, monkeypatch):
    monkeypatch.setattr(keeper_module, "MOST_DOCUMENT", 1_000_000)
    reply = jobs.run(jobs.keeper.put_machines(gzip.compress(bytes(1_000_001)), "gzip"))
    assert line(reply, 413) == "machines over 1 MB"


def test_machines_may_come_packed_and_are_known_by_what_they_are(jobs):
    machines = machines_bytes(drawn(machines=4).machines)
    packed = value(jobs.run(jobs.keeper.put_machines(gzip.compress(machines), "gzip")))
    assert packed == value(jobs.run(jobs.keeper.put_machines(machines, "")))
    assert packed["machines"] == machines_hash(machines)
    assert jobs.run(jobs.keeper.machines(packed["machines"])) == machines


def test_what_a_full_disk_cannot_keep_is_a_503_and_later_it_is_kept(jobs, monkeypatch):
    def full(path: Path, data: bytes) -> None:
        raise UnwritableOutput(f"{path}: cannot be written: No space left on device")

    async def refused() -> list[Reply]:
        return [
            await jobs.keeper.submit("heft", ASKED, document(drawn()), None, None),
            await jobs.keeper.put_machines(machines_bytes(drawn().machines), ""),
        ]

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_bytes", full)
        for reply in jobs.run(refused()):
            assert "cannot be kept now" in line(reply, 503)
            assert "/" not in line(reply, 503), "no path of ours"
            assert int(reply.headers["Retry-After"]) >= 1
    jobs.run(jobs.submit(drawn()))


def test_a_job_whose_answer_cannot_be_kept_has_failed(jobs, monkeypatch):
    write = module.write_bytes

    def full(path: Path, data: bytes) -> None:
        if path.name == ANSWER:
            raise UnwritableOutput(f"{path}: cannot be written: No space left on device")
        write(path, data)

    async def whole() -> dict[str, Any]:
        return await jobs.ended(await jobs.submit(drawn()))

    monkeypatch.setattr(module, "write_bytes", full)
    found = jobs.run(whole())
    assert (found["state"], found["error"]) == ("failed", "the answer could not be kept")


def test_a_job_is_ended_when_its_time_is_over(jobs, monkeypatch):
    async def whole() -> dict[str, Any]:
        job = await jobs.running()
        # As if it had run for long.
        now = time.time() + 1_000
        monkeypatch.setattr(keeper_module.time, "time", lambda: now)
        found = await jobs.ended(job)
        monkeypatch.undo()
        return found

    found = jobs.run(whole())
    assert (found["state"], found["error"]) == ("failed", "not done within 200 s")


def test_a_job_outlives_the_death_of_its_process_once(jobs):
    """What kills every process that takes it has to be the job itself."""

    async def whole() -> tuple[Any, ...]:
        job = await jobs.running()
        [pid] = (await jobs.keeper.check())["pids"]
        os.kill(pid, signal.SIGKILL)
        begun = job["started"]
        again = await jobs.until(job, lambda found: found["started"] != begun)
        [other] = (await jobs.keeper.check())["pids"]
        os.kill(other, signal.SIGKILL)
        return pid, other, again, await jobs.ended(job)

    pid, other, again, last = jobs.run(whole())
    assert pid != other
    assert again["state"] == "running"
    assert (last["state"], last["error"]) == ("failed", "the process that worked on it died")


def test_a_service_that_starts_again_finishes_what_was_left_undone(loop, tmp_path, monkeypatch):
    """Those that ran and those that waited, in their order; even long after."""
    folder = tmp_path / "jobs"
    before = store(folder)
    asked = ASKED | {"query": [["scheduler", "heft"]]}
    bodies = [document(drawn(seed)) for seed in range(3)]
    done, ran, waited = (before.add("heft", asked, body, None, None)[0] for body in bodies)
    ended(before, done)
    long_ago = time.time() - 100_000
    before.put(ran.model_copy(update={"state": "running", "started": long_ago, "makespan": 1e9}))
    monkeypatch.setattr(keeper_module, "NICE", 0)
    jobs = Jobs(loop, folder)

    async def finished() -> list[dict[str, Any]]:
        return [await jobs.ended({"id": job.id}) for job in (ran, waited)]

    try:
        first, second = jobs.run(finished())
        assert (first["state"], second["state"]) == ("done", "done")
        assert long_ago < first["started"] <= second["started"]
        assert first["makespan"] == heft(drawn(1)).makespan
        assert jobs.run(jobs.keeper.result(done.id)).body == b"answer"
        # Another network begins none of them again.
        jobs.run(jobs.keeper.reconfigure({}))
        assert jobs.run(jobs.keeper.check())["jobs"] == {"done": 3}
    finally:
        jobs.close()


def test_without_a_folder_of_its_own_each_service_has_a_new_one(monkeypatch, tmp_path):
    class Context:
        def get_session_name(self) -> str:
            return "session_1"

    monkeypatch.setattr(keeper_module.ray, "get_runtime_context", Context)
    monkeypatch.setattr(keeper_module.tempfile, "gettempdir", lambda: str(tmp_path))
    assert keeper_module.folder_of(ServeArgs()) == tmp_path / "deepsched-jobs-session_1"
    assert keeper_module.folder_of(ServeArgs(jobs_dir=tmp_path)) == tmp_path
