"""``cifarlab predict``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cifarlab.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from cifarlab.classifier import Classifier

STDIN = "-"
CHUNK = 1000


def predict(
    images: Annotated[
        list[str], typer.Argument(help="Image files, folders of them, or - for stdin.")
    ],
    model: Annotated[
        Path | None,
        typer.Option(
            help="A run directory, a .keras or an .h5 file, or cifar10, the pretrained "
            "model. Default: the newest run, else cifar10."
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="How many classes to show.")] = 3,
    resize_mode: Annotated[
        str, typer.Option(help="squash, crop or pad images of another shape.")
    ] = "squash",
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Exit 0 although some images cannot be read.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Say what is in images of any size.

    Images that cannot be read are listed, the others classified all the same.

    \b
    Examples:
      cifarlab predict cat.jpg
      cifarlab predict photos/ cat.png --model best.keras --top 1 --json
      cat cat.jpg | cifarlab predict - --model runs/baseline-1
    """
    from cifarlab.classifier import find_model, resolve_model
    from cifarlab.cli.output import console, print_json, table, warnings_in_one_line
    from cifarlab.cli.progress import progress_on_stderr
    from cifarlab.data.image import check_options
    from cifarlab.files import printable

    warnings_in_one_line()
    check_options(None, resize_mode)
    names = list(_names(images))
    if model is None:
        print(f"model: {printable(str(find_model()))}", file=sys.stderr)
    classifier = resolve_model(model, device)
    predicted: list[dict[str, Any]] = []
    bad: list[str] = []
    with progress_on_stderr() as progress:
        progress.started("classifying", len(names))
        for start in range(0, len(names), CHUNK):
            chunk = names[start : start + CHUNK]
            results, problems = _classify(classifier, chunk, resize_mode, top)
            progress.advanced(len(chunk))
            predicted += results
            bad += problems
    if json:
        print_json({"predictions": predicted, "bad": bad})
    elif predicted:
        rows = [_row(printable(result["image"]), result) for result in predicted]
        console(as_json=json).print(table(("image", "class", "", "or else"), rows, align="llrl"))
    for problem in bad:
        print(f"cifarlab: bad image: {problem}", file=sys.stderr)
    if bad and not skip_bad:
        raise InputError(
            f"{len(bad)} of {len(names)} images could not be read; "
            "fix or remove them, or accept that with --skip-bad"
        )


def _names(images: Sequence[str]) -> Iterator[str]:
    """Yield every image's path, folders opened, in the order given."""
    from cifarlab.data.readers.tree import images_below

    for name in images:
        if name != STDIN and Path(name).is_dir():
            inside = images_below(Path(name))
            if not inside:
                raise InputError(f"{name}: no images in this folder; name one that has some")
            yield from map(str, inside)
        else:
            yield name


def _row(image: str, result: dict[str, Any]) -> tuple[str, str, str, str]:
    best, others = result["top"][0], result["top"][1:]
    name = best["class"]
    if result["sure"] is False:
        name = f"{name} (not sure)"
    return image, name, _percent(best), _rest(others)


def _percent(choice: dict[str, Any]) -> str:
    return f"{choice['probability']:.1%}"


def _rest(choices: Sequence[dict[str, Any]]) -> str:
    return ", ".join(f"{choice['class']} {_percent(choice)}" for choice in choices)


def _classify(
    classifier: Classifier, names: Sequence[str], resize_mode: str, top: int
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return a result for each readable image, and a line for each other."""
    import numpy as np

    from cifarlab.predictions import Predictions

    images: list[np.ndarray[Any, Any]] = []
    read: list[str] = []
    bad: list[str] = []
    for name in names:
        try:
            images.append(_read(name, classifier.input_shape[0], resize_mode))
            read.append(name)
        except InputError as error:
            bad.append(str(error))
    if not images:
        return [], bad
    probabilities = classifier.predict_proba(np.stack(images))
    predictions = Predictions(
        probabilities=probabilities, class_names=classifier.class_names, names=tuple(read)
    )
    results = [
        {
            "image": name,
            "top": [{"class": c, "probability": p} for c, p in best],
            "sure": classifier.sure(best[0][1]),
        }
        for name, best in zip(read, predictions.top(top), strict=True)
    ]
    return results, bad


def _read(name: str, size: int, resize_mode: str) -> np.ndarray[Any, Any]:
    from cifarlab.data.image import decode_image, read_image

    if name == STDIN:
        content = sys.stdin.buffer.read()
        return decode_image(content, name="stdin", size=size, resize_mode=resize_mode)
    return read_image(Path(name), size=size, resize_mode=resize_mode)
