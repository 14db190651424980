"""``cifarlab report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cifarlab.errors import UsageError


def report(
    run: Annotated[
        Path | None, typer.Argument(help="A finished run's directory. Default: the newest run.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Dataset name or path. Default: the run's own.")
    ] = None,
    robustness: Annotated[
        int, typer.Option(min=0, help="How many test images to corrupt; 0 for none.")
    ] = 1000,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    labels: Annotated[
        Path | None, typer.Option(help="Instead of a run: true classes, .npy, int [N].")
    ] = None,
    probabilities: Annotated[
        Path | None, typer.Option(help="With --labels: .npy, [N, K], rows sum to 1.")
    ] = None,
    classes: Annotated[
        Path | None, typer.Option(help="With --labels: names of the classes, one per line.")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="With --labels: .npy, uint8 [N, H, W, 3].")
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="With --labels: the directory to write to.")
    ] = Path("report"),
    open_page: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Write one HTML page about a run: what it gets wrong, how sure it is, and why.

    \b
    Examples:
      cifarlab report --open
      cifarlab report runs/baseline-1
      cifarlab report --labels y.npy --probabilities p.npy --classes names.txt
    """
    from cifarlab.cli.output import print_json, warnings_in_one_line
    from cifarlab.cli.progress import progress_on_stderr

    warnings_in_one_line()
    if (labels is None) != (probabilities is None):
        raise UsageError("--labels and --probabilities go together; give both")
    if labels is None and (classes or images):
        raise UsageError("--classes and --images go with --labels and --probabilities")
    if labels is not None and probabilities is not None:
        if run is not None or data is not None:
            raise UsageError("a run has its own predictions: leave out --labels, or the run")
        page = _report_files(labels, probabilities, classes, images, output)
    else:
        from cifarlab.reporting.build import report as report_run

        with progress_on_stderr() as progress:
            page = report_run(
                run or _newest(),
                data,
                device=device,
                robustness=robustness,
                progress=progress.started,
            )
    if json:
        print_json({"report": str(page)})
    else:
        typer.echo(str(page))
    if open_page:
        typer.launch(page.as_uri())


def _newest() -> Path:
    from cifarlab.runs.directory import newest_run

    run = newest_run()
    if run is None:
        raise UsageError("no finished run in runs/; name one, or train one: cifarlab train")
    return run


def _report_files(
    labels: Path, probabilities: Path, classes: Path | None, images: Path | None, output: Path
) -> Path:
    from cifarlab.reporting.from_arrays import (
        read_array,
        read_prediction_files,
        report_predictions,
    )

    predictions = read_prediction_files(labels, probabilities, classes)
    shown = None if images is None else read_array(images)
    return report_predictions(predictions, output, labels.stem, shown)
