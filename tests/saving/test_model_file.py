"""Model files are portable when written and harmless when read."""

from __future__ import annotations

import copy
import json
import os
import pathlib
import resource
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from cifarlab.backend import keras
from cifarlab.errors import InputError, ResourceError, UnsafeError, UsageError
from cifarlab.saving import safe_config
from cifarlab.saving.model_file import load_model, save_model

SUFFIXES = (".keras", ".h5")
NAMES = ("cat", "dog", "eel")
RECIPE = {"epochs": 3, "optimizer": {"lr": 0.1}, "note": "é"}
layers = keras.layers


def sequential() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3, activation="relu", kernel_regularizer="l2"),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.Flatten(),
            layers.Dense(3, activation="softmax", kernel_constraint="max_norm"),
        ]
    )


def functional() -> keras.Model:
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, padding="same")(inputs)
    y = layers.SeparableConv2D(4, 3, padding="same")(x)
    x = layers.Add()([x, layers.LeakyReLU()(y)])
    x = layers.Concatenate()([layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x)])
    return keras.Model(inputs, layers.Dense(3, activation="softmax", dtype="float32")(x))


def nested() -> keras.Model:
    inputs = keras.Input((8, 8, 3))
    stem = keras.Sequential([layers.Conv2D(4, 3), layers.PReLU(), layers.GroupNormalization(2)])
    body_in = keras.Input((6, 6, 4))
    body = keras.Model(body_in, layers.Add()([body_in, layers.Conv2D(4, 1)(body_in)]))
    x = body(body(stem(inputs)))
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(layers.Flatten()(x)))


MODELS: tuple[Callable[[], keras.Model], ...] = (sequential, functional, nested)


def images() -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3)).astype("float32")


def predict(model: keras.Model) -> np.ndarray[Any, Any]:
    return np.asarray(model.predict(images(), verbose=0))


def randomise(model: keras.Model) -> keras.Model:
    """Give every weight a value that no initializer gives."""
    draw = np.random.default_rng(1)
    model.set_weights([draw.uniform(0.1, 0.5, w.shape) for w in model.get_weights()])
    return model


def saved(path: Path, model: keras.Model | None = None) -> Path:
    model = model or randomise(sequential())
    save_model(model, path, class_names=NAMES, recipe=RECIPE)
    return path


@pytest.fixture(params=SUFFIXES)
def good(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return saved(tmp_path / f"model{request.param}")


# Writing


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("make", MODELS)
def test_a_saved_model_is_read_back_completely(
    make: Callable[[], keras.Model], suffix: str, tmp_path: Path
) -> None:
    model = randomise(make())
    loaded = load_model(saved(tmp_path / f"m{suffix}", model))
    assert loaded.class_names == NAMES
    assert loaded.recipe == RECIPE
    np.testing.assert_array_equal(predict(loaded.model), predict(model))
    assert not loaded.model.compiled


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_compiled_and_fitted_model_is_read_back_for_predicting(
    suffix: str, tmp_path: Path
) -> None:
    model = functional()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(images(), np.array([0, 1, 2, 0, 1]), verbose=0)
    path = saved(tmp_path / f"m{suffix}", model)
    np.testing.assert_array_equal(predict(load_model(path).model), predict(model))
    assert isinstance(keras.saving.load_model(path).optimizer, keras.optimizers.Adam)


def test_names_and_recipe_can_be_read_without_cifarlab(tmp_path: Path) -> None:
    with zipfile.ZipFile(saved(tmp_path / "m.keras")) as archive:
        in_keras = json.loads(archive.read("cifarlab.json"))
    with h5py.File(saved(tmp_path / "m.h5")) as file:
        in_h5 = json.loads(file.attrs["cifarlab"])
    plain = {
        "temperature": 1.0,
        "not_sure_below": None,
        "resize_mode": "squash",
        "bits": 16,
        "trained_on": None,
    }
    assert in_keras == in_h5 == {"class_names": list(NAMES), "recipe": RECIPE, **plain}


def test_plain_keras_reads_both_formats_and_predicts_the_same(tmp_path: Path) -> None:
    model = randomise(nested())
    paths = [str(saved(tmp_path / f"m{suffix}", model)) for suffix in SUFFIXES]
    np.save(tmp_path / "x.npy", images())
    program = (
        "import sys, keras, numpy as np\n"
        "x = np.load(sys.argv[1])\n"
        "for i, path in enumerate(sys.argv[2:]):\n"
        "    np.save(f'{path}.npy', keras.saving.load_model(path).predict(x, verbose=0))\n"
        "assert not any(name.startswith('cifarlab') for name in sys.modules)\n"
    )
    subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "x.npy"), *paths],
        env={**os.environ, "KERAS_BACKEND": "torch"},
        check=True,
        capture_output=True,
    )
    for path in paths:
        np.testing.assert_array_equal(np.load(f"{path}.npy"), predict(model))


def test_a_file_that_plain_keras_wrote_loads_without_names(tmp_path: Path) -> None:
    model = sequential()
    for suffix in SUFFIXES:
        path = tmp_path / f"plain{suffix}"
        keras.saving.save_model(model, path)
        loaded = load_model(path)
        assert (loaded.class_names, loaded.recipe) == (None, None)
        np.testing.assert_array_equal(predict(loaded.model), predict(model))


def test_what_cannot_be_saved_is_a_usage_error(tmp_path: Path) -> None:
    model = sequential()
    wishes: list[tuple[str, tuple[str, ...], dict[str, object], str]] = [
        ("m.onnx", NAMES, {}, "ends in .keras or .h5"),
        ("m.keras", NAMES[:2], {}, "2 class names for 3 outputs"),
        ("m.keras", NAMES, {"x": object()}, "cannot be written as JSON"),
        ("m.keras", NAMES, {"x": float("nan")}, "cannot be written as JSON"),
    ]
    for name, class_names, recipe, match in wishes:
        with pytest.raises(UsageError, match=match):
            save_model(model, tmp_path / name, class_names=class_names, recipe=recipe)
    unbuilt = keras.Sequential([layers.Dense(3)])
    with pytest.raises(UsageError, match="is not built"):
        save_model(unbuilt, tmp_path / "m.keras", class_names=NAMES, recipe={})
    assert list(tmp_path.iterdir()) == []


def test_a_layer_that_keras_cannot_put_into_h5_is_a_usage_error(tmp_path: Path) -> None:
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.RandomBrightness(0.1), layers.Flatten(), layers.Dense(3)]
    )
    saved(tmp_path / "m.keras", model)
    with pytest.raises(UsageError, match=r"cannot save this model in this format .*use \.keras"):
        saved(tmp_path / "m.h5", model)
    assert [path.name for path in tmp_path.iterdir()] == ["m.keras"]


def test_a_missing_directory_is_a_resource_error(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        with pytest.raises(ResourceError):
            saved(tmp_path / "absent" / f"m{suffix}")


def test_no_advice_against_h5_is_printed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    saved(tmp_path / "m.h5")
    assert "HDF5" not in caplog.text + "".join(capfd.readouterr())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_save_on_a_full_disk_leaves_the_old_file(suffix: str, tmp_path: Path) -> None:
    path = saved(tmp_path / f"m{suffix}")
    before = path.read_bytes()
    large = keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(3000)])
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, limits[1]))
    try:
        with pytest.raises(ResourceError):
            save_model(large, path, class_names=tuple(map(str, range(3000))), recipe={})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


# Files that are not model files


def refused(path: Path, error: type[Exception], match: str) -> str:
    with pytest.raises(error, match=match) as caught:
        load_model(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_absent_and_foreign_files_are_input_errors(tmp_path: Path) -> None:
    refused(tmp_path / "absent.keras", InputError, "no such file")
    refused(tmp_path / "absent.onnx", InputError, "ends in .keras or .h5")
    (tmp_path / "folder.h5").mkdir()
    refused(tmp_path / "folder.h5", InputError, "not a file")
    for suffix in SUFFIXES:
        for number, content in enumerate((b"", b"hello", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n")):
            path = tmp_path / f"{number}{suffix}"
            path.write_bytes(content)
            refused(path, InputError, "truncated or not a model file")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_truncated_file_says_so(good: Path, share: float) -> None:
    data = good.read_bytes()
    good.write_bytes(data[: int(len(data) * share)])
    refused(good, InputError, "truncated or not a model file")


def test_the_formats_are_not_mistaken_for_each_other(tmp_path: Path) -> None:
    swapped = saved(tmp_path / "a.keras").rename(tmp_path / "b.h5")
    refused(swapped, InputError, "truncated or not a model file")


def test_damaged_files_give_only_our_errors(good: Path) -> None:
    data = good.read_bytes()
    draw = np.random.default_rng(0)
    for _ in range(60):
        broken = bytearray(data)
        for at in draw.integers(0, len(data), 5):
            broken[at] = int(draw.integers(0, 256))
        good.write_bytes(broken)
        with suppress(InputError, UnsafeError):
            load_model(good)


# Attacks through the description


@contextmanager
def memory_for(count: int) -> Iterator[None]:
    """Let the process take at most ``count`` more bytes within the block."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + count, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def change_config(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Rewrite the description in a model file, leaving everything else."""
    if path.suffix == ".h5":
        with h5py.File(path, "a") as file:
            config = json.loads(file.attrs["model_config"])
            change(config)
            file.attrs["model_config"] = json.dumps(config)
        return path
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    change(config)
    members["config.json"] = json.dumps(config).encode()
    return write_zip(path, list(members.items()))


def write_zip(path: Path, members: list[tuple[str, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def read_zip(path: Path) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


def replace_layer(index: int, part: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    def change(config: dict[str, Any]) -> None:
        config["config"]["layers"][index] = part

    return change


def set_in_dense(**values: Any) -> Callable[[dict[str, Any]], None]:
    def change(config: dict[str, Any]) -> None:
        config["config"]["layers"][-1]["config"].update(values)

    return change


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("unsafe_mode_on", [False, True])
def test_a_lambda_is_refused_and_its_code_never_runs(
    suffix: str, unsafe_mode_on: bool, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    code = f"lambda x: (__import__('pathlib').Path({str(canary)!r}).touch(), x)[1]"
    model = keras.Sequential([keras.Input((3,)), layers.Lambda(eval(code))])
    path = tmp_path / f"m{suffix}"
    keras.saving.save_model(model, path)
    canary.unlink(missing_ok=True)
    if unsafe_mode_on:
        keras.config.enable_unsafe_deserialization()
    try:
        refused(path, UnsafeError, "refused: Lambda")
        assert not canary.exists()
        in_safe_mode = keras.src.saving.serialization_lib.in_safe_mode()
        assert in_safe_mode == (False if unsafe_mode_on else None)
    finally:
        keras.src.backend.common.global_state.set_global_attribute("safe_mode_saving", None)
    assert pathlib.Path is Path


def part(name: str, module: str | None = "keras.layers", **config: Any) -> dict[str, Any]:
    entry = {"module": module, "class_name": name, "config": config, "registered_name": None}
    return {key: value for key, value in entry.items() if key != "module" or module}


ATTACKS = {
    "os.system": part("system", "os", command="touch canary"),
    "posix": part("function", "posix") | {"config": "system"},
    "builtins": part("function", "builtins") | {"config": "eval"},
    "unsafe mode": part("function", "keras.config") | {"config": "enable_unsafe_deserialization"},
    "unsafe class": part("enable_unsafe_deserialization", "keras.config"),
    "download": part("get_file", "keras.utils", origin="http://127.0.0.1/"),
    "torch": part("TorchModuleWrapper", module_="AAAA"),
    "saved model": part("TFSMLayer", filepath="/etc"),
    "jax": part("JaxLayer"),
    "lookup": part("StringLookup", vocabulary="/etc/passwd"),
    "vectorization": part("TextVectorization", vocabulary="/etc/passwd"),
    "other module": part("Dense", "numpy"),
    "keras internals": part("Dense", "keras.src.layers.core.dense"),
    "registered": part("Dense", units=3) | {"registered_name": "Custom>Dense"},
    "custom": part("MyLayer", None),
    "lambda value": part("__lambda__", None, code="AAAA"),
    "typespec": part("__typespec__", "builtins"),
    "no text": part("Dense") | {"class_name": ["Dense"]},
    "bad module": part("Dense") | {"module": {"a": 1}},
    "scan": part("Scan", "keras.src.ops.core"),
    "wide text array": part("__numpy__", None, value=["a"], dtype="S2000000000"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_but_stock_parts_is_built(good: Path, attack: str) -> None:
    data = good.read_bytes()
    for change in (
        replace_layer(1, copy.deepcopy(ATTACKS[attack])),
        set_in_dense(activation=copy.deepcopy(ATTACKS[attack])),
        set_in_dense(unknown=[{"deep": copy.deepcopy(ATTACKS[attack])}]),
    ):
        good.write_bytes(data)
        refused(change_config(good, change), UnsafeError, "refused: ")
        assert keras.src.saving.serialization_lib.in_safe_mode() is None


def test_the_training_part_is_never_built(good: Path) -> None:
    def change(config: dict[str, Any]) -> None:
        config["compile_config"] = {"optimizer": part("system", "os"), "loss": "mse"}
        config["config"]["layers"][-1]["compile_config"] = {"loss": part("Evil", "os")}

    assert not load_model(change_config(good, change)).model.compiled


@pytest.mark.parametrize("units", [10**7, 10**9, 10**10, 10**30])
def test_a_giant_layer_is_refused_before_memory_is_taken(good: Path, units: int) -> None:
    def change(config: dict[str, Any]) -> None:
        set_in_dense(units=units)(config)
        config["config"]["layers"][-1].pop("build_config", None)

    change_config(good, change)
    with memory_for(200 << 20):
        refused(good, UnsafeError, "refused: ")


def test_a_giant_input_is_refused(good: Path) -> None:
    def change(config: dict[str, Any]) -> None:
        config["config"]["layers"][0]["config"]["batch_shape"] = [None, 10**6, 10**6, 3]

    refused(change_config(good, change), UnsafeError, "refused: an input of shape")


def test_a_description_nested_without_end_is_refused(tmp_path: Path) -> None:
    members = dict(read_zip(saved(tmp_path / "m.keras")))
    for depth, error, match in ((150, UnsafeError, "nested"), (200_000, InputError, "recursion")):
        members["config.json"] = b'{"a":' * depth + b"1" + b"}" * depth
        refused(write_zip(tmp_path / "m.keras", list(members.items())), error, match)


@pytest.mark.parametrize("config", ["[]", "null", "7", "{}", '{"config": {}}', "nonsense", "{"])
def test_a_description_that_is_none_is_an_input_error(tmp_path: Path, config: str) -> None:
    members = dict(read_zip(saved(tmp_path / "m.keras")))
    members["config.json"] = config.encode()
    refused(write_zip(tmp_path / "m.keras", list(members.items())), InputError, "model")


def test_a_description_that_keras_cannot_build_is_an_input_error(good: Path) -> None:
    change_config(good, set_in_dense(units="many", activation="no such activation"))
    refused(good, InputError, "its description cannot be built")


ODD_VALUES = (
    *(None, True, -1, 0, 1.5, float("inf"), 10**9, "", "relu", "x" * 5000, "../../etc/passwd"),
    *([], [None], [[1]], {}, {"class_name": "Dense"}, {"class_name": "Dense", "config": None}),
    *({"class_name": "function", "config": ["relu"]}, {"a": {"b": []}}, [-1, 2**40]),
)


def put_odd_value(config: Any, draw: np.random.Generator) -> None:
    """Replace something, anywhere in ``config``, by an odd value."""
    while True:
        keys = list(config) if isinstance(config, dict) else range(len(config))
        key = keys[int(draw.integers(len(keys)))]
        inner = config[key]
        if not (isinstance(inner, dict | list) and inner) or draw.random() < 0.1:
            config[key] = copy.deepcopy(ODD_VALUES[int(draw.integers(len(ODD_VALUES)))])
            return
        config = inner


@pytest.mark.filterwarnings("ignore")
def test_odd_values_in_a_description_give_only_our_errors(good: Path) -> None:
    data = good.read_bytes()
    outcomes = set()
    for seed in range(80):
        good.write_bytes(data)
        draw = np.random.default_rng(seed)
        change_config(good, lambda config: put_odd_value(config, draw))  # noqa: B023
        try:
            outcomes.add(type(load_model(good)))
        except (InputError, UnsafeError) as error:
            outcomes.add(type(error))
    assert len(outcomes) == 3, "some load, some are bad input and some are refused"


# Attacks through the zip


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["../x", "/tmp/x", "assets/x", "extra.txt", "config.json", "a/"])
def test_surplus_members_are_refused_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path / "inner.keras")
    write_zip(path, [*read_zip(path), (name, b"x")])
    refused(path, UnsafeError, "refused: a surplus member")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["metadata.json", "config.json", "model.weights.h5"])
def test_missing_members_are_an_input_error(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path / "m.keras")
    write_zip(path, [member for member in read_zip(path) if member[0] != name])
    refused(path, InputError, f"truncated or not a model file.*lacks {name}")


@pytest.mark.parametrize("size", [128 << 20, 3 << 30])
def test_a_zip_bomb_is_refused_in_little_memory(tmp_path: Path, size: int) -> None:
    members = dict(read_zip(saved(tmp_path / "m.keras")))
    path = tmp_path / "bomb.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("metadata.json", "config.json"):
            archive.writestr(name, members[name])
        with archive.open("model.weights.h5", "w", force_zip64=True) as member:
            for _ in range(size >> 24):
                member.write(bytes(1 << 24))
    assert path.stat().st_size < 4_000_000
    with memory_for(100 << 20):
        refused(path, UnsafeError, "refused: model.weights.h5 unpacks to")


def test_a_member_larger_than_it_declares_is_not_unpacked(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.keras")
    members = dict(read_zip(path))
    members["config.json"] = b" " * (9 << 20)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    data = path.read_bytes()
    truth, lie = (9 << 20).to_bytes(4, "little"), (1000).to_bytes(4, "little")
    assert truth in data
    path.write_bytes(data.replace(truth, lie))
    refused(path, InputError, "truncated or not a model file")


# Attacks through HDF5


SECRET = b"TOPSECRET-0123456789-TOPSECRET-9"


def poison(good: Path, change: Callable[[h5py.File], None]) -> Path:
    """Change the HDF5 inside of a model file."""
    if good.suffix == ".h5":
        with h5py.File(good, "a") as file:
            change(file)
        return good
    members = dict(read_zip(good))
    weights = good.with_name("weights.h5")
    weights.write_bytes(members["model.weights.h5"])
    with h5py.File(weights, "a") as file:
        change(file)
    members["model.weights.h5"] = weights.read_bytes()
    weights.unlink()
    return write_zip(good, list(members.items()))


def kernel_of(file: h5py.File) -> tuple[h5py.Group, str]:
    """Return the group of a two-dimensional weight, and its name there."""
    paths: list[str] = []
    file.visititems(
        lambda name, item: (
            paths.append(name) if isinstance(item, h5py.Dataset) and item.ndim == 2 else None
        )
    )
    group, name = paths[0].rsplit("/", 1)
    return file[group], name


def external_link(file: h5py.File, secret: Path) -> None:
    group, name = kernel_of(file)
    del group[name]
    group[name] = h5py.ExternalLink(str(secret), "/data")


def soft_link(file: h5py.File, _secret: Path) -> None:
    group, name = kernel_of(file)
    file["elsewhere"] = group[name][()]
    del group[name]
    group[name] = h5py.SoftLink("/elsewhere")


def external_storage(file: h5py.File, secret: Path) -> None:
    group, name = kernel_of(file)
    shape = group[name].shape
    del group[name]
    group.create_dataset(name, shape, "float32", external=[(str(secret), 0, h5py.h5f.UNLIMITED)])


def virtual_dataset(file: h5py.File, secret: Path) -> None:
    group, name = kernel_of(file)
    shape = group[name].shape
    del group[name]
    layout = h5py.VirtualLayout(shape, "float32")
    layout[:] = h5py.VirtualSource(str(secret), "data", shape)
    group.create_virtual_dataset(name, layout)


def second_hard_link(file: h5py.File, _secret: Path) -> None:
    group, name = kernel_of(file)
    group["again"] = group[name]


def endless_group(file: h5py.File, _secret: Path) -> None:
    group, _ = kernel_of(file)
    group["again"] = file["/"]


def text_array(file: h5py.File, _secret: Path) -> None:
    group, name = kernel_of(file)
    del group[name]
    group[name] = ["text"]


def reference(file: h5py.File, _secret: Path) -> None:
    group, name = kernel_of(file)
    target = group[name].ref
    del group[name]
    group.create_dataset(name, data=target, dtype=h5py.ref_dtype)


def named_type(file: h5py.File, _secret: Path) -> None:
    file["type"] = np.dtype("float32")


def hollow_giant(file: h5py.File, _secret: Path) -> None:
    group, name = kernel_of(file)
    del group[name]
    group.create_dataset(name, (100_000, 100_000), "float32")


POISONS = (
    *(external_link, soft_link, external_storage, virtual_dataset, second_hard_link),
    *(endless_group, text_array, reference, named_type, hollow_giant),
)


@pytest.mark.parametrize("change", POISONS)
def test_links_and_odd_arrays_are_refused_and_the_secret_stays_secret(
    good: Path,
    change: Callable[[h5py.File, Path], None],
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["data"] = np.frombuffer(SECRET * 100, "float32")
        file.attrs["text"] = SECRET
    poison(good, lambda file: change(file, secret))
    message = refused(good, UnsafeError, "refused: ")
    assert "TOPSECRET" not in message + "".join(capfd.readouterr())


# Weights that do not fit


def test_weights_of_another_shape_are_named_with_both_shapes(good: Path) -> None:
    change_config(good, set_in_dense(units=4))
    message = refused(good, InputError, r"expected float32 \[144, 4\], found float32 \[144, 3\]")
    assert "dense" in message


def test_weights_of_another_type_are_refused(good: Path) -> None:
    def change(file: h5py.File) -> None:
        group, name = kernel_of(file)
        values = group[name][()].astype("float64")
        del group[name]
        group[name] = values

    refused(poison(good, change), InputError, "expected float32 .* found float64")


def test_missing_weights_are_refused(good: Path) -> None:
    def change(file: h5py.File) -> None:
        group, name = kernel_of(file)
        del group[name]

    refused(poison(good, change), InputError, "expected float32 .* found nothing")


def test_surplus_weights_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.keras")
    poison(path, lambda file: file.create_dataset("layers/dense_9/vars/0", data=np.ones(3)))
    refused(path, InputError, "layers/dense_9/vars/0: expected nothing, found float64")


def test_another_number_of_layers_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.h5")

    def change(config: dict[str, Any]) -> None:
        extra = copy.deepcopy(config["config"]["layers"][-1])
        extra["config"]["name"] = "more"
        extra.pop("build_config", None)
        config["config"]["layers"].append(extra)

    refused(change_config(path, change), InputError, "expected 4 layers with weights, found 3")


def test_class_names_that_do_not_fit_the_outputs_are_refused(good: Path) -> None:
    set_notes(good, json.dumps({"class_names": ["a", "b"], "recipe": {}}))
    refused(good, InputError, "a class name for each of 3 outputs, found 2")


WRONG_TRUST = (
    *('"temperature": 0', '"temperature": -1', '"temperature": "hot"', '"temperature": true'),
    *('"temperature": NaN', '"temperature": null', '"not_sure_below": "x"', '"not_sure_below": []'),
)


@pytest.mark.parametrize(
    "notes",
    [
        *("", "[]", "{}", '{"class_names": [1, 2, 3], "recipe": {}}', "[" * 100_000, '"x"'),
        *(f'{{"class_names": ["a", "b", "c"], "recipe": {{}}, {wrong}}}' for wrong in WRONG_TRUST),
        *('{"class_names": "abc", "recipe": {}}', '{"class_names": ["a", "b"], "recipe": 7}'),
    ],
)
def test_notes_that_make_no_sense_are_an_input_error(good: Path, notes: str) -> None:
    set_notes(good, notes)
    refused(good, InputError, "its (class names|temperature|not_sure_below)")


def set_notes(path: Path, text: str) -> None:
    if path.suffix == ".h5":
        with h5py.File(path, "a") as file:
            file.attrs["cifarlab"] = text
    else:
        members = dict(read_zip(path))
        members["cifarlab.json"] = text.encode()
        write_zip(path, list(members.items()))


# The lists


def is_layer(item: object) -> bool:
    return isinstance(item, type) and issubclass(item, layers.Layer)


def is_alias(name: str) -> bool:
    """Whether Keras writes another name into a file, such as Conv2D for Convolution2D."""
    item = getattr(layers, name)
    return item.__name__ != name and getattr(layers, item.__name__, None) is item


def test_every_stock_layer_is_either_allowed_or_left_out_on_purpose() -> None:
    left_out = {
        *("Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"),
        *("StringLookup", "IntegerLookup", "TextVectorization", "Hashing", "HashedCrossing"),
        *("Layer", "Wrapper"),
    }
    stock = {name for name in dir(layers) if is_layer(getattr(layers, name))}
    aliases = {name for name in stock if is_alias(name)}
    assert stock - aliases - safe_config.LAYERS == left_out
    assert not safe_config.LAYERS & left_out


@pytest.mark.parametrize("module", sorted(safe_config.ALLOWED.keys() - {"keras", "keras.models"}))
def test_every_name_on_the_lists_is_a_class_of_that_module(module: str) -> None:
    __import__(module)
    for name in safe_config.ALLOWED[module]:
        assert isinstance(getattr(sys.modules[module], name), type)


def test_every_stock_activation_is_allowed() -> None:
    functions = {name for name, item in vars(keras.activations).items() if callable(item)}
    assert functions - {"get", "serialize", "deserialize"} == safe_config.ACTIVATIONS


def uncommon() -> dict[str, tuple[tuple[int, ...], list[Any]]]:
    """Inputs and stacks of stock layers that small classifiers seldom have."""
    wide, tall = (8, 8, 3), (6, 5)
    return {
        "augmentation": (
            wide,
            [
                *(layers.RandomFlip(), layers.RandomRotation(0.1), layers.RandomZoom(0.1)),
                *(layers.RandomContrast(0.1), layers.RandomHue(0.1), layers.Resizing(6, 6)),
                *(
                    layers.CenterCrop(5, 5),
                    layers.GaussianNoise(0.1),
                    layers.RandomTranslation(0.1, 0.1),
                ),
            ],
        ),
        "normalisation": (
            wide,
            [
                *(layers.LayerNormalization(), layers.GroupNormalization(3)),
                *(layers.RMSNormalization(), layers.UnitNormalization()),
                layers.SpectralNormalization(layers.Conv2D(4, 3)),
                layers.Normalization(mean=[1.0, 2.0, 3.0, 4.0], variance=[1.0, 1.0, 2.0, 2.0]),
            ],
        ),
        "shape": (
            wide,
            [
                *(layers.ZeroPadding2D(1), layers.Cropping2D(1), layers.UpSampling2D(2)),
                *(
                    layers.Conv2DTranspose(4, 3),
                    layers.DepthwiseConv2D(3),
                    layers.Permute((2, 1, 3)),
                ),
                *(layers.Reshape((-1, 4)), layers.SpatialDropout1D(0.1), layers.Conv1D(4, 3)),
            ],
        ),
        "recurrent": (
            tall,
            [
                layers.Bidirectional(layers.LSTM(3, return_sequences=True)),
                layers.TimeDistributed(layers.Dense(4, activation="gelu")),
                layers.GRU(3, return_sequences=True),
                layers.RNN(layers.StackedRNNCells([layers.LSTMCell(3), layers.SimpleRNNCell(2)])),
            ],
        ),
        "dense": (
            tall,
            [
                layers.EinsumDense("abc,cd->abd", output_shape=(6, 4), bias_axes="d"),
                layers.Dense(4, kernel_initializer=keras.initializers.Orthogonal(0.5, seed=10**12)),
                layers.Dense(4, kernel_regularizer=keras.regularizers.OrthogonalRegularizer()),
                layers.Dense(4, kernel_constraint=keras.constraints.MinMaxNorm(), dtype="float16"),
                layers.Dense(4, activation="swish", dtype="mixed_bfloat16"),
            ],
        ),
    }


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "example", ["augmentation", "normalisation", "shape", "recurrent", "dense"]
)
def test_uncommon_stock_layers_load(example: str, suffix: str, tmp_path: Path) -> None:
    shape, stack = uncommon()[example]
    flat: list[Any] = [] if example == "recurrent" else [layers.Flatten()]
    model = keras.Sequential([keras.Input(shape), *stack, *flat, layers.Dense(3)])
    x = np.random.default_rng(0).uniform(0, 1, (2, *shape)).astype("float32")
    path = saved(tmp_path / f"m{suffix}", model)
    loaded = load_model(path).model
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


def test_attention_and_arithmetic_between_layers_load(tmp_path: Path) -> None:
    inputs = keras.Input((6, 4))
    x = layers.MultiHeadAttention(2, 3)(inputs, inputs) + inputs
    x = keras.ops.mean(keras.ops.relu(x) * 2.0, axis=1)[:, :3]
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(x))
    data = np.random.default_rng(0).normal(size=(2, 6, 4)).astype("float32")
    loaded = load_model(saved(tmp_path / "m.keras", model)).model
    np.testing.assert_array_equal(loaded.predict(data, verbose=0), model.predict(data, verbose=0))


def test_saving_as_h5_does_not_take_the_optimizer_from_later_files(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation="softmax")])
    model.compile(keras.optimizers.Adam(0.25), loss="categorical_crossentropy")
    model.optimizer.build(model.trainable_variables)
    for name in ("first.h5", "then.keras"):
        save_model(model, tmp_path / name, class_names=("a", "b"), recipe={})
    reloaded = keras.saving.load_model(tmp_path / "then.keras")
    assert float(reloaded.optimizer.learning_rate) == 0.25
