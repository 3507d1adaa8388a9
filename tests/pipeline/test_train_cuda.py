"""Training on a GPU; skipped where there is none."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
import torch

from deepsched.pipeline.training.course import make_course
from deepsched.pipeline.training.loop import fit
from deepsched.pipeline.training.peers import Peers
from tests.pipeline.training_helpers import (
    GENERATED,
    PAPER,
    Notebook,
    config,
    same_weights,
    tiny_dataset,
    weights,
)

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.mark.parametrize("base", [GENERATED, PAPER], ids=["deepsched", "paper"])
def test_a_gpu_learns_as_a_cpu_does_and_the_same_twice_if_asked(
    base: dict[str, Any], tmp_path: Path
) -> None:
    data = None if base is GENERATED else tiny_dataset(tmp_path / "data", 30)
    more: dict[str, Any] = {} if data is None else {"epochs": 2}

    def train(name: str, device: str, **options: Any) -> Notebook:
        notebook = Notebook(tmp_path / name, every_step=True)
        course = make_course(data, config(base, **more, **options))
        fit(course, reporter=notebook, peers=Peers(device=device))
        return notebook

    cpu = train("cpu", "cpu")
    gpu = train("gpu", "cuda", precision="float32", deterministic=True)
    again = train("again", "cuda", precision="float32", deterministic=True)
    short = train("short", "cuda")
    last = cpu.steps[-1]
    assert same_weights(gpu.at(last), again.at(last))
    assert not same_weights(gpu.at(last), short.at(last))
    a, b = weights(cpu.at(last)), weights(gpu.at(last))
    assert max(float((a[key] - b[key]).abs().max()) for key in a) < 0.05
    assert all(math.isfinite(float(v.sum())) for v in weights(short.at(last)).values())
    (one, *_), (other, *_) = cpu.records, gpu.records
    assert other["score"] == pytest.approx(one["score"], rel=0.05)
