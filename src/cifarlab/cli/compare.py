"""``cifarlab compare``."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated

import typer

from cifarlab.cli.loading import takes_load_options
from cifarlab.data.load_options import LoadOptions

if TYPE_CHECKING:
    from rich.console import Console

    from cifarlab.evaluation.comparison import Sample
    from cifarlab.experiments.compare import ComparedRun, RunComparison

DEFAULTS = LoadOptions()


@takes_load_options()
def compare(
    what: Annotated[
        list[str], typer.Argument(help="Recipes, which are trained, or finished runs.")
    ],
    seeds: Annotated[int, typer.Option(min=1, help="How many random seeds for each recipe.")] = 3,
    data: Annotated[str, typer.Option(help="cifar10, cifar100, shapes10, or a path.")] = "cifar10",
    epochs: Annotated[int | None, typer.Option(help="At most this many epochs.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the plot goes.")] = Path(
        "compare.png"
    ),
    load: LoadOptions = DEFAULTS,
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
    from cifarlab.cli.output import console, print_json, warnings_in_one_line
    from cifarlab.cli.progress import progress_on_stderr
    from cifarlab.experiments.compare import compare
    from cifarlab.files import check_writable
    from cifarlab.training.train import TrainOptions

    warnings_in_one_line()
    # Before the work, not after it.
    check_writable(output.absolute().parent)
    with progress_on_stderr() as progress:
        compared = compare(
            what,
            data,
            seeds=seeds,
            epochs=epochs,
            options=TrainOptions(device=device, precision=precision),
            load=load,
            progress=progress,
        )
    plots.save(plots.comparison(compared.comparison, "test accuracy by seed"), output)
    if json:
        print_json({**compared.to_json(), "plot": str(output.absolute())})
    else:
        _show(console(as_json=json), compared, output)


def _image_by_image(runs: tuple[ComparedRun, ...]) -> str | None:
    """Compare two single runs by their images, since one seed each says nothing about recipes."""
    from cifarlab.experiments.compare import on_the_same_images

    if len(runs) != 2 or runs[0].name == runs[1].name:
        return None
    first, second = runs
    paired = on_the_same_images(first, second)
    return (
        f"Image by image: {paired.first_only_right:,} are right only with {first.name}, "
        f"{paired.second_only_right:,} only with {second.name} (exact McNemar test, "
        f"p={paired.p_value:.2g}). That is about these two models, not about their recipes."
    )


def _show(out: Console, compared: RunComparison, plot: Path) -> None:
    from cifarlab.cli.output import table

    samples, pairs = compared.comparison.samples, compared.comparison.pairs
    images = _image_by_image(compared.runs)
    columns, rows = ["", "mean", "spread", "95% interval", "seeds"], [_row(s) for s in samples]
    if any(run.uneven for run in compared.runs):
        columns += ["balanced", "macro-F1"]
        rows = [(*row, *_by_class(s, compared.runs)) for row, s in zip(rows, samples, strict=True)]
    out.print(table(columns, rows, align="l" + "r" * (len(columns) - 1)))
    out.print()
    for pair in pairs:
        which = f"{pair.first}, {pair.second}: " if len(pairs) > 1 else ""
        out.print(which + pair.verdict, markup=False)
    if images:
        out.print(images, markup=False)
    out.print(f"\nplot: {plot.absolute()}", markup=False, soft_wrap=True)


def _by_class(sample: Sample, runs: tuple[ComparedRun, ...]) -> tuple[str, str]:
    """Return the mean balanced accuracy and macro-F1 of a sample's runs."""
    own = [run for run in runs if run.name == sample.name]
    balanced, macro_f1 = (run.balanced_accuracy for run in own), (run.macro_f1 for run in own)
    return f"{fmean(balanced):.2%}", f"{fmean(macro_f1):.2%}"


def _row(sample: Sample) -> tuple[str, ...]:
    spread = "" if sample.std is None else f"{sample.std:.2%}"
    interval = ""
    if sample.interval is not None:
        interval = f"{sample.interval[0]:.2%} to {sample.interval[1]:.2%}"
    return sample.name, f"{sample.mean:.2%}", spread, interval, str(len(sample.accuracies))
