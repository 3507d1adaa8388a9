"""The ways to start labelling, each in a process of its own, each making the same dataset."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from deepsched.pipeline.dataset.storage import Dataset
from deepsched.pipeline.label import command
from tests.pipeline.cli_helpers import said_by

# Each test starts interpreters that import Ray.
pytestmark = pytest.mark.ray

ROOT = Path(__file__).resolve().parent.parent.parent
ARGUMENTS = ("--preset", "small", "--samples", "6", "--schedulers", "heft,random")
SCRIPT = str(ROOT / "pipeline" / "label.py")
WAYS = {
    "python pipeline/label.py": (sys.executable, SCRIPT),
    "pipeline/label.py": (SCRIPT,),
    "python -m deepsched label": (sys.executable, "-m", "deepsched", "label"),
    "deepsched label": (str(Path(sysconfig.get_path("scripts")) / "deepsched"), "label"),
}


def start(
    way: tuple[str, ...], *arguments: str, cwd: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    # `#!/usr/bin/env python3` is to find the Python that runs these tests.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        [*way, *arguments],
        cwd=cwd,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def digest(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the same arguments make in this process."""
    out = tmp_path_factory.mktemp("here")
    assert (
        command.main([*ARGUMENTS, "--workers", "0", "--out", str(out)], standalone_mode=False) == 0
    )
    return Dataset.open(str(out)).manifest.digest()


@pytest.mark.parametrize("way", WAYS)
def test_every_way_makes_the_same_dataset(way: str, tmp_path: Path, digest: str) -> None:
    done = start(WAYS[way], *ARGUMENTS, "--workers", "0", "--out", str(tmp_path / "data"))
    assert done.returncode == 0, done.stderr
    dataset = Dataset.open(str(tmp_path / "data"))
    dataset.check()
    assert dataset.manifest.digest() == digest
    assert f"sha256    {digest}" in done.stdout


@pytest.mark.parametrize("way", WAYS)
def test_a_mistake_is_one_line_and_exit_code_2(way: str, tmp_path: Path) -> None:
    done = start(WAYS[way], *ARGUMENTS, "--preset", "huge", "--out", str(tmp_path / "data"))
    assert done.returncode == 2
    assert done.stdout == ""
    (said,) = said_by(done)
    assert said == "deepsched: unknown preset 'huge'; one of: demo, paper, small, training"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nonsense"])
def test_a_cluster_that_is_not_there_is_one_line(address: str, tmp_path: Path) -> None:
    out = str(tmp_path / "data")
    done = start(WAYS["deepsched label"], *ARGUMENTS, "--address", address, "--out", out)
    assert done.returncode == 2
    joining = f"joining the Ray cluster at {address}"
    (said,) = [line for line in said_by(done) if line != joining]
    assert said.startswith(f"deepsched: no Ray cluster at '{address}': ")


def test_help_explains_every_option() -> None:
    done = start(WAYS["deepsched label"], "--help")
    assert done.returncode == 0
    for option in ("--traces", "--preset", "--machines", "--samples", "--schedulers", "--out"):
        assert option in done.stdout


def test_a_checkout_that_is_not_installed_runs_its_own_code(tmp_path: Path) -> None:
    """Also in the workers of the Ray that it starts."""
    checkout = tmp_path / "checkout"
    for package in ("deepsched", "baselines", "model", "pipeline"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, checkout / package, ignore=ignored)
    presets = checkout / "pipeline" / "labelling" / "presets.py"
    text = presets.read_text()
    mark = 'return f"{self.name}/'
    assert text.count(mark) == 1
    presets.write_text(text.replace(mark, 'return f"copied {self.name}/'))
    way = (sys.executable, str(checkout / "pipeline" / "label.py"))
    arguments = ["--preset", "small", "--samples", "6", "--schedulers", "random"]
    done = start(way, *arguments, "--workers", "1", "--out", "data", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    samples = list(Dataset.open(str(tmp_path / "data")).samples("random"))
    assert len(samples) == 6
    assert all(sample.source.startswith("copied small/") for sample in samples)
