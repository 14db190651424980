"""Experiments with made-up numbers, and a tiny dataset for real ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

from cifarlab.data.dataset import Dataset, Split
from cifarlab.data.named.shapes import CLASSES, draw
from cifarlab.lessons.experiment import Experiment, ExperimentData, LessonOptions, Outcome, Trial

TINY = LessonOptions(images=60, epochs=2, seeds=2)


@cache
def shapes() -> Dataset:
    """80 drawn images for training, 40 for validation, and a test split that raises."""
    drawn = draw(train=80, test=40)
    return Dataset(
        name="shapes10",
        source=drawn.source,
        class_names=CLASSES,
        train=drawn.train,
        validation=drawn.test,
        test=Untouchable(),
    )


class Untouchable(Split):
    """A split that raises whatever is done with it."""

    def __init__(self) -> None:
        """Hold nothing."""

    def __getattribute__(self, name: str) -> object:
        raise AssertionError(f"the test split was touched: {name}")


def history(
    accuracies: Sequence[float], losses: Sequence[float] | None = None
) -> tuple[Mapping[str, float], ...]:
    """One row per epoch; the loss is 1 minus the accuracy unless given."""
    losses = losses or [1 - value for value in accuracies]
    return tuple(
        {
            "epoch": epoch,
            "loss": loss,
            "accuracy": accuracy,
            "val_loss": loss,
            "val_accuracy": accuracy,
            "seconds": 2.0,
        }
        for epoch, (accuracy, loss) in enumerate(zip(accuracies, losses, strict=True), start=1)
    )


def experiment(
    variants: Mapping[str, Sequence[float]],
    measured: Mapping[str, Mapping[str, float]] | None = None,
) -> Experiment:
    """Two epochs, the second with the given accuracy for each seed."""
    outcomes = tuple(
        Outcome(
            variant=name,
            trials=tuple(
                Trial(
                    seed=seed,
                    history=history([0.1, value]),
                    measured=(measured or {}).get(name, {}),
                )
                for seed, value in enumerate(values)
            ),
        )
        for name, values in variants.items()
    )
    return Experiment(
        setup=ExperimentData(
            dataset="made-up",
            images=100,
            validation=50,
            epochs=2,
            seeds=len(next(iter(variants.values()))),
        ),
        outcomes=outcomes,
    )


def said(sentences: Sequence[str]) -> str:
    """All sentences as one text."""
    return " ".join(sentences)
