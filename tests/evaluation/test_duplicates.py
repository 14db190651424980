"""Planted near-duplicates are detected whatever was changed in them, and nothing else is."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from cifarlab.data.cache import Decoded
from cifarlab.data.catalog import read
from cifarlab.data.load_options import LoadOptions
from cifarlab.errors import InputError, UsageError
from cifarlab.evaluation.duplicates import DuplicatePair, near_duplicates
from support import one_line

pytestmark = pytest.mark.filterwarnings("error")


def as_pixels(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def photographs(n: int, height: int = 32, width: int = 32, seed: int = 0) -> np.ndarray:
    """Noise with the spectrum of photographs: amplitude falls with frequency, colours agree."""
    generator = np.random.default_rng(seed)
    vertical, horizontal = np.fft.fftfreq(height), np.fft.rfftfreq(width)
    frequency = np.hypot(vertical[:, None], horizontal) + 0.5 / max(height, width)
    spectrum = np.fft.rfft2(generator.normal(size=(n, 4, height, width))) / frequency**1.3
    fields = np.fft.irfft2(spectrum, s=(height, width))
    fields /= fields.std(axis=(2, 3), keepdims=True)
    light, colours = fields[:, :1], fields[:, 1:]
    contrast = generator.uniform(25, 60, (n, 1, 1, 1))
    pixels = 120 + contrast * (light + 0.4 * colours)
    return as_pixels(pixels.transpose(0, 2, 3, 1))


def shifted(images: np.ndarray, down: int, right: int) -> np.ndarray:
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="edge")
    height, width = images.shape[1:3]
    return padded[:, 2 + down : 2 + down + height, 2 + right : 2 + right + width]


def jpeg(images: np.ndarray) -> np.ndarray:
    def once(image: np.ndarray) -> np.ndarray:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=60)
        return np.asarray(Image.open(file))

    return np.stack([once(image) for image in images])


def contrast(images: np.ndarray, factor: float) -> np.ndarray:
    mean = images.mean(axis=(1, 2, 3), keepdims=True)
    return as_pixels((images - mean) * factor + mean)


def noisy(images: np.ndarray) -> np.ndarray:
    return as_pixels(images + np.random.default_rng(1).normal(0, 5, images.shape))


CHANGES = {
    "copy": lambda p: p,
    "mirror": lambda p: p[:, :, ::-1],
    "noise": noisy,
    "brighter": lambda p: as_pixels(p * 1.15),
    "darker": lambda p: as_pixels(p * 0.85),
    "more contrast": lambda p: contrast(p, 1.15),
    "less contrast": lambda p: contrast(p, 0.85),
    "JPEG": jpeg,
    "moved by 1": lambda p: shifted(p, 0, 1),
    "moved by 1 both ways": lambda p: shifted(p, -1, 1),
    "moved by 2": lambda p: shifted(p, 2, 0),
    "moved by 2 both ways": lambda p: shifted(p, 2, -2),
    "mirror, moved and noise": lambda p: noisy(shifted(p, 1, 1)[:, :, ::-1]),
}


def check_planted(others: np.ndarray, indices: np.ndarray, change: str) -> None:
    pairs = near_duplicates(CHANGES[change](others[indices]), others)
    matches = {pair.index: pair for pair in pairs}
    right = [
        i for i, index in enumerate(indices.tolist()) if i in matches and matches[i].other == index
    ]
    assert len(right) >= 0.95 * len(indices)
    # CIFAR-10 has other near-duplicates of its images.
    assert len(matches) - len(right) <= 0.01 * len(indices)
    assert all(matches[i].mirrored == ("mirror" in change) for i in right)
    if change in ("copy", "mirror"):
        assert len(right) == len(indices)
        assert max(matches[i].distance for i in right) == 0.0


@pytest.mark.parametrize("change", CHANGES)
def test_planted_images_are_found(change):
    others = photographs(1500)
    check_planted(others, np.arange(0, 1500, 15), change)


def test_unrelated_images_are_not_called_duplicates():
    assert near_duplicates(photographs(300), photographs(1500, seed=1)) == ()


def ships(n: int, seed: int) -> np.ndarray:
    """Images of one class: the same sky and sea, with another ship at each horizon."""
    images = np.full((32, 32, 3), (150.0, 180.0, 220.0))
    images[18:] = (60, 90, 120)
    images += np.linspace(20, -20, 32)[:, None, None]
    rows, columns = np.ogrid[:32, :32]
    hull = np.exp(-0.5 * (((rows - 17) / 4) ** 2 + ((columns - 16) / 7) ** 2))[..., None]
    return as_pixels(images + 0.7 * hull * (photographs(n, seed=seed) - 120.0))


def test_another_ship_before_the_same_horizon_is_another_image():
    images, others = ships(200, 0), ships(1000, 1)
    assert len(near_duplicates(images, others)) <= 0.02 * len(images)
    assert len(near_duplicates(noisy(images), images)) == len(images)


@pytest.mark.parametrize("noise", [0.0, 0.6])
def test_images_without_contrast_do_not_match_each_other(noise):
    generator = np.random.default_rng(0)
    colours = generator.integers(5, 250, (40, 1, 1, 3))
    flat = as_pixels(colours + generator.normal(0, noise, (40, 32, 32, 3)))
    assert near_duplicates(flat[:20], flat[20:]) == ()
    assert (near_duplicates(flat, flat) == ()) == (noise == 0.0)


def test_pairs_come_nearest_first_with_the_nearest_partner():
    first = photographs(3)
    far, near = noisy(first), first.copy()
    near[:, 8, 8] ^= 1
    others = np.concatenate([far, near, photographs(50, seed=5)])
    pairs = near_duplicates(np.concatenate([jpeg(first[:1]), first[1:]]), others)
    assert [pair.distance for pair in pairs] == sorted(pair.distance for pair in pairs)
    assert {(pair.index, pair.other) for pair in pairs} == {(0, 3), (1, 4), (2, 5)}
    assert pairs[-1].index == 0


def test_the_distance_by_hand():
    first = photographs(1)
    second = first.astype(int)
    # A chessboard of +2 and -2 changes no mean, and hardly the contrast.
    second += 2 * (-1) ** np.add.outer(np.arange(32), np.arange(32))[None, :, :, None]
    (pair,) = near_duplicates(first, as_pixels(second))
    assert (pair.index, pair.other, pair.mirrored) == (0, 0, False)
    assert pair.distance == pytest.approx(2.0, abs=0.05)
    assert near_duplicates(first, as_pixels(second), threshold=1.9) == ()
    assert near_duplicates(first, first, threshold=0.0) == (
        DuplicatePair(index=0, other=0, distance=0.0, mirrored=False),
    )


@pytest.mark.parametrize(("height", "width"), [(8, 8), (28, 28), (17, 40), (64, 64)])
def test_other_sizes(height, width):
    others = photographs(60, height, width)
    pairs = near_duplicates(noisy(others[5:25]), others)
    assert sorted((pair.index, pair.other) for pair in pairs) == [(i, i + 5) for i in range(20)]


@pytest.mark.parametrize(("height", "width"), [(28, 28), (32, 64), (128, 96)])
def test_grey_images_and_large_ones(height, width):
    others = photographs(60, height, width).mean(axis=3, keepdims=True).astype(np.uint8)
    pairs = near_duplicates(noisy(others[5:25])[:, :, ::-1], others)
    assert sorted((pair.index, pair.other) for pair in pairs) == [(i, i + 5) for i in range(20)]
    assert all(pair.mirrored for pair in pairs)


def test_grey_images_match_as_the_same_images_in_colour():
    grey = photographs(40)[..., :1]
    colour = grey.repeat(3, axis=3)
    assert near_duplicates(noisy(grey), grey) == near_duplicates(
        noisy(grey).repeat(3, axis=3), colour
    )


def test_of_large_images_a_smaller_shift_is_found_too():
    others = photographs(60, 96, 96)
    moved = np.roll(others[5:25], 5, axis=2)
    moved[:, :, :5] = others[5:25, :, :5]
    pairs = near_duplicates(moved, others)
    assert sorted((pair.index, pair.other) for pair in pairs) == [(i, i + 5) for i in range(20)]


@settings(max_examples=50)
@given(
    arrays(
        np.uint8,
        st.tuples(st.integers(0, 4), st.integers(1, 9), st.integers(1, 9), st.just(3)),
        elements=st.sampled_from([0, 1, 128, 255]),
    )
)
def test_images_of_any_size_are_their_own_duplicates_or_have_none(images):
    pairs = near_duplicates(images, images)
    assert len({pair.index for pair in pairs}) == len(pairs)
    for pair in pairs:
        assert pair.distance == 0.0
    flat = {i for i, pixels in enumerate(images) if (pixels == pixels[0, 0]).all()}
    assert flat.isdisjoint(pair.index for pair in pairs)


def test_read_only_memory_mapped_images(tmp_path):
    others = photographs(100)
    np.save(tmp_path / "others.npy", others)
    mapped = np.load(tmp_path / "others.npy", mmap_mode="r")
    pairs = near_duplicates(mapped[10:20], mapped)
    assert sorted((pair.index, pair.other) for pair in pairs) == [(i, i + 10) for i in range(10)]
    assert near_duplicates(others[10:20], others) == pairs


def test_an_empty_set_has_no_duplicates():
    some = photographs(2)
    assert near_duplicates(some[:0], some) == ()
    assert near_duplicates(some, some[:0]) == ()


@pytest.fixture(scope="module")
def cifar10(real_cifar10) -> Decoded:
    return read(real_cifar10, LoadOptions())[0]


@pytest.mark.slow
@pytest.mark.real
def test_cifar10_has_the_known_number_of_near_duplicates(cifar10):
    train, test = cifar10.train, cifar10.test
    pairs = near_duplicates(test.images, train.images)
    # Barz and Denzler count 3.3%, by the features of a network and by eye.
    assert 250 <= len(pairs) <= 400
    # Of images that have nothing to do with each other 90% differ in their labels.
    same = [test.labels[pair.index] == train.labels[pair.other] for pair in pairs]
    assert np.mean(same) >= 0.98


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize("change", CHANGES)
def test_planted_images_are_found_in_cifar10(change, cifar10):
    check_planted(cifar10.train.images, np.arange(7, 50000, 250), change)


def test_arrays_that_are_not_images_are_refused():
    some = photographs(2)
    for wrong in (
        some.astype(np.float32),
        some[0],
        some[..., :1],
        some[:, :0],
        some[:, :30],
    ):
        for arguments in ((wrong, some), (some, wrong)):
            with pytest.raises(InputError) as error:
                near_duplicates(*arguments)
            one_line(error)
    for threshold in (-1.0, 256.0, float("nan")):
        with pytest.raises(UsageError) as caught:
            near_duplicates(some, some, threshold)
        assert str(threshold) in one_line(caught)
