"""``train``: what it promises about data, directories, callbacks and errors."""

from __future__ import annotations

import json
import multiprocessing
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cifarlab.backend import keras
from cifarlab.classifier import Classifier, evaluate
from cifarlab.data.dataset import Dataset, Split
from cifarlab.errors import DivergedError, InputError, ResourceError, UnsafeError, UsageError
from cifarlab.evaluation.calibration import fit_temperature, with_temperature
from cifarlab.evaluation.selective import choose_threshold
from cifarlab.predictions import read_predictions
from cifarlab.recipes import RECIPES
from cifarlab.recipes.finetune import FINETUNED
from cifarlab.recipes.parts import Adam, ModelSpec
from cifarlab.recipes.recipe import to_json
from cifarlab.runs.directory import RunDirectory, lock
from cifarlab.runtime.progress import Silent
from cifarlab.training.setup import override
from cifarlab.training.train import TrainOptions, resume, train
from support import contents, one_line
from tiny import CLASSES, SIDE, dropout_model, saved_weights, tiny_dataset, tiny_recipe, tiny_split


class Untouchable:
    """A split that raises whatever is done with it."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"the test split was touched: {name}")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    directory = tmp_path_factory.mktemp("finished") / "run"
    return train(tiny_recipe(), tiny_dataset(), directory=directory)


# What a run leaves behind


def test_a_run_learns_and_leaves_everything(finished):
    losses = [row["loss"] for row in finished.history]
    assert losses == sorted(losses, reverse=True)
    names = {path.name for path in finished.directory.iterdir()}
    assert names >= {
        "recipe.json",
        "environment.json",
        "history.csv",
        "metrics.json",
        "best.keras",
        "best.h5",
        "checkpoint",
        "curves.png",
        "confusion_matrix.png",
        "samples.png",
    }


def test_metrics_json_has_the_promised_shape(finished):
    metrics = json.loads((finished.directory / "metrics.json").read_text())
    assert set(metrics) == {"test", "validation", "timing", "dataset"}
    for part in ("test", "validation"):
        assert set(metrics[part]) >= {
            "accuracy",
            "accuracy_interval",
            "top2",
            "loss",
            "per_class",
            "confusion",
        }
        assert set(metrics[part]["per_class"]) == set(CLASSES)
        for values in metrics[part]["per_class"].values():
            assert set(values) == {"precision", "recall", "f1", "support"}
    assert metrics["dataset"]["name"] == "tiny"
    assert metrics["timing"]["epochs"] == len(finished.history)


def test_confidence_is_mended_in_the_files_by_what_validation_says(finished):
    loaded = Classifier.load(finished.directory)
    validation = read_predictions(RunDirectory(path=finished.directory).predictions)["validation"]
    assert loaded.temperature == fit_temperature(validation)
    mended = with_temperature(validation, loaded.temperature)
    assert loaded.not_sure_below == choose_threshold(mended)


def test_the_kept_weights_are_those_of_the_lowest_validation_loss(tmp_path):
    data = tiny_dataset()
    run = train(tiny_recipe(epochs=6, stop=None), data, directory=tmp_path / "run")
    best = min(row["val_loss"] for row in run.history)
    classifier = Classifier.load(run.directory, device="cpu")
    found = evaluate(replace(classifier, temperature=1.0), data.validation)
    assert found.loss == pytest.approx(best, rel=1e-4)
    assert run.metrics.validation.to_json() == found.to_json()


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path, finished):
    again = train(tiny_recipe(), tiny_dataset(), directory=tmp_path / "again")
    other = train(
        tiny_recipe(), tiny_dataset(), directory=tmp_path / "other", options=TrainOptions(seed=1)
    )
    first = saved_weights(finished.directory / "best.keras")
    assert saved_weights(again.directory / "best.keras") == first
    assert saved_weights(other.directory / "best.keras") != first
    assert again.metrics.test.to_json() == finished.metrics.test.to_json()


# The test split


def test_training_never_touches_the_test_split(tmp_path):
    data = replace(tiny_dataset(), test=Untouchable())
    with pytest.raises(AssertionError, match="test split was touched"):
        train(tiny_recipe(), data, directory=tmp_path / "run")
    # It got as far as the final evaluation: all epochs, both models, every choice made.
    run = RunDirectory(path=tmp_path / "run")
    whole = train(tiny_recipe(), tiny_dataset(), directory=tmp_path / "whole")
    assert run.best_h5.exists()
    assert not run.metrics.exists()
    assert saved_weights(run.best_keras) == saved_weights(whole.directory / "best.keras")


def test_permuted_test_labels_change_no_choice(tmp_path, finished):
    data = tiny_dataset()
    permuted = Split(images=data.test.images, labels=data.test.labels[::-1].copy())
    run = train(tiny_recipe(), replace(data, test=permuted), directory=tmp_path / "run")
    kept = saved_weights(run.directory / "best.keras")
    assert kept == saved_weights(finished.directory / "best.keras")
    assert run.metrics.validation.to_json() == finished.metrics.validation.to_json()


def test_random_labels_cannot_be_learnt(tmp_path):
    generator = np.random.default_rng(0)
    splits = [
        Split(images=tiny_split(count, seed).images, labels=generator.integers(0, 3, count))
        for seed, count in enumerate((300, 60, 600))
    ]
    a, b, c = splits
    data = Dataset(
        name="random",
        source="drawn by the tests",
        class_names=CLASSES,
        train=a,
        validation=b,
        test=c,
    )
    run = train(tiny_recipe(), data, directory=tmp_path / "run")
    low, high = run.metrics.test.accuracy_interval
    assert low < 1 / 3 + 0.02
    assert high > 1 / 3 - 0.02


# Recipes and models


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_every_shipped_recipe_trains_when_shrunk(name, tmp_path):
    recipe = replace(RECIPES[name], epochs=1, batch_size=64, few_images=None)
    if recipe.model.name == FINETUNED:
        recipe = override(recipe, start="cifar10")
    generator = np.random.default_rng(0)
    splits = [
        Split(
            images=generator.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8),
            labels=np.arange(count, dtype=np.int64) % 10,
        )
        for count in (128, 20, 20)
    ]
    a, b, c = splits
    data = Dataset(
        name="noise",
        source="drawn by the tests",
        class_names=tuple("abcdefghij"),
        train=a,
        validation=b,
        test=c,
    )
    run = train(recipe, data, directory=tmp_path / "run")
    assert np.isfinite(run.history[0]["loss"])
    assert json.loads((run.directory / "recipe.json").read_text()) == to_json(recipe)


def test_a_model_of_the_users_is_trained_in_place(tmp_path):
    model = dropout_model()
    before = [w.copy() for w in model.get_weights()]
    run = train(model, tiny_dataset(), epochs=2, directory=tmp_path / "run")
    assert run.recipe.name == "with_dropout"
    assert run.recipe.optimizers == (Adam(),)
    changed = [not (a == b).all() for a, b in zip(before, model.get_weights(), strict=True)]
    assert any(changed)
    saved = Classifier.load(run.directory, device="cpu").model.get_weights()
    assert all((a == b).all() for a, b in zip(saved, model.get_weights(), strict=True))


class Doubling(keras.layers.Layer):
    """A layer of the user's."""

    def call(self, inputs: Any) -> Any:
        return inputs * 2


def test_a_model_with_layers_of_the_users_is_trained_and_resumed(tmp_path):
    def new() -> Any:
        keras.utils.set_random_seed(3)
        inner = keras.Sequential([keras.Input((SIDE, SIDE, 3)), Doubling()])
        return ending_in(inner, keras.layers.Flatten(), keras.layers.Dense(3, activation="softmax"))

    whole = train(new(), tiny_dataset(), epochs=3, directory=tmp_path / "whole")
    run = tmp_path / "run"
    with pytest.raises(AssertionError):
        train(new(), replace(tiny_dataset(), test=Untouchable()), epochs=3, directory=run)
    resumed = resume(run, tiny_dataset(), model=new())
    assert resumed.metrics.test.to_json() == whole.metrics.test.to_json()
    # Without the class at hand, a file with a foreign layer is refused.
    with pytest.raises(UnsafeError, match="Doubling"):
        Classifier.load(run)


def test_a_compiled_models_own_optimizer_is_used(tmp_path):
    model = dropout_model()
    model.compile(keras.optimizers.SGD(0.01, momentum=0.5), loss="categorical_crossentropy")
    run = train(model, tiny_dataset(), epochs=1, directory=tmp_path / "run")
    assert run.recipe.optimizers == ()
    recorded = run.recipe.as_compiled.config["optimizer"]
    assert recorded["class_name"] == "SGD"
    assert recorded["config"]["momentum"] == 0.5
    assert int(model.optimizer.iterations) > 0


def ending_in(*layers: Any) -> Any:
    return keras.Sequential([keras.Input((SIDE, SIDE, 3)), *layers])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            lambda: ending_in(keras.layers.Flatten(), keras.layers.Dense(3, activation="sigmoid")),
            "would be trained with the cross-entropy of a softmax",
        ),
        (
            lambda: ending_in(keras.layers.Flatten(), keras.layers.Dense(4, activation="softmax")),
            "has 3 classes",
        ),
        (lambda: keras.Sequential([keras.layers.Dense(3)]), "gives [12, 12, 3] values"),
        (
            lambda: keras.Sequential(
                [
                    keras.Input((8, 8, 3)),
                    keras.layers.Flatten(),
                    keras.layers.Dense(3, activation="softmax"),
                ]
            ),
            "takes images [8, 8, 3]",
        ),
    ],
)
def test_a_model_that_does_not_fit_is_bad_input(model, message, tmp_path):
    with pytest.raises(InputError) as error:
        train(model(), tiny_dataset(), directory=tmp_path / "run")
    assert message in one_line(error)


@pytest.mark.parametrize("what", ["nosuch", 7])
def test_what_is_no_recipe_is_a_usage_error(what, tmp_path):
    with pytest.raises(UsageError) as error:
        train(what, tiny_dataset(), directory=tmp_path / "run")
    one_line(error)


# Directories


def test_runs_are_numbered_in_the_current_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = tiny_recipe(epochs=1)
    directories = [train(recipe, tiny_dataset()).directory for _ in range(2)]
    assert directories == [tmp_path / "runs" / f"baseline-{n}" for n in (1, 2)]


def test_a_directory_in_use_is_refused_with_the_holders_number(tmp_path):
    run = RunDirectory(path=tmp_path)
    with lock(run), pytest.raises(UsageError, match=str(os.getpid())):
        train(tiny_recipe(), tiny_dataset(), directory=tmp_path)
    assert not run.recipe.exists()


def test_a_full_directory_stays_as_it_is_without_overwrite(finished):
    before = contents(finished.directory)
    with pytest.raises(UsageError, match="--overwrite"):
        train(tiny_recipe(), tiny_dataset(), directory=finished.directory)
    assert contents(finished.directory) == before


def test_an_output_that_cannot_be_written_is_noticed_before_the_first_step(tmp_path):
    (tmp_path / "file").write_text("")
    steps: list[int] = []

    class Counting(Silent):
        def advanced(self, count: int = 1) -> None:
            steps.append(count)

    with pytest.raises(ResourceError) as error:
        train(tiny_recipe(), tiny_dataset(), directory=tmp_path / "file/run", progress=Counting())
    one_line(error)
    assert steps == []


# Resuming


def test_resuming_another_recipe_or_other_data_is_refused(tmp_path):
    directory = tmp_path / "run"
    with pytest.raises(AssertionError):
        train(tiny_recipe(), replace(tiny_dataset(), test=Untouchable()), directory=directory)
    before = contents(directory)
    with pytest.raises(UsageError) as error:
        resume(directory, tiny_dataset(), recipe=tiny_recipe(epochs=9, batch_size=7))
    assert "epochs: 3 -> 9; batch_size: 32 -> 7" in one_line(error)
    with pytest.raises(InputError, match="not the data"):
        resume(directory, replace(tiny_dataset(), train=tiny_split(150, 9)))
    with pytest.raises(UsageError, match="not there"):
        resume(directory)
    assert contents(directory) == before
    assert resume(directory, tiny_dataset()).metrics.test.n == 30


def test_only_a_run_can_be_resumed(tmp_path):
    with pytest.raises(InputError, match=r"no recipe\.json"):
        resume(tmp_path, tiny_dataset())


# Divergence and memory


def test_divergence_names_step_and_rate_and_keeps_the_checkpoint(tmp_path):
    class Exploding(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, _: Any = None) -> None:
            if epoch == 1:
                self.model.optimizer.learning_rate = 1e30

    directory = tmp_path / "run"
    with pytest.raises(DivergedError) as error:
        train(tiny_recipe(), tiny_dataset(), directory=directory, callbacks=[Exploding()])
    assert "epoch 2, step" in one_line(error)
    assert "learning rate 1e+30" in one_line(error)
    assert [p.name for p in (directory / "checkpoint").iterdir()] == ["00001-0000000.safetensors"]
    assert (directory / "best.keras").exists()


def starved(directory: str) -> None:
    import resource

    big = np.zeros((2000, SIDE, SIDE, 3), dtype=np.uint8)
    data = replace(tiny_dataset(), train=Split(images=big, labels=np.arange(2000) % 3))
    wide = ModelSpec(name="baseline", arguments={"filters": [2000, 4], "units": 4})
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = used + 500_000_000
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        train(tiny_recipe(model=wide, batch_size=2000), data, directory=directory)
    except ResourceError as error:
        Path(f"{directory}.error").write_text(str(error))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_running_out_of_memory_suggests_a_smaller_batch(tmp_path):
    context = multiprocessing.get_context("forkserver")
    process = context.Process(target=starved, args=(str(tmp_path / "run"),))
    process.start()
    process.join(120)
    message = (tmp_path / "run.error").read_text()
    assert "--batch-size 1000" in message
    assert "\n" not in message
