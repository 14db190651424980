"""What the server counts, for Prometheus."""

from __future__ import annotations

import os

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

# Set where several processes serve; each writes its counts there.
FOLDER = "PROMETHEUS_MULTIPROC_DIR"
LATENCIES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)


class ServerMetrics:
    """The counters of one application."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        several = FOLDER in os.environ
        own = None if several else self.registry
        if several:
            MultiProcessCollector(self.registry)  # type: ignore[no-untyped-call]
        self.requests = Counter(
            "cifarlab_requests_total",
            "Answers by route and status",
            ["route", "status"],
            registry=own,
        )
        self.seconds = Histogram(
            "cifarlab_request_seconds",
            "From the first byte to the answer, of admitted requests",
            ["route"],
            buckets=LATENCIES,
            registry=own,
        )
        self.batches = Histogram(
            "cifarlab_batch_images", "Images computed together", buckets=BATCHES, registry=own
        )
        self.in_flight = Gauge(
            "cifarlab_requests_in_flight",
            "Prediction requests in flight or queued",
            registry=own,
            multiprocess_mode="livesum",
        )

    def text(self) -> bytes:
        """Return everything in Prometheus's text format."""
        return generate_latest(self.registry)
