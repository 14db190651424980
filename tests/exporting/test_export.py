"""Every format says what the classifier says, or nothing is kept."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from cifarlab.backend import keras
from cifarlab.classifier import Classifier
from cifarlab.data.dataset import Dataset, Split
from cifarlab.errors import CifarlabError, InputError, UsageError
from cifarlab.exporting import FORMATS, export, runners
from cifarlab.exporting.parity import comparison_images, count_for
from cifarlab.exporting.single_model import single_model
from cifarlab.models.airnet import airnet
from cifarlab.models.baseline import baseline
from cifarlab.recipes.parts import TestTimeAugmentation
from support import one_line
from tiny import SIDE, tiny_dataset

NAMES = ("Äpfel", "birds & bees", "猫")
EXACT = [name for name in FORMATS if name != "onnx-int8"]
RUN = {
    "keras": runners.plain_keras,
    "h5": runners.plain_keras,
    "torch": runners.plain_torch,
    "onnx": runners.onnxruntime,
    "onnx-int8": runners.onnxruntime,
    "web": lambda path: runners.onnxruntime(path / "model.onnx"),
}
TTA = (
    None,
    TestTimeAugmentation(mirror=True, shift=0),
    TestTimeAugmentation(mirror=True, shift=1),
    TestTimeAugmentation(mirror=False, shift=2),
)


def users_own() -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((SIDE, 10, 3)),
            layers.Rescaling(1 / 127.5, -1),
            layers.Conv2D(4, 3, padding="same", activation="relu"),
            layers.BatchNormalization(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3),
            layers.Activation("softmax"),
        ]
    )


def grey_and_wide() -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((10, 24, 1)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )


MODELS = {
    "baseline": lambda: baseline((SIDE, SIDE, 3), 3, filters=(4, 6), units=8),
    "airnet": lambda: airnet((SIDE, SIDE, 3), 3, widths=(4, 6, 8)),
    "residual": lambda: airnet((SIDE, SIDE, 3), 3, widths=(4, 6, 8), depth=3, residual=True),
    "own": users_own,
    "grey": grey_and_wide,
}


def a_classifier(model: str = "airnet", **changes: Any) -> Classifier:
    keras.utils.set_random_seed(2)
    return replace(Classifier.from_keras(MODELS[model](), NAMES, "cpu"), **changes)


def some_images(classifier: Classifier) -> np.ndarray:
    height, width, channels = classifier.input_shape
    return comparison_images((height, width), 20, channels)


# --- one Keras model of it all


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("tta", TTA)
def test_tta_and_temperature_become_layers(model, tta):
    classifier = a_classifier(model, tta=tta, temperature=0.5)
    images = some_images(classifier)
    exported = single_model(classifier).predict(images.astype("float32"), verbose=0)
    np.testing.assert_allclose(exported, classifier.predict_proba(images), atol=1e-5)


def test_a_model_that_needs_no_layers_more_is_left_alone():
    classifier = a_classifier()
    assert single_model(classifier) is classifier.model


# --- all formats


@pytest.mark.parametrize("format", EXACT)
@pytest.mark.parametrize("model", MODELS)
def test_every_format_agrees_on_a_thousand_images(tmp_path, model, format):
    classifier = a_classifier(model, tta=TTA[1], temperature=0.7, not_sure_below=0.6)
    done = export(classifier, format, tmp_path / f"model{FORMATS[format]}")
    assert done.parity.images == 1000
    assert done.parity.agreement == 1.0
    assert done.parity.largest_difference < 1e-4
    assert done.size > 0
    assert json.dumps(done.to_json())
    # Once more by hand, in calls of other sizes.
    predict, images = RUN[format](done.path), some_images(classifier)
    for count in (1, 3, 20):
        expected = classifier.predict_proba(images[:count])
        np.testing.assert_allclose(predict(images[:count]), expected, atol=1e-4)
    assert [path.name for path in tmp_path.iterdir()] == [done.path.name]


@pytest.mark.parametrize("format", ["keras", "h5"])
def test_an_exported_keras_file_comes_back_as_the_same_classifier(tmp_path, format):
    classifier = a_classifier(
        tta=TTA[2], temperature=0.7, not_sure_below=0.6, resize_mode="pad", bits=12
    )
    done = export(classifier, format, tmp_path / f"model{FORMATS[format]}")
    back, images = Classifier.load(done.path), some_images(classifier)
    assert (back.class_names, back.not_sure_below) == (NAMES, 0.6)
    assert back.image_format == classifier.image_format
    assert (back.tta, back.temperature) == (None, 1.0)
    np.testing.assert_allclose(
        back.predict_proba(images), classifier.predict_proba(images), atol=1e-5
    )


def test_what_is_known_travels_in_the_onnx_and_torch_files(tmp_path):
    classifier = a_classifier(not_sure_below=0.6)
    path = export(classifier, "onnx", tmp_path / "m.onnx").path
    facts = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert tuple(json.loads(facts["class_names"])) == NAMES
    assert json.loads(facts["not_sure_below"]) == 0.6
    assert facts["pixels"].startswith("uint8, RGB")
    path = export(classifier, "torch", tmp_path / "m.pt2").path
    extra = {"cifarlab.json": ""}
    torch.export.load(path, extra_files=extra)
    assert tuple(json.loads(extra["cifarlab.json"])["class_names"]) == NAMES


def test_eight_bits_say_what_they_lost(tmp_path):
    data = tiny_dataset()
    keras.utils.set_random_seed(2)
    classifier = Classifier.from_keras(MODELS["airnet"](), data.class_names, "cpu")
    done = export(classifier, "onnx-int8", tmp_path / "m.onnx", data=data)
    assert done.loss is not None
    assert (done.loss.split, done.loss.images) == ("test", len(data.test))
    assert (
        done.loss.before
        == (classifier.predict_split(data.test).predicted == data.test.labels).mean()
    )
    assert done.loss.points == pytest.approx(100 * (done.loss.before - done.loss.after))
    assert any(node.op_type == "QuantizeLinear" for node in onnx.load(done.path).graph.node)


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (32, 64, 3), (64, 64, 3)])
def test_eight_bits_fit_any_input(tmp_path, shape):
    data = any_dataset(shape)
    classifier = Classifier.from_keras(network_of(shape), data.class_names, "cpu")
    done = export(classifier, "onnx-int8", tmp_path / "m.onnx", data=data)
    assert done.parity.largest_difference < 0.05
    model = onnx.load(done.path)
    assert any(node.op_type == "QuantizeLinear" for node in model.graph.node)
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(facts["input_shape"]) == list(shape)


def any_dataset(shape: tuple[int, int, int]) -> Dataset:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (40, *shape), np.uint8)
    split = Split(images=images, labels=np.arange(40) % 3)
    return Dataset(
        name="noise", source="tests", class_names=NAMES, train=split, validation=split, test=split
    )


def network_of(shape: tuple[int, int, int]) -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(shape),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(6, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax"),
        ]
    )


def test_large_images_are_compared_in_smaller_numbers_and_calls(tmp_path):
    assert [count_for(*size) for size in ((8, 8), (64, 64), (64, 128), (256, 256))] == [
        *(1000, 1000, 500, 100)
    ]
    assert [runners.batch_size(*size) for size in ((8, 8), (64, 64), (64, 128), (256, 256))] == [
        *(64, 64, 32, 4)
    ]
    classifier = Classifier.from_keras(network_of((64, 128, 1)), NAMES, "cpu")
    done = export(classifier, "onnx", tmp_path / "m.onnx")
    assert (done.parity.images, done.parity.batch) == (500, 32)
    assert done.parity.exact


# --- what goes wrong


def test_data_of_another_size_or_other_classes_is_refused_before_any_work(tmp_path):
    data = any_dataset((32, 32, 3))
    classifier = Classifier.from_keras(network_of((48, 64, 1)), NAMES, "cpu")
    with pytest.raises(InputError) as error:
        export(classifier, "onnx-int8", tmp_path / "m.onnx", data=data)
    assert "its images are 32x32x3; the model takes 48x64x1" in one_line(error)
    assert "image size 48x64 and channels grey" in one_line(error)
    for names in (("a", "b"), ("a", "b", "c")):
        other = replace(any_dataset((48, 64, 1)), class_names=names)
        with pytest.raises(InputError) as error:
            export(classifier, "onnx-int8", tmp_path / "m.onnx", data=other)
        assert "its classes are a, b" in one_line(error)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", EXACT)
def test_an_export_that_says_something_else_is_not_kept(tmp_path, monkeypatch, format):
    classifier = a_classifier()
    right = runners.plain_torch if format == "torch" else RUN[format]

    def lying(path: Path) -> runners.Predict:
        predict = right(path) if format != "web" else runners_onnx(path)
        return lambda images: predict(images)[:, ::-1]

    runners_onnx = runners.onnxruntime
    name = {"torch": "plain_torch", "keras": "plain_keras", "h5": "plain_keras"}
    monkeypatch.setattr(runners, name.get(format, "onnxruntime"), lying)
    with pytest.raises(CifarlabError) as error:
        export(classifier, format, tmp_path / "model")
    assert "nothing was kept" in one_line(error)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_kept_unless_told(tmp_path):
    target = tmp_path / "m.onnx"
    target.write_text("mine")
    with pytest.raises(UsageError) as error:
        export(a_classifier(), "onnx", target)
    assert "--overwrite" in one_line(error)
    assert target.read_text() == "mine"
    export(a_classifier(), "onnx", target, overwrite=True)
    assert target.stat().st_size > 1000
    folder = tmp_path / "site"
    for _ in range(2):
        export(a_classifier(), "web", folder, overwrite=True)
    assert (folder / "index.html").exists()


@pytest.mark.parametrize(
    ("format", "said"), [("tflite", "choose from keras, h5, onnx"), ("onnx-int8", "--data")]
)
def test_what_cannot_be_done_is_one_line(tmp_path, format, said):
    with pytest.raises(UsageError) as error:
        export(a_classifier(), format, tmp_path / "model")
    assert said in one_line(error)


@pytest.mark.parametrize("format", ["onnx", "onnx-int8", "web"])
def test_a_missing_package_is_said_before_any_work(monkeypatch, tmp_path, format):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "onnx" else real(name)
    )
    with pytest.raises(UsageError) as error:
        export(None, format, tmp_path / "model", data=tiny_dataset())
    assert "the extra 'onnx'" in one_line(error)
    assert "pip install 'cifarlab[onnx]' (from a checkout: pip install '.[onnx]')" in one_line(
        error
    )


def test_a_softmax_inside_something_else_is_explained():
    inner = MODELS["baseline"]()
    model = keras.Sequential([keras.Input((SIDE, SIDE, 3)), inner])
    classifier = replace(Classifier.from_keras(model, NAMES, "cpu"), temperature=2.0)
    with pytest.raises(UsageError) as error:
        single_model(classifier)
    assert "end it in a Softmax layer" in one_line(error)


# --- the pretrained model, on the real test set


@pytest.mark.real
@pytest.mark.slow
def test_onnx_agrees_on_the_whole_test_set_and_eight_bits_lose_little(
    tmp_path, real_cifar10, monkeypatch
):
    from cifarlab.data.catalog import load_dataset

    monkeypatch.setenv("CIFARLAB_DATA", str(real_cifar10))
    data, classifier = load_dataset("cifar10"), Classifier.pretrained("cpu")
    images = np.array(data.test.images)
    expected = classifier.predict_proba(images)
    predict = runners.onnxruntime(export(classifier, "onnx", tmp_path / "m.onnx").path)
    exported = np.concatenate([predict(images[i : i + 500]) for i in range(0, len(images), 500)])
    assert np.abs(exported - expected).max() < 1e-4
    assert (exported.argmax(1) == expected.argmax(1)).all()
    loss = export(classifier, "onnx-int8", tmp_path / "m8.onnx", data=data).loss
    assert loss is not None
    assert loss.images == 10_000
    assert loss.points < 0.5
