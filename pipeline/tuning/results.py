"""What a search found: its trials, the best one first, and the files that tell of them."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from deepsched.baselines.errors import InvalidInput
from deepsched.pipeline.tuning.plan import put_text
from deepsched.pipeline.tuning.search_space import trial_config

if TYPE_CHECKING:
    from collections.abc import Iterable

    from deepsched.pipeline.tuning.plan import Search

BEST = "best.json"
TABLE, RESULTS = "results.csv", "results.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialResult:
    """What came of one trial.

    Attributes
    ----------
    params : what it tried.
    steps : how many it trained; ASHA stops trials that are worse than others after as many.
    score : of its best validation, decoded schedules / HEFT's; None if `error`.
    error : why there is none.
    """

    trial: str
    params: dict[str, Any]
    steps: int
    score: float | None
    error: str | None


def best_first(results: Iterable[TrialResult]) -> list[TrialResult]:
    """Return the results by their score; those without one come last."""
    return sorted(results, key=_order)


def finished_search(search: Search) -> list[TrialResult] | None:
    """Return the results that `search.out` holds already, if it does.

    Raises
    ------
    InvalidInput
        If they cannot be read.
    """
    path = search.out / RESULTS
    if not path.exists():
        return None
    try:
        return [TrialResult(**row) for row in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError) as error:
        raise InvalidInput(f"{path}: cannot be read: {error}") from None


def publish_results(search: Search, results: list[TrialResult]) -> None:
    """Write the best settings, the table and the results; `results` has the best one first."""
    best = trial_config(search.config, results[0].params, where="the best trial")
    put_text(search.out, BEST, best.model_dump_json(indent=1))
    put_text(search.out, TABLE, results_csv(results))
    rows = [asdict(result) for result in results]
    put_text(search.out, RESULTS, json.dumps(rows, indent=1, allow_nan=False))  # marks the end


def results_csv(results: list[TrialResult]) -> str:
    """Return the results as a table, one trial a row, the best one first."""
    params = list(dict.fromkeys(name for result in results for name in result.params))
    fields = ("trial", "steps", "score", "error")
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("rank", *fields, *params))
    for rank, result in enumerate(results, 1):
        row = asdict(result)
        values = [row[name] for name in fields] + [result.params.get(name) for name in params]
        table.writerow([rank, *values])
    return text.getvalue()


def _order(result: TrialResult) -> float:
    return math.inf if result.score is None else result.score
