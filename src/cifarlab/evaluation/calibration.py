"""How far a classifier's confidence can be trusted."""

from __future__ import annotations

import numpy as np

from cifarlab.errors import InputError
from cifarlab.predictions import Predictions

BINS = 15


def expected_calibration_error(predictions: Predictions, bins: int = BINS) -> float:
    """Return the mean gap between confidence and accuracy, 0 to 1.

    Pictures are sorted into ``bins`` equal intervals of confidence; each interval's gap counts by
    its share of the pictures (Guo et al., "On calibration of modern neural networks", 2017).

    Raises:
        InputError: there are no labels or no pictures.
    """
    if predictions.labels is None or not len(predictions):
        raise InputError("calibration needs labelled pictures; give a split that has labels")
    confidence = predictions.confidence.astype(np.float64)
    right = predictions.predicted == predictions.labels
    # An interval has its upper end, as in the paper; a confidence of 0 goes to the first.
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    gap = np.bincount(place, right, bins) - np.bincount(place, confidence, bins)
    return float(np.abs(gap).sum() / count.sum())
