"""What holds for the repository as a whole: its texts, its pins, and what importing it does."""

from __future__ import annotations

import ast
import inspect
import itertools
import json
import os
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import pytest

from deepsched.baselines.readers import FORMATS, JSON_FORMATS, TEXT_FORMATS
from deepsched.baselines.registry import SCHEDULERS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("deepsched", "baselines", "model", "pipeline")
SOURCE = re.compile(r"doi:|https?://|\((1[89]|20)\d\d\)")


def repository_files(root: Path = ROOT) -> Iterator[Path]:
    """Every file that git would keep.

    .gitignore holds patterns of folder names only; one with a slash in front is for the root.
    """
    lines = (ROOT / ".gitignore").read_text().split()
    anywhere = [".git", *(line.rstrip("/") for line in lines if not line.startswith("/"))]
    in_root = [line.strip("/") for line in lines if line.startswith("/")]
    for folder, folders, files in os.walk(root):
        patterns = anywhere + in_root if Path(folder) == root else anywhere
        folders[:] = [
            name for name in folders if not any(fnmatch(name, pattern) for pattern in patterns)
        ]
        # In a work tree of git's, .git is a file.
        yield from (Path(folder, name) for name in files if name != ".git")


def file_tree(text: str) -> str:
    """Return the fenced block under the heading "File tree"."""
    found = re.search(r"^#+ File tree\s*$.*?^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert found, "no fenced block under a heading 'File tree'"
    return found[1]


def tree_paths(tree: str) -> Iterator[str]:
    """Paths of a tree drawn by indentation: names, two blanks, what they are for.

    A line names one file or several, `*` allowed; a folder ends in "/".
    """
    folders: list[tuple[int, str]] = []
    for line in filter(str.strip, tree.splitlines()):
        indent = len(line) - len(line.lstrip(" │├└─"))
        while folders and folders[-1][0] >= indent:
            folders.pop()
        parent = folders[-1][1] if folders else ""
        names = re.split(r"\s{2,}|\s#", line[indent:].rstrip())[0].replace(",", " ").split()
        for name in names:
            yield parent + name
        if len(names) == 1 and names[0].endswith("/"):
            folders.append((indent, parent + names[0]))


def missing_paths(tree: str) -> list[str]:
    """Those that name nothing in the repository."""
    return [
        path
        for path in tree_paths(tree)
        if not any(found.is_dir() or not path.endswith("/") for found in ROOT.glob(path.strip("/")))
    ]


def test_the_tree_reader_finds_what_does_not_exist() -> None:
    tree = """
baselines/            schedulers
├── heft.py, gone.py  one of two is there
│   nothing.py
├── readers/          formats
│   └── *.absent
model/
  networks/           architectures
    *.py
LICENSE/ Makefile     # a file is no folder
"""
    assert list(tree_paths(tree)) == [
        "baselines/",
        "baselines/heft.py",
        "baselines/gone.py",
        "baselines/nothing.py",
        "baselines/readers/",
        "baselines/readers/*.absent",
        "model/",
        "model/networks/",
        "model/networks/*.py",
        "LICENSE/",
        "Makefile",
    ]
    assert missing_paths(tree) == [
        "baselines/gone.py",
        "baselines/nothing.py",
        "baselines/readers/*.absent",
        "LICENSE/",
    ]


@pytest.mark.parametrize(("page", "fewest"), [("README.md", 6), ("docs/design.md", 60)])
def test_a_tree_names_existing_files(page: str, fewest: int) -> None:
    tree = file_tree((ROOT / page).read_text(encoding="utf-8"))
    assert len(list(tree_paths(tree))) > fewest
    assert missing_paths(tree) == []


def test_every_folder_of_the_packages_is_in_the_tree() -> None:
    tree = set(tree_paths(file_tree((ROOT / "docs/design.md").read_text(encoding="utf-8"))))
    folders = {
        f"{path.parent.relative_to(ROOT).as_posix()}/"
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
    }
    assert folders <= tree


def foreign_private_imports() -> Iterator[str]:
    """Imports of a module with a leading underscore by another package than its own."""
    for part in PACKAGES:
        for path in (ROOT / part).rglob("*.py"):
            folders = path.parent.relative_to(ROOT).parts
            package = ".".join(folders if part == "deepsched" else ("deepsched", *folders))
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.Import | ast.ImportFrom):
                    continue
                source = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
                for name in (source + alias.name for alias in node.names):
                    found = re.match(r"(deepsched.*?)\._[a-z]", name)
                    if found and not f"{package}.".startswith(f"{found[1]}."):
                        yield f"{path.relative_to(ROOT)}: {name}"


def test_private_modules_are_used_only_inside_their_package() -> None:
    assert list(foreign_private_imports()) == []


def test_constraints_pin_every_dependency() -> None:
    pins = dict(
        line.lower().replace("_", "-").split("==")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if line and not line.startswith("#")
    )
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *itertools.chain(*extras.values()), "setuptools"]
    names = [re.split(r"[\[<>=!~ ;]", item)[0].lower().replace("_", "-") for item in wanted]
    names.remove("deepsched")  # `dev` takes in the other extras
    assert [name for name in names if name not in pins] == []
    assert all(re.fullmatch(r"[0-9][0-9a-z.]*", version) for version in pins.values())
    assert pins["torch"] == "2.13.0"
    assert pins["ray"] == "2.60.0"


def test_what_was_fetched_is_no_file_of_the_repository(tmp_path: Path) -> None:
    for name in ("data/stg/a.stg", "runs/b", "tests/data/c.stg", "model/runs/d"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert set(repository_files(tmp_path)) == {tmp_path / "tests/data/c.stg"}
    assert ROOT / "tests/data/tiny.stg" in set(repository_files())
    assert "/data/" in (ROOT / ".rayignore").read_text().splitlines()


def test_no_file_names_a_folder_of_the_machine_it_was_written_on() -> None:
    # Put together here, so that this file does not hold what it looks for.
    private = re.compile(rb"(?<![\w.}-])/" + b"work/")
    texts = {path: path.read_bytes() for path in repository_files()}
    assert ROOT / "tests/test_repository.py" in texts
    assert [str(path) for path, text in texts.items() if private.search(text)] == []


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_names_its_source(name: str) -> None:
    scheduler = SCHEDULERS[name]
    function = getattr(scheduler, "func", scheduler)  # a functools.partial of one
    texts = [inspect.getdoc(function), inspect.getdoc(inspect.getmodule(function))]
    assert any(SOURCE.search(text or "") for text in texts), texts


@pytest.mark.parametrize("reader", [*JSON_FORMATS, *TEXT_FORMATS], ids=FORMATS)
def test_every_reader_names_the_source_of_its_format(reader: ModuleType) -> None:
    text = inspect.getdoc(reader) or ""
    assert SOURCE.search(text) or re.search(r"the project's own|the paper's", text, re.IGNORECASE)


IMPORT_ALL = """
import importlib, json, logging, pkgutil, sys, threading
for name in sys.argv[1:]:
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        importlib.import_module(module.name)
loggers = {"": logging.root, **logging.root.manager.loggerDict}
print(json.dumps({
    "handlers": [name for name, logger in loggers.items() if getattr(logger, "handlers", None)],
    "threads": threading.active_count(),
    "ray": sys.modules["ray"].is_initialized(),
}))
"""


@pytest.mark.ray
def test_importing_everything_has_no_effect(tmp_path: Path) -> None:
    # matplotlib writes a font cache, which takes seconds; everything else must leave HOME alone.
    fonts = mpl.get_cachedir()
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            IMPORT_ALL,
            "deepsched.baselines",
            "deepsched.model",
            "deepsched.pipeline",
        ],
        cwd=tmp_path,
        env={
            "HOME": str(tmp_path),
            "MPLCONFIGDIR": fonts,
            "PYTHONPATH": str(ROOT),
            "PATH": os.defpath,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert [name for name in found["handlers"] if name.split(".")[0] in ("", *PACKAGES)] == []
    assert (found["ray"], found["threads"]) == (False, 1)
    assert list(tmp_path.iterdir()) == []
