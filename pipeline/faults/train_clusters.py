"""Training on Ray: training processes, nodes and drivers that are killed, and their number."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from deepsched.pipeline.faults.nodes import Nodes, cluster, processes_of
from deepsched.pipeline.faults.trial import LIMIT, LOOK_EVERY, Broken

if TYPE_CHECKING:
    from deepsched.pipeline.faults.nodes import Process
    from deepsched.pipeline.faults.train_trial import TrainTrial
    from deepsched.pipeline.faults.trial import Driver

FAILURES = 100  # that a training survives
LONGER = 40  # times the steps, since Ray looks for more room once a minute
ORPHAN_SECONDS = 10.0  # within which a training process ends whose raylet is gone


def killed_workers(trial: TrainTrial) -> None:
    """SIGKILL of one of two training processes; they start again by themselves."""
    with cluster() as nodes:
        nodes.start_head(cpus=2)
        process = _start(trial, nodes, workers=2)
        for _ in range(max(1, trial.rounds // 3)):
            found = _at_work(trial, nodes, process)
            if found:
                victim = trial.rng.choice(found)
                victim.kill()
                trial.broke(f"training process {victim.pid}: SIGKILL", hit=trial.working(process))
        trial.end(process)
    trial.check()


def killed_nodes(trial: TrainTrial) -> None:
    """SIGKILL of a raylet of three nodes under a training process; another node takes its place."""
    with cluster() as nodes:
        nodes.start_head(cpus=0)
        names = ["node 1", "node 2"]
        for name in names:
            nodes.start_node(name, cpus=1)
        process = _start(trial, nodes, workers=2)
        for _ in range(max(1, trial.rounds // 5)):
            if not _at_work(trial, nodes, process):
                break
            name = trial.rng.choice(names)
            _kill_node(trial, nodes, name, process)
            nodes.start_node(name, cpus=1)
        trial.end(process)
    trial.check()


def changing_cluster(trial: TrainTrial) -> None:
    """Let a node join, so that training goes on with two processes, and kill it again."""
    trial = replace(trial, folder=trial.folder / "long", steps=LONGER * trial.steps)
    with cluster() as nodes:
        nodes.start_head(cpus=0)
        nodes.start_node("node 1", cpus=1)
        process = _start(trial, nodes, workers=1, most=2)
        _at_work(trial, nodes, process)
        nodes.start_node("node 2", cpus=1)
        trial.say("node 2 joins")
        trial.wait(process, lambda: len(_busy(nodes)) > 1, "it does not grow")
        found = _at_work(trial, nodes, process)
        trial.broke("more room", hit=len(found) > 1 and trial.working(process))
        _kill_node(trial, nodes, "node 2", process)
        trial.end(process)
    trial.check()


def killed_drivers_on_ray(trial: TrainTrial) -> None:
    """SIGKILL of a driver whose processes run on a cluster, the same command with --resume."""
    with cluster() as nodes:
        nodes.start_head(cpus=2)
        for _ in range(max(1, trial.rounds // 5)):
            _kill_driver(trial, nodes, workers=2)
        trial.end(_start(trial, nodes, workers=2))
    trial.check()


def other_worlds(trial: TrainTrial) -> None:
    """Begun with one training process, killed, on with two, killed, to the end without Ray."""
    with cluster() as nodes:
        nodes.start_head(cpus=2)
        for workers in (1, 2):
            _kill_driver(trial, nodes, workers=workers)
    trial.end(trial.start_here())
    trial.check()


def _start(trial: TrainTrial, nodes: Nodes, *, workers: int, most: int | None = None) -> Driver:
    options = ["--workers", workers, "--max-failures", FAILURES, "--address", nodes.address]
    options += [] if most is None else ["--max-workers", most]
    return trial.start(*options, environment=nodes.environment)


def _busy(nodes: Nodes) -> list[Process]:
    return [found for found in nodes.workers() if found.busy]


def _kill_node(trial: TrainTrial, nodes: Nodes, name: str, process: Driver) -> None:
    """Kill the raylet under a training process, which must end by itself."""
    session = nodes.running[name].pid
    orphans = {found.pid for found in nodes.workers(name) if found.busy}
    for raylet in nodes.processes(name):
        if raylet.raylet:
            raylet.kill()
            pids = ", ".join(map(str, orphans))
            what = f"{name}: SIGKILL of raylet {raylet.pid} under training process {pids}"
            trial.broke(what, hit=bool(orphans) and trial.working(process))
    begin = time.monotonic()
    while left := orphans & {found.pid for found in processes_of(session)}:
        if time.monotonic() > begin + ORPHAN_SECONDS:
            raise Broken(f"training process {min(left)} outlives its raylet")
        time.sleep(LOOK_EVERY)
    trial.say(f"the training process ended {time.monotonic() - begin:.1f} s later")


def _at_work(trial: TrainTrial, nodes: Nodes, process: Driver) -> list[Process]:
    """Wait until a driver's training processes have gone on, and return them."""
    # Of processes that wait for one that was killed, the first may still write a state.
    trial.wait_for_steps(process, trial.rng.randint(2, max(2, trial.steps // (trial.rounds + 2))))
    time.sleep(trial.rng.uniform(0, 0.1))
    return _busy(nodes)


def _kill_driver(trial: TrainTrial, nodes: Nodes, *, workers: int) -> None:
    process = _start(trial, nodes, workers=workers)
    busy = len(_at_work(trial, nodes, process))
    hit = trial.kill(process)
    # Ray ends the training processes of a driver that is gone; until then they go on.
    deadline = time.monotonic() + LIMIT
    while _busy(nodes):
        if time.monotonic() > deadline:
            raise Broken(f"the training goes on {LIMIT:.0f} s after its driver is gone")
        time.sleep(LOOK_EVERY)
    what = f"driver, process {process.pid}, of {busy} training processes: SIGKILL"
    trial.broke(what, hit=hit and busy > 0)
