"""What a search found: its trials, the best one first, and the files that tell of them."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.writers.csv_table import safe_cell
from deepsched.pipeline.tuning.plan import put_text
from deepsched.pipeline.tuning.records import ENDED
from deepsched.pipeline.tuning.report import render
from deepsched.pipeline.tuning.search_space import present_values, trial_config

if TYPE_CHECKING:
    from collections.abc import Iterable

    from deepsched.pipeline.tuning.plan import Search
    from deepsched.pipeline.tuning.records import TrialRecord

BEST = "best.json"
TABLE, RESULTS, REPORT = "results.csv", "results.json", "report.html"


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialResult:
    """What came of one trial.

    Attributes
    ----------
    trial : its number, from 0.
    params : what it tried.
    state : finished, stopped early, or failed.
    steps : how many it trained.
    score : of its best validation, decoded schedules / HEFT's; None if it failed.
    error : why it failed.
    validations : the step and the score of each.
    """

    trial: int
    params: dict[str, Any]
    state: str
    steps: int
    score: float | None
    error: str | None
    validations: list[tuple[int, float]]


def trial_results(records: Iterable[TrialRecord]) -> list[TrialResult]:
    """Return the results of the trials that have ended, by score; failed ones come last."""
    ended = [record for record in records if record.state in ENDED]
    results = [
        TrialResult(
            trial=record.trial,
            params=record.params,
            state=record.state,
            steps=record.steps,
            score=record.score,
            error=record.error,
            validations=record.validations,
        )
        for record in ended
    ]
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
    """Write best settings, table, report and results; `results` has the best one first."""
    best = trial_config(search.config, results[0].params, where="the best trial")
    put_text(search.out, BEST, best.model_dump_json(indent=1))
    put_text(search.out, TABLE, results_csv(results))
    put_text(search.out, REPORT, render(search_document(search, results)))
    rows = [asdict(result) for result in results]
    put_text(search.out, RESULTS, json.dumps(rows, indent=1, allow_nan=False))  # marks the end


def search_document(search: Search, results: list[TrialResult]) -> dict[str, Any]:
    """Return all that the report tells."""
    return {
        "network": search.config.network,
        "objective": search.config.objective,
        "data": search.data or "generated problems",
        "trials": search.trials,
        "scheduler": search.scheduler,
        "searcher": search.searcher,
        "ranges": search.ranges,
        "defaults": present_values(search.config, search.ranges),
        "results": [asdict(result) for result in results],
    }


def results_csv(results: list[TrialResult]) -> str:
    """Return the results as a table, one trial a row, the best one first."""
    params = list(dict.fromkeys(name for result in results for name in result.params))
    fields = ("trial", "state", "steps", "score", "error")
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("rank", *fields, *params))
    for rank, result in enumerate(results, 1):
        row = asdict(result)
        values = [row[name] for name in fields] + [result.params.get(name) for name in params]
        cells = (safe_cell(value) if isinstance(value, str) else value for value in values)
        table.writerow([rank, *cells])
    return text.getvalue()


def _order(result: TrialResult) -> tuple[float, int]:
    return (math.inf if result.score is None else result.score, result.trial)
