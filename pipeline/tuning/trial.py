"""One trial: a training as a function of Tune, which goes on from its own newest state."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray import tune

from deepsched.baselines.errors import DeepSchedError, InvalidInput
from deepsched.pipeline.training.checkpoints import Checkpoints
from deepsched.pipeline.training.course import make_course
from deepsched.pipeline.training.history import SCORE
from deepsched.pipeline.training.loop import fit
from deepsched.pipeline.training.peers import Peers
from deepsched.pipeline.training.reporter import Silent
from deepsched.pipeline.training.state import State, progress
from deepsched.pipeline.training.worker import end_with_parent
from deepsched.pipeline.tuning.group import in_group
from deepsched.pipeline.tuning.search_space import trial_config

if TYPE_CHECKING:
    from collections.abc import Callable

    from deepsched.pipeline.training.config import TrainConfig
    from deepsched.pipeline.training.history import History, Record
    from deepsched.pipeline.tuning.plan import Search

WORST = 1e30  # score of a trial that diverged; ASHA interpolates between scores: not infinite


def run_trial(params: dict[str, Any], search: Search, workers: int) -> None:
    """Train one trial, from the state that Tune gives it, else from its own newest one.

    Tune gives a state where the trial takes over another one's, or was paused.

    Parameters
    ----------
    params : "params", its settings by field.
    workers : processes that train it together, this one and others.
    """
    end_with_parent()
    number = int(tune.get_context().get_trial_name())
    states = Checkpoints.at(search.place(f"trial-{number:05d}"))
    config = trial_config(search.config, params["params"], where=f"trial {number}")
    gives = search.scheduler == "pbt"
    start = _start(states, config)
    done, history = progress(start)
    reporter = TrialReporter(states, history, gives=gives)
    try:
        # What it found before this start of the search, for those who decide about it now.
        if not tune.get_checkpoint():
            reporter.repeat(done, start)

        def work(peers: Peers) -> None:
            fit(
                make_course(search.data, config),
                reporter=Silent() if peers.rank else reporter,
                peers=peers,
                start=start,
                meta={"data": search.data, "dataset": search.dataset},
            )

        in_group(work, workers, gpu=bool(ray.get_gpu_ids()))
    except DeepSchedError as error:
        # Reported, not raised: Tune would try it again.
        reporter.fail(str(error))


def _start(states: Checkpoints, config: TrainConfig) -> dict[str, bytes]:
    given = tune.get_checkpoint()
    if given is None:
        try:
            start = states.newest()[1]
            if start:
                State.load(start, config, Peers())
            return start
        except InvalidInput:  # none of them is whole, or it is of a network that PBT had put there
            states.discard(-1)
            return {}
    with given.as_directory() as folder:
        start = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
    # From now on it is this trial's own; later ones belong to what it was before.
    step, _ = progress(start)
    states.save(step, start)
    states.discard(step)
    return start


class TrialReporter(Silent):
    """Keeps the state of each validation and reports it to Tune, with all validations so far."""

    def __init__(self, states: Checkpoints, history: History, *, gives: bool) -> None:
        self._states = states
        self._history = [(int(record["step"]), float(record[SCORE])) for record in history]
        self._gives = gives  # states to Tune, for others to take over

    def checkpoint(
        self, step: int, record: Record | None, files: Callable[[], dict[str, bytes]]
    ) -> None:
        """Keep a state, and report a validation."""
        if record is None:
            return
        state = files()
        self._states.save(step, state)
        self._history.append((step, float(record[SCORE])))
        self._report(len(self._history), state)

    def repeat(self, step: int, state: dict[str, bytes]) -> None:
        """Report the validations up to `step` again, or the last one with its state."""
        first = len(self._history) if self._gives else 1
        for count in range(max(first, 1), len(self._history) + 1):
            self._report(count, state)

    def fail(self, error: str) -> None:
        """Report why the training cannot go on."""
        self._tell({**self._metrics(len(self._history)), "score": WORST, "error": error}, None)

    def _report(self, count: int, state: dict[str, bytes]) -> None:
        self._tell(self._metrics(count), state if self._gives else None)

    def _metrics(self, count: int) -> dict[str, Any]:
        known = self._history[:count]
        scores = [score for _, score in known]
        return {
            "score": scores[-1] if scores else WORST,
            "best_score": min(scores, default=WORST),
            "validation": count,
            "step": known[-1][0] if known else 0,
            "validations": known,
        }

    def _tell(self, metrics: dict[str, Any], state: dict[str, bytes] | None) -> None:
        if state is None:
            tune.report(metrics)
            return
        with tempfile.TemporaryDirectory() as folder:
            for name, data in state.items():
                (Path(folder) / name).write_bytes(data)
            tune.report(metrics, checkpoint=tune.Checkpoint.from_directory(folder))
