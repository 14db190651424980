"""Checkpoints: whole or not at all, the newest sound one wins, damage is noticed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from cifarlab.backend import keras
from cifarlab.errors import InputError, ResourceError
from cifarlab.runtime.randomness import generator
from cifarlab.training.batch import Batch
from cifarlab.training.beginning import LoopOptions, start
from cifarlab.training.checkpoint import load_checkpoint, save_checkpoint
from cifarlab.training.state import TrainState
from cifarlab.training.step import train_step
from support import contents, posix_only
from tiny import CLASSES, SIDE, tiny_recipe, tiny_split

RATE = 0.001


def new_state(units: int = 8) -> TrainState:
    model = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 3)),
            keras.layers.Conv2D(4, 3),
            keras.layers.BatchNormalization(),
            keras.layers.Flatten(),
            keras.layers.Dense(units, activation="relu"),
            keras.layers.Dense(len(CLASSES), activation="softmax"),
        ]
    )
    return start(
        model,
        tiny_recipe(),
        LoopOptions(device=torch.device("cpu"), precision=torch.float32, seed=0),
    )


def trained(state: TrainState, steps: int) -> TrainState:
    split = tiny_split(30, 0)
    images = torch.from_numpy(split.images).permute(0, 3, 1, 2)
    batch = Batch(
        images=images, targets=torch.from_numpy(split.labels), index=torch.arange(30), classes=3
    )
    for _ in range(steps):
        train_step(state, batch, tiny_recipe(), torch.float32, generator(state.step))
        state.step += 1
    return state


def weights(state: TrainState) -> list[bytes]:
    return [b.tensor.detach().numpy().tobytes() for b in state.lowered.bindings]


def test_what_is_loaded_goes_on_as_what_was_saved(tmp_path):
    state = trained(new_state(), 3)
    state.epoch, state.stopped = 2, True
    state.history = [{"epoch": 1, "loss": 0.1 + 0.2, "val_loss": float("inf")}]
    stopping = keras.callbacks.EarlyStopping(patience=4, restore_best_weights=True)
    stopping.on_train_begin()
    stopping.wait, stopping.best, stopping.best_epoch = 2, 0.25, 1
    stopping.best_weights = [np.arange(3.0, dtype="float32"), np.ones((2, 2), "float32")]
    save_checkpoint(tmp_path / "checkpoint", state, [stopping], RATE)

    other = new_state()
    again = keras.callbacks.EarlyStopping(patience=4, restore_best_weights=True)
    again.on_train_begin()
    assert load_checkpoint(tmp_path / "checkpoint", other, [again]) == RATE
    assert weights(other) == weights(state)
    assert (other.epoch, other.step, other.stopped) == (2, 3, True)
    assert other.history == state.history
    assert other.totals.means() == state.totals.means()
    assert (again.wait, again.best, again.best_epoch) == (2, 0.25, 1)
    assert all(
        (a == b).all() for a, b in zip(again.best_weights, stopping.best_weights, strict=True)
    )
    assert weights(trained(other, 2)) == weights(trained(state, 2))


def test_no_checkpoint_means_a_fresh_start(tmp_path):
    assert load_checkpoint(tmp_path / "checkpoint", new_state(), []) is None


def saved_thrice(directory: Path) -> TrainState:
    state = new_state()
    for _ in range(3):
        save_checkpoint(directory, trained(state, 1), [], RATE)
    return state


def test_the_newest_two_are_kept(tmp_path):
    saved_thrice(tmp_path)
    assert sorted(contents(tmp_path)) == [
        "00000-0000002.safetensors",
        "00000-0000003.safetensors",
    ]


def damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "bit":
        content[-5] ^= 1
    path.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "bit": content}[how])


@pytest.mark.parametrize("how", ["cut", "empty", "bit"])
def test_a_damaged_newest_one_is_passed_over(tmp_path, how):
    saved_thrice(tmp_path)
    damage(tmp_path / "00000-0000003.safetensors", how)
    state = new_state()
    with pytest.warns(UserWarning, match=r"00000-0000003.safetensors is damaged"):
        load_checkpoint(tmp_path, state, [])
    assert state.step == 2


def test_all_damaged_is_bad_input_and_nothing_is_written(tmp_path):
    saved_thrice(tmp_path)
    for path in tmp_path.iterdir():
        damage(path, "bit")
    before = contents(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(InputError, match="none of its 2 checkpoints"):
            load_checkpoint(tmp_path, new_state(), [])
    assert contents(tmp_path) == before


def test_the_checkpoint_of_another_model_is_bad_input(tmp_path):
    saved_thrice(tmp_path)
    with pytest.warns(UserWarning, match="another model"), pytest.raises(InputError):
        load_checkpoint(tmp_path, new_state(units=9), [])


@posix_only
def test_a_full_disk_leaves_the_earlier_one_and_no_remains(tmp_path):
    import resource

    state = new_state()
    first = save_checkpoint(tmp_path, trained(state, 1), [], RATE)
    before = first.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))
    try:
        with pytest.raises(ResourceError, match=r"[\d,]+ bytes are needed"):
            save_checkpoint(tmp_path, trained(state, 1), [], RATE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert contents(tmp_path) == {first.name: before}


KILLED_SAVER = """
    import os, shutil, signal, sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[1])
    from training.test_checkpoint import new_state, save_checkpoint, trained

    saved = Path(sys.argv[2])
    state = new_state()
    for _ in range(2):
        save_checkpoint(saved, trained(state, 1), [], 0.001)
    trained(state, 1)

    def killing(function, fatal):
        def call(*arguments, **options):
            killing.calls += 1
            if killing.calls == fatal:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)
        return call

    for fatal in range(1, 20):
        copy = saved.with_name(f"copy-{fatal}")
        shutil.copytree(saved, copy)
        if os.fork() == 0:
            killing.calls = 0
            for name in ("open", "fsync", "replace", "close", "unlink"):
                setattr(os, name, killing(getattr(os, name), fatal))
            save_checkpoint(copy, state, [], 0.001)
            os._exit(0)
        os.wait()
"""


@posix_only
def test_killed_at_any_file_operation_a_sound_checkpoint_is_found(tmp_path):
    tests = Path(__file__).parents[1]
    arguments = [textwrap.dedent(KILLED_SAVER), str(tests), str(tmp_path / "saved")]
    # The parent's thread pool does not survive the fork; the children only write files.
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", *arguments], check=True, env=environment, timeout=200)
    found = set()
    for copy in tmp_path.glob("copy-*"):
        state = new_state()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert load_checkpoint(copy, state, []) == RATE
        found.add(state.step)
    assert found == {2, 3}
