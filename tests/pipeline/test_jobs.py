"""Jobs and the service on a cluster of three nodes, started by the commands of cluster.yaml."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from deepsched.baselines.heft import heft
from deepsched.pipeline.dataset.storage import Dataset
from tests.pipeline.cli_helpers import ROOT, deepsched

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.ray

BIN = Path(sys.executable).parent
LABEL = ["--preset", "small", "--samples", "20", "--schedulers", "heft,round-robin"]
START_LIMIT = 90  # s


def free_ports(n: int) -> list[int]:
    probes = [socket.socket() for _ in range(n)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@dataclass(frozen=True)
class Cluster:
    dashboard: str
    folder: Path
    environment: dict[str, str]
    token: str

    def get(self, path: str, token: str | None) -> bytes:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(self.dashboard + path, headers=headers)
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.read()

    def popen(self, *command: str | Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            env={"RAY_AUTH_MODE": "token"} | self.environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def start_command(part: str, replacements: dict[str, str], options: str) -> str:
    """Return the `ray start` line of cluster.yaml, on other ports and kept in the foreground."""
    config = yaml.safe_load((ROOT / "cluster/cluster.yaml").read_text())
    [line] = [command for command in config[part] if "ray start" in command]
    for old, new in replacements.items():
        assert old in line
        line = line.replace(old, new)
    # exec, so that the process started is ray itself and can be stopped by its id.
    return line.replace("ray start", "exec ray start") + f" {options} --block"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Start a head without CPUs, as cluster.yaml has it, and two workers of one; then stop all."""
    gcs, dashboard, client, *agents = free_ports(6)
    with tempfile.TemporaryDirectory(prefix="rj", dir="/tmp", ignore_cleanup_errors=True) as tmp:
        token = "0123456789abcdef" * 4
        token_file = Path(tmp) / "token"
        token_file.write_text(token)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")} | {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "RAY_AUTH_TOKEN_PATH": str(token_file),
            "RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{dashboard}",
            "RAY_HEAD_IP": "127.0.0.1",
        }
        # Nodes share no folder, or one would unpack a job's files over those the other works with.
        small = "--object-store-memory=100000000 --min-worker-port=0 --max-worker-port=0"
        head = start_command(
            "head_start_ray_commands",
            {
                "--port=6379": f"--port={gcs} --node-ip-address=127.0.0.1",
                "--dashboard-port=8265": f"--dashboard-port={dashboard}",
                "--autoscaling-config=~/ray_bootstrap_config.yaml": "",
            },
            f"{small} --temp-dir={tmp}/1 --num-cpus=0 --ray-client-server-port={client} "
            f"--dashboard-agent-listen-port={agents[0]}",
        )
        workers = [
            start_command(
                "worker_start_ray_commands",
                {":6379": f":{gcs}"},
                f"{small} --temp-dir={tmp}/{k} --num-cpus=1 --dashboard-agent-listen-port={agent}",
            )
            for k, agent in enumerate(agents[1:], start=2)
        ]
        found = Cluster(f"http://127.0.0.1:{dashboard}", Path(tmp), environment, token)
        processes: list[subprocess.Popen[bytes]] = []
        try:
            for nodes, command in enumerate((head, *workers), start=1):
                start_node(found, nodes, command, processes)
            yield found
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                stop(process)


def start_node(
    cluster: Cluster, nodes: int, command: str, processes: list[subprocess.Popen[bytes]]
) -> None:
    """Start the last of so many nodes, and wait until the cluster knows them all.

    Ray gives a node 30 s to come up, which a machine that has other things to do may need; so a
    second time is granted.
    """
    log = cluster.folder / f"node{nodes}.log"
    for _ in range(2):
        with log.open("a") as output:
            process = subprocess.Popen(
                ["bash", "-c", command],
                env=cluster.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        processes.append(process)
        deadline = time.monotonic() + START_LIMIT
        while process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                listed = cluster.get("/nodes?view=summary", cluster.token).decode()
                if len(set(re.findall(r'"nodeId": ?"(\w+)"', listed))) >= nodes:
                    return
            time.sleep(0.3)
        stop(process)
    logs = [log, *cluster.folder.glob(f"{nodes}/session_latest/logs/gcs_server.*")]
    pytest.fail("\n".join(f"{path.name}: {path.read_text()[-3000:]}" for path in logs))


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a node and all it has started."""
    process.terminate()
    try:
        process.wait(3)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_the_job_server_wants_the_token(cluster):
    with pytest.raises(urllib.error.HTTPError, match="401"):
        cluster.get("/api/jobs/", None)
    with pytest.raises(urllib.error.HTTPError, match="403"):
        cluster.get("/api/jobs/", "f" * 64)
    assert cluster.get("/api/jobs/", cluster.token) == b"[]"


def test_labelling_as_a_job(cluster, tmp_path):
    """The script, the stage file as a command of its own, and an output that would be lost."""
    submit = [BIN / "ray", "job", "submit", "--working-dir", ".", "--"]
    jobs = {
        "script": cluster.popen("cluster/submit.sh", "label", *LABEL, "--out", tmp_path / "a b"),
        "direct": cluster.popen(*submit, "pipeline/label.py", *LABEL, "--out", tmp_path / "direct"),
        "lost": cluster.popen(*submit, "pipeline/label.py", *LABEL, "--out", "runs/data"),
    }
    output = {name: job.communicate(timeout=300)[0] for name, job in jobs.items()}
    for name, code in (("script", 0), ("direct", 0), ("lost", 1)):
        assert jobs[name].returncode == code, output[name]
    assert re.search(r"labelling: 20/20 samples, [\d.]+/s", output["script"]), output["script"]
    assert "absolute" in output["lost"]
    assert "Traceback" not in output["lost"]
    # The environment, the repository's history and results stay here.
    uploaded = [
        path
        for folder in cluster.folder.glob("1/session_2*/runtime_resources/working_dir_files/*/")
        for path in folder.iterdir()
    ]
    assert {"deepsched", "pipeline", "cluster"} <= {path.name for path in uploaded}
    assert not {".git", ".venv", "runs", "tests"} & {path.name for path in uploaded}
    assert sum(f.stat().st_size for p in uploaded for f in [p, *p.rglob("*")]) < 10_000_000
    datasets = [Dataset.open(str(tmp_path / name)) for name in ("a b", "direct")]
    for dataset in datasets:
        assert dataset.n_samples == 20
        assert set(dataset.teachers) == {"heft", "round-robin"}
        for sample in dataset.samples("heft", "test"):
            assert sample.schedule.makespan == heft(sample.problem).makespan
    digests = [
        {shard.name: shard.read_bytes() for shard in (tmp_path / name).rglob("*.parquet")}
        for name in ("a b", "direct")
    ]
    assert digests[0]
    assert digests[0] == digests[1]


def test_training_as_a_job(cluster, tmp_path):
    """Two processes on two nodes, neither of them the driver's, learn what one here does."""
    settings = "--steps 4 --check-every 2 --development 4 --least-tasks 8 --most-tasks 24"
    options = [*settings.split(), "--network-option", "width=8", "--network-option", "rounds=1"]
    job = cluster.popen(
        *("cluster/submit.sh", "train", *options),
        *("--workers", "2", "--out", str(tmp_path / "job")),
    )
    output = job.communicate(timeout=300)[0]
    assert job.returncode == 0, output
    assert "deepsched, policy-gradient" in output
    here = deepsched("train", *options, "--workers", "0", "--out", tmp_path / "here")
    assert here.returncode == 0, here.stderr
    weights = [
        (tmp_path / name / "checkpoint" / "model.safetensors").read_bytes()
        for name in ("job", "here")
    ]
    assert weights[0] == weights[1]


def test_serve_deploy(cluster, tmp_path):
    config = yaml.safe_load((ROOT / "cluster/serve.yaml").read_text())
    [port] = free_ports(1)
    config["http_options"]["port"] = port
    config["applications"][0]["args"]["max_tasks"] = 15
    file = tmp_path / "serve.yaml"
    file.write_text(yaml.safe_dump(config))
    deploy = cluster.popen(BIN / "serve", "deploy", file, "--address", cluster.dashboard)
    said = deploy.communicate(timeout=60)[0]
    assert deploy.returncode == 0, said
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + START_LIMIT
    while True:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5) as response:
                assert b'"status":"ready"' in response.read()
                break
        except OSError:
            assert time.monotonic() < deadline, cluster.get(
                "/api/serve/applications/", cluster.token
            )
            time.sleep(0.5)
    body = (ROOT / "tests/data/topcuoglu.json").read_bytes()
    with urllib.request.urlopen(f"{url}/v1/schedule", body, timeout=30) as response:
        assert b'"makespan":73.0' in response.read()
    with urllib.request.urlopen(f"{url}/v1/schedulers", timeout=5) as response:
        assert b'"max_tasks":15' in response.read()
