"""``cifarlab evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cifarlab.errors import InputError, UsageError

EXAMPLES = """
Examples:

  cifarlab evaluate runs/baseline-1

  cifarlab evaluate best.keras --data photos/ --split validation --json
"""

SPLITS = ("train", "validation", "test")


def evaluate(
    model: Annotated[Path, typer.Argument(help="A run directory, a .keras or an .h5 file.")],
    data: Annotated[
        str | None,
        typer.Option(help="Dataset name or path. Default: the run's own, else cifar10."),
    ] = None,
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Measure a model on labelled pictures."""
    if split not in SPLITS:
        raise UsageError(f"split {split!r}: choose from {', '.join(SPLITS)}")
    from cifarlab.classifier import Classifier
    from cifarlab.classifier import evaluate as measure_split
    from cifarlab.cli.output import console, print_json, summary_of, table, warnings_in_one_line
    from cifarlab.data.catalog import load
    from cifarlab.evaluation.metrics import most_confused
    from cifarlab.training import recorded_data

    warnings_in_one_line()
    classifier = Classifier.load(model, device)
    dataset = load(data or recorded_data(model) or "cifar10", image_size=classifier.input_shape[0])
    if dataset.class_names != classifier.class_names:
        raise InputError(
            f"{model} knows the classes {', '.join(classifier.class_names)}; {dataset.name} has "
            f"{', '.join(dataset.class_names)}: name its own data with --data"
        )
    metrics = measure_split(classifier, getattr(dataset, split))
    if json:
        print_json({"dataset": dataset.name, "split": split, **metrics.to_json()})
        return
    out = console(json)
    out.print(f"{model} on {dataset.name}, {split}", markup=False)
    out.print(f"  accuracy  {summary_of(metrics.to_json())}")
    out.print(f"  top 2     {metrics.top2:.2%}     loss {metrics.loss:.4f}")
    rows = [
        (name, f"{c.precision:.1%}", f"{c.recall:.1%}", f"{c.f1:.1%}", f"{c.support:,}")
        for name, c in metrics.per_class.items()
    ]
    out.print(table(("class", "precision", "recall", "F1", "pictures"), rows))
    for c in most_confused(metrics):
        out.print(f"  {c.true} taken for {c.predicted}: {c.count} ({c.share:.0%})", markup=False)


evaluate.__doc__ = f"{evaluate.__doc__}\n\n{EXAMPLES}"
