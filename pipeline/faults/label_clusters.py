"""Labelling on Ray: workers, nodes, messages and the head of a cluster that fail."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from typing import TYPE_CHECKING

from deepsched.pipeline.faults.guest import Guest, guest
from deepsched.pipeline.faults.label_trial import LabelTrial, finished_parts
from deepsched.pipeline.faults.nodes import Nodes, cluster
from deepsched.pipeline.faults.trial import Broken, State, last_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WORKER_EVERY = 2.0  # s
NODE_EVERY = 10.0  # s
LONGER = 3  # times the samples, so that several nodes are killed
SOON = 3.0  # s, in which a node that works is looked for; shards are short
DRIVERS = 5  # that may follow each other where messages are lost
RPC_PERCENT = 10  # of requests that are lost, and of answers
NOTICES = 180.0  # s, in which a driver must notice that its cluster is gone
INJECTED = ("Inject RPC request failure for ", "Inject RPC response failure for ")


def killed_workers(trial: LabelTrial) -> None:
    """SIGKILL of a random worker every 2 s."""
    trial = trial.at("workers", samples=trial.samples // 2)
    # More workers than are killed while a new one starts, or nothing would ever be done.
    with _place(trial, cpus=4) as nodes:

        def kill() -> None:
            workers = nodes.workers()
            if workers:
                victim = trial.rng.choice([w for w in workers if w.busy] or workers)
                victim.kill()
                what = f"worker {victim.pid} ({victim.title}): SIGKILL{_parts(trial)}"
                trial.disturbed(what, hit=victim.busy)

        _while_running(trial, nodes, WORKER_EVERY, kill)
    trial.check()


def killed_nodes(trial: LabelTrial) -> None:
    """SIGKILL of a raylet of three nodes every 10 s; another node takes its place."""
    trial = trial.at("nodes", samples=LONGER * trial.samples)
    with cluster() as nodes:
        nodes.start_head(cpus=0)
        others = ["node 1", "node 2"]
        for name in others:
            nodes.start_node(name, cpus=1)

        def kill() -> None:
            for other in others:
                if not nodes.up(other):  # Ray gives a node 30 s to start, which may not be enough
                    nodes.start_node(other, cpus=1)
            name = nodes.busy_node(trial.rng, others, SOON)
            if name is None:
                trial.say("no node works now, none is killed")
                return
            busy = sum(worker.busy for worker in nodes.workers(name))
            for raylet in nodes.processes(name):
                if raylet.raylet:
                    raylet.kill()
                    what = f"{name}: SIGKILL of raylet {raylet.pid}, {busy} busy workers"
                    trial.disturbed(what + _parts(trial), hit=busy > 0)
            nodes.start_node(name, cpus=1)

        _while_running(trial, nodes, NODE_EVERY, kill)
    trial.check()


def lost_messages(trial: LabelTrial) -> None:
    """One in ten requests and answers between Ray's processes is lost; drivers may be too."""
    trial = trial.at("rpc")
    faults = {"num_failures": -1, "req_failure_prob": RPC_PERCENT, "resp_failure_prob": RPC_PERCENT}
    setting = json.dumps({"*": {**faults, "in_flight_failure_prob": 0}})
    with cluster(RAY_testing_rpc_failure=setting) as nodes:
        nodes.start_head(cpus=2)
        for left in reversed(range(DRIVERS)):
            try:
                trial.end(trial.start("--address", nodes.address, environment=nodes.environment))
                break
            except Broken as error:
                # Ray ends a driver that takes the head for lost; then the user's turn has come.
                if not left:
                    raise
                trial.say(f"{error}; the same command again")
        for line in INJECTED:
            count = sum(line in found for found in nodes.logs("*"))
            trial.disturbed(f"{line.strip()}: {count} times in the logs", hit=count > 0)
    trial.check()


def killed_head(trial: LabelTrial) -> None:
    """SIGKILL of everything on the head node, the same command on a new head."""
    trial = trial.at("head")
    before: dict[str, State] = {}
    for k in range(2):
        with cluster() as nodes:
            nodes.start_head(cpus=2)
            process = trial.start("--address", nodes.address, environment=nodes.environment)
            trial.wait_for_parts(process, 6)
            hit = trial.working(process)
            nodes.kill("head")
            trial.disturbed(f"head {k + 1}: SIGKILL of all its processes{_parts(trial)}", hit=hit)
            begin = time.perf_counter()
            try:
                code = process.wait(NOTICES)
            except subprocess.TimeoutExpired:
                raise Broken(f"the driver did not notice for {NOTICES:.0f} s") from None
            said = last_lines(trial.said(process), 1)
            trial.say(f"driver ended after {time.perf_counter() - begin:.0f} s with {code}: {said}")
            trial.kept(before)
            before = finished_parts(trial.out)
    with cluster() as nodes:
        nodes.start_head(cpus=2)
        trial.end(trial.start("--address", nodes.address, environment=nodes.environment))
    trial.kept(before)
    trial.check()


def killed_drivers_on_ray(trial: LabelTrial) -> None:
    """SIGKILL of a driver whose workers run on a cluster, the same command again."""
    trial = trial.at("ray-drivers")
    with _place(trial, cpus=2) as nodes:
        for k in range(max(1, trial.rounds // 5)):
            process = trial.start("--address", nodes.address, environment=nodes.environment)
            trial.wait_for_parts(process, 2)
            time.sleep(trial.rng.uniform(0, 1))
            busy = sum(worker.busy for worker in nodes.workers())
            hit = trial.working(process)
            process.kill()
            process.wait()
            # Ray ends the workers of a driver that is gone; until then they go on.
            while any(worker.busy for worker in nodes.workers()):
                time.sleep(0.1)
            before = finished_parts(trial.out)
            what = f"driver {k + 1}: SIGKILL, {busy} busy workers; {len(before)} parts finished"
            trial.disturbed(what, hit=hit)
        trial.end(trial.start("--address", nodes.address, environment=nodes.environment))
        trial.kept(before)
    trial.check()


def worker_counts(trial: LabelTrial) -> None:
    """1, 2 and 4 workers."""
    for count in (1, 2, 4):
        one = trial.at(f"{count}-workers", samples=max(2, trial.samples // 6))
        with cluster() as nodes:
            nodes.start_head(cpus=count)
            process = one.start(
                "--workers", count, "--address", nodes.address, environment=nodes.environment
            )
            most = 0
            while process.poll() is None:
                most = max(most, sum(worker.busy for worker in nodes.workers()))
                time.sleep(0.05)
            one.end(process)
        one.disturbed(f"{count} workers, {most} of them seen at work at once", hit=most > 0)
        one.check()


@contextlib.contextmanager
def _place(trial: LabelTrial, *, cpus: int) -> Iterator[Nodes | Guest]:
    """Open the user's cluster, or one of our own with a single node."""
    if trial.address is not None:
        with guest(trial.address) as found:
            yield found
    else:
        with cluster() as nodes:
            nodes.start_head(cpus=cpus)
            yield nodes


def _while_running(
    trial: LabelTrial, nodes: Nodes | Guest, every: float, kill: Callable[[], None]
) -> None:
    """Run a driver on the cluster and kill something every so many seconds until it ends."""
    process = trial.start("--address", nodes.address, environment=nodes.environment)
    trial.wait_for_parts(process, 1)
    while process.poll() is None:
        kill()
        try:
            process.wait(every)
        except subprocess.TimeoutExpired:
            continue
    trial.end(process)


def _parts(trial: LabelTrial) -> str:
    return f"; {len(finished_parts(trial.out))} parts finished"
