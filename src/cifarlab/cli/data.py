"""``cifarlab data``: describe, check and download datasets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from cifarlab.cli.loading import takes_load_options
from cifarlab.cli.output import one_line, print_json, warnings_in_one_line
from cifarlab.data.load_options import LoadOptions
from cifarlab.errors import InputError
from cifarlab.files import printable

# Longer lists are cut for people; programs get all of them.
MOST_LISTED = 20

DEFAULTS = LoadOptions()

app = typer.Typer(
    help="Describe a dataset, check it, or download it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Spec = Annotated[str, typer.Argument(help="cifar10, cifar100, shapes10, or a path.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@app.command()
@takes_load_options()
def info(data: Spec = "cifar10", load: LoadOptions = DEFAULTS, json: Json = False) -> None:
    """Print sizes, classes and fingerprints.

    \b
    Examples:
      cifarlab data info photos/
      cifarlab data info shapes10 --json
    """
    from cifarlab.cli.progress import progress_on_stderr
    from cifarlab.data import catalog
    from cifarlab.data.inspection import describe

    warnings_in_one_line()
    with progress_on_stderr() as progress:
        progress.started("loading data")
        described = describe(catalog.load(data, replace(load, progress=progress.message)))
    _show(described, as_json=json)


@app.command()
@takes_load_options()
def check(data: Spec = "cifar10", load: LoadOptions = DEFAULTS, json: Json = False) -> None:
    """Look for unreadable images, duplicates and lopsided classes.

    Exits 3 when there are unreadable images.

    \b
    Examples:
      cifarlab data check photos/
      cifarlab data check photos/ --json
    """
    from cifarlab.cli.progress import progress_on_stderr
    from cifarlab.data import inspection
    from cifarlab.data.bad_images import by_reason
    from cifarlab.evaluation.data_notes import data_notes
    from cifarlab.evaluation.split_overlap import near_duplicates_note, near_duplicates_of_train

    warnings_in_one_line()
    with progress_on_stderr() as progress:
        progress.started("checking every image")
        loaded, notes = inspection.load_with_notes(data, replace(load, progress=progress.message))
        alike = near_duplicates_of_train(loaded)
        more = [*data_notes(loaded), near_duplicates_note(loaded, alike)]
        checked = {
            **inspection.check(loaded),
            "near_duplicates_of_train": alike,
            "notes": [*notes, *filter(None, more)],
            "read_with": inspection.command(data, loaded),
        }
    bad = checked["bad_files"]
    shown = {**checked, "bad_files": len(bad), **({"what_is_bad": by_reason(bad)} if bad else {})}
    _show(checked if json else shown, as_json=json)
    if bad:
        raise InputError(
            f"{printable(data)}: {len(bad):,} images cannot be read; mend or remove them "
            "(--json lists all), or train with --skip-bad"
        )


@app.command()
@takes_load_options()
def show(
    data: Spec = "cifar10",
    output: Annotated[Path, typer.Option("--output", "-o", help="The page, .html.")] = Path(
        "dataset.html"
    ),
    open_page: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
    load: LoadOptions = DEFAULTS,
    json: Json = False,
) -> None:
    """Write one HTML page about a dataset: counts, images, duplicates, bad files.

    \b
    Examples:
      cifarlab data show photos/ --open
      cifarlab data show shapes10 -o shapes.html
    """
    from cifarlab.cli.progress import progress_on_stderr
    from cifarlab.data import catalog
    from cifarlab.files import check_writable
    from cifarlab.reporting.dataset_page import show_dataset

    warnings_in_one_line()
    # Before the work, not after it.
    check_writable(output.absolute().parent)
    with progress_on_stderr() as progress:
        progress.started("loading data")
        options = replace(load, skip_bad=True, progress=progress.message)
        page = show_dataset(catalog.load(data, options), output, progress=progress.started)
    if json:
        print_json({"page": str(page)})
    else:
        typer.echo(printable(page))
    if open_page:
        typer.launch(page.as_uri())


@app.command()
def download(data: Spec = "cifar10", json: Json = False) -> None:
    """Fetch a dataset into the cache, verified, for use offline.

    \b
    Examples:
      cifarlab data download
      cifarlab data download cifar100
    """
    from cifarlab.cli.progress import progress_on_stderr
    from cifarlab.data import cache
    from cifarlab.data.catalog import load_dataset

    warnings_in_one_line()
    with progress_on_stderr() as progress:
        progress.started("downloading")
        loaded = load_dataset(data, progress=progress.message)
    result = {"name": loaded.name, "source": loaded.source, "cache": str(cache.directory())}
    _show(result, as_json=json)


@app.command()
@takes_load_options()
def labels(
    data: Spec = "cifar10",
    recipe: Annotated[str, typer.Option(help="Recipe to train on the other parts.")] = "baseline",
    folds: Annotated[int, typer.Option(help="How many parts the images are divided into.")] = 3,
    epochs: Annotated[int | None, typer.Option(help="At most this many epochs.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    output: Annotated[
        Path, typer.Option("--output", "-o", help="A table of all suspects, .csv.")
    ] = Path("labels.csv"),
    load: LoadOptions = DEFAULTS,
    json: Json = False,
) -> None:
    """Look for wrong labels among the training images.

    Trains a model without each part of them and asks what it says of that part.

    \b
    Examples:
      cifarlab data labels photos/
      cifarlab data labels cifar10 --folds 5 -o suspects.csv
    """
    from dataclasses import asdict

    from cifarlab.cli.progress import progress_on_stderr
    from cifarlab.data import catalog
    from cifarlab.evaluation.label_issues import find_label_issues
    from cifarlab.experiments.label_audit import out_of_fold
    from cifarlab.files import check_writable, write_csv
    from cifarlab.recipes import find_recipe
    from cifarlab.runtime.device import choose_device
    from cifarlab.training.train import TrainOptions

    warnings_in_one_line()
    chosen = find_recipe(recipe)
    choose_device(device)
    check_writable(output.absolute().parent)
    with progress_on_stderr() as progress:
        progress.started("loading data")
        loaded = catalog.load(data, replace(load, progress=progress.message))
        predictions = out_of_fold(
            chosen,
            loaded,
            folds,
            epochs=epochs,
            options=TrainOptions(device=device),
            progress=progress,
        )
    issues = find_label_issues(predictions).issues
    write_csv(output, [asdict(issue) for issue in issues])
    listed = [
        f"{i.name}: labelled {i.given}, looks like {i.suggested} ({i.suggested_probability:.0%})"
        for i in issues
    ]
    result = {
        "images": len(loaded.train),
        "suspects_in": str(output.absolute()),
        "suspects": [asdict(issue) for issue in issues] if json else listed,
    }
    _show(result, as_json=json)


def _show(value: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(value)
        return
    for line in _lines(value):
        typer.echo(line)


def _lines(value: dict[str, Any], indent: str = "") -> list[str]:
    lines = []
    for key, item in value.items():
        label = f"{indent}{key.replace('_', ' ')}:"
        if isinstance(item, list) and item and not _numbers(item):
            lines += [f"{label} {len(item):,}"]
            lines += [f"{indent}  {one_line(str(entry))}" for entry in item[:MOST_LISTED]]
            if len(item) > MOST_LISTED:
                lines += [f"{indent}  and {len(item) - MOST_LISTED:,} more (all with --json)"]
        elif isinstance(item, dict) and not _fits(item):
            lines += [label, *_lines(item, indent + "  ")]
        else:
            lines.append(f"{label} {_value(item)}")
    return lines


def _value(item: Any) -> str:
    if isinstance(item, dict):
        return ", ".join(f"{key} {_value(inner)}" for key, inner in item.items())
    if isinstance(item, list):
        return ", ".join(map(_value, item)) or "none"
    if isinstance(item, bool) or item is None:
        return {True: "yes", False: "no", None: "none"}[item]
    if isinstance(item, float):
        return f"{item:,.3g}" if abs(item) < 100 else f"{item:,.0f}"
    return f"{item:,}" if isinstance(item, int) else one_line(f"{item}")


def _numbers(items: list[Any]) -> bool:
    return all(isinstance(item, int) for item in items)


def _fits(item: dict[str, Any]) -> bool:
    plain = not any(isinstance(inner, (dict, list)) for inner in item.values())
    return plain and len(_value(item)) <= 60
