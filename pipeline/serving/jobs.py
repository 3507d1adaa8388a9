"""Jobs on disk: a folder each, so that they outlive the process that works on them.

```
DIR/ID/job.json      the job, as it is answered      DIR/ID/answer     the answer, once it is done
DIR/ID/request.json  what was asked for, but for     DIR/machines/SHA  machines by their hash
DIR/ID/body          the body of the request         DIR/ID/machines   those that it names
```
"""

from __future__ import annotations

import json
import logging
import shutil
import time
import uuid
from typing import TYPE_CHECKING, Any

from deepsched.baselines.atomic import write_bytes
from deepsched.baselines.errors import UnwritableOutput
from deepsched.pipeline.serving.refusals import RequestError, busy
from deepsched.pipeline.serving.settings import MEGABYTE
from deepsched.pipeline.wire.models import ENDED, Job

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from deepsched.pipeline.serving.settings import ServeArgs

log = logging.getLogger("ray.serve")

MOST_DOCUMENT = 32 * MEGABYTE  # bytes of a document of machines: a thousand, each link its own
MOST_MACHINES = 8 * MOST_DOCUMENT  # bytes of all that are kept
JOB, REQUEST, BODY, ANSWER, MACHINES = "job.json", "request.json", "body", "answer", "machines"


class Store:
    """Jobs and machines in a folder: bounded, with expiry; what it says is on disk."""

    def __init__(self, folder: Path, args: ServeArgs) -> None:
        self._folder, self._args = folder, args
        (folder / MACHINES).mkdir(parents=True, exist_ok=True, mode=0o700)
        self.jobs: dict[str, Job] = {}
        self._keys: dict[str, str] = {}  # idempotency key -> job
        self._sizes: dict[str, int] = {}
        for path in sorted(folder.glob(f"*/{JOB}")):
            self._recover(path)
        self.jobs = dict(sorted(self.jobs.items(), key=lambda item: item[1].created))
        for path in folder.glob("job-*"):
            if path.name not in self.jobs:
                shutil.rmtree(path, ignore_errors=True)  # was being made, or is beyond reading

    def _recover(self, path: Path) -> None:
        try:
            document = json.loads(path.read_bytes())
            if not isinstance(document, dict):
                raise ValueError("no object")
            key = document.pop("key", None)
            job = Job.model_validate(document)
        except (OSError, ValueError) as error:
            log.error("job %s is lost: %s", path.parent.name, error)
            return
        self.jobs[job.id] = job
        self._sizes[job.id] = sum(file.stat().st_size for file in path.parent.iterdir())
        if key:
            self._keys[key] = job.id

    def add(
        self,
        scheduler: str,
        request: Mapping[str, Any],
        body: bytes,
        machines: bytes | None,
        key: str | None,
    ) -> tuple[Job, bool]:
        """Keep a new job; return it, and whether it is new: the same key gives the same job.

        Parameters
        ----------
        request : all that was asked for but the body, JSON-ready.
        machines : the document of machines that it names by their hash.

        Raises
        ------
        RequestError
            503, if there is no room.
        UnwritableOutput
            If it cannot be kept; nothing of it is left.
        """
        self.expire()
        known = self._keys.get(key or "")
        if known in self.jobs:
            return self.jobs[known], False
        size = len(body) + len(machines or b"")
        self._make_room(size)
        job = Job(
            id=f"job-{uuid.uuid4().hex}", state="queued", scheduler=scheduler, created=time.time()
        )
        folder = self._folder / job.id
        self._sizes[job.id] = size
        if key:
            self._keys[key] = job.id
        try:
            folder.mkdir(mode=0o700)
            write_bytes(folder / BODY, body)
            if machines is not None:  # kept with it: they may be forgotten until its turn comes
                write_bytes(folder / MACHINES, machines)
            write_bytes(folder / REQUEST, json.dumps(request).encode())
            self.put(job)
        except (OSError, UnwritableOutput) as error:
            self._forget(job.id)
            raise UnwritableOutput(f"{folder}: cannot be written: {error}") from None
        return job, True

    def put(self, job: Job) -> None:
        """Keep what has become of a job."""
        key = next((key for key, found in self._keys.items() if found == job.id), None)
        document = job.model_dump(mode="json") | ({"key": key} if key else {})
        write_bytes(self._folder / job.id / JOB, json.dumps(document).encode())
        self.jobs[job.id] = job

    def finish(self, job: Job, answer: bytes | None = None) -> None:
        """Keep how a job ended, and forget what was asked."""
        folder = self._folder / job.id
        if answer is not None:
            write_bytes(folder / ANSWER, answer)
        self.put(job.model_copy(update={"expires": time.time() + self._args.job_ttl_s}))
        for name in (REQUEST, BODY, MACHINES):
            (folder / name).unlink(missing_ok=True)
        self._sizes[job.id] = len(answer or b"")

    def request(self, job: str) -> tuple[dict[str, Any], bytes, bytes | None]:
        """Return what a job was asked for, the body, and the machines that it names."""
        folder = self._folder / job
        machines = (folder / MACHINES).read_bytes() if (folder / MACHINES).exists() else None
        return json.loads((folder / REQUEST).read_bytes()), (folder / BODY).read_bytes(), machines

    def answer(self, job: str) -> bytes:
        """Return a done job's answer."""
        return (self._folder / job / ANSWER).read_bytes()

    def expire(self) -> None:
        """Forget the jobs that ended long ago."""
        now = time.time()
        for job in list(self.jobs.values()):
            if job.expires is not None and job.expires <= now:
                self._forget(job.id)

    def _make_room(self, size: int) -> None:
        most = self._args.max_jobs_mb * MEGABYTE
        if size > most:
            raise RequestError(413, f"a job over {self._args.max_jobs_mb:g} MB")
        ended = [job.id for job in self.jobs.values() if job.state in ENDED]
        while len(self.jobs) >= self._args.max_jobs or sum(self._sizes.values()) + size > most:
            if not ended:
                raise busy(f"{len(self.jobs)} jobs wait already", 10)
            self._forget(ended.pop(0))

    def _forget(self, job: str) -> None:
        self.jobs.pop(job, None)
        self._sizes.pop(job, None)
        self._keys = {key: found for key, found in self._keys.items() if found != job}
        shutil.rmtree(self._folder / job, ignore_errors=True)

    def keep_machines(self, sha256: str, document: bytes) -> None:
        """Keep a document of machines; of too many the oldest are forgotten."""
        folder = self._folder / MACHINES
        kept = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime)
        size = len(document) + sum(path.stat().st_size for path in kept)
        for path in kept:
            if size <= MOST_MACHINES:
                break
            size -= path.stat().st_size
            path.unlink(missing_ok=True)
        write_bytes(folder / sha256, document)

    def machines(self, sha256: str) -> bytes | None:
        """Return the document of machines, if it is there."""
        try:
            return (self._folder / MACHINES / sha256).read_bytes()
        except OSError:
            return None
