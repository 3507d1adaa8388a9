"""Sources of problems for tests of labelling, and one shard by its number."""

from __future__ import annotations

from deepsched.pipeline.labelling.presets import PresetSource
from deepsched.pipeline.labelling.shard import label_shard
from deepsched.pipeline.labelling.spec import LabelSpec, Shard, ShardReport, plan_shards


class Even:
    """All problems count as one byte: `shard_bytes` is then the number of samples a shard."""

    @property
    def shared_machines(self) -> None:
        return None

    def size(self, sample_id: int) -> int:
        return 1


class EvenPreset(Even, PresetSource):
    """A preset so divided."""


def shards_of(spec: LabelSpec) -> list[Shard]:
    return plan_shards(spec.source, spec.samples, spec.shard_bytes)


def make_shard(k: int, spec: LabelSpec) -> ShardReport:
    return label_shard(shards_of(spec)[k], spec)
