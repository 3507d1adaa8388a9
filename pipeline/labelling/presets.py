"""Generated problems: named mixes of families, from which each sample draws its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from deepsched.baselines.errors import UnknownName
from deepsched.baselines.generate import FAMILIES, GeneratorSpec, generate
from deepsched.pipeline.labelling import paper_preset, training_preset
from deepsched.pipeline.labelling.sources import SEED_RANGE, pick, sample_rng, stored_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deepsched.baselines.problem import Problem
    from deepsched.pipeline.labelling.sources import Source


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Ranges from which generated problems are drawn; each tuple of values with equal chances.

    Attributes
    ----------
    samples : how many, if the user does not say.
    tasks : least and most, log-uniform between them (and at least what the family needs).
    families, machines, ccr, heterogeneity, noise, arrival_spread, memory, link_spread, latency :
        as in `GeneratorSpec`.
    """

    description: str
    samples: int
    tasks: tuple[int, int]
    machines: tuple[int, ...]
    families: tuple[str, ...] = tuple(FAMILIES)
    ccr: tuple[float, ...] = (0.1, 0.5, 1.0, 5.0)
    heterogeneity: tuple[float, ...] = (1.0, 4.0, 16.0)
    noise: tuple[float, ...] = (0.2,)
    arrival_spread: tuple[float, ...] = (0.0,)
    memory: tuple[float, ...] = (0.0,)
    link_spread: tuple[float, ...] = (1.0,)
    latency: tuple[float, ...] = (0.0,)


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "small": Preset(
            description="every feature on a few tasks, for trying things out",
            samples=50,
            tasks=(5, 40),
            machines=(2, 3, 4),
            noise=(0.0, 0.2),
            arrival_spread=(0.0, 0.5),
            memory=(0.0, 0.3),
            link_spread=(1.0, 4.0),
            latency=(0.0, 0.2),
        ),
        "demo": Preset(
            description="workflows of middle size, in place of real traces",
            samples=400,
            tasks=(20, 300),
            machines=(4, 8, 16),
        ),
    }
)


@dataclass(frozen=True, kw_only=True)
class PresetSource:
    """Generated problems: each sample draws its parameters from (seed, sample_id)."""

    name: str
    seed: int
    preset: Preset = field(repr=False)

    def problem(self, sample_id: int) -> Problem:
        """Generate the sample's problem."""
        spec, seed = self._draw(sample_id)
        return generate(spec, seed)

    @property
    def shared_machines(self) -> None:
        """None: each sample draws its own."""
        return

    def size(self, sample_id: int) -> int:
        """Return about how many bytes the stored problem has."""
        spec, _ = self._draw(sample_id)
        return stored_bytes(spec.tasks, spec.machines, matrix=spec.noise > 0)

    def label(self, sample_id: int) -> str:
        """Return the preset and the family."""
        return f"{self.name}/{self._draw(sample_id)[0].family}"

    def document(self) -> dict[str, Any]:
        """Return the preset's name and all its ranges."""
        ranges = {
            key: list(value)
            for key, value in vars(self.preset).items()
            if key not in ("description", "samples")
        }
        return {"preset": self.name, "seed": self.seed, **ranges}

    def _draw(self, sample_id: int) -> tuple[GeneratorSpec, int]:
        preset, rng = self.preset, sample_rng(self.seed, sample_id)
        family = pick(rng, preset.families)
        low, high = preset.tasks
        tasks = min(int(np.exp(rng.uniform(np.log(low), np.log(high + 1)))), high)
        spec = GeneratorSpec(
            family=family,
            tasks=max(tasks, FAMILIES[family].fewest),
            **{name: pick(rng, getattr(preset, name)) for name in _DRAWN},
        )
        return spec, int(rng.integers(SEED_RANGE))


# In this order they are drawn; a new one goes to the end.
_DRAWN = (
    "machines",
    "ccr",
    "heterogeneity",
    "noise",
    "arrival_spread",
    "memory",
    "link_spread",
    "latency",
)


def get_preset(name: str) -> Preset:
    """Return the ranges of that name.

    Raises
    ------
    UnknownName
        Listing the known ones.
    """
    if name not in PRESETS:
        raise UnknownName("preset", name, preset_names())
    return PRESETS[name]


def preset_names() -> tuple[str, ...]:
    """Return all presets, also the two that are drawn in ways of their own."""
    return (*PRESETS, paper_preset.NAME, training_preset.NAME)


def preset_source(name: str, seed: int) -> Source:
    """Return the problems of a preset, with its own ranges.

    Raises
    ------
    UnknownName
    """
    if name == paper_preset.NAME:
        return paper_preset.PaperSource(seed=seed)
    if name == training_preset.NAME:
        return training_preset.TrainingSource(seed=seed)
    return PresetSource(name=name, seed=seed, preset=get_preset(name))


def preset_samples(name: str) -> int:
    """Return how many samples a preset has, if the user does not say."""
    own = {module.NAME: module.SAMPLES for module in (paper_preset, training_preset)}
    return own[name] if name in own else get_preset(name).samples
