"""``export``: write a file in a format of choice, run it, compare it, and only then keep it."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cifarlab.classifier import Classifier
from cifarlab.data.dataset import Dataset
from cifarlab.errors import CifarlabError, UsageError
from cifarlab.exporting import files, parity, quantize, runners
from cifarlab.files import atomic_write, cannot_write, printable
from cifarlab.runtime.extras import require_extra

ONNX, INT8 = "onnx", "onnx-int8"
WEB = "web"
# The end of the file name of each format.
FORMATS: Mapping[str, str] = {
    "keras": ".keras",
    "h5": ".h5",
    ONNX: ".onnx",
    INT8: "-int8.onnx",
    "torch": ".pt2",
    WEB: "-web",
}


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A file that was written and gives the predictions of the classifier.

    Attributes:
        path: absolute; a folder for ``web``.
        size: bytes, of everything in a folder.
        parity: how it compares with the classifier.
        loss: the accuracy lost to 8 bits, for ``onnx-int8``.
    """

    format: str
    path: Path
    size: int
    parity: parity.Parity
    loss: quantize.Loss | None = None

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        return {**asdict(self), "path": str(self.path)}


def export(
    classifier: Classifier,
    format: str,
    target: str | os.PathLike[str],
    *,
    data: Dataset | None = None,
    facts: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write the classifier to ``target`` in another format.

    The new file is run by the program that it is made for on 1,000 generated images (fewer above
    64x64 pixels), and appears under its name only if its predictions are the same: the same
    classes, probabilities within 1e-4. In 8 bits it may differ; it is compared on test images, and
    the loss of accuracy is returned.

    Args:
        format: one of ``FORMATS``.
        data: for ``onnx-int8``: training images set the scales, test images measure the loss.
        facts: for ``web``: ``name``, ``accuracy`` and ``confusion``, shown on the page.

    Raises:
        UsageError: another format, a target that exists, a package or data that is missing,
            or a model that the format cannot hold.
        InputError: the images or classes of ``data`` are not those of the classifier.
        CifarlabError: the exported file does not give the predictions of the classifier.
        ResourceError: the target cannot be written.

    Example:
        >>> done = export(classifier, "onnx", "model.onnx")  # doctest: +SKIP
        >>> done.parity.agreement  # doctest: +SKIP
        1.0
    """
    target = Path(target).absolute()
    check_packages(format)
    if target.exists() and not overwrite:
        raise UsageError(f"{target}: exists; give another --output, or --overwrite")
    if format == INT8:
        quantize.check_data(classifier, _needed(data))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=target.parent) as folder:
            made = Path(folder) / ("new" + FORMATS[format])
            images, source = _comparison_images(classifier, format, data)
            with _refusing(format, classifier):
                predict, loss = _write(classifier, format, made, data, facts or {})
                compared = parity.compare(predict, classifier, images, source)
            if format != INT8 and not compared.exact:
                raise _disagrees(format, compared)
            _move(made, target)
    except OSError as error:
        raise cannot_write(target, error) from error
    return Exported(format=format, path=target, size=_size(target), parity=compared, loss=loss)


def check_packages(format: str) -> None:
    """Check that a format exists and that its packages are installed, before any work.

    Raises:
        UsageError: no such format, or a package is missing.
    """
    if format not in FORMATS:
        raise UsageError(f"no format is called {format!r}; choose from {', '.join(FORMATS)}")
    if format in (ONNX, INT8, WEB):
        require_extra("onnx", f"the format {format}", ("onnx", "onnxruntime"))


def _write(
    classifier: Classifier,
    format: str,
    path: Path,
    data: Dataset | None,
    facts: Mapping[str, Any],
) -> tuple[runners.Predict, quantize.Loss | None]:
    """Write the file and return what runs it."""
    if format in ("keras", "h5"):
        files.write_keras(classifier, path)
        return runners.plain_keras(path), None
    if format == "torch":
        files.write_torch(classifier, path)
        return runners.plain_torch(path), None
    model = files.onnx_bytes(classifier)
    if format == WEB:
        from cifarlab.exporting.web import write_site

        path.mkdir()
        write_site(path, model, {**files.facts_of(classifier), **facts})
        return runners.onnxruntime(path / "model.onnx"), None
    if format == INT8:
        model = quantize.int8(model, _needed(data))
    atomic_write(path, lambda file: file.write(model))
    predict = runners.onnxruntime(path)
    if format == INT8 and data is not None:
        return predict, quantize.measure_loss(predict, classifier, data.test, "test")
    return predict, None


def _needed(data: Dataset | None) -> Dataset:
    if data is None:
        raise UsageError(
            "8 bits need training images to choose scales on; name the dataset with --data"
        )
    return data


def _comparison_images(
    classifier: Classifier, format: str, data: Dataset | None
) -> tuple[np.ndarray[Any, Any], str]:
    """Return the images to compare on, and where they are from."""
    if format == INT8 and data is not None:
        # The scales fit images like those of the dataset, and few others.
        count = parity.count_for(*classifier.input_shape[:2])
        return np.array(data.test.images[:count]), parity.TEST
    height, width, channels = classifier.input_shape
    count = parity.count_for(height, width)
    return parity.comparison_images((height, width), count, channels), parity.GENERATED


@contextmanager
def _refusing(format: str, classifier: Classifier) -> Iterator[None]:
    """Say in one line why a format cannot hold a model."""
    try:
        yield
    except (CifarlabError, OSError, MemoryError):
        raise
    # Keras, PyTorch, ONNX and onnxruntime each have errors of their own, and raise others, too.
    except Exception as error:
        others = ", ".join(name for name in FORMATS if name != format)
        raise UsageError(
            f"the format {format} cannot hold the model {printable(classifier.model.name)} "
            f"({_reason(error)}); choose another: {others}"
        ) from error


def _reason(error: Exception) -> str:
    """Return what went wrong, without the values and the graph that libraries add."""
    # Keras puts where before what, and what in bold.
    lines = re.sub("\x1b\\[[0-9]+m", "", str(error)).splitlines()
    said = [line.strip() for line in lines if line.strip()] or [type(error).__name__]
    if said[0].startswith("Exception encountered when calling ") and len(said) > 1:
        said[0] += " " + said[1]
    return " ".join(said[0].split())[:200]


def _disagrees(format: str, compared: parity.Parity) -> CifarlabError:
    return CifarlabError(
        f"the exported {format} model differs from the classifier: {compared.agreement:.2%} of "
        f"{compared.images:,} images have the same class (all must), the largest difference is "
        f"{compared.largest_difference:.2g} (below {parity.TOLERANCE:g} is allowed); nothing was "
        "kept; try another format, and please report this model"
    )


def _move(made: Path, target: Path) -> None:
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    made.replace(target)


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size
