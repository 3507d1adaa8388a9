"""Rollouts that run ahead of the learner, with the weights of a fixed number of steps before."""

from __future__ import annotations

import copy
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import nn

    from deepsched.baselines.arrays import FloatArray
    from deepsched.model.learning import Proposal
    from deepsched.pipeline.training.ahead import Encoded
    from deepsched.pipeline.training.rollouts import Rollouts
    from deepsched.pipeline.training.state import State, Weights


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Rolled:
    """A micro-batch whose rollouts have been asked for.

    Attributes
    ----------
    values : what they come to.
    """

    batch: Encoded
    proposal: Proposal | None = None
    values: Future[Sequence[FloatArray]] | None = None


class StaleRollouts:
    """Rollouts of step t are those of the weights before step t - staleness.

    So the weights that are learned follow from seed and settings, however fast rollouts run.
    """

    def __init__(
        self,
        staleness: int,
        propose: Callable[[int, nn.Module], list[tuple[Encoded, Proposal | None]]],
        run: Rollouts,
        state: State,
        total: int,
    ) -> None:
        """Begin where the state is.

        Parameters
        ----------
        propose : returns a step's micro-batches, encoded, with the rollouts of a network; without
            any where the step needs none.
        """
        self._staleness, self._propose, self._run = staleness, propose, run
        self._earlier = copy.deepcopy(state.network)
        self._next, self._total = state.step, total
        self._waiting: dict[int, list[Rolled]] = {}
        self._player = ThreadPoolExecutor(1)

    def take(self, state: State) -> list[Rolled]:
        """Ask for the rollouts of steps to come, and return the micro-batches of the present."""
        remember(state, self._staleness)
        while self._next <= min(state.step + self._staleness, self._total - 1):
            self._earlier.load_state_dict(state.past[max(0, self._next - self._staleness)])
            self._waiting[self._next] = [
                Rolled(
                    batch=batch,
                    proposal=proposal,
                    values=self._player.submit(self._run, proposal.jobs) if proposal else None,
                )
                for batch, proposal in self._propose(self._next, self._earlier)
            ]
            self._next += 1
        return self._waiting.pop(state.step)

    def close(self) -> None:
        """Run no more."""
        self._player.shutdown(wait=False, cancel_futures=True)


def remember(state: State, staleness: int) -> None:
    """Keep the present weights for rollouts to come, and forget those that are too old."""
    weights: Weights = {
        key: value.detach().clone() for key, value in state.network.state_dict().items()
    }
    state.past = {
        step: past for step, past in state.past.items() if step >= state.step - staleness
    } | {state.step: weights}
