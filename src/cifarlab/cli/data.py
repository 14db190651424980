"""``cifarlab data``: look at, check and fetch datasets."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cifarlab.errors import InputError

app = typer.Typer(
    help="Look at a dataset, check it, or download it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Spec = Annotated[str, typer.Argument(help="cifar10, cifar100, shapes10, or a path.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@app.command()
def info(data: Spec = "cifar10", json: Json = False) -> None:
    """Print sizes, classes and fingerprints.

    Example:  cifarlab data info photos/
    """
    from cifarlab.data.catalog import describe, load

    _show(describe(load(data, progress=_say)), json)


@app.command()
def check(data: Spec = "cifar10", json: Json = False) -> None:
    """Look for unreadable pictures, duplicates and lopsided classes.

    Exits 3 when there are unreadable pictures. Example:  cifarlab data check photos/
    """
    from cifarlab.data import catalog

    found = catalog.check(data, progress=_say)
    _show(found, json)
    bad = found["bad_files"]
    if bad:
        raise InputError(
            f"{data}: {len(bad)} pictures cannot be read; mend or remove them, "
            "or train with --skip-bad"
        )


@app.command()
def download(data: Spec = "cifar10", json: Json = False) -> None:
    """Fetch a dataset into the cache, verified, ready for use offline.

    Example:  cifarlab data download cifar100
    """
    from cifarlab.data import cache
    from cifarlab.data.catalog import load

    loaded = load(data, progress=_say)
    result = {"name": loaded.name, "source": loaded.source, "cache": str(cache.directory())}
    _show(result, json)


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _show(value: dict[str, Any], as_json: bool) -> None:
    from cifarlab.cli.output import print_json

    if as_json:
        print_json(value)
        return
    for line in _lines(value):
        typer.echo(line)


def _lines(value: dict[str, Any], indent: str = "") -> list[str]:
    lines = []
    for key, item in value.items():
        if isinstance(item, dict):
            short = ", ".join(
                f"{k} {v:,}" if isinstance(v, int) else f"{k} {v}" for k, v in item.items()
            )
            if len(short) <= 60 and not any(isinstance(v, (dict, list)) for v in item.values()):
                lines.append(f"{indent}{key}: {short}")
            else:
                lines += [f"{indent}{key}:", *_lines(item, indent + "  ")]
        elif isinstance(item, list):
            lines.append(f"{indent}{key}: {len(item)}")
            lines += [f"{indent}  {entry}" for entry in item[:20]]
        else:
            lines.append(
                f"{indent}{key}: {item:,}" if type(item) is int else f"{indent}{key}: {item}"
            )
    return lines
