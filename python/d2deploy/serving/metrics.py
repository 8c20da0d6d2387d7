"""What a server counts, for Prometheus. Labels come from the server alone, never from what a client sends."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from d2deploy.serving.engine import Engine

__all__ = ["Metrics"]

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """Those of one server, in a registry of its own."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, engine: Engine) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "d2deploy_requests", "Requests that were answered.", ("protocol", "route", "code"), registry=self.registry
        )
        self._errors = Counter(
            "d2deploy_errors", "Requests that ended in an error.", ("protocol", "kind"), registry=self.registry
        )
        self._seconds = Histogram(
            "d2deploy_request_seconds",
            "From the headers of a request to its answer.",
            ("protocol", "route"),
            buckets=SECONDS,
            registry=self.registry,
        )
        self._stages = Histogram(
            "d2deploy_stage_seconds",
            "Parts of a prediction: queue, decode, predict, encode.",
            ("model", "stage"),
            buckets=SECONDS,
            registry=self.registry,
        )
        self._pictures = Counter(
            "d2deploy_pictures", "Pictures that were predicted.", ("model",), registry=self.registry
        )
        self.in_flight = Gauge(
            "d2deploy_requests_in_flight", "Requests that are not answered yet.", ("protocol",), registry=self.registry
        )
        self._gauge("d2deploy_queue_length", "Requests that wait for a session.", lambda: engine.waiting)
        self._gauge("d2deploy_sessions_busy", "Sessions at work.", lambda: engine.running)
        self._gauge("d2deploy_sessions", "Predictions that run at the same time.", lambda: engine.sessions)

    def _gauge(self, name: str, text: str, value: object) -> None:
        Gauge(name, text, registry=self.registry).set_function(value)  # type: ignore[arg-type]

    def answered(self, protocol: str, route: str, code: str, seconds: float) -> None:
        self._requests.labels(protocol, route, code).inc()
        self._seconds.labels(protocol, route).observe(seconds)

    def failed(self, protocol: str, kind: str) -> None:
        self._errors.labels(protocol, kind).inc()

    def predicted(self, model: str, pictures: int, stages: Mapping[str, float]) -> None:
        """Args: stages: seconds of each."""
        self._pictures.labels(model).inc(pictures)
        for stage, seconds in stages.items():
            self._stages.labels(model, stage).observe(seconds)

    def text(self) -> bytes:
        """As Prometheus reads it."""
        return generate_latest(self.registry)
