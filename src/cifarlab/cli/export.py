"""``cifarlab export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cifarlab.errors import UsageError

if TYPE_CHECKING:
    from cifarlab.exporting import Exported


def export(
    model: Annotated[
        Path | None,
        typer.Argument(
            help="A run directory, a .keras or an .h5 file, or cifar10, the pretrained "
            "model. Default: the newest run, else cifar10."
        ),
    ] = None,
    format: Annotated[
        str, typer.Option("--format", "-f", help="keras, h5, onnx, onnx-int8, torch or web.")
    ] = "onnx",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Default: the model's name, here.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="For onnx-int8: dataset name or path. Default: the run's own."),
    ] = None,
    pixels: Annotated[
        str | None,
        typer.Option(
            help="The range that a model from elsewhere was made for: 0..255, 0..1 or -1..1."
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Write a trained model in another format, compared with the model before it is kept.

    \b
    Examples:
      cifarlab export
      cifarlab export runs/baseline-1 --format onnx-int8
      cifarlab export cifar10 --format web     a folder for any web server
    """
    from cifarlab.classifier import find_model, resolve_model, unscaled
    from cifarlab.cli.output import console, print_json, say, warnings_in_one_line
    from cifarlab.cli.progress import progress_on_stderr
    from cifarlab.data.load_options import LoadOptions
    from cifarlab.exporting import FORMATS, about, check_packages
    from cifarlab.exporting import export as export_model
    from cifarlab.exporting.exporter import INT8
    from cifarlab.files import printable
    from cifarlab.runs.labelled import dataset_for

    warnings_in_one_line()
    if format not in FORMATS:
        raise UsageError(f"format {format!r}: choose from {', '.join(FORMATS)}")
    # Before a model is loaded.
    check_packages(format)
    chosen = find_model(model)
    if model is None:
        say(f"model: {chosen}")
    classifier = resolve_model(model, "cpu", pixels=pixels)
    if pixels is None and (line := unscaled(classifier)):
        say(f"{printable(chosen)}: {line}")
    with progress_on_stderr() as progress:
        dataset = None
        if format == INT8:
            progress.started("loading data to calibrate with")
            dataset = dataset_for(
                chosen,
                data,
                class_names=classifier.class_names,
                image_format=classifier.image_format,
                options=LoadOptions(progress=progress.message),
            )
        progress.started(f"writing and comparing {format}")
        done = export_model(
            classifier,
            format,
            output or Path(f"{chosen.stem}{FORMATS[format]}"),
            data=dataset,
            facts={"name": chosen.stem, **about(chosen)},
            overwrite=overwrite,
        )
    if json:
        print_json(done.to_json())
        return
    out = console(as_json=json)
    out.print(_table(done))
    out.print(str(done.path), markup=False, soft_wrap=True)


def _table(done: Exported) -> Any:
    from cifarlab.cli.output import table

    parity = done.parity
    rows = [
        ("size", f"{done.size / 2**20:.2f} MiB"),
        ("same class", f"{parity.agreement:.2%} of {parity.images:,} {parity.source} images"),
        ("largest difference", f"{parity.largest_difference:.1e} of a probability"),
        ("speed", f"{parity.images_per_second:,.0f} images/s in batches of {parity.batch}"),
        ("the classifier's", f"{parity.classifier_images_per_second:,.0f} images/s"),
    ]
    if done.loss is not None:
        loss = done.loss
        lost = f"{abs(loss.points):.2f} points {'lost' if loss.points >= 0 else 'gained'}"
        rows.append(("accuracy", f"{loss.before:.2%} before, {loss.after:.2%} after: {lost}"))
        rows.append(("measured on", f"{loss.images:,} images of the {loss.split} split"))
    return table((done.format, ""), rows, align="ll")
