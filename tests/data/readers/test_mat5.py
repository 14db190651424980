"""Arrays of MATLAB 5 files: the same as SciPy reads, and damage is an error, never a crash."""

from __future__ import annotations

import random
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import loadmat, savemat

from cifarlab.data.readers.mat5 import list_arrays
from cifarlab.errors import CifarlabError, InputError

TYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8", "u8", "i8")


def whole(array) -> np.ndarray:
    """Return an array in MATLAB's own order of axes."""
    return np.concatenate(list(array.blocks())).T


@settings(deadline=None)
@given(
    st.sampled_from(TYPES),
    st.lists(st.integers(1, 5), min_size=2, max_size=4),
    st.booleans(),
    st.integers(0, 99),
)
def test_the_same_as_scipy_reads(dtype, shape, packed, seed):
    import tempfile

    values = np.random.default_rng(seed).integers(0, 100, shape).astype(dtype)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.mat"
        savemat(path, {"values": values, "b": np.arange(3)}, do_compression=packed)
        found = {array.name: array for array in list_arrays(path)}
        assert set(found) == {"values", "b"}
        assert found["values"].shape == tuple(shape)
        assert (whole(found["values"]) == loadmat(path)["values"]).all()
        assert (whole(found["b"]) == [[0, 1, 2]]).all()


def test_in_more_than_one_block(tmp_path, monkeypatch):
    monkeypatch.setattr("cifarlab.data.readers.mat5.BLOCK_BYTES", 50)
    values = np.arange(4 * 5 * 7, dtype=np.uint8).reshape(4, 5, 7)
    savemat(tmp_path / "a.mat", {"values": values}, do_compression=True)
    (array,) = list_arrays(tmp_path / "a.mat")
    assert len(list(array.blocks())) == 4
    assert (whole(array) == values).all()


def test_what_is_no_plain_array_is_listed_and_not_read(tmp_path):
    held = {"text": "abc", "parts": {"a": 1}, "rotation": np.array([1 + 2j]), "n": np.ones((2, 2))}
    savemat(tmp_path / "a.mat", held)
    kinds = {array.name: array.kind for array in list_arrays(tmp_path / "a.mat")}
    assert kinds == {
        "text": "char",
        "parts": "struct",
        "rotation": "double complex",
        "n": "double",
    }


@pytest.mark.parametrize("packed", [True, False])
def test_whatever_is_damaged_is_an_error_of_one_line(tmp_path, packed):
    path = tmp_path / "a.mat"
    images = np.random.default_rng(0).integers(0, 256, (8, 8, 3, 20), np.uint8)
    savemat(path, {"X": images, "y": np.arange(20)[:, None]}, do_compression=packed)
    right, chance = path.read_bytes(), random.Random(0)
    said = []
    tracemalloc.start()
    for _ in range(300):
        data = bytearray(right)
        for _ in range(chance.randint(1, 3)):
            data[chance.randrange(120, min(len(data), 420))] = chance.randrange(256)
        path.write_bytes(data[: chance.choice([None, None, chance.randrange(len(data))])])
        try:
            for array in list_arrays(path):
                if array.dtype is not None and array.shape:
                    list(array.blocks())
        except CifarlabError as error:
            said.append(str(error))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(said) > 100
    assert not any("\n" in line for line in said)
    assert peak < 20_000_000


def test_a_changed_value_is_found_by_the_checksum_of_what_is_packed(tmp_path):
    path = tmp_path / "a.mat"
    savemat(path, {"X": np.arange(5000, dtype=np.uint8)}, do_compression=True)
    data = bytearray(path.read_bytes())
    data[-2] ^= 255
    path.write_bytes(data)
    (array,) = list_arrays(path)
    with pytest.raises(InputError, match="damaged"):
        list(array.blocks())
