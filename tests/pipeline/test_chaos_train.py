"""Training when something breaks: killed drivers, also inside a write, and failing disks."""

from __future__ import annotations

import errno
import json
import random
from typing import TYPE_CHECKING, Any

import pytest

from deepsched.pipeline.faults import train as chaos
from deepsched.pipeline.faults.train_drivers import FILES, NOTE, die, killed_drivers, refused
from deepsched.pipeline.faults.train_trial import TrainTrial, result_of, undisturbed
from deepsched.pipeline.faults.trial import Broken, Different, NotPossible
from tests.pipeline.cli_helpers import deepsched_here

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from deepsched.pipeline.faults.train_trial import Result

STEPS = 20


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Callable[[TrainTrial], Result]:
    return undisturbed(tmp_path_factory.mktemp("undisturbed"))


def trial_in(folder: Path, reference: Any, rounds: int = 2) -> TrainTrial:
    return TrainTrial(
        folder=folder,
        seed=0,
        rounds=rounds,
        rng=random.Random(5),
        say=lambda text: None,
        steps=STEPS,
        reference=reference,
    )


@pytest.fixture
def trial(tmp_path: Path, reference: Any) -> Iterator[TrainTrial]:
    """A training whose drivers end with the test at the latest."""
    made = trial_in(tmp_path, reference)
    yield made
    made.close()


# Killed drivers


def test_drivers_killed_at_random_moments_end_at_the_same_weights(trial: TrainTrial) -> None:
    killed_drivers(trial)
    assert len(trial.events) == 2
    assert any(event.hit for event in trial.events)


def test_after_a_write_that_kills_or_fails_the_weights_are_the_same(trial: TrainTrial) -> None:
    assert die(trial, "rename", NOTE + FILES - 1)  # what makes a state one comes last
    assert trial.newest == 0
    assert die(trial, "rename", NOTE + FILES)
    assert trial.newest == 1
    refused(trial, "write", errno.ENOSPC, NOTE)
    assert trial.newest == 1
    trial.end(trial.start_here())
    trial.check()
    assert not die(trial, "write", NOTE)  # there is nothing left to write
    whats = [event.what for event in trial.events]
    assert whats[0].startswith("SIGKILL at rename of model/")
    assert "/training.json; state of step 0" in whats[0]
    assert whats[2].startswith(f"ENOSPC at write {NOTE + 1}: deepsched: ")
    assert ": No space left on device; state of step 1" in whats[2]


# What is checked of a training; these are made by hand


def save(out: Path, step: int, state: bytes = b"state") -> None:
    """Put a state on disk, or put it there again."""
    folder = out / "states" / "run" / f"step-{step:08d}"
    folder.mkdir(parents=True, exist_ok=True)
    (out / "train.json").write_text(json.dumps({"storage": str(out / "states"), "run": "run"}))
    (folder / "training.safetensors").write_bytes(state)
    (folder / "training.json").unlink(missing_ok=True)
    (folder / "training.json").write_text(json.dumps({"step": step}))


def finish(
    out: Path, *, weights: bytes = b"weights", state: bytes = b"state", score: float = 0.9
) -> None:
    """Make what a finished training leaves."""
    save(out, STEPS, state)
    (out / "checkpoint").mkdir()
    (out / "checkpoint/model.safetensors").write_bytes(weights)
    record = {"step": STEPS, "score": score, "seconds": random.random(), "shares": {}}
    (out / "history.json").write_text(json.dumps([record]))


@pytest.fixture
def by_hand(tmp_path: Path) -> Callable[[TrainTrial], Result]:
    finish(tmp_path / "undisturbed")
    return lambda trial: result_of(tmp_path / "undisturbed")


def test_seconds_may_differ(tmp_path: Path, by_hand: Any) -> None:
    trial = trial_in(tmp_path / "x", by_hand)
    finish(trial.out)
    trial.check()


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"weights": b"weightt"}, r"^weights \w{64}$"),
        ({"state": b"statf"}, r"^last state \w{64}$"),
        ({"weights": b"weightt", "score": 0.8}, r"^weights \w{64}, history \w{64}$"),
    ],
)
def test_what_differs_is_named(
    tmp_path: Path, by_hand: Any, change: dict[str, Any], what: str
) -> None:
    trial = trial_in(tmp_path / "x", by_hand)
    finish(trial.out, **change)
    with pytest.raises(Different, match=what):
        trial.check()


def test_a_training_that_is_not_finished_is_broken(tmp_path: Path, by_hand: Any) -> None:
    trial = trial_in(tmp_path / "x", by_hand)
    save(trial.out, STEPS - 1)
    with pytest.raises(Broken, match="last state is of step 19, not 20"):
        trial.check()
    save(trial.out, STEPS)
    with pytest.raises(Broken, match=r"not finished: .*history\.json"):
        trial.check()


def test_a_step_taken_again_is_broken(tmp_path: Path, by_hand: Any) -> None:
    trial = trial_in(tmp_path / "x", by_hand)
    save(trial.out, 7)
    trial.broke("a driver", hit=True)
    save(trial.out, 9)
    trial.broke("a driver", hit=True)
    save(trial.out, 8)  # older than the newest at the last look, and not there then
    with pytest.raises(Broken, match="step 8 was taken again, though there was a state of 9"):
        trial.broke("a driver", hit=True)
    assert [event.what for event in trial.events] == [
        "a driver; state of step 7",
        "a driver; state of step 9",
    ]


# The command


def other_weights(trial: TrainTrial) -> None:
    """Make other weights."""
    trial.broke("the weights", hit=True)
    finish(trial.out, weights=b"weightt")
    trial.check()


def same_weights(trial: TrainTrial) -> None:
    """Make the same."""
    trial.broke("nothing", hit=True)
    finish(trial.out)
    trial.check()


def idle(trial: TrainTrial) -> None:
    """Hit nothing."""
    trial.broke("a driver that is done", hit=False)
    finish(trial.out)
    trial.check()


def impossible(trial: TrainTrial) -> None:
    """Ask for more than there is."""
    raise NotPossible("no moon")


def chaos_train(
    capsys: pytest.CaptureFixture[str], *arguments: object
) -> subprocess.CompletedProcess[str]:
    return deepsched_here(capsys, "chaos", "train", "--steps", STEPS, *arguments)


@pytest.mark.parametrize(
    ("scenario", "code", "outcome"),
    [
        (same_weights, 0, "same"),
        (impossible, 0, "not run: no moon"),
        (other_weights, 1, "DIFFERENT: weights "),
        (idle, 1, "FAILED: nothing was disturbed"),
    ],
)
def test_the_outcome_is_printed_and_decides_the_exit_code(
    tmp_path: Path,
    by_hand: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    scenario: Any,
    code: int,
    outcome: str,
) -> None:
    monkeypatch.setattr(chaos, "SCENARIOS", {"it": scenario})
    monkeypatch.setattr(chaos, "undisturbed", lambda folder: by_hand)
    done = chaos_train(capsys, "--out", tmp_path / "out", "--json", tmp_path / "found.json")
    assert done.returncode == code, done.stderr
    assert f"it: {outcome}" in done.stdout
    assert "chaos train" in done.stdout
    found = json.loads((tmp_path / "found.json").read_text())
    [row] = found["scenarios"]
    assert (found["steps"], row["scenario"]) == (STEPS, "it")
    assert row["outcome"].startswith(outcome)


def test_an_unknown_scenario_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    done = chaos_train(capsys, "--scenario", "flood")
    assert done.returncode == 2
    assert "unknown scenario 'flood'; one of: drivers, elastic, nodes, ray-drivers" in done.stderr
