"""What is known of each trial: a file of ours for each, from which a search goes on.

Ray's own notes of a search are written in place, so that a kill can leave them in halves. Nothing
is read from them: each start of a search is a new one to Ray, of the trials that have not ended.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from deepsched.pipeline.dataset.files import open_folder

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = "trials"
RUNNING, FINISHED, STOPPED, FAILED = "running", "finished", "stopped", "failed"
ENDED = (FINISHED, STOPPED, FAILED)
KEYS = ("trial", "params", "state", "validations", "error")


@dataclass(kw_only=True, slots=True)
class TrialRecord:
    """One trial, as far as it came.

    Attributes
    ----------
    trial : its number, from 0.
    params : its settings; those that it has now, where they change on the way.
    state : running, or how it ended: finished, stopped before its last step, or failed.
    validations : the step and the score of each.
    error : why it failed.
    """

    trial: int
    params: dict[str, Any]
    state: str = RUNNING
    validations: list[tuple[int, float]] = field(default_factory=list)
    error: str | None = None

    @property
    def steps(self) -> int:
        """How many it trained, up to its last validation."""
        return self.validations[-1][0] if self.validations else 0

    @property
    def score(self) -> float | None:
        """The score of its best validation; None without one, or if it failed."""
        if self.state == FAILED:
            return None
        return min((score for _, score in self.validations), default=None)


def write_record(out: Path, record: TrialRecord) -> None:
    """Write down what is known of a trial, whole or not at all.

    Raises
    ------
    UnwritableOutput
    """
    text = json.dumps(asdict(record), allow_nan=False) + "\n"
    open_folder(str(out)).write(_name(record.trial), text.encode())


def read_records(out: Path, trials: int) -> tuple[dict[int, TrialRecord], list[str]]:
    """Return the trials that have begun, by number, and one line for each file that is damaged.

    A trial whose file is damaged counts as one that has not begun.
    """
    found, wrong = {}, []
    for number in range(trials):
        path = out / _name(number)
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            record = TrialRecord(**{key: document[key] for key in KEYS})
            record.validations = [(int(step), float(score)) for step, score in record.validations]
            if record.trial != number or not isinstance(record.params, dict):
                raise ValueError("it is of another trial")
        except FileNotFoundError:
            continue
        except (OSError, ValueError, LookupError, TypeError) as error:
            wrong.append(f"{path}: cannot be read ({error}); the trial begins again")
            continue
        found[number] = record
    return found, wrong


def _name(number: int) -> str:
    return f"{FOLDER}/{number:05d}.json"
