"""Take every model that people start from through the whole program, and print a table.

Command: ``python -m tools.model_table [NAME ...] [--out docs/models_table.md] [--speed]``. Each
name is one of ``benchmarks.image_models``; by default all of them. A model is trained for an epoch
on a few images, loaded by plain Keras on another backend, reported on, explained and exported, in
a process of its own (all layers in one). A cell says "yes", or why not. With ``--out`` the rows of
models that are not named stay as they are.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

import cifarlab
from benchmarks.image_models import CLASSES, FAMILIES, LAYERS, family, network_with
from cifarlab.backend import keras
from cifarlab.classifier import Classifier
from cifarlab.data.dataset import Dataset, Split
from cifarlab.data.named.shapes import draw_image
from cifarlab.errors import InputError
from cifarlab.explain import grad_cam, integrated_gradients

STEPS = ("train", "Keras on JAX", "report", "explain", "ONNX")
SPEED = "fit / Keras's fit"
YES = "yes"
# Images of each class in a split.
TRAINING, OTHERS = 4, 1
# Of a probability, as ``exporting.parity`` allows; other backends add in another order.
TOLERANCE = 1e-3
ROUNDS = 5

# Reads names of folders, a line each, and answers each with a line: nothing, or what went wrong.
PLAIN_KERAS = """
import sys
import keras
import numpy as np

assert keras.backend.backend() == "jax"
for line in sys.stdin:
    folder = line.strip()
    try:
        model = keras.saving.load_model(f"{folder}/best.keras", compile=False)
        images = np.load(f"{folder}/images.npy").astype("float32")
        np.save(f"{folder}/elsewhere.npy", model.predict(images, verbose=0))
        print(flush=True)
    except Exception as error:
        print(" ".join(str(error).split()) or type(error).__name__, flush=True)
"""

HEADER = """\
# Every model that people start from

A small variant of each family of `keras.applications` at the smallest size that it takes, and each
stock layer in a small network of its own.

- train: one epoch by `cifarlab.train`, saved, and loaded again.
- Keras on JAX: plain Keras loads the file on that backend and predicts the same.
- report: the page of the run.
- explain: saliency by Grad-CAM and by integrated gradients.
- ONNX: exported, run by onnxruntime and compared; see [exporting](export.md).

The table is made by `python -m tools.model_table --out docs/models_table.md`, which keeps the rows
of models that it is not asked about; `--speed` fills the last column.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="of benchmarks.image_models; by default all")
    parser.add_argument("--out", type=Path, help="a Markdown file to write, or to bring up to date")
    parser.add_argument(
        "--speed", action="store_true", help="also time cifarlab.fit beside Keras's"
    )
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    known = (*FAMILIES, *LAYERS)
    names = options.names or known
    for name in names:
        if name not in known:
            parser.error(f"no model is called {name!r}; choose from {', '.join(known)}")
    if options.inside:
        with plain_keras_on_jax() as jax:
            for name in names:
                print(json.dumps([name, outcome(name, jax, speed=options.speed)]), flush=True)
        return
    rows = rows_of(options.out.read_text("utf-8")) if options.out and options.out.exists() else {}
    for name, cells in _outcomes(names, speed=options.speed):
        rows[name] = {**rows.get(name, {}), **cells}
        print(_row(name, rows[name]), flush=True)
        if options.out:
            options.out.write_text(page({n: rows[n] for n in known if n in rows}), "utf-8")


def _outcomes(names: Sequence[str], *, speed: bool) -> Iterator[tuple[str, dict[str, str]]]:
    """Give each model's outcome as it comes: each family from a process of its own."""
    groups = [[name] for name in names if name in FAMILIES]
    groups.append([name for name in names if name not in FAMILIES])
    for group in filter(None, groups):
        command = [
            sys.executable,
            "-m",
            "tools.model_table",
            "--inside",
            *["--speed"] * speed,
            *group,
        ]
        missing = list(group)
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout or ():
                if line.startswith("["):
                    name, cells = json.loads(line)
                    missing.remove(name)
                    yield name, cells
        for name in missing:
            yield name, {STEPS[0]: f"the process ended with {process.returncode}"}


@contextmanager
def plain_keras_on_jax() -> Iterator[Callable[[Path], str]]:
    """Yield what loads a folder's ``best.keras`` and predicts there; it returns what went wrong."""
    process = subprocess.Popen(
        [sys.executable, "-c", PLAIN_KERAS],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    into, out = process.stdin, process.stdout

    def load(folder: Path) -> str:
        print(folder, file=into, flush=True)
        answer = out.readline()
        return answer.strip() if answer else "the process of Keras on JAX has ended"

    with process:
        yield load
        into.close()


def outcome(name: str, jax: Callable[[Path], str], *, speed: bool = False) -> dict[str, str]:
    """Return what each step gave: ``"yes"``, or the reason why not.

    Args:
        jax: as ``plain_keras_on_jax`` yields it.
    """
    keras.utils.set_random_seed(0)
    cells: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder, _cell(cells, STEPS[0]):
        model = family(name) if name in FAMILIES else network_with(name)
        data = few_images(model.input_shape[1])
        run = cifarlab.train(model, data, epochs=1, batch_size=8, directory=Path(folder) / "run")
        classifier = cifarlab.Classifier.load(run.directory, "cpu")
        cells[STEPS[0]] = YES
        with _cell(cells, STEPS[1]):
            cells[STEPS[1]] = _elsewhere(Path(run.directory), classifier, data.test.images, jax)
        with _cell(cells, STEPS[2]):
            cifarlab.report(run, robustness=0)
            cells[STEPS[2]] = YES
        with _cell(cells, STEPS[3]):
            cells[STEPS[3]] = _explained(classifier, data.test.images[:2])
        with _cell(cells, STEPS[4]):
            cifarlab.export(classifier, "onnx", Path(folder) / "model.onnx")
            cells[STEPS[4]] = YES
        if speed:
            with _cell(cells, SPEED):
                cells[SPEED] = f"{_speed(model, data):.2f}"
    return cells


def few_images(side: int) -> Dataset:
    """Return a dataset of ten classes, ``TRAINING`` images of each, ``side`` pixels wide."""
    generator = np.random.default_rng(0)

    def split(each: int) -> Split:
        labels = np.arange(each * CLASSES, dtype=np.int64) % CLASSES
        drawn = [Image.fromarray(draw_image(int(k), generator)) for k in labels]
        images = np.stack([np.asarray(image.resize((side, side))) for image in drawn])
        return Split(images=images, labels=labels)

    return Dataset(
        name="shapes",
        source="drawn",
        class_names=tuple(map(str, range(CLASSES))),
        train=split(TRAINING),
        validation=split(OTHERS),
        test=split(OTHERS),
    )


def _elsewhere(
    directory: Path, classifier: Classifier, images: Any, load: Callable[[Path], str]
) -> str:
    np.save(directory / "images.npy", images)
    problem = load(directory)
    if problem:
        return _short(problem)
    # The temperature is beside the model, not in it.
    expected = replace(classifier, temperature=1.0).predict_proba(images)
    difference = float(np.abs(np.load(directory / "elsewhere.npy") - expected).max())
    return YES if difference < TOLERANCE else f"differs by {difference:.1g}"


def _explained(classifier: Classifier, images: Any) -> str:
    integrated_gradients(classifier, images, steps=2)
    try:
        grad_cam(classifier, images)
    except InputError as error:
        return f"gradients only: {_short(error)}"
    return YES


def _speed(model: Any, data: Dataset) -> float:
    """Return images per second of ``cifarlab.fit`` over Keras's, alternating, medians."""
    images, labels = np.array(data.train.images, "float32"), data.train.labels
    model.compile("adam", "sparse_categorical_crossentropy")

    def seconds(fit: Callable[..., Any]) -> float:
        began = time.perf_counter()
        fit(images, labels, batch_size=len(images), epochs=2, verbose=0)
        return time.perf_counter() - began

    def ours(*args: Any, **kwargs: Any) -> None:
        cifarlab.fit(model, *args, **kwargs)

    # What is prepared once is not part of the speed.
    seconds(ours), seconds(model.fit)
    times = [(seconds(ours), seconds(model.fit)) for _ in range(ROUNDS)]
    return median(theirs for _, theirs in times) / median(own for own, _ in times)


@contextmanager
def _cell(cells: dict[str, str], step: str) -> Iterator[None]:
    """Put the reason into the table where a step fails, whatever raised it."""
    try:
        yield
    except Exception as error:
        cells[step] = _short(error)


def _short(reason: object) -> str:
    """Return the reason in one line that a table can hold, without folders and terminal codes."""
    text = re.sub("\x1b\\[[0-9]+m|/\\S*/", "", str(reason)).replace("|", "/")
    return " ".join(text.split())[:200] or type(reason).__name__


def page(rows: dict[str, dict[str, str]]) -> str:
    """Return the Markdown page of these rows.

    Example:
        >>> "| `VGG16` | yes |" in page({"VGG16": {"train": "yes"}})
        True
    """
    head = ("model", *STEPS, SPEED)
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return "\n".join([HEADER, *lines, *(_row(name, cells) for name, cells in rows.items())]) + "\n"


def rows_of(text: str) -> dict[str, dict[str, str]]:
    """Return the rows of a page that ``page`` has made."""
    lines = [line for line in text.splitlines() if line.startswith("| ")][1:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {
        name.strip("`"): {k: v for k, v in zip((*STEPS, SPEED), found, strict=True) if v}
        for name, *found in cells
    }


def _row(name: str, cells: dict[str, str]) -> str:
    return f"| `{name}` | {' | '.join(cells.get(step, '') for step in (*STEPS, SPEED))} |"


if __name__ == "__main__":
    main()
