"""The bidirectional GRU: what its states are, and how far its gradient goes back."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from deepsched.baselines.errors import InvalidInput
from deepsched.model.networks import build_network, network_config
from deepsched.model.networks.paper import recurrence
from deepsched.model.networks.paper.batch import collate
from deepsched.model.networks.paper.config import PaperConfig
from deepsched.model.networks.paper.features import encode
from deepsched.model.networks.paper.recurrence import LONGEST, BidirectionalGRU
from tests.model.examples import layered

CHANNELS, HIDDEN = 5, 4
LENGTHS = (1, 23, 8, 16)
# Compiled for the first, torch's own layer for the second.
DTYPES = [torch.float32, torch.float64]


def built(window: int | None, dtype: torch.dtype) -> BidirectionalGRU:
    torch.manual_seed(1)
    return BidirectionalGRU(CHANNELS, HIDDEN, window).to(dtype)


def rows(dtype: torch.dtype) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(sum(LENGTHS), CHANNELS, generator=generator).to(dtype).requires_grad_()


def learned(made: nn.Module, found: Tensor, given: Tensor) -> list[Tensor]:
    """Return the gradients of inputs and weights for some gradient of the states."""
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(found.shape, generator=generator).to(found.dtype)
    wanted = [given, *made.parameters()]
    for one in wanted:
        one.grad = None
    (found * weight.to(found.device)).sum().backward()
    found_of = [one.grad for one in wanted]
    assert all(isinstance(one, Tensor) for one in found_of)
    return found_of


def step_by_step(made: BidirectionalGRU, given: Tensor, window: int | None) -> Tensor:
    """Read each sequence by itself; the state is cut from what made it after `window` steps."""
    parts = []
    for part in torch.split(given, LENGTHS):
        both = []
        for gru, steps in ((made.forwards, part), (made.backwards, part.flip(0))):
            state, states = steps.new_zeros(1, HIDDEN), []
            for chunk in torch.split(steps, window or len(steps)):
                found, state = gru(chunk, state.detach())
                states.append(found)
            both.append(torch.cat(states))
        parts.append(torch.cat([both[0], both[1].flip(0)], dim=1))
    return torch.cat(parts)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("window", [None, 1, 8, 22, 23, 100])
def test_states_and_gradients_are_those_of_a_gru_cut_into_windows(
    window: int | None, dtype: torch.dtype
) -> None:
    made, given = built(window, dtype), rows(dtype)
    found, expected = made(given, LENGTHS), step_by_step(made, given, window)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)
    for mine, theirs in zip(
        learned(made, found, given), learned(made, expected, given), strict=True
    ):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_window_as_long_as_the_sequences_changes_nothing(dtype: torch.dtype) -> None:
    given = rows(dtype)
    faithful, windowed = built(None, dtype), built(max(LENGTHS), dtype)
    states = [made(given, LENGTHS) for made in (faithful, windowed)]
    assert torch.equal(*states)
    for whole, part in zip(
        learned(faithful, states[0], given), learned(windowed, states[1], given), strict=True
    ):
        assert torch.equal(whole, part)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_shorter_window_changes_the_gradient_and_no_state(dtype: torch.dtype) -> None:
    given = rows(dtype)
    faithful, windowed = built(None, dtype), built(8, dtype)
    states = [made(given, LENGTHS) for made in (faithful, windowed)]
    torch.testing.assert_close(*states, atol=1e-6, rtol=1e-6)
    whole, part = learned(faithful, states[0], given), learned(windowed, states[1], given)
    assert not torch.allclose(whole[0], part[0], atol=1e-4)
    # The sequences of 1 and of 8 steps lie within a window.
    for short in (slice(0, 1), slice(24, 32)):
        torch.testing.assert_close(whole[0][short], part[0][short])


def test_the_window_is_no_part_of_the_weights() -> None:
    config = PaperConfig(recurrence_window=256)
    faithful, windowed = build_network("paper"), build_network("paper", config)
    assert windowed.state_dict().keys() == faithful.state_dict().keys()
    assert network_config("paper", {"width": 64, "recurrent_width": 64}) == PaperConfig()


def test_the_network_of_a_fixed_size_has_no_window() -> None:
    fixed = {"max_tasks": 10, "max_machines": 2, "recurrence_window": 4}
    with pytest.raises(InvalidInput, match="recurrence_window is not for the network of a fixed"):
        build_network("paper", fixed)


@pytest.mark.parametrize(
    "limits", [{}, {"max_tasks": 30, "max_machines": 4}], ids=["any", "padded"]
)
def test_a_gru_is_kept_from_autocast(limits: dict[str, int]) -> None:
    """cuDNN's would be in float16 there, even where bfloat16 is asked for."""
    made = build_network("paper", {"width": 8, "recurrent_width": HIDDEN, **limits})
    short: list[bool] = []
    made.get_submodule("task_gru").register_forward_pre_hook(
        lambda *_: short.append(torch.is_autocast_enabled("cpu"))
    )
    with torch.autocast("cpu", torch.bfloat16):
        made(collate([encode(layered(6, 3, 0))]))
    assert not short[-1]


@pytest.mark.parametrize("window", [None, 20, 5])
@pytest.mark.parametrize("learns", [True, False])
def test_no_more_steps_at_a_time_than_a_chunk_and_the_same_result(
    window: int | None, learns: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, given = built(window, torch.float64), rows(torch.float64)
    with torch.set_grad_enabled(learns):
        whole = made(given, LENGTHS)
    expected = learned(made, whole, given) if learns else []
    monkeypatch.setattr(recurrence, "CHUNK", 7)
    asked: list[int] = []
    for gru in (made.forwards, made.backwards):
        gru.register_forward_hook(lambda _, given, __: asked.append(len(given[0])))
    with torch.set_grad_enabled(learns):
        found = made(given, LENGTHS)
    torch.testing.assert_close(found, whole, atol=1e-12, rtol=1e-12)
    assert max(asked) == 7
    for mine, theirs in zip(learned(made, found, given) if learns else [], expected, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-10, rtol=1e-10)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("window", [None, 1024])
@pytest.mark.parametrize("learns", [True, False])
def test_a_gpu_reads_longer_sequences_than_cudnn_takes(window: int | None, learns: bool) -> None:
    made = built(window, torch.float32)
    given = torch.randn(LONGEST + 2, CHANNELS)
    with torch.no_grad():
        expected = made(given, [len(given)])
    made, there = made.to("cuda"), given.to("cuda").requires_grad_()
    with torch.set_grad_enabled(learns):
        found = made(there, [len(given)])
    torch.testing.assert_close(found.detach().cpu(), expected, atol=5e-3, rtol=0)  # TF32
    if learns:
        assert all(torch.isfinite(one).all() for one in learned(made, found, there))
