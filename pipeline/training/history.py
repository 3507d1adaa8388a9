"""What the validations of a training found."""

from __future__ import annotations

from typing import Any

Record = dict[str, Any]  # one validation: see `loop.fit`
History = list[Record]

SCORE = "score"  # smaller is better


def best_record(history: History) -> Record:
    """Return the record of the validation with the least score, the earlier one on a tie."""
    best: Record = min(history, key=lambda record: record[SCORE])
    return best


def ended_early(history: History, early_stop: int | None) -> bool:
    """Return whether as many validations as `early_stop` says came since the best one."""
    if early_stop is None or not history:
        return False
    best = best_record(history)
    since = sum(int(record["step"]) > int(best["step"]) for record in history)
    return since >= early_stop
