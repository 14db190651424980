"""``cifarlab evaluate``."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cifarlab.cli.loading import IMAGE_FORMAT, takes_load_options
from cifarlab.data.load_options import LoadOptions
from cifarlab.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from cifarlab.classifier import Classifier
    from cifarlab.data.split import Split
    from cifarlab.evaluation.metrics import Metrics

SPLITS = ("train", "validation", "test")
DEFAULTS = LoadOptions()


@takes_load_options(leave_out=IMAGE_FORMAT)
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
    split: Annotated[
        str | None,
        typer.Option(
            help="train, validation or test. Default: test; all images of data that have no test "
            "split and were not trained on."
        ),
    ] = None,
    class_names: Annotated[
        str | None,
        typer.Option(
            help="For a model file without class names: a,b,c in the order of its outputs."
        ),
    ] = None,
    pixels: Annotated[
        str | None,
        typer.Option(
            help="The range that a model from elsewhere was made for: 0..255, 0..1 or -1..1. "
            "Default: measured on images for training, where the data have any."
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    load: LoadOptions = DEFAULTS,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Measure a model on labelled images.

    Classes are matched by name; images are read in the model's size, channels and resize mode.

    \b
    Examples:
      cifarlab evaluate runs/baseline-1
      cifarlab evaluate best.keras --data photos/
      cifarlab evaluate runs/baseline-1 --split validation --json
    """
    if split is not None and split not in SPLITS:
        raise UsageError(f"split {split!r}: choose from {', '.join(SPLITS)}")
    from cifarlab.classifier import Classifier, unscaled
    from cifarlab.cli.output import console, print_json, warnings_in_one_line
    from cifarlab.cli.progress import progress_on_stderr
    from cifarlab.runs.labelled import labelled_images

    warnings_in_one_line()
    classifier = Classifier.load(model, device, pixels=pixels)
    if class_names is not None:
        classifier = _named(classifier, class_names.split(","), model)
    if split == "validation" and classifier.saw_validation:
        raise UsageError(f"{model} was trained on the validation images; use --split test")
    with progress_on_stderr() as progress:
        progress.started("loading data")
        read = partial(
            labelled_images,
            model,
            data,
            class_names=classifier.class_names,
            named=classifier.named,
            image_format=classifier.image_format,
            trained_on=classifier.trained_on,
            options=replace(load, progress=progress.message),
        )
        measured = read(split)
        if pixels is None and unscaled(classifier):
            # Chosen on images for training, never on those of a test split.
            classifier = _in_its_range(classifier, read("train").images, model, device)
        classifier = replace(classifier, class_names=measured.class_names)
        progress.started("measuring")
        metrics = classifier.evaluate(measured.images)
        on_seen = None if measured.seen is None else classifier.evaluate(measured.seen)
    if json:
        print_json(
            {
                "dataset": measured.dataset,
                "split": measured.split,
                **metrics.to_json(),
                "seen_in_training": None if on_seen is None else on_seen.to_json(),
            }
        )
    else:
        _show(
            console(as_json=json),
            f"{model} on {measured.dataset}, {measured.split}",
            metrics,
            classifier.temperature,
            on_seen,
        )


def _in_its_range(classifier: Classifier, images: Split, model: Path, device: str) -> Classifier:
    """Return the classifier in the range of pixels that its model knows, and say so."""
    from cifarlab.classifier import Classifier
    from cifarlab.cli.output import say
    from cifarlab.lowering.plain_form import AS_THEY_ARE
    from cifarlab.training.pixel_range import choose_pixels

    chosen, line = choose_pixels(classifier.model, images)
    if chosen == AS_THEY_ARE:
        return classifier
    say(line)
    names = classifier.class_names
    return replace(Classifier.load(model, device, pixels=chosen), class_names=names)


def _named(classifier: Classifier, names: list[str], model: Path) -> Classifier:
    if classifier.named:
        raise UsageError(f"{model} has class names of its own; leave out --class-names")
    if len(names) != len(classifier.class_names) or len(set(names)) != len(names):
        raise UsageError(
            f"--class-names: {len(names)} names for {len(classifier.class_names)} outputs; give "
            "one for each, all different"
        )
    return replace(classifier, class_names=tuple(names))


def _show(
    out: Console, title: str, metrics: Metrics, temperature: float, on_seen: Metrics | None
) -> None:
    from cifarlab.cli.output import percent, summary_of, table
    from cifarlab.evaluation.metrics import most_confused

    out.print(title, markup=False, soft_wrap=True)
    if on_seen is not None:
        out.print(
            f"  left out  {on_seen.n:,} images that it was trained or validated on (accuracy "
            f"{on_seen.accuracy:.2%} there)",
            soft_wrap=True,
        )
    out.print(f"  accuracy  {summary_of(metrics.to_json())}")
    present = [name for name, numbers in metrics.per_class.items() if numbers.support]
    if len(present) > 1:
        out.print(f"  balanced  {metrics.balanced_accuracy:.2%}  (mean recall of the classes)")
        out.print(f"  macro-F1  {metrics.macro_f1:.2%}")
    out.print(f"  top 2     {metrics.top2:.2%}")
    # As the report says it: a run's metrics.json has the loss before temperature.
    applied = "" if temperature == 1.0 else f", with temperature {temperature:.2f} applied"
    out.print(f"  loss      {metrics.loss:.4f} (cross-entropy{applied})\n")
    rows = [
        (
            name,
            percent(c.precision if len(present) > 1 else None),
            percent(c.recall),
            percent(c.f1 if len(present) > 1 else None),
            f"{c.support:,}",
        )
        for name, c in metrics.per_class.items()
    ]
    out.print(table(("class", "precision", "recall", "F1", "images"), rows))
    if metrics.not_measured:
        out.print("\n– not measured: there are no images of that class")
    if len(present) == 1:
        out.print("precision and F1 need images of other classes too")
    confused = most_confused(metrics)
    if confused:
        out.print("\nmost confused:")
    for c in confused:
        images = "1 image" if c.count == 1 else f"{c.count:,} images"
        out.print(
            f"  {c.true} predicted as {c.predicted}: {images}, {c.share:.0%} of {c.true}",
            markup=False,
        )
