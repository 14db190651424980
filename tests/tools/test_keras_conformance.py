"""The tool counts what passes with Keras's methods and with ours, and names what is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import keras_conformance

SUITE = """\
import keras
import numpy as np

def fitted():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 2)), np.ones(4), verbose=0)
    return model

def test_either_way():
    assert fitted().optimizer.iterations == 1

def test_neither_way():
    raise AssertionError

def test_only_of_keras():
    fitted()
    assert "cifarlab" not in keras.Model.fit.__code__.co_filename
"""


@pytest.mark.slow
def test_both_ways_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "suite_test.py").write_text(SUITE, encoding="utf-8")
    (tmp_path / "broken_test.py").write_text("import nosuch", encoding="utf-8")
    (tmp_path / "conftest.py").write_text("", encoding="utf-8")
    monkeypatch.setattr(keras_conformance, "TESTS", ("suite_test.py", "broken_test.py"))
    assert keras_conformance.main([str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "keras: 2 of 4 tests pass"
    assert lines[1] == "ours: 1 of 4 tests pass"
    assert lines[2].startswith("calls: 2 of 2 ran natively")
    assert lines[3:] == ["only with Keras's own: suite_test.py::test_only_of_keras"]
