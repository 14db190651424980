"""``cifarlab train``."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cifarlab.cli.loading import takes_load_options
from cifarlab.data.load_options import LoadOptions
from cifarlab.errors import NetworkError, UsageError
from cifarlab.recipes import RECIPES
from cifarlab.recipes.parts import BALANCED, MONITORS

if TYPE_CHECKING:
    from rich.console import Console

    from cifarlab.recipes.recipe import Recipe
    from cifarlab.runtime.progress import Progress
    from cifarlab.training.run import Run

DEFAULTS = LoadOptions()
# Longer lines are hard to read on a terminal.
WIDTH = 80
# A space at which no line is broken.
UNBROKEN = "\u00a0"


@takes_load_options()
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
        int | None, typer.Option("--batch-size", "-b", help="Batch size.")
    ] = None,
    lr: Annotated[float | None, typer.Option("--lr", help="Learning rate.")] = None,
    class_weights: Annotated[
        str | None,
        typer.Option(help="For uneven classes: balanced, or cat=1,dog=20 (others weigh 1)."),
    ] = None,
    sampler: Annotated[
        str | None,
        typer.Option(help="balanced shows each class equally often, shuffled each image once."),
    ] = None,
    monitor: Annotated[
        str | None, typer.Option(help=f"What the best epoch has: {', '.join(MONITORS)}.")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="What finetune starts from: efficientnet_lite0, cifar10, keras:NAME, run, file.",
        ),
    ] = None,
    unfreeze: Annotated[
        str | None,
        typer.Option(help="Layers that finetune trains: all, none, or from e.g. block5 on."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
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
    track: Annotated[
        str | None, typer.Option(help="Log to tensorboard, mlflow or wandb, offline.")
    ] = None,
    pixels: Annotated[
        str | None,
        typer.Option(
            help="The range that a model from elsewhere was made for: 0..255, 0..1 or "
            "-1..1. Default: measured."
        ),
    ] = None,
    load: LoadOptions = DEFAULTS,
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
      cifarlab train --data photos/            your images, one folder per class
      cifarlab train my_model.keras            your own Keras model
      cifarlab train finetune --data photos/   a pretrained network, few images
      cifarlab train --resume runs/baseline-1  go on after an interruption
    """
    from cifarlab.cli.output import console, warnings_in_one_line
    from cifarlab.cli.progress import TerminalProgress
    from cifarlab.training import train as training
    from cifarlab.training.setup import override

    warnings_in_one_line()
    weights = None if class_weights is None else _weights(class_weights)
    out = console(as_json=json)
    options = training.TrainOptions(
        seed=seed, device=device, precision=precision, deterministic=deterministic, compile=compiled
    )
    with TerminalProgress(out) as progress:
        if resume is not None:
            elsewhere = (
                output is not None
                or overwrite
                or fallback is not None
                or track is not None
                or pixels is not None
            )
            if elsewhere or options != training.DEFAULTS or load != DEFAULTS:
                raise UsageError(
                    "--resume goes on in the same directory, on the same data, read the same way, "
                    "with the same options; leave out --output, --overwrite, --fallback, --track, "
                    "--pixels, --seed, --device, --precision, --deterministic, --compile, and all "
                    "options of how data are read"
                )
            expected = override(
                _believed(resume, recipe),
                epochs,
                batch_size,
                lr,
                class_weights=weights,
                sampler=sampler,
                monitor=monitor,
                start=start,
                unfreeze=unfreeze,
            )
            run = training.resume(resume, data, recipe=expected, progress=progress)
        else:
            begin = partial(
                training.train,
                recipe or ("baseline" if start is None else "finetune"),
                epochs=epochs,
                batch_size=batch_size,
                learning_rate=lr,
                class_weights=weights,
                sampler=sampler,
                monitor=monitor,
                start=start,
                unfreeze=unfreeze,
                options=options,
                directory=output,
                overwrite=overwrite,
                load=load,
                track=track,
                pixels=pixels,
                progress=progress,
            )
            run = _with_fallback(begin, data or "cifar10", fallback, out)
        if not no_report:
            _report(run, progress)
    _close(run, out, as_json=json)


def _believed(directory: Path, recipe: str | None) -> Recipe:
    """Return the recipe that the user believes the run in ``directory`` trains."""
    from cifarlab.runs.record import read_recipe
    from cifarlab.training.own_model import resolve

    return resolve(recipe)[0] if recipe else read_recipe(directory)


def _weights(text: str) -> str | dict[str, float]:
    """Return what ``--class-weights`` says: ``"balanced"``, or a number for each class named.

    Raises:
        UsageError: neither.
    """
    if text == BALANCED:
        return text
    weights = {}
    for part in text.split(","):
        name, equals, number = part.rpartition("=")
        try:
            weights[name.strip()] = float(number)
        except ValueError:
            equals = ""
        if not equals:
            raise UsageError(
                f"class weights {text!r}: write balanced, or a number for each class that does not "
                "weigh 1, such as cat=1,dog=20"
            )
    return weights


def _with_fallback(
    start: Callable[[str], Run], data: str, fallback: str | None, out: Console
) -> Run:
    """Start on ``data``, or on ``fallback`` where that cannot be downloaded, and say so."""
    try:
        return start(data)
    except NetworkError as error:
        if fallback is None:
            raise
        rule = "-" * 78
        reasons = str(error).replace(" | ", "\n  ").replace("; ", "\n")
        text = (
            f"{rule}\n{data} could not be downloaded:\n  {reasons}\n"
            f"Training on {fallback} instead. Every number below is about {fallback}, "
            f"not {data}.\n"
            f"With a copy on this machine: CIFARLAB_DATA=/path/to/copy cifarlab train\n{rule}"
        )
    out.print(text, markup=False, soft_wrap=True)
    return start(fallback)


def _report(run: Run, progress: Progress) -> None:
    """Write the page; a run is complete without it, so that no problem here costs it."""
    from cifarlab.cli.output import say
    from cifarlab.errors import CifarlabError
    from cifarlab.reporting.build import report

    try:
        report(run, progress=progress.started)
    except CifarlabError as error:
        say(f"cifarlab: warning: no report: {error}")


def _close(run: Run, out: Console, *, as_json: bool) -> None:
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
    from cifarlab.files import printable
    from cifarlab.runs.directory import RunDirectory
    from cifarlab.training.results import paths

    test = run.metrics.test
    seconds = sum(row["seconds"] for row in run.history)
    kept = run.chosen_epoch
    confused = [
        f"{c.true} as {c.predicted} ({c.share:.0%})".replace(" ", UNBROKEN)
        for c in most_confused(test)
    ]
    files = [path.name for path in paths(RunDirectory(path=run.directory))]
    directory = shlex.quote(str(run.directory))
    by_class = f"balanced accuracy {test.balanced_accuracy:.2%}, macro-F1 {test.macro_f1:.2%}"
    weights = f"the weights of epoch {kept} of {len(run.history)}, which are kept"
    validation = f"none: those images were trained on; {weights}"
    if run.metrics.validation is not None:
        validation = f"{run.metrics.validation.accuracy:.2%} with {weights}"
    return [
        "",
        f"{run.recipe.name} on {run.dataset}",
        f"  test accuracy  {summary_of(test.to_json())}",
        *(_wrapped("  by class       ", by_class) if test.uneven else ()),
        *_wrapped("  not measured   ", ", ".join(map(printable, test.not_measured))),
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
