"""What a training learns from, and what a network has to offer to be trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from deepsched.baselines.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from torch import Tensor, nn

    from deepsched.baselines.arrays import FloatArray
    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule

SMALLEST = 1e-300  # s, as short a reference as ratios are taken against


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TrainingItem:
    """One problem to learn from.

    Attributes
    ----------
    sample_id : names the problem in messages, and seeds what is drawn for it.
    objective : what is made short, "makespan" or "turnaround".
    reference : s, HEFT's value of the objective, which ratios are taken against.
    target : the teacher's schedule; None where nobody is imitated.
    """

    sample_id: int
    problem: Problem
    objective: str
    reference: float
    target: Schedule | None

    def imitated(self) -> Schedule:
        """Return the teacher's schedule.

        Raises
        ------
        InvalidInput
            If nobody has scheduled the problem.
        """
        if self.target is None:
            raise InvalidInput(f"sample {self.sample_id}: there is no schedule to imitate")
        return self.target


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Loss:
    """The loss of a micro-batch, summed over what it counts.

    Attributes
    ----------
    total : a scalar with a gradient; divided by `weight` it is a mean.
    weight : how many problems or tasks the sums run over.
    sums : further measures, summed likewise; scalar tensors may stay on their device.
    """

    total: Tensor
    weight: float
    sums: Mapping[str, float | Tensor]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RolloutJob:
    """Perturbed decodes of one problem: outputs (h, n, o) and perturbations (h, k, n, o) of them.

    `decode` runs the job: (h, k, 2) makespan and mean turnaround, s, of each.
    """

    decode: Callable[[RolloutJob], FloatArray]
    problem: Problem
    view: Any
    outputs: np.ndarray
    perturbations: np.ndarray


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Proposal:
    """Perturbations of a micro-batch that wait for what they are worth.

    Attributes
    ----------
    jobs : one for each problem.
    drawn : of each problem, what its loss needs besides.
    """

    jobs: Sequence[RolloutJob]
    drawn: Sequence[Any]


class Learner(Protocol):
    """One network's way to one objective: the mathematics of its training, knowing no Ray."""

    @property
    def measures(self) -> tuple[str, ...]:
        """The names of `Loss.sums`, the first of which shows the progress."""
        ...

    def encode(self, items: Sequence[TrainingItem]) -> Any:
        """Return what the network sees of a micro-batch, on the CPU; it depends on no weights."""
        ...

    def loss(
        self,
        network: nn.Module,
        encoded: Any,
        streams: Sequence[np.random.Generator],
        run: Callable[[Sequence[RolloutJob]], Sequence[FloatArray]],
    ) -> Loss:
        """Return the loss of a micro-batch.

        Parameters
        ----------
        encoded : of `encode`.
        streams : one for each item.
        run : runs rollouts; learners without any leave it alone.
        """
        ...


@runtime_checkable
class RolloutLearner(Learner, Protocol):
    """A learner whose rollouts may be those of earlier weights, so that they can run ahead."""

    def propose(
        self, network: nn.Module, encoded: Any, streams: Sequence[np.random.Generator]
    ) -> Proposal:
        """Return the rollouts that `loss` would run."""
        ...

    def learn(
        self, network: nn.Module, encoded: Any, proposal: Proposal, values: Sequence[FloatArray]
    ) -> Loss:
        """Return the loss, given what the rollouts came to."""
        ...
