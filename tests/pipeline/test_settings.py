"""Settings that a user gives: a mistake is one line that names the place and the field."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from deepsched.baselines.errors import InvalidInput
from deepsched.pipeline.common.settings import parse_model
from deepsched.pipeline.serving.settings import ServeArgs
from deepsched.pipeline.training.config import TrainConfig
from tests.pipeline.cli_helpers import deepsched_here


class Inner(BaseModel):
    """A part of settings."""

    depth: int = Field(ge=1)


class Some(BaseModel):
    """Settings with everything that can be wrong."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    width: int = Field(4, ge=1)
    inner: Inner = Inner(depth=1)


def test_values_over_defaults() -> None:
    assert parse_model(Some, {"name": "x"}, "here") == Some(name="x", width=4)
    assert parse_model(Some, {"name": "x", "inner": {"depth": 3}}, "here").inner.depth == 3


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"name": "x", "wdth": 3}, "here: unknown field 'wdth'; one of: name, width, inner"),
        ({"name": "x", 1: 2}, "here: unknown field '1'; one of: name, width, inner"),
        (
            {"name": "x", "width": 0},
            "here: width = 0: Input should be greater than or equal to 1",
        ),
        ({"name": 5}, "here: name = 5: Input should be a valid string"),
        (
            {"name": "x", "inner": {"depth": 0}},
            "here: inner.depth = 0: Input should be greater than or equal to 1",
        ),
        ({}, "here: name is missing"),
    ],
)
def test_the_first_mistake_is_named(values: dict[Any, Any], said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_model(Some, values, "here")
    assert str(caught.value) == said


@pytest.mark.parametrize("kind", [TrainConfig, ServeArgs])
def test_settings_of_stages_are_settings(kind: type[BaseModel]) -> None:
    assert parse_model(kind, {}, "here") == kind()
    for name, field in kind.model_fields.items():
        if field.annotation in (int, float):
            with pytest.raises(InvalidInput, match=f"here: {name} = 'much': "):
                parse_model(kind, {name: "much"}, "here")


def test_options_of_the_service_have_the_ranges_of_its_settings(
    capsys: pytest.CaptureFixture[str],
) -> None:
    done = deepsched_here(capsys, "serve", "--replicas", 20_000)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "deepsched: Invalid value for '--replicas': replicas 20000: it must be at most 10000.\n"
    )
