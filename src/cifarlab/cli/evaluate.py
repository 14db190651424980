"""``cifarlab evaluate``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cifarlab.errors import InputError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from cifarlab.evaluation.metrics import Metrics

SPLITS = ("train", "validation", "test")


def evaluate(
    model: Annotated[
        Path,
        typer.Argument(help="A run directory, a .keras or an .h5 file, or cifar10, the package's."),
    ],
    data: Annotated[
        str | None,
        typer.Option(help="Dataset name or path. Default: the run's own, else cifar10."),
    ] = None,
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out images that cannot be read.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Measure a model on labelled images.

    \b
    Examples:
      cifarlab evaluate runs/baseline-1
      cifarlab evaluate best.keras --data photos/ --split validation --json
    """
    if split not in SPLITS:
        raise UsageError(f"split {split!r}: choose from {', '.join(SPLITS)}")
    from cifarlab.classifier import Classifier
    from cifarlab.classifier import evaluate as measure_split
    from cifarlab.cli.output import console, print_json, say, warnings_in_one_line
    from cifarlab.data.catalog import load_dataset
    from cifarlab.runs.record import data_of

    warnings_in_one_line()
    classifier = Classifier.load(model, device)
    if split == "validation" and classifier.saw_validation:
        raise UsageError(f"{model} was trained on the validation images; use --split test")
    dataset = load_dataset(
        data or data_of(model) or "cifar10",
        image_size=classifier.input_shape[0],
        skip_bad=skip_bad,
        progress=say,
    )
    if not classifier.named and len(classifier.class_names) == len(dataset.class_names):
        # A plain Keras file tells no names: the data's, in order, are the best guess.
        classifier = replace(classifier, class_names=dataset.class_names)
    if dataset.class_names != classifier.class_names:
        raise InputError(
            f"{model} knows the classes {', '.join(classifier.class_names)}; {dataset.name} has "
            f"{', '.join(dataset.class_names)}: name its own data with --data"
        )
    metrics = measure_split(classifier, getattr(dataset, split))
    if json:
        print_json({"dataset": dataset.name, "split": split, **metrics.to_json()})
    else:
        _show(console(json), f"{model} on {dataset.name}, {split}", metrics)


def _show(out: Console, title: str, metrics: Metrics) -> None:
    from cifarlab.cli.output import summary_of, table
    from cifarlab.evaluation.metrics import most_confused

    out.print(title, markup=False, soft_wrap=True)
    out.print(f"  accuracy  {summary_of(metrics.to_json())}")
    out.print(f"  top 2     {metrics.top2:.2%}")
    out.print(f"  loss      {metrics.loss:.4f}\n")
    rows = [
        (name, f"{c.precision:.1%}", f"{c.recall:.1%}", f"{c.f1:.1%}", f"{c.support:,}")
        for name, c in metrics.per_class.items()
    ]
    out.print(table(("class", "precision", "recall", "F1", "images"), rows))
    confused = most_confused(metrics)
    if confused:
        out.print("\nmost confused:")
    for c in confused:
        images = "1 image" if c.count == 1 else f"{c.count:,} images"
        out.print(
            f"  {c.true} taken for {c.predicted}: {images}, {c.share:.0%} of {c.true}",
            markup=False,
        )
