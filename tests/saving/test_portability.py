"""The model files of a run work in plain Keras, on any backend, without cifarlab."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from cifarlab.classifier import Classifier
from cifarlab.training.train import train
from tiny import CLASSES, tiny_dataset, tiny_recipe

FILES = ("best.keras", "best.h5")
BACKENDS = ("torch", "jax", "tensorflow")

PLAIN_KERAS = """
import json, sys
import keras
import numpy as np

directory = sys.argv[1]
images = np.load(f"{directory}/images.npy").astype("float32")
labels = keras.utils.to_categorical(np.load(f"{directory}/labels.npy"), 3)
result = {"backend": keras.backend.backend()}
for name in ("best.keras", "best.h5"):
    model = keras.saving.load_model(f"{directory}/{name}")
    result[name] = {
        "probabilities": model.predict(images, verbose=0).tolist(),
        "evaluated": model.evaluate(images, labels, verbose=0, return_dict=True),
        "optimizer": type(model.optimizer).__name__,
        "loss": getattr(model.loss, "__name__", model.loss),
    }
model = keras.saving.load_model(f"{directory}/best.keras")
before = [weight.copy() for weight in model.get_weights()]
try:
    history = model.fit(images, labels, batch_size=len(images), epochs=1, verbose=0)
    result["trained on"] = {
        "loss": history.history["loss"],
        "changed": any((a != b).any() for a, b in zip(before, model.get_weights())),
    }
except TypeError as error:
    result["trained on"] = {"error": str(error)}
result["cifarlab"] = "cifarlab" in sys.modules
print(json.dumps(result))
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("portable") / "run"
    data = tiny_dataset()
    train(tiny_recipe(), data, directory=directory)
    np.save(directory / "images.npy", data.test.images)
    np.save(directory / "labels.npy", data.test.labels)
    return directory


@pytest.fixture(scope="module", params=BACKENDS)
def plain(request, run) -> dict:
    """The results of plain Keras with the files, on each installed backend."""
    backend = request.param
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    done = subprocess.run(
        [sys.executable, "-c", PLAIN_KERAS, str(run)],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert (result["backend"], result["cifarlab"]) == (backend, False)
    return result


@pytest.fixture(scope="module")
def classifier(run) -> Classifier:
    return Classifier.load(run)


@pytest.mark.parametrize("file", FILES)
def test_the_probabilities_are_the_classifiers(plain, classifier, file):
    # The temperature beside the model is the classifier's; an exported file has it inside.
    trained = replace(classifier, temperature=1.0)
    expected = trained.predict_proba(tiny_dataset().test.images)
    np.testing.assert_allclose(plain[file]["probabilities"], expected, atol=1e-4)
    # Not merely all the same for every image.
    assert np.ptp(expected, axis=0).max() > 0.01


@pytest.mark.parametrize("file", FILES)
def test_the_files_are_compiled_and_can_be_evaluated(plain, run, file):
    assert plain[file]["optimizer"] == "Adam"
    assert plain[file]["loss"] == "categorical_crossentropy"
    written = json.loads((run / "metrics.json").read_text())["test"]
    assert plain[file]["evaluated"]["accuracy"] == pytest.approx(written["accuracy"], abs=1e-6)
    assert plain[file]["evaluated"]["loss"] == pytest.approx(written["loss"], abs=1e-4)


def test_the_keras_file_can_be_trained_on(plain):
    assert "error" not in plain["trained on"]
    assert plain["trained on"]["changed"]
    assert np.isfinite(plain["trained on"]["loss"]).all()


def test_the_class_names_are_read_without_keras(run):
    with zipfile.ZipFile(run / "best.keras") as archive:
        notes = json.loads(archive.read("cifarlab.json"))
    assert notes["class_names"] == list(CLASSES)
    with h5py.File(run / "best.h5") as file:
        assert json.loads(file.attrs["cifarlab"]) == notes
    assert notes["recipe"] == json.loads((run / "recipe.json").read_text())


@pytest.mark.parametrize("file", FILES)
def test_both_files_make_the_same_classifier(run, classifier, file):
    loaded = Classifier.load(run / file)
    images = tiny_dataset().test.images
    assert loaded.class_names == CLASSES
    np.testing.assert_array_equal(loaded.predict_proba(images), classifier.predict_proba(images))
