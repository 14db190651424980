"""Train, understand and ship small-image classifiers, CIFAR-10 first.

Example:
    >>> import cifarlab
    >>> data = cifarlab.load_dataset("cifar10")  # doctest: +SKIP
    >>> run = cifarlab.train("baseline", data)  # doctest: +SKIP
    >>> cifarlab.Classifier.load(run.directory).predict("cat.jpg").top(3)  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cifarlab.classifier import Classifier, evaluate
    from cifarlab.data.catalog import load_dataset
    from cifarlab.data.dataset import Dataset, Split
    from cifarlab.data.load_options import LoadOptions
    from cifarlab.data.multi_label.dataset import MultiLabelDataset
    from cifarlab.data.multi_label.loading import load_multi_label
    from cifarlab.errors import CifarlabError
    from cifarlab.evaluation.multi_label import measure_multi_label
    from cifarlab.experiments.compare import compare
    from cifarlab.experiments.lr_finder import find_learning_rate
    from cifarlab.exporting import export
    from cifarlab.fitting.check import check_fit
    from cifarlab.fitting.fit import fast_fit, fit, predict
    from cifarlab.predicting.files import predict_files
    from cifarlab.predictions import Predictions
    from cifarlab.recipes import RECIPES
    from cifarlab.recipes.recipe import Recipe
    from cifarlab.reporting.build import report
    from cifarlab.reporting.dataset_page import show_dataset
    from cifarlab.serving.page.demo import demo
    from cifarlab.training.run import Run
    from cifarlab.training.train import TrainOptions, resume, train

__version__ = "0.2.0.dev0"

__all__ = [
    "RECIPES",
    "CifarlabError",
    "Classifier",
    "Dataset",
    "LoadOptions",
    "MultiLabelDataset",
    "Predictions",
    "Recipe",
    "Run",
    "Split",
    "TrainOptions",
    "check_fit",
    "compare",
    "demo",
    "evaluate",
    "export",
    "fast_fit",
    "find_learning_rate",
    "fit",
    "load_dataset",
    "load_multi_label",
    "measure_multi_label",
    "predict",
    "predict_files",
    "report",
    "resume",
    "show_dataset",
    "train",
]

# Where each public name lives; loaded when it is first asked for, because Keras and
# PyTorch take seconds to import.
_HOMES = {
    "RECIPES": "recipes",
    "CifarlabError": "errors",
    "Classifier": "classifier",
    "Dataset": "data.dataset",
    "LoadOptions": "data.load_options",
    "MultiLabelDataset": "data.multi_label.dataset",
    "Options": "training.train",
    "Predictions": "predictions",
    "Recipe": "recipes.recipe",
    "Run": "training.run",
    "Split": "data.dataset",
    "TrainOptions": "training.train",
    "check_fit": "fitting.check",
    "compare": "experiments.compare",
    "demo": "serving.page.demo",
    "evaluate": "classifier",
    "export": "exporting",
    "fast_fit": "fitting.fit",
    "find_learning_rate": "experiments.lr_finder",
    "fit": "fitting.fit",
    "load_dataset": "data.catalog",
    "load_multi_label": "data.multi_label.loading",
    "measure_multi_label": "evaluation.multi_label",
    "predict": "fitting.fit",
    "predict_files": "predicting.files",
    "report": "reporting.build",
    "resume": "training.train",
    "show_dataset": "reporting.dataset_page",
    "train": "training.train",
}

# The names of version 0.1, and what they are called today.
_OLD_NAMES = {"Options": "TrainOptions", "load": "load_dataset"}

# Keras picks its backend at its first import, which may follow before any name is used.
if "keras" not in sys.modules:
    os.environ.setdefault("KERAS_BACKEND", "torch")


def __getattr__(name: str) -> Any:
    name = _OLD_NAMES.get(name, name)
    if name not in _HOMES:
        raise AttributeError(f"module 'cifarlab' has no attribute {name!r}")
    return getattr(importlib.import_module(f"cifarlab.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
