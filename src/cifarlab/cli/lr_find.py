"""``cifarlab lr-find``."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cifarlab.cli.loading import takes_load_options
from cifarlab.data.load_options import LoadOptions
from cifarlab.errors import UsageError
from cifarlab.recipes import RECIPES

if TYPE_CHECKING:
    from cifarlab.evaluation.lr_range import RangeTest

DEFAULTS = LoadOptions()


@takes_load_options()
def lr_find(
    recipe: Annotated[
        str, typer.Argument(help=f"A .keras file, or a recipe: {', '.join(RECIPES)}.")
    ],
    data: Annotated[str, typer.Option(help="cifar10, cifar100, shapes10, or a path.")] = "cifar10",
    low: Annotated[
        float | None, typer.Option(help="Lowest rate. Default: 1/1000 of the recipe's.")
    ] = None,
    high: Annotated[
        float | None, typer.Option(help="Highest rate. Default: 100 times the recipe's.")
    ] = None,
    steps: Annotated[int, typer.Option(help="Training steps, at least 10.")] = 100,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", "-b", help="Batch size.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    output: Annotated[Path, typer.Option("--output", "-o", help="The plot, a .png file.")] = Path(
        "lr_find.png"
    ),
    pixels: Annotated[
        str | None,
        typer.Option(
            help="The range that a model from elsewhere was made for: 0..255, 0..1 or -1..1."
        ),
    ] = None,
    load: LoadOptions = DEFAULTS,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Find a learning rate: try ever higher ones and watch the validation loss.

    \b
    Examples:
      cifarlab lr-find baseline
      cifarlab lr-find my_model.keras --data photos/ --steps 200
    """
    if output.suffix.lower() != ".png":
        raise UsageError(f"output {output}: the plot is a PNG; give a name that ends in .png")
    from cifarlab import plots
    from cifarlab.cli.output import console, print_json, warnings_in_one_line
    from cifarlab.cli.progress import progress_on_stderr
    from cifarlab.data import catalog
    from cifarlab.experiments import lr_finder
    from cifarlab.files import check_writable
    from cifarlab.plots.lr_range import learning_rates
    from cifarlab.runtime.device import choose_device
    from cifarlab.training.own_model import resolve

    warnings_in_one_line()
    out = console(as_json=json)
    # Before the work, not after it.
    check_writable(output.absolute().parent)
    resolve(recipe)
    choose_device(device)
    with progress_on_stderr() as progress:
        progress.started("loading data")
        dataset = catalog.load(data, replace(load, progress=progress.message))
        test = lr_finder.find_learning_rate(
            recipe,
            dataset,
            low=low,
            high=high,
            steps=steps,
            batch_size=batch_size,
            seed=seed,
            device=device,
            pixels=pixels,
            progress=progress,
        )
    figure = learning_rates(test, f"{test.recipe} on {dataset.name}")
    plots.save(figure, output)
    if json:
        print_json({"dataset": dataset.name, **test.to_json(), "plot": str(output.absolute())})
        return
    for line in _lines(test, recipe, dataset.name, batch_size, output.absolute()):
        out.print(line, markup=False, soft_wrap=True)


def _lines(
    test: RangeTest, recipe: str, dataset: str, batch_size: int | None, plot: Path
) -> list[str]:
    command = f"cifarlab train {shlex.quote(recipe)} --lr {test.suggestion:.2g}"
    if batch_size is not None:
        command += f" -b {batch_size}"
    end = f"{test.rates[-1]:.2g}" + (", where the loss exploded" if test.stopped_early else "")
    return [
        f"{test.recipe} on {dataset}, rates from {test.rates[0]:.2g} to {end}",
        f"  suggestion        {test.suggestion:<8.2g} the validation loss falls fastest",
        f"  a tenth of        {test.at_minimum:<8.2g} where it is lowest: "
        f"{test.at_minimum / 10:.2g}, the careful choice",
        f"  the recipe's own  {test.recipe_rate:g}",
        f"  plot              {plot}",
        "",
        "A suggestion is a point to start from. It stands for the highest rate of the",
        "schedule; where a recipe has several optimizers, the others change with it.",
        "",
        "next:",
        f"  {command}",
    ]
