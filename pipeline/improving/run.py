"""Steps of policy gradient: micro-batches in parallel, one step, now and then a look at it."""

from __future__ import annotations

import copy
import io
import json
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from deepsched.baselines.atomic import write_bytes, write_text
from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.heft import heft
from deepsched.model.checkpoint import save_checkpoint
from deepsched.model.networks.deepsched.decode import decode_schedule
from deepsched.model.networks.deepsched.forward import forward_pass
from deepsched.model.networks.deepsched.network import DeepSchedNetwork
from deepsched.model.networks.deepsched.options import NAME, OBJECTIVES
from deepsched.pipeline.common.provenance import provenance
from deepsched.pipeline.common.ray_session import ray_session
from deepsched.pipeline.common.ray_tasks import ray_map
from deepsched.pipeline.improving.gradient import MicroBatch, learn_micro_batch
from deepsched.pipeline.improving.problems import development_problems
from deepsched.pipeline.improving.spec import CHECKPOINT, ImproveSpec, StepSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from deepsched.baselines.problem import Problem

STATE, HISTORY = "state.pt", "history.json"
AVERAGED = 0.02  # share of the newest weights in the running mean, which is what is kept
CLIP = 1.0  # largest norm of a step's gradient
LEAST_RATE = 0.02  # share of the learning rate that is left at the end


@dataclass(kw_only=True)
class _State:
    network: DeepSchedNetwork
    mean: DeepSchedNetwork
    optimizer: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0
    best: float = float("inf")
    history: list[dict[str, float]] = field(default_factory=list)


def improve(
    out: Path,
    spec: ImproveSpec,
    *,
    workers: int | None = None,
    address: str | None = None,
    resume: bool = False,
    on_step: Callable[[int], None] = lambda step: None,
    on_check: Callable[[dict[str, float]], None] = lambda record: None,
) -> list[dict[str, float]]:
    """Improve a network from HEFT on, and keep the best one in `out`/checkpoint.

    The result does not depend on the number of workers, nor on interruptions between checks.

    Parameters
    ----------
    workers : Ray tasks at once; 0: in this process. None: as many as there are micro-batches.
    resume : go on with what `out` holds.

    Returns
    -------
    One record a check: step, seconds, mean ratio to HEFT in training, and on the development
    problems for each objective, with and without guard.

    Raises
    ------
    InvalidInput
        If `out` holds another improvement, or one and `resume` is not set.
    """
    state = _start(out, spec, resume)
    problems = development_problems(spec.development, spec.step.tasks)
    if state.step >= spec.steps:
        return state.history
    if workers == 0:
        _run(out, spec, state, problems, _here, on_step, on_check)
    else:
        with ray_session(address=address, num_cpus=workers or spec.micro_batches):
            room = workers or spec.micro_batches

            def on_ray(
                places: Iterable[tuple[int, int]], shared: tuple[StepSpec, dict[str, np.ndarray]]
            ) -> Iterable[MicroBatch]:
                return ray_map(learn_micro_batch, places, shared, room=lambda: room, max_retries=-1)

            _run(out, spec, state, problems, on_ray, on_step, on_check)
    return state.history


def _here(
    places: Iterable[tuple[int, int]], shared: tuple[StepSpec, dict[str, np.ndarray]]
) -> Iterable[MicroBatch]:
    return (learn_micro_batch(place, shared) for place in places)


def _run(
    out: Path,
    spec: ImproveSpec,
    state: _State,
    problems: list[Problem],
    run: Callable[..., Iterable[MicroBatch]],
    on_step: Callable[[int], None],
    on_check: Callable[[dict[str, float]], None],
) -> None:
    begin, before = time.perf_counter(), state.seconds
    trained: list[np.ndarray] = []
    while state.step < spec.steps:
        weights = _arrays(state.network)
        places = [(state.step, k) for k in range(spec.micro_batches)]
        # In a fixed order: the last bits of a sum depend on it.
        learned = sorted(run(places, (spec.step, weights)), key=lambda found: found.number)
        _step(state, spec, np.mean([found.gradient for found in learned], axis=0))
        state.step += 1
        state.seconds = before + time.perf_counter() - begin
        trained += [found.ratios for found in learned]
        on_step(state.step)
        if state.step % spec.check_every == 0 or state.step == spec.steps:
            record = {
                "step": float(state.step),
                "seconds": round(state.seconds, 1),
                "training": float(np.concatenate(trained).mean()),
                **measure(_arrays(state.mean), problems, spec.step.network.decode),
            }
            trained.clear()
            _keep(out, spec, state, record)
            on_check(record)


def _step(state: _State, spec: ImproveSpec, gradient: np.ndarray) -> None:
    first = 0
    for parameter in state.network.parameters():
        part = gradient[first : first + parameter.numel()].reshape(tuple(parameter.shape))
        parameter.grad = torch.from_numpy(part.astype(np.float32))
        first += parameter.numel()
    nn.utils.clip_grad_norm_(state.network.parameters(), CLIP)
    left = 1.0 - state.step / spec.steps
    for group in state.optimizer.param_groups:
        group["lr"] = spec.learning_rate * max(left**0.5, LEAST_RATE)
    state.optimizer.step()
    with torch.no_grad():
        for mean, newest in zip(state.mean.parameters(), state.network.parameters(), strict=True):
            mean.lerp_(newest, AVERAGED)


def measure(
    weights: dict[str, np.ndarray], problems: list[Problem], decode: str = "full"
) -> dict[str, float]:
    """Return the mean ratio of each objective to HEFT's, without guard and with it."""
    found: dict[str, float] = {}
    for objective in OBJECTIVES:
        ratios = []
        for problem in problems:
            view, outputs, _ = forward_pass(weights, problem, objective, decode)
            own = decode_schedule(problem, view, outputs, NAME)
            other = heft(problem)
            if objective == "makespan":
                ratio = own.makespan / other.makespan
            else:
                ratio = float(
                    (own.aft - problem.arrival).mean() / (other.aft - problem.arrival).mean()
                )
            ratios.append(ratio)
        found[objective] = float(np.mean(ratios))
        found[f"{objective}_guarded"] = float(np.minimum(ratios, 1.0).mean())
    return found


def _arrays(network: nn.Module) -> dict[str, np.ndarray]:
    return {key: value.detach().numpy().copy() for key, value in network.state_dict().items()}


def _start(out: Path, spec: ImproveSpec, resume: bool) -> _State:
    torch.manual_seed(spec.step.seed)
    network = DeepSchedNetwork(spec.step.network)
    mean = copy.deepcopy(network)
    state = _State(
        network=network,
        mean=mean,
        optimizer=torch.optim.Adam(network.parameters(), spec.learning_rate),
    )
    path = out / STATE
    if not path.exists():
        return state
    if not resume:
        raise InvalidInput(f"{out} holds an improvement; give another --out, or --resume")
    saved = torch.load(path, weights_only=True)
    if saved["spec"] != json.dumps(_document(spec)):
        raise InvalidInput(f"{path} is of an improvement with other settings")
    network.load_state_dict(saved["network"])
    mean.load_state_dict(saved["mean"])
    state.optimizer.load_state_dict(saved["optimizer"])
    state.step, state.seconds, state.best = saved["step"], saved["seconds"], saved["best"]
    state.history = json.loads(saved["history"])
    return state


def _document(spec: ImproveSpec) -> dict[str, Any]:
    return json.loads(json.dumps(asdict(spec)))  # type: ignore[no-any-return]


def _keep(out: Path, spec: ImproveSpec, state: _State, record: dict[str, float]) -> None:
    state.history.append(record)
    # Of both objectives, unless only one is learned.
    share = spec.step.turnaround
    value = record["makespan_guarded"] * (share < 1) + record["turnaround_guarded"] * (share > 0)
    if value < state.best:
        state.best = value
        meta = {**provenance(), "improve": _document(spec), "development": record}
        save_checkpoint(out / CHECKPOINT, state.mean, NAME, spec.step.network, meta)
    write_text(out / HISTORY, json.dumps(state.history, indent=1) + "\n")
    saved = {
        "spec": json.dumps(_document(spec)),
        "network": state.network.state_dict(),
        "mean": state.mean.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "step": state.step,
        "seconds": state.seconds,
        "best": state.best,
        "history": json.dumps(state.history),
    }
    buffer = io.BytesIO()
    torch.save(saved, buffer)
    write_bytes(out / STATE, buffer.getbuffer())
