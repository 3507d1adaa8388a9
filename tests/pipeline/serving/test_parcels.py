"""Large bodies between processes: as files in memory, which nobody leaves behind."""

from __future__ import annotations

import errno
import os
import pickle
import subprocess
import sys

import pytest

from deepsched.pipeline.serving import parcels as module
from deepsched.pipeline.serving.parcels import LEAST, PREFIX, NotHere, Parcel, Parcels, glimpse

LARGE = os.urandom(LEAST)


def test_a_large_body_is_a_file_for_its_owner_alone_until_it_is_forgotten(tmp_path):
    found = Parcels(tmp_path)
    one, other = found.pack(LARGE), found.pack(LARGE + b"x")
    assert isinstance(one, Parcel)
    assert isinstance(other, Parcel)
    assert pickle.loads(pickle.dumps(one)).read() == LARGE
    assert other.read() == LARGE + b"x"
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.iterdir())
    found.forget(one)
    assert [str(path) for path in tmp_path.iterdir()] == [other.path]
    with pytest.raises(NotHere):
        one.read()
    found.forget(one)
    found.forget(other)
    assert list(tmp_path.iterdir()) == []


def test_a_small_body_goes_with_the_call(tmp_path):
    found = Parcels(tmp_path)
    assert found.pack(LARGE[1:]) == LARGE[1:]
    found.forget(b"small")
    assert list(tmp_path.iterdir()) == []


def test_without_a_folder_in_memory_or_with_processes_elsewhere_all_go_with_the_call(tmp_path):
    assert Parcels(tmp_path / "none").pack(LARGE) == LARGE
    found = Parcels(tmp_path)
    found.near = False
    assert found.pack(LARGE) == LARGE


def test_where_there_is_no_room_the_body_goes_with_the_call_and_nothing_is_left(
    tmp_path, monkeypatch
):
    wrote = []

    def full(descriptor: int, data: memoryview) -> int:
        if wrote:
            raise OSError(errno.ENOSPC, "No space left on device")
        wrote.append(len(data))
        return real(descriptor, data[:10])

    real = os.write
    monkeypatch.setattr(module.os, "write", full)
    assert Parcels(tmp_path).pack(LARGE) == LARGE
    assert wrote
    assert list(tmp_path.iterdir()) == []


def test_what_a_process_that_died_has_left_is_removed_and_nothing_else(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        capture_output=True,
        text=True,
        check=True,
    )
    left = tmp_path / f"{PREFIX}{int(ended.stdout)}-0"
    names = [f"{PREFIX}{os.getpid()}-7", f"{PREFIX}1-0", f"{PREFIX}mine", "another"]
    others = [tmp_path / name for name in names]
    for path in (left, *others):
        path.write_bytes(b"body")
    Parcels(tmp_path)
    assert not left.exists()
    assert all(path.exists() for path in others)


def test_a_body_that_comes_in_parts_is_in_memory_as_long_as_it_is_small(tmp_path):
    found = Parcels(tmp_path)
    packing = found.packing()
    for part in (b"ab", b"", b"c"):
        packing.add(part)
    assert (packing.done(), packing.size) == (b"abc", 3)
    assert list(tmp_path.iterdir()) == []
    packing = found.packing()
    for part in (LARGE, b"", b"x", LARGE):
        packing.add(part)
        assert len(list(tmp_path.iterdir())) == 1
    body = packing.done()
    assert isinstance(body, Parcel)
    assert body.read() == LARGE + b"x" + LARGE
    assert packing.size == 2 * LEAST + 1
    assert glimpse(body, 4, 3) == (packing.size, LARGE[:4], LARGE[-3:])
    assert glimpse(b"abcde", 4, 2) == (5, b"abcd", b"de")
    found.forget(body)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_body_whose_coming_ends_leaves_nothing(tmp_path, count):
    packing = Parcels(tmp_path).packing()
    for _ in range(count):
        packing.add(LARGE[: LEAST // 2])
    packing.drop()
    packing.drop()
    assert list(tmp_path.iterdir()) == []


def test_where_room_ends_in_the_middle_all_parts_stay_in_memory(tmp_path, monkeypatch):
    wrote = []

    def full(descriptor: int, data: bytes) -> int:
        if sum(wrote) >= LEAST + 10:
            raise OSError(errno.ENOSPC, "No space left on device")
        wrote.append(real(descriptor, data[: LEAST // 2]))
        return wrote[-1]

    real = os.write
    monkeypatch.setattr(module.os, "write", full)
    packing = Parcels(tmp_path).packing()
    parts = [LARGE, LARGE[:77], LARGE, b"end"]
    for part in parts:
        packing.add(part)
    assert packing.done() == b"".join(parts)
    assert list(tmp_path.iterdir()) == []
