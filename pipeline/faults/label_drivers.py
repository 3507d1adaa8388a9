"""Labelling without Ray: drivers that are killed or meet each other, and disks that fail."""

from __future__ import annotations

import random
import resource
import signal
import time
from typing import TYPE_CHECKING

from deepsched.pipeline.dataset.files import RETRY_AFTER
from deepsched.pipeline.faults.disk import PLACES, fill, small_disk
from deepsched.pipeline.faults.label_trial import LabelTrial, finished_parts
from deepsched.pipeline.faults.trial import Broken, NotPossible, last_lines, temporaries
from deepsched.pipeline.labelling.run import label
from deepsched.pipeline.labelling.spec import plan_shards

if TYPE_CHECKING:
    import subprocess

HERE = ("--workers", 0)
QUIET = (*HERE, "--quiet")  # where all that is said must be one line
START = 2.0  # s, within which some drivers are killed before they have done anything
SHARE = 6  # one sample in so many is enough where there are many runs
ERRORS = ("ENOSPC", "EIO")
SMALL_FILES = 20_000  # bytes, more than some parts have and less than others


def killed_drivers(trial: LabelTrial) -> None:
    """SIGKILL of the driver at random moments, the same command again."""
    begin = time.perf_counter()
    trial.reference(trial.spec)
    seconds = time.perf_counter() - begin
    before = finished_parts(trial.out)
    for k in range(trial.rounds):
        process = trial.start(*HERE)
        if trial.rng.random() < 0.2:  # some before they have begun
            time.sleep(trial.rng.uniform(0, START))
        else:
            trial.wait_for_parts(process, 1)
            time.sleep(trial.rng.uniform(0, max(0.2, 1.5 * seconds / trial.rounds)))
        hit = trial.working(process)
        process.kill()
        process.wait()
        trial.kept(before)
        before = finished_parts(trial.out)
        left = len(temporaries(trial.out))
        trial.disturbed(
            f"driver {k + 1}, process {process.pid}: SIGKILL; {len(before)} parts finished"
            + (f", {left} temporary files left" if left else ""),
            hit=hit,
        )
    said = trial.end(trial.start(*HERE))
    trial.kept(before)
    trial.say(last_lines(said, 6).replace(" | ", "; "))
    trial.check()


def two_drivers(trial: LabelTrial) -> None:
    """Start a second driver on the same place, and one more after the first was killed."""
    trial = trial.at("two")
    first = trial.start(*HERE)
    trial.wait_for_parts(first, 1)
    hit = trial.working(first)
    first.send_signal(signal.SIGSTOP)  # it must not be done before the second one has looked
    said = trial.end(trial.start(*HERE), 2)
    if str(trial.out) not in said or "another run is writing there" not in said:
        raise Broken(f"the second driver said only: {last_lines(said)}")
    trial.disturbed(f"second driver: {last_lines(said, 1)}", hit=hit)
    first.kill()
    first.wait()
    trial.disturbed(f"first driver, process {first.pid}: SIGKILL", hit=hit)
    before = finished_parts(trial.out)
    trial.end(trial.start(*HERE))
    trial.kept(before)
    trial.check()


def failing_disk(trial: LabelTrial) -> None:
    """ENOSPC and EIO at write, fsync and rename; a limit on the size of files; once or always."""
    samples = max(2, trial.samples // SHARE)
    for place in PLACES:
        for error in ERRORS:
            one = trial.at(f"{place}-{error.lower()}", samples=samples)
            after = one.rng.randrange(
                1, 2 * len(plan_shards(one.spec.source, samples, one.spec.shard_bytes))
            )
            program = ("-m", "deepsched.pipeline.faults.disk", place, error, str(after))
            process = one.start(*QUIET, program=(*program, "0"))
            _refused(one, process, f"{error} at {place} {after + 1}")
    once = trial.at("eio-once", samples=samples)
    faulty = ("-m", "deepsched.pipeline.faults.disk", "fsync", "EIO", "5", str(len(RETRY_AFTER)))
    once.end(once.start(*HERE, program=faulty))
    once.disturbed(f"EIO at fsync, {len(RETRY_AFTER)} times: written all the same", hit=True)
    once.check()
    limited = trial.at("file-size", samples=samples)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL_FILES, hard))
    try:
        process = limited.start(*QUIET)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    _refused(limited, process, f"files limited to {SMALL_FILES} bytes")


def full_disk(trial: LabelTrial) -> None:
    """Fill a real disk, in memory, at three moments, and make room again."""
    samples = max(2, trial.samples // SHARE)
    trial = trial.at("full", samples=samples)
    with small_disk(trial.folder / "disk", megabytes=32) as disk:
        if disk is None:
            raise NotPossible("this system lets no user mount a disk")
        out = disk / "data"
        for free in (0, 60_000, 200_000):
            ballast = fill(disk, free)
            process = trial.start(*QUIET, out=out)
            said = _one_line(trial, process)
            trial.disturbed(f"disk full but for {free} bytes: {said}", hit=True)
            if temporaries(out):
                raise Broken(f"a temporary file is left: {temporaries(out)[0]}")
            before = finished_parts(out)
            ballast.unlink()
        trial.end(trial.start(*HERE, out=out))
        trial.kept(before, out)
        trial.check(out)


def shuffled_order(trial: LabelTrial) -> None:
    """Shards in three random orders."""
    samples = max(2, trial.samples // SHARE)
    for k in range(3):
        one = trial.at(f"order-{k}", samples=samples)
        shards = len(plan_shards(one.spec.source, samples, one.spec.shard_bytes))
        order = random.Random(trial.rng.random()).sample(range(shards), shards)
        label(one.spec, order=order)
        one.disturbed(f"order of shards: {', '.join(map(str, order[:8]))}, ...", hit=True)
        one.check()


def _refused(trial: LabelTrial, process: subprocess.Popen[bytes], what: str) -> None:
    """Check that a driver ended as it should where a disk fails, and that it can go on."""
    said = _one_line(trial, process)
    trial.disturbed(f"{what}: {said}", hit=True)
    if temporaries(trial.out):
        raise Broken(f"a temporary file is left: {temporaries(trial.out)[0]}")
    before = finished_parts(trial.out)
    trial.end(trial.start(*HERE))
    trial.kept(before)
    trial.check()


def _one_line(trial: LabelTrial, process: subprocess.Popen[bytes]) -> str:
    said = trial.end(process, 2)
    lines = said.splitlines()
    if len(lines) != 1 or not lines[0].startswith("deepsched: cannot write"):
        raise Broken(f"not one line that names the file: {last_lines(said)}")
    return lines[0].removeprefix("deepsched: ")


def interrupted_drivers(trial: LabelTrial) -> None:
    """Ctrl-C at random moments, the same command again."""
    trial = trial.at("interrupted")
    # A shell's background job ignores Ctrl-C and would hand that on to the drivers.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for k in range(max(1, trial.rounds // 4)):
        process = trial.start(*HERE)
        trial.wait_for_parts(process, 1)
        time.sleep(trial.rng.uniform(0, 1))
        hit = trial.working(process)
        process.send_signal(signal.SIGINT)
        if hit:
            said = trial.end(process, 130)
            if "Traceback" in said:
                raise Broken(f"a traceback: {last_lines(said)}")
        before = finished_parts(trial.out)
        trial.disturbed(f"driver {k + 1}: Ctrl-C; {len(before)} parts finished", hit=hit)
    trial.end(trial.start(*HERE))
    trial.kept(before)
    trial.check()
