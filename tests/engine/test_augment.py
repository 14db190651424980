"""Augmentations keep shape and dtype, show only what was there, and follow their generator.

A new entry in ``AUGMENTATIONS`` fails here until ``EXAMPLES`` has one for it.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cifarlab.engine.augment import AUGMENTATIONS, augment, flip, translate
from cifarlab.errors import InputError
from cifarlab.recipes.recipe import Flip, Translate
from support import one_line

EXAMPLES: dict[type, Any] = {Flip: Flip(), Translate: Translate(2)}

DTYPES = (torch.uint8, torch.int64, torch.float32, torch.float64)

specs = pytest.mark.parametrize("spec", EXAMPLES.values(), ids=lambda spec: type(spec).__name__)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(count: int = 6, height: int = 5, width: int = 4) -> torch.Tensor:
    """Pictures in which no two values of a picture and channel are alike."""
    one = torch.randperm(height * width, generator=seeded(1)).reshape(1, 1, height, width)
    offsets = 20 * torch.arange(3 * count).reshape(count, 3, 1, 1) % 200
    return (one + offsets).to(torch.uint8)


def test_every_augmentation_has_an_example() -> None:
    assert set(EXAMPLES) == set(AUGMENTATIONS)


@specs
@pytest.mark.parametrize("dtype", DTYPES)
def test_shape_and_dtype_stay_and_the_input_is_left_alone(spec: Any, dtype: torch.dtype) -> None:
    images = pictures().to(dtype)
    before = images.clone()
    result = augment(images, [spec], seeded())
    assert (result.shape, result.dtype) == (images.shape, dtype)
    assert torch.equal(images, before)


@specs
def test_the_values_are_those_of_the_same_picture_and_channel(spec: Any) -> None:
    images = pictures(count=20)
    result = augment(images, [spec], seeded())
    for image, changed in zip(images, result, strict=True):
        for plane, changed_plane in zip(image, changed, strict=True):
            assert set(changed_plane.flatten().tolist()) <= set(plane.flatten().tolist())


@specs
def test_channels_move_together(spec: Any) -> None:
    grey = pictures(count=20)[:, :1].expand(-1, 3, -1, -1)
    result = augment(grey, [spec], seeded())
    assert torch.equal(result[:, 0], result[:, 1])
    assert torch.equal(result[:, 0], result[:, 2])


@specs
def test_fractions_keep_all_their_digits(spec: Any) -> None:
    images = pictures().double() + 1 / 3
    assert set(augment(images, [spec], seeded()).unique().tolist()) <= set(images.unique().tolist())


@specs
@given(seed=st.integers(0, 2**63 - 1))
def test_the_result_is_a_function_of_the_generator_alone(spec: Any, seed: int) -> None:
    torch.manual_seed(seed % 7)
    first = augment(pictures(), [spec], seeded(seed))
    torch.manual_seed(seed % 7 + 1)
    state = torch.get_rng_state()
    assert torch.equal(augment(pictures(), [spec], seeded(seed)), first)
    assert torch.equal(torch.get_rng_state(), state)


@specs
def test_pictures_differ_in_what_happens_to_them_and_seeds_too(spec: Any) -> None:
    same = pictures(1).expand(50, -1, -1, -1)
    result = augment(same, [spec], seeded(0))
    assert len({tuple(image.flatten().tolist()) for image in result}) > 1
    assert not torch.equal(result, augment(same, [spec], seeded(1)))


@specs
def test_memory_order_does_not_matter(spec: Any) -> None:
    images = pictures()
    last = images.contiguous(memory_format=torch.channels_last)
    assert torch.equal(augment(last, [spec], seeded()), augment(images, [spec], seeded()))


def test_augmentations_are_applied_in_order_from_one_generator() -> None:
    images, draws = pictures(), seeded()
    expected = translate(flip(images, Flip(), draws), Translate(1), draws)
    assert torch.equal(augment(images, [Flip(), Translate(1)], seeded()), expected)
    assert torch.equal(augment(images, [], seeded()), images)


def test_flip_mirrors_half_of_the_pictures_left_to_right() -> None:
    picture = torch.tensor([[[[1, 2, 3], [4, 5, 6]]]])
    mirrored = torch.tensor([[[[3, 2, 1], [6, 5, 4]]]])
    result = flip(picture.expand(1000, -1, -1, -1), Flip(), seeded())
    as_mirror = (result == mirrored).flatten(1).all(1)
    as_was = (result == picture).flatten(1).all(1)
    assert (as_mirror ^ as_was).all()
    assert 440 < int(as_mirror.sum()) < 560


def test_translate_shifts_by_every_amount_and_reflects_at_the_border() -> None:
    picture = torch.tensor([[[[1, 2, 3], [4, 5, 6], [7, 8, 9]]]], dtype=torch.uint8)
    result = translate(picture.expand(500, -1, -1, -1), Translate(1), seeded())
    found = {tuple(map(tuple, image[0].tolist())) for image in result}
    assert len(found) == 9
    assert ((1, 2, 3), (4, 5, 6), (7, 8, 9)) in found
    # The picture moved right and down: what it left shows its own neighbours again.
    assert ((5, 4, 5), (2, 1, 2), (5, 4, 5)) in found
    assert ((5, 6, 5), (8, 9, 8), (5, 6, 5)) in found


@given(st.integers(2, 7), st.integers(2, 7), st.integers(0, 6), st.integers(0, 1000))
def test_translate_is_a_window_of_the_reflected_picture(
    height: int, width: int, pixels: int, seed: int
) -> None:
    images = pictures(3, height, width)
    pixels = min(pixels, height - 1, width - 1)
    rows = list(range(pixels, 0, -1)) + list(range(height))
    rows += [height - 2 - i for i in range(pixels)]
    columns = list(range(pixels, 0, -1)) + list(range(width))
    columns += [width - 2 - i for i in range(pixels)]
    reflected = images[:, :, rows][:, :, :, columns]
    windows = reflected.unfold(2, height, 1).unfold(3, width, 1)
    for image, choices in zip(
        translate(images, Translate(pixels), seeded(seed)), windows, strict=True
    ):
        same = (choices == image[:, None, None]).all(0).flatten(2).all(2)
        assert same.any()


@pytest.mark.parametrize("shape", [(1, 3, 2, 9), (1, 3, 9, 2)])
def test_pictures_too_small_to_reflect_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError) as error:
        translate(torch.zeros(shape), Translate(2), seeded())
    assert "use fewer pixels" in one_line(error)
