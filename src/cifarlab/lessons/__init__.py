"""Small experiments that measure what a learner is usually just told.

Each lesson is a module with the same five names: ``DEFAULT``, its ``LessonOptions``; ``run``,
which does the experiment; and ``table``, ``sentences`` and ``draw``, which are made from the
numbers alone. To add one, write a module and name it here.
"""

from __future__ import annotations

# A line of summary, and the module.
LESSONS: dict[str, tuple[str, str]] = {
    "scaling": (
        "what scaling pixels to [0, 1] buys",
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
        "what a .keras and an .h5 file keep of a model",
        "cifarlab.lessons.formats",
    ),
}
