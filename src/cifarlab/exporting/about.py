"""The test results that are stored with a model, to be shown beside what was exported."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cifarlab.classifier import is_pretrained
from cifarlab.runs.directory import RunDirectory, read_json
from cifarlab.saving.pretrained import read_card


def about(model: Path) -> dict[str, Any]:
    """Return ``accuracy``, ``confusion`` and all of ``test``; each ``None`` where it is not known.

    Args:
        model: as ``Classifier.load`` takes it.

    Raises:
        InputError: the run's record cannot be read.
    """
    metrics = RunDirectory(path=model).metrics
    if metrics.exists():
        return _results(read_json(metrics)["test"])
    if is_pretrained(model):
        return _results(read_card()["test"])
    return {"accuracy": None, "confusion": None, "test": None}


def _results(test: Mapping[str, Any]) -> dict[str, Any]:
    low, high = test["accuracy_interval"]
    return {
        "accuracy": {"value": test["accuracy"], "low": low, "high": high, "n": test["n"]},
        "confusion": test["confusion"],
        "test": dict(test),
    }
