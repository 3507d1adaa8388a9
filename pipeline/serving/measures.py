"""What a gateway counts, as Prometheus reads it at `/metrics`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
PHASES = ("queue", "parse", "network", "decode", "schedule")


class Measures:
    """The counters of one gateway; each gateway answers for itself, under its own name."""

    def __init__(self, name: str) -> None:
        self._registry = CollectorRegistry()
        self._name = name
        # Typed as anything: their constructors take the two by name.
        labels: dict[str, Any] = {"registry": self._registry, "namespace": "deepsched"}
        self.requests = Counter(
            "requests", "Requests answered.", ("gateway", "route", "status"), **labels
        )
        self.seconds = Histogram(
            "request_seconds",
            "From the first byte of a request to its answer.",
            ("gateway", "route", "lane"),
            buckets=SECONDS,
            **labels,
        )
        self.phases = Histogram(
            "phase_seconds",
            "Where the time of a schedule went.",
            ("gateway", "phase"),
            buckets=SECONDS,
            **labels,
        )
        self.schedules = Counter(
            "schedules",
            "Schedules made, by who was asked and whose it is.",
            ("gateway", "scheduler", "winner"),
            **labels,
        )
        self.turned_away = Counter(
            "turned_away", "Connections closed by the door.", ("gateway", "status"), **labels
        )
        self.waiting = Gauge(
            "waiting", "Requests that wait for a process.", ("gateway", "lane"), **labels
        )
        self.connections = Gauge("connections", "Clients connected.", ("gateway",), **labels)
        self.body_bytes = Gauge("body_bytes", "Bytes of bodies held.", ("gateway",), **labels)
        self.ready = Gauge(
            "ready", "1 where all kinds of processes answer.", ("gateway",), **labels
        )
        self.jobs = Gauge("jobs", "Jobs kept, by their state.", ("gateway", "state"), **labels)

    def answered(self, route: str, status: int) -> None:
        """Count a request."""
        self.requests.labels(self._name, route, str(status)).inc()

    def took(self, route: str, lane: str, seconds: float) -> None:
        """Count how long a request took."""
        self.seconds.labels(self._name, route, lane).observe(seconds)

    def scheduled(self, facts: Mapping[str, Any]) -> None:
        """Count the schedules of a reply."""
        for answer in facts.get("answers", ()):
            if answer["status"] != 200:
                continue
            self.schedules.labels(self._name, answer["scheduler"], answer["winner"]).inc()
            for phase in PHASES:
                if answer[phase] is not None:
                    self.phases.labels(self._name, phase).observe(answer[phase])

    def turned(self, status: str) -> None:
        """Count a connection that the door closed."""
        self.turned_away.labels(self._name, status).inc()

    def follow(self, gauge: Gauge, value: Callable[[], float], *labels: str) -> None:
        """Have a gauge show what a function returns when it is asked."""
        gauge.labels(self._name, *labels).set_function(value)

    def set_jobs(self, states: Mapping[str, int]) -> None:
        """Note how many jobs there are in each state."""
        for state in ("queued", "running", "done", "failed", "cancelled"):
            self.jobs.labels(self._name, state).set(states.get(state, 0))

    def text(self) -> bytes:
        """Return all of it, as Prometheus reads it."""
        return generate_latest(self._registry)
