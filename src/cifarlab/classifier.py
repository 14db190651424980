"""Classifier: a trained model that turns images into predictions."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch

from cifarlab.backend import KerasModel, keras
from cifarlab.data.dataset import Split
from cifarlab.data.image import read_as
from cifarlab.data.image_format import ImageFormat
from cifarlab.errors import InputError, UsageError
from cifarlab.evaluation.metrics import Metrics, measure
from cifarlab.files import printable
from cifarlab.fitting.fit import evaluate as evaluate_keras
from cifarlab.lowering.model import LoweredModel, lower
from cifarlab.lowering.plain_form import AS_THEY_ARE, plain_form, scales_pixels
from cifarlab.lowering.prepared import PreparedModel, prepare
from cifarlab.lowering.tta import tta_logits
from cifarlab.predictions import Predictions
from cifarlab.recipes.parts import TestTimeAugmentation
from cifarlab.recipes.recipe import EVERYTHING_BUT_TEST, Recipe, current_names, from_json
from cifarlab.runs.directory import RunDirectory, find_run, newest_run
from cifarlab.runtime.device import choose_device
from cifarlab.runtime.memory import keeping_freed_memory
from cifarlab.saving.model_file import LoadedModel, load_model
from cifarlab.saving.pretrained import NAME as PRETRAINED
from cifarlab.saving.pretrained import read_pretrained

# From here on it pays to keep memory between batches.
MANY = 200

PathLike = str | os.PathLike[str]


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """A model with the names of its classes, ready to predict in float32.

    Attributes:
        model: the Keras model, pixels 0 to 255 ``[N, H, W, C]`` in, probabilities out; C is 3 for
            RGB or 1 for grey.
        class_names: one name per class, in the order of the model's outputs.
        lowered: the native form that computes.
        tta: test-time augmentation, the same for every image, so that an answer never depends
            on the other images of a batch; ``None`` for none.
        recipe: what the model was trained with, as its file says, in plain JSON values.
        temperature: logits are divided by it before the softmax; 1 changes nothing.
        not_sure_below: an answer of lower confidence, 0 to 1, is "not sure"; ``None`` where
            nothing is known of that.
        resize_mode: how images of another size are brought to the model's.
        bits: of the values in 16-bit image files.
        trained_on: what its file says of the data, in plain JSON values.

    Example:
        >>> classifier = Classifier.pretrained("cpu")
        >>> images = np.zeros((2, 32, 32, 3), np.uint8)
        >>> classifier.predict(images).probabilities.shape
        (2, 10)
    """

    model: KerasModel
    class_names: tuple[str, ...]
    lowered: LoweredModel
    tta: TestTimeAugmentation | None = None
    recipe: Mapping[str, Any] | None = None
    temperature: float = 1.0
    not_sure_below: float | None = None
    resize_mode: str = "squash"
    bits: int = 16
    trained_on: Mapping[str, Any] | None = None

    @staticmethod
    def load(
        path: PathLike,
        device: str = "auto",
        *,
        custom_objects: Mapping[str, Any] | None = None,
        pixels: str | None = None,
    ) -> Classifier:
        """Read a run directory, a ``.keras`` or an ``.h5`` file; never runs code from it.

        Test-time augmentation is what the recipe in the file says, for every image alike.
        ``"cifar10"`` is the pretrained model that comes with the package.

        Args:
            path: the run or file.
            device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
            custom_objects: your own classes by name, which the file may ask for beside stock
                layers: ``{"MyLayer": MyLayer}``. They are the only code that is added.
            pixels: the range that a model from elsewhere was made for, ``"0..255"``, ``"0..1"``
                or ``"-1..1"``; by default, as in all files of cifarlab, 0 to 255.

        Raises:
            InputError: no such file, not a model, or a model that is no classifier.
            UnsafeError: the file asks for more than stock layers and ``custom_objects``.
            UsageError: ``device`` is not there, or ``pixels`` is no range, or is given for a file
                of cifarlab.

        Example:
            >>> Classifier.load("runs/baseline-1").predict("cat.jpg").top(1)  # doctest: +SKIP
            [[('cat', 0.93)]]
        """
        loaded = _load(Path(path), custom_objects)
        if pixels is not None and loaded.recipe is not None:
            raise UsageError(
                f"pixels {pixels!r}: {printable(Path(path))} was written by cifarlab and takes 0 "
                "to 255; leave that out"
            )
        return _of_loaded(loaded, device, pixels or AS_THEY_ARE)

    @staticmethod
    def pretrained(device: str = "auto") -> Classifier:
        """Return the classifier of CIFAR-10 that comes with the package.

        Raises:
            InputError: its file is missing or damaged.
            UsageError: ``device`` is not there.

        Example:
            >>> Classifier.pretrained("cpu").input_shape
            (32, 32, 3)
        """
        return _of_loaded(read_pretrained(), device)

    @staticmethod
    def from_keras(
        model: KerasModel,
        class_names: Sequence[str],
        device: str = "auto",
        tta: TestTimeAugmentation | None = None,
        pixels: str = AS_THEY_ARE,
    ) -> Classifier:
        """Make a classifier of a Keras model that ends in a softmax.

        Args:
            model: of one image; where it is not plain (``lowering.plain_form``), the classifier
                has its plain form, of the same layers.
            class_names: in the order of the outputs.
            device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
            tta: test-time augmentation.
            pixels: the range that the model was made for: ``"0..255"``, ``"0..1"``, ``"-1..1"``.

        Raises:
            InputError: it does not take images of one size, RGB or grey, does not end in a
                softmax over ``len(class_names)`` classes, or its images are too small for the
                shift of ``tta``.
            UsageError: ``device`` is not there.
        """
        names = tuple(class_names)
        model = plain_form(model, pixels=pixels)
        lowered = lower(model, choose_device(device))
        _check_input(model)
        if len(names) > 1 and model.output_shape == (None, len(names)) and _ends_in_sigmoid(model):
            raise InputError(
                f"model {model.name!r} ends in {len(names)} sigmoids (multi-label: each class by "
                "itself), and a classifier gives one class an image; take cifarlab.predict and "
                "cifarlab.measure_multi_label; if an image has one class only, end it in a softmax"
            )
        if model.output_shape != (None, len(names)) or not lowered.strip_softmax():
            raise InputError(
                f"model {model.name!r} gives {list(model.output_shape)}; a classifier ends "
                f"in a softmax over its {len(names)} classes: add one"
            )
        if tta is not None and tta.shift >= min(model.input_shape[1:3]):
            raise InputError(
                f"test-time augmentation by {tta.shift} pixels: model {model.name!r} takes images "
                f"of {model.input_shape[1]}x{model.input_shape[2]}; use a smaller shift"
            )
        return Classifier(
            model=model, class_names=names, lowered=lowered, tta=tta and replace(tta, share=1.0)
        )

    @cached_property
    def _prepared(self) -> PreparedModel:
        return prepare(self.lowered)

    @property
    def saw_validation(self) -> bool:
        """Whether it was trained on the validation images, so that they tell nothing."""
        return (self.recipe or {}).get("train_on") == EVERYTHING_BUT_TEST

    @property
    def named(self) -> bool:
        """Whether the model file holds the names of its classes; else they are numbered."""
        return self.class_names != _numbered(len(self.class_names))

    @cached_property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the images that the model takes."""
        height, width, channels = self.model.input_shape[1:]
        return height, width, channels

    @property
    def image_format(self) -> ImageFormat:
        """What an image is brought to before the model sees it, as it was in training."""
        height, width, channels = self.input_shape
        return ImageFormat(
            height=height,
            width=width,
            channels=channels,
            resize_mode=self.resize_mode,
            bits=self.bits,
        )

    def sure(self, confidence: float) -> bool | None:
        """Whether an answer of this confidence, 0 to 1, is sure; ``None`` if nobody knows."""
        return None if self.not_sure_below is None else confidence >= self.not_sure_below

    def predict(
        self,
        images: PathLike | Sequence[PathLike] | np.ndarray[Any, Any],
        resize_mode: str | None = None,
    ) -> Predictions:
        """Classify images.

        Args:
            images: a path, several paths, or uint8 ``[N, H, W, C]`` or ``[H, W, C]``
                of the model's size.
            resize_mode: how files of another size are fitted: ``"squash"``, ``"crop"``
                or ``"pad"``; by default as it was in training.

        Raises:
            InputError: a file is no readable image, an array has the wrong dtype or
                shape, or there are no images.
            UsageError: ``resize_mode`` is not one of the three.

        Example:
            >>> Classifier.load("runs/baseline-1").predict("cat.jpg").top(3)  # doctest: +SKIP
            [[('cat', 0.93), ('dog', 0.05), ('frog', 0.01)]]
        """
        if isinstance(images, np.ndarray):
            arrays = images[None] if images.ndim == 3 else images
            probabilities = self.predict_proba(arrays)
            names = tuple(str(i) for i in range(len(arrays)))
        else:
            paths = _paths(images)
            wanted = self.image_format.resized_by(resize_mode)
            probabilities = self.predict_proba(np.stack([read_as(wanted, path) for path in paths]))
            names = tuple(map(str, paths))
        return Predictions(probabilities=probabilities, class_names=self.class_names, names=names)

    def evaluate(self, split: Split) -> Metrics:
        """Return accuracy, loss and the measures of each class on labelled images.

        Example:
            >>> images = np.zeros((4, 32, 32, 3), np.uint8)
            >>> split = Split(images=images, labels=np.array([0, 1, 2, 3]))
            >>> Classifier.pretrained("cpu").evaluate(split).n
            4
        """
        return measure(self.predict_split(split))

    def predict_split(self, split: Split) -> Predictions:
        """Classify all images of a split, which has the true labels."""
        names = split.names or tuple(str(i) for i in range(len(split)))
        return Predictions(
            probabilities=self.predict_proba(split.images),
            class_names=self.class_names,
            labels=split.labels,
            names=names,
        )

    def predict_proba(self, images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return float32 ``[N, K]`` for uint8 ``[N, H, W, C]`` of the model's size.

        Raises:
            InputError: another dtype or shape, or no images.
        """
        wanted = (len(images), *self.input_shape) if images.ndim else None
        if images.dtype != np.uint8 or images.shape != wanted or not len(images):
            raise InputError(
                f"images are {images.dtype} {list(images.shape)}; this model takes uint8 "
                f"[N, {', '.join(map(str, self.input_shape))}] with N above 0: "
                "convert or resize them"
            )
        # A copy, because memory-mapped arrays are read-only and PyTorch warns of those.
        pixels = torch.from_numpy(np.array(images))
        with keeping_freed_memory() if len(pixels) > MANY else contextlib.nullcontext():
            logits = tta_logits(self._prepared, pixels, self.tta, torch.float32)
        return np.asarray((logits / self.temperature).softmax(1).cpu().numpy())

    # The names of version 0.1.
    of = from_keras
    boxed = pretrained
    probabilities = predict_proba


def find_model(what: PathLike | None = None) -> Path:
    """Return which model is meant: ``what``, else the newest run, else the pretrained model.

    Args:
        what: a run directory, a model file, or the pretrained model's name.

    Example:
        >>> find_model("runs/baseline-1").name
        'baseline-1'
    """
    return Path(what or newest_run() or PRETRAINED)


def is_pretrained(what: PathLike) -> bool:
    """Whether that name means the pretrained model; a run or a file of the same name goes first.

    Example:
        >>> is_pretrained("cifar10"), is_pretrained("runs/baseline-1")
        (True, False)
    """
    path = Path(what)
    if str(path) != PRETRAINED:
        return False
    return not path.is_file() and not RunDirectory(path=path).recipe.is_file()


def resolve_model(
    what: PathLike | None = None, device: str = "auto", pixels: str | None = None
) -> Classifier:
    """Load the model that ``find_model`` names.

    Raises:
        As ``Classifier.load``.

    Example:
        >>> resolve_model("cifar10", "cpu").class_names[:2]
        ('airplane', 'automobile')
    """
    return Classifier.load(find_model(what), device, pixels=pixels)


def unscaled(classifier: Classifier) -> str:
    """Return a line on the range of pixels of a model from elsewhere that does not say it.

    Example:
        >>> unscaled(Classifier.pretrained("cpu"))
        ''
    """
    if classifier.recipe is not None or scales_pixels(classifier.model):
        return ""
    return (
        "has no Rescaling layer and is given pixels 0 to 255; if it was trained on others, say "
        "--pixels 0..1 or --pixels -1..1 (from Python, pixels=)"
    )


@overload
def evaluate(classifier: Classifier, split: Split) -> Metrics: ...


@overload
def evaluate(classifier: KerasModel, *data: Any, **arguments: Any) -> Any: ...


def evaluate(classifier: Any, *data: Any, **arguments: Any) -> Any:
    """Measure a classifier on labelled images, or a Keras model as ``model.evaluate`` does.

    ``evaluate(classifier, split)`` is ``classifier.evaluate(split)``: uint8 images
    ``[N, H, W, C]`` and int64 labels ``[N]``, N 1 or more; it returns accuracy with its interval,
    loss, and precision, recall and F1 of each class. ``evaluate(model, x, y, ...)`` has the
    arguments and the result of ``keras.Model.evaluate``, and is faster (``fitting.fit``).

    Raises:
        InputError: a classifier's images are of another size, or there are none.
        ValueError, TypeError: whatever ``keras.Model.evaluate`` raises.

    Example:
        >>> evaluate(classifier, data.test).accuracy  # doctest: +SKIP
        0.7312
    """
    if isinstance(classifier, keras.Model):
        return evaluate_keras(classifier, *data, **arguments)
    return classifier.evaluate(*data, **arguments)


def _paths(images: PathLike | Sequence[PathLike]) -> list[PathLike]:
    paths = [images] if isinstance(images, (str, os.PathLike)) else list(images)
    for path in paths:
        if not isinstance(path, (str, os.PathLike)):
            raise InputError(
                f"a {type(path).__name__} among the images: "
                "give paths, or one uint8 array of all images"
            )
    if not paths:
        raise InputError("no images to classify: give at least one path")
    return paths


def _of_loaded(loaded: LoadedModel, device: str, pixels: str = AS_THEY_ARE) -> Classifier:
    model = plain_form(loaded.model, pixels=pixels)
    names = loaded.class_names or _numbered(_classes(model))
    classifier = Classifier.from_keras(model, names, device, _tta(loaded.recipe))
    return replace(
        classifier,
        recipe=loaded.recipe,
        temperature=loaded.temperature,
        not_sure_below=loaded.not_sure_below,
        resize_mode=loaded.resize_mode,
        bits=loaded.bits,
        trained_on=loaded.trained_on,
    )


def _load(path: Path, custom_objects: Mapping[str, Any] | None) -> LoadedModel:
    if is_pretrained(path):
        return read_pretrained()
    if path.is_dir():
        return load_model(find_run(path).best_keras, custom_objects)
    if path.exists():
        return load_model(path, custom_objects)
    raise InputError(
        f"{path}: no such run or model file; check the path, or take {PRETRAINED!r}, the "
        "pretrained model that comes with cifarlab"
    )


def _tta(recipe: Mapping[str, Any] | None) -> TestTimeAugmentation | None:
    # A file of another version may hold what this one cannot read; the model is sound all the same.
    with contextlib.suppress(InputError):
        record = current_names({"kind": Recipe.__name__, **(recipe or {})})
        tta = from_json(record.get("tta"))
        return tta if isinstance(tta, TestTimeAugmentation) else None
    return None


def _check_input(model: KerasModel) -> None:
    shape = model.input_shape
    if len(shape) != 4 or None in shape[1:] or shape[3] not in (1, 3):
        raise InputError(
            f"model {model.name!r} takes {list(shape)}; a classifier takes images of one size, "
            "RGB or grey: give it keras.Input((32, 32, 3)) or the like"
        )


def _ends_in_sigmoid(model: KerasModel) -> bool:
    """Whether the last step is a sigmoid, in nested models too."""
    outputs = getattr(model, "outputs", None)
    if not outputs:
        return False
    last = outputs[0]._keras_history.operation
    if isinstance(last, keras.Model):
        return _ends_in_sigmoid(last)
    name = getattr(getattr(last, "activation", None), "__name__", type(last).__name__)
    return str(name).lower() == "sigmoid"


def _classes(model: KerasModel) -> int:
    last = model.output_shape[-1]
    # Several outputs, which ``Classifier.from_keras`` refuses, have a shape each.
    return last if isinstance(last, int) else 0


def _numbered(classes: int) -> tuple[str, ...]:
    return tuple(f"class {i}" for i in range(classes))
