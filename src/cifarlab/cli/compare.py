"""``cifarlab compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from cifarlab.evaluation.comparison import Comparison, Sample
    from cifarlab.experiments.compare import ComparedRun


def compare(
    what: Annotated[
        list[str], typer.Argument(help="Recipes, which are trained, or finished runs.")
    ],
    seeds: Annotated[int, typer.Option(min=1, help="How many to train each recipe with.")] = 3,
    data: Annotated[str, typer.Option(help="cifar10, cifar100, shapes10, or a path.")] = "cifar10",
    epochs: Annotated[int | None, typer.Option(help="At most this many epochs.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the plot goes.")] = Path(
        "compare.png"
    ),
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Compare recipes over seeds: mean, spread, a paired test, and a verdict in words.

    Each seed is a run of its own in runs/. Test accuracy is what is compared.

    \b
    Examples:
      cifarlab compare baseline baseline_unscaled --seeds 3
      cifarlab compare runs/baseline-1 runs/fast94-1
    """
    from cifarlab import plots
    from cifarlab.cli.output import console, print_json, say, warnings_in_one_line
    from cifarlab.cli.progress import TerminalReporter
    from cifarlab.experiments.compare import compare
    from cifarlab.recipes import RECIPES
    from cifarlab.training.train import TrainOptions

    warnings_in_one_line()
    out = console(json)
    source: Any = data
    if any(item in RECIPES for item in what):
        from cifarlab.data.catalog import load_dataset

        source = load_dataset(data, progress=say)
    with TerminalReporter(out) as reporter:
        found, entries = compare(
            what,
            seeds,
            source,
            epochs=epochs,
            options=TrainOptions(device=device, precision=precision),
            reporter=reporter,
            say=say,
        )
    plots.save(plots.comparison(found, "test accuracy by seed"), output)
    images = _images(entries)
    if json:
        runs = [{"name": e.name, "seed": e.seed, "directory": str(e.directory)} for e in entries]
        print_json(found.to_json() | {"runs": runs, "plot": str(output.absolute())})
    else:
        _show(out, found, images, output)


def _images(entries: tuple[ComparedRun, ...]) -> str | None:
    """Two single runs: say what the images tell, since seeds tell nothing."""
    from cifarlab.experiments.compare import on_the_same_images

    if len(entries) != 2 or entries[0].name == entries[1].name:
        return None
    first, second = entries
    found = on_the_same_images(first, second)
    return (
        f"Image by image: {found.first_only_right:,} are right only with {first.name}, "
        f"{found.second_only_right:,} only with {second.name} (exact McNemar test, "
        f"p={found.p_value:.2g}). That is about these two models, not about their recipes."
    )


def _show(out: Console, found: Comparison, images: str | None, plot: Path) -> None:
    from cifarlab.cli.output import table

    rows = [_row(sample) for sample in found.samples]
    out.print(table(("", "mean", "spread", "95% interval", "seeds"), rows, align="lrrrr"))
    out.print()
    for pair in found.pairs:
        which = f"{pair.first}, {pair.second}: " if len(found.pairs) > 1 else ""
        out.print(which + pair.verdict, markup=False)
    if images:
        out.print(images, markup=False)
    out.print(f"\nplot: {plot.absolute()}", markup=False, soft_wrap=True)


def _row(sample: Sample) -> tuple[str, ...]:
    spread = "" if sample.std is None else f"{sample.std:.2%}"
    interval = ""
    if sample.interval is not None:
        interval = f"{sample.interval[0]:.2%} to {sample.interval[1]:.2%}"
    return sample.name, f"{sample.mean:.2%}", spread, interval, str(len(sample.accuracies))
