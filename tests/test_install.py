"""How the package is installed: under one name, whatever the user's own folders are called."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.pipeline.cli_helpers import ROOT, said_by

PARTS = ("baselines", "model", "pipeline")
PROGRAM = """
import deepsched as ds
problem = ds.problem(etc=[[1, 2], [2, 1]], edges=[(0, 1)])
assert ds.schedule(problem, "heft").makespan == 2.0
{own}
import sys
print(ds.__file__)
print(*sorted(name for name in sys.modules if name.split(".")[0] in {parts}))
"""
# A user's project: its files, a program that uses them, and the modules of them it has then loaded.
PROJECTS = {
    "model.py, pipeline/": (
        {"model.py": "mine = 1\n", "pipeline/__init__.py": "", "pipeline/label.py": "mine = 2\n"},
        "import model, pipeline.label; assert (model.mine, pipeline.label.mine) == (1, 2)",
        "model pipeline pipeline.label",
    ),
    "model/ without __init__, baselines.py": (
        {"model/net.py": "mine = 3\n", "baselines.py": "mine = 4\n"},
        "import model.net, baselines; assert (model.net.mine, baselines.mine) == (3, 4)",
        "baselines model model.net",
    ),
}


def copied_sources(folder: Path) -> Path:
    """Return a copy of what the distribution is built from."""
    for name in ("deepsched", *PARTS):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like site-packages, with the wheel and nothing else in it."""
    folder = tmp_path_factory.mktemp("installed")
    source = copied_sources(tmp_path_factory.mktemp("source"))
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = ["--no-deps", "--no-build-isolation", "--no-cache-dir"]
    subprocess.run([*pip, "wheel", *build, "-w", folder / "w", source], check=True)
    [wheel] = (folder / "w").iterdir()
    subprocess.run([*pip, "install", "--no-deps", "-t", folder / "site", wheel], check=True)
    return folder / "site"


def test_nothing_lies_beside_the_package(installed: Path) -> None:
    names = {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")}
    assert names - {"bin"} == {"deepsched"}


def test_the_wheel_holds_every_file(installed: Path) -> None:
    """Also data files; the list of packages is kept by hand."""
    shipped = {
        path.relative_to(installed / "deepsched")
        for path in (installed / "deepsched").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "deepsched", *PARTS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    here = {Path(name) for name in listed if (ROOT / name).exists() and not name.endswith(".md")}
    own = {path.relative_to("deepsched") if path.parts[0] == "deepsched" else path for path in here}
    assert shipped == own


def test_every_package_is_listed() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {
        ".".join(("deepsched", *file.parent.relative_to(ROOT).parts))
        for part in PARTS
        for file in (ROOT / part).rglob("__init__.py")
    }
    assert set(settings["packages"]) == {"deepsched", *folders}


@pytest.mark.parametrize("start", ["-c", "script", "pytest", "PYTHONPATH=."])
@pytest.mark.parametrize("project", PROJECTS)
@pytest.mark.parametrize("way", ["wheel", "editable"])
def test_the_users_own_modules_stay_theirs(
    way: str, project: str, start: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    files, own, loaded = PROJECTS[project]
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    program = PROGRAM.format(own=own, parts=PARTS)
    paths = [str(request.getfixturevalue("installed"))] if way == "wheel" else []
    arguments = ["-c", program]
    if start == "script":
        (tmp_path / "program.py").write_text(program)
        arguments = ["program.py"]
    elif start == "pytest":
        body = "".join(f"    {line}\n" for line in program.splitlines() if line)
        (tmp_path / "test_own.py").write_text(f"def test_own():\n{body}")
        arguments = ["-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "test_own.py"]
    elif start == "PYTHONPATH=.":
        paths.insert(0, ".")
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    home = request.getfixturevalue("installed") if way == "wheel" else ROOT
    said = done.stdout.splitlines()
    place = said.index(str(home / "deepsched" / "__init__.py"))
    assert said[place + 1].removesuffix(".") == loaded


@pytest.mark.parametrize("name", PARTS)
def test_the_folders_are_no_packages_of_their_own(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import {name}"],
        cwd=tmp_path,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"No module named '{name}'" in done.stderr


# What an installation without extras lacks; blocked here, since it is installed.
BLOCKED = ("ray", "torch", "pyarrow", "pydantic", "yaml", "matplotlib", "pandas", "ortools")
BLOCKER = f"""
import sys

class Blocked:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in {BLOCKED}:
            return self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Blocked(finder) for finder in sys.meta_path]
from deepsched.__main__ import main
sys.argv[0] = "deepsched"
main()
"""


def without_extras(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BLOCKER, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_scheduling_needs_no_extra(tmp_path: Path) -> None:
    file = str(ROOT / "tests/data/topcuoglu.json")
    line = ["schedule", file, "--samples", "32", "--json", "a.json", "--gantt", "a.html"]
    line += ["--csv", "a.csv", "--trace", "a.trace"]
    done = without_extras(*line, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.iterdir())) == 4
    done = without_extras("schedule", file, cwd=tmp_path)
    assert "HEFT 80 → deepsched 73 s" in done.stdout
    assert without_extras("--help", cwd=tmp_path).returncode == 0
    assert without_extras("compile", "--help", cwd=tmp_path).returncode == 0
    assert without_extras("benchmark", "speed", "--help", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize("stage", ["label", "verify", "train", "tune", "evaluate", "serve", "demo"])
def test_a_stage_without_its_extra_says_what_to_install(stage: str, tmp_path: Path) -> None:
    arguments = {
        "label": ["--preset", "small", "--out", "x"],
        "verify": ["x"],
        "train": ["--data", "x", "--out", "y"],
        "tune": ["--data", "x", "--out", "y"],
        "evaluate": ["--data", "x", "--checkpoint", "y", "--out", "z"],
        "serve": [],
        "demo": ["--out", "x"],
    }
    done = without_extras(stage, *arguments[stage], cwd=tmp_path)
    assert done.returncode == 2, done.stdout
    (said,) = said_by(done)
    assert "pip install 'deepsched[ray]'" in said
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_needs_torch_says_so(tmp_path: Path) -> None:
    from deepsched.model.checkpoint import save_checkpoint
    from deepsched.model.networks import build_network

    save_checkpoint(tmp_path / "c", build_network("paper", {"width": 4}), "paper", {"width": 4}, {})
    file = str(ROOT / "tests/data/topcuoglu.json")
    done = without_extras("schedule", file, "--checkpoint", "c", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.endswith("needs torch: pip install 'deepsched[ray]'\n")


LARGEST = 350e6  # bytes of everything that `pip install deepsched` brings, pip itself aside


@pytest.mark.install
def test_a_new_environment(installed: Path, tmp_path: Path) -> None:
    """From the package index, as a user does it: its size, and what it can do."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    bin_folder = tmp_path / "venv" / "bin"
    [wheel] = (installed.parent / "w").iterdir()
    pip = [bin_folder / "python", "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "-c", ROOT / "constraints.txt", wheel], check=True)
    [site] = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    size = sum(
        file.stat().st_size
        for folder in site.iterdir()
        if not folder.name.startswith(("pip", "setuptools", "_distutils"))
        for file in [folder, *folder.rglob("*")]
        if file.is_file()
    )
    assert size < LARGEST
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        line = [str(argument) for argument in arguments]
        return subprocess.run(
            line, cwd=tmp_path, env=clean, capture_output=True, text=True, check=False
        )

    problem = ROOT / "tests/data/topcuoglu.json"
    done = run(bin_folder / "deepsched", "schedule", problem, "--samples", 32, "--gantt", "g.html")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "g.html").stat().st_size > 10_000
    code = f"import deepsched as ds; print(ds.schedule(ds.read_problem({str(problem)!r})).makespan)"
    assert run(bin_folder / "python", "-c", code).stdout == "73.0\n"
    done = run(bin_folder / "python", "-m", "deepsched", "label", "--preset", "small", "--out", "x")
    assert (done.returncode, len(said_by(done))) == (2, 1)
    assert "pip install 'deepsched[ray]'" in done.stderr
