"""The description of the interface: valid, complete, and what is really answered."""

from __future__ import annotations

import json
from typing import Any

import pytest
import schemathesis
from jsonschema import Draft202012Validator
from starlette.routing import Route

from deepsched.baselines.settings import setting_infos
from deepsched.model.networks.deepsched.options import DeepSchedOptions
from deepsched.pipeline.serving.gateway import OPEN, Gateway
from deepsched.pipeline.serving.openapi import ENDPOINTS, document
from deepsched.pipeline.serving.pages import page_routes
from deepsched.pipeline.serving.query import MAX_SAMPLES, QuerySettings
from deepsched.pipeline.serving.settings import ServeArgs
from deepsched.pipeline.serving.work import work
from deepsched.pipeline.wire import models
from tests.pipeline.serving.asgi import MODEL, ask, get, opened
from tests.pipeline.serving.examples import SMALL, asked, value
from tests.pipeline.serving.loops import in_a_loop

DESCRIPTION: dict[str, Any] = json.loads(document(ServeArgs()))
OPERATIONS = {
    (method.upper(), path): operation
    for path, operations in DESCRIPTION["paths"].items()
    for method, operation in operations.items()
}
# The statuses that the service answers on purpose.
DELIBERATE = {
    200, 202, 204, 304, 400, 401, 404, 405, 406, 408, 409, 410, 413, 415, 429, 431, 503, 504,
}  # fmt: skip


def schema_of(name: str) -> dict[str, Any]:
    """Return a schema of the description that stands by itself."""
    return {"$ref": f"#/components/schemas/{name}", "components": DESCRIPTION["components"]}


def errors(name: str, found: Any) -> list[str]:
    return [error.message for error in Draft202012Validator(schema_of(name)).iter_errors(found)]


def test_it_is_openapi_3_1():
    schema = schemathesis.openapi.from_dict(DESCRIPTION)
    schema.validate()
    assert schema.specification.version.startswith("3.1")
    assert len(list(schema.get_all_operations())) == len(OPERATIONS)
    for operation in schema.get_all_operations():
        assert operation.ok()


@in_a_loop
async def test_every_route_is_described_and_every_description_is_a_route():
    async with opened() as gateway:
        routes = gateway.__serve_build_asgi_app__().routes
    pages = {route.path for route in page_routes()}
    served = set()
    for route in routes:
        assert isinstance(route, Route)
        if route.path not in pages:
            served |= {(method, route.path) for method in route.methods or () if method != "HEAD"}
    assert served == set(OPERATIONS) == {(end.method, end.path) for end in ENDPOINTS}
    assert all(callable(getattr(Gateway, end.name)) for end in ENDPOINTS)


def test_names_are_unique_and_places_in_paths_are_parameters():
    names = [operation["operationId"] for operation in OPERATIONS.values()]
    assert len(set(names)) == len(names)
    for (_, path), operation in OPERATIONS.items():
        inside = {part[1:-1] for part in path.split("/") if part.startswith("{")}
        declared = {one["name"] for one in operation["parameters"] if one["in"] == "path"}
        assert inside == declared
        assert all(one["required"] for one in operation["parameters"] if one["in"] == "path")


def test_every_answer_has_its_model_with_all_fields():
    schemas = DESCRIPTION["components"]["schemas"]
    kinds = [
        kind
        for kind in vars(models).values()
        if isinstance(kind, type) and issubclass(kind, models.Record) and kind is not models.Record
    ]
    for kind in kinds:
        assert set(schemas[kind.__name__]["properties"]) == set(kind.model_fields), kind


def test_every_reference_leads_somewhere():
    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            here = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return here + [one for part in value.values() for one in references(part)]
        return (
            [one for part in value for one in references(part)] if isinstance(value, list) else []
        )

    for reference in references(DESCRIPTION):
        found: Any = DESCRIPTION
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]


@pytest.mark.parametrize("path", ["/v1/schedule", "/v1/schedule:batch", "/v1/jobs"])
def test_every_parameter_of_a_query_is_described_with_its_bounds(path):
    parameters = {
        one["name"]: one["schema"]
        for one in OPERATIONS["POST", path]["parameters"]
        if one["in"] == "query"
    }
    public = [info for info in setting_infos(DeepSchedOptions) if info.public]
    assert set(parameters) == {info.name for info in (*setting_infos(QuerySettings), *public)}
    assert parameters["samples"]["maximum"] == MAX_SAMPLES
    assert parameters["machines"]["minimum"] == 1
    assert parameters["objective"]["enum"] == ["makespan", "turnaround"]
    assert parameters["machines_sha256"]["pattern"] == "^[0-9a-f]{64}$"


def test_statuses_are_deliberate_and_say_what_they_mean():
    for operation in OPERATIONS.values():
        for status, response in operation["responses"].items():
            assert int(status) in DELIBERATE
            assert response["description"]
            if status == "503" and "ready" not in operation["operationId"]:
                assert "Retry-After" in response["headers"]


def test_what_needs_a_token_says_how_it_is_refused_without():
    for (_, path), operation in OPERATIONS.items():
        name = next(end.name for end in ENDPOINTS if end.path == path)
        assert ("401" in operation["responses"]) == (name not in OPEN)


def test_limits_are_those_of_the_service_that_is_asked():
    assert '"max_tasks":77' in json.loads(document(ServeArgs(max_tasks=77)))["info"]["description"]


def test_the_example_is_a_problem_that_the_service_answers(networks):
    content = OPERATIONS["POST", "/v1/schedule"]["requestBody"]["content"]
    [example] = content["application/json"]["schema"]["examples"]
    found = value(work(asked(example, "edges=true"), networks, ServeArgs()))
    assert errors("ScheduleAnswer", found) == []
    batch = {"problems": [example, {}, SMALL]}
    found = value(work(asked(batch, many=True), networks, ServeArgs()))
    assert errors("BatchAnswer", found) == []


@in_a_loop
async def test_answers_of_the_gateway_are_what_is_described():
    async with opened() as gateway:
        for path, name in (
            ("/v1/schedulers", "SchedulersAnswer"), ("/v1/models", "ModelsAnswer"),
            ("/v2/health/live", "Live"), ("/v2/health/ready", "Ready"), ("/health", "Ready"),
        ):  # fmt: skip
            reference = OPERATIONS["GET", path]["responses"]["200"]["content"]["application/json"]
            assert reference["schema"] == {"$ref": f"#/components/schemas/{name}"}
            assert errors(name, (await get(gateway, path)).json) == []
        assert errors("Fault", (await ask(gateway, query="colour=red")).json) == []
        assert json.loads((await get(gateway, "/openapi.json")).body) == DESCRIPTION
    assert errors("Model", MODEL) == []
    assert errors("Model", {"name": 7}) != []
