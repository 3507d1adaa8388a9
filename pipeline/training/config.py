"""The settings of a training: one validated model, read from a file and from the command line."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Self

import click
import yaml  # type: ignore[import-untyped]
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from deepsched.baselines.errors import InvalidInput
from deepsched.model.networks import get_network, network_config
from deepsched.pipeline.common.numbers import MOST, MOST_PROCESSES, MOST_SEED, Real, Whole
from deepsched.pipeline.common.settings import parse_model

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pydantic.fields import FieldInfo

MOST_AT_ONCE = 100_000  # rollouts of a problem, or problems or parts of a step
MOST_TASKS = 1_000_000  # of a generated problem
SCHEDULES = ("constant", "root", "cosine")
PRECISIONS = ("float32", "bf16")

# Settings under a name; files and options win over them.
RECIPES: dict[str, dict[str, Any]] = {
    # As far as the paper tells: Adam, its step size and its epochs.
    "paper": {
        "network": "paper",
        "objective": "imitation",
        "teacher": "heft",
        "epochs": 100,
        "learning_rate": 1e-5,
        "schedule": "constant",
        "weight_decay": 0.0,
        "gradient_clip": 0.0,
        "ema": 1.0,
    },
}


class TrainConfig(BaseModel):
    """Everything that decides what a training learns; `train --config` reads it as JSON or YAML.

    Each field is also an option of the command line (`learning_rate` is `--learning-rate`), which
    wins over the file. What is None is filled in by `complete`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("network", "objective", mode="before")
    @classmethod
    def _any_case(cls, value: Any) -> Any:
        return value.lower().replace("_", "-") if isinstance(value, str) else value

    network: str = Field("deepsched", description="Network to train, by its name in NETWORKS.")
    network_options: dict[str, Any] = Field(
        default_factory=dict, description="Options of the network, such as its width."
    )
    objective: str | None = Field(
        None,
        description="What it is trained by: policy-gradient or imitation; default the first that "
        "the network has.",
    )
    imitation_steps: int = Field(
        0, ge=0, le=MOST, description="Steps of imitation before those of another objective."
    )
    teacher: str | None = Field(
        None,
        description="Teacher whose schedules are imitated; default best-of for deepsched, heft for "
        "paper.",
    )
    steps: int | None = Field(
        None, ge=1, le=MOST, description="Optimiser steps; default 3000 on generated problems."
    )
    epochs: int | None = Field(
        None,
        ge=1,
        le=MOST,
        description="Passes over the training samples of a dataset; default 20.",
    )
    micro_batches: int = Field(
        2,
        ge=1,
        le=MOST_AT_ONCE,
        description="Micro-batches of a step, which training processes share; their gradients are "
        "added up in a fixed order.",
    )
    problems_per_micro_batch: int = Field(
        8, ge=1, le=MOST_AT_ONCE, description="Generated problems in a micro-batch."
    )
    tasks_per_micro_batch: int = Field(
        2048,
        ge=1,
        le=MOST,
        description="Most tasks of a dataset's samples in a micro-batch; a larger one goes alone.",
    )
    pairs_per_micro_batch: int = Field(
        1_000_000, ge=1, le=MOST, description="Most task-machine pairs in a micro-batch, likewise."
    )
    rollouts: int = Field(
        32,
        ge=4,
        le=MOST_AT_ONCE,
        multiple_of=2,
        description="Perturbed decodes of each problem and head; even.",
    )
    staleness: int = Field(
        0,
        ge=0,
        le=MOST,
        description="Steps by which rollouts run ahead: they are those of the weights so many "
        "steps before, and the learner need not wait for them.",
    )
    turnaround: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Share of the problems whose mean turnaround is made short, not their "
        "makespan; default 0.3 with policy-gradient, else 0.",
    )
    least_tasks: int = Field(
        20, ge=8, le=MOST_TASKS, description="Least tasks of a generated problem."
    )
    most_tasks: int = Field(
        500, ge=8, le=MOST_TASKS, description="Most tasks of it; log-uniform between."
    )
    learning_rate: float | None = Field(
        None,
        gt=0,
        description="Step size of Adam at the start; default 1e-3 for deepsched, 4e-3 "
        "for paper (the paper used 1e-5 with 100 epochs).",
    )
    schedule: str | None = Field(
        None, description="How the step size falls: constant, root or cosine."
    )
    warmup_steps: int = Field(
        0, ge=0, le=MOST, description="Steps over which the step size rises at first."
    )
    early_stop: int | None = Field(
        None,
        ge=1,
        le=MOST,
        description="Validations in a row without a new best after which training ends.",
    )
    ema: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Share of the newest weights in the running mean, which is what is kept; 1: "
        "the newest themselves.",
    )
    weight_decay: float = Field(0.0, ge=0, description="Decoupled weight decay; 0 is plain Adam.")
    gradient_clip: float = Field(
        1.0, ge=0, description="Largest norm of the gradient; 0 clips nothing."
    )
    mse_weight: float = Field(
        1.0,
        ge=0,
        description="Weight of paper's start and finish errors beside the machine's.",
    )
    precision: str | None = Field(
        None,
        description="Of forward and backward passes: float32, or bf16 (autocast); default bf16 on "
        "a GPU, else float32.",
    )
    compile: bool = Field(
        False, description="Compile the network's layers first, which takes some seconds."
    )
    deterministic: bool = Field(
        False,
        description="On GPUs, make the same seed and number of them give the same weights, which "
        "costs some speed; on CPUs it is always so.",
    )
    seed: int = Field(
        0, ge=0, lt=2**31, description="Of the weights, the problems, their order, the rollouts."
    )
    check_every: int | None = Field(
        None,
        ge=1,
        le=MOST,
        description="Steps between two validations; default 250 on generated problems, else an "
        "epoch.",
    )
    development: int = Field(
        200, ge=1, le=MOST, description="Problems of a validation, at most; they are decoded."
    )
    checkpoint_seconds: float = Field(
        300.0,
        gt=0,
        le=MOST,
        description="Seconds between two checkpoints, beside those of validations.",
    )
    workers: int | None = Field(
        None,
        ge=0,
        le=MOST_PROCESSES,
        description="Training processes; 0: in this process, without Ray; default one a GPU, else "
        "1 up to 3 CPUs and 2 from 4 on. They change no weight on CPUs.",
    )
    max_workers: int | None = Field(
        None,
        ge=1,
        le=MOST_PROCESSES,
        description="Where room for more processes comes up, go on with as many as this, and with "
        "as few as --workers where it goes.",
    )
    rollout_workers: int = Field(
        0,
        ge=0,
        le=MOST_PROCESSES,
        description="Ray tasks that run rollouts, besides; 0: the training processes do.",
    )
    limit_samples: int | None = Field(
        None,
        ge=1,
        le=MOST,
        description="Train on only so many samples, the first of the training split.",
    )
    cache_mb: int = Field(
        1024,
        ge=0,
        le=MOST,
        description="MB of a dataset's samples that a process keeps; more is read again.",
    )
    max_failures: int = Field(
        3,
        ge=0,
        le=MOST,
        description="Worker crashes within an hour after which the training still goes on from "
        "its last checkpoint.",
    )

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        if self.least_tasks > self.most_tasks:
            raise ValueError("least_tasks is more than most_tasks")
        if self.schedule is not None and self.schedule not in SCHEDULES:
            raise ValueError(f"schedule is one of {', '.join(SCHEDULES)}")
        if self.precision is not None and self.precision not in PRECISIONS:
            raise ValueError(f"precision is one of {', '.join(PRECISIONS)}")
        if self.max_workers is not None and (self.workers or 1) > self.max_workers:
            raise ValueError("max_workers is less than workers")
        if self.steps is not None and self.epochs is not None:
            raise ValueError("give steps or epochs, not both")
        if self.max_workers is not None and self.workers == 0:
            raise ValueError("max_workers are processes of Ray: they need workers, at least 1")
        if self.rollout_workers and self.max_workers is not None:
            raise ValueError("max_workers would take the CPUs that rollout_workers need")
        if self.rollout_workers and self.workers == 0:
            raise ValueError("rollout_workers are Ray tasks: they need workers, at least 1")
        return self


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

    Where `options` name a recipe, it comes between the base and the file.

    Parameters
    ----------
    options : by field; None where an option was not given.

    Raises
    ------
    InvalidInput
        Naming the file or the command line, and the field.
    """
    given = {name: value for name, value in options.items() if value is not None}
    recipe = RECIPES[given.pop("recipe")] if "recipe" in given else {}
    merged: dict[str, Any] = {}
    for values in (base or {}, recipe, read_config(path) if path else {}, given):
        network_options = merged.get("network_options", {})
        if values.get("network", merged.get("network")) != merged.get("network"):
            network_options = {}  # those of another network
        network_options = {**network_options, **values.get("network_options", {})}
        for name, other in (("steps", "epochs"), ("epochs", "steps")):
            if values.get(name) is not None:
                merged.pop(other, None)  # one of them counts: the one that was given last
        merged = {**merged, **values, "network_options": network_options}
    return make_config(merged, where="command line")


def complete(config: TrainConfig, *, generated: bool) -> TrainConfig:
    """Return the settings with every default filled in, and checked against the network.

    Parameters
    ----------
    generated : the problems are endless; else those of a dataset.

    Raises
    ------
    UnknownName
        If there is no such network.
    InvalidInput
        If the network has no such option or objective, or a setting does not go with another.
    """
    network = get_network(config.network)
    objective = config.objective or next(iter(network.objectives))
    if objective not in network.objectives:
        raise InvalidInput(
            f"objective {objective!r}: the network {config.network} is trained by "
            f"{' or '.join(network.objectives)}"
        )
    if config.imitation_steps and "imitation" not in network.objectives:
        raise InvalidInput(f"imitation_steps: the network {config.network} does not imitate")
    if generated and config.epochs is not None:
        raise InvalidInput("epochs: generated problems have no end; give steps")
    imitates = objective == "imitation"
    for name in ("staleness", "rollout_workers"):
        if imitates and getattr(config, name):
            raise InvalidInput(f"{name}: there are no rollouts in imitation")
    filled: dict[str, Any] = {
        "network_options": asdict(
            network_config(config.network, config.network_options, "network_options")
        ),
        "objective": objective,
        "turnaround": 0.0 if imitates else 0.3,
        **network.training,
    }
    if generated:
        filled |= {"steps": 3000, "check_every": 250}
    elif config.steps is None:
        filled |= {"epochs": 20}
    values = config.model_dump()
    unset = {name: value for name, value in filled.items() if values[name] is None}
    options = {"network_options": filled["network_options"]}
    return config.model_copy(update=unset | options)


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
            option = _option(name, field)
        command = option(command)
    return command


def _option(name: str, field: FieldInfo) -> Callable[..., Any]:
    words = name.replace("_", "-")
    if field.annotation is bool:
        return click.option(
            f"--{words}/--no-{words}", name, default=None, help=str(field.description)
        )
    default = "" if field.default is None else f"  [default: {field.default}]"
    return click.option(
        f"--{words}",
        name,
        type=_CLICK_TYPES[str(field.annotation)],
        help=f"{field.description}{default}",
    )


_CLICK_TYPES: dict[str, click.ParamType[Any]] = {
    str(int): Whole(most=MOST_SEED),
    str(float): Real(),
    str(str): click.STRING,
    str(int | None): Whole(most=MOST_SEED),
    str(float | None): Real(),
    str(str | None): click.STRING,
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
