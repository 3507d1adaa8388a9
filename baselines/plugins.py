"""Schedulers of one's own, named on a command line: `FILE.py:function` or `module:function`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from deepsched.baselines.errors import InvalidInput, UnknownName, known_name
from deepsched.baselines.registry import OPTIONAL, RESERVED, SCHEDULERS, register, registered
from deepsched.baselines.text import absolute_path

if TYPE_CHECKING:
    from types import ModuleType


def register_named(name: str) -> str:
    """Return a scheduler's name; one that names a function is registered by the function's name.

    The name of a known one may be written in any case.

    Raises
    ------
    InvalidInput
        If the file or module cannot be imported, has no such function, or its name is taken by one
        of the package's own.
    """
    place, colon, function = name.rpartition(":")
    if not colon:
        known = [*SCHEDULERS, *OPTIONAL, *RESERVED, *registered()]
        with suppress(UnknownName):  # whoever looks it up says what there is
            return known_name("scheduler", name, known)
        return name
    module = _file_module(Path(place), name) if place.endswith(".py") else _module(place, name)
    try:
        scheduler = getattr(module, function)
    except AttributeError:
        raise InvalidInput(f"scheduler {name}: there is no {function!r} in {place}") from None
    register(function, scheduler)
    return function


def _module(place: str, name: str) -> ModuleType:
    # As `python -m` does, which an installed command does not.
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        return importlib.import_module(place)
    except Exception as error:
        raise _cannot(name, error) from error


def _file_module(path: Path, name: str) -> ModuleType:
    path = absolute_path(path)
    if not path.is_file():
        raise InvalidInput(f"scheduler {name}: there is no file {path}")
    spec = importlib.util.spec_from_file_location(f"_scheduler_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickling look there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[spec.name]
        raise _cannot(name, error) from error
    return module


def _cannot(name: str, error: Exception) -> InvalidInput:
    return InvalidInput(f"scheduler {name}: cannot be imported: {type(error).__name__}: {error}")
