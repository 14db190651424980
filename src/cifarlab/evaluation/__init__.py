"""Pure functions from predictions to results: no files, no models, images only as arrays.

May use predictions, recipes and errors, never Keras or PyTorch.
"""

from cifarlab.evaluation.calibration import (
    Calibration,
    ReliabilityBin,
    expected_calibration_error,
    fit_temperature,
    measure_calibration,
    with_temperature,
)
from cifarlab.evaluation.comparison import (
    Comparison,
    Pair,
    PairedImages,
    Sample,
    compare_accuracies,
    same_images,
)
from cifarlab.evaluation.duplicates import DuplicatePair, near_duplicates
from cifarlab.evaluation.label_issues import LabelIssue, LabelIssues, find_label_issues
from cifarlab.evaluation.metrics import (
    ClassMetrics,
    Confusion,
    Metrics,
    balanced_accuracy,
    macro_f1,
    measure,
    most_confused,
    uneven,
    wilson_interval,
)
from cifarlab.evaluation.mistakes import Mistake, cell, top_k_accuracy, top_losses
from cifarlab.evaluation.selective import (
    NotSure,
    RiskCoverage,
    apply_threshold,
    choose_threshold,
    risk_coverage,
)

__all__ = [
    "Calibration",
    "ClassMetrics",
    "Comparison",
    "Confusion",
    "DuplicatePair",
    "LabelIssue",
    "LabelIssues",
    "Metrics",
    "Mistake",
    "NotSure",
    "Pair",
    "PairedImages",
    "ReliabilityBin",
    "RiskCoverage",
    "Sample",
    "apply_threshold",
    "balanced_accuracy",
    "cell",
    "choose_threshold",
    "compare_accuracies",
    "expected_calibration_error",
    "find_label_issues",
    "fit_temperature",
    "macro_f1",
    "measure",
    "measure_calibration",
    "most_confused",
    "near_duplicates",
    "risk_coverage",
    "same_images",
    "top_k_accuracy",
    "top_losses",
    "uneven",
    "wilson_interval",
    "with_temperature",
]
