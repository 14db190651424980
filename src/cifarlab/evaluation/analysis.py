"""All results that a report has for one set of predictions, in one value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cifarlab.evaluation.calibration import (
    Calibration,
    fit_temperature,
    measure_calibration,
    with_temperature,
)
from cifarlab.evaluation.duplicates import DuplicatePair
from cifarlab.evaluation.label_issues import LabelIssues, find_label_issues
from cifarlab.evaluation.metrics import Metrics, measure
from cifarlab.evaluation.mistakes import Mistake, top_losses
from cifarlab.evaluation.robustness import Robustness
from cifarlab.evaluation.selective import (
    NotSure,
    RiskCoverage,
    apply_threshold,
    choose_threshold,
    risk_coverage,
)
from cifarlab.predictions import Predictions

TOP_LOSSES = 24


@dataclass(frozen=True, eq=False, kw_only=True)
class Duplicates:
    """Test images that have a near-duplicate among the training images.

    Attributes:
        pairs: the test image and its near-duplicate, nearest first.
        without: the metrics of all other test images; ``None`` where there are none.
    """

    pairs: tuple[DuplicatePair, ...]
    without: Metrics | None

    def to_json(self) -> dict[str, Any]:
        """Return their number and the accuracy without them as plain Python values."""
        return {
            "count": len(self.pairs),
            "accuracy_without": self.without and self.without.accuracy,
            "n_without": self.without.n if self.without else 0,
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class Analysis:
    """Metrics of N labelled predictions, and results beyond them.

    Attributes:
        metrics: accuracy, loss and numbers by class.
        calibration: of the probabilities without a temperature.
        temperature: fitted on validation; ``None`` without validation predictions.
        calibrated: calibration with that temperature, or ``None``.
        curve: error rate over the share of images answered, with the temperature if any.
        not_sure: results at the threshold chosen on validation, with the temperature.
        mistakes: the wrong answers with the highest loss.
        label_issues: labels that the predictions contradict.
        duplicates: ``None`` where they were not searched for.
        robustness: ``None`` where it was not measured.
    """

    metrics: Metrics
    calibration: Calibration
    temperature: float | None
    calibrated: Calibration | None
    curve: RiskCoverage
    not_sure: NotSure | None
    mistakes: tuple[Mistake, ...]
    label_issues: LabelIssues
    duplicates: Duplicates | None = None
    robustness: Robustness | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as plain Python values, without those of ``metrics``."""
        parts = {
            "calibration": self.calibration,
            "calibrated": self.calibrated,
            "not_sure": self.not_sure,
            "label_issues": self.label_issues,
            "duplicates": self.duplicates,
            "robustness": self.robustness,
        }
        return {
            **{name: part and part.to_json() for name, part in parts.items()},
            "temperature": self.temperature,
            "area_under_risk_coverage": self.curve.aurc,
        }


def analyse(
    test: Predictions,
    validation: Predictions | None = None,
    duplicates: Duplicates | None = None,
    robustness: Robustness | None = None,
) -> Analysis:
    """Compute all results for labelled predictions.

    Args:
        test: the predictions to report on, with labels.
        validation: predictions to choose the temperature and the threshold on, with labels.
        duplicates: from ``without_duplicates``.
        robustness: from ``measure_robustness``.

    Raises:
        InputError: as ``measure`` does.
    """
    metrics = measure(test)
    temperature = calibrated = not_sure = None
    scaled = test
    if validation is not None and len(validation):
        temperature = fit_temperature(validation)
        scaled = with_temperature(test, temperature)
        calibrated = measure_calibration(scaled)
        threshold = choose_threshold(with_temperature(validation, temperature))
        not_sure = apply_threshold(scaled, threshold)
    return Analysis(
        metrics=metrics,
        calibration=measure_calibration(test),
        temperature=temperature,
        calibrated=calibrated,
        curve=risk_coverage(scaled),
        not_sure=not_sure,
        mistakes=top_losses(test, TOP_LOSSES),
        label_issues=find_label_issues(test),
        duplicates=duplicates,
        robustness=robustness,
    )


def without_duplicates(test: Predictions, pairs: Sequence[DuplicatePair]) -> Duplicates:
    """Measure ``test`` without the images that have a near-duplicate.

    Raises:
        InputError: as ``measure`` does.
    """
    kept = np.setdiff1d(np.arange(len(test)), [pair.index for pair in pairs])
    return Duplicates(pairs=tuple(pairs), without=measure(test.subset(kept)) if len(kept) else None)
