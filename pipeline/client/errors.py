"""What a client raises."""

from __future__ import annotations

from deepsched.baselines.errors import DeepSchedError


class ServiceError(DeepSchedError):
    """The service refused a request, or there is no whole answer from it.

    Attributes
    ----------
    status : the HTTP status; None where nothing, or nothing legible, was answered.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
