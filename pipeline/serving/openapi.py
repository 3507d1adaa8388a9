"""The interface as a table of endpoints, and its description in OpenAPI, made from that table."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
from pydantic.json_schema import models_json_schema

import deepsched
from deepsched.baselines.settings import SettingInfo, setting_infos
from deepsched.model.networks.deepsched.options import DeepSchedOptions
from deepsched.pipeline.serving.bodies import ARROW, FORM, JSON
from deepsched.pipeline.serving.query import MAX_SAMPLES, QuerySettings
from deepsched.pipeline.wire import models

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

    from deepsched.pipeline.serving.settings import ServeArgs

MEANINGS = {
    400: "The request is wrong; the line says what.",
    401: "A bearer token is needed.",
    404: "There is no such thing, or no longer.",
    406: "No type of answer that `Accept` names.",
    408: "The request did not arrive in time.",
    409: "The job is not done yet.",
    410: "The job was cancelled, or failed.",
    413: "Too large: the line names the limit.",
    415: "A type or encoding of body that is not read.",
    503: "No room, or no process, now; `Retry-After` says when to ask again.",
    504: "There was no schedule in time.",
}
ALWAYS = (400, 401, 503)
WITH_BODY = (*ALWAYS, 404, 406, 408, 413, 415, 504)


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """One thing that can be asked.

    Attributes
    ----------
    name : the method of `Gateway` that answers.
    answer : the model of the answer; None: bytes of `answer_type`.
    body : what the body is: a key of `BODIES`.
    """

    name: str
    method: str
    path: str
    summary: str
    status: int = 200
    answer: type[BaseModel] | None = None
    answer_type: str = JSON
    query: bool = False
    body: str | None = None
    faults: tuple[int, ...] = field(default=ALWAYS)


ENDPOINTS = (
    Endpoint(
        name="schedule",
        method="POST",
        path="/v1/schedule",
        summary="Answer a problem with a schedule.",
        answer=models.ScheduleAnswer,
        query=True,
        body="problem",
        faults=WITH_BODY,
    ),
    Endpoint(
        name="schedule_batch",
        method="POST",
        path="/v1/schedule:batch",
        summary="Answer several problems, on shared machines or their own, in their order.",
        answer=models.BatchAnswer,
        query=True,
        body="problems",
        faults=WITH_BODY,
    ),
    Endpoint(
        name="put_machines",
        method="PUT",
        path="/v1/machines",
        summary="Keep machines, which later requests name by their hash.",
        answer=models.MachinesAnswer,
        body="machines",
        faults=WITH_BODY,
    ),
    Endpoint(
        name="machines",
        method="GET",
        path="/v1/machines/{sha256}",
        summary="The machines of that hash, as they were sent.",
        faults=(*ALWAYS, 404),
    ),
    Endpoint(
        name="submit",
        method="POST",
        path="/v1/jobs",
        summary="Take a problem as a job; a job may search for longer.",
        status=202,
        answer=models.Job,
        query=True,
        body="problem",
        faults=WITH_BODY,
    ),
    Endpoint(
        name="job",
        method="GET",
        path="/v1/jobs/{job}",
        summary="How a job stands, and its best makespan so far.",
        answer=models.Job,
        faults=(*ALWAYS, 404),
    ),
    Endpoint(
        name="job_result",
        method="GET",
        path="/v1/jobs/{job}/result",
        summary="The schedule of a job that is done.",
        answer=models.ScheduleAnswer,
        faults=(*ALWAYS, 404, 409, 410),
    ),
    Endpoint(
        name="job_cancel",
        method="DELETE",
        path="/v1/jobs/{job}",
        summary="End a job.",
        answer=models.Job,
        faults=(*ALWAYS, 404),
    ),
    Endpoint(
        name="schedulers",
        method="GET",
        path="/v1/schedulers",
        summary="The schedulers that a query may name, and the limits.",
        answer=models.SchedulersAnswer,
    ),
    Endpoint(
        name="models",
        method="GET",
        path="/v1/models",
        summary="The networks that answer: version, training, limits.",
        answer=models.ModelsAnswer,
    ),
    Endpoint(
        name="live",
        method="GET",
        path="/v2/health/live",
        summary="Whether the gateway answers.",
        answer=models.Live,
        faults=(),
    ),
    Endpoint(
        name="ready",
        method="GET",
        path="/v2/health/ready",
        summary="Whether all kinds of processes answer.",
        answer=models.Ready,
        faults=(),
    ),
    Endpoint(
        name="ready",
        method="GET",
        path="/health",
        summary="The same.",
        answer=models.Ready,
        faults=(),
    ),
    Endpoint(
        name="metrics",
        method="GET",
        path="/metrics",
        summary="Measures of this gateway, for Prometheus.",
        answer_type="text/plain",
        faults=(401,),
    ),
    Endpoint(
        name="openapi",
        method="GET",
        path="/openapi.json",
        summary="This description.",
        faults=(),
    ),
)

OPEN = frozenset({"live", "ready", "openapi"})  # no token is asked for

_NUMBERS = {"type": "array", "items": {"type": "number"}}
_PROBLEM = {
    "type": "object",
    "description": "A document of any JSON format that `deepsched schedule` reads.",
    "examples": [
        {
            "format": "deepsched-problem/1",
            "machines": [{"id": "slow"}, {"id": "fast"}],
            "tasks": [{"id": "a", "etc": [4, 2]}, {"id": "b", "etc": [6, 3]}],
            "edges": [{"from": "a", "to": "b", "bytes": 1000000}],
        }
    ],
}
_PROBLEMS = {
    "type": "object",
    "required": ["problems"],
    "properties": {
        "problems": {"type": "array", "items": _PROBLEM, "minItems": 1},
        "machines": {"type": "array", "items": {"type": "object"}},
    },
    "description": "Documents; what stands beside them holds for each that lacks it.",
}
_MACHINES = {
    "type": "object",
    "required": ["n_machines", "machine_cores", "machine_frequency", "machine_memory"],
    "properties": {
        "n_machines": {"type": "integer", "minimum": 1},
        **{f"machine_{name}": _NUMBERS for name in ("cores", "frequency", "memory")},
        "bandwidth": _NUMBERS,
        "latency": _NUMBERS,
    },
}
_BYTES = {"type": "string", "format": "binary"}
BODIES: Mapping[str, Mapping[str, Any]] = {
    "problem": {JSON: _PROBLEM, FORM: _BYTES, ARROW: _BYTES, "application/octet-stream": _BYTES},
    "problems": {JSON: _PROBLEMS, ARROW: _BYTES},
    "machines": {JSON: _MACHINES},
}


@functools.lru_cache(maxsize=4)
def document(args: ServeArgs) -> bytes:
    """Return the description of the service with these settings, OpenAPI 3.1 in JSON."""
    answers: set[type[BaseModel]] = {end.answer for end in ENDPOINTS if end.answer is not None}
    wanted: list[type[BaseModel]] = sorted(
        {*answers, models.Fault}, key=lambda model: model.__name__
    )
    _, schemas = models_json_schema(
        [(model, "serialization") for model in wanted],
        ref_template="#/components/schemas/{model}",
    )
    paths: dict[str, dict[str, Any]] = {}
    for end in ENDPOINTS:
        paths.setdefault(end.path, {})[end.method.lower()] = _operation(end)
    value = {
        "openapi": "3.1.0",
        "info": {
            "title": "DeepSched",
            "version": deepsched.__version__,
            "description": "Schedules of task graphs on heterogeneous machines. "
            f"Limits: {orjson.dumps(args.limits()).decode()}",
        },
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"bearer": []}, {}],
    }
    return orjson.dumps(value)


def _operation(end: Endpoint) -> dict[str, Any]:
    names = [part[1:-1] for part in end.path.split("/") if part.startswith("{")]
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in names
    ]
    if end.query:
        infos = (*setting_infos(QuerySettings), *setting_infos(DeepSchedOptions))
        parameters += [_parameter(info) for info in infos if info.public]
    responses = {str(end.status): _response(end)}
    if end.name == "ready":
        responses["503"] = _response(end) | {"description": "Not now; `reason` says why."}
    for status in end.faults:
        responses.setdefault(str(status), _fault(status))
    found: dict[str, Any] = {
        "operationId": f"{end.name}{'_short' if end.path == '/health' else ''}",
        "summary": end.summary,
        "parameters": parameters,
        "responses": responses,
    }
    if end.name in OPEN:
        found["security"] = []
    if end.body is not None:
        content = {kind: {"schema": schema} for kind, schema in BODIES[end.body].items()}
        found["requestBody"] = {"required": True, "content": content}
    return found


def _response(end: Endpoint) -> dict[str, Any]:
    if end.answer is None:
        schema: dict[str, Any] = {"type": "object" if end.answer_type == JSON else "string"}
    else:
        schema = {"$ref": f"#/components/schemas/{end.answer.__name__}"}
    content = {end.answer_type: {"schema": schema}}
    if end.answer in (models.ScheduleAnswer, models.BatchAnswer):
        content[ARROW] = {"schema": _BYTES}
    return {"description": end.summary, "content": content}


def _fault(status: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "description": MEANINGS[status],
        "content": {JSON: {"schema": {"$ref": "#/components/schemas/Fault"}}},
    }
    if status == 503:
        found["headers"] = {
            "Retry-After": {"description": "s", "schema": {"type": "string", "pattern": "^[0-9]+$"}}
        }
    return found


def _parameter(info: SettingInfo) -> dict[str, Any]:
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string"}
    schema: dict[str, Any] = {"type": kinds[info.kind]}
    if info.choices:
        schema["enum"] = list(info.choices)
    if info.at_least is not None:
        schema["minimum"] = info.at_least
    most = MAX_SAMPLES if info.name == "samples" else info.at_most
    if most is not None:
        schema["maximum"] = most
    if info.name == "machines_sha256":
        schema["pattern"] = "^[0-9a-f]{64}$"
    if info.default is not None:
        schema["default"] = info.default
    return {"name": info.name, "in": "query", "description": info.help, "schema": schema}
