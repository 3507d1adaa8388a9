"""`deepsched verify`: a good dataset passes, and each kind of damage is found and named."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deepsched.pipeline.dataset.files import sha256
from deepsched.pipeline.dataset.manifest import label_part, problem_part, record_of
from deepsched.pipeline.dataset.schema import LABELS, PROBLEMS, RowWriter, read_rows
from deepsched.pipeline.dataset.storage import Dataset
from deepsched.pipeline.dataset.verify import verify_top
from deepsched.pipeline.dataset.verify_shard import verify_shard
from deepsched.pipeline.labelling.paper_preset import PaperSource
from deepsched.pipeline.labelling.presets import PRESETS
from deepsched.pipeline.labelling.run import label
from deepsched.pipeline.labelling.spec import LabelSpec
from tests.pipeline.cli_helpers import deepsched_here
from tests.pipeline.label_helpers import EvenPreset

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from deepsched.pipeline.dataset.schema import Row

SPEC: dict[str, Any] = {
    "source": EvenPreset(name="small", seed=3, preset=PRESETS["small"]),
    "samples": 8,
    "shard_bytes": 3,
    "seed": 3,
    "teachers": ("heft", "random"),
}
PROBLEM, HEFT, RANDOM = problem_part(1), label_part("heft", 1), label_part("random", 1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("verify") / "data"
    label(LabelSpec(out=str(out), **SPEC))
    return out


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Path:
    """A dataset to damage."""
    return shutil.copytree(made, tmp_path / "data")


@pytest.fixture
def verify(capsys: pytest.CaptureFixture[str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    return lambda *arguments: deepsched_here(capsys, "verify", *arguments)


def findings(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the lines above the summary."""
    return done.stdout[: done.stdout.index("dataset   ")].splitlines()


def replace_part(data: Path, name: str, content: pa.Buffer | bytes, **changes: Any) -> None:
    """Put another content there, and say so in the manifest and in the record."""

    def renewed(part: dict[str, Any]) -> dict[str, Any]:
        if part["file"] != name:
            return part
        return {**part, "bytes": len(content), "sha256": sha256(content), **changes}

    (data / name).write_bytes(content)
    path = data / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["problems"] = [renewed(part) for part in manifest["problems"]]
    for teacher, parts in manifest["labels"].items():
        manifest["labels"][teacher] = [renewed(part) for part in parts]
    path.write_text(json.dumps(manifest))
    path = data / record_of(name)
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "part": renewed(record["part"])}))


def edit_rows(data: Path, name: str, edit: Callable[[int, Row], Row]) -> None:
    """Change rows of a part so that no hash tells."""
    schema = PROBLEMS if name.startswith("problems") else LABELS
    writer = RowWriter(schema)
    for k, row in enumerate(read_rows(pa.py_buffer((data / name).read_bytes()), schema)):
        writer.add(edit(k, row))
    replace_part(data, name, writer.finish())


def test_a_good_dataset_passes(made: Path, verify: Any) -> None:
    done = verify(made)
    assert done.returncode == 0
    assert findings(done) == []
    manifest = Dataset.open(str(made)).manifest
    assert "files     9 of" in done.stdout
    assert "rows      24 read, of 8 samples" in done.stdout
    assert "schedules 16 checked" in done.stdout
    assert f"sha256    {manifest.digest()}" in done.stdout
    assert "result    all well" in done.stdout
    quick = verify(f"file://{made}", "--quick")
    assert quick.returncode == 0
    assert "schedules 0 checked" in quick.stdout


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def swap(path: Path) -> None:
    other = path.with_name("part-00000.parquet")
    content = path.read_bytes()
    shutil.copy(other, path)
    other.write_bytes(content)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "flip": (flip, "is damaged: its SHA-256 is not the manifest's"),
    "truncation": (lambda path: path.write_bytes(path.read_bytes()[:-9]), "bytes; the manifest"),
    "deletion": (Path.unlink, "is missing"),
    "swap": (swap, "is not itself: it holds the bytes of "),
}


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("name", [PROBLEM, HEFT])
@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_file_is_named(
    data: Path, verify: Any, kind: str, name: str, quick: bool
) -> None:
    damage, message = DAMAGES[kind]
    damage(data / name)
    done = verify(data, *(["--quick"] if quick else []))
    assert done.returncode == 1
    lines = findings(done)
    assert len(lines) == (2 if kind == "swap" else 1)
    assert lines[-1].startswith(f"{data / name} ")
    assert message in lines[-1]


def test_everything_that_is_wrong_is_named_or_counted(data: Path, verify: Any) -> None:
    (data / PROBLEM).unlink()
    flip(data / HEFT)
    (data / label_part("random", 0)).write_bytes(b"")
    (data / "notes.txt").write_text("x")
    done = verify(data)
    assert done.returncode == 1
    assert "result    4 problems\n" in done.stdout
    lines = findings(done)
    for name in (PROBLEM, HEFT, label_part("random", 0), "notes.txt"):
        assert sum(line.startswith(f"{data / name} ") for line in lines) == 1
    few = findings(verify(data, "--show", 1))
    assert few == [lines[0], "... and 3 more"]


@pytest.mark.parametrize("kind", ["missing", "no parquet", "other rows"])
def test_a_table_of_a_split_that_is_not_that_of_the_parts_is_named(
    data: Path, verify: Any, kind: str
) -> None:
    path = data / "samples" / "train.parquet"
    if kind == "missing":
        (data / "samples" / "test.parquet").write_bytes(path.read_bytes())
        path.unlink()
    elif kind == "no parquet":
        path.write_bytes(b"nothing")
    else:
        pq.write_table(pq.read_table(path).slice(1), path)
    done = verify(str(data))
    said = {"missing": "is missing", "no parquet": "cannot be read: ", "other rows": "is not what"}
    assert done.returncode == 0  # the data are good all the same
    assert re.search(rf"^warning: .*samples/train.parquet {said[kind]}", done.stdout, re.MULTILINE)
    assert ("samples/test.parquet is not what" in done.stdout) == (kind == "missing")


def test_a_dataset_without_tables_of_splits_is_as_good(data: Path, verify: Any) -> None:
    shutil.rmtree(data / "samples")
    assert verify(str(data)).returncode == 0


def test_foreign_files_are_named(data: Path, verify: Any) -> None:
    foreign = ["thesis.tex", "labels/heft/copy.parquet", "machines.bak"]
    for name in foreign:
        (data / name).write_text("x")
    left = label_part("heft", 2, 2)
    for name in (left, "labels/heft/.part-00000.parquet.ab12.tmp", "records/x.json"):
        shutil.copy(data / HEFT, data / name)
    done = verify(data)
    assert done.returncode == 1
    assert findings(done) == [
        *(f"{data / name} is no file of this dataset" for name in sorted(foreign)),
        f"warning: {data / left} is in no manifest: made by a run that was not finished",
    ]
    for name in foreign:
        (data / name).unlink()
    assert verify(data).returncode == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"format": "deepsched-dataset", "version": 1}', "version 1; this version reads"),
        ('{"format": "deepsched', "is not JSON"),
    ],
)
def test_a_manifest_of_another_version_is_named(
    data: Path, verify: Any, content: str, message: str
) -> None:
    old = data / "manifests" / "1.json"
    old.parent.mkdir()
    for path in (old, data / "manifest.json"):
        path.write_text(content)
        done = verify(data)
        assert done.returncode == 1
        line = findings(done)[0]
        assert line.startswith(f"{path} ")
        assert message in line


def test_a_place_without_a_dataset_is_bad_input(tmp_path: Path, data: Path, verify: Any) -> None:
    (data / "manifest.json").unlink()
    for place, message in {
        tmp_path / "none": "there is no dataset here",
        data: "not finished here",
        "nosuch://place": "nosuch",
    }.items():
        done = verify(place)
        assert done.returncode == 2
        assert done.stdout == ""
        assert message in done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("consistent", [False, True])
def test_a_part_with_other_columns_is_named(data: Path, verify: Any, consistent: bool) -> None:
    sink = pa.BufferOutputStream()
    table = pq.read_table(data / HEFT).drop_columns(["makespan"])
    pq.write_table(table.append_column("energy", pa.array([1.0] * 3)), sink)
    if consistent:
        replace_part(data, HEFT, sink.getvalue())
    else:
        (data / HEFT).write_bytes(sink.getvalue())
    done = verify(data, "--quick")
    assert done.returncode == 1
    assert findings(done) == [
        f"{data / HEFT} has columns of another version: makespan is missing, energy is unknown"
    ]


def test_a_part_that_is_no_parquet_is_named(data: Path, verify: Any) -> None:
    replace_part(data, HEFT, b"text")
    done = verify(data, "--quick")
    assert done.returncode == 1
    assert f"{data / HEFT} is no Parquet file" in done.stdout


def later(array: Any) -> Any:
    return array - 1e6


@pytest.mark.parametrize(
    ("name", "edit", "message"),
    [
        (
            HEFT,
            lambda row: {"ast": later(row["ast"]), "aft": later(row["aft"])},
            "invalid schedule: task 't0': finish",
        ),
        (HEFT, lambda row: {"proc": row["proc"] + 99}, "invalid schedule: task 't0': machine"),
        (HEFT, lambda row: {"aft": row["aft"][:-1]}, "no legal schedule: InvalidInput"),
        (RANDOM, lambda row: {"makespan": row["makespan"] * 1.001}, "makespan is"),
        (RANDOM, lambda row: {"mean_waiting": np.nan}, "mean_waiting is nan, computed anew"),
        (RANDOM, lambda row: {"mean_turnaround": None}, "mean_turnaround is None"),
        (HEFT, lambda row: {"status": "failed"}, "status 'failed' with error None"),
        (PROBLEM, lambda row: {"n_edges": 99}, "n_edges is 99, not"),
        (PROBLEM, lambda row: {"arrival": row["arrival"][1:]}, "no legal problem: "),
        (PROBLEM, lambda row: {"work": None, "etc": None}, "no legal problem: "),
        (PROBLEM, lambda row: {"machine_cores": None}, "the dataset shares none"),
    ],
)
def test_a_bad_row_under_a_right_hash_is_named(
    data: Path, verify: Any, name: str, edit: Callable[[Row], Row], message: str
) -> None:
    edit_rows(data, name, lambda k, row: {**row, **edit(row)} if k == 1 else row)
    Dataset.open(str(data)).check()  # the hashes do not tell
    done = verify(data)
    assert done.returncode == 1
    line = next(line for line in findings(done) if not line.startswith("warning"))
    assert line.startswith(f"{data / name}, sample 4: ")
    assert message in line
    assert verify(data, "--quick").returncode == 0


def test_a_schedule_of_another_sample_is_named(data: Path, verify: Any) -> None:
    edit_rows(data, HEFT, lambda k, row: {**row, "sample_id": 4} if k == 2 else row)
    done = verify(data)
    assert done.returncode == 1
    assert findings(done) == [f"{data / HEFT}: row 3 is sample 4, not 5"]


def test_many_bad_rows_are_counted(made: Path, tmp_path: Path, verify: Any) -> None:
    out = tmp_path / "wide"
    label(LabelSpec(out=str(out), **{**SPEC, "shard_bytes": 8}))
    name = label_part("heft", 0)
    edit_rows(out, name, lambda k, row: {**row, "makespan": 0.0})
    lines = findings(verify(out))
    assert [line.split(":")[0] for line in lines[:5]] == [
        f"{out / name}, sample {k}" for k in range(5)
    ]
    assert lines[5:] == [f"{out / name}: ... and 3 more like it"]


def test_counts_that_are_not_the_manifests_are_named(data: Path, verify: Any) -> None:
    content = (data / HEFT).read_bytes()
    replace_part(data, HEFT, content, status={"ok": 2, "failed": 1})
    done = verify(data)
    assert done.returncode == 1
    assert f"{data / HEFT} has 3 ok; the manifest says 1 failed, 2 ok" in done.stdout
    rows = pq.read_table(data / HEFT).slice(0, 2)
    sink = pa.BufferOutputStream()
    pq.write_table(rows.cast(LABELS), sink)
    replace_part(data, HEFT, sink.getvalue())
    assert f"{data / HEFT} has 2 rows, not 3" in verify(data).stdout


def test_a_bad_record_is_a_warning(data: Path, verify: Any) -> None:
    heft, random, problem = (data / record_of(name) for name in (HEFT, RANDOM, PROBLEM))
    heft.unlink()
    random.write_text(json.dumps({**json.loads(random.read_text()), "problems": "0" * 64}))
    problem.write_text("{")
    other = data / record_of(label_part("heft", 0))
    other.write_text(json.dumps({**json.loads(other.read_text()), "seconds": [None]}))
    (data / "spec.json").unlink()
    done = verify(data)
    assert done.returncode == 0
    assert "result    all well, 5 warnings" in done.stdout
    lines = findings(done)
    assert all(line.startswith("warning: ") for line in lines)
    for line, (path, message) in zip(
        lines,
        [
            (data / "spec.json", "cannot be added to"),
            (other, "has 0 failures and 1 times; 0 and 3 expected"),
            (problem, "is not JSON"),
            (heft, "is missing"),
            (random, "of labels for other problems"),
        ],
        strict=True,
    ):
        assert str(path) in line
        assert message in line


class SmallPaper(PaperSource):
    """The preset's own samples of few tasks only."""

    def size(self, sample_id: int) -> int:
        return 1


def test_shared_machines_are_checked(tmp_path: Path, verify: Any) -> None:
    out = tmp_path / "paper"
    spec = {**SPEC, "source": SmallPaper(seed=3), "samples": 2, "teachers": ("mct",)}
    label(LabelSpec(out=str(out), **spec))
    assert verify(out).returncode == 0
    path = out / "machines.json"
    path.write_bytes(path.read_bytes().replace(b"188", b"187", 1))
    done = verify(out)
    assert done.returncode == 1
    assert findings(done) == [f"{path} is damaged: its SHA-256 is not the manifest's"]
    assert "schedules 0 checked" in done.stdout
    path.unlink()
    assert findings(verify(out)) == [f"{path} is missing"]


@pytest.mark.ray
def test_ray_tasks_find_the_same(local_ray: None, data: Path, verify: Any) -> None:
    flip(data / HEFT)
    (data / label_part("random", 2)).unlink()
    dataset, top = verify_top(str(data))
    assert dataset is not None
    assert top == []
    here = [f.text for k in range(3) for f in verify_shard(dataset, k).findings]
    done = verify(data, "--workers", 2)
    assert done.returncode == 1
    assert findings(done) == here
    assert len(here) == 2
