"""Options that several commands share, and how they become values of the packages below."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import click

from deepsched.baselines.machines import (
    DEFAULT_BANDWIDTH,
    DEFAULT_LATENCY,
    DEFAULT_MACHINES,
    SPEED_RANGE,
)
from deepsched.baselines.readers import FORMATS
from deepsched.baselines.readers.choice import read_options
from deepsched.baselines.settings import SettingInfo, Settings, setting_infos
from deepsched.pipeline.common.numbers import AT_LEAST_0, MOST, POSITIVE, SEED, Real, Whole

if TYPE_CHECKING:
    from collections.abc import Callable

CONTEXT_SETTINGS = {"help_option_names": ["-h", "--help"]}

# Real inputs: who wants them elsewhere names the folder in the environment.
DATA_VARIABLE = "DEEPSCHED_DATA"
DATA_FOLDER = "data"  # below the current folder
TRACES = "wfinstances"  # the folder of workflow executions in it

_MACHINE_OPTIONS = (
    click.option(
        "--machines",
        metavar="N|FILE|trace",
        help="Machines for a file that brings none: a number, whose speeds are drawn log-uniform "
        f"over [{SPEED_RANGE[0]:g}, {SPEED_RANGE[1]:g}], a machines file (machines.csv, or JSON "
        "with a list of machines), or trace: the nodes that a WfFormat file was recorded on.  "
        f"[default: {DEFAULT_MACHINES} drawn machines]",
    ),
    click.option(
        "--machine-seed",
        type=SEED,
        default=0,
        show_default=True,
        help="Seed of the drawn machine speeds.",
    ),
    click.option(
        "--noise",
        type=AT_LEAST_0,
        default=0.0,
        show_default=True,
        help="Sigma of the lognormal factor between each task and machine.",
    ),
    click.option(
        "--noise-seed",
        type=SEED,
        default=0,
        show_default=True,
        help="Seed of that factor.",
    ),
    click.option(
        "--bandwidth",
        type=POSITIVE,
        help="Bytes/s of every link, in place of what the file says.  "
        f"[default: the file's, or {DEFAULT_BANDWIDTH:g}]",
    ),
    click.option(
        "--latency",
        type=AT_LEAST_0,
        help="Seconds before every transfer, in place of what the file says.  "
        f"[default: the file's, or {DEFAULT_LATENCY:g}]",
    ),
)


_FILE_OPTIONS = (
    click.option(
        "--format",
        "format_name",
        metavar="NAME",
        type=click.Choice(FORMATS, case_sensitive=False),
        help=f"Format of the file, in place of the one found by content: {', '.join(FORMATS)}.",
    ),
    click.option(
        "--runtime",
        metavar="SECONDS",
        type=Real(min=0),
        help="Runtime of each task for which the file has none.",
    ),
    click.option(
        "--delimiter",
        metavar="CHAR",
        help="Between the fields of a CSV file, in place of the one found; 'tab' is one.",
    ),
)


def machine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a file and of its machines; the command gets one `read_options`."""

    @functools.wraps(command)
    def with_read_options(
        *args: Any,
        machines: str | None,
        machine_seed: int,
        noise: float,
        noise_seed: int,
        bandwidth: float | None,
        latency: float | None,
        format_name: str | None,
        runtime: float | None,
        delimiter: str | None,
        **kwargs: Any,
    ) -> Any:
        options = read_options(
            machines,
            machine_seed=machine_seed,
            noise=noise,
            noise_seed=noise_seed,
            bandwidth=bandwidth,
            latency=latency,
            format=format_name,
            runtime=runtime,
            delimiter="\t" if delimiter in ("tab", "\\t") else delimiter,
            label="--machines",
        )
        return command(*args, read_options=options, **kwargs)

    decorated: Callable[..., Any] = with_read_options
    for option in reversed((*_FILE_OPTIONS, *_MACHINE_OPTIONS)):
        decorated = option(decorated)
    return decorated


def split_names(text: str) -> list[str]:
    """Return the names of a comma-separated list, each once, in the order given."""
    return list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def settings_options(
    kind: type[Settings], parameter: str, note: str = ""
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add one option for each public field of some settings.

    Parameters
    ----------
    parameter : of the command, which gets a dict of the fields that were given.
    note : put before the help of each option.
    """
    infos = [info for info in setting_infos(kind) if info.public]

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def with_settings(*args: Any, **kwargs: Any) -> Any:
            values = {info.name: kwargs.pop(info.name) for info in infos}
            given = {name: value for name, value in values.items() if value is not None}
            return command(*args, **{parameter: given}, **kwargs)

        decorated: Callable[..., Any] = with_settings
        for info in reversed(infos):
            decorated = _settings_option(info, note)(decorated)
        return decorated

    return decorate


def _settings_option(info: SettingInfo, note: str) -> Callable[..., Any]:
    flag = info.name.replace("_", "-")
    kind: click.ParamType[Any] = click.STRING
    if info.choices:
        kind = click.Choice(info.choices, case_sensitive=False)
    elif info.kind is int:
        least, most = (None if end is None else int(end) for end in (info.at_least, info.at_most))
        kind = Whole(least, most)
    elif info.kind is float:
        kind = Real(info.at_least, info.at_most, most=MOST)
    default = "" if info.default is None else f"  [default: {_shown(info, flag)}]"
    return click.option(
        f"--{flag}/--no-{flag}" if info.kind is bool else f"--{flag}",
        info.name,
        type=None if info.kind is bool else kind,
        default=None,
        metavar=info.metavar,
        help=f"{note}{info.help}{default}",
    )


def _shown(info: SettingInfo, flag: str) -> str:
    if info.kind is bool:
        return flag if info.default else f"no-{flag}"
    return f"{info.default:g}" if info.kind is float else str(info.default)
