"""A stage that is run as a file, `python pipeline/label.py`, installed or in a mere checkout.

What the stages do with it stands at their top, before they import anything of the package, so this
file must not import any of it either.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path


def run_file(file: str) -> None:
    """Run the command of a stage's file and leave the process.

    The folder that holds the package takes the place of the file's own, so that nothing is found
    by a wrong name; and the command is that of the module `deepsched.pipeline.STAGE`, not of
    `__main__`, since what Ray pickles must belong to a module that can be imported.
    """
    path = Path(file).resolve()
    root = next(folder for folder in path.parents if (folder / "deepsched/__init__.py").exists())
    sys.path[:] = [str(root), *(entry for entry in sys.path if not _is(entry, path.parent))]
    stage = importlib.import_module(f"deepsched.pipeline.{path.stem}")
    importlib.import_module("deepsched.pipeline.common.cli").run_command(stage.command)


def _is(entry: str, folder: Path) -> bool:
    return bool(entry) and Path(entry).resolve() == folder
