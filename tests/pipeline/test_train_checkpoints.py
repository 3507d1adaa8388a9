"""States of a training on the way: whole or not there, whatever happens while they are written."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

import pytest

from deepsched.baselines.errors import InvalidInput, UnwritableOutput
from deepsched.pipeline.dataset.files import Folder
from deepsched.pipeline.training.checkpoints import (
    STATE,
    Checkpoints,
    Superseded,
    sealed,
    step_folder,
)
from deepsched.pipeline.training.keeper import Keeper, TooManyCrashes
from deepsched.pipeline.training.peers import Peers
from tests.pipeline.training_helpers import in_unison

if TYPE_CHECKING:
    from pathlib import Path

    from deepsched.pipeline.training.history import Record


def files(step: int, **more: Any) -> dict[str, bytes]:
    document = {"format": "deepsched-training/3", "step": step, "history": [], **more}
    return sealed({"a.bin": b"a" * step, "b.bin": b"b" * step}, document)


def test_what_was_saved_is_read_and_the_newest_two_and_the_best_are_kept(tmp_path: Path) -> None:
    states = Checkpoints.at(str(tmp_path / "new" / "states"))
    assert (states.steps(), states.newest()) == ([], (0, {}, []))
    for step in (3, 7, 12, 100_000_000):
        states.save(step, files(step), keep={3})
    assert states.steps() == [3, 12, 100_000_000]
    assert states.read(12) == files(12)
    assert states.newest() == (100_000_000, files(100_000_000), [])
    assert not (tmp_path / "new" / "states" / step_folder(7)).exists()
    states.discard(after=3)
    assert states.steps() == [3]


@pytest.mark.parametrize("stop", range(3))
def test_a_write_that_is_broken_off_leaves_the_state_before(
    stop: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = Checkpoints.at(str(tmp_path))
    states.save(1, files(1))
    write, written = Folder.write, list[str]()

    def breaking(self: Folder, name: str, data: bytes) -> None:
        if len(written) == stop:
            raise UnwritableOutput("disk full")
        written.append(name)
        write(self, name, data)

    monkeypatch.setattr(Folder, "write", breaking)
    with pytest.raises(UnwritableOutput):
        states.save(2, files(2))
    monkeypatch.undo()
    assert STATE not in "".join(written)
    assert states.newest() == (1, files(1), [])
    states.save(2, files(2))
    assert states.newest() == (2, files(2), [])
    # What never became whole is cleared away with the old ones.
    (tmp_path / step_folder(9)).mkdir()
    (tmp_path / step_folder(9) / "a.bin").write_bytes(b"x")
    (tmp_path / step_folder(3)).mkdir()
    (tmp_path / step_folder(3) / ".deepsched-0.tmp").write_bytes(b"x")
    states.save(3, files(3))
    assert sorted(path.name for path in tmp_path.iterdir()) == [step_folder(2), step_folder(3)]
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize("damage", ["cut", "changed", "gone", "no json", "no digests"])
def test_a_damaged_state_is_passed_over_and_named(damage: str, tmp_path: Path) -> None:
    states = Checkpoints.at(str(tmp_path))
    states.save(1, files(1))
    states.save(2, files(2))
    victim = tmp_path / step_folder(2) / "b.bin"
    mark = victim.with_name(STATE)
    if damage == "gone":
        victim.unlink()
    elif damage == "no json":
        mark.write_text("{")
    elif damage == "no digests":
        mark.write_text(json.dumps({"step": 2}))
    else:
        victim.write_bytes(b"b" if damage == "cut" else b"xx")
    step, found, wrong = states.newest()
    assert (step, found) == (1, files(1))
    assert len(wrong) == 1
    assert step_folder(2) in wrong[0]
    (tmp_path / step_folder(1) / "a.bin").unlink()
    with pytest.raises(InvalidInput, match=step_folder(2)):
        states.newest()


class _Board:
    def __init__(self, may: bool = True) -> None:
        self.may, self.told = may, list[Any]()

    def begin(self, step: int, history: list[Record], notes: list[str], world: int) -> bool:
        assert world in (1, 2)
        self.told.append((step, history, notes))
        return self.may

    def step(self, step: int, measures: dict[str, float], tasks: int) -> None:
        self.told.append((step, measures, tasks))

    def validation(self, record: Record) -> None:
        self.told.append(record)


def test_processes_go_on_from_the_same_state_and_the_first_one_keeps_it(tmp_path: Path) -> None:
    states = Checkpoints.at(str(tmp_path))
    record = {"step": 1, "score": 0.5}
    states.save(1, files(1, history=[record]))
    states.save(2, files(2, history=[record]))
    (tmp_path / step_folder(2) / "a.bin").unlink()

    def work(peers: Peers) -> Any:
        board = _Board()
        keeper = Keeper(Checkpoints.at(str(tmp_path)), board, 1e9, peers)
        begun = keeper.begin()
        keeper.step(2, {"loss": 1.0}, 30)
        assert not keeper.wants_checkpoint()
        keeper.checkpoint(3, {"step": 3, "score": 0.7}, lambda: files(3))
        keeper.checkpoint(4, None, lambda: files(4))
        return begun, board.told

    (first, told), (second, silent) = in_unison(2, work)
    assert first == second == files(1, history=[record])
    ((step, history, notes), *others) = told
    assert (step, history, len(notes)) == (1, [record], 1)
    assert notes[0].endswith("going on from step 1")
    assert others == [(2, {"loss": 1.0}, 30), {"step": 3, "score": 0.7}]
    assert silent == []
    # The best validation is kept beside the newest two.
    assert states.steps() == [1, 3, 4]


def test_a_board_that_has_seen_too_many_crashes_lets_nobody_begin(tmp_path: Path) -> None:
    keeper = Keeper(Checkpoints.at(str(tmp_path)), _Board(may=False), 0.0, Peers())
    with pytest.raises(TooManyCrashes):
        keeper.begin()
    assert keeper.wants_checkpoint()


def test_who_was_given_up_neither_writes_nor_removes_once_another_goes_on(tmp_path: Path) -> None:
    late, new = (Checkpoints.at(str(tmp_path)) for _ in range(2))
    late.claim()
    late.save(1, files(1))
    new.claim()
    for harm in (functools.partial(late.save, 2, files(2)), functools.partial(late.discard, 0)):
        with pytest.raises(Superseded):
            harm()
    assert (new.steps(), new.newest()) == ([1], (1, files(1), []))
    new.save(2, files(2))
    assert new.steps() == [1, 2]


def test_a_save_that_another_process_breaks_into_removes_nothing_of_its(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late, new = (Checkpoints.at(str(tmp_path)) for _ in range(2))
    late.claim()
    for step in (1, 2):
        late.save(step, files(step))
    write = Folder.write

    def between(self: Folder, name: str, data: bytes) -> None:
        write(self, name, data)
        if name.endswith("b.bin"):
            monkeypatch.undo()
            new.claim()

    monkeypatch.setattr(Folder, "write", between)
    with pytest.raises(Superseded):
        late.save(3, files(3))
    assert new.steps() == [1, 2]


def kept(folder: Path, *scores: float | None) -> list[int]:
    """Keep a state after each step, validated where there is a score; return which are left."""
    keeper = Keeper(Checkpoints.at(str(folder)), _Board(), 1e9, Peers())
    keeper.begin()
    history: list[Record] = []
    for step, score in enumerate(scores, start=1):
        record = None if score is None else {"step": step, "score": score}
        history += [] if record is None else [record]
        keeper.checkpoint(step, record, functools.partial(files, step, history=list(history)))
    return Checkpoints.at(str(folder)).steps()


def test_whichever_state_is_gone_on_from_its_best_network_is_there(tmp_path: Path) -> None:
    """The newest one, of the new best, may be damaged: the one before knows the best before."""
    assert kept(tmp_path, 0.5, None, None, 0.4) == [1, 3, 4]


def test_the_last_state_that_was_validated_is_kept(tmp_path: Path) -> None:
    """A training that diverges goes back to it, and not all the way to the best."""
    assert kept(tmp_path, 0.5, 0.6, None, None, None) == [1, 2, 4, 5]


def test_a_state_that_is_there_is_not_written_again(tmp_path: Path) -> None:
    """As where the first gradient after a validation is no number: a kill would damage it."""
    keeper = Keeper(Checkpoints.at(str(tmp_path)), _Board(), 1e9, Peers())
    keeper.begin()
    record = {"step": 1, "score": 0.5}
    keeper.checkpoint(1, record, lambda: files(1, history=[record]))
    keeper.checkpoint(1, None, lambda: files(1, other=True))
    assert Checkpoints.at(str(tmp_path)).read(1) == files(1, history=[record])
    again = Keeper(Checkpoints.at(str(tmp_path)), _Board(), 1e9, Peers())
    again.begin()
    again.checkpoint(1, None, lambda: files(1, other=True))
    assert Checkpoints.at(str(tmp_path)).read(1) == files(1, history=[record])
