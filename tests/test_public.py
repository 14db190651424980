"""The public surface: what it holds, and what importing it does and does not do."""

from __future__ import annotations

import importlib.util
import inspect
import json

import pytest

import cifarlab
from cifarlab.recipes.recipe import Recipe
from support import python

DOCUMENTED = {
    "RECIPES",
    "CifarlabError",
    "Classifier",
    "Dataset",
    "LoadOptions",
    "MultiLabelDataset",
    "Predictions",
    "Recipe",
    "Run",
    "Split",
    "TrainOptions",
    "check_fit",
    "compare",
    "demo",
    "evaluate",
    "export",
    "fast_fit",
    "find_learning_rate",
    "fit",
    "load_dataset",
    "load_multi_label",
    "measure_multi_label",
    "predict",
    "predict_files",
    "report",
    "resume",
    "show_dataset",
    "train",
}
HEAVY = ("keras", "torch", "numpy", "PIL", "sklearn", "matplotlib", "pyarrow", "typer", "rich")


def outcome(code: str) -> dict:
    """Run ``code`` in a Python without KERAS_BACKEND and return the JSON that it prints."""
    child = python(f"import json, os, sys\nos.environ.pop('KERAS_BACKEND', None)\n{code}")
    out, err = child.communicate()
    assert child.returncode == 0, err
    return json.loads(out)


def test_all_is_the_documented_surface():
    assert set(cifarlab.__all__) == DOCUMENTED
    assert cifarlab.__all__ == sorted(cifarlab.__all__, key=lambda name: (not name.isupper(), name))
    assert set(dir(cifarlab)) >= DOCUMENTED


@pytest.mark.parametrize("name", sorted(DOCUMENTED))
def test_every_public_name_is_there_and_explained(name):
    found = getattr(cifarlab, name)
    if name == "RECIPES":
        assert all(isinstance(recipe, Recipe) and recipe.summary for recipe in found.values())
        assert all(key == recipe.name for key, recipe in found.items())
        return
    explained = inspect.getdoc(found)
    assert explained
    # A dataclass without a docstring shows its signature.
    assert not explained.startswith(f"{name}(")


@pytest.mark.parametrize("kind", ["Classifier", "Predictions", "Dataset", "Split", "Run"])
def test_every_public_method_is_explained(kind):
    members = vars(getattr(cifarlab, kind)).items()
    public = {k: v for k, v in members if not k.startswith("_") and hasattr(v, "__doc__")}
    methods = {
        name: getattr(value, "__func__", value)
        for name, value in public.items()
        if callable(getattr(value, "__func__", value)) or isinstance(value, property)
    }
    assert [name for name, value in methods.items() if not value.__doc__] == []


@pytest.mark.parametrize("name", sorted(DOCUMENTED - {"RECIPES"}))
def test_every_public_name_has_an_example(name):
    text = inspect.getdoc(getattr(cifarlab, name))
    assert "Example:" in text
    assert ">>> " in text


@pytest.mark.parametrize("name", sorted(n for n in DOCUMENTED if n.islower()))
def test_every_public_function_tells_what_it_raises(name):
    assert "Raises:" in inspect.getdoc(getattr(cifarlab, name))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        cifarlab.nothing_of_the_kind  # noqa: B018


def test_importing_is_light_and_chooses_torch():
    found = outcome(
        f"import cifarlab\n"
        f"print(json.dumps([[n for n in {HEAVY!r} if n in sys.modules], "
        f"os.environ['KERAS_BACKEND']]))"
    )
    assert found == [[], "torch"]


def test_a_choice_that_was_made_stays():
    found = outcome(
        "os.environ['KERAS_BACKEND'] = 'jax'\n"
        "import cifarlab\n"
        "print(json.dumps(os.environ['KERAS_BACKEND']))"
    )
    assert found == "jax"


def test_after_keras_the_environment_is_left_alone():
    found = outcome(
        "sys.modules['keras'] = type(sys)('keras')\n"
        "import cifarlab\n"
        "print(json.dumps(os.environ.get('KERAS_BACKEND')))"
    )
    assert found is None


REFUSED = """
import cifarlab
from cifarlab.errors import UsageError
try:
    cifarlab.Classifier
except UsageError as error:
    print(json.dumps(str(error)))
"""


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not installed")
def test_keras_on_another_backend_first_is_one_clear_error():
    message = outcome(f"os.environ['KERAS_BACKEND'] = 'jax'\nimport keras\n{REFUSED}")
    assert "'jax'" in message
    assert "KERAS_BACKEND=torch" in message
    assert "import cifarlab before keras" in message
    assert "\n" not in message


def test_a_backend_that_is_not_installed_is_the_same_error():
    message = outcome(f"os.environ['KERAS_BACKEND'] = 'tensorflow'\n{REFUSED}")
    assert "'tensorflow'" in message
    assert "KERAS_BACKEND=torch" in message


@pytest.mark.parametrize(("old", "new"), [("load", "load_dataset"), ("Options", "TrainOptions")])
def test_the_names_of_version_0_1_still_work(old: str, new: str) -> None:
    assert getattr(cifarlab, old) is getattr(cifarlab, new)
    assert old not in cifarlab.__all__
