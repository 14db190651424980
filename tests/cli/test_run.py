"""``cifarlab run``: a script ends as it ends under Python, and is told what ran natively."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HEAD = """\
import sys
import numpy as np
import keras
from keras import layers

x, y = np.ones((8, 4), "float32"), np.zeros(8)
model = keras.Sequential([keras.Input((4,)), layers.Dense(2, activation="softmax")])
model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
"""


def written(text: str, name: str = "script.py") -> Path:
    path = Path(name)
    path.write_text(text, encoding="utf-8")
    return path


def test_fit_runs_natively_and_the_last_line_says_so(cifarlab: Any) -> None:
    script = written(
        HEAD + "history = model.fit(x, y, epochs=2, verbose=2)\n"
        "model.evaluate(x, y, verbose=0)\nprint(sorted(history.history), __name__)\n"
    )
    result = cifarlab("run", "--precision", "float32", script)
    assert result.code == 0
    assert "Epoch 2/2" in result.out
    assert result.out.endswith("['accuracy', 'loss'] __main__\n")
    (line,) = result.err.splitlines()
    assert line.startswith("cifarlab: natively: fit once in ")
    assert "evaluate once in " in line


def test_what_falls_back_is_named(cifarlab: Any) -> None:
    script = written(HEAD + "model.run_eagerly = True\nmodel.fit(x, y, verbose=0)\n")
    result = cifarlab("run", script)
    assert result.code == 0
    first, last = result.err.splitlines()
    assert "compile(run_eagerly=True)" in first
    assert last.startswith("cifarlab: at Keras's own speed: fit once in ")
    assert last.endswith("(compile(run_eagerly=True))")
    result = cifarlab("run", "--strict", script)
    assert result.code == 2
    assert "compile(run_eagerly=True)" in result.err.splitlines()[-1]


def test_the_script_gets_its_arguments_directory_and_name(cifarlab: Any) -> None:
    Path("sub").mkdir()
    Path("sub/helper.py").write_text("NAME = 'helper'", encoding="utf-8")
    script = written("import sys, helper\nprint(sys.argv, helper.NAME, __file__)", "sub/s.py")
    before = list(sys.path), list(sys.argv)
    result = cifarlab("run", script, "--epochs", "3", "-v", "--precision")
    assert result.code == 0
    own = f"['{script}', '--epochs', '3', '-v', '--precision']"
    assert result.out == f"{own} helper {script.absolute()}\n"
    assert (sys.path, sys.argv) == before
    assert "were not called" in result.err


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        ("sys.exit()", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("sys.exit('bye')", 1, "bye"),
        ("raise ValueError('bad')", 1, "ValueError: bad"),
        ("1 +", 1, "SyntaxError"),
    ],
)
def test_it_ends_as_under_python(cifarlab: Any, end: str, code: int, said: str) -> None:
    script = written(f"import sys\ndef f():\n    {end}\nf()\n")
    result = cifarlab("run", script)
    plain = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert result.code == plain.returncode == code
    *lines, last = result.err.splitlines()
    assert "\n".join(lines) == plain.stderr.rstrip()
    assert said in result.err
    assert last.startswith("cifarlab: ")


def test_an_interruption_still_tells_what_ran(cifarlab: Any) -> None:
    result = cifarlab("run", written("raise KeyboardInterrupt"))
    assert result.code == 130
    assert "Traceback" not in result.err
    assert "were not called" in result.err


def test_an_error_inside_fit_shows_no_frame_of_ours(cifarlab: Any) -> None:
    script = written(
        HEAD + "class Bad(keras.callbacks.Callback):\n"
        "    def on_train_batch_end(self, *_, **__):\n        raise ValueError('bad')\n"
        "try:\n    model.fit(x, y, verbose=0, callbacks=[Bad()])\n"
        "except ValueError as e:\n    raise RuntimeError('worse') from e\n"
    )
    result = cifarlab("run", script)
    assert result.code == 1
    assert "model.fit(x, y" in result.err
    assert "worse" in result.err
    assert "fitting" not in result.err


def test_another_backend_is_overruled_and_that_is_said(
    cifarlab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    result = cifarlab("run", written("import keras\nprint(keras.backend.backend())"))
    assert result.out == "torch\n"
    assert "KERAS_BACKEND is jax; the script runs on torch" in result.err
    script = written("import os\nos.environ['KERAS_BACKEND'] = 'tensorflow'")
    assert "it ran on PyTorch" in cifarlab("run", script).err
    os.environ["KERAS_BACKEND"] = "torch"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["nosuch.py"], "nosuch.py: no such file"), (["--precision", "half", "s.py"], "'half'")],
)
def test_wrong_usage_is_one_line(cifarlab: Any, arguments: list[str], message: str) -> None:
    written("", "s.py")
    result = cifarlab("run", *arguments)
    assert result.code in (2, 3)
    assert message in result.failure()
