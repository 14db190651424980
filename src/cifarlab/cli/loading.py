"""The options of every command that reads a dataset, and what they mean."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import typer

from cifarlab.data.load_options import LoadOptions

# In the order of --help.
OPTIONS: dict[str, Any] = {
    "image_size": Annotated[
        str,
        typer.Option(help="64, 48x64 (height first), or auto: the images' own up to 64, else 32."),
    ],
    "channels": Annotated[
        str, typer.Option(help="grey, rgb, or auto: grey where every image is grey.")
    ],
    "resize_mode": Annotated[str, typer.Option(help="squash, crop or pad to the image size.")],
    "bits": Annotated[
        int | None,
        typer.Option(min=8, max=16, help="Of values in 16-bit files. Default: as many as needed."),
    ],
    "validation_fraction": Annotated[
        float, typer.Option(help="Share for validation, where the data have no such split.")
    ],
    "split_seed": Annotated[int, typer.Option(min=0, help="Seed of the division into splits.")],
    "group_by": Annotated[
        str | None,
        typer.Option(help="Pattern on image names; what its first group matches stays together."),
    ],
    "skip_bad": Annotated[
        bool, typer.Option("--skip-bad", help="Leave out images that cannot be read.")
    ],
    "class_folder": Annotated[
        str, typer.Option(help="Folder that names the class, if nested: auto, first or last.")
    ],
    "follow_links": Annotated[
        bool, typer.Option("--follow-links", help="Read what links out of the folder lead to.")
    ],
    "labels": Annotated[
        str | None, typer.Option(help="A table that names the class of each image file.")
    ],
    "image_column": Annotated[str | None, typer.Option(help="The table's column of image files.")],
    "label_column": Annotated[str | None, typer.Option(help="The table's column of classes.")],
    "label_pattern": Annotated[
        str | None,
        typer.Option(help="Pattern on file names; its first group is the class."),
    ],
}
PLACE = "load"


# What a model decides itself, where there is one already.
IMAGE_FORMAT = ("image_size", "channels", "resize_mode", "bits")


def takes_load_options(
    *, leave_out: Sequence[str] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options above in the place of its parameter ``load``.

    Args:
        leave_out: names of options that the command does not have; they keep their defaults.

    Raises:
        UsageError: when the command runs with a value that is not possible.
    """
    return functools.partial(
        _with_options, options={name: OPTIONS[name] for name in OPTIONS if name not in leave_out}
    )


def _with_options(command: Callable[..., None], options: Mapping[str, Any]) -> Callable[..., None]:
    hints = typing.get_type_hints(command, include_extras=True)
    defaults = LoadOptions()
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        if name != PLACE:
            parameters.append(parameter.replace(kind=keyword, annotation=hints[name]))
            continue
        parameters += [
            inspect.Parameter(
                option, keyword, default=getattr(defaults, option), annotation=annotation
            )
            for option, annotation in options.items()
        ]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        load = LoadOptions(**{name: given.pop(name) for name in options})
        command(**given, **{PLACE: load})

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run
