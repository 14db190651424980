"""``cifarlab train``."""

from __future__ import annotations

import shlex
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cifarlab.errors import NetworkError, UsageError
from cifarlab.recipes import RECIPES

if TYPE_CHECKING:
    from rich.console import Console

    from cifarlab.data.dataset import Dataset
    from cifarlab.training.train import Run

# Longer lines are hard to read on a terminal.
WIDTH = 80
# A space at which no line is broken.
UNBROKEN = "\u00a0"


def train(
    recipe: Annotated[
        str | None,
        typer.Argument(
            help=f"A .keras file to train, or a recipe: {', '.join(RECIPES)}. Default: baseline."
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="cifar10, cifar100, shapes10, or a path. Default: cifar10."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="At most this many epochs.")] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", "-b", help="Images a step.")
    ] = None,
    lr: Annotated[float | None, typer.Option("--lr", help="Learning rate.")] = None,
    seed: Annotated[int, typer.Option(help="Of weights, order and augmentation.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="Only reproducible kernels (GPU).")
    ] = False,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Compile the network first; for long runs on a GPU.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Run directory. Default: runs/RECIPE-N."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier run in --output.")
    ] = False,
    resume: Annotated[
        Path | None, typer.Option(help="Go on with the interrupted run in this directory.")
    ] = None,
    fallback: Annotated[
        str | None,
        typer.Option(help="Dataset to use, and say so, when --data cannot be downloaded."),
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out images that cannot be read.")
    ] = False,
    track: Annotated[
        str | None, typer.Option(help="Also tell tensorboard, mlflow or wandb, offline.")
    ] = None,
    no_report: Annotated[bool, typer.Option("--no-report", help="Leave out report.html.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train a recipe or your own Keras model.

    Models, numbers and images of the run go to a directory of their own.

    \b
    Examples:
      cifarlab train                           the baseline on CIFAR-10
      cifarlab train fast94                    94%, in minutes on a plain CPU
      cifarlab train baseline --epochs 5 --seed 1
      cifarlab train --data photos/            your images, a folder a class
      cifarlab train my_model.keras            your own Keras model
      cifarlab train --resume runs/baseline-1  go on after an interruption
    """
    from cifarlab.cli.output import console, warnings_in_one_line
    from cifarlab.cli.progress import TerminalReporter
    from cifarlab.runs import record
    from cifarlab.training import setup
    from cifarlab.training import train as training

    warnings_in_one_line()
    out = console(json)
    options = training.TrainOptions(
        seed=seed, device=device, precision=precision, deterministic=deterministic, compile=compiled
    )
    dataset: Dataset | None = None
    if resume is not None:
        elsewhere = output is not None or overwrite or fallback is not None or track is not None
        if elsewhere or options != training.DEFAULTS:
            raise UsageError(
                "--resume goes on in the same directory, on the same data, with the same options; "
                "leave out --output, --overwrite, --fallback, --track, --seed, --device, "
                "--precision, --deterministic and --compile"
            )
        before = setup.resolve(recipe)[0] if recipe else record.read_recipe(resume)
        expected = setup.override(before, epochs, batch_size, lr)
        source = _source_to_resume(resume, data, skip_bad, out)
        with TerminalReporter(out) as reporter:
            run = training.resume(resume, source, recipe=expected, reporter=reporter)
    else:
        what, model = setup.resolve(recipe or "baseline")
        dataset = _load(data or "cifar10", fallback, skip_bad, out)
        dataset = setup.data_for(what, dataset)
        out.print(_opening(what.name, dataset), markup=False)
        with TerminalReporter(out) as reporter:
            run = training.train(
                what,
                dataset,
                model=model,
                epochs=epochs,
                batch_size=batch_size,
                learning_rate=lr,
                options=options,
                directory=output,
                overwrite=overwrite,
                track=track,
                reporter=reporter,
            )
    if not no_report:
        _report(run, dataset, out)
    _close(run, out, json)


def _report(run: Run, data: Dataset | None, out: Console) -> None:
    """Write the page; a run is complete without it, so that no problem here costs it."""
    from cifarlab.cli.output import say
    from cifarlab.errors import CifarlabError
    from cifarlab.reporting.build import report

    try:
        with out.status("looking at what was learnt"):
            report(run, data)
    except CifarlabError as error:
        say(f"cifarlab: warning: no report: {error}")


def _source_to_resume(
    run: Path, data: str | None, skip_bad: bool, out: Console
) -> Dataset | str | None:
    from cifarlab.runs.record import data_of

    spec = data or data_of(run)
    if spec is None or not skip_bad:
        return spec
    return _load(spec, None, skip_bad, out)


def _load(spec: str, fallback: str | None, skip_bad: bool, out: Console) -> Dataset:
    from cifarlab.data.catalog import load_dataset

    def say(text: str) -> None:
        out.print(text, markup=False, soft_wrap=True)

    try:
        return load_dataset(spec, skip_bad=skip_bad, progress=say)
    except NetworkError as error:
        if fallback is None:
            raise
        rule = "-" * 78
        say(f"{rule}\n{spec} could not be had:")
        say("  " + str(error).replace(" | ", "\n  ").replace("; ", "\n"))
        say(f"Training on {fallback} instead. Every number below is about {fallback}, not {spec}.")
        say(f"With a copy on this machine: CIFARLAB_DATA=/path/to/copy cifarlab train\n{rule}")
        return load_dataset(fallback, progress=say)


def _opening(name: str, data: Dataset) -> str:
    height, width = data.train.images.shape[1:3]
    chosen = f"{len(data.validation):,} to choose with" if len(data.validation) else "all there are"
    return (
        f"{name} on {data.name}: {len(data.train):,} images to train on, {chosen}\n"
        f"({len(data.class_names)} classes, {height}x{width}; the test split waits)"
    )


def _close(run: Run, out: Console, as_json: bool) -> None:
    from cifarlab.cli.output import print_json

    if as_json:
        print_json(_result(run))
        return
    for line in closing_lines(run):
        out.print(line, markup=False, soft_wrap=True)


def _result(run: Run) -> dict[str, Any]:
    return {
        "directory": str(run.directory),
        "recipe": run.recipe.name,
        "dataset": run.dataset,
        "epochs": len(run.history),
        "seconds": sum(row["seconds"] for row in run.history),
        "test": run.metrics.test.to_json(),
        "validation": run.metrics.validation and run.metrics.validation.to_json(),
    }


def closing_lines(run: Run) -> list[str]:
    """Return what a person wants to know when training is over."""
    from cifarlab.cli.output import duration, summary_of
    from cifarlab.evaluation.metrics import most_confused
    from cifarlab.runs.directory import RunDirectory
    from cifarlab.training.results import chosen_epoch, paths

    seconds = sum(row["seconds"] for row in run.history)
    kept = chosen_epoch(run.recipe, run.history)
    confused = [
        f"{c.true} as {c.predicted} ({c.share:.0%})".replace(" ", UNBROKEN)
        for c in most_confused(run.metrics.test)
    ]
    files = [path.name for path in paths(RunDirectory(path=run.directory))]
    directory = shlex.quote(str(run.directory))
    weights = f"the weights of epoch {kept} of {len(run.history)}, which are kept"
    validation = f"none: those images were trained on; {weights}"
    if run.metrics.validation is not None:
        validation = f"{run.metrics.validation.accuracy:.2%} with {weights}"
    return [
        "",
        f"{run.recipe.name} on {run.dataset}",
        f"  test accuracy  {summary_of(run.metrics.test.to_json())}",
        *_wrapped("  validation     ", validation),
        f"  training time  {duration(seconds)}",
        *_wrapped("  mistakes       ", ", ".join(confused) or "none"),
        f"  directory      {run.directory}",
        *_wrapped("  files          ", " ".join(files)),
        "",
        "next:",
        f"  cifarlab predict IMAGE --model {directory}",
        f"  cifarlab report {directory} --open",
    ]


def _wrapped(label: str, text: str) -> list[str]:
    lines = textwrap.wrap(
        text,
        WIDTH,
        initial_indent=label,
        subsequent_indent=" " * len(label),
        break_on_hyphens=False,
    )
    return [line.replace(UNBROKEN, " ") for line in lines]
