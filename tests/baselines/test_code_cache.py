"""Where compiled kernels are kept: nowhere, or damaged, they run all the same."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from deepsched.baselines.kernels import code_cache
from deepsched.baselines.kernels.code_cache import private_folder

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parent.parent.parent
# Two kernels, one of which calls the other; then where they are kept and what was found there.
PROGRAM = """
import numpy as np
from deepsched.baselines.kernels import costs
print(costs.mean_over_finite(np.array([[1.0, 3.0, np.inf]])).tolist())
print(costs.mean_over_finite._cache.cache_path, len(costs.mean_over_finite.stats.cache_hits))
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Return a copy of the package beside whose files nothing can be written, not even by root."""
    folder = tmp_path / "package"
    for part in ("deepsched", "baselines"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for inner in [folder, *folder.rglob("*")]:
        if inner.is_dir():
            (inner / "__pycache__").write_text("a file")
    return folder


def run(package: Path, code: str = PROGRAM, **variables: str) -> tuple[str, str, str]:
    """Return the kernel's answer, its folder with the hits, and what was said on stderr."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA_", "XDG_"))}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**inherited, "HOME": "/dev/null/x", "PYTHONPATH": str(package), **variables},
        cwd=package.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer, place = done.stdout.splitlines()
    return answer, place, done.stderr


def test_without_a_place_code_is_kept_in_a_private_folder_which_is_said_once(
    package: Path, tmp_path: Path
) -> None:
    variables = {"TMPDIR": str(tmp_path), "NUMBA_CACHE_DIR": "/dev/null/y"}
    private = tmp_path / f"deepsched-{os.geteuid()}"
    for hits in (0, 1):
        answer, place, said = run(package, **variables)
        assert answer == "[2.0]"
        assert place.startswith(f"{private}/")
        assert place.endswith(f" {hits}")
        assert said.count("\n") == 1
        assert f"compiled code is kept in {private}; NUMBA_CACHE_DIR=" in said
    assert private.stat().st_mode & 0o777 == 0o700
    assert not (package.parent / "~").exists()


def test_a_private_folder_that_others_can_write_to_or_that_is_a_link_is_not_used(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = tmp_path / f"deepsched-{os.geteuid()}"
    monkeypatch.setattr(code_cache.tempfile, "gettempdir", lambda: str(tmp_path))
    assert private_folder() == private
    private.chmod(0o777)
    with pytest.raises(OSError, match="is not a folder of this user's alone"):
        private_folder()
    answer, place, said = run(package, TMPDIR=str(tmp_path))
    assert (answer, place, said.count("\n")) == ("[2.0]", "None 0", 1)
    assert "compiled code cannot be kept: each process compiles anew" in said
    private.rmdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    private.symlink_to(elsewhere)
    with pytest.raises(OSError, match="is not a folder of this user's alone"):
        private_folder()
    private.unlink()
    monkeypatch.setattr(code_cache.os, "geteuid", lambda: os.getuid() + 1)
    (tmp_path / f"deepsched-{os.getuid() + 1}").mkdir(mode=0o700)
    with pytest.raises(OSError, match="is not a folder of this user's alone"):
        private_folder()


def test_where_files_can_be_written_they_are_and_nothing_is_said(tmp_path: Path) -> None:
    for hits in (0, 1):
        answer, place, said = run(ROOT, NUMBA_CACHE_DIR=str(tmp_path))
        assert (answer, said) == ("[2.0]", "")
        assert place.startswith(f"{tmp_path}/")
        assert place.endswith(f" {hits}")


def test_code_is_compiled_anew_when_a_kernel_that_it_may_call_changes(tmp_path: Path) -> None:
    package = tmp_path / "package"
    for part in ("deepsched", "baselines"):
        shutil.copytree(ROOT / part, package / part, ignore=shutil.ignore_patterns("__pycache__"))
    variables = {"NUMBA_CACHE_DIR": str(tmp_path / "kept")}
    other = package / "baselines" / "kernels" / "lanes.py"
    for hits in (0, 1, 0, 1):
        if hits == 0:
            other.write_text(other.read_text() + "# changed\n")
        answer, place, _ = run(package, **variables)
        assert answer == "[2.0]"
        assert place.endswith(f" {hits}")


def test_an_index_of_types_that_there_are_no_more_is_written_anew(tmp_path: Path) -> None:
    package = tmp_path / "package"
    for part in ("deepsched", "baselines"):
        shutil.copytree(ROOT / part, package / part, ignore=shutil.ignore_patterns("__pycache__"))
    kernels = package / "baselines" / "kernels" / "costs.py"
    now = kernels.read_text()
    kernels.write_text(
        now + "from typing import NamedTuple\n\n\nclass Gone(NamedTuple):\n    etc: object\n\n\n"
        "@jit\ndef of_a_type(gone):\n    return gone.etc\n"
    )
    # The two are one function to numba: its name and its line are the same.
    line = len(kernels.read_text().splitlines()) - 2
    program = "from deepsched.baselines.kernels import costs\nprint(costs.of_a_type({}))\n"
    program += "print(costs.of_a_type._cache.cache_path, len(costs.of_a_type.stats.cache_hits))\n"
    variables = {"NUMBA_CACHE_DIR": str(tmp_path / "kept")}
    assert run(package, program.format("costs.Gone(7.0)"), **variables)[0] == "7.0"
    padding = "\n" * (line - len(now.splitlines()) - 1)
    kernels.write_text(now + padding + "@jit\ndef of_a_type(gone):\n    return gone\n")
    for hits in (0, 1):
        answer, place, said = run(package, program.format("7.0"), **variables)
        assert (answer, said) == ("7.0", "")
        assert place.endswith(f" {hits}")


def flip(data: bytes) -> bytes:
    """Return bytes of which one in the middle, so of the machine code, is another."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0x55]) + data[middle + 1 :]


@pytest.mark.parametrize("files", ["*.nbi", "*.nbc"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        flip,
        lambda data: bytes(len(data)),
    ],
    ids=["empty", "cut", "a byte changed", "zeros"],
)
def test_a_damaged_file_is_compiled_anew_and_mended(
    files: str, damage: Callable[[bytes], bytes], kept: Path
) -> None:
    variables = {"NUMBA_CACHE_DIR": str(kept)}
    found = list(kept.rglob(files))
    assert found
    for path in found:
        path.write_bytes(damage(path.read_bytes()))
    for hits in (0, 1):
        answer, place, said = run(ROOT, **variables)
        assert (answer, said) == ("[2.0]", "")
        assert place.endswith(f" {hits}")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with compiled code, which each test leaves whole."""
    folder = tmp_path_factory.mktemp("kept")
    run(ROOT, NUMBA_CACHE_DIR=str(folder))
    return folder


def test_a_disk_that_is_full_when_code_is_kept_is_one_line(tmp_path: Path) -> None:
    full = """
import errno, os
from deepsched.baselines.kernels import code_cache
def refuse(self, path, content): raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
code_cache._CheckedFiles._write = refuse
"""
    answer, _, said = run(ROOT, full + PROGRAM, NUMBA_CACHE_DIR=str(tmp_path))
    assert answer == "[2.0]"
    assert said.count("\n") == 1
    assert f"cannot be kept in {tmp_path}/" in said
    assert ": No space left on device; NUMBA_CACHE_DIR=" in said


def test_every_kernel_is_kept_this_way() -> None:
    """No function of the package is compiled past the helper that makes caches harmless."""
    own: list[Any] = [
        path
        for part in ("baselines", "model", "pipeline")
        for path in (ROOT / part).rglob("*.py")
        if "njit" in path.read_text(encoding="utf-8") or "cache=True" in path.read_text("utf-8")
    ]
    assert [path.name for path in own] == ["structures.py"]
