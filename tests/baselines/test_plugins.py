"""Schedulers of one's own: registered by name, or named on a command line."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from deepsched.baselines import registry
from deepsched.baselines.errors import InvalidInput, UnknownName
from deepsched.baselines.heft import heft
from deepsched.baselines.machines import make_machines
from deepsched.baselines.plugins import register_named
from deepsched.baselines.problem import make_problem
from deepsched.baselines.registry import (
    OPTIONAL,
    RESERVED,
    SCHEDULERS,
    get_scheduler,
    is_known,
    register,
    registered,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from deepsched.baselines.problem import Problem
    from deepsched.baselines.schedule import Schedule

OWN = """
from dataclasses import dataclass
from deepsched.baselines.heft import heft

@dataclass  # looks its own module up in sys.modules
class Kept:
    calls: int = 0

def mine(problem, rng):
    return heft(problem)

def heft_too(problem, rng):
    return heft(problem)

number = 3
"""


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Undo what a test registers, imports and adds to the path."""
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))  # noqa: SLF001
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith(("_scheduler_", "own_schedulers")):
            del sys.modules[name]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own schedulers.py"
    path.write_text(OWN)
    return path


def mine(problem: Problem, rng: np.random.Generator) -> Schedule:
    return heft(problem)


def tiny() -> Problem:
    return make_problem(machines=make_machines(2), etc=[[1.0, 2.0], [2.0, 1.0]])


def test_what_is_registered_is_found_by_its_name() -> None:
    assert not is_known("mine")
    with pytest.raises(UnknownName, match="unknown scheduler 'mine'; one of: best-of"):
        get_scheduler("mine")
    register("mine", mine)
    assert is_known("mine")
    assert registered()["mine"] is get_scheduler("mine") is mine
    assert "mine" not in SCHEDULERS
    with pytest.raises(UnknownName, match=r"'ours'; one of: .*, mine, "):
        get_scheduler("ours")


def test_a_name_that_was_registered_is_taken_over() -> None:
    def other(problem: Problem, rng: np.random.Generator) -> Schedule:
        return heft(problem)

    register("mine", mine)
    register("mine", other)
    assert get_scheduler("mine") is other


def test_the_table_of_the_registered_is_only_for_reading() -> None:
    with pytest.raises(TypeError):
        registered()["mine"] = mine  # type: ignore[index]


@pytest.mark.parametrize("name", [*SCHEDULERS, *OPTIONAL, *RESERVED])
def test_a_name_of_the_package_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        register(name, mine)
    assert str(caught.value) == (
        f"scheduler {name!r} is one of the package's own; give another name"
    )
    assert name not in registered()
    if name in SCHEDULERS:
        assert get_scheduler(name) is SCHEDULERS[name]


@pytest.mark.parametrize(
    "name",
    ["", "a/b", "../x", ".hidden", "-x", "a b", "a:b", "a,b", "né", "x" * 65, "a\n", "a\nb", "a\0"],
)
def test_a_name_that_cannot_be_part_of_a_files_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="up to 64 ASCII letters, digits, '-', ") as caught:
        register(name, mine)
    assert "\n" not in str(caught.value)
    assert not is_known(name)


@pytest.mark.parametrize("name", ["a", "9", "x" * 64, "My_own-2.1"])
def test_names_that_can(name: str) -> None:
    register(name, mine)
    assert get_scheduler(name) is mine


@pytest.mark.parametrize("thing", [3, None, "heft"])
def test_what_cannot_be_called_is_refused(thing: Any) -> None:
    with pytest.raises(InvalidInput, match=f"'mine': {type(thing).__name__} cannot be called"):
        register("mine", thing)
    assert not is_known("mine")


@pytest.mark.parametrize("name", ["heft", "deepsched", "mine", "", "folder/own.py"])
def test_a_name_without_a_function_is_a_name(name: str) -> None:
    before = dict(registered())
    assert register_named(name) == name
    assert registered() == before


def test_a_function_of_a_file(own: Path) -> None:
    assert register_named(f"{own}:mine") == "mine"
    run = get_scheduler("mine")
    problem = tiny()
    assert run(problem, np.random.default_rng(0)).aft.tobytes() == heft(problem).aft.tobytes()
    assert register_named(f"{own}:heft_too") == "heft_too"
    assert {"mine", "heft_too"} <= set(registered())


def test_a_files_path_may_be_relative_and_begin_at_home(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(own.parent)
    assert register_named(f"{own.name}:mine") == "mine"
    monkeypatch.setenv("HOME", str(own.parent))
    assert register_named(f"~/{own.name}:heft_too") == "heft_too"


def test_a_file_that_was_changed_is_read_again(own: Path) -> None:
    register_named(f"{own}:mine")
    own.write_text("def mine(problem, rng):\n    return 'changed, and of another length'\n")
    register_named(f"{own}:mine")
    assert get_scheduler("mine")(tiny(), np.random.default_rng(0)) == (  # type: ignore[comparison-overlap]
        "changed, and of another length"
    )


def test_a_function_of_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "own_schedulers"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "first.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)  # as `python -m` finds it
    assert register_named("own_schedulers.first:mine") == "mine"
    assert get_scheduler("mine") is sys.modules["own_schedulers.first"].mine


def test_a_module_that_is_installed() -> None:
    assert register_named("tests.baselines.test_plugins:mine") == "mine"
    assert get_scheduler("mine").__module__ == "tests.baselines.test_plugins"


def refused(name: str) -> str:
    before = dict(registered())
    with pytest.raises(InvalidInput) as caught:
        register_named(name)
    assert registered() == before
    return str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none.py"
    assert refused(f"{path}:mine") == f"scheduler {path}:mine: there is no file {path}"
    (tmp_path / "folder.py").mkdir()
    assert "there is no file" in refused(f"{tmp_path / 'folder.py'}:mine")


def test_a_module_that_is_not_there_is_named() -> None:
    said = refused("own_schedulers.none:mine")
    assert said.startswith("scheduler own_schedulers.none:mine: cannot be imported: ModuleNotFound")
    assert "own_schedulers" in said.partition("imported: ")[2]
    assert refused(":mine").startswith("scheduler :mine: cannot be imported: ValueError: ")


def test_a_function_that_is_not_there_is_named(own: Path) -> None:
    assert refused(f"{own}:yours") == f"scheduler {own}:yours: there is no 'yours' in {own}"
    assert refused(f"{own}:").endswith(f": there is no '' in {own}")
    assert "there is no 'yours' in math" in refused("math:yours")


def test_what_is_no_function_is_refused(own: Path) -> None:
    assert refused(f"{own}:number") == "scheduler 'number': int cannot be called"


def test_a_function_with_a_name_of_the_package_is_refused(own: Path, tmp_path: Path) -> None:
    assert "'heft' is one of the package's own; give another name" in refused(f"{own}:heft")
    other = tmp_path / "other.py"
    other.write_text("def deepsched(problem, rng): ...\n")
    assert "'deepsched' is one of the package's own" in refused(f"{other}:deepsched")
    assert get_scheduler("heft") is heft


def test_a_function_whose_name_no_file_can_have_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.py"
    path.write_text("def _hidden(problem, rng): ...\n")
    assert refused(f"{path}:_hidden").startswith("scheduler name '_hidden': give up to 64 ASCII")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import nothing_of_this_name", "ModuleNotFoundError: No module named 'nothing_of_this_na"),
        ("def mine(:", "SyntaxError: invalid syntax"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise ValueError('two\\nlines')", "ValueError: two"),
    ],
    ids=["import", "syntax", "division", "lines"],
)
def test_a_file_that_fails_is_one_error_that_says_why(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "broken.py"
    path.write_text(text)
    message = refused(f"{path}:mine")
    assert message.startswith(f"scheduler {path}:mine: cannot be imported: {said}")
    # Not half of a module is left for the next one who asks.
    assert message == refused(f"{path}:mine")
