"""Augmentations keep shape and dtype, show what was there, and follow their generator.

A new entry in ``AUGMENTATIONS`` fails here until ``EXAMPLES`` has one for it.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cifarlab.errors import InputError
from cifarlab.recipes.parts import AlternatingFlip, CutMix, Cutout, Flip, Jitter, Mixup, Translate
from cifarlab.training.augment import AUGMENTATIONS, augment
from cifarlab.training.batch import Batch
from support import one_line

EXAMPLES: dict[type, Any] = {
    Flip: Flip(),
    AlternatingFlip: AlternatingFlip(),
    Translate: Translate(pixels=2),
    Cutout: Cutout(size=2, colour=(7, 7, 7)),
    Jitter: Jitter(brightness=0.2, contrast=0.2),
    Mixup: Mixup(alpha=1.0),
    CutMix: CutMix(alpha=1.0),
}
# Those that only move pixels about within an image, and so keep its values exactly.
MOVING = {kind: EXAMPLES[kind] for kind in (Flip, AlternatingFlip, Translate)}
# Those that draw for each image anew.
DRAWING = {kind: EXAMPLES[kind] for kind in (Flip, Translate, Cutout, Jitter)}

DTYPES = (torch.uint8, torch.int64, torch.float32, torch.float64)


def each(examples: dict[type, Any]) -> Any:
    return pytest.mark.parametrize("spec", examples.values(), ids=lambda spec: type(spec).__name__)


specs = each(EXAMPLES)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_images(count: int = 6, height: int = 5, width: int = 4) -> torch.Tensor:
    """Images in which no two values of an image and channel are alike."""
    one = torch.randperm(height * width, generator=seeded(1)).reshape(1, 1, height, width)
    offsets = 20 * torch.arange(3 * count).reshape(count, 3, 1, 1) % 200
    return (one + offsets).to(torch.uint8)


def batch_of(images: torch.Tensor, epoch: int = 0, salt: int = 0) -> Batch:
    count = len(images)
    return Batch(
        images=images,
        targets=torch.arange(count) % 3,
        index=torch.arange(count),
        epoch=epoch,
        salt=salt,
        classes=3,
    )


def changed(images: torch.Tensor, specs: list[Any], generator: torch.Generator) -> torch.Tensor:
    return augment(batch_of(images), specs, generator).images


def test_every_augmentation_has_an_example() -> None:
    assert set(EXAMPLES) == set(AUGMENTATIONS)


@specs
@pytest.mark.parametrize("dtype", DTYPES)
def test_shape_and_dtype_stay_and_the_input_is_left_alone(spec: Any, dtype: torch.dtype) -> None:
    images = some_images().to(dtype)
    before = images.clone()
    result = changed(images, [spec], seeded())
    assert (result.shape, result.dtype) == (images.shape, dtype)
    assert torch.equal(images, before)


@each(MOVING)
def test_the_values_are_those_of_the_same_image_and_channel(spec: Any) -> None:
    images = some_images(count=20)
    result = changed(images, [spec], seeded())
    for image, moved in zip(images, result, strict=True):
        for plane, moved_plane in zip(image, moved, strict=True):
            assert set(moved_plane.flatten().tolist()) <= set(plane.flatten().tolist())


@specs
def test_channels_move_together(spec: Any) -> None:
    grey = some_images(count=20)[:, :1].expand(-1, 3, -1, -1)
    result = changed(grey, [spec], seeded())
    assert torch.equal(result[:, 0], result[:, 1])
    assert torch.equal(result[:, 0], result[:, 2])


@each(MOVING)
def test_fractions_keep_all_their_digits(spec: Any) -> None:
    images = some_images().double() + 1 / 3
    assert set(changed(images, [spec], seeded()).unique().tolist()) <= set(images.unique().tolist())


@specs
@given(seed=st.integers(0, 2**63 - 1))
def test_the_result_is_a_function_of_the_generator_alone(spec: Any, seed: int) -> None:
    torch.manual_seed(seed % 7)
    first = changed(some_images(), [spec], seeded(seed))
    torch.manual_seed(seed % 7 + 1)
    state = torch.get_rng_state()
    assert torch.equal(changed(some_images(), [spec], seeded(seed)), first)
    assert torch.equal(torch.get_rng_state(), state)


@each(DRAWING)
def test_images_differ_in_what_happens_to_them_and_seeds_too(spec: Any) -> None:
    same = some_images(1).expand(50, -1, -1, -1)
    result = changed(same, [spec], seeded(0))
    assert len({tuple(image.flatten().tolist()) for image in result}) > 1
    assert not torch.equal(result, changed(same, [spec], seeded(1)))


@specs
def test_memory_order_does_not_matter(spec: Any) -> None:
    images = some_images()
    last = images.contiguous(memory_format=torch.channels_last)
    assert torch.equal(changed(last, [spec], seeded()), changed(images, [spec], seeded()))


def test_augmentations_are_applied_in_order_from_one_generator() -> None:
    images, draws = some_images(), seeded()
    expected = changed(changed(images, [Flip()], draws), [Translate(pixels=1)], draws)
    assert torch.equal(changed(images, [Flip(), Translate(pixels=1)], seeded()), expected)
    assert torch.equal(changed(images, [], seeded()), images)


def test_flip_mirrors_half_of_the_images_left_to_right() -> None:
    image = torch.tensor([[[[1, 2, 3], [4, 5, 6]]]])
    mirrored = torch.tensor([[[[3, 2, 1], [6, 5, 4]]]])
    result = changed(image.expand(1000, -1, -1, -1), [Flip()], seeded())
    as_mirror = (result == mirrored).flatten(1).all(1)
    as_was = (result == image).flatten(1).all(1)
    assert (as_mirror ^ as_was).all()
    assert 440 < int(as_mirror.sum()) < 560


def test_translate_shifts_by_every_amount_and_reflects_at_the_border() -> None:
    image = torch.tensor([[[[1, 2, 3], [4, 5, 6], [7, 8, 9]]]], dtype=torch.uint8)
    result = changed(image.expand(500, -1, -1, -1), [Translate(pixels=1)], seeded())
    found = {tuple(map(tuple, image[0].tolist())) for image in result}
    assert len(found) == 9
    assert ((1, 2, 3), (4, 5, 6), (7, 8, 9)) in found
    # The image moved right and down: what it left shows its own neighbours again.
    assert ((5, 4, 5), (2, 1, 2), (5, 4, 5)) in found
    assert ((5, 6, 5), (8, 9, 8), (5, 6, 5)) in found


@given(st.integers(2, 7), st.integers(2, 7), st.integers(0, 6), st.integers(0, 1000))
def test_translate_is_a_window_of_the_reflected_image(
    height: int, width: int, pixels: int, seed: int
) -> None:
    images = some_images(3, height, width)
    pixels = min(pixels, height - 1, width - 1)
    rows = list(range(pixels, 0, -1)) + list(range(height))
    rows += [height - 2 - i for i in range(pixels)]
    columns = list(range(pixels, 0, -1)) + list(range(width))
    columns += [width - 2 - i for i in range(pixels)]
    reflected = images[:, :, rows][:, :, :, columns]
    windows = reflected.unfold(2, height, 1).unfold(3, width, 1)
    for image, choices in zip(
        changed(images, [Translate(pixels=pixels)], seeded(seed)), windows, strict=True
    ):
        same = (choices == image[:, None, None]).all(0).flatten(2).all(2)
        assert same.any()


@pytest.mark.parametrize("shape", [(1, 3, 2, 9), (1, 3, 9, 2)])
def test_images_too_small_to_reflect_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError) as error:
        changed(torch.zeros(shape), [Translate(pixels=2)], seeded())
    assert "use fewer pixels" in one_line(error)


def test_alternating_flip_shows_each_image_both_ways_in_two_epochs() -> None:
    images = some_images(count=60)
    first, second, third = (
        augment(batch_of(images, epoch), [AlternatingFlip()], seeded()).images
        for epoch in (0, 1, 2)
    )
    assert torch.equal(second, first.flip(3))
    assert torch.equal(third, first)
    mirrored = (first != images).flatten(1).any(1)
    assert 15 < int(mirrored.sum()) < 45


def test_alternating_flip_depends_on_the_place_in_the_split_and_the_salt_alone() -> None:
    images = some_images(count=64)
    whole = batch_of(images, salt=5)
    expected = augment(whole, [AlternatingFlip()], seeded(0)).images
    order = torch.randperm(64, generator=seeded(3))
    mixed = dataclasses.replace(whole, images=images[order], index=order)
    assert torch.equal(augment(mixed, [AlternatingFlip()], seeded(1)).images, expected[order])
    other = augment(dataclasses.replace(whole, salt=6), [AlternatingFlip()], seeded()).images
    assert not torch.equal(other, expected)


@given(st.integers(0, 2**62), st.integers(100, 10**6))
def test_alternating_flip_is_fair_wherever_the_images_stand(salt: int, first: int) -> None:
    index = torch.arange(first, first + 1000)
    batch = Batch(
        images=torch.arange(2.0).expand(1000, 1, 1, 2),
        targets=index,
        index=index,
        epoch=0,
        salt=salt,
    )
    mirrored = augment(batch, [AlternatingFlip()], seeded()).images[:, 0, 0, 0].sum()
    assert 400 < int(mirrored) < 600


def test_cutout_paints_one_whole_square_of_its_colour() -> None:
    images = torch.zeros(200, 3, 5, 4, dtype=torch.uint8)
    result = changed(images, [Cutout(size=2, colour=(1, 2, 3))], seeded())
    assert torch.equal(result.flatten(2).sum(2), torch.tensor([4, 8, 12]).expand(200, 3))
    painted = result[:, 0] > 0
    assert painted.any(2).sum(1).tolist() == [2] * 200
    assert painted.any(1).sum(1).tolist() == [2] * 200
    assert painted.any(0).all()


def test_cutout_paints_grey_images_with_the_mean_of_its_colour() -> None:
    grey = torch.zeros(20, 1, 5, 9, dtype=torch.uint8)
    result = changed(grey, [Cutout(size=2, colour=(10, 20, 60))], seeded())
    assert set(result.unique().tolist()) == {0, 30}


def test_a_square_larger_than_the_image_is_refused() -> None:
    with pytest.raises(InputError) as error:
        changed(some_images(), [Cutout(size=5)], seeded())
    assert "use a smaller square" in one_line(error)


def test_jitter_shifts_and_stretches_within_its_bounds() -> None:
    grey = torch.full((500, 1, 1, 2), 127.5)
    grey[..., 0] = 107.5
    shifted = changed(grey, [Jitter(brightness=0.1, contrast=0.0)], seeded())
    assert torch.allclose(shifted[..., 1] - shifted[..., 0], torch.tensor(20.0), atol=1e-4)
    moved = shifted[..., 1] - 127.5
    assert 24 < float(moved.max()) <= 25.5
    assert -25.5 <= float(moved.min()) < -24
    stretched = changed(grey, [Jitter(brightness=0.0, contrast=0.1)], seeded())
    assert torch.allclose(stretched[..., 1], torch.tensor(127.5))
    spread = stretched[..., 1] - stretched[..., 0]
    assert 17.9 < float(spread.min()) < 18.5
    assert 21.5 < float(spread.max()) < 22.1


def test_jitter_stays_within_the_range_of_pixels() -> None:
    extremes = torch.tensor([0, 255], dtype=torch.uint8).repeat(50).reshape(50, 1, 1, 2)
    result = changed(extremes.float(), [Jitter(brightness=0.5, contrast=0.5)], seeded())
    assert 0 <= float(result.min()) <= float(result.max()) <= 255


@pytest.mark.parametrize("spec", [Mixup(alpha=1.0), CutMix(alpha=1.0)], ids=["mixup", "cutmix"])
@given(seed=st.integers(0, 10**6))
def test_labels_are_blended_like_the_images(spec: Any, seed: int) -> None:
    # Each image is filled with its class's number, so its mean tells the shares.
    targets = torch.arange(6) % 2
    images = targets.float().reshape(6, 1, 1, 1).expand(6, 1, 8, 8)
    batch = Batch(images=images, targets=targets, index=torch.arange(6), classes=2)
    result = augment(batch, [spec], seeded(seed))
    assert result.targets.shape == (6, 2)
    assert torch.allclose(result.targets.sum(1), torch.ones(6))
    assert torch.allclose(result.images.mean((1, 2, 3)), result.targets[:, 1], atol=1e-6)


def test_mixed_labels_can_be_mixed_again() -> None:
    batch = augment(batch_of(some_images(12)), [Mixup(alpha=1.0), CutMix(alpha=1.0)], seeded())
    assert torch.allclose(batch.targets.sum(1), torch.ones(12))
