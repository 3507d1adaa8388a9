"""Datasets: what is written is read back bit for bit, and damage is never read silently."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

from deepsched.baselines.errors import InvalidInput, UnwritableOutput
from deepsched.baselines.heft import heft
from deepsched.baselines.machines import make_machines
from deepsched.baselines.problem import Problem, make_problem
from deepsched.pipeline.dataset.checksum import check_seal
from deepsched.pipeline.dataset.files import Folder, open_folder
from deepsched.pipeline.dataset.manifest import label_part, problem_part
from deepsched.pipeline.dataset.schema import (
    LABELS,
    PROBLEMS,
    RowWriter,
    label_row,
    machines_document,
    machines_from_document,
    problem_from_row,
    problem_row,
    read_rows,
    schedule_from_row,
)
from deepsched.pipeline.dataset.storage import Dataset, LabelledSample
from deepsched.pipeline.labelling.presets import PRESETS
from deepsched.pipeline.labelling.run import label
from deepsched.pipeline.labelling.spec import LabelSpec
from tests import strategies
from tests.pipeline.label_helpers import EvenPreset
from tests.same import assert_same

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

SAMPLES, SHARD_SIZE = 23, 5
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4)


def small_spec(out: object, **changes: Any) -> LabelSpec:
    source = EvenPreset(name="small", seed=3, preset=PRESETS["small"])
    settings = {
        "out": str(out),
        "source": source,
        "samples": SAMPLES,
        "shard_bytes": SHARD_SIZE,
        "seed": 3,
        "teachers": ("heft", "random"),
    }
    return LabelSpec(**(settings | changes))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset that tests only read."""
    out = tmp_path_factory.mktemp("data") / "small"
    label(small_spec(out))
    return out


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Path:
    """The same one, for tests that damage it."""
    return shutil.copytree(made, tmp_path / "copy")


@st.composite
def factored(draw: st.DrawFn) -> Problem:
    """A problem with work, noise and names; its graph is one of the schedulers' tests."""
    base = draw(strategies.problems(max_tasks=8, max_machines=4))
    n, p = base.n_tasks, base.n_machines
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    machines = make_machines(
        p,
        ids=draw(st.lists(NAMES, min_size=p, max_size=p, unique=True)),
        cores=rng.integers(1, 64, p),
        frequency=rng.uniform(800, 4000, p),
        memory=base.machines.memory,
        bandwidth=base.machines.bandwidth,
        latency=base.machines.latency,
        nodes=base.machines.nodes,
    )
    return make_problem(
        machines=machines,
        work=rng.lognormal(0, 5, n),
        alpha=draw(st.sampled_from([0.0, 0.7, 1.0])),
        noise=rng.lognormal(0, 1, (n, p)) if draw(st.booleans()) else None,
        edges=base.edge_list(),
        task_ids=draw(st.lists(NAMES, min_size=n, max_size=n, unique=True)),
        arrival=base.arrival,
        priority=-base.priority,
        memory=base.memory,
        name=draw(NAMES),
    )


@settings(max_examples=60)
@given(drawn=st.lists(strategies.problems() | factored(), min_size=1, max_size=4))
def test_problems_and_schedules_come_back_bit_for_bit(drawn: list[Problem]) -> None:
    schedules = [heft(problem) for problem in drawn]
    problems, labels = RowWriter(PROBLEMS), RowWriter(LABELS)
    for k, (problem, schedule) in enumerate(zip(drawn, schedules, strict=True)):
        problems.add(problem_row(k, "drawn", problem))
        labels.add(label_row(k, problem, schedule))
    rows = list(read_rows(problems.finish(), PROBLEMS))
    for problem, row in zip(drawn, rows, strict=True):
        assert_same(problem_from_row(row), problem)
    for schedule, row in zip(schedules, read_rows(labels.finish(), LABELS), strict=True):
        assert_same(schedule_from_row(row, "heft"), schedule)


def test_costs_are_stored_once() -> None:
    machines = make_machines(3)
    row = problem_row(0, "x", make_problem(machines=machines, work=[1.0, 2.0]))
    assert row["etc"] is None
    assert row["noise"] is None
    assert row["bandwidth"].size == row["latency"].size == 1
    assert row["task_id"] is row["machine_id"] is None
    given_times = problem_row(0, "x", make_problem(machines=machines, etc=np.ones((2, 3))))
    assert given_times["work"] is None
    assert given_times["etc"].size == 6


def test_nodes_are_stored_where_machines_are_slots_and_links_once() -> None:
    slots = make_machines(3, nodes=["a", "a", "b"], bandwidth=7.0, latency=2.0)
    row = problem_row(0, "x", make_problem(machines=slots, work=[1.0]))
    assert row["machine_node"] == ("a", "a", "b")
    assert row["bandwidth"].tolist() == [7]
    assert row["latency"].tolist() == [2]
    assert (
        problem_row(0, "x", make_problem(machines=make_machines(3), work=[1.0]))["machine_node"]
        is None
    )
    assert_same(machines_from_document(machines_document(slots)), slots)


def test_a_large_part_is_read_in_groups_of_rows() -> None:
    rng = np.random.default_rng(0)
    large = [make_problem(machines=make_machines(64), etc=rng.random((4000, 64))) for _ in range(5)]
    writer = RowWriter(PROBLEMS)
    for k, problem in enumerate(large):
        writer.add(problem_row(k, "x", problem))
    data = writer.finish()
    with pq.ParquetFile(data) as parquet:
        groups = [parquet.metadata.row_group(g).num_rows for g in range(parquet.num_row_groups)]
    assert groups == [2, 2, 1]  # 2 MB each
    for problem, row in zip(large, read_rows(data, PROBLEMS), strict=True):
        assert_same(problem_from_row(row), problem)


def test_half_a_surrogate_pair_is_refused_by_name() -> None:
    problem = make_problem(machines=make_machines(1), etc=[[1.0]], task_ids=["\ud800"])
    with pytest.raises(UnicodeEncodeError):
        problem_row(0, "x", problem)


def test_a_dataset_gives_what_its_source_makes(made: Path) -> None:
    dataset, source = Dataset.open(str(made)), small_spec(made).source
    assert dataset.teachers == ("heft", "random")
    assert dataset.n_samples == SAMPLES
    ids = []
    for sample_id, problem in dataset.problems():
        ids.append(sample_id)
        assert_same(problem, source.problem(sample_id))
    assert ids == list(range(SAMPLES))
    for sample in dataset.samples("heft"):
        assert sample.source == source.label(sample.sample_id)
        assert_same(sample.schedule, heft(sample.problem))


def test_splits_divide_the_samples(made: Path) -> None:
    dataset = Dataset.open(str(made))
    ids = {
        split: [sample.sample_id for sample in dataset.samples("random", split)]
        for split in ("train", "val", "test", "all")
    }
    assert ids["val"] == [8, 18]
    assert ids["test"] == [9, 19]
    assert sorted(ids["train"] + ids["val"] + ids["test"]) == ids["all"] == list(range(SAMPLES))
    with pytest.raises(InvalidInput, match="unknown split 'valid'; one of: train, val, test, all"):
        list(dataset.problems("valid"))
    assert [size.sample_id for size in dataset.sizes("test")] == ids["test"]
    assert [(s.n_tasks, s.n_machines, s.n_edges) for s in dataset.sizes("val")] == [
        (p.n_tasks, p.n_machines, p.n_edges) for _, p in dataset.problems("val")
    ]


def test_shards_can_be_read_apart(made: Path) -> None:
    dataset = Dataset.open(str(made))
    halves = [
        [s.sample_id for s in dataset.samples("heft", shards=shards)]
        for shards in (range(0, dataset.n_shards, 2), range(1, dataset.n_shards, 2))
    ]
    assert sorted(halves[0] + halves[1]) == list(range(SAMPLES))
    assert halves[1] == [5, 6, 7, 8, 9, 15, 16, 17, 18, 19]


def test_each_schedule_has_its_time(made: Path) -> None:
    dataset = Dataset.open(str(made))
    seconds = dataset.seconds("heft")
    assert list(seconds) == list(range(SAMPLES))
    assert all(0 < s < 10 for s in seconds.values())
    assert dataset.failures("heft") == {}


def test_a_uri_opens_as_its_path_does(made: Path) -> None:
    assert Dataset.open(f"file://{made}").manifest == Dataset.open(str(made)).manifest


def test_an_unknown_teacher_is_named_with_the_known(made: Path) -> None:
    with pytest.raises(InvalidInput, match="no labels of 'ga'; it has: heft, random"):
        list(Dataset.open(str(made)).samples("ga"))


def test_a_place_without_a_dataset_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"there is no dataset here: manifest.json is missing"):
        Dataset.open(str(tmp_path))
    with pytest.raises(InvalidInput, match="nosuch"):
        Dataset.open("nosuch://place")


def test_an_unfinished_dataset_is_not_opened(copied: Path) -> None:
    (copied / "manifest.json").unlink()
    with pytest.raises(InvalidInput, match="not finished here; run the same command again"):
        Dataset.open(str(copied))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 1}, "'deepsched-dataset' version 1; this version reads"),
        ({"format": "other"}, "'other' version 7"),
        ({"samples": 24}, "problems has 5 parts with 23 rows; 5 parts with 24 expected"),
        ({"samples": "many"}, "samples: Input should be a valid integer"),
        ({"problems": []}, "problems has 0 parts"),
        ({"labels": {"../../x": []}}, r"labels\.\.\./\.\./x"),
        ({"surprise": 1}, "surprise: Extra inputs"),
    ],
)
def test_a_manifest_that_is_wrong_says_where(
    copied: Path, change: dict[str, object], message: str
) -> None:
    path = copied / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InvalidInput, match=message):
        Dataset.open(str(copied))


def test_a_manifest_that_is_no_json_is_named(copied: Path) -> None:
    path = copied / "manifest.json"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InvalidInput, match=r"manifest.json is not JSON"):
        Dataset.open(str(copied))


def read_all(dataset: Dataset) -> list[LabelledSample]:
    return list(dataset.samples("heft"))


@pytest.mark.parametrize("name", [problem_part(2), label_part("heft", 2)])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:-100]), "bytes; the manifest says"),
        (lambda path: path.write_bytes(b"\0" * path.stat().st_size), "is damaged"),
        (lambda path: shutil.copy(path.with_name("part-00001.parquet"), path), "part-00002"),
    ],
)
def test_a_damaged_part_is_named(copied: Path, name: str, damage: Any, message: str) -> None:
    dataset = Dataset.open(str(copied))
    damage(copied / name)
    for read in (read_all, Dataset.check):
        with pytest.raises(InvalidInput, match=message) as raised:
            read(dataset)
        assert str(copied / name) in str(raised.value)


def flips(parts: Mapping[str, bytes], count: int) -> Iterator[tuple[str, bytes]]:
    """Yield the name of a part and its bytes with one bit flipped, each bit with equal chance."""
    rng = random.Random(0)
    names, sizes = list(parts), [len(content) for content in parts.values()]
    for name in rng.choices(names, sizes, k=count):
        bad = bytearray(parts[name])
        bit = rng.randrange(len(bad) * 8)
        bad[bit // 8] ^= 1 << bit % 8
        yield name, bytes(bad)


def frozen_rows(name: str, content: bytes) -> list[dict[str, Any]]:
    """Return the rows of a part as the reader alone gives them, arrays as bytes."""
    schema = PROBLEMS if name.startswith("problems/") else LABELS
    return [
        {key: v.tobytes() if isinstance(v, np.ndarray) else v for key, v in row.items()}
        for row in read_rows(pa.py_buffer(content), schema)
    ]


def test_no_flipped_bit_passes_the_reader(made: Path) -> None:
    """Without the manifest's hashes; what is not read as an error is read as it was."""
    manifest = Dataset.open(str(made)).manifest
    parts = {part.file: (made / part.file).read_bytes() for part in manifest.parts()}
    rows = {name: frozen_rows(name, content) for name, content in parts.items()}
    caught = 0
    for name, content in flips(parts, 3000):
        try:
            found = frozen_rows(name, content)
        except (pa.ArrowException, OSError, ValueError):
            caught += 1
        else:  # the flip hit the six letters before the checksum
            assert found == rows[name]
    assert caught > 2900


@dataclass(frozen=True, kw_only=True)
class Memory(Folder):
    """Files at hand: writing and reading thousands of damaged ones takes seconds."""

    files: dict[str, bytes]

    def read(self, name: str) -> pa.Buffer:
        return pa.py_buffer(self.files[name])


def test_no_flipped_bit_passes_a_dataset(made: Path) -> None:
    there = Dataset.open(str(made))
    parts = {part.file: (made / part.file).read_bytes() for part in there.manifest.parts()}
    folder = there.folder
    memory = Memory(
        uri=folder.uri, filesystem=folder.filesystem, root=folder.root, files=dict(parts)
    )
    dataset = Dataset(folder=memory, manifest=there.manifest)
    for name, content in flips(parts, 3000):
        memory.files[name] = content
        shard, teacher = int(name[-13:-8]), name.split("/")[1]
        rows: Iterator[Any] = (
            dataset.problems(shards=[shard])
            if name.startswith("problems/")
            else dataset.schedules(teacher, shards=[shard])
        )
        with pytest.raises(InvalidInput, match=f"{name} is damaged"):
            list(rows)
        memory.files[name] = parts[name]
    dataset.check()


def test_every_bit_of_a_part_is_under_its_checksum(made: Path) -> None:
    """Also those of footer and page headers, which Parquet's own checksums leave out."""
    data = bytearray((made / label_part("heft", 0)).read_bytes())
    check_seal(pa.py_buffer(data))
    for bit in range(len(data) * 8):
        data[bit // 8] ^= 1 << bit % 8
        if b"crc32=" in data:
            with pytest.raises(ValueError, match="its checksum is wrong"):
                check_seal(pa.py_buffer(data))
        data[bit // 8] ^= 1 << bit % 8
    check_seal(pa.py_buffer(data))


def test_a_part_without_a_checksum_is_read(made: Path) -> None:
    data = (made / label_part("heft", 0)).read_bytes()
    unsealed = data.replace(b"crc32=", b"______")
    name = label_part("heft", 0)
    assert frozen_rows(name, unsealed) == frozen_rows(name, data)


def test_a_file_appears_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = open_folder(str(tmp_path))
    folder.write("a/b", b"before")

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UnwritableOutput, match=r"a/b: No space left on device"):
        folder.write("a/b", b"after")
    assert folder.read("a/b").to_pybytes() == b"before"
    assert folder.names() == ["a/b"]


@pytest.mark.parametrize("kind", ["disk", "object store"])
def test_a_folder_is_the_same_on_a_disk_and_on_an_object_store(tmp_path: Path, kind: str) -> None:
    folder = open_folder(f"file://{tmp_path}/root")
    if kind == "object store":  # any file system that is not the local one is treated like one
        (tmp_path / "root" / "a").mkdir(parents=True)
        there = SubTreeFileSystem(str(tmp_path), LocalFileSystem())
        folder = Folder(uri="store://root?option=1", filesystem=there, root="root")
        assert folder.where("a/b") == "store://root/a/b?option=1"
    assert folder.local == (kind == "disk")
    assert folder.names() == []
    with folder.locked():
        folder.write("a/b", b"content")
        folder.write("a/b", b"others")
    assert folder.read("a/b").to_pybytes() == b"others"
    assert (folder.size("a/b"), folder.size("a"), folder.size("c")) == (6, None, None)
    assert "a/b" in folder.names()
    folder.delete("a/b")
    folder.delete("a/b")
    assert folder.size("a/b") is None
    with pytest.raises(FileNotFoundError):
        folder.read("a/b")


def test_what_cannot_be_deleted_is_named(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()  # not a file, and so not to be deleted as one
    folder = open_folder(str(tmp_path))
    with pytest.raises(UnwritableOutput, match=r"cannot delete .*/part: "):
        folder.delete("part")
    folder.delete("never there")


def test_a_passing_fault_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faults = [OSError(5, "Input/output error")]

    def fsync(fd: int) -> None:
        if faults:
            raise faults.pop()

    monkeypatch.setattr("os.fsync", fsync)
    folder = open_folder(str(tmp_path))
    folder.write("x", b"content")
    assert folder.read("x").to_pybytes() == b"content"
    assert folder.names() == ["x"]


def test_two_runs_do_not_write_to_one_folder(tmp_path: Path) -> None:
    folder: Folder = open_folder(str(tmp_path))
    with (
        folder.locked(),
        pytest.raises(UnwritableOutput, match="another run is writing there now"),
        folder.locked(),
    ):
        pass
    with folder.locked():  # let go of at the end
        pass
