"""What version 0.1 wrote is loaded, reported and resumed as version 0.1 did it.

Small differences are allowed, because other processors round float32 in other places.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cifarlab
from cifarlab.predictions import read_predictions
from cifarlab.recipes.recipe import from_json, to_json
from cifarlab.runs.directory import read_history
from tiny import saved_weights

GOLDEN = Path(__file__).with_name("golden") / "v0_1"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text(encoding="utf-8"))
FILES = ("run/best.keras", "run/best.h5", "extras.keras", "extras.h5")
CLOSE = 1e-5
# What has another name since: keys, and kinds of recipe parts.
RENAMED = {
    "pictures": "images",
    "pictures_per_second": "images_per_second",
    "test_time": "tta",
    "Views": "TestTimeAugmentation",
}


def today(value: Any) -> Any:
    """Return JSON values of version 0.1 with today's names."""
    if isinstance(value, dict):
        return {RENAMED.get(key, key): today(item) for key, item in value.items()}
    if isinstance(value, list):
        return [today(item) for item in value]
    return RENAMED.get(value, value) if isinstance(value, str) else value


def images(side: int) -> np.ndarray[Any, Any]:
    """The four images that ``expected.json`` has the probabilities of."""
    row, column, channel = np.ogrid[:side, :side, :3]
    images = [(row * 7 * (i + 1) + column * 5 + channel * 61 + i * 37) % 256 for i in range(4)]
    return np.stack(images).astype(np.uint8)


def copied(name: str, tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN / name, tmp_path / name))


def assert_same(found: Any, expected: Any, where: str = "") -> None:
    """Compare JSON values; whatever was there must still be there, numbers but for rounding."""
    if isinstance(expected, dict):
        assert set(expected) <= set(found), where
        for name, value in expected.items():
            assert_same(found[name], value, f"{where}.{name}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for place, (one, other) in enumerate(zip(found, expected, strict=True)):
            assert_same(one, other, f"{where}[{place}]")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=CLOSE, abs=CLOSE, nan_ok=True), where
    else:
        assert found == expected, where


def assert_close_rows(found: Any, expected: Any) -> None:
    """Compare losses closely; of the images, one may be on the other side of the edge."""
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        for name in {"loss", "val_loss", "learning_rate"} & set(other):
            assert one[name] == pytest.approx(other[name], rel=CLOSE, abs=CLOSE), name
        for name in {"accuracy", "val_accuracy"} & set(other):
            assert one[name] == pytest.approx(other[name], abs=1 / 500), name


@pytest.mark.parametrize("name", FILES)
def test_a_model_file_gives_the_same_classifier(name: str) -> None:
    expected = EXPECTED["files"][name]
    classifier = cifarlab.Classifier.load(GOLDEN / name, "cpu")
    found = classifier.predict_proba(images(classifier.input_shape[0]))
    np.testing.assert_allclose(found, expected["probabilities"], atol=CLOSE)
    assert list(classifier.class_names) == expected["class_names"]
    assert classifier.temperature == expected["temperature"]
    assert classifier.not_sure_below == expected["not_sure_below"]
    assert_same(to_json(classifier.tta), today(expected["views"]))
    assert classifier.recipe == expected["recipe"]


def test_the_recorded_recipe_is_read_with_every_field() -> None:
    recorded = EXPECTED["files"]["extras.keras"]["recipe"]
    assert_same(to_json(from_json(recorded)), today(recorded))


def test_a_run_is_read() -> None:
    history = read_history(GOLDEN / "run" / "history.csv")
    assert_same(history, EXPECTED["run"]["history"])
    predictions = read_predictions(GOLDEN / "run" / "predictions.npz")
    assert {
        split: found.predicted[:50].tolist() for split, found in predictions.items()
    } == EXPECTED["run"]["predicted"]
    from_run = cifarlab.Classifier.load(GOLDEN / "run", "cpu")
    assert_same(
        from_run.predict_proba(images(32)).tolist(),
        EXPECTED["files"]["run/best.keras"]["probabilities"],
    )


def test_a_run_is_reported(tmp_path: Path) -> None:
    run = copied("run", tmp_path)
    page = cifarlab.report(run, robustness=20)
    assert page.stat().st_size > 0
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    assert_same(metrics, today(EXPECTED["run"]["metrics"]))
    found, expected = dict(metrics["analysis"]), dict(EXPECTED["run"]["analysis"])
    # Of twenty damaged images, one that falls the other way is a big step.
    assert found.pop("robustness").keys() == expected.pop("robustness").keys()
    assert_same(found, expected)


def test_an_interrupted_run_is_resumed(tmp_path: Path) -> None:
    directory = copied("interrupted", tmp_path)
    run = cifarlab.resume(directory)
    expected = EXPECTED["resumed"]
    assert_close_rows(run.history, expected["history"])
    metrics = json.loads((directory / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["dataset"] == today(expected["metrics"]["dataset"])
    for split in ("test", "validation"):
        assert_close_rows([metrics[split]], [expected["metrics"][split]])
    sums = {
        name: float(np.abs(np.frombuffer(raw, np.float32).astype(float)).sum())
        for name, raw in saved_weights(directory / "best.keras").items()
    }
    assert_same(sums, expected["weights"]["absolute_sums"])
