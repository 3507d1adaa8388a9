"""Sources: every sample owns its randomness, and files are found, checked and named."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from deepsched.baselines.errors import InvalidInput, InvalidProblem, UnknownName
from deepsched.baselines.generate import FAMILIES
from deepsched.baselines.readers import ReadOptions
from deepsched.pipeline.labelling.presets import PRESETS, Preset, PresetSource, get_preset
from deepsched.pipeline.labelling.sources import SourceLost
from deepsched.pipeline.labelling.traces import (
    MachineChoice,
    TraceSource,
    find_traces,
    machine_choice,
)

if TYPE_CHECKING:
    from deepsched.baselines.problem import Problem

DATA = Path(__file__).parent.parent / "data"
NEUTRAL = (ReadOptions(),)


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    """A folder with three workflows in two formats, and what else lies about."""
    folder = tmp_path / "flows"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.json.gz").write_bytes(gzip.compress((DATA / "wfformat.json").read_bytes()))
    shutil.copy(DATA / "tiny.stg", folder / "deep" / "b.stg")
    shutil.copy(DATA / "wfformat.json", folder / "deep" / "c.json")
    (folder / "package.json").write_text('{"name": "no workflow"}')
    (folder / ".hidden.json").write_text("not looked at")
    return folder


def source_of(path: Path, **changes: Any) -> TraceSource:
    settings: dict[str, Any] = {
        "files": find_traces([path], NEUTRAL, None).files,
        "seed": 5,
        "machines": (MachineChoice(name="3", count=3),),
        "noise": 0.2,
    }
    return TraceSource(**(settings | changes))


def same(a: Problem, b: Problem) -> bool:
    return np.array_equal(a.etc, b.etc) and a.name == b.name and a.n_edges == b.n_edges


def test_a_folder_is_searched_and_what_is_no_workflow_left_out(traces: Path) -> None:
    found = find_traces([traces], NEUTRAL, None)
    assert [file.name for file in found.files] == [
        "flows/a.json.gz",
        "flows/deep/b.stg",
        "flows/deep/c.json",
    ]
    assert len(found.left_out) == 1
    assert "package.json" in found.left_out[0]
    assert len(find_traces([traces], NEUTRAL, 2).files) == 2


@pytest.mark.parametrize(
    ("limit", "names"),
    [
        (1, ["a/0"]),
        (3, ["a/0", "b/0", "c/0"]),
        (5, ["a/0", "a/4", "b/0", "b/1", "c/0"]),
        (7, ["a/0", "a/2", "a/4", "a/6", "b/0", "b/1", "c/0"]),
        (11, [*(f"a/{k}" for k in range(8)), "b/0", "b/1", "c/0"]),
        (None, [*(f"a/{k}" for k in range(8)), "b/0", "b/1", "c/0"]),
    ],
)
def test_few_files_are_spread_over_folders_and_names(
    tmp_path: Path, limit: int | None, names: list[str]
) -> None:
    for family, count in {"a": 8, "b": 2, "c": 1}.items():
        (tmp_path / family).mkdir()
        for k in range(count):
            shutil.copy(DATA / "tiny.stg", tmp_path / family / f"{k}.stg")
    (tmp_path / "c" / "z.txt").write_text("no workflow")
    found = find_traces([tmp_path], NEUTRAL, limit)
    assert [file.name for file in found.files] == [f"{tmp_path.name}/{name}.stg" for name in names]
    assert find_traces([tmp_path], NEUTRAL, limit) == found


def test_a_named_file_must_be_a_workflow(traces: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"package\.json"):
        find_traces([traces / "package.json"], NEUTRAL, None)
    with pytest.raises(InvalidInput, match=r"nowhere: no such file or folder"):
        find_traces([tmp_path / "nowhere"], NEUTRAL, None)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput, match=r"empty: no workflow file that can be read"):
        find_traces([tmp_path / "empty"], NEUTRAL, None)


def test_a_file_that_no_draw_changes_is_told(traces: Path) -> None:
    shutil.copy(DATA / "topcuoglu.json", traces / "own.json")
    trials = [ReadOptions(machine_seed=0), ReadOptions(machine_seed=1)]
    # The STG file runs on equal machines, the explicit one brings its own.
    assert find_traces([traces], trials, None).fixed == ("flows/deep/b.stg", "flows/own.json")
    other_number = [ReadOptions(n_machines=7)]
    assert "own.json" in find_traces([traces], other_number, None).left_out[0]


def test_a_sample_depends_on_its_id_and_the_seed_only(traces: Path) -> None:
    source = source_of(traces)
    forward = [source.problem(k) for k in range(9)]
    backward = [source.problem(k) for k in reversed(range(9))][::-1]
    assert all(map(same, forward, backward))
    other = source_of(traces, seed=6)
    assert not any(same(a, other.problem(k)) for k, a in enumerate(forward))


def test_each_round_takes_every_file_once_on_other_machines(traces: Path) -> None:
    source = source_of(traces, machines=(machine_choice("2"), machine_choice("5")))
    names = [source.label(k) for k in range(60)]
    assert names[:3] == ["flows/a.json.gz", "flows/deep/b.stg", "flows/deep/c.json"]
    for k in range(0, 60, 3):
        assert sorted(names[k : k + 3]) == names[:3]
    # A fixed order would tie files to splits.
    assert len({tuple(names[k : k + 3]) for k in range(0, 60, 3)}) > 3
    problems = [source.problem(k) for k in range(60) if names[k] == "flows/a.json.gz"]
    assert {problem.n_machines for problem in problems} == {2, 5}
    assert len({problem.etc.tobytes() for problem in problems}) == 20


def test_an_option_changes_nothing_but_what_it_says(traces: Path) -> None:
    free = source_of(traces)
    fixed = source_of(traces, machine_seed=1)
    assert free.options(4).noise_seed == fixed.options(4).noise_seed
    assert {fixed.options(k).machine_seed for k in range(10)} == {1}
    assert len({free.options(k).machine_seed for k in range(10)}) == 10
    assert free.draws
    assert not source_of(traces, machine_seed=1, noise=0.0).draws


def test_problems_do_not_tell_where_the_files_lay(traces: Path, tmp_path: Path) -> None:
    there = source_of(traces)
    moved = tmp_path / "elsewhere" / "flows"
    shutil.copytree(traces, moved)
    here = source_of(moved)
    assert here.document() == there.document()
    assert all(same(here.problem(k), there.problem(k)) for k in range(3))


def test_a_failure_does_not_tell_it_either(traces: Path) -> None:
    table = machine_choice(str(DATA / "machines.csv"))
    file = find_traces([DATA / "topcuoglu.json"], NEUTRAL, None).files
    with pytest.raises(InvalidInput, match=r"^topcuoglu\.json: ") as raised:
        source_of(traces, files=file, machines=(table,), noise=0.0).problem(0)
    assert str(DATA) not in str(raised.value)


def test_a_trace_that_changes_stops_the_run(traces: Path) -> None:
    source = source_of(traces)
    text = json.loads((traces / "deep" / "c.json").read_text())
    text["name"] = "edited"
    (traces / "deep" / "c.json").write_text(json.dumps(text))
    with pytest.raises(SourceLost, match=r"c\.json has changed"):
        source.problem(2)
    (traces / "a.json.gz").unlink()
    with pytest.raises(SourceLost, match=r"a\.json\.gz: there is no such file"):
        source.problem(0)


def test_a_file_name_that_is_not_utf8_can_be_stored(traces: Path) -> None:
    os.rename(os.fsencode(traces / "a.json.gz"), os.fsencode(traces) + b"/\xff.json.gz")  # noqa: PTH104
    names = [file.name for file in find_traces([traces], NEUTRAL, None).files]
    assert "flows/\\udcff.json.gz" in names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0", "at least one machine"),
        ("-3", "at least one machine"),
        ("none.csv", "neither a number of machines, nor 'trace', nor a file"),
        ("1.5", "neither a number"),
    ],
)
def test_machines_that_cannot_be(text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        machine_choice(text)


def test_machines_from_a_file_are_known_by_content() -> None:
    choice = machine_choice(str(DATA / "machines.csv"))
    assert choice.name == "machines.csv"
    assert choice.table is not None
    assert len(choice.sha256 or "") == 64


def test_a_trace_runs_on_the_machines_of_its_record_in_every_round(traces: Path) -> None:
    shutil.copy(DATA / "record.json", traces / "record.json")
    choice = machine_choice("trace")
    found = find_traces([traces], [ReadOptions(trace_machines=True)], None)
    assert [file.name for file in found.files] == ["flows/record.json"]
    assert found.files[0].most_machines == 3
    assert len(found.left_out) == 4
    source = source_of(traces, files=found.files, machines=(choice,), noise=0.0)
    assert not source.draws
    assert {source.problem(k).machines.nodes for k in range(3)} == {("slow", "slow", "fast")}
    assert source.document()["machines"] == ["trace"]


@pytest.mark.parametrize("name", PRESETS)
def test_presets_make_problems_of_every_family_in_range(name: str) -> None:
    preset = PRESETS[name]
    source = PresetSource(name=name, seed=1, preset=preset)
    labels = [source.label(k) for k in range(300)]
    assert {label.split("/")[1] for label in labels} == set(FAMILIES)
    for k in range(0, 300, 7):
        problem = source.problem(k)
        assert problem.n_machines in preset.machines
        # Some families round down to a size they have.
        assert problem.n_tasks <= preset.tasks[1]
        assert same(problem, source.problem(k))
    other = PresetSource(name=name, seed=2, preset=preset)
    assert not same(source.problem(0), other.problem(0))


def test_a_preset_that_cannot_be_generated_names_the_value() -> None:
    preset = Preset(description="", samples=1, tasks=(5, 5), machines=(0,))
    with pytest.raises(InvalidProblem, match="machines"):
        PresetSource(name="bad", seed=0, preset=preset).problem(0)


def test_an_unknown_preset_lists_the_known() -> None:
    with pytest.raises(UnknownName, match="unknown preset 'huge'; one of: demo, paper, small"):
        get_preset("huge")


@pytest.mark.data
def test_real_traces_are_found(data_dir: Path) -> None:
    # One application; tests/baselines reads all of them.
    trials = [ReadOptions(n_machines=4, noise=0.2), ReadOptions(n_machines=4, machine_seed=1)]
    folder = data_dir / "wfinstances" / "srasearch"
    found = find_traces([folder], trials, None)
    assert len(found.files) == len(list(folder.iterdir())) > 0
    assert (found.left_out, found.fixed) == ((), ())
