"""Model files: written so that plain Keras reads them, read so that they cannot do harm.

A file from an unknown author is read as weights plus a description, nothing more: the described
model is built from stock layers, then filled with the weights.
"""

from __future__ import annotations

import errno
import json
import logging
import math
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from cifarlab.backend import KerasModel, keras
from cifarlab.data.image_format import RESIZE_MODES
from cifarlab.errors import InputError, ResourceError, UsageError
from cifarlab.files import replacing
from cifarlab.saving.own_code import scope_of
from cifarlab.saving.safe_build import rebuild
from cifarlab.saving.safe_contents import (
    CONFIG_MEMBER,
    NOTES_ATTRIBUTE,
    NOTES_MEMBER,
    SUFFIXES,
    TRUNCATED,
    check_file,
    one_line,
    read_h5,
    read_keras,
)
from cifarlab.saving.safe_weights import check_h5_weights, check_keras_weights

# HDF5 takes attributes of less than 64 KB.
MOST_IN_ATTRIBUTE = 60_000
BACKEND_MODULE = "keras.src.backend."
# What the zip, HDF5 and JSON libraries raise for damaged files.
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    NotImplementedError,
    OSError,
    EOFError,
    ValueError,
    KeyError,
    TypeError,
    RuntimeError,
    RecursionError,
)


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """The content of a model file.

    Attributes:
        model: built and filled with the weights, not compiled.
        class_names: one name for each output, or ``None`` when the file has none.
        recipe: the recipe that it was trained with, or ``None`` when the file has none.
        temperature: divisor of the logits before the softmax, above 0; not part of the model.
        not_sure_below: below this confidence the answer is "not sure"; ``None`` if not known.
        resize_mode: how images of another size are brought to the model's.
        bits: of the values in 16-bit image files.
        trained_on: name, fingerprints and load options of the data, as ``runs.record.trained_on``
            gives them, or ``None`` when the file has none.
    """

    model: KerasModel
    class_names: tuple[str, ...] | None
    recipe: dict[str, Any] | None
    temperature: float = 1.0
    not_sure_below: float | None = None
    resize_mode: str = "squash"
    bits: int = 16
    trained_on: Mapping[str, Any] | None = None


def save_model(
    model: KerasModel,
    path: Path,
    *,
    class_names: tuple[str, ...],
    recipe: Mapping[str, object],
    temperature: float = 1.0,
    not_sure_below: float | None = None,
    resize_mode: str = "squash",
    bits: int = 16,
    trained_on: Mapping[str, Any] | None = None,
) -> None:
    """Write ``model`` to ``path``, as ``.keras`` or ``.h5`` by its suffix, complete or not at all.

    The other fields of ``LoadedModel`` are saved as JSON, in the zip member or root attribute
    ``cifarlab``: ``{"class_names": [...], "recipe": {...}, "temperature": 1.0,
    "not_sure_below": null, "resize_mode": "squash", "bits": 16,
    "trained_on": null}``. Keras saves the optimizer.

    Raises:
        UsageError: another suffix, a recipe that JSON cannot hold, another number of class
            names than of outputs, or a model that Keras cannot save.
        ResourceError: the disk is full or the directory cannot be written to.
    """
    if path.suffix not in SUFFIXES:
        raise UsageError(f"{path}: a model file ends in {' or '.join(SUFFIXES)}; rename it")
    if not model.built:
        raise UsageError(
            f"model {model.name!r} is not built, so it has no weights; give it an Input"
        )
    outputs = _count_outputs(model)
    if outputs is not None and outputs != len(class_names):
        raise UsageError(f"{len(class_names)} class names for {outputs} outputs: give one for each")
    try:
        notes = json.dumps(
            {
                "class_names": list(class_names),
                "recipe": dict(recipe),
                "temperature": temperature,
                "not_sure_below": not_sure_below,
                "resize_mode": resize_mode,
                "bits": bits,
                "trained_on": trained_on,
            },
            allow_nan=False,
        )
    except (TypeError, ValueError) as error:
        message = f"the recipe cannot be written as JSON ({error}); use plain values"
        raise UsageError(message) from error
    # For one of its formats Keras would create the directory.
    if not path.parent.is_dir():
        raise ResourceError(f"{path}: {path.parent} is not a directory; create it")
    with replacing(path, _count_bytes(model)) as temporary:
        try:
            _write(model, temporary)
        # Some stock layers cannot be saved as ``.h5``, and some custom ones not at all.
        except (TypeError, ValueError, NotImplementedError) as error:
            raise UsageError(
                f"{path}: Keras cannot save this model in this format ({one_line(error)}); "
                "use .keras, and layers with a get_config"
            ) from error
        if path.suffix == ".keras":
            _finish_archive(temporary, notes)
        else:
            with h5py.File(temporary, "a") as file:
                file.attrs[NOTES_ATTRIBUTE] = _fit_for_attribute(notes)


def _write(model: KerasModel, path: Path) -> None:
    """Save with Keras, without the optimizer where ``.h5`` cannot hold its state."""
    with _without_format_advice(), _keeping_compilation(model):
        try:
            keras.saving.save_model(model, path)
        except ValueError:
            # Adafactor has variables of equal names.
            if path.suffix != ".h5":
                raise
            keras.saving.save_model(model, path, include_optimizer=False)


def _fit_for_attribute(notes: str) -> str:
    """Return the notes, without the digests of the training images where they are too long."""
    if len(notes) <= MOST_IN_ATTRIBUTE:
        return notes
    parsed = json.loads(notes)
    parsed["trained_on"] = {
        key: value for key, value in (parsed["trained_on"] or {}).items() if key != "digests"
    }
    return json.dumps(parsed)


def _finish_archive(path: Path, notes: str) -> None:
    """Add the notes, and name the optimizer so that every backend can load it."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members[CONFIG_MEMBER])
    optimizer = (config.get("compile_config") or {}).get("optimizer")
    # Keras writes its torch backend's own class, which other backends cannot train with.
    if isinstance(optimizer, dict) and BACKEND_MODULE in str(optimizer.get("module")):
        optimizer["module"] = "keras.optimizers"
        members[CONFIG_MEMBER] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (members | {NOTES_MEMBER: notes.encode()}).items():
            archive.writestr(name, content)


def load_model(path: Path, custom_objects: Mapping[str, Any] | None = None) -> LoadedModel:
    """Read a ``.keras`` or ``.h5`` file, which need not be trusted.

    Nothing from the file is run, no other file is read, and memory stays in proportion to the
    content of the file. Keras's global safe mode is not changed. The HDF5 and zip formats are
    read by their libraries, in this process.

    Args:
        path: the file.
        custom_objects: classes and functions of the user's by name, which the file may ask for
            beside stock parts; nothing else is added.

    Raises:
        UsageError: ``custom_objects`` is not such a mapping.
        InputError: no such file, truncated, or weights that do not fit the description.
        UnsafeError: it names a part that is not stock Keras, holds links or surplus
            members, or unpacks or declares more than ``safe_contents.MEMBERS`` and
            ``safe_build.MAX_PARAMETERS`` allow.
        ResourceError: the disk for temporary files is full.
    """
    where = str(path) if str(path).isprintable() else repr(str(path))
    own = scope_of(custom_objects)
    check_file(path, where)
    with tempfile.TemporaryDirectory(prefix="cifarlab-") as scratch:
        weights = Path(scratch) / ("copy.weights.h5" if path.suffix == ".keras" else "copy.h5")
        read = read_keras if path.suffix == ".keras" else read_h5
        try:
            contents = read(path, weights, where, own)
        except _DAMAGED as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise ResourceError(
                    f"{scratch}: the disk is full; set TMPDIR to a directory with more space"
                ) from None
            raise InputError(f"{where}: {TRUNCATED} ({one_line(error)})") from None
        values = sum(math.prod(array.shape) for array in contents.arrays.values())
        model = rebuild(contents.config, values, where, own)
        check = check_keras_weights if path.suffix == ".keras" else check_h5_weights
        check(model, contents.weights, contents.arrays, where)
        try:
            model.load_weights(contents.weights)
        except Exception as error:
            raise InputError(
                f"{where}: its weights cannot be loaded ({one_line(error)}); save the model again"
            ) from None
    return _with_notes(model, contents.notes, where)


def _with_notes(model: KerasModel, notes: Any, where: str) -> LoadedModel:
    if notes is None:
        return LoadedModel(model=model, class_names=None, recipe=None)
    try:
        parsed = json.loads(notes)
        names, recipe = parsed["class_names"], parsed["recipe"]
        temperature, threshold = parsed.get("temperature", 1.0), parsed.get("not_sure_below")
        resize_mode, bits = parsed.get("resize_mode", "squash"), parsed.get("bits", 16)
        trained_on = parsed.get("trained_on")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(f"{where}: its class names cannot be read ({one_line(error)})") from None
    valid = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if not valid or not isinstance(recipe, dict):
        raise InputError(f"{where}: its class names must be strings and its recipe an object")
    if not _is_number(temperature) or temperature <= 0:
        raise InputError(f"{where}: its temperature must be a number above 0; save it again")
    if threshold is not None and not _is_number(threshold):
        raise InputError(f"{where}: its not_sure_below must be a number or null; save it again")
    if resize_mode not in RESIZE_MODES or type(bits) is not int or not 8 <= bits <= 16:
        raise InputError(
            f"{where}: its resize_mode must be one of {', '.join(RESIZE_MODES)}, its bits 8 to 16; "
            "save it again"
        )
    outputs = _count_outputs(model)
    if outputs is not None and outputs != len(names):
        raise InputError(
            f"{where}: expected a class name for each of {outputs} outputs, found {len(names)}; "
            "save the model again"
        )
    return LoadedModel(
        model=model,
        class_names=tuple(names),
        recipe=recipe,
        temperature=temperature,
        not_sure_below=threshold,
        resize_mode=resize_mode,
        bits=bits,
        trained_on=trained_on if isinstance(trained_on, dict) else None,
    )


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


# Sizes


def _count_bytes(model: KerasModel) -> int:
    optimizer = getattr(model, "optimizer", None)
    variables = [*model.variables, *(optimizer.variables if optimizer else ())]
    return sum(math.prod(v.shape) * v.value.element_size() for v in variables)


def _count_outputs(model: KerasModel) -> int | None:
    # A subclassed model has none.
    shape = getattr(model, "output_shape", None) if model.built else None
    return shape[1] if isinstance(shape, tuple) and len(shape) == 2 else None


@contextmanager
def _keeping_compilation(model: KerasModel) -> Iterator[None]:
    """Undo that Keras's ``.h5`` writer removes the optimizer from the model's own settings."""
    settings = getattr(model, "_compile_config", None)
    kept = None if settings is None else dict(settings.config)
    try:
        yield
    finally:
        if settings is not None:
            settings.config = kept


@contextmanager
def _without_format_advice() -> Iterator[None]:
    """Suppress Keras's advice against ``.h5``, which the caller asked for."""

    def keep(record: logging.LogRecord) -> bool:
        return "HDF5 file" not in record.getMessage()

    logger = logging.getLogger("absl")
    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)
