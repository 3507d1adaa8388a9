"""Training without Ray: drivers that are killed, also inside a write, and disks that fail."""

from __future__ import annotations

import errno
import itertools
import os
import time
from typing import TYPE_CHECKING

from deepsched.pipeline.faults.disk import PLACES
from deepsched.pipeline.faults.train_trial import HISTORY
from deepsched.pipeline.faults.trial import Broken, last_lines

if TYPE_CHECKING:
    from deepsched.pipeline.faults.train_trial import TrainTrial

START = 0.5  # s, within which some drivers are killed before they have done anything
FILES = 4  # of a state
NOTE = 2  # files that are written before the first step: the note, and who may write states
ERRORS = (errno.ENOSPC, errno.EIO)


def killed_drivers(trial: TrainTrial) -> None:
    """SIGKILL of the driver at random moments, the same command with --resume."""
    most = max(1, trial.steps // (2 * trial.rounds))
    for k in range(trial.rounds):
        process = trial.start_here()
        if trial.rng.random() < 0.2:  # some before they have begun
            time.sleep(trial.rng.uniform(0, START))
        else:
            trial.wait_for_steps(process, trial.rng.randint(1, most))
            time.sleep(trial.rng.uniform(0, 0.1))
        hit = trial.kill(process)
        trial.broke(f"driver {k + 1}, process {process.pid}: SIGKILL", hit=hit)
    trial.end(trial.start_here())
    trial.check()


def killed_writes(trial: TrainTrial) -> None:
    """SIGKILL inside a write of a state, of the result and of the history; ENOSPC and EIO."""
    # Before each rename of the first state, and before the first one of the second.
    for after in range(NOTE, NOTE + FILES + 1):
        die(trial, "rename", after)
    for place in PLACES * max(1, trial.rounds // 3):
        die(trial, place, NOTE + trial.rng.randrange(3 * FILES))
    for place, error in itertools.product(PLACES, ERRORS):
        refused(trial, place, error, NOTE + trial.rng.randrange(3 * FILES))
    trial.end(trial.start_here())
    trial.check()
    for place in PLACES:
        after, lived = NOTE, 0
        while lived < 2:  # what one has done before it died leaves less to do for the next
            # As it is before its rename: all steps are done, and the result is published again.
            (trial.out / HISTORY).unlink(missing_ok=True)
            if die(trial, place, after):
                after, lived = after + 1, 0
            else:
                lived += 1
        trial.check()


def die(trial: TrainTrial, place: str, after: int) -> bool:
    """Let a driver kill itself after some writes, fsyncs or renames; return whether it did."""
    process = trial.start_here((place, None, after))
    if trial.code(process) == 0:
        return False
    said = last_lines(trial.said(process), 1)
    if not said.startswith("SIGKILL"):
        raise Broken(f"the driver ended by itself: {last_lines(trial.said(process))}")
    trial.broke(said.replace(f"{trial.folder}/", ""), hit=True)
    return True


def refused(trial: TrainTrial, place: str, error: int, after: int) -> None:
    """Check that a driver ends with one line where a disk fails."""
    process = trial.start_here((place, error, after))
    code, said = trial.code(process), trial.said(process)
    what = f"{errno.errorcode[error]} at {place} {after + 1}"
    if not code:
        raise Broken(f"{what}: the driver ended well")
    lines = said.splitlines()
    if len(lines) != 1 or os.strerror(error) not in lines[0]:
        raise Broken(f"{what}: not one line that says so: {last_lines(said)}")
    trial.broke(f"{what}: {lines[0]}".replace(f"{trial.folder}/", ""), hit=True)
