"""Small experiments that measure what a learner is usually only told.

May use training, plots and what training uses, not reporting or exporting.
"""

from __future__ import annotations

# Each lesson is a module with the same five names: ``DEFAULT``, its ``LessonOptions``; ``run``,
# which does the experiment; and ``table``, ``sentences`` and ``draw``, which need the numbers only.
# To add one, write a module and name it here, after its summary in a line.
LESSONS: dict[str, tuple[str, str]] = {
    "scaling": (
        "what scaling pixels to [0, 1] changes",
        "cifarlab.lessons.scaling",
    ),
    "early-stopping": (
        "what stopping early saves, and what it prevents",
        "cifarlab.lessons.early_stopping",
    ),
    "augmentation": (
        "what changed copies of the images do to overfitting",
        "cifarlab.lessons.augmentation",
    ),
    "batchnorm": (
        "what batch normalisation does at several learning rates",
        "cifarlab.lessons.batchnorm",
    ),
    "formats": (
        "what a .keras and an .h5 file store of a model",
        "cifarlab.lessons.formats",
    ),
}
