"""Pure functions from predictions to results: no files, no pictures, no model."""

from cifarlab.evaluation.metrics import (
    ClassMetrics,
    Confusion,
    Metrics,
    measure,
    most_confused,
    wilson_interval,
)

__all__ = [
    "ClassMetrics",
    "Confusion",
    "Metrics",
    "measure",
    "most_confused",
    "wilson_interval",
]
