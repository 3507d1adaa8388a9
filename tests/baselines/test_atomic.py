"""Files appear whole or not at all, whatever ends the writing, and nothing is left beside them."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from deepsched.baselines.atomic import (
    PREFIX,
    TEMPORARY,
    forget_unfinished,
    is_temporary,
    write_bytes,
    write_text,
    write_together,
)
from deepsched.baselines.errors import UnwritableOutput

if TYPE_CHECKING:
    from collections.abc import Callable


def disk_full(descriptor: int) -> NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def interrupted(descriptor: int) -> NoReturn:
    raise KeyboardInterrupt


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_bytes_and_text_arrive_as_they_are(tmp_path: Path) -> None:
    write_bytes(tmp_path / "bytes", b"\0\r\n\xff")
    write_bytes(str(tmp_path / "view"), memoryview(b"abc")[1:])
    write_text(tmp_path / "text", "zażółć\n\r\n🦀 \ud800")
    assert (tmp_path / "bytes").read_bytes() == b"\0\r\n\xff"
    assert (tmp_path / "view").read_bytes() == b"bc"
    # No file can hold the surrogate; line ends are nobody's business.
    assert (tmp_path / "text").read_bytes() == "zażółć\n\r\n🦀 \\ud800".encode()
    assert names(tmp_path) == ["bytes", "text", "view"]


def test_an_old_file_is_replaced_and_the_new_one_has_the_usual_rights(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("old")
    path.chmod(0o600)
    with path.open() as reader:
        write_text(path, "new")
        assert reader.read() == "old"  # who reads the old one reads it to its end
    assert path.read_text() == "new"
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def test_a_name_may_be_as_long_as_the_system_allows(tmp_path: Path) -> None:
    write_text(tmp_path / ("x" * 255), "")
    assert names(tmp_path) == ["x" * 255]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing/out", "No such file or directory"),
        ("file/out", "Not a directory"),
        ("folder", "it is a folder"),
        ("x" * 300, "File name too long"),
        ("nul\0", "embedded null"),
        ("loop", "loop"),
    ],
)
def test_an_unwritable_path_is_named_and_nothing_is_left(
    name: str, reason: str, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(UnwritableOutput) as caught:
        write_text(tmp_path / name, "text")
    assert str(caught.value).startswith(f"{tmp_path / name}: cannot be written: ")
    assert reason in str(caught.value)
    assert names(tmp_path) == ["file", "folder", "loop"]


def test_a_failure_half_way_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").write_text("old")
    monkeypatch.setattr(os, "fsync", disk_full)
    with pytest.raises(UnwritableOutput, match="out: cannot be written: No space left on device"):
        write_text(tmp_path / "out", "new")
    assert (tmp_path / "out").read_text() == "old"
    assert names(tmp_path) == ["out"]


def test_an_interrupt_leaves_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_text(tmp_path / "out", "text")
    assert names(tmp_path) == []


def test_a_link_is_followed_and_a_device_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "null").symlink_to(os.devnull)
    write_text(tmp_path / "link", "new")
    write_text(tmp_path / "null", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"
    assert (tmp_path / "null").is_symlink()
    assert (tmp_path / "null").is_char_device()


@pytest.mark.parametrize("fault", [disk_full, interrupted])
@pytest.mark.parametrize("step", ["second file", "second rename"])
def test_files_that_belong_together_are_all_written_before_one_is_replaced(
    step: str,
    fault: Callable[[int], NoReturn],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in "ab":
        (tmp_path / name).write_text("old")
    calls = 0

    def at_the_second(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            nonlocal calls
            calls += 1
            return fault(0) if calls == 2 else real(*arguments)

        return call

    if step == "second file":
        monkeypatch.setattr(os, "fsync", at_the_second(os.fsync))
    else:
        monkeypatch.setattr(Path, "replace", at_the_second(Path.replace))
    with pytest.raises((OSError, KeyboardInterrupt)):
        write_together({tmp_path / "a": b"new", tmp_path / "b": b"new"})
    # A rename that fails is the disk's own end; then one is new, and nothing is left all the same.
    assert (tmp_path / "a").read_text() == ("old" if step == "second file" else "new")
    assert (tmp_path / "b").read_text() == "old"
    assert names(tmp_path) == ["a", "b"]
    write_together({tmp_path / "a": b"newer", tmp_path / "b": b"newer"})
    assert [(tmp_path / name).read_text() for name in "ab"] == ["newer", "newer"]


def test_lasting_files_flush_each_folder_once_after_the_renames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    real = os.fsync

    def noted(descriptor: int) -> None:
        flushed.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    (tmp_path / "folder").mkdir()
    places = [tmp_path / "a", tmp_path / "b", tmp_path / "folder" / "c"]
    write_together(dict.fromkeys(places, b"x"), lasting=True)
    assert flushed == ["file"] * 3 + ["folder"] * 2
    flushed.clear()
    write_together(dict.fromkeys(places, b"y"))
    assert flushed == ["file"] * 3


def test_what_a_killed_process_left_is_known_and_removed(tmp_path: Path) -> None:
    left = f"{PREFIX}0123{TEMPORARY}"
    others = [".hidden", ".other.tmp", "plain.tmp", f"{PREFIX}notes"]
    for name in [left, *others]:
        (tmp_path / name).touch()
    found = {name: is_temporary(name) for name in [left, *others]}
    assert found == {
        left: True,
        ".hidden": False,
        ".other.tmp": True,  # as those of datasets were called
        "plain.tmp": False,
        f"{PREFIX}notes": False,
    }
    assert is_temporary(f"labels/heft/{left}")
    assert not is_temporary("labels/.folder.tmp/part")
    forget_unfinished(tmp_path)
    assert names(tmp_path) == sorted(others)
