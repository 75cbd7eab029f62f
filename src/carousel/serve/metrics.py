"""What Prometheus reads: requests, latencies, tokens, sessions, queues."""

from __future__ import annotations

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0)
MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
"""Names the folder in which several workers add their numbers up; read by prometheus_client."""


class Metrics:
    """The numbers of one worker; with several workers, what any of them shows is for all."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "carousel_requests", "Requests that were answered", ["route", "status"],
            registry=registry,
        )  # fmt: skip
        self.seconds = Histogram(
            "carousel_request_seconds", "From a request's head to the end of its answer", ["route"],
            registry=registry, buckets=BUCKETS,
        )  # fmt: skip
        self.tokens = Counter(
            "carousel_tokens", "Tokens that were read (prompt) and generated (completion)",
            ["kind"], registry=registry,
        )  # fmt: skip
        self.sessions = self._gauge("carousel_sessions", "Sessions that the server keeps")
        self.waiting = self._gauge("carousel_queue", "Pieces of work that wait or are under way")
        self.running = self._gauge("carousel_running", "Requests that are under way")
        self.prompt_tokens = self.tokens.labels("prompt")
        self.completion_tokens = self.tokens.labels("completion")
        self._routes: dict[tuple[str, int], tuple[Counter, Histogram]] = {}

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, registry=self.registry, multiprocess_mode="livesum")

    def count(self, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        pair = self._routes.get((route, status))
        if pair is None:
            pair = self.requests.labels(route, str(status)), self.seconds.labels(route)
            self._routes[route, status] = pair
        pair[0].inc()
        pair[1].observe(seconds)

    def text(self) -> bytes:
        """All numbers in Prometheus's text format."""
        if MULTIPROCESS not in os.environ:
            return generate_latest(self.registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
