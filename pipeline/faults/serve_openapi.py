"""What the description of the service allows, and what it forbids: all answers conform to it."""

from __future__ import annotations

import contextlib
import importlib
import json
import warnings
from collections import Counter
from typing import TYPE_CHECKING, Any

from deepsched.pipeline.benchmarks.serving_bodies import Request
from deepsched.pipeline.common.ray_session import ROOT
from deepsched.pipeline.faults.serve_trial import HUNG, listed, load_average, small_request
from deepsched.pipeline.faults.serve_wire import Answer, fault
from deepsched.pipeline.faults.trial import Broken, NotPossible

if TYPE_CHECKING:
    from deepsched.pipeline.faults.serve_trial import ServeTrial

SHOWN = 20  # findings
CHECKED = (
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)


def described_requests(trial: ServeTrial) -> None:
    """Ask what /openapi.json allows, and what it forbids: all answers are as it says."""
    try:
        importlib.import_module("schemathesis")
    except ImportError:
        raise NotPossible("schemathesis is not installed; the extra dev has it") from None
    described = trial.ask(Request(name="description", method="GET", path="/openapi.json"))
    before = trial.rest()
    asked = _Asked(trial, json.loads(described.body))
    asked.all()
    trial.disturbed(asked.summary(), hit=True)
    trial.check_good(small_request())
    trial.settled(before)
    if asked.wrong:
        raise Broken(f"{len(asked.wrong)} kinds of answers do not conform")


def _without_tuples(value: Any) -> Any:
    """Return a document whose tuples are lists, since schemathesis 4.32 misreads them in answers.

    Ours are pairs of one type each, of which that says the same.
    """
    if isinstance(value, list):
        return [_without_tuples(part) for part in value]
    if not isinstance(value, dict):
        return value
    found = {key: _without_tuples(part) for key, part in value.items()}
    if "prefixItems" in found:
        found["items"] = {"anyOf": found.pop("prefixItems")}
    return found


class _Asked:
    """What was asked, and what did not conform: once for each kind."""

    def __init__(self, trial: ServeTrial, document: Any) -> None:
        import schemathesis

        self._trial = trial
        self._schema: Any = schemathesis.openapi.from_dict(_without_tuples(document))
        self._url = "http://{}:{}".format(*trial.address)
        self._checks: list[Any] = [getattr(schemathesis.checks, name) for name in CHECKED]
        self._statuses: Counter[int] = Counter()
        self.wrong: Counter[str] = Counter()

    def all(self) -> None:
        """Ask each operation, half of the time what it does not allow."""
        from schemathesis import GenerationMode

        operations = [found.ok() for found in self._schema.get_all_operations()]
        # Of those that take nothing there is one request.
        varied = sum(
            bool(found.body or found.query or found.path_parameters) for found in operations
        )
        each = max(1, self._trial.requests // (3 * 2 * varied))
        for operation in operations:
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                self._some(operation, mode, each)

    def summary(self) -> str:
        """Return what came back, as a line."""
        return (
            f"{self._statuses.total()} requests by /openapi.json ({listed(self._statuses)}); "
            f"{self.wrong.total()} do not conform; {load_average()}"
        )

    def _some(self, operation: Any, mode: Any, most: int) -> None:
        import hypothesis
        from hypothesis.errors import Unsatisfiable

        @hypothesis.seed(self._trial.seed)
        @hypothesis.settings(
            max_examples=most,
            deadline=None,
            database=None,
            phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: Any) -> None:
            self._one(case)

        with warnings.catch_warnings(), contextlib.suppress(Unsatisfiable):
            warnings.simplefilter("ignore")  # about what it draws, not about the service
            ask()

    def _one(self, case: Any) -> None:
        from schemathesis.core.failures import FailureGroup

        place = f"{case.method} {case.operation.path}"
        try:
            response = case.call(base_url=self._url, timeout=HUNG)
        except Exception as error:  # of its HTTP client, whatever that is
            self._note(place, case, f"no answer: {type(error).__name__}: {str(error)[:200]}")
            return
        self._statuses[response.status_code] += 1
        if response.status_code == 202:
            self._trial.cancel(response.content)
        answer = Answer(
            status=response.status_code,
            headers={name.lower(): ", ".join(values) for name, values in response.headers.items()},
            body=response.content,
            continued=False,
            seconds=response.elapsed,
        )
        what = fault(answer, is_head=case.method == "HEAD", hidden=str(ROOT))
        if what is not None:
            self._note(place, case, what)
        try:
            case.validate_response(response, checks=self._checks)
        except FailureGroup as group:
            for failure in group.exceptions:
                said = " ".join(str(failure).split())
                self._note(place, case, f"status {answer.status}: {said[:300]}")

    def _note(self, place: str, case: Any, what: str) -> None:
        key = f"{place}: {what[:60]}"
        self.wrong[key] += 1
        if self.wrong[key] == 1 and len(self.wrong) <= SHOWN:
            self._trial.say(f"{place}: {what}")
            (self._trial.folder / f"case-{len(self.wrong)}.txt").write_text(
                f"{what}\n\n{case.as_curl_command()}\n", errors="backslashreplace"
            )
