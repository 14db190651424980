"""The table says "yes" where a step works and why where it does not, and keeps what it has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.image_models import FAMILIES, LAYERS, family, network_with
from tools import model_table
from tools.model_table import STEPS, YES, few_images, outcome, page, plain_keras_on_jax, rows_of


def test_rows_are_read_as_they_were_written():
    rows: dict[str, dict[str, str]] = {
        "VGG16": dict.fromkeys(STEPS, YES),
        "x * 0.5 + 3": {STEPS[0]: "no"},
    }
    assert rows_of(page(rows)) == rows


def test_a_model_that_cannot_be_built_has_the_reason_in_its_row(monkeypatch):
    def refuse(_: str) -> Any:
        raise ValueError("\x1b[1mno |\nsuch model in /home/me/models\x1b[0m")

    monkeypatch.setattr(model_table, "network_with", refuse)
    assert outcome("Conv2D", lambda _: "") == {"train": "no / such model in models"}


def test_what_fails_in_one_step_does_not_stop_the_next():
    cells = outcome("GlobalAveragePooling2D", lambda _: "it cannot be loaded")
    assert cells == {**dict.fromkeys(STEPS, YES), "Keras on JAX": "it cannot be loaded"}


def test_a_model_without_a_convolution_is_explained_by_gradients(monkeypatch):
    from cifarlab.backend import keras

    def dense(_: str) -> Any:
        layers = keras.layers
        return keras.Sequential(
            [keras.Input((12, 12, 3)), layers.Flatten(), layers.Dense(10, activation="softmax")]
        )

    monkeypatch.setattr(model_table, "network_with", dense)
    cells = outcome("Dense", lambda _: "not tried")
    assert cells["explain"].startswith("gradients only: model ")
    assert "has no convolution" in cells["explain"]
    assert cells["report"] == cells["ONNX"] == YES


def test_rows_of_other_models_stay(tmp_path, monkeypatch, capsys):
    failed = [("Conv2D", {"train": "no"})]
    monkeypatch.setattr(model_table, "_outcomes", lambda *_, **__: failed)
    out = tmp_path / "table.md"
    out.write_text(page({"VGG16": {"train": YES}, "Conv2D": {"train": YES}}), "utf-8")
    model_table.main(["Conv2D", "--out", str(out)])
    assert rows_of(out.read_text("utf-8")) == {"VGG16": {"train": YES}, "Conv2D": {"train": "no"}}
    assert "| `Conv2D` | no |" in capsys.readouterr().out


def test_an_unknown_model_is_refused_with_the_known_ones(capsys):
    with pytest.raises(SystemExit):
        model_table.main(["VGG17"])
    assert "no model is called 'VGG17'; choose from" in capsys.readouterr().err


def test_the_page_in_the_docs_is_what_the_tool_writes():
    text = Path(__file__).parents[2].joinpath("docs", "models_table.md").read_text("utf-8")
    assert set(rows_of(text)) <= {*FAMILIES, *LAYERS}
    assert page(rows_of(text)) == text


def test_the_images_are_of_the_size_that_is_asked_for():
    data = few_images(20)
    assert data.train.images.shape == (40, 20, 20, 3)
    assert json.dumps(data.class_names) == json.dumps([str(i) for i in range(10)])


@pytest.mark.parametrize("name", LAYERS)
def test_each_layer_is_in_a_small_classifier(name):
    assert network_with(name).output_shape == (None, 10)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MobileNetV2", "Xception", "LSTM", "MultiHeadAttention"])
def test_a_model_goes_through_every_step(name):
    assert (family(name) if name in FAMILIES else network_with(name)).output_shape == (None, 10)
    with plain_keras_on_jax() as jax:
        assert outcome(name, jax) == dict.fromkeys(STEPS, YES)
