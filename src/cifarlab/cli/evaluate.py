"""``cifarlab evaluate``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cifarlab.errors import InputError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from cifarlab.classifier import Classifier
    from cifarlab.data.dataset import Dataset
    from cifarlab.evaluation.metrics import Metrics

SPLITS = ("train", "validation", "test")


def evaluate(
    model: Annotated[
        Path,
        typer.Argument(
            help="A run directory, a .keras or an .h5 file, or cifar10, the pretrained model."
        ),
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
    from cifarlab.cli.output import console, print_json, warnings_in_one_line
    from cifarlab.cli.progress import progress_on_stderr
    from cifarlab.runs.record import evaluation_data

    warnings_in_one_line()
    classifier = Classifier.load(model, device)
    if split == "validation" and classifier.saw_validation:
        raise UsageError(f"{model} was trained on the validation images; use --split test")
    with progress_on_stderr() as progress:
        progress.started("loading data")
        dataset = evaluation_data(
            model,
            data,
            image_size=classifier.input_shape[0],
            skip_bad=skip_bad,
            progress=progress.message,
        )
        classifier = _with_classes_of(classifier, dataset, model)
        progress.started("measuring")
        metrics = classifier.evaluate(getattr(dataset, split))
    if json:
        print_json({"dataset": dataset.name, "split": split, **metrics.to_json()})
    else:
        _show(
            console(as_json=json),
            f"{model} on {dataset.name}, {split}",
            metrics,
            classifier.temperature,
        )


def _with_classes_of(classifier: Classifier, data: Dataset, model: Path) -> Classifier:
    """Return the classifier with the data's class names, which must be its own if it has some.

    Raises:
        InputError: the model knows other classes.
    """
    if not classifier.named and len(classifier.class_names) == len(data.class_names):
        # A plain Keras file has no class names: the data's, in order, are the best guess.
        return replace(classifier, class_names=data.class_names)
    if data.class_names != classifier.class_names:
        raise InputError(
            f"{model} knows the classes {', '.join(classifier.class_names)}; {data.name} has "
            f"{', '.join(data.class_names)}: name its own data with --data"
        )
    return classifier


def _show(out: Console, title: str, metrics: Metrics, temperature: float) -> None:
    from cifarlab.cli.output import percent, summary_of, table
    from cifarlab.evaluation.metrics import most_confused

    out.print(title, markup=False, soft_wrap=True)
    out.print(f"  accuracy  {summary_of(metrics.to_json())}")
    out.print(f"  balanced  {metrics.balanced_accuracy:.2%}  (mean recall of the classes)")
    out.print(f"  macro-F1  {metrics.macro_f1:.2%}")
    out.print(f"  top 2     {metrics.top2:.2%}")
    # As the report says it: a run's metrics.json has the loss before temperature.
    applied = "" if temperature == 1.0 else f", with temperature {temperature:.2f} applied"
    out.print(f"  loss      {metrics.loss:.4f} (cross-entropy{applied})\n")
    rows = [
        (name, *(percent(share) for share in (c.precision, c.recall, c.f1)), f"{c.support:,}")
        for name, c in metrics.per_class.items()
    ]
    out.print(table(("class", "precision", "recall", "F1", "images"), rows))
    if metrics.not_measured:
        out.print("\n– not measured: there are no images of that class")
    confused = most_confused(metrics)
    if confused:
        out.print("\nmost confused:")
    for c in confused:
        images = "1 image" if c.count == 1 else f"{c.count:,} images"
        out.print(
            f"  {c.true} predicted as {c.predicted}: {images}, {c.share:.0%} of {c.true}",
            markup=False,
        )
