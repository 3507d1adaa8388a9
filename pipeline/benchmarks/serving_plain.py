"""The service's own code behind a plain FastAPI process: no queue, no limits, nobody else's work.

`python -m deepsched.pipeline.benchmarks.serving_plain PORT` serves until it is ended.
"""

# No `from __future__ import annotations`: FastAPI reads the types.

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import fastapi
import uvicorn
from starlette.concurrency import run_in_threadpool

from deepsched.pipeline.benchmarks.serving_library import BATCH_PATH, Library
from deepsched.pipeline.benchmarks.serving_service import (
    START_WITHIN,
    NotServed,
    Service,
    end,
    free_port,
)


def make_app() -> fastapi.FastAPI:
    """Return the application: the paths that are measured, and nothing around them."""
    app = fastapi.FastAPI()
    library = Library()
    library.warm_up()

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ready"}

    @app.put("/v1/machines")
    async def machines(request: fastapi.Request) -> dict[str, str]:
        return {"machines": library.know(await request.body())}

    @app.post("/v1/schedule")
    @app.post(BATCH_PATH)
    async def schedule(request: fastapi.Request) -> fastapi.Response:
        body = await request.body()
        target = f"{request.url.path}?{request.url.query}"
        reply = await run_in_threadpool(library.reply, target, request.headers, body)
        return fastapi.Response(reply.body, reply.status, media_type=reply.media_type)

    return app


@contextlib.contextmanager
def plain_service() -> Iterator[Service]:
    """Start such a process, and end it afterwards.

    Raises
    ------
    NotServed
        If it does not come up.
    """
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", __name__, str(port)])
    try:
        with tempfile.TemporaryDirectory() as folder:
            service = Service(
                host="127.0.0.1", port=port, root=process.pid, folder=None, requests=Path(folder)
            )
            if not service.wait_ready(START_WITHIN) >= 0:
                raise NotServed("the plain FastAPI process did not start")
            yield service
    finally:
        end(process)


if __name__ == "__main__":
    uvicorn.run(make_app(), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
