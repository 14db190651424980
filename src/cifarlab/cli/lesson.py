"""``cifarlab lesson``."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cifarlab.errors import ResourceError, UsageError
from cifarlab.lessons import LESSONS

if TYPE_CHECKING:
    from rich.console import Console

# Longer lines are hard to read on a terminal.
WIDTH = 80


def lesson(
    name: Annotated[
        str | None,
        typer.Argument(help=f"{', '.join(LESSONS)}. Default: say what each is about."),
    ] = None,
    data: Annotated[str, typer.Option(help="cifar10, cifar100, shapes10, or a path.")] = "cifar10",
    seeds: Annotated[int | None, typer.Option(help="How many runs of each variant.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs of each run.")] = None,
    images: Annotated[int | None, typer.Option(help="How many images to train on.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Image to write. Default: lesson_NAME.png."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print all numbers as JSON.")] = False,
) -> None:
    """Measure what is usually only claimed: a small experiment, with a plot.

    Everything is measured on validation images; the test split is not touched.

    \b
    Examples:
      cifarlab lesson                          what there is
      cifarlab lesson scaling                  do pixels have to be scaled?
      cifarlab lesson augmentation --seeds 5 --epochs 20
      cifarlab lesson formats --data shapes10
    """
    if name is None:
        _list_lessons(as_json=json)
        return
    if name not in LESSONS:
        raise UsageError(f"no lesson is called {name!r}; choose from {', '.join(LESSONS)}")
    image = _image(name, output)
    import importlib
    from dataclasses import replace

    from cifarlab.cli.output import console, print_json, warnings_in_one_line
    from cifarlab.cli.progress import TerminalProgress, progress_on_stderr
    from cifarlab.data.catalog import load_dataset
    from cifarlab.lessons.drawing import save
    from cifarlab.runtime.device import choose_device

    warnings_in_one_line()
    out = console(as_json=json)
    # It has the names that the package's docstring promises.
    module: Any = importlib.import_module(LESSONS[name][1])
    given = {"images": images, "epochs": epochs, "seeds": seeds}
    plan = replace(module.DEFAULT, **{k: v for k, v in given.items() if v is not None})
    choose_device(device)
    with progress_on_stderr() as progress:
        progress.started("loading data")
        dataset = load_dataset(data, progress=progress.message)

    def tell(text: str) -> None:
        out.print(text, markup=False, soft_wrap=True)

    tell(_opening(name, dataset.name, plan))
    with TerminalProgress(out) as progress:
        progress.started("training and measuring")
        result = module.run(dataset, plan, device, tell)
    save(module.draw(result), image)
    sentences = module.sentences(result)
    if json:
        document = {"lesson": name, **result.to_json(), "found": sentences, "image": str(image)}
        print_json(document)
        return
    _show(out, name, module, result, sentences)
    tell(f"\nimage: {image}")


def _show(out: Console, name: str, module: Any, result: Any, sentences: list[str]) -> None:
    from cifarlab.cli.output import table

    columns, rows = module.table(result)
    ranges = any("\n" in cell for row in rows for cell in row)
    closing = _closing(name, result.setup, ranges=ranges)
    out.print(f"\n{closing}\n", markup=False, soft_wrap=True)
    out.print(table(columns, rows))
    out.print()
    for sentence in sentences:
        filled = textwrap.fill(sentence, WIDTH, break_on_hyphens=False)
        out.print(filled, markup=False, soft_wrap=True)


def _list_lessons(*, as_json: bool) -> None:
    from cifarlab.cli.output import console, print_json, table

    if as_json:
        print_json({name: summary for name, (summary, _) in LESSONS.items()})
        return
    rows = [(name, summary) for name, (summary, _) in LESSONS.items()]
    console(as_json=as_json).print(table(("lesson", "what it measures"), rows, "ll"))


def _image(name: str, output: Path | None) -> Path:
    """Return where the image goes, having made sure before the work that it can.

    Raises:
        UsageError: it does not end in .png.
        ResourceError: there is no such directory, or it cannot be written to.
    """
    from cifarlab.files import check_writable

    path = (output or Path(f"lesson_{name}.png")).absolute()
    if path.suffix.lower() != ".png":
        raise UsageError(f"--output {output}: the image is a PNG; give a name that ends in .png")
    if path.is_dir() or not path.parent.is_dir():
        raise ResourceError(f"{path}: cannot be written there; choose a file in a directory")
    check_writable(path.parent)
    return path


def _opening(name: str, dataset: str, plan: Any) -> str:
    return (
        f"lesson {name} on {dataset}: at most {plan.images:,} images to train on, "
        f"{_count(plan.seeds, 'seed')},\n{_count(plan.epochs, 'epoch')} a run; "
        "measured on validation images; test set not used"
    )


def _closing(name: str, setup: Any, *, ranges: bool) -> str:
    return (
        f"{name} on {setup.dataset}: {setup.images:,} images to train on, "
        f"{setup.validation:,} to measure on,\n"
        f"{_count(setup.epochs, 'epoch')}, {_count(setup.seeds, 'seed')}"
        f"{' (mean, and range below it)' if ranges else ''}"
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
