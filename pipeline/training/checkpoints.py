"""States of a training on the way, by step, on disk or an object store: each whole or not there."""

from __future__ import annotations

import contextlib
import json
import re
import uuid
from typing import TYPE_CHECKING, Any

from deepsched.baselines.atomic import is_temporary
from deepsched.baselines.errors import DeepSchedError, InvalidInput
from deepsched.pipeline.dataset.files import open_folder, sha256
from deepsched.pipeline.dataset.stores import UnreadableStore

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from deepsched.pipeline.dataset.files import Folder

STATE = "training.json"  # written last: with it a state is whole
DIGESTS = "sha256"  # its key for those of the other files
WRITER = "writer"  # who may write: a name that the last process to begin has left
KEPT = 2  # newest states, besides those that the caller names

_STEP = re.compile(r"step-(\d+)/(.+)")


def step_folder(step: int) -> str:
    """Return the name of the folder with the state after a step."""
    return f"step-{step:08d}"


class Superseded(DeepSchedError, RuntimeError):
    """Another process has gone on with the training meanwhile; this one may write no more."""


class Checkpoints:
    """The states of one training.

    Writing a state is killed at any moment without harm to the states before it. Of processes that
    call `claim` only the last one writes: one that was given up and goes on for a while, on a node
    out of reach, would else remove what others read or write.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._writer: bytes | None = None

    @classmethod
    def at(cls, uri: str) -> Checkpoints:
        """Return those in a folder, which need not exist.

        Raises
        ------
        InvalidInput
            If the URI cannot be understood.
        """
        return cls(open_folder(uri))

    def steps(self) -> list[int]:
        """Return the steps of which there is a state, ascending."""
        return sorted(step for step, names in self._files().items() if STATE in names)

    def read(self, step: int) -> dict[str, bytes]:
        """Return the files of a state.

        Raises
        ------
        InvalidInput
            Naming the file, if one is missing or damaged.
        """
        where = step_folder(step)
        files = {STATE: self._read(f"{where}/{STATE}")}
        for name, digest in _document(files[STATE], self.where(step))[DIGESTS].items():
            files[name] = self._read(f"{where}/{name}")
            if sha256(files[name]) != digest:
                raise InvalidInput(
                    f"{self._folder.where(f'{where}/{name}')}: damaged, or not what {STATE} was "
                    "saved with (SHA-256 differs)"
                )
        return files

    def newest(self) -> tuple[int, dict[str, bytes], list[str]]:
        """Return the newest state that is whole, 0 and no files if there is none.

        Returns
        -------
        Its step, its files, and what is wrong with newer ones.

        Raises
        ------
        InvalidInput
            If there are states and all of them are damaged; names the newest.
        """
        wrong: list[str] = []
        for step in reversed(self.steps()):
            try:
                return step, self.read(step), wrong
            except InvalidInput as error:
                wrong.append(str(error))
        if wrong:
            raise InvalidInput(wrong[0])
        return 0, {}, []

    def claim(self) -> None:
        """Let nobody write who has claimed before.

        Raises
        ------
        UnwritableOutput
        """
        self._writer = uuid.uuid4().hex.encode()
        self._folder.write(WRITER, self._writer)

    def save(self, step: int, files: Mapping[str, bytes], keep: Collection[int] = ()) -> None:
        """Put a state there, then remove older ones but the newest two and those to `keep`.

        Parameters
        ----------
        files : with `STATE` as `sealed` returns it.

        Raises
        ------
        UnwritableOutput
            Naming the file.
        Superseded
        """
        for name in sorted(files, key=lambda name: name == STATE):
            self._check_writer()
            self._folder.write(f"{step_folder(step)}/{name}", files[name])
        self._check_writer()
        there = self._files()
        whole = sorted(one for one, names in there.items() if STATE in names)
        for one in set(there) - {*whole[-KEPT:], *keep, step}:
            self._remove(one, there[one])
        for name in there.get(step, ()):
            if is_temporary(name):
                self._folder.delete(f"{step_folder(step)}/{name}")

    def discard(self, after: int) -> None:
        """Remove the states after a step.

        Raises
        ------
        UnwritableOutput, Superseded
        """
        self._check_writer()
        for step, names in self._files().items():
            if step > after:
                self._remove(step, names)

    def _remove(self, step: int, names: set[str]) -> None:
        # Its mark first: what is left of it counts as absent.
        for name in sorted(names, key=lambda name: name != STATE):
            self._folder.delete(f"{step_folder(step)}/{name}")
        if self._folder.local:
            with contextlib.suppress(OSError):
                self._folder.filesystem.delete_dir(f"{self._folder.root}/{step_folder(step)}")

    def _check_writer(self) -> None:
        if self._writer is None:
            return
        # A store that does not answer now may take what is written all the same.
        with contextlib.suppress(FileNotFoundError, UnreadableStore):
            if self._folder.read(WRITER).to_pybytes() != self._writer:
                raise Superseded(f"{self._folder.uri}: another process trains on from there now")

    def where(self, step: int) -> str:
        """Return the place of a state, for messages."""
        return self._folder.where(step_folder(step))

    def _files(self) -> dict[int, set[str]]:
        found: dict[int, set[str]] = {}
        for name in self._folder.names():
            match = _STEP.fullmatch(name)
            if match:
                found.setdefault(int(match[1]), set()).add(match[2])
        return found

    def _read(self, name: str) -> bytes:
        try:
            data: bytes = self._folder.read(name).to_pybytes()
        except FileNotFoundError:
            raise InvalidInput(f"{self._folder.where(name)}: is missing") from None
        return data


def sealed(files: Mapping[str, bytes], document: Mapping[str, Any]) -> dict[str, bytes]:
    """Return files with `STATE` beside them: a document and their digests."""
    digests = {name: sha256(data) for name, data in files.items()}
    text = json.dumps({**document, DIGESTS: digests}, allow_nan=False)
    return {**files, STATE: text.encode()}


def _document(data: bytes, where: str) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(data)
        document[DIGESTS].items()
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise InvalidInput(f"{where}/{STATE}: cannot be read: {error}") from None
    return document
