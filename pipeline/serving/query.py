"""The query of a request: what each parameter is, and what may be given together."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.readers import ReadOptions
from deepsched.baselines.settings import Settings, parse_settings, setting, setting_infos
from deepsched.model.networks.deepsched.options import DeepSchedOptions, default_samples
from deepsched.pipeline.serving.refusals import RequestError, shorten

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from deepsched.baselines.machines import Machines

MAX_SAMPLES = 256
SHA256 = re.compile("[0-9a-f]{64}")
LARGEST_SEED = 2**63 - 1
OPTIONS = tuple(info.name for info in setting_infos(DeepSchedOptions) if info.public)


@dataclass(frozen=True, kw_only=True)
class QuerySettings(Settings):
    """The query of `POST /v1/schedule` but for the network's options."""

    scheduler: str | None = setting(None, "Name of the scheduler.")
    seed: int = setting(0, "Random stream of it.", at_least=0, at_most=LARGEST_SEED)
    machines: int | None = setting(None, "Machines to draw.", at_least=1)
    machine_seed: int = setting(0, "Seed of their speeds.", at_least=0, at_most=LARGEST_SEED)
    noise: float = setting(0.0, "Sigma of the lognormal task-machine factor.", at_least=0)
    noise_seed: int = setting(0, "Seed of that factor.", at_least=0, at_most=LARGEST_SEED)
    bandwidth: float | None = setting(None, "Bytes/s of every link.", at_least=0)
    latency: float | None = setting(None, "Seconds before every transfer.", at_least=0)
    trace_machines: bool = setting(False, "Run on the nodes that the workflow was recorded on.")
    runtime: float | None = setting(
        None, "Seconds that each task takes for which the workflow says none.", at_least=0
    )
    machines_sha256: str | None = setting(None, "Hash of machines that were sent before.")
    edges: bool = setting(False, "Answer with the graph and all machines' names, too.")

    def read_options(self, shared: Machines | None = None) -> ReadOptions:
        """Return what the reader needs.

        Parameters
        ----------
        shared : the machines that the query names by their hash.
        """
        return ReadOptions(
            machines=shared,
            n_machines=self.machines,
            machine_seed=self.machine_seed,
            noise=self.noise,
            noise_seed=self.noise_seed,
            bandwidth=self.bandwidth,
            latency=self.latency,
            trace_machines=self.trace_machines,
            runtime=self.runtime,
        )


@dataclass(frozen=True, kw_only=True)
class Query:
    """What a query asks for; what is not given stays at its default.

    Attributes
    ----------
    settings : all but the network's options.
    options : those fields of `DeepSchedOptions` that were given, checked.
    """

    settings: QuerySettings = field(default_factory=QuerySettings)
    options: Mapping[str, Any] = field(default_factory=dict)

    def samples(self, tasks: int, machines: int) -> int:
        """Return how many schedules the network will decode for a problem of that size."""
        return self.options.get("samples") or default_samples(tasks, machines)

    def with_scheduler(self, name: str) -> Query:
        """Return the query with the scheduler's name as the table has it."""
        return replace(self, settings=replace(self.settings, scheduler=name))


def parse_query(pairs: Iterable[tuple[str, str]]) -> Query:
    """Return the checked query.

    Raises
    ------
    RequestError
        400, naming the parameter.
    """
    values: dict[str, str] = {}
    for key, value in pairs:
        if key in values:
            raise RequestError(400, f"query parameter {key!r} is given twice")
        values[key] = value
    asked = {name: text for name, text in values.items() if name in OPTIONS}
    others = {shorten(name, 40): text for name, text in values.items() if name not in OPTIONS}
    known = (*(info.name for info in setting_infos(QuerySettings)), *OPTIONS)
    for name in others:
        if name not in known:
            raise RequestError(400, f"unknown query parameter {name!r}; one of: {', '.join(known)}")
    try:
        settings = parse_settings(QuerySettings, others, "query", from_text=True)
        settings.read_options()
        checked = parse_settings(DeepSchedOptions, asked, "query", from_text=True)
    except InvalidInput as error:
        raise RequestError(400, str(error)) from None
    sha256 = settings.machines_sha256
    if sha256 is not None and not SHA256.fullmatch(sha256):
        raise RequestError(400, "query: machines_sha256 must be 64 hexadecimal digits")
    if sha256 is not None and settings.machines is not None:
        raise RequestError(400, "query: give either machines or machines_sha256, not both")
    if checked.samples is not None and checked.samples > MAX_SAMPLES:
        raise RequestError(400, f"query: samples = {checked.samples}; at most {MAX_SAMPLES} here")
    return Query(settings=settings, options={name: getattr(checked, name) for name in asked})
