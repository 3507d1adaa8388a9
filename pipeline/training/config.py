"""The settings of a training: one validated model, read from a file and from the command line."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click
import yaml  # type: ignore[import-untyped]
from pydantic import BaseModel, ConfigDict, Field

from deepsched.baselines.errors import InvalidInput
from deepsched.model.networks import network_config
from deepsched.pipeline.common.settings import parse_model

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


TRAINABLE = ("paper",)  # the networks whose batches the loop of `train` can make


class TrainConfig(BaseModel):
    """Everything that decides what a training learns; `train --config` reads it as JSON or YAML.

    Each field is also an option of the command line (`learning_rate` is `--learning-rate`), which
    wins over the file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    network: str = Field("paper", description="Network to train, by its name in NETWORKS.")
    network_options: dict[str, Any] = Field(
        default_factory=dict, description="Options of the network, such as its width."
    )
    teacher: str = Field("heft", description="Teacher whose schedules are imitated.")
    epochs: int = Field(20, ge=1, description="Passes over the training samples.")
    learning_rate: float = Field(
        4e-3, gt=0, description="Step size of Adam (the paper used 1e-5 with 100 epochs)."
    )
    tasks_per_batch: int = Field(
        4096, ge=1, description="Tasks a step, over all workers; a larger problem is a step alone."
    )
    weight_decay: float = Field(0.0, ge=0, description="Decoupled weight decay; 0 is plain Adam.")
    gradient_clip: float = Field(
        1.0, ge=0, description="Largest norm of the gradient; 0 clips nothing."
    )
    mse_weight: float = Field(
        1.0, ge=0, description="Weight of the start and finish errors beside the machine's."
    )
    seed: int = Field(0, ge=0, lt=2**31, description="Seed of the weights and of the batch order.")
    workers: int | None = Field(
        None,
        ge=1,
        description="Training processes; default one a GPU, else 1 up to 3 CPUs and 2 from 4 on.",
    )
    limit_samples: int | None = Field(
        None, ge=1, description="Train on only so many samples, the first of the training split."
    )
    cache_mb: int = Field(
        1024, ge=0, description="MB of encoded samples a worker keeps; more is read every epoch."
    )
    max_failures: int = Field(
        3, ge=0, description="Worker crashes after which the training goes on from its checkpoint."
    )


def read_config(path: Path) -> dict[str, Any]:
    """Return the fields that a JSON or YAML file sets, checked.

    Raises
    ------
    InvalidInput
        If the file cannot be read, is no mapping, or a field is unknown or out of range; the
        message names the file and the field.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: cannot be read as text: {error}") from None
    try:
        # YAML is asked last: it accepts nearly any text and words its errors for YAML.
        values = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        kind = "JSON" if path.suffix == ".json" else "YAML"
        raise InvalidInput(f"{path}: not valid {kind}: {error}") from None
    if not isinstance(values, dict):
        raise InvalidInput(f"{path}: the settings must be one mapping of field to value")
    make_config(values, where=str(path))
    return values


def make_config(values: Mapping[str, Any], *, where: str) -> TrainConfig:
    """Return the checked settings.

    Raises
    ------
    InvalidInput
        Naming `where` and the field, for an unknown field or an illegal value.
    """
    return parse_model(TrainConfig, values, where)


def merged_config(
    path: Path | None, options: Mapping[str, Any], *, base: Mapping[str, Any] | None = None
) -> TrainConfig:
    """Return the settings of a file over those of `base`, and the options given over both.

    Parameters
    ----------
    options : by field; None where an option was not given.

    Raises
    ------
    InvalidInput
        Naming the file or the command line, and the field.
    """
    given = {name: value for name, value in options.items() if value is not None}
    merged: dict[str, Any] = {}
    for values in (base or {}, read_config(path) if path else {}, given):
        network_options = merged.get("network_options", {})
        if values.get("network", merged.get("network")) != merged.get("network"):
            network_options = {}  # those of another network
        network_options = {**network_options, **values.get("network_options", {})}
        merged = {**merged, **values, "network_options": network_options}
    return make_config(merged, where="command line")


def complete(config: TrainConfig) -> TrainConfig:
    """Return the settings with all of the network's own, checked.

    Raises
    ------
    InvalidInput
        If the network is not one of `TRAINABLE`, or has no such option or value.
    """
    if config.network not in TRAINABLE:
        raise InvalidInput(
            f"network {config.network!r}: {', '.join(TRAINABLE)} is trained here; `deepsched "
            "improve` trains deepsched"
        )
    options = asdict(network_config(config.network, config.network_options, "network_options"))
    return config.model_copy(update={"network_options": options})


def config_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add one option per field of :class:`TrainConfig`; an option not given is None."""
    for name, field in reversed(TrainConfig.model_fields.items()):
        if name == "network_options":
            option = click.option(
                "--network-option",
                "network_options",
                metavar="KEY=VALUE",
                multiple=True,
                callback=_key_values,
                help="An option of the network; may be repeated.",
            )
        else:
            default = "" if field.default is None else f"  [default: {field.default}]"
            option = click.option(
                f"--{name.replace('_', '-')}",
                name,
                type=_CLICK_TYPES[str(field.annotation)],
                help=f"{field.description}{default}",
            )
        command = option(command)
    return command


_CLICK_TYPES: dict[str, click.ParamType[Any]] = {
    str(int): click.INT,
    str(float): click.FLOAT,
    str(str): click.STRING,
    str(int | None): click.INT,
}


def _key_values(
    context: click.Context, parameter: click.Parameter, pairs: tuple[str, ...]
) -> dict[str, Any] | None:
    values = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"{pair!r} is not KEY=VALUE", context, parameter)
        try:
            values[key] = json.loads(text)
        except ValueError:  # a bare word
            values[key] = text
    return values or None
