"""The process that keeps what outlives a request: jobs, which it runs, and shared machines."""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import ray

from deepsched.baselines.errors import DeepSchedError, UnwritableOutput
from deepsched.pipeline.serving.bodies import unpack
from deepsched.pipeline.serving.crew import Crew
from deepsched.pipeline.serving.jobs import MOST_DOCUMENT, Store
from deepsched.pipeline.serving.query import parse_query
from deepsched.pipeline.serving.refusals import RequestError, busy, line_of
from deepsched.pipeline.serving.reload import Reloading
from deepsched.pipeline.serving.settings import MEGABYTE
from deepsched.pipeline.serving.work import Ask, Reply, json_reply, read_machines, refusal
from deepsched.pipeline.wire.machines import machines_hash
from deepsched.pipeline.wire.models import ENDED, Job

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deepsched.pipeline.serving.settings import ServeArgs

log = logging.getLogger("ray.serve")

NICE = 19  # jobs take what nobody else wants
HISTORY = 500  # points of a job's curve; beyond it every other one is left out
OF_A_RUN = ("started", "makespan", "history")  # what a job has only once it runs
TRIES = 2  # of a job whose process dies


class Keeper(Reloading):
    """Keeps jobs and machines in a folder, and runs the jobs in their order."""

    def __init__(self, args: ServeArgs) -> None:
        super().__init__(args)
        self._store = Store(folder_of(args), args)
        self._crew = Crew(args.job_workers, NICE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._resumed = False

    async def exchange(self, args: ServeArgs) -> None:
        """Run jobs by the network of these settings, from the next one on."""
        await self._crew.renew(args)
        self.args = args
        if not self._resumed:
            self._resumed = True
            for job in list(self._store.jobs.values()):
                if job.state not in ENDED:  # the process before this one died with it
                    anew = {key: Job.model_fields[key].default for key in OF_A_RUN}
                    anew["state"] = "queued"
                    self._store.jobs[job.id] = job.model_copy(update=anew)
                    self._begin(job)

    async def check(self) -> dict[str, Any]:
        """Return how the jobs stand, for readiness and metrics."""
        states = [job.state for job in self._store.jobs.values()]
        return {
            "able": self._crew.able,
            "jobs": {state: states.count(state) for state in set(states)},
            "pids": self._crew.pids,
        }

    async def submit(
        self,
        scheduler: str,
        request: Mapping[str, Any],
        body: bytes,
        machines: bytes | None,
        key: str | None,
    ) -> Reply:
        """Keep a job and run it when its turn comes."""
        try:
            job, new = self._store.add(scheduler, request, body, machines, key)
        except UnwritableOutput as error:
            log.error("a job cannot be kept: %s", error)
            return refusal(busy("jobs cannot be kept now", 30))
        except DeepSchedError as error:
            return refusal(error)
        if new:
            self._begin(job)
        return json_reply(202, self._shown(job), {"Location": f"/v1/jobs/{job.id}"})

    async def status(self, job: str) -> Reply:
        """Return a job as it stands."""
        self._store.expire()
        found = self._store.jobs.get(job)
        return _unknown(job) if found is None else json_reply(200, self._shown(found))

    async def result(self, job: str) -> Reply:
        """Return the answer of a job that is done."""
        self._store.expire()
        found = self._store.jobs.get(job)
        if found is None:
            return _unknown(job)
        if found.state == "done":
            media_type = found.model_extra["media_type"] if found.model_extra else None
            return Reply(
                status=200,
                body=self._store.answer(job),
                media_type=media_type or "application/json",
            )
        if found.state in ENDED:
            return refusal(RequestError(410, f"job {job} was {found.state}"))
        return refusal(RequestError(409, f"job {job} is {found.state}", {"Retry-After": "1"}))

    async def cancel(self, job: str) -> Reply:
        """End a job; one that has ended stays what it is."""
        self._store.expire()
        found = self._store.jobs.get(job)
        if found is None:
            return _unknown(job)
        if found.state not in ENDED:
            self._crew.stop(job)
            ended = found.model_copy(update={"state": "cancelled", "finished": time.time()})
            self._store.finish(ended)
        return json_reply(200, self._shown(self._store.jobs[job]))

    async def put_machines(self, body: bytes, encoding: str) -> Reply:
        """Keep machines, and return their name: the hash of their document, unpacked."""
        try:
            document = unpack(body, encoding, self.args.max_body)
            if len(document) > MOST_DOCUMENT:
                raise RequestError(413, f"machines over {MOST_DOCUMENT // MEGABYTE} MB")
            machines = await asyncio.get_running_loop().run_in_executor(
                None, read_machines, document, self.args
            )
            sha256 = machines_hash(document)
            self._store.keep_machines(sha256, document)
        except UnwritableOutput as error:
            log.error("machines cannot be kept: %s", error)
            return refusal(busy("machines cannot be kept now", 30))
        except DeepSchedError as error:
            return refusal(error)
        return json_reply(200, {"machines": sha256, "n_machines": len(machines)})

    async def machines(self, sha256: str) -> bytes | None:
        """Return the document of machines that were sent before."""
        return self._store.machines(sha256)

    def _begin(self, job: Job) -> None:
        task = asyncio.create_task(self._run(job.id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, name: str) -> None:
        try:
            request, body, machines = self._store.request(name)
            ask = Ask(
                id=name,
                body=body,
                kind=request["kind"],
                encoding=request["encoding"],
                query=parse_query([tuple(pair) for pair in request["query"]]),
                received=self._store.jobs[name].created,
                deadline=float("inf"),
                arrow=request["arrow"],
                machines=machines,
            )
            reply = await self._worked(ask)
        except Exception as error:
            log.exception("job %s failed", name)
            reply = refusal(RequestError(500, f"internal error: {type(error).__name__}"))
        job = self._store.jobs.get(name)
        if job is None or job.state in ENDED:
            return
        now = time.time()
        try:
            if reply.status == 200:
                [facts] = reply.facts["answers"]
                makespan = facts["makespan"]
                history = job.history
                if not history or makespan < history[-1][1]:
                    history = [*history, (now - (job.started or now), makespan)]
                done = {"state": "done", "finished": now, "media_type": reply.media_type}
                done |= {"makespan": makespan, "history": history}
                self._store.finish(job.model_copy(update=done), reply.body)
            else:
                line = _line(reply)
                failed = {"state": "failed", "finished": now, "error": line}
                self._store.finish(job.model_copy(update=failed))
        except UnwritableOutput as error:
            log.error("the end of job %s cannot be kept: %s", name, error)
            lost = {"state": "failed", "finished": now, "error": "the answer could not be kept"}
            self._store.jobs[name] = job.model_copy(
                update=lost | {"expires": now + self.args.job_ttl_s}
            )

    async def _worked(self, ask: Ask) -> Reply:
        for _ in range(TRIES):
            work = asyncio.ensure_future(self._crew.work(ask, self._hear))
            limit = self.args.job_timeout_s
            while not work.done():
                await asyncio.wait([work], timeout=1.0)
                started = self._store.jobs[ask.id].started
                if started is not None and time.time() - started > limit:
                    self._crew.stop(ask.id)
                    await work
                    return refusal(RequestError(504, f"not done within {limit:g} s"))
            reply = work.result()
            if reply.status != 503:
                break
        return reply

    def _hear(self, word: str, value: Any) -> None:
        """Take in what the process says of its job."""
        job = self._store.jobs.get(value[0])
        if job is None or job.state in ENDED:
            return
        if word == "begun":
            _, tasks, machines, heft = value
            changed = {"state": "running", "started": time.time(), "n_tasks": tasks}
            changed |= {"n_machines": machines, "heft_makespan": heft, "history": []}
            self._store.put(job.model_copy(update=changed))
        elif word == "better":
            _, seconds, makespan = value
            history = [*job.history, (seconds, makespan)]
            if len(history) > HISTORY:
                history = [*history[:-1:2], history[-1]]
            changed = {"makespan": makespan, "history": history}
            self._store.jobs[job.id] = job.model_copy(update=changed)

    def _shown(self, job: Job) -> dict[str, Any]:
        jobs = self._store.jobs.values()
        ahead = 0
        if job.state == "queued":
            ahead = sum(j.state == "queued" and j.created < job.created for j in jobs)
        shown = job.model_copy(update={"ahead": ahead})
        return shown.model_dump(mode="json", include=set(Job.model_fields))

    async def __del__(self) -> None:
        """End the processes; Serve calls this when the replica is to leave."""
        self._crew.close()


def folder_of(args: ServeArgs) -> Path:
    """Return where jobs are kept: for a service that is started anew, a new folder."""
    if args.jobs_dir is not None:
        return args.jobs_dir
    session = ray.get_runtime_context().get_session_name()
    return Path(tempfile.gettempdir()) / f"deepsched-jobs-{session}"


def _unknown(job: str) -> Reply:
    return refusal(RequestError(404, f"job {line_of(RequestError(404, job[:60]))} is not known"))


def _line(reply: Reply) -> str:
    return str(orjson.loads(reply.body)["error"])
